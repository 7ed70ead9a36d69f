//! The state folder: cursors, which one round leaves for the next, the spool, and who is at what.
//!
//! The folder can be on a dead mount (a home usually is on a network's): so nothing touches it on the
//! thread of the round. One thing does: documents that are too many for memory go to a temporary file in
//! it, a piece at a time, as a temporary folder elsewhere may itself be memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::{debug, warn};

use crate::aside::{Desk, Hanging};
use crate::error::CollectError;
use crate::spool::{
    Batch, Found, Header, Spool, Turn, batch_name, file_name, try_lock, what_is_wrong,
};

/// A place where state may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    pub path: PathBuf,
    /// How it came to be one, for where the path must not be shown: it can name a user.
    pub rule: &'static str,
}

/// The folder of the files that a round locks for the collectors that it runs.
const LOCKS: &str = "locks";

#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    pub spool: Spool,
    /// How the log calls the folder.
    shown: String,
    /// This round leaves the folder as it is.
    read_only: bool,
    /// Where the folder is touched.
    pub desk: Desk,
    /// Held until this round is stored.
    turns: RefCell<Vec<Turn>>,
}

/// What an earlier round left under a name.
#[derive(Debug)]
pub enum Left<T> {
    Nothing,
    /// Something that cannot be understood; why has been logged.
    Unusable,
    Value(T),
}

impl State {
    /// The first of these folders that can be written, made if it is not there; `read_only`: nothing
    /// is made or changed. The error says of each why not; `hide`: without the paths, which name a
    /// user's home.
    pub async fn open(
        candidates: &[StateDir],
        read_only: bool,
        hide: bool,
        patience: Duration,
        hanging: &Hanging,
    ) -> Result<Self, String> {
        let desk = Desk::new(patience, hanging);
        let mut reasons = Vec::new();
        for StateDir { path, rule } in candidates {
            let shown = match hide {
                true => (*rule).to_owned(),
                false => path.display().to_string(),
            };
            let dir = path.clone();
            match desk.ask(move || usable(&dir, read_only)).await.flatten() {
                Ok(()) => {
                    return Ok(Self {
                        dir: path.clone(),
                        spool: Spool::below(path),
                        shown,
                        read_only,
                        desk,
                        turns: RefCell::default(),
                    });
                }
                Err(why) => {
                    reasons.push(format!("{shown}: {why}"));
                    // Root, who looks once by hand, begins no second spool beside the job's.
                    if why.kind() == ErrorKind::PermissionDenied && geteuid().is_root() {
                        break;
                    }
                }
            }
        }
        Err(reasons.join("; "))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets the log call the folder so.
    pub fn show_as(&mut self, shown: &str) {
        shown.clone_into(&mut self.shown);
    }

    /// How the log calls the folder.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Of these collectors of a facility, those that another round is running just now. The others are
    /// this round's until it is stored. Where that cannot be known (a lock file of another user, a file
    /// system without locks) the round goes on.
    pub async fn take_turns(
        &self,
        collectors: Vec<&'static str>,
        facility: &str,
    ) -> Vec<&'static str> {
        if self.read_only {
            return Vec::new();
        }
        let (folder, facility) = (self.dir.join(LOCKS), facility.to_owned());
        let locked = self.desk.ask(move || {
            make_private(&folder)?;
            let locked = collectors.into_iter().map(|collector| {
                let path = folder.join(cursor_name(collector, &facility));
                (collector, try_lock(&path))
            });
            io::Result::Ok(locked.collect::<Vec<_>>())
        });
        let locked = locked.await.flatten().unwrap_or_else(|why| {
            debug!("cannot lock in {}: {why}", self.shown);
            Vec::new()
        });
        let mut busy = Vec::new();
        for (collector, turn) in locked {
            match turn {
                Ok(Some(turn)) => self.turns.borrow_mut().push(turn),
                Ok(None) => busy.push(collector),
                Err(why) => debug!("cannot lock {LOCKS}/{collector} in {}: {why}", self.shown),
            }
        }
        busy
    }

    /// Others may run the collectors again.
    pub fn end_turns(&self) {
        self.turns.borrow_mut().clear();
    }

    /// The cursor that an earlier round left under this name for a facility. One that cannot be read just
    /// now is an error and not none: who began anew would lose what lies between.
    pub async fn cursor<T: DeserializeOwned>(
        &self,
        name: &str,
        facility: &str,
    ) -> Result<Left<T>, CollectError> {
        let (spool, name) = (self.spool.clone(), cursor_name(name, facility));
        let file = format!("{}/cursors/{name}.json", self.shown);
        let asked = name.clone();
        let found = self.desk.ask(move || spool.cursor(&asked)).await;
        Ok(match found.flatten() {
            Ok(Found::Nothing) => Left::Nothing,
            Ok(Found::Cursor(cursor)) => match serde_json::from_value(cursor) {
                Ok(cursor) => Left::Value(cursor),
                Err(why) => {
                    let spool = self.spool.clone();
                    let place = self.desk.ask(move || spool.place_of_cursor(&name)).await;
                    let place = place.flatten().ok().flatten();
                    self.unusable(&file, place, &what_is_wrong(&why)).await
                }
            },
            Ok(Found::Damaged(path, why)) => self.unusable(&file, Some(path), &why).await,
            Err(why) => {
                let why = format!("cannot read the cursor {file}: {why}");
                return Err(CollectError::Failed(why));
            }
        })
    }

