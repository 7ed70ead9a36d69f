//! What documents add up to, between their commit and the next settling of accounts.
//!
//! A document counts here once it is committed; every few seconds, and before a question is answered, what
//! was added up goes into the tables in one transaction, which also says up to which block. After a crash
//! the documents of later blocks are added up again, so the tables are exact whenever the power goes.

use std::collections::BTreeMap;

use anyhow::Result;
use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::open_slots::OpenSlots;
use super::slots::{self, Cell, Day};
use crate::documents::facts::{Facts, Job};
use crate::documents::metric::Metric;
use crate::documents::time::{SLOTS, day, hour, slot};
use crate::documents::{Name, Names, System};

/// A document that came later than this after its time was late.
pub(super) const LATE_MS: i64 = 5 * 60_000;

/// Beyond so many names in memory, or bytes in them, they are dropped at the next settling.
const MOST_WORDS: usize = 500_000;
const MOST_WORD_BYTES: usize = 32 * 1024 * 1024;
/// Beyond so many new names (each of them may be a series, or a user's day), or bytes of newest documents,
/// it is time to settle.
const MOST_NEW_WORDS: usize = MOST_WORDS / 4;
const MOST_LATEST_BYTES: usize = 32 * 1024 * 1024;

/// A committed document.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    pub facility: i64,
    pub kind: i64,
    /// The kind's name, as one of the words here.
    pub kind_name: Name,
    pub time: i64,
    pub arrived: i64,
    /// As it is stored.
    pub line: &'a str,
    /// Blocks from this one on are not counted yet.
    pub block: i64,
}

#[derive(Debug, Default)]
pub struct Summaries {
    /// All names here are numbers in this list.
    pub words: Names,
    seen: HashMap<(i64, i64, i64, Name), Seen>,
    series: Series,
    ended: HashMap<(i64, u128), Vec<Ended>>,
    latest: HashMap<(i64, i64, Name, Name), (i64, String)>,
    latest_bytes: usize,
    open: OpenSlots,
    ids: Ids,
    /// Documents since the last settling.
    documents: usize,
    /// Words at the last settling.
    words_before: usize,
}

type Series = HashMap<(i64, Metric, Name, Name), BTreeMap<i64, Cell>>;

#[derive(Debug, Clone, Copy)]
struct Seen {
    hours: i64,
    first: i64,
    last: i64,
    documents: i64,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    time: i64,
    user: Name,
    state: Name,
    runtime: i64,
    tasks: u32,
}

/// Row ids that were looked up.
#[derive(Debug, Default)]
struct Ids {
    users: HashMap<Name, i64>,
    series: HashMap<(i64, Metric, Name, Name), i64>,
}

impl Summaries {
    pub fn is_empty(&self) -> bool {
        self.documents == 0 && self.series.is_empty()
    }

    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Whether so much is held here that it should be settled, however few documents it is of.
    pub fn is_large(&self) -> bool {
        self.has_many_words()
            || self.words.len() > self.words_before + MOST_NEW_WORDS
            || self.latest_bytes > MOST_LATEST_BYTES
    }

    fn has_many_words(&self) -> bool {
        self.words.len() > MOST_WORDS || self.words.bytes() > MOST_WORD_BYTES
    }

