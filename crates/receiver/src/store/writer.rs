//! The one thread that writes. It takes all that waits, stores it in one transaction, and answers when that
//! would survive a power cut: so many requests share one fsync.
//!
//! In order: documents into blocks and the keys of their batches, one commit; the answers; then what the
//! documents add up to ([`Summaries`]), which is settled later. A crash after the commit finds the blocks
//! that are not settled and adds them up again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::block::{self, Packer};
use super::maintenance::{Keep, Maintenance, Went};
use super::ranges::Ranges;
use super::summaries::{Counted, Summaries};
use super::tally::Tally;
use super::{Kept, Received, Refusal, Used, id_of};
use crate::clock;
use crate::documents::facts::Facts;
use crate::documents::time::hour;
use crate::documents::{Name, Names, read_again};

/// What was added up is written at the latest after this time.
const SETTLE_EVERY: Duration = Duration::from_secs(5);
/// Or after so many documents, which bounds what a start has to add up again.
const SETTLE_AFTER: usize = 1_000_000;
/// A group is closed when it has so many documents, so that the first one need not wait for long.
const MOST_IN_GROUP: usize = 20_000;
/// After a group of so many requests, more are let come before the next one is begun: that costs each of
/// them little time and all of them many commits.
const CROWD: usize = 8;
const GATHER: Duration = Duration::from_millis(1);

/// What the writer is asked for.
pub enum Work {
    Keep(Received, oneshot::Sender<Result<Kept, Refusal>>),
    /// To write what was added up.
    Settle(oneshot::Sender<Result<(), String>>),
    /// To do something with the store between two groups, on this thread.
    Do(Box<dyn FnOnce(&mut Writer) + Send>),
}

pub struct Writer {
    pub(super) store: Connection,
    summaries: Summaries,
    packer: Packer,
    facilities: HashMap<Name, i64>,
    kinds: HashMap<Name, i64>,
    last_block: i64,
    settled: Instant,
    /// Whether the last group had many requests.
    is_crowded: bool,
    /// Documents that wait in the queue.
    waiting: Arc<AtomicUsize>,
    used: Arc<Used>,
    maintenance: Option<Maintenance>,
    tally: Tally,
    /// A document was committed that could not be added up.
    is_behind: bool,
}

/// Documents of one facility, kind and hour on their way into a block.
struct Open {
    which: (i64, i64, i64),
    lines: String,
    first: i64,
    last: i64,
    arrived: i64,
    documents: usize,
    /// Its number, when it is closed.
    id: i64,
}

/// A new document of a group, which counts once the group is committed.
struct Fresh {
    /// Of the group.
    request: usize,
    /// Of the request.
    document: usize,
    facility: i64,
    kind: i64,
}

