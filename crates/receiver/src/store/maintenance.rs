//! What keeps a store small: what is too old goes, and the many small blocks of an hour that is over become
//! a few large ones. The writer does it between groups in steps of some milliseconds, so that no request
//! waits for it; `prune` does it at once.
//!
//! Pages that become free are used again by what comes next, so a store that has reached its age grows no
//! more. The file itself gets smaller by `prune` only: `auto_vacuum` made storing a quarter slower, and in a
//! store that loses a day's documents for each day that comes there was nothing to give back (measured over
//! 160 days, of which 90 are kept: 1,043 MB without, 1,044 MB with it).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::block::{self, Packer};
use super::slots;
use crate::documents::taking::OLDEST_MS;
use crate::documents::time::{DAY_MS, HOUR_MS, day, hour};

/// A step begins nothing new after this time.
const STEP: Duration = Duration::from_millis(20);
/// Between two steps the writer is left alone for so many times as long as the last one took.
const REST: u32 = 4;
/// Between two passes.
const PAUSE: Duration = Duration::from_secs(10 * 60);
/// After a start, others come first.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Rows, or groups of blocks, that are looked at or deleted at a time.
const ROWS: i64 = 200;
/// Small blocks that become one at a time.
const MOST_MERGED: usize = 128;
/// Jobs that ended are known for as long as a document may be late, and the day around it.
const ENDED_DAYS: i64 = OLDEST_MS / DAY_MS + 2;

/// For how many days what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub documents: u32,
    pub summaries: u32,
}

/// What has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Went {
    pub blocks: usize,
    pub documents: i64,
    pub ended: usize,
    pub batches: usize,
    pub seen: usize,
    pub days: usize,
    pub series: usize,
    pub users: usize,
    pub latest: usize,
    /// Small blocks that became part of larger ones.
    pub merged: usize,
}

/// How far a pass is; each part begins where the one before has ended.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Blocks,
    Ended,
    Seen,
    /// After this batch.
    Batches(i64, Vec<u8>),
    /// After this series.
    Days(i64),
    Latest,
    /// After this facility, kind and hour.
    Compact(i64, i64, i64),
    Users,
    Done,
}

/// Passes over the store.
pub struct Maintenance {
    keep: Keep,
    part: Part,
    next: Instant,
    pub went: Went,
    /// Ids of series or users that were looked up before are to be looked up again.
    pub ids_changed: bool,
    /// The day on which users that nothing is known of went last.
    users_on: Option<i64>,
}