    /// Adds a document up. Its facts' names are words of this.
    ///
    /// # Errors
    /// The stored documents beside it, which say what counts already, cannot be read.
    pub fn count(
        &mut self,
        store: &Connection,
        document: Counted<'_>,
        facts: &Facts,
    ) -> Result<()> {
        self.documents += 1;
        let nothing = self.words.of("");
        self.add(
            &document,
            Metric::Documents,
            document.kind_name,
            nothing,
            1.0,
        );
        if document.time + LATE_MS < document.arrived {
            self.add(&document, Metric::Late, document.kind_name, nothing, 1.0);
        }
        match facts {
            Facts::Job(job) => self.job(store, &document, job, nothing)?,
            Facts::Users { node, users } => {
                for user in users {
                    self.saw(&document, *user);
                }
                let present = f64::from(u32::try_from(users.len()).unwrap_or(u32::MAX));
                self.add(
                    &document,
                    Metric::UsersPresent,
                    document.kind_name,
                    *node,
                    present,
                );
                self.newest(&document, *node, nothing);
            }
            Facts::Numbers {
                node,
                part,
                numbers,
            } => {
                for (metric, number) in numbers {
                    self.add(&document, *metric, *node, *part, *number);
                }
                self.newest(&document, *node, *part);
            }
            Facts::Round { node, saw_jobs } => {
                let all = System::ALL.into_iter().zip(saw_jobs);
                for (system, _) in all.filter(|(_, saw)| **saw) {
                    for state in ["idle", "running", "held"] {
                        let state = self.words.of(&system.part(state));
                        self.add(&document, Metric::Jobs, nothing, state, 0.0);
                    }
                }
                self.newest(&document, *node, nothing);
            }
            Facts::Nothing => {}
        }
        Ok(())
    }

    /// Adds to a count that no document says ([`Metric::is_of_no_document`]), in the five minutes of this time.
    pub fn note(&mut self, (facility, metric): (i64, Metric), label: Name, time: i64, times: u32) {
        let key = (facility, metric, label, self.words.of(""));
        add(
            &mut self.series,
            key,
            slot(time),
            Cell::one(f64::from(times)),
        );
    }

    /// These without what documents say: that can be added up again.
    pub fn of_no_document(&self) -> Self {
        let mut kept = Self::default();
        let all = self.series.iter();
        for ((facility, metric, label, part), cells) in
            all.filter(|((_, metric, ..), _)| metric.is_of_no_document())
        {
            let mut word = |name: Name| kept.words.of(self.words.text(name));
            let key = (*facility, *metric, word(*label), word(*part));
            kept.series.insert(key, cells.clone());
        }
        kept
    }

