//! The spool: a round's documents on disk, from before the first is sent until all are answered.
//!
//! ```text
//! STATE/spool/pending/00000042/                            a round
//!     af.atlas-ml.org.ndjson.zst                           its batch: header and documents
//!     af.atlas-ml.org.done                                 a bit for each document that is done with
//!     af.atlas-ml.org.tried.json                           how often it was tried, the last answer
//!     cursor-network@UC-AF.json                            how far collectors had read then
//! STATE/spool/rejected/0198c3f0-....ndjson                 documents that were refused, and the answers
//! STATE/spool/damaged/00000041-af.atlas-ml.org.ndjson.zst  what cannot be read; beside it, why
//! STATE/cursors/network@UC-AF.json                         cursors of rounds that are gone
//! ```
//!
//! # What holds
//!
//! 1. A round is there as a whole or not at all: it is written as `pending/.new-*`, every file and then
//!    the folder synced, and becomes a round by one rename, which is synced before anybody is told that
//!    it is stored. So its documents and its cursors become durable in one step.
//! 2. A batch goes only when each of its documents was accepted, rejected (and then is in `rejected/`,
//!    synced), given up for room or age (counted and logged), or cannot be read (and then is in
//!    `damaged/`).
//! 3. A cursor never goes back: before a round goes, its cursors are moved to `cursors/`, unless those
//!    there are of a later round. The cursor that counts is that of the highest round, pending or not.
//! 4. A round's number is higher than the last one's, and than those of all pending rounds and of the cursors
//!    that it moves on, whatever the clock says. Batches are delivered, and given up for room, in this order.
//! 5. What is not ours in these folders is left alone and stops nobody.
//!
//! # What a crash leaves
//!
//! - While a round is written: `.new-*`, which the next one to store removes; its cursors were not moved
//!   on, so what they cover is read again. Documents that say how things were then are lost: nobody
//!   had been told that they were stored.
//! - Between the rename and its sync: the round or nothing, each as a whole. Only a power cut makes a
//!   difference.
//! - Between an answer and its bit in `.done`: the request is sent again, under the same key.
//! - Between a document in `rejected/` and its bit: it is sent again, and may be in `rejected/` twice,
//!   under one index.
//! - While a round goes: its cursors are in `cursors/` or still in the round, which counts the same;
//!   then it is `.old-*`, which the next one to deliver removes.
//!
//! # What is not promised
//!
//! - That each document arrives once at an endpoint that does not know `Idempotency-Key`: requests that were
//!   in flight when the program was killed, or whose answer was lost, are sent again. After a power cut
//!   more may be: `.done` is not synced.
//! - That a document arrives once when the last rename of its round takes longer than a question to the disk
//!   may take (`--silence`): it leaves from memory then, and may be in the spool all the same.
//! - That documents outlive a clock that goes ahead by more than `--spool-max-age`.
//! - That a `.done` that somebody changed is noticed, unless it says more than there is to say.
//! - Anything against a disk that says that it has synced and has not.
//! - That two programs keep out of each other's way where the file system has no locks (flock).

mod batch;
mod bounds;
mod contents;
mod cursors;
mod done;
#[cfg(test)]
mod model;
mod names;
mod rejected;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, BufRead, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use self::batch::{Header, Reader, Unreadable};
pub use self::bounds::{Bounds, described};
pub use self::contents::{Entry, Item};
pub use self::cursors::{Found, what_is_wrong};
pub use self::done::Done;
pub use self::names::{batch_name, file_name};

const BATCH: &str = ".ndjson.zst";
const DONE: &str = ".done";
const TRIED: &str = ".tried.json";
const CURSOR: &str = "cursor-";
/// Beside what was set aside: why.
const REASON: &str = ".reason.txt";
/// No round gets such a number: what has a higher one is not ours.
const HIGHEST: u64 = 1_000_000_000_000_000;

/// The spool in a state folder.
#[derive(Debug, Clone)]
pub struct Spool {
    pending: PathBuf,
    rejected: PathBuf,
    damaged: PathBuf,
    cursors: PathBuf,
    /// Held by the one who stores, for as long as that takes; in it, the last round's number.
    storing: PathBuf,
    /// Held by the one who delivers, or otherwise takes batches away.
    delivering: PathBuf,
}

/// A batch that waits, by where it lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The number of its round.
    pub round: u64,
    /// Its file's name without `.ndjson.zst`: where it goes.
    pub name: String,
}

/// A batch of a round that is to be stored.
pub struct Batch<'a> {
    /// Its file's name without `.ndjson.zst`: where it goes.
    pub name: String,
    pub header: Header,
    /// As many lines of JSON as the header says.
    pub documents: &'a mut dyn BufRead,
}