    /// The file in which the cursor of this name stands, as it is; `None`: there is none.
    pub async fn cursor_file(&self, name: &str, facility: &str) -> Option<Vec<u8>> {
        let (spool, name) = (self.spool.clone(), cursor_name(name, facility));
        let read = self.desk.ask(move || {
            let place = spool.place_of_cursor(&name)?;
            place.map(fs::read).transpose()
        });
        read.await.flatten().ok().flatten()
    }

    async fn unusable<T>(&self, file: &str, path: Option<PathBuf>, why: &str) -> Left<T> {
        let aside = match path {
            Some(path) if !self.read_only => self.set_aside(path).await,
            _ => String::new(),
        };
        warn!("the cursor {file} is damaged ({why}){aside}; starting anew");
        Left::Unusable
    }

    async fn set_aside(&self, path: PathBuf) -> String {
        let mut damaged = path.clone().into_os_string();
        damaged.push(".damaged");
        let renamed = self.desk.ask(move || fs::rename(path, damaged)).await;
        match renamed.flatten() {
            Ok(()) => ", set aside as .damaged".to_owned(),
            Err(why) => format!(", and cannot be set aside: {why}"),
        }
    }

    /// Stores a round, durably: for each endpoint its batch, if there is anything in it, and the cursors of a
    /// facility; returns its number.
    pub async fn store(
        &self,
        batches: Vec<(Header, Box<dyn BufRead + Send>)>,
        cursors: BTreeMap<String, Value>,
        facility: &str,
    ) -> io::Result<u64> {
        let spool = self.spool.clone();
        let cursors = cursors
            .into_iter()
            .map(|(name, cursor)| (cursor_name(&name, facility), cursor))
            .collect();
        let mut batches = batches;
        let prepared = self.desk.ask(move || {
            let batches = batches.iter_mut().map(|(header, documents)| Batch {
                name: batch_name(&header.endpoint),
                header: header.clone(),
                documents,
            });
            spool.prepare(batches.collect(), &cursors)
        });
        // In two steps: one that took too long, and whose documents leave from memory, does not become
        // a round later.
        let prepared = prepared.await.flatten().map_err(without_path)?;
        let stored = self.desk.ask(move || prepared.commit()).await;
        stored.flatten().map_err(without_path)
    }
}

/// A cursor, or a lock, of a collector for a facility, as a file's name.
pub fn cursor_name(name: &str, facility: &str) -> String {
    file_name(&format!("{name}@{facility}"))
}

/// An error of tempfile's without the path that it quotes, which can name a user's home.
pub fn without_path(why: io::Error) -> io::Error {
    let code = why
        .get_ref()
        .and_then(|inner| inner.source())
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    code.map_or(why, io::Error::from_raw_os_error)
}

fn usable(dir: &Path, read_only: bool) -> io::Result<()> {
    if !read_only && !dir.exists() {
        make_private(dir)?;
    }
    let folder = fs::metadata(dir)?;
    if !folder.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
    if read_only {
        return Ok(());
    }
    let (owner, own) = (folder.uid(), geteuid());
    if own.is_root() && owner != own.as_raw() {
        // What root leaves in it, that user's rounds could not read.
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            format!("belongs to another user: run it as that one (sudo -u '#{owner}')"),
        ));
    }
    // A folder in it may be another user's: then nothing could be stored or read here, and each round
    // would leave what goes with a cursor to the next one, for ever. What is in the way for once, as a
    // lack of room, is no reason to begin anew elsewhere.
    match Spool::below(dir).make() {
        Err(why)
            if !matches!(
                why.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            return Err(why);
        }
        _ => {}
    }
    for name in ["spool/storing.lock", "spool/delivering.lock"] {
        let lock = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(name));
        match lock {
            Err(why) if why.kind() == ErrorKind::PermissionDenied => {
                return Err(in_it(name, &why));
            }
            _ => {}
        }
    }
    for name in ["cursors", "spool/pending"] {
        let may = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        if let Err(why @ Errno::EACCES) = access(&dir.join(name), may) {
            return Err(in_it(name, &why.into()));
        }
    }
    Ok(())
}

/// What is wrong with something in the folder.
fn in_it(name: &str, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{name}: {why}"))
}

fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