impl Writer {
    /// Adds up what was committed before a crash and not settled.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn new(store: Connection, waiting: Arc<AtomicUsize>, used: Arc<Used>) -> Result<Self> {
        let last_block: i64 =
            store.query_row("SELECT coalesce(max(id), 0) FROM blocks", [], |row| {
                row.get(0)
            })?;
        let settled: i64 = store.query_row("SELECT block FROM summarised", [], |row| row.get(0))?;
        let mut writer = Self {
            store,
            summaries: Summaries::default(),
            packer: Packer::new()?,
            facilities: HashMap::new(),
            kinds: HashMap::new(),
            last_block: last_block.max(settled),
            settled: Instant::now(),
            is_crowded: false,
            waiting,
            used,
            maintenance: None,
            tally: Tally::default(),
            is_behind: false,
        };
        writer.add_up_again(settled)?;
        writer.settle()?;
        Ok(writer)
    }

    /// The number of documents that wait, which whoever asks for more adds to.
    pub(super) fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    pub(super) fn used(&self) -> Arc<Used> {
        Arc::clone(&self.used)
    }

    /// Works until nobody can ask any more, and settles.
    pub fn run(mut self, queue: &Receiver<Work>) {
        loop {
            let mut wait = SETTLE_EVERY.saturating_sub(self.settled.elapsed());
            if let Some(maintenance) = &self.maintenance {
                wait = wait.min(maintenance.wait());
            }
            match queue.recv_timeout(wait) {
                Ok(work) => self.group(work, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let is_due = self.settled.elapsed() >= SETTLE_EVERY
                || self.summaries.documents() >= SETTLE_AFTER;
            if is_due && let Err(why) = self.settle() {
                tracing::error!("the summaries wait, as the store cannot be written: {why:#}");
            }
            self.maintain();
        }
        if let Err(why) = self.settle() {
            tracing::warn!("the summaries are left to the next start: {why:#}");
        }
        // All in one file, for who copies that. A reader that is in the way leaves a log, which is no harm.
        let _ = self
            .store
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// From now on keeps the store small.
    pub fn keep_small(&mut self, keep: Keep) {
        self.maintenance = Some(Maintenance::new(keep));
    }

    /// Does a little to keep the store small, if it is time.
    fn maintain(&mut self) {
        let Some(maintenance) = &mut self.maintenance else {
            return;
        };
        maintenance.step(&mut self.store, &mut self.packer, clock::now());
        if std::mem::take(&mut maintenance.ids_changed) {
            self.summaries.not_settled();
        }
    }

    /// Makes the store small at once; returns what has gone.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune(&mut self, keep: Keep, now: i64) -> Result<Went> {
        self.settle()?;
        let mut maintenance = Maintenance::new(keep);
        let done = maintenance.pass(&mut self.store, &mut self.packer, now);
        self.summaries.not_settled();
        done.map(|()| maintenance.went)
    }

    /// Does this work and what waits behind it.
    fn group(&mut self, first: Work, queue: &Receiver<Work>) {
        if std::mem::take(&mut self.is_crowded) {
            std::thread::sleep(GATHER);
        }
        let mut requests = Vec::new();
        let mut documents = 0;
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Keep(received, reply) => {
                    documents += received.documents.list.len();
                    requests.push((received, reply));
                }
                other => {
                    // What came before it is done before it.
                    self.keep(std::mem::take(&mut requests));
                    documents = 0;
                    self.other(other);
                }
            }
            next = match documents < MOST_IN_GROUP {
                true => queue.try_recv().ok(),
                false => None,
            };
        }
        self.keep(requests);
    }

    fn other(&mut self, work: Work) {
        match work {
            Work::Keep(..) => {}
            Work::Settle(reply) => {
                let settled = self.settle().map_err(|why| format!("{why:#}"));
                let _ = reply.send(settled);
            }
            Work::Do(what) => what(self),
        }
    }

    pub(super) fn keep(
        &mut self,
        requests: Vec<(Received, oneshot::Sender<Result<Kept, Refusal>>)>,
    ) {
        if requests.is_empty() {
            return;
        }
        self.is_crowded = requests.len() >= CROWD;
        let (received, replies): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let documents: usize = received.iter().map(|one| one.documents.list.len()).sum();
        let began = Instant::now();
        let stored = self.commit(&received);
        let took = began.elapsed();
        self.waiting.fetch_sub(documents, Ordering::Relaxed);
        match stored {
            Ok((kept, fresh, blocks)) => {
                for (reply, kept) in replies.into_iter().zip(kept) {
                    let _ = reply.send(Ok(kept));
                }
                let new = fresh.iter().map(|new| (new.request, new.document));
                self.tally.count(&received, new, took);
                if let Err(why) = self.count(&received, &fresh, blocks) {
                    tracing::error!("documents could not be added up, and will be again: {why:#}");
                    self.is_behind = true;
                }
                self.summaries.make_room();
            }
            Err(why) => {
                tracing::error!("cannot store {documents} documents: {why:#}");
                self.tally.failed.set(clock::now() / 1000);
                // Ids may have been made in what was rolled back.
                self.forget_ids();
                let why = format!("{why:#}");
                for reply in replies {
                    let _ = reply.send(Err(Refusal::NotStored(why.clone())));
                }
            }
        }
    }

    /// Ids of facilities and kinds are looked up again.
    fn forget_ids(&mut self) {
        self.facilities.clear();
        self.kinds.clear();
    }

    /// Stores what is new, in one transaction. Returns what became of each request, the new documents,
    /// and the first block that holds any of them.
    fn commit(&mut self, received: &[Received]) -> Result<(Vec<Kept>, Vec<Fresh>, i64)> {
        let mut packer = Blocks {
            packer: &mut self.packer,
            open: Vec::new(),
            last: self.last_block,
        };
        let first_block = self.last_block + 1;
        let store = self
            .store
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batches: HashMap<(i64, Uuid), Ranges> = HashMap::new();
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        for (request, one) in received.iter().enumerate() {
            let mut repeated = 0;
            let mut last: Option<((Name, Name), (i64, i64))> = None;
            for (at, document) in one.documents.list.iter().enumerate() {
                let which = (document.facility, document.kind);
                let (facility, kind) = match last {
                    Some((same, ids)) if same == which => ids,
                    _ => {
                        let names = &one.documents.names;
                        let words = &mut self.summaries.words;
                        let facility = words.of(names.text(document.facility));
                        let kind = words.of(names.text(document.kind));
                        let ids = (
                            known_id(&store, "facilities", facility, words, &mut self.facilities)?,
                            known_id(&store, "kinds", kind, words, &mut self.kinds)?,
                        );
                        last = Some((which, ids));
                        ids
                    }
                };
                if let Some(key) = one.key {
                    let ranges = match batches.entry((facility, key.batch)) {
                        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                        std::collections::hash_map::Entry::Vacant(new) => {
                            new.insert(stored_ranges(&store, facility, key.batch)?)
                        }
                    };
                    let index = key.first + u32::try_from(at)?;
                    if !ranges.insert(index) {
                        repeated += 1;
                        continue;
                    }
                }
                let line = &one.documents.lines[document.line.clone()];
                let which = (facility, kind, hour(document.time));
                packer.add(&store, which, line, document.time, one.now)?;
                fresh.push(Fresh {
                    request,
                    document: at,
                    facility,
                    kind,
                });
            }
            kept.push(Kept {
                stored: one.documents.list.len() - repeated,
                repeated,
            });
        }
        let last_block = packer.close_all(&store)?;
        let now = received.last().map_or(0, |one| one.now);
        keep_ranges(&store, &batches, now)?;
        store.commit()?;
        self.last_block = last_block;
        Ok((kept, fresh, first_block))
    }

    /// Adds up what was just committed.
    fn count(&mut self, received: &[Received], fresh: &[Fresh], block: i64) -> Result<()> {
        let mut words: Option<(usize, Vec<Name>)> = None;
        for new in fresh {
            let one = &received[new.request];
            if words
                .as_ref()
                .is_none_or(|(request, _)| *request != new.request)
            {
                let names = one.documents.names.iter();
                let all = names.map(|name| self.summaries.words.of(name)).collect();
                words = Some((new.request, all));
            }
            let Some((_, words)) = &words else { continue };
            let document = &one.documents.list[new.document];
            let word = |name: Name| words[name.0 as usize];
            let counted = Counted {
                facility: new.facility,
                kind: new.kind,
                kind_name: word(document.kind),
                time: document.time,
                arrived: one.now,
                line: &one.documents.lines[document.line.clone()],
                block,
            };
            self.summaries
                .count(&self.store, counted, &document.facts.renamed(word))?;
        }
        Ok(())
    }

    /// Writes what was added up.
    ///
    /// # Errors
    /// The store cannot be written; then it is kept, and written the next time.
    pub fn settle(&mut self) -> Result<()> {
        self.settled = Instant::now();
        let used = self.used.take();
        if let Err(why) = self.catch_up() {
            self.used.put_back(used);
            return Err(why);
        }
        if self.summaries.is_empty() && used.is_empty() {
            return Ok(());
        }
        let mut write = || -> Result<()> {
            let store = self
                .store
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.summaries.settle(&store, self.last_block)?;
            for (token, time) in &used {
                store
                    .prepare_cached("UPDATE tokens SET used = ? WHERE id = ?")?
                    .execute([time, token])?;
            }
            store.commit()?;
            Ok(())
        };
        match write() {
            Ok(()) => {
                if self.summaries.settled() {
                    self.forget_ids();
                }
                Ok(())
            }
            Err(why) => {
                self.summaries.not_settled();
                self.used.put_back(used);
                Err(why)
            }
        }
    }

    /// Begins anew with what is not settled, if a document of it could not be added up.
    fn catch_up(&mut self) -> Result<()> {
        if self.is_behind {
            self.summaries = Summaries::default();
            self.forget_ids();
            let settled = self
                .store
                .query_row("SELECT block FROM summarised", [], |row| row.get(0))?;
            self.add_up_again(settled)?;
            self.is_behind = false;
        }
        Ok(())
    }

    /// Adds up the documents of all blocks after this one. A damaged block is left out.
    fn add_up_again(&mut self, settled: i64) -> Result<()> {
        let blocks: Vec<i64> = self
            .store
            .prepare("SELECT id FROM blocks WHERE id > ? ORDER BY id")?
            .query_map([settled], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for id in blocks {
            let (facility, kind, arrived, lines) = self.store.query_row(
                "SELECT facility, kind, arrived, data, bytes FROM blocks WHERE id = ?",
                [id],
                |row| {
                    let lines = block::unpack(row.get_ref(3)?.as_blob()?, row.get(4)?);
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, lines))
                },
            )?;
            let lines = lines.unwrap_or_else(|why| {
                tracing::error!(
                    "block {id} is not added up: {why:#}; see `afmetrics_receiver check`"
                );
                String::new()
            });
            self.summaries.make_room();
            for line in lines.lines() {
                let words = &mut self.summaries.words;
                let (kind_name, time, facts): (String, i64, Facts) = match read_again(line, words) {
                    Ok(read) => read,
                    Err(why) => {
                        tracing::error!("a document of block {id} cannot be added up: {why}");
                        continue;
                    }
                };
                let counted = Counted {
                    facility,
                    kind,
                    kind_name: words.of(&kind_name),
                    time,
                    arrived,
                    line,
                    block: id,
                };
                self.summaries.count(&self.store, counted, &facts)?;
            }
        }
        Ok(())
    }
}