/// What became of a batch so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// In how many rounds it was tried and not ended.
    pub times: u64,
    /// What was heard last.
    pub last: String,
}

/// A round that is written as a whole and not yet one; nothing is left of it if it is dropped.
#[derive(Debug)]
pub struct Prepared {
    new: PathBuf,
    round: PathBuf,
    number: u64,
    /// Of the one who stores, so that nobody takes the number.
    _turn: Turn,
}

/// A lock, until it is dropped. A file system without locks gives one, too.
#[derive(Debug)]
pub struct Turn(Option<File>);

impl Turn {
    /// Whether nobody else has it for sure.
    fn is_alone(&self) -> bool {
        self.0.is_some()
    }
}

impl Spool {
    /// The spool of a state folder, whether it is there or not.
    pub fn below(state: &Path) -> Self {
        let spool = state.join("spool");
        Self {
            pending: spool.join("pending"),
            rejected: spool.join("rejected"),
            damaged: spool.join("damaged"),
            cursors: state.join("cursors"),
            storing: spool.join("storing.lock"),
            delivering: spool.join("delivering.lock"),
        }
    }

    /// Makes the folders that are not there, durably.
    pub fn make(&self) -> io::Result<()> {
        // This file is made behind them. Without it a crash may have come before they were synced.
        let is_new = !self.storing.exists();
        for folder in [&self.pending, &self.rejected, &self.damaged, &self.cursors] {
            for folder in [folder.parent(), Some(folder)].into_iter().flatten() {
                match DirBuilder::new().mode(0o700).create(folder) {
                    Ok(()) => sync(folder.parent().unwrap_or(Path::new("/")))?,
                    Err(why) if why.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                    Err(why) => return Err(why),
                }
            }
        }
        if is_new {
            // Nor is the state folder, which is made elsewhere, with those above it. What cannot be
            // opened was not made by us.
            for folder in self.pending.ancestors().skip(1) {
                let _ = sync(folder);
            }
        }
        Ok(())
    }

    /// Stores a round of one batch: its documents, as many lines of JSON as the header says, and its cursors.
    /// When this returns they would survive a power cut. Returns the round's number.
    pub fn store(
        &self,
        name: &str,
        header: &Header,
        documents: &mut dyn BufRead,
        cursors: &BTreeMap<String, Value>,
    ) -> io::Result<u64> {
        let batch = Batch {
            name: name.to_owned(),
            header: header.clone(),
            documents,
        };
        self.prepare(vec![batch], cursors)?.commit()
    }

    /// The first half of storing: all that takes long. Who gives up waiting for it can be sure that
    /// nothing is stored.
    pub fn prepare(
        &self,
        batches: Vec<Batch<'_>>,
        cursors: &BTreeMap<String, Value>,
    ) -> io::Result<Prepared> {
        self.make()?;
        let turn = wait_for(&self.storing)?;
        if turn.is_alone() {
            self.remove(".new-");
        }
        let number = self.next_number(cursors.keys())?;
        // So that numbers do not come again when nothing waits. Not synced, and of no harm if it is lost.
        let _ = fs::write(&self.storing, format!("{number}\n"));
        let prepared = Prepared {
            new: self
                .pending
                .join(format!(".new-{number}-{}", Uuid::now_v7())),
            round: self.round(number),
            number,
            _turn: turn,
        };
        let new = &prepared.new;
        DirBuilder::new().mode(0o700).create(new)?;
        let mut files = Vec::new();
        for batch in batches {
            if batch.header.documents > 0 {
                let path = new.join(format!("{}{BATCH}", batch.name));
                files.push(batch::write(&path, &batch.header, batch.documents)?);
            }
        }
        for (name, cursor) in cursors {
            let path = new.join(format!("{CURSOR}{name}.json"));
            files.push(cursors::write(&path, number, cursor)?);
        }
        // When all are written: the first of these does most of the work for the others.
        for file in files {
            file.sync_all()?;
        }
        sync(new)?;
        Ok(prepared)
    }

