//! The store: one SQLite file in one folder, one thread that writes it, a few connections that read.

pub mod backup;
pub mod block;
mod blocks;
pub mod check;
pub mod forget;
pub mod maintenance;
mod open_slots;
pub mod ranges;
mod refused;
pub mod schema;
mod settling;
pub mod slots;
pub mod summaries;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod writer;

use std::any::Any;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::documents::Documents;
use ranges::Key;
use settling::{Asked, Settling};
use tally::Tally;
use writer::{Work, Writer};

/// Requests that may wait for the writer.
const MOST_WAITING: usize = 2_000;
/// Documents that may wait for the writer: a second's worth.
const MOST_DOCUMENTS_WAITING: usize = 200_000;
/// Questions that are answered at a time.
const READERS: usize = 4;

/// A request's documents, ready to be stored.
#[derive(Debug)]
pub struct Received {
    pub documents: Documents,
    pub key: Option<Key>,
    /// When it came, in milliseconds since 1970.
    pub now: i64,
    /// What stands for the memory that they take: dropped when they are out of it, even if who sent them
    /// has gone meanwhile.
    pub room: Option<Box<dyn Any + Send + Sync>>,
}

/// What became of a request's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Stored now.
    pub stored: usize,
    /// Stored before, by the key of their batch.
    pub repeated: usize,
}

/// Why nothing of a request was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The writer is behind: soon.
    Busy,
    /// The store cannot be written (a full disk): later.
    NotStored(String),
    /// The receiver ends: later.
    Stopping,
}

/// Tokens that were used, and when.
#[derive(Debug, Default)]
pub struct Used(Mutex<HashMap<i64, i64>>);

impl Used {
    pub fn note(&self, token: i64, now: i64) {
        // To the minute: that is enough to see whether it is in use, and a write a minute at most.
        locked(&self.0).insert(token, now - now.rem_euclid(60_000));
    }

    fn take(&self) -> HashMap<i64, i64> {
        std::mem::take(&mut locked(&self.0))
    }