/// The blocks of a group.
struct Blocks<'p> {
    packer: &'p mut Packer,
    open: Vec<Open>,
    /// The number of the last block.
    last: i64,
}

impl Blocks<'_> {
    fn add(
        &mut self,
        store: &Transaction<'_>,
        which: (i64, i64, i64),
        line: &str,
        time: i64,
        arrived: i64,
    ) -> Result<()> {
        // From the end, as documents of a kind come together.
        let at = match self.open.iter().rposition(|open| open.which == which) {
            Some(at) => at,
            None => {
                self.last += 1;
                self.open.push(Open {
                    which,
                    lines: String::new(),
                    first: time,
                    last: time,
                    arrived,
                    documents: 0,
                    id: self.last,
                });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[at];
        open.lines.push_str(line);
        open.first = open.first.min(time);
        open.last = open.last.max(time);
        open.arrived = open.arrived.max(arrived);
        open.documents += 1;
        if open.documents >= block::MOST_DOCUMENTS || open.lines.len() >= block::MOST_BYTES {
            let full = self.open.remove(at);
            write_block(store, self.packer, &full)?;
        }
        Ok(())
    }

    fn close_all(self, store: &Transaction<'_>) -> Result<i64> {
        for open in &self.open {
            write_block(store, self.packer, open)?;
        }
        Ok(self.last)
    }
}

fn write_block(store: &Transaction<'_>, packer: &mut Packer, open: &Open) -> Result<()> {
    let (facility, kind, hour) = open.which;
    store
        .prepare_cached("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            open.id,
            facility,
            kind,
            hour,
            open.first,
            open.last,
            open.arrived,
            i64::try_from(open.documents)?,
            i64::try_from(open.lines.len())?,
            packer.pack(&open.lines)?
        ])?;
    Ok(())
}