impl Maintenance {
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            part: Part::Blocks,
            next: Instant::now() + FIRST_PAUSE,
            went: Went::default(),
            ids_changed: false,
            users_on: None,
        }
    }

    /// How long until there is something to do.
    pub fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Does a little, if it is time. What fails is tried again in the next pass.
    pub fn step(&mut self, store: &mut Connection, packer: &mut Packer, now: i64) {
        if !self.wait().is_zero() {
            return;
        }
        let began = Instant::now();
        let is_done = self.some(store, packer, now).unwrap_or_else(|why| {
            tracing::error!("the store cannot be kept small: {why:#}");
            true
        });
        let took = began.elapsed();
        self.next = Instant::now() + (took * REST).max(Duration::from_millis(5));
        tracing::debug!("maintenance took {took:?}, next {:?}", self.part);
        if is_done {
            if self.went != Went::default() {
                tracing::info!("maintenance: {}", self.went);
            }
            self.went = Went::default();
            self.part = Part::Blocks;
            self.next = Instant::now() + PAUSE;
        }
    }

    /// A whole pass at once.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn pass(&mut self, store: &mut Connection, packer: &mut Packer, now: i64) -> Result<()> {
        self.part = Part::Blocks;
        while !self.some(store, packer, now)? {}
        Ok(())
    }

    /// Works until something was changed or the time of a step is over; returns whether the pass is.
    fn some(&mut self, store: &mut Connection, packer: &mut Packer, now: i64) -> Result<bool> {
        let began = Instant::now();
        let changes = store.total_changes();
        // What was changed has to reach the disk: once a step.
        while self.part != Part::Done && began.elapsed() < STEP && store.total_changes() == changes
        {
            let change = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut went = self.went;
            let next = self.one(&change, packer, now, &mut went)?;
            change.commit()?;
            (self.part, self.went) = (next, went);
        }
        Ok(self.part == Part::Done)
    }

    /// One small thing; returns what comes next.
    fn one(
        &mut self,
        store: &Transaction<'_>,
        packer: &mut Packer,
        now: i64,
        went: &mut Went,
    ) -> Result<Part> {
        let documents_before = hour(now - i64::from(self.keep.documents) * DAY_MS);
        let summaries_before = day(now) - i64::from(self.keep.summaries);
        let next = match &self.part {
            Part::Blocks => {
                note_gone(store, "documents", documents_before)?;
                match old_blocks(store, documents_before, went)? {
                    0 => Part::Ended,
                    _ => Part::Blocks,
                }
            }
            Part::Ended => {
                let before = day(now) - ENDED_DAYS;
                note_gone(store, "ended", before)?;
                match old_days(store, "ended", "job", before, &mut went.ended)? {
                    0 => Part::Seen,
                    _ => Part::Ended,
                }
            }
            Part::Seen => {
                note_gone(store, "summaries", summaries_before)?;
                match old_days(
                    store,
                    "seen",
                    "kind, user",
                    summaries_before,
                    &mut went.seen,
                )? {
                    0 => Part::Batches(0, Vec::new()),
                    _ => Part::Seen,
                }
            }
            Part::Batches(facility, batch) => {
                let before = now - OLDEST_MS;
                match old_batches(store, (*facility, batch), before, &mut went.batches)? {
                    Some((facility, batch)) => Part::Batches(facility, batch),
                    None => Part::Days(0),
                }
            }
            Part::Days(after) => {
                let series = went.series;
                let next = old_series(store, *after, summaries_before, went)?;
                self.ids_changed |= went.series != series;
                next.map_or(Part::Latest, Part::Days)
            }
            Part::Latest => {
                went.latest += store
                    .prepare_cached("DELETE FROM latest WHERE time < ?")?
                    .execute([documents_before * HOUR_MS])?;
                Part::Compact(0, 0, 0)
            }
            Part::Compact(facility, kind, of) => {
                match compact(store, packer, (*facility, *kind, *of), hour(now), went)? {
                    Some((facility, kind, of)) => Part::Compact(facility, kind, of),
                    None => Part::Users,
                }
            }
            Part::Users => {
                // Once a day, as that looks at all that is known of users.
                if self.users_on.replace(day(now)) != Some(day(now)) {
                    went.users += drop_unseen_users(store)?;
                    self.ids_changed |= went.users > 0;
                }
                Part::Done
            }
            Part::Done => Part::Done,
        };
        Ok(next)
    }
}