    fn put_back(&self, used: HashMap<i64, i64>) {
        let mut now = locked(&self.0);
        for (token, time) in used {
            now.entry(token).or_insert(time);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A store in use by this process. Clones are the same store; the writer ends when the last is gone.
#[derive(Clone)]
pub struct Store {
    folder: PathBuf,
    waiting: Arc<AtomicUsize>,
    used: Arc<Used>,
    refused: Arc<refused::Refused>,
    tally: Tally,
    settling: Arc<Settling>,
    /// Closed when the writer has ended.
    writer: watch::Receiver<()>,
    readers: Arc<Readers>,
    // The last one, so that it is dropped last: the writer then ends, and when its connection is the last
    // one, SQLite leaves one file.
    queue: SyncSender<Work>,
}

#[derive(Debug)]
struct Readers {
    places: Arc<Semaphore>,
    /// For what must not wait for long questions.
    apart: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// The thread that writes, and the lock that keeps others from it.
pub struct Writing {
    thread: JoinHandle<()>,
    _lock: Flock<File>,
}

impl Writing {
    /// Waits until all that was accepted is stored and settled.
    ///
    /// # Errors
    /// The writer has failed before.
    pub fn end(self) -> Result<()> {
        match self.thread.join() {
            Ok(()) => Ok(()),
            Err(_) => {
                bail!("the writer of the store has failed: what was not answered is not stored")
            }
        }
    }
}

impl Store {
    /// Opens the store of a folder, makes it where there is none, and starts its writer.
    ///
    /// # Errors
    /// Somebody else has it open, or it cannot be used.
    pub fn open(folder: &Path) -> Result<(Self, Writing)> {
        let (lock, writer) = Self::open_alone(folder)?;
        let (waiting, used) = (writer.waiting(), writer.used());
        let (tally, settling) = (writer.tally(), writer.settling());
        let refused = writer.refused();
        let (queue, work) = sync_channel(MOST_WAITING);
        let (alive, ended) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                // Dropped by a panic, too.
                let _alive = alive;
                writer.run(&work);
            })
            .context("cannot start the writer of the store")?;
        let store = Self {
            folder: folder.to_owned(),
            waiting,
            used,
            refused,
            tally,
            settling,
            writer: ended,
            readers: Arc::new(Readers {
                places: Arc::new(Semaphore::new(READERS)),
                apart: Arc::new(Semaphore::new(1)),
                idle: Mutex::default(),
            }),
            queue,
        };
        let writing = Writing {
            thread,
            _lock: lock,
        };
        Ok((store, writing))
    }

    /// Opens the store of a folder for a command that writes, which nobody else may do meanwhile.
    ///
    /// # Errors
    /// Somebody else has it open, or it cannot be used.
    pub fn open_alone(folder: &Path) -> Result<(Flock<File>, Writer)> {
        let lock = Self::lock_alone(folder)?;
        let store = schema::open(folder)?;
        let writer = Writer::new(store, Arc::default(), Arc::default())
            .map_err(|why| match why.downcast::<rusqlite::Error>() {
                Ok(why) => schema::advised(why, &folder.join(schema::FILE)),
                Err(why) => why,
            })
            .with_context(|| format!("cannot use the store in {}", folder.display()))?;
        Ok((lock, writer))
    }

    /// Keeps others from a folder, without opening the store in it; makes the folder where there is none.
    ///
    /// # Errors
    /// Somebody else has it, or it belongs to another user.
    pub fn lock_alone(folder: &Path) -> Result<Flock<File>> {
        make_private(folder)?;
        is_ours(folder)?;
        lock(folder)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the writer has done since it started.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Documents that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Notes that a token was used, to be kept with what is stored next.
    pub fn used(&self, token: i64, now: i64) {
        self.used.note(token, now);
    }

    /// Counts a refused request, to be kept with what is settled next: by its answer, why, and the facility of
    /// its token, where that is known.
    pub fn refused(&self, status: u16, why: &'static str, facility: Option<Arc<str>>, now: i64) {
        self.refused.note(status, why, facility, now);
        self.settling.is_due();
    }

    /// Stores documents. When this returns `Ok`, they would survive a power cut.
    ///
    /// # Errors
    /// Nothing was stored.
    pub async fn keep(&self, received: Received) -> Result<Kept, Refusal> {
        let documents = received.documents.list.len();
        let before = self.waiting.fetch_add(documents, Ordering::Relaxed);
        let (reply, kept) = oneshot::channel();
        let sent = match before > MOST_DOCUMENTS_WAITING {
            true => Err(Refusal::Busy),
            false => self.send(Work::Keep(received, reply)),
        };
        if let Err(refusal) = sent {
            self.waiting.fetch_sub(documents, Ordering::Relaxed);
            return Err(refusal);
        }
        kept.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Brings the tables that questions are answered from up to date.
    ///
    /// # Errors
    /// The store cannot be written, or its writer has ended. A writer that is behind is no error: what can
    /// be read is some seconds old.
    pub async fn settle(&self) -> Result<()> {
        const ENDED: &str = "the writer of the store has ended";
        let settled = match self.settling.ask(|| self.send(Work::Settle)) {
            Asked::Nothing if self.writer.has_changed().is_err() => bail!(ENDED),
            Asked::Nothing | Asked::Untold(Refusal::Busy) => return Ok(()),
            Asked::Untold(_) => bail!(ENDED),
            Asked::Wait(settled) => settled,
        };
        tokio::select! {
            biased;
            settled = settled => match settled {
                Ok(Ok(())) => Ok(()),
                Ok(Err(why)) => bail!("the store cannot be written: {why}"),
                Err(_) => bail!(ENDED),
            },
            () = self.writer_ended() => bail!(ENDED),
        }
    }

    /// Waits until the writer has ended, which it does by a panic only as long as this store lives.
    pub async fn writer_ended(&self) {
        let mut writer = self.writer.clone();
        while writer.changed().await.is_ok() {}
    }

    /// Has something done by the writer, between what it stores.
    ///
    /// # Errors
    /// The receiver ends, or so much waits that there is no place.
    pub async fn on_writer<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, done) = oneshot::channel();
        let work = Work::Do(Box::new(move |writer| {
            let _ = reply.send(what(writer));
        }));
        match self.send(work) {
            Ok(()) => done.await.context("the receiver ends"),
            Err(Refusal::Busy) => bail!("the store is busy"),
            Err(_) => bail!("the receiver ends"),
        }
    }

    fn send(&self, work: Work) -> Result<(), Refusal> {
        self.queue.try_send(work).map_err(|why| match why {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Stopping,
        })
    }

    /// Reads, on a thread that may wait. At most some at a time; others wait for their turn.
    ///
    /// # Errors
    /// What the reading says, or that the store cannot be opened.
    pub async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_at(&self.readers.places, what).await
    }

    /// The same with a place of its own, however busy the others are: for how the receiver stands.
    ///
    /// # Errors
    /// As above.
    pub async fn read_apart<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_at(&self.readers.apart, what).await
    }

    async fn read_at<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        what: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let readers = Arc::clone(&self.readers);
        let folder = self.folder.clone();
        let place = Arc::clone(places).acquire_owned().await?;
        tokio::task::spawn_blocking(move || {
            // Held until it is read, even if nobody waits for it any more.
            let _place = place;
            let idle = locked(&readers.idle).pop();
            let mut store = match idle {
                Some(store) => store,
                None => schema::open_to_read(&folder)?,
            };
            let read = what(&mut store);
            locked(&readers.idle).push(store);
            read
        })
        .await?
    }
}

/// Nobody else has a business in it: names stand in it.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the store's folder {}", folder.display()))
}

/// Whether others than its owner can enter a folder: names stand in what lies in it.
pub fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o077 != 0)
}

/// What root makes in another user's folder, that user could not open afterwards.
fn is_ours(folder: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?
        .uid();
    let own = nix::unistd::Uid::effective().as_raw();
    if owner != own {
        bail!(
            "the folder {} belongs to user {owner}, and this runs as user {own}: run it as that user (`sudo -u '#{owner}' afmetrics_receiver ...`)",
            folder.display()
        );
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<Flock<File>> {
    let path = folder.join("receiver.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => bail!(
            "the store in {} is in use by another afmetrics_receiver: stop it first",
            folder.display()
        ),
        Err((_, why)) => bail!("cannot lock {}: {why}", path.display()),
    }
}

/// The id of a name in a table of names, which it gets where it has none.
fn id_of(store: &Connection, table: &str, name: &str) -> rusqlite::Result<i64> {
    let known = store
        .prepare_cached(&format!("SELECT id FROM {table} WHERE name = ?"))?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => store
            .prepare_cached(&format!("INSERT INTO {table}(name) VALUES (?)"))?
            .insert([name]),
    }
}
