//! The one thread that writes. It takes all that waits, stores it in one transaction, and answers when that
//! would survive a power cut: so many requests share one fsync.
//!
//! In order: documents into blocks and the keys of their batches, one commit; the answers; then what the
//! documents add up to ([`Summaries`]), which is settled later. A crash after the commit finds the blocks
//! that are not settled and adds them up again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::block::{self, Packer};
use super::blocks::Blocks;
use super::maintenance::{Keep, Maintenance, Went};
use super::open_slots::MOST_JOBS;
use super::ranges::Ranges;
use super::refused::Refused;
use super::settling::Settling;
use super::summaries::{Counted, Summaries};
use super::tally::Tally;
use super::{Kept, Received, Refusal, Used, forget, id_of};
use crate::clock;
use crate::documents::facts::Facts;
use crate::documents::metric::{Metric, NOBODY};
use crate::documents::time::hour;
use crate::documents::{Name, Names, read_again};

/// What was added up is written at the latest after this time.
const SETTLE_EVERY: Duration = Duration::from_secs(5);
/// Or after so many documents, which bounds what a start has to add up again.
const SETTLE_AFTER: usize = 1_000_000;
/// A group is closed when it has so many documents, so that the first one need not wait for long.
const MOST_IN_GROUP: usize = 20_000;
/// What goes on failing is said so often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What the writer is asked for.
pub enum Work {
    Keep(Received, oneshot::Sender<Result<Kept, Refusal>>),
    /// To write what was added up, for those who ask ([`Settling`]).
    Settle,
    /// To do something with the store between two groups, on this thread.
    Do(Box<dyn FnOnce(&mut Writer) + Send>),
}

pub struct Writer {
    pub(super) store: Connection,
    summaries: Summaries,
    packer: Packer,
    places: Places,
    last_block: i64,
    settled: Instant,
    /// Documents that wait in the queue.
    waiting: Arc<AtomicUsize>,
    used: Arc<Used>,
    refused: Arc<Refused>,
    maintenance: Option<Maintenance>,
    tally: Tally,
    /// A document was committed that could not be added up.
    pub(super) is_behind: bool,
    settling: Arc<Settling>,
    /// Jobs of open slots that may be in memory between two groups.
    pub(super) most_jobs: usize,
    not_stored: Seldom,
    not_settled: Seldom,
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

/// A group that is stored.
struct Committed {
    /// What became of each request.
    kept: Vec<Result<Kept, Refusal>>,
    fresh: Vec<Fresh>,
    /// How many were stored before, by facility and kind, which is one of the summaries' words.
    repeated: HashMap<(i64, Name), u32>,
    /// The first block that holds any of them.
    first_block: i64,
    arrived: i64,
}

/// Row ids that were looked up.
#[derive(Default)]
struct Places {
    facilities: HashMap<Name, i64>,
    kinds: HashMap<Name, i64>,
}

impl Places {
    fn facility(&mut self, store: &Connection, name: &str, words: &mut Names) -> Result<i64> {
        known_id(store, "facilities", name, words, &mut self.facilities)
    }

    fn kind(&mut self, store: &Connection, name: &str, words: &mut Names) -> Result<i64> {
        known_id(store, "kinds", name, words, &mut self.kinds)
    }
}

/// What is said at most once a minute, as it would be true many times a second.
#[derive(Default)]
struct Seldom {
    said: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// How often there was something to say since it was said last, if it is time to say it.
    fn say(&mut self) -> Option<u64> {
        self.times += 1;
        let is_time = self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        is_time.then(|| {
            self.said = Some(Instant::now());
            std::mem::take(&mut self.times)
        })
    }
}

/// When a group came: one time for all of it, as its blocks have one. (Whether a document was late is then
/// the same when it is added up again.)
fn arrived(received: &[Received]) -> i64 {
    received.iter().map(|one| one.now).max().unwrap_or_default()
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
            places: Places::default(),
            last_block: last_block.max(settled),
            settled: Instant::now(),
            waiting,
            used,
            refused: Arc::default(),
            maintenance: None,
            tally: Tally::default(),
            is_behind: false,
            settling: Arc::default(),
            most_jobs: MOST_JOBS,
            not_stored: Seldom::default(),
            not_settled: Seldom::default(),
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

    pub(super) fn settling(&self) -> Arc<Settling> {
        Arc::clone(&self.settling)
    }

    pub(super) fn used(&self) -> Arc<Used> {
        Arc::clone(&self.used)
    }

    pub(super) fn refused(&self) -> Arc<Refused> {
        Arc::clone(&self.refused)
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
                || self.summaries.documents() >= SETTLE_AFTER
                || self.summaries.is_large();
            if is_due
                && let Err(why) = self.settle()
                && let Some(times) = self.not_settled.say()
            {
                tracing::error!(
                    "the summaries wait, as the store cannot be written ({times} times since this was said last): {why:#}"
                );
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
        let mut requests = Vec::new();
        let mut documents = 0;
        let mut is_asked = false;
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Keep(received, reply) => {
                    documents += received.documents.list.len();
                    requests.push((received, reply));
                }
                // After the group: what came before is then settled, too.
                Work::Settle => is_asked = true,
                Work::Do(what) => {
                    // What came before it is done before it.
                    self.keep(std::mem::take(&mut requests));
                    documents = 0;
                    what(self);
                }
            }
            next = match documents < MOST_IN_GROUP {
                true => queue.try_recv().ok(),
                false => None,
            };
        }
        self.keep(requests);
        if is_asked {
            // Who asks from now on asks for another one.
            let asking = self.settling.take();
            let settled = self.settle().map_err(|why| format!("{why:#}"));
            for reply in asking {
                let _ = reply.send(settled.clone());
            }
        }
    }