impl std::fmt::Display for Went {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let documents = usize::try_from(self.documents).unwrap_or_default();
        let parts: Vec<String> = [
            number(documents, "raw documents too old"),
            number(self.seen, "days of users too old"),
            number(self.days, "days of series too old"),
            number(self.users, "users of whom nothing is known any more"),
            number(self.latest, "nodes or queues silent for too long"),
            number(self.ended, "ended jobs that nobody will report again"),
            number(self.batches, "batches that nobody will send again"),
            number(self.merged, "small blocks merged"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match parts.is_empty() {
            true => f.write_str("nothing was too old"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

/// Notes that what is before this hour or day may be gone.
pub(super) fn note_gone(store: &Connection, what: &str, before: i64) -> Result<()> {
    store
        .prepare_cached(&format!("UPDATE gone SET {what} = ?1 WHERE {what} < ?1"))?
        .execute([before])?;
    Ok(())
}

/// The last block whose documents are in the summaries: later ones must stay as they are.
fn summarised(store: &Connection) -> rusqlite::Result<i64> {
    store
        .prepare_cached("SELECT block FROM summarised")?
        .query_row([], |row| row.get(0))
}

fn old_blocks(store: &Connection, before: i64, went: &mut Went) -> Result<usize> {
    let old: Vec<(i64, i64)> = store
        .prepare_cached(
            "SELECT id, documents FROM blocks WHERE hour < ? AND id <= ? ORDER BY hour LIMIT 25",
        )?
        .query_map([before, summarised(store)?], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = store.prepare_cached("DELETE FROM blocks WHERE id = ?")?;
    for (id, documents) in &old {
        delete.execute([id])?;
        went.documents += documents;
    }
    went.blocks += old.len();
    Ok(old.len())
}

/// Drops the names of users who are in no summary any more; returns how many.
fn drop_unseen_users(store: &Connection) -> rusqlite::Result<usize> {
    store.execute(
        "DELETE FROM users WHERE id NOT IN (SELECT user FROM seen)",
        [],
    )
}

/// Deletes rows of a table whose key begins with facility and day and goes on with `rest`.
fn old_days(
    store: &Connection,
    table: &str,
    rest: &str,
    before: i64,
    went: &mut usize,
) -> Result<usize> {
    let facilities: Vec<i64> = store
        .prepare_cached("SELECT id FROM facilities")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = store.prepare_cached(&format!(
        "DELETE FROM {table} WHERE (facility, day, {rest}) IN
         (SELECT facility, day, {rest} FROM {table} WHERE facility = ? AND day < ? LIMIT 1000)"
    ))?;
    for facility in facilities {
        let n = delete.execute([facility, before])?;
        if n > 0 {
            *went += n;
            return Ok(n);
        }
    }
    Ok(0)
}

/// Looks at some batches after this one; returns the last of them.
fn old_batches(
    store: &Connection,
    (facility, batch): (i64, &[u8]),
    before: i64,
    went: &mut usize,
) -> Result<Option<(i64, Vec<u8>)>> {
    let some: Vec<(i64, Vec<u8>, i64)> = store
        .prepare_cached(
            "SELECT facility, batch, stored FROM batches WHERE (facility, batch) > (?, ?)
             ORDER BY facility, batch LIMIT ?",
        )?
        .query_map(params![facility, batch, ROWS], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete =
        store.prepare_cached("DELETE FROM batches WHERE facility = ? AND batch = ?")?;
    for (facility, batch, stored) in &some {
        if *stored < before {
            *went += delete.execute(params![facility, batch])?;
        }
    }
    Ok(some
        .into_iter()
        .last()
        .map(|(facility, batch, _)| (facility, batch)))
}

/// Looks at some series after this one; returns the last of them.
fn old_series(store: &Connection, after: i64, before: i64, went: &mut Went) -> Result<Option<i64>> {
    let some: Vec<i64> = store
        .prepare_cached("SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?")?
        .query_map([after, ROWS], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = store.prepare_cached("DELETE FROM days WHERE id >= ? AND id < ?")?;
    let mut delete_cells = store.prepare_cached("DELETE FROM slots WHERE id >= ? AND id < ?")?;
    let mut has_days =
        store.prepare_cached("SELECT 1 FROM days WHERE id >= ? AND id < ? LIMIT 1")?;
    for id in &some {
        let (first, end) = (slots::row(*id, 0), slots::row(id + 1, 0));
        let old = [first, (first + before.max(0)).min(end)];
        let n = delete.execute(old)?;
        delete_cells.execute(old)?;
        went.days += n;
        if n > 0 && !has_days.exists([first, end])? {
            went.series += store.execute("DELETE FROM series WHERE id = ?", [id])?;
        }
    }
    Ok(some.last().copied())
}

/// Looks for groups of blocks after this one, whose hour is over, and merges some of the first that needs
/// it; returns the last group that is done with.
fn compact(
    store: &Connection,
    packer: &mut Packer,
    after: (i64, i64, i64),
    this_hour: i64,
    went: &mut Went,
) -> Result<Option<(i64, i64, i64)>> {
    // All of this stands in an index.
    let groups: Vec<(i64, i64, i64, i64)> = store
        .prepare_cached(
            "SELECT facility, kind, hour, count(*) FROM blocks WHERE (facility, kind, hour) > (?, ?, ?)
             GROUP BY facility, kind, hour LIMIT ?",
        )?
        .query_map(params![after.0, after.1, after.2, ROWS], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut done = after;
    for (facility, kind, hour, blocks) in &groups {
        let group = (*facility, *kind, *hour);
        if *blocks > 1 && *hour < this_hour {
            let merged = merge(store, packer, group)?;
            if merged > 0 {
                // There may be more in this group.
                went.merged += merged;
                return Ok(Some(done));
            }
        }
        done = group;
    }
    Ok((!groups.is_empty()).then_some(done))
}

/// Merges the first blocks of a group that fit into one; returns how many that were.
///
/// They follow each other, and the one they become has the number of the first, so the order in which the
/// group's documents came stays, and what was summarised stays summarised.
fn merge(store: &Connection, packer: &mut Packer, group: (i64, i64, i64)) -> Result<usize> {
    let (facility, kind, hour) = group;
    let all: Vec<(i64, i64, i64)> = store
        .prepare_cached(
            "SELECT id, documents, bytes FROM blocks WHERE facility = ? AND kind = ? AND hour = ? AND id <= ?
             ORDER BY id",
        )?
        .query_map([facility, kind, hour, summarised(store)?], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let Some(run) = (0..all.len())
        .map(|from| fits(&all[from..]))
        .find(|run| run.len() > 1)
    else {
        return Ok(0);
    };
    let mut lines = String::new();
    let (mut first, mut last, mut arrived) = (i64::MAX, i64::MIN, i64::MIN);
    let mut read = store
        .prepare_cached("SELECT data, bytes, first, last, arrived FROM blocks WHERE id = ?")?;
    for (id, ..) in run {
        let mut rows = read.query([id])?;
        let row = rows.next()?.context("a block has gone")?;
        match block::unpack(row.get_ref(0)?.as_blob()?, row.get(1)?) {
            Ok(text) => lines.push_str(&text),
            Err(why) => {
                tracing::error!("block {id} stays small: {why:#}; see `afmetrics_receiver check`");
                return Ok(0);
            }
        }
        first = first.min(row.get(2)?);
        last = last.max(row.get(3)?);
        arrived = arrived.max(row.get(4)?);
    }
    let documents: i64 = run.iter().map(|(_, documents, _)| documents).sum();
    let mut delete = store.prepare_cached("DELETE FROM blocks WHERE id = ?")?;
    for (id, ..) in &run[1..] {
        delete.execute([id])?;
    }
    store
        .prepare_cached(
            "UPDATE blocks SET first = ?, last = ?, arrived = ?, documents = ?, bytes = ?, data = ? WHERE id = ?",
        )?
        .execute(params![
            first,
            last,
            arrived,
            documents,
            i64::try_from(lines.len())?,
            packer.pack(&lines)?,
            run[0].0
        ])?;
    Ok(run.len())
}

/// As many blocks from the first on as make one.
fn fits(blocks: &[(i64, i64, i64)]) -> &[(i64, i64, i64)] {
    let (mut documents, mut bytes, mut n) = (0, 0, 0);
    let limit = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    for (_, more_documents, more_bytes) in blocks.iter().take(MOST_MERGED) {
        documents += more_documents;
        bytes += more_bytes;
        if documents > limit(block::MOST_DOCUMENTS) || bytes > limit(block::MOST_BYTES) {
            break;
        }
        n += 1;
    }
    &blocks[..n]
}
