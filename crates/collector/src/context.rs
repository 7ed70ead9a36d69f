//! All that a collector may use: files below a movable root, programs, names, the state folder,
//! the clock. A collector touches the world through this and nothing else.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use afmetrics_document::PublishedHost;
use nix::errno::Errno;
use nix::unistd::{Uid, User, getuid};
use serde::de::DeserializeOwned;

use crate::aside::{Hanging, aside};
use crate::command::Command;
use crate::error::CollectError;
use crate::names::Names;
use crate::quote::Quoting;
use crate::recording::{Usage, World};
use crate::sources::slurm::queue::Counts;
use crate::state::{Left, State};

/// How long a source may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without a byte from it.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
}

pub struct Context {
    pub root: PathBuf,
    pub limits: Limits,
    /// In all, by the table of the file that is about the collector, where it is not as for the others.
    pub deadlines: Vec<(&'static str, Duration)>,
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
    /// What hangs since earlier rounds.
    pub hanging: Hanging,
    /// When the round began.
    pub now: SystemTime,
    /// Where all that a collector reads comes from.
    pub world: World,
}

impl Context {
    /// How far an earlier round has read, as it said under this name
    /// ([`crate::documents::Documents::advance`]).
    pub async fn cursor<T: DeserializeOwned>(&self, name: &str) -> Result<Left<T>, CollectError> {
        let Some(state) = &self.state else {
            return Ok(Left::Nothing);
        };
        if let World::Recorded(recorder) = &self.world
            && let Some(file) = state.cursor_file(name, &self.facility).await
        {
            recorder.cursor(name, file);
        }
        state.cursor(name, &self.facility).await
    }

    /// How long a collector may take, by the table of the file that is about it.
    pub fn deadline(&self, table: &str) -> Duration {
        let own = self.deadlines.iter().find(|(known, _)| *known == table);
        own.map_or(self.limits.total, |(_, deadline)| *deadline)
    }

    /// Where a file of the host is: `path` is absolute, and is taken below the root.
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether a file can be opened; it is not read.
    pub fn can_open(&self, path: &str) -> io::Result<()> {
        self.world.can_open(path, &self.path(path))
    }

    /// Whether something lies in a folder.
    pub fn has_entries(&self, path: &str) -> bool {
        self.world.has_entries(path, &self.path(path))
    }

    /// How full the file system of a path is. `ask`: how the host is asked, on a thread of its own from now on,
    /// as that can hang.
    pub fn space<'a>(
        &'a self,
        path: &'a str,
        ask: fn(&Path) -> Result<Usage, Errno>,
    ) -> impl Future<Output = io::Result<Result<Usage, Errno>>> + 'a {
        let place = self.path(path);
        let answer = match &self.world {
            World::Played(_) => Err(io::ErrorKind::NotFound.into()),
            _ => self.hanging.ask(path).map(|asking| {
                aside(self.limits.silence, move || {
                    let _asking = asking;
                    ask(&place)
                })
            }),
        };
        async move {
            let answer = async { answer?.await };
            self.world.space(path, answer).await
        }
    }

    /// Waits, and says how long that took.
    pub async fn pause(&self, length: Duration) -> Duration {
        self.world.pause(length).await
    }

    /// The number of the user of this process.
    pub fn uid(&self) -> Uid {
        match &self.world {
            World::Played(recording) => Uid::from_raw(recording.uid()),
            _ => getuid(),
        }
    }

    /// The name of that user, if the user database knows it. It can hang.
    pub async fn user(&self) -> Option<String> {
        if let World::Played(recording) = &self.world {
            return recording.user();
        }
        let user = aside(self.limits.silence, || User::from_uid(getuid())).await;
        let name = user.ok()?.ok().flatten().map(|user| user.name);
        if let World::Recorded(recorder) = &self.world {
            recorder.user(name.as_deref());
        }
        name
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
        let place = self.path(path);
        self.world
            .read(path, &place)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|why| {
                let text = format!("cannot read {}: {why}", place.display());
                match why.kind() {
                    io::ErrorKind::NotFound => CollectError::NotHere(text),
                    _ => CollectError::Failed(text),
                }
            })
    }

    /// A program to run.
    pub fn command(&self, program: &'static str) -> Command<'_> {
        Command::new(program, program, self.limits.silence, &self.quoting).within(&self.world)
    }

    /// A program that a configuration of the site's names; `name`: how the log calls it, as the
    /// program's path and arguments can hold what must not stand there. What it prints is in no recording: it can
    /// be a secret.
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