    pub(super) fn keep(
        &mut self,
        requests: Vec<(Received, oneshot::Sender<Result<Kept, Refusal>>)>,
    ) {
        if requests.is_empty() {
            return;
        }
        let (received, replies): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let documents: usize = received.iter().map(|one| one.documents.list.len()).sum();
        let began = Instant::now();
        self.settling.is_due();
        let stored = self.commit(&received);
        let took = began.elapsed();
        self.waiting.fetch_sub(documents, Ordering::Relaxed);
        match stored {
            Ok(mut committed) => {
                for (reply, kept) in replies.into_iter().zip(committed.kept.drain(..)) {
                    let _ = reply.send(kept);
                }
                let new = committed
                    .fresh
                    .iter()
                    .map(|new| (new.request, new.document));
                self.tally.count(&received, new, took);
                if let Err(why) = self.count(&received, &committed) {
                    tracing::error!("documents could not be added up, and will be again: {why:#}");
                    self.is_behind = true;
                }
                for ((facility, kind), times) in committed.repeated {
                    let what = (facility, Metric::Repeated);
                    self.summaries.note(what, kind, committed.arrived, times);
                }
                self.summaries.make_room(self.most_jobs);
            }
            Err(why) => {
                if let Some(times) = self.not_stored.say() {
                    tracing::error!(
                        "cannot store {documents} documents ({times} times since this was said last): {why:#}"
                    );
                }
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
        self.places = Places::default();
    }

    /// Stores what is new, in one transaction.
    fn commit(&mut self, received: &[Received]) -> Result<Committed> {
        let mut blocks = Blocks::new(&mut self.packer, self.last_block);
        let first_block = self.last_block + 1;
        let store = self
            .store
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batches: HashMap<(i64, Uuid), Ranges> = HashMap::new();
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        let mut again: HashMap<(i64, Name), u32> = HashMap::new();
        let arrived = arrived(received);
        for (request, one) in received.iter().enumerate() {
            if let Some(key) = one.key {
                let places = (&mut self.places, &mut self.summaries.words);
                if let Some(damage) = read_ranges(&store, places, &mut batches, one, key.batch)? {
                    tracing::error!("{damage}; see `afmetrics_receiver check`");
                    kept.push(Err(Refusal::NotStored(damage)));
                    continue;
                }
            }
            let mut repeated = 0;
            let mut last: Option<((Name, Name), (i64, i64))> = None;
            for (at, document) in one.documents.list.iter().enumerate() {
                let which = (document.facility, document.kind);
                let (facility, kind) = match last {
                    Some((same, ids)) if same == which => ids,
                    _ => {
                        let (names, words) = (&one.documents.names, &mut self.summaries.words);
                        let ids = (
                            self.places.facility(&store, names.text(which.0), words)?,
                            self.places.kind(&store, names.text(which.1), words)?,
                        );
                        last = Some((which, ids));
                        ids
                    }
                };
                if let Some(key) = one.key
                    && let Some(ranges) = batches.get_mut(&(facility, key.batch))
                    && !ranges.insert(key.first + u32::try_from(at)?)
                {
                    repeated += 1;
                    let kind = one.documents.names.text(which.1);
                    let kind = self.summaries.words.of(kind);
                    *again.entry((facility, kind)).or_default() += 1;
                    continue;
                }
                let line = &one.documents.lines[document.line.clone()];
                let which = (facility, kind, hour(document.time));
                blocks.add(&store, which, line, document.time, arrived)?;
                fresh.push(Fresh {
                    request,
                    document: at,
                    facility,
                    kind,
                });
            }
            kept.push(Ok(Kept {
                stored: one.documents.list.len() - repeated,
                repeated,
            }));
        }
        let last_block = blocks.close_all(&store)?;
        keep_ranges(&store, &batches, arrived)?;
        store.commit()?;
        self.last_block = last_block;
        Ok(Committed {
            kept,
            fresh,
            repeated: again,
            first_block,
            arrived,
        })
    }

    /// Adds up what was just committed.
    fn count(&mut self, received: &[Received], committed: &Committed) -> Result<()> {
        let mut words: Option<(usize, Vec<Name>)> = None;
        for new in &committed.fresh {
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
                arrived: committed.arrived,
                line: &one.documents.lines[document.line.clone()],
                block: committed.first_block,
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
        // What comes from now on is due again.
        let came = self.settling.came();
        let used = self.used.take();
        if let Err(why) = self.catch_up().and_then(|()| self.count_refused()) {
            self.used.put_back(used);
            return Err(why);
        }
        if self.summaries.is_empty() && used.is_empty() {
            self.settling.is_done(came);
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
                self.settling.is_done(came);
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

    /// As if some of what was committed could not be added up.
    #[cfg(test)]
    pub(super) fn lose(&mut self) {
        self.begin_anew();
        self.is_behind = true;
    }

    fn begin_anew(&mut self) {
        self.summaries = self.summaries.of_no_document();
        self.forget_ids();
    }

    /// Begins anew with what is not settled, if a document of it could not be added up.
    fn catch_up(&mut self) -> Result<()> {
        if self.is_behind {
            self.begin_anew();
            let settled = self
                .store
                .query_row("SELECT block FROM summarised", [], |row| row.get(0))?;
            self.add_up_again(settled)?;
            self.is_behind = false;
        }
        Ok(())
    }

    /// Adds up what was refused since the last settling. A facility of which nothing is stored yet has no number.
    fn count_refused(&mut self) -> Result<()> {
        let mut all = self.refused.take().into_iter();
        while let Some((refused, times)) = all.next() {
            let facility = match &refused.facility {
                Some(name) => forget::id(&self.store, "facilities", name),
                None => Ok(None),
            };
            let facility = match facility {
                Ok(facility) => facility.unwrap_or(NOBODY),
                Err(why) => {
                    self.refused.put_back(all.chain([(refused, times)]));
                    return Err(why.into());
                }
            };
            let label = self.summaries.words.of(&refused.label());
            let what = (facility, Metric::Refused);
            self.summaries.note(what, label, refused.time(), times);
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
            self.summaries.make_room(self.most_jobs);
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

/// Reads what is stored of a request's batch; returns what is wrong with that.
fn read_ranges(
    store: &Transaction<'_>,
    (places, words): (&mut Places, &mut Names),
    batches: &mut HashMap<(i64, Uuid), Ranges>,
    one: &Received,
    batch: Uuid,
) -> Result<Option<String>> {
    let mut last = None;
    for document in &one.documents.list {
        if last.replace(document.facility) == Some(document.facility) {
            continue;
        }
        let name = one.documents.names.text(document.facility);
        let facility = places.facility(store, name, words)?;
        if let Entry::Vacant(new) = batches.entry((facility, batch)) {
            match stored_ranges(store, facility, batch)? {
                Some(ranges) => new.insert(ranges),
                None => return Ok(Some(format!("the ranges of batch {batch} are damaged"))),
            };
        }
    }
    Ok(None)
}

/// `None`: they are damaged.
fn stored_ranges(store: &Transaction<'_>, facility: i64, batch: Uuid) -> Result<Option<Ranges>> {
    let packed: Option<Vec<u8>> = store
        .prepare_cached("SELECT ranges FROM batches WHERE facility = ? AND batch = ?")?
        .query_row(params![facility, batch.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(match packed {
        Some(packed) => Ranges::unpack(&packed),
        None => Some(Ranges::default()),
    })
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
    store: &Connection,
    table: &str,
    name: &str,
    words: &mut Names,
    known: &mut HashMap<Name, i64>,
) -> Result<i64> {
    let word = words.of(name);
    if let Some(id) = known.get(&word) {
        return Ok(*id);
    }
    let id = id_of(store, table, name)?;
    known.insert(word, id);
    Ok(id)
}
