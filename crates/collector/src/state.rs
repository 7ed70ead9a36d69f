//! The state folder: small files that one round leaves for the next.
//!
//! What a round leaves it stores beside what is there (`NAME.next`, synced) *before* it sends, and
//! puts it in its place, by a rename, once its documents are accepted. So a full disk is seen before
//! an interval is sent whose end cannot be kept, which the next round would send again; and two rounds
//! at once, or a crash, never tear a file. What is not promised: a crash between the two sends an
//! interval twice.
//!
//! A file that cannot be understood is set aside, not fatal. The folder
//! can be on a dead mount (a home usually is on a network's): so nothing touches it on the thread of
//! the round.

use std::cell::OnceCell;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::aside::aside;
use crate::config::StateDir;

/// The file that a round locks which counts from what is in the folder. It stays.
const LOCK: &str = "lock";

#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    /// How the log calls the folder.
    shown: String,
    /// This round leaves the folder as it is.
    read_only: bool,
    /// How long a question about the folder may take.
    patience: Duration,
    /// Held, and locked, until the round ends.
    turn: OnceCell<File>,
}

/// What an earlier round left under a name.
#[derive(Debug)]
pub enum Left<T> {
    Nothing,
    /// Something that cannot be read or understood; why has been logged.
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
    ) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for StateDir { path, rule } in candidates {
            let shown = match hide {
                true => (*rule).to_owned(),
                false => path.display().to_string(),
            };
            let dir = path.clone();
            match aside(patience, move || usable(&dir, read_only))
                .await
                .flatten()
            {
                Ok(()) => {
                    return Ok(Self {
                        dir: path.clone(),
                        shown,
                        read_only,
                        patience,
                        turn: OnceCell::new(),
                    });
                }
                Err(why) => reasons.push(format!("{shown}: {why}")),
            }
        }
        Err(reasons.join("; "))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How the log calls the folder.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether no other round is at it; then none will be until this one ends. Where that cannot be
    /// known (a lock file of another user, a file system without locks) the round goes on.
    pub async fn take_turn(&self) -> bool {
        if self.read_only {
            return true;
        }
        let path = self.dir.join(LOCK);
        match aside(self.patience, move || locked(&path)).await.flatten() {
            Ok(Some(file)) => self.turn.set(file).is_ok(),
            Ok(None) => false,
            Err(why) => {
                debug!("cannot lock {LOCK} in {}: {why}", self.shown);
                true
            }
        }
    }

    /// What an earlier round left under this name.
    pub async fn read<T: DeserializeOwned>(&self, name: &'static str) -> Left<T> {
        let path = self.dir.join(name);
        let bytes = match aside(self.patience, move || fs::read(path)).await.flatten() {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Left::Nothing,
            Err(why) => {
                warn!("cannot read the state file {}/{name}: {why}", self.shown);
                return Left::Unusable;
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Left::Value(value),
            Err(why) => {
                warn!(
                    "the state file {}/{name} is damaged ({why}){}; starting anew",
                    self.shown,
                    self.set_aside(name).await
                );
                Left::Unusable
            }
        }
    }

    async fn set_aside(&self, name: &'static str) -> String {
        if self.read_only {
            return String::new();
        }
        let damaged = format!("{name}.damaged");
        let (from, to) = (self.dir.join(name), self.dir.join(&damaged));
        match aside(self.patience, move || fs::rename(from, to))
            .await
            .flatten()
        {
            Ok(()) => format!(", set aside as {damaged}"),
            Err(why) => format!(", and cannot be set aside: {why}"),
        }
    }

    /// Stores what is to be under this name once [`State::commit`] says so, durably.
    pub async fn prepare(&self, name: &'static str, content: &impl Serialize) -> io::Result<()> {
        if self.read_only {
            return Ok(());
        }
        let content = serde_json::to_vec(content)?;
        let dir = self.dir.clone();
        aside(self.patience, move || store(&dir, &next(name), &content))
            .await
            .flatten()
    }

    /// What was prepared takes the place of what was there.
    pub async fn commit(&self, name: &'static str) -> io::Result<()> {
        let dir = self.dir.clone();
        aside(self.patience, move || {
            fs::rename(dir.join(next(name)), dir.join(name))?;
            File::open(&dir)?.sync_all()
        })
        .await
        .flatten()
    }
}

fn next(name: &str) -> String {
    format!("{name}.next")
}

/// `None`: another process has locked it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// By a rename, too: what lies there may be another user's, or another round's.
fn store(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let store = || {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(dir.join(name)).map_err(|why| why.error)?;
        Ok(())
    };
    store().map_err(without_path)
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
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
    Ok(())
}