    /// Higher than every pending round's, and than those of the cursors that are to be moved on, and than
    /// the last one as far as that is known.
    fn next_number<'a>(&self, cursors: impl Iterator<Item = &'a String>) -> io::Result<u64> {
        let last = fs::read_to_string(&self.storing).unwrap_or_default();
        let last = last.trim().parse().ok().filter(|last| *last < HIGHEST);
        let mut highest = last.max(self.rounds()?.last().copied()).unwrap_or(0);
        for name in cursors {
            // One that cannot be read does not count, for whoever compares, either.
            highest = highest.max(cursors::round_of(&self.cursor_file(name)).unwrap_or(0));
        }
        // What is no round and is called like one must not be in the way.
        (highest + 1..HIGHEST)
            .find(|number| fs::symlink_metadata(self.round(*number)).is_err())
            .ok_or_else(|| io::Error::other("no number is left for a round"))
    }

    fn round(&self, number: u64) -> PathBuf {
        self.pending.join(folder_name(number))
    }

    fn file(&self, batch: &Waiting, extension: &str) -> PathBuf {
        self.round(batch.round)
            .join(format!("{}{extension}", batch.name))
    }

    /// How large a batch's file is, in bytes; 0 if it is gone.
    pub fn bytes(&self, batch: &Waiting) -> u64 {
        fs::metadata(self.file(batch, BATCH)).map_or(0, |file| file.len())
    }

    fn cursor_file(&self, name: &str) -> PathBuf {
        self.cursors.join(format!("{name}.json"))
    }

    /// The numbers of all pending rounds, oldest first.
    fn rounds(&self) -> io::Result<Vec<u64>> {
        let mut rounds: Vec<u64> = entries(&self.pending)?
            .iter()
            .filter_map(|name| {
                let number = name.parse().ok().filter(|number| *number < HIGHEST)?;
                // A folder of another name is none of ours.
                (*name == folder_name(number)).then_some(number)
            })
            .collect();
        // Others' files and folders, whatever they are called, are left alone.
        rounds.retain(|number| {
            fs::symlink_metadata(self.round(*number)).is_ok_and(|found| found.is_dir())
        });
        rounds.sort_unstable();
        rounds.dedup();
        Ok(rounds)
    }

    /// All batches that wait, oldest first.
    pub fn waiting(&self) -> io::Result<Vec<Waiting>> {
        let mut waiting = Vec::new();
        for round in self.rounds()? {
            waiting.extend(self.batches_or_itself(round));
        }
        Ok(waiting)
    }

    /// The batches of a round; one without a name where it cannot be listed (it is another user's), so that
    /// it is in nobody's way and yet not forgotten.
    fn batches_or_itself(&self, round: u64) -> Vec<Waiting> {
        self.batches_of(round).unwrap_or_else(|_| {
            vec![Waiting {
                round,
                name: String::new(),
            }]
        })
    }

    /// None, if another program has ended the round meanwhile.
    fn batches_of(&self, round: u64) -> io::Result<Vec<Waiting>> {
        let mut names = entries(&self.round(round))?;
        names.sort_unstable();
        Ok(names
            .iter()
            .filter_map(|name| name.strip_suffix(BATCH))
            .map(|name| Waiting {
                round,
                name: name.to_owned(),
            })
            .collect())
    }

    /// Opens a batch and what is known of its documents.
    pub fn open(&self, batch: &Waiting) -> Result<(Reader, Done), Unreadable> {
        let reader = Reader::open(&self.file(batch, BATCH))?;
        let done = Done::read(&self.file(batch, DONE), reader.header.documents)?;
        Ok((reader, done))
    }

    /// Notes that these documents of a batch are done with.
    pub fn mark(
        &self,
        batch: &Waiting,
        done: &mut Done,
        indices: std::ops::Range<u64>,
    ) -> io::Result<()> {
        done.mark(&self.file(batch, DONE), indices)
    }

    /// How often a batch was tried, and the last answer.
    pub fn tried(&self, batch: &Waiting) -> Tried {
        fs::read(self.file(batch, TRIED))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Notes that a batch was tried once more and not ended.
    pub fn try_again_later(&self, batch: &Waiting, answer: &str) -> io::Result<()> {
        let tried = Tried {
            times: self.tried(batch).times + 1,
            last: answer.to_owned(),
        };
        // Of no weight: it need not survive a power cut.
        let new = self.file(batch, ".tried.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(&tried)?)?;
        fs::rename(new, self.file(batch, TRIED))
    }

    /// The right to take batches away, which one program has at a time; `None`: another has it. Tidies up
    /// what a crash left.
    pub fn take_turn(&self) -> io::Result<Option<Turn>> {
        let turn = try_lock(&self.delivering)?;
        if turn.is_some() {
            self.remove(".old-");
            // If that fails, its documents stay aside until the next turn.
            let _ = self.end_retries();
            for round in self.rounds()? {
                // Of a crash between its last batch and its own end; or of cursors alone.
                if self.batches_or_itself(round).is_empty() {
                    // One that does not go is no reason not to deliver the others.
                    let _ = self.end_round(round);
                }
            }
        }
        Ok(turn)
    }

    /// Ends a batch: it goes, and its round with it if this was the last. Whoever calls holds the turn.
    pub fn end(&self, batch: &Waiting) -> io::Result<()> {
        let others = self.batches_of(batch.round)?;
        if others.iter().any(|other| other != batch) {
            fs::remove_file(self.file(batch, BATCH))?;
            for extension in [DONE, TRIED] {
                // Of no use without the batch.
                let _ = fs::remove_file(self.file(batch, extension));
            }
            return Ok(());
        }
        self.end_round(batch.round)
    }

    fn end_round(&self, round: u64) -> io::Result<()> {
        let folder = self.round(round);
        let mut has_moved = false;
        for name in entries(&folder)? {
            let Some(cursor) = name.strip_prefix(CURSOR) else {
                continue;
            };
            let kept = self.cursors.join(cursor);
            // One that makes no sense, which is of no round, does not take the place of one that does.
            if cursors::round_of(&kept) < cursors::round_of(&folder.join(&name)) {
                if kept.is_dir() {
                    fs::rename(&kept, self.cursors.join(format!("{cursor}.damaged")))?;
                }
                fs::rename(folder.join(&name), kept)?;
                has_moved = true;
            }
        }
        if has_moved {
            sync(&self.cursors)?;
        }
        let old = self.pending.join(format!(".old-{}", folder_name(round)));
        fs::rename(&folder, &old)?;
        fs::remove_dir_all(old)
    }

    /// Puts a batch aside that cannot be read, and says why beside it. Whoever calls holds the turn.
    pub fn set_aside(&self, batch: &Waiting, why: &str) -> io::Result<()> {
        let name = self.free_name(batch);
        fs::rename(
            self.file(batch, BATCH),
            self.damaged.join(format!("{name}{BATCH}")),
        )?;
        let done = self.file(batch, DONE);
        if done.exists() {
            fs::rename(done, self.damaged.join(format!("{name}{DONE}")))?;
        }
        // Where there is no room to say why, the log has said it.
        let _ = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.damaged.join(format!("{name}{REASON}")))
            .and_then(|mut file| writeln!(file, "{why}"));
        sync(&self.damaged)?;
        match self.batches_of(batch.round)?.is_empty() {
            true => self.end_round(batch.round),
            false => Ok(()),
        }
    }

    /// The names of what was set aside, without what only belongs to it.
    pub(super) fn damaged(&self) -> io::Result<Vec<String>> {
        let mut names = entries(&self.damaged)?;
        names.sort_unstable();
        let belongs_to_another = |name: &str| {
            [DONE, REASON].iter().any(|extension| {
                let stem = name.strip_suffix(extension);
                stem.is_some_and(|stem| names.contains(&format!("{stem}{BATCH}")))
            })
        };
        Ok(names
            .iter()
            .filter(|name| !belongs_to_another(name))
            .cloned()
            .collect())
    }

    /// Removes a file that was set aside, and what lies beside it. Whoever calls holds the turn.
    pub fn drop_damaged(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.damaged.join(name))?;
        if let Some(stem) = name.strip_suffix(BATCH) {
            for extension in [DONE, REASON] {
                // Of no use without the batch.
                let _ = fs::remove_file(self.damaged.join(format!("{stem}{extension}")));
            }
        }
        Ok(())
    }

    /// What a batch is called in `damaged/`, where another of its round's number may lie.
    fn free_name(&self, batch: &Waiting) -> String {
        let name = format!("{:08}-{}", batch.round, batch.name);
        let is_free = |name: &String| !self.damaged.join(format!("{name}{BATCH}")).exists();
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(is_free)
            .unwrap_or(name)
    }

    /// Removes what a crash left. What cannot be removed is in nobody's way.
    fn remove(&self, prefix: &str) {
        for name in entries(&self.pending).unwrap_or_default() {
            if name.starts_with(prefix) {
                let _ = fs::remove_dir_all(self.pending.join(name));
            }
        }
    }
}

fn folder_name(round: u64) -> String {
    format!("{round:08}")
}

impl Prepared {
    /// Makes it a round. When this returns it would survive a power cut. Returns its number.
    pub fn commit(self) -> io::Result<u64> {
        fs::rename(&self.new, &self.round)?;
        match sync(self.round.parent().unwrap_or(Path::new("/"))) {
            // Not stored is not there: it would go out from memory and from here.
            Err(why) if fs::rename(&self.round, &self.new).is_ok() => Err(why),
            _ => Ok(self.number),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // It is there only if it became no round. What cannot be removed now, the next one to store
        // removes.
        let _ = fs::remove_dir_all(&self.new);
    }
}

/// The names in a folder; none if it is not there. A name that is not UTF-8 is not ours.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn lock_file(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// `None`: another process has it.
pub fn try_lock(path: &Path) -> io::Result<Option<Turn>> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Turn(Some(file)))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(_)) => Ok(Some(Turn(None))),
    }
}

fn wait_for(path: &Path) -> io::Result<Turn> {
    let file = lock_file(path)?;
    match file.lock() {
        Ok(()) => Ok(Turn(Some(file))),
        Err(_) => Ok(Turn(None)),
    }
}