fn stored_ranges(store: &Transaction<'_>, facility: i64, batch: Uuid) -> Result<Ranges> {
    let packed: Option<Vec<u8>> = store
        .prepare_cached("SELECT ranges FROM batches WHERE facility = ? AND batch = ?")?
        .query_row(params![facility, batch.as_bytes()], |row| row.get(0))
        .optional()?;
    match packed {
        Some(packed) => Ranges::unpack(&packed)
            .ok_or_else(|| anyhow::anyhow!("the ranges of batch {batch} are damaged")),
        None => Ok(Ranges::default()),
    }
}

fn keep_ranges(
    store: &Transaction<'_>,
    batches: &HashMap<(i64, Uuid), Ranges>,
    now: i64,
) -> Result<()> {
    let mut write = store.prepare_cached("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?)")?;
    for ((facility, batch), ranges) in batches {
        write.execute(params![facility, batch.as_bytes(), ranges.pack(), now])?;
    }
    Ok(())
}

fn known_id(
    store: &Transaction<'_>,
    table: &str,
    name: Name,
    words: &Names,
    known: &mut HashMap<Name, i64>,
) -> Result<i64> {
    if let Some(id) = known.get(&name) {
        return Ok(*id);
    }
    let id = id_of(store, table, words.text(name))?;
    known.insert(name, id);
    Ok(id)
}
