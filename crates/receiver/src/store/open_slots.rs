//! Jobs by state, exactly: each job counts once in five minutes, in the state that it was last reported in,
//! however many collectors report it and however often.
//!
//! That needs to know which jobs a slot has seen. Those of the slots in use are in memory; others are
//! read again from the stored documents when a late one comes.

use std::collections::hash_map::Entry;

use anyhow::Result;
use foldhash::HashMap;
use rusqlite::{Connection, params};

use super::block;
use crate::documents::facts::{Facts, Job};
use crate::documents::time::{SLOT_MS, slot};
use crate::documents::{Name, Names, read_again};

/// Beyond so many jobs in memory (some 40 bytes each), slots that were not used for longest go.
pub const MOST_JOBS: usize = 1_000_000;

/// Which slot: facility, kind, five minutes since 1970.
type Which = (i64, i64, i64);

#[derive(Debug, Default)]
pub struct OpenSlots {
    slots: HashMap<Which, Slot>,
    /// Jobs in all of them.
    jobs: usize,
    /// Counts uses.
    uses: u64,
    /// As many there were when room was made last.
    uses_before: u64,
}

#[derive(Debug, Default)]
struct Slot {
    /// User and state of each.
    jobs: HashMap<u64, (Name, Name)>,
    /// How many jobs those are that are not one: few, so that the others need no room for it.
    tasks: HashMap<u64, u32>,
    used: u64,
}

impl Slot {
    /// Puts a job under what it is reported as; returns under what it was.
    fn put(&mut self, job: &Job) -> Option<Where> {
        let before = self.jobs.insert(job.job, (job.user, job.state));
        let tasks = match job.tasks {
            1 => self.tasks.remove(&job.job),
            many => self.tasks.insert(job.job, many),
        };
        before.map(|(user, state)| Where {
            user,
            state,
            tasks: tasks.unwrap_or(1),
        })
    }
}

/// Under what a job counts, and as how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Where {
    pub user: Name,
    pub state: Name,
    pub tasks: u32,
}

/// How the counts change by one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub out_of: Option<Where>,
    pub into: Where,
}

impl OpenSlots {
    /// A job is reported; `None`: it counts already so. `before`: blocks from this one on are
    /// not counted yet.
    ///
    /// # Errors
    /// The stored documents of the slot cannot be read.
    pub fn report(
        &mut self,
        store: &Connection,
        (facility, kind, time): (i64, i64, i64),
        job: &Job,
        before: i64,
        words: &mut Names,
    ) -> Result<Option<Change>> {
        let which = (facility, kind, slot(time));
        self.uses += 1;
        let slot = match self.slots.entry(which) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let slot = load(store, which, before, words)?;
                self.jobs += slot.jobs.len();
                new.insert(slot)
            }
        };
        slot.used = self.uses;
        let into = Where {
            user: job.user,
            state: job.state,
            tasks: job.tasks,
        };
        let out_of = slot.put(job);
        self.jobs += usize::from(out_of.is_none());
        Ok((out_of != Some(into)).then_some(Change { out_of, into }))
    }

    /// Forgets all: the next report reads them again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Lets slots go where there are more than `most` jobs. Only between commits: what is read again is what
    /// is stored before a commit, so in the midst of one its first documents would be forgotten.
    ///
    /// Slots that were used since the last call stay, however large: they are likely to be used again, and
    /// to read them again for each group takes the longer the more they hold.
    pub fn make_room(&mut self, most: usize) {
        let uses_before = std::mem::replace(&mut self.uses_before, self.uses);
        if self.jobs <= most {
            return;
        }
        let mut by_use: Vec<(u64, Which)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.used <= uses_before)
            .map(|(which, slot)| (slot.used, *which))
            .collect();
        by_use.sort_unstable();
        for (_, which) in by_use {
            if self.jobs <= most / 2 {
                break;
            }
            if let Some(slot) = self.slots.remove(&which) {
                self.jobs -= slot.jobs.len();
            }
        }
    }
}

/// What the stored documents say of a slot.
fn load(
    store: &Connection,
    (facility, kind, slot): Which,
    before: i64,
    words: &mut Names,
) -> Result<Slot> {
    let mut found = Slot::default();
    let (from, to) = (slot * SLOT_MS, (slot + 1) * SLOT_MS);
    let mut blocks = store.prepare_cached(
        "SELECT data, bytes FROM blocks
         WHERE facility = ? AND kind = ? AND hour = ? AND last >= ? AND first < ? AND id < ? ORDER BY id",
    )?;
    let mut rows = blocks.query(params![
        facility,
        kind,
        slot.div_euclid(12),
        from,
        to,
        before
    ])?;
    while let Some(row) = rows.next()? {
        let lines = match block::unpack(row.get_ref(0)?.as_blob()?, row.get(1)?) {
            Ok(lines) => lines,
            Err(why) => {
                tracing::error!("jobs of a damaged block may count twice: {why:#}");
                continue;
            }
        };
        for line in lines.lines() {
            let Ok((_, time, Facts::Job(job))) = read_again(line, words) else {
                continue;
            };
            if (from..to).contains(&time) {
                found.put(&job);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn what_was_used_last_stays_however_large_it_is() {
        let store = Connection::open_in_memory().unwrap();
        schema::fill(&store).unwrap();
        let mut words = Names::default();
        let (user, state) = (words.of("canary-1"), words.of("running"));
        let mut open = OpenSlots::default();
        let mut report = |open: &mut OpenSlots, slot: i64, job: u64| {
            let job = Job {
                user,
                state,
                job,
                tasks: 1,
                ended: None,
                runtime: 0,
            };
            let which = (1, 1, slot * SLOT_MS);
            open.report(&store, which, &job, 1, &mut words).unwrap();
        };
        for job in 0..10 {
            report(&mut open, 1, job);
        }
        open.make_room(4);
        assert_eq!((open.slots.len(), open.jobs), (1, 10), "just used");
        report(&mut open, 2, 1);
        open.make_room(4);
        assert_eq!((open.slots.len(), open.jobs), (1, 1), "the other one went");
        assert!(open.slots.contains_key(&(1, 1, 2)));
    }
}
