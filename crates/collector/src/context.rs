//! All that a collector may use: files below a movable root, programs, names, the state folder,
//! the clock. A collector touches the world through this and nothing else.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use afmetrics_document::PublishedHost;
use serde::de::DeserializeOwned;

use crate::command::Command;
use crate::config::Limits;
use crate::error::CollectError;
use crate::names::Names;
use crate::quote::Quoting;
use crate::sources::slurm::queue::Counts;
use crate::state::{Left, State};

pub struct Context {
    pub root: PathBuf,
    pub limits: Limits,
    pub names: Names,
    /// This node, as it may be named.
    pub login_node: PublishedHost,
    /// What this node is called, up to the first dot, in small letters: must not leave under `-O`.
    pub node_names: Vec<String>,
    pub quoting: Quoting,
    /// The facility, whose cursors these are.
    pub facility: String,
    /// `None`: no folder could be written; the reason has been logged.
    pub state: Option<State>,
    /// Of the jobs that `condor_jobs` has reported as done, those that `condor_history` has met in this
    /// round, by the hash of what names them: they will not be met again.
    pub passed: RefCell<HashSet<u64>>,
    /// The newest records that `condor_history` has met in this round, by the same hash: after a crash
    /// of the schedd such a job can be in the queue again.
    pub recorded: RefCell<HashSet<u64>>,
    /// The jobs that `condor_jobs` has reported as done in this round, by the same hash: it begins before
    /// `condor_history` has ended where that takes long, and one that leaves meanwhile is in both lists.
    pub sent: RefCell<HashSet<u64>>,
    /// What `slurm_jobs` has counted in this round, if it could read the queue to its end.
    pub counted: RefCell<Option<Counts>>,
    /// The environment of Slurm's tools.
    pub for_slurm: Vec<(&'static str, OsString)>,
    /// `-b` was given, and this node has neither `condor_q` nor `squeue`.
    pub has_no_batch_system: bool,
    /// When the round began.
    pub now: SystemTime,
}

impl Context {
    /// How far an earlier round has read, as it said under this name
    /// ([`crate::documents::Documents::advance`]).
    pub async fn cursor<T: DeserializeOwned>(&self, name: &str) -> Result<Left<T>, CollectError> {
        match &self.state {
            Some(state) => state.cursor(name, &self.facility).await,
            None => Ok(Left::Nothing),
        }
    }

    /// Where a file of the host is: `path` is absolute, and is taken below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file of `/proc` that differs between containers. Below another root it is that of the host's
    /// first process: `self`, which `/proc/net` leads to, is this container.
    pub fn read_proc(&self, name: &str) -> Result<String, CollectError> {
        let process = match self.root == Path::new("/") {
            true => "self",
            false => "1",
        };
        self.read(&format!("/proc/{process}/{name}"))
    }

    /// Reads a file of the kernel or the host.
    pub fn read(&self, path: &str) -> Result<String, CollectError> {
        let path = self.path(path);
        fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|why| {
                let text = format!("cannot read {}: {why}", path.display());
                match why.kind() {
                    io::ErrorKind::NotFound => CollectError::NotHere(text),
                    _ => CollectError::Failed(text),
                }
            })
    }

    /// A program to run.
    pub fn command(&self, program: &'static str) -> Command<'_> {
        Command::new(program, program, self.limits.silence, &self.quoting)
    }

    /// A program that a configuration of the site's names; `name`: how the log calls it, as the
    /// program's path and arguments can hold what must not stand there.
    pub fn command_called(&self, name: &'static str, program: &str) -> Command<'_> {
        Command::new(name, program, self.limits.silence, &self.quoting)
    }

    /// Whole seconds since 1970 at the beginning of the round.
    pub fn unix_seconds(&self) -> u64 {
        self.now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    /// Seconds since 1970 at the beginning of the round.
    pub fn unix_now(&self) -> f64 {
        self.now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64())
    }
}