    fn job(
        &mut self,
        store: &Connection,
        document: &Counted<'_>,
        job: &Job,
        nothing: Name,
    ) -> Result<()> {
        self.saw(document, job.user);
        if let Some(ended) = job.ended {
            let list = self.ended.entry((document.facility, ended)).or_default();
            list.push(Ended {
                time: document.time,
                user: job.user,
                state: job.state,
                runtime: job.runtime,
                tasks: job.tasks,
            });
        }
        let which = (document.facility, document.kind, document.time);
        let change = self
            .open
            .report(store, which, job, document.block, &mut self.words)?;
        if let Some(change) = change {
            for (place, sign) in [(change.out_of, -1.0), (Some(change.into), 1.0)] {
                if let Some(place) = place {
                    let by = sign * f64::from(place.tasks);
                    self.add(document, Metric::Jobs, nothing, place.state, by);
                    self.add(document, Metric::JobsOfUser, place.user, place.state, by);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, document: &Counted<'_>, metric: Metric, label: Name, part: Name, by: f64) {
        let key = (document.facility, metric, label, part);
        add(&mut self.series, key, slot(document.time), Cell::one(by));
    }

    fn saw(&mut self, document: &Counted<'_>, user: Name) {
        let Counted { time, .. } = *document;
        let key = (document.facility, day(time), document.kind, user);
        let seen = self.seen.entry(key).or_insert(Seen {
            hours: 0,
            first: time,
            last: time,
            documents: 0,
        });
        seen.hours |= 1 << hour(time).rem_euclid(24);
        seen.first = seen.first.min(time);
        seen.last = seen.last.max(time);
        seen.documents += 1;
    }

    fn newest(&mut self, document: &Counted<'_>, node: Name, part: Name) {
        let key = (document.facility, document.kind, node, part);
        let newest = self.latest.entry(key).or_insert((i64::MIN, String::new()));
        if newest.0 <= document.time {
            let line = document.line.trim_end();
            self.latest_bytes = self.latest_bytes + line.len() - newest.1.len();
            *newest = (document.time, line.to_owned());
        }
    }

    /// Writes what was added up into the tables. It stays here until [`Summaries::settled`] says that it
    /// was committed, or is written once more.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn settle(&mut self, store: &Transaction<'_>, last_block: i64) -> Result<()> {
        let of_ended = self.settle_ended(store)?;
        let mut packer = slots::Packer::new()?;
        for series in [&self.series, &of_ended] {
            settle_series(store, &mut packer, series, &self.words, &mut self.ids)?;
        }
        self.settle_seen(store)?;
        self.settle_latest(store)?;
        store
            .prepare_cached("UPDATE summarised SET block = ?")?
            .execute([last_block])?;
        Ok(())
    }

    /// Lets go of what can be read again; between commits.
    pub fn make_room(&mut self, most_jobs: usize) {
        self.open.make_room(most_jobs);
    }

    /// What was written is committed. Returns whether the words are others now.
    pub fn settled(&mut self) -> bool {
        self.seen.clear();
        self.series.clear();
        self.ended.clear();
        self.latest.clear();
        self.latest_bytes = 0;
        self.documents = 0;
        self.words_before = self.words.len();
        if !self.has_many_words() {
            return false;
        }
        self.words = Names::default();
        self.words_before = 0;
        self.ids = Ids::default();
        self.open.clear();
        true
    }

    /// What was written was not committed: ids that it made are none.
    pub fn not_settled(&mut self) {
        self.ids = Ids::default();
    }

    /// Keeps those that ended for good and are not known yet; returns what they add up to.
    fn settle_ended(&mut self, store: &Transaction<'_>) -> Result<Series> {
        let mut is_known = store.prepare_cached(
            "SELECT 1 FROM ended WHERE facility = ? AND day IN (?, ?, ?) AND job = ?",
        )?;
        let mut keep =
            store.prepare_cached("INSERT INTO ended VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")?;
        let mut series = Series::default();
        let nothing = self.words.of("");
        for ((facility, job), reports) in &mut self.ended {
            let job = job.to_be_bytes();
            reports.sort_by_key(|report| report.time);
            for report in reports {
                let day = day(report.time);
                // The neighbours, too: two collectors may report it on both sides of midnight.
                let is_known = is_known.exists(params![facility, day - 1, day, day + 1, job])?;
                // One that counts on the day before is kept for this day, too, as the next report may be of
                // the day after.
                let counts = if is_known { 0 } else { report.tasks };
                keep.execute(params![facility, day, job, counts])?;
                if is_known {
                    continue;
                }
                let length = self.words.of(&length_class(report.runtime).to_string());
                #[expect(clippy::cast_precision_loss, reason = "exact to 285 million years")]
                let seconds = report.runtime as f64;
                for (metric, label, part) in [
                    (Metric::Ended, nothing, report.state),
                    (Metric::EndedOfUser, report.user, nothing),
                    (Metric::EndedByLength, length, nothing),
                ] {
                    let cell = Cell::of(report.tasks, seconds);
                    let key = (*facility, metric, label, part);
                    add(&mut series, key, slot(report.time), cell);
                }
            }
        }
        Ok(series)
    }

    fn settle_seen(&mut self, store: &Transaction<'_>) -> Result<()> {
        let mut write = store.prepare_cached(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET hours = hours | excluded.hours, first = min(first, excluded.first),
             last = max(last, excluded.last), documents = documents + excluded.documents",
        )?;
        for ((facility, day, kind, user), seen) in &self.seen {
            let user = user_id(store, *user, &self.words, &mut self.ids)?;
            write.execute(params![
                facility,
                day,
                kind,
                user,
                seen.hours,
                seen.first,
                seen.last,
                seen.documents
            ])?;
        }
        Ok(())
    }

    fn settle_latest(&self, store: &Transaction<'_>) -> Result<()> {
        let mut write = store.prepare_cached(
            "INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET time = excluded.time, document = excluded.document
             WHERE excluded.time >= time",
        )?;
        for ((facility, kind, node, part), (time, line)) in &self.latest {
            let (node, part) = (self.words.text(*node), self.words.text(*part));
            write.execute(params![facility, kind, node, part, time, line])?;
        }
        Ok(())
    }
}

fn add(series: &mut Series, key: (i64, Metric, Name, Name), slot: i64, by: Cell) {
    series
        .entry(key)
        .or_default()
        .entry(slot)
        .and_modify(|cell| cell.add(by, key.1.grain()))
        .or_insert(by);
}

/// The power of two that a run time (s) stays below: 0 for less than 1 s, 10 for 512 to 1023 s.
pub fn length_class(runtime: i64) -> u32 {
    i64::BITS - runtime.max(0).leading_zeros()
}

fn settle_series(
    store: &Transaction<'_>,
    packer: &mut slots::Packer,
    series: &Series,
    words: &Names,
    ids: &mut Ids,
) -> Result<()> {
    let mut write = store.prepare_cached("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?)")?;
    let mut write_cells = store.prepare_cached("INSERT OR REPLACE INTO slots VALUES (?, ?)")?;
    for (key, cells) in series {
        let grain = key.1.grain();
        let id = series_id(store, *key, words, ids)?;
        let mut cells = cells.iter().peekable();
        while let Some((first, _)) = cells.peek() {
            let today = first.div_euclid(i64::from(SLOTS));
            let row = slots::row(id, today);
            let mut stored = day_of(store, row)?;
            while let Some((slot, cell)) =
                cells.next_if(|(slot, _)| slot.div_euclid(i64::from(SLOTS)) == today)
            {
                let slot = u16::try_from(slot.rem_euclid(i64::from(SLOTS)))?;
                stored.add(slot, *cell, grain);
            }
            let total = stored.total();
            write.execute(params![row, total.n, total.sum, total.min, total.max])?;
            write_cells.execute(params![row, stored.pack(packer)?])?;
        }
    }
    Ok(())
}

/// What is stored of a day. A damaged one begins anew: if it stayed, nothing could be settled any more.
fn day_of(store: &Transaction<'_>, row: i64) -> Result<Day> {
    match Day::read(store, row) {
        Err(why) if !why.is::<rusqlite::Error>() => {
            let (series, day) = slots::series_and_day(row);
            tracing::error!(
                "day {day} of series {series} is damaged and begins anew, without what it held: {why:#}; `afmetrics_receiver check --deep` compares it with the raw documents"
            );
            Ok(Day::default())
        }
        read => read,
    }
}

fn series_id(
    store: &Transaction<'_>,
    key: (i64, Metric, Name, Name),
    words: &Names,
    ids: &mut Ids,
) -> Result<i64> {
    if let Some(id) = ids.series.get(&key) {
        return Ok(*id);
    }
    let (facility, metric, label, part) = key;
    let row = params![facility, metric.name(), words.text(label), words.text(part)];
    let known = store
        .prepare_cached(
            "SELECT id FROM series WHERE facility = ? AND metric = ? AND label = ? AND part = ?",
        )?
        .query_row(row, |row| row.get(0))
        .optional()?;
    let id = match known {
        Some(id) => id,
        None => store
            .prepare_cached(
                "INSERT INTO series(facility, metric, label, part) VALUES (?, ?, ?, ?)",
            )?
            .insert(row)?,
    };
    ids.series.insert(key, id);
    Ok(id)
}

fn user_id(store: &Transaction<'_>, user: Name, words: &Names, ids: &mut Ids) -> Result<i64> {
    if let Some(id) = ids.users.get(&user) {
        return Ok(*id);
    }
    let id = super::id_of(store, "users", words.text(user))?;
    ids.users.insert(user, id);
    Ok(id)
}
