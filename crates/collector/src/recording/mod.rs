//! Where what the collectors read comes from: the host, the host while all of it is written down (`record`),
//! or a folder that was written so (`replay`). A collector cannot know which.
//!
//! ```text
//! NOTES                    what this is, and what was replaced
//! args                     the flags of the round, one a line
//! commands/PROGRAM.N.args .out .err .rc .ended
//!                          one run of a program: its arguments, one a line; what it printed; its exit status
//!                          if it is not 0; how it ended if that is none ([`Ended`])
//! root/                    files of the host; root.2/ as they were when they were read a second time
//! state/cursors/           what an earlier round left
//! kubernetes/N.request .answer, or why-not
//!                          a request (method and path, then a parameter a line), its status and body
//! round.json               what else a round depends on ([`Round`])
//! expected.json .exit .log what a replay of this folder prints, ends with and complains of
//! ```
//!
//! That is a case (`tests/cases`) with a `round.json`; the names in it are others (`renaming.rs`).

mod addresses;
mod commands;
mod folder;
mod kubernetes;
mod opening;
mod parts;
mod player;
mod recorder;
mod renaming;
mod words;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

pub use self::commands::{record, replay};
pub use self::kubernetes::{answering, recorded};
pub use self::player::{Player, Recording};
pub use self::recorder::{Recorder, Tape};

/// What every recording's node is called, as in every case.
pub const LOGIN_NODE: &str = "login01.canary.example";
/// The facility of every recording: the default, so that no flag has to name it.
pub const FACILITY: &str = "UC-AF";
/// The file that makes a case a recording.
const ROUND: &str = "round.json";
/// What this version writes and reads.
const VERSION: u32 = 1;

/// What a collector reads.
#[derive(Debug, Clone, Default)]
pub enum World {
    #[default]
    Host,
    /// The host, and what is read of it is written down.
    Recorded(Arc<Recorder>),
    /// A folder, and nothing of the host.
    Played(Arc<Recording>),
}

/// How a run of a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Status(i32),
    Signal(i32),
    /// It said nothing for too long and was ended.
    Silent,
    /// It could not be started, for this reason.
    NotStarted(String),
    /// It went on and was not read to its end: enough had been read, or the round gave it up.
    Unread,
}

/// How full a file system is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub total: u64,
    pub used: u64,
    /// What an ordinary user may still write.
    pub free: u64,
}

/// What was said of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Space {
    Usage(Usage),
    /// The number of the error.
    Errno(i32),
    /// Nothing, for too long.
    Silent,
}

/// What a round depends on, besides files and programs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Round {
    version: u32,
    /// When the round began, in seconds since 1970.
    now: f64,
    /// Whose number it ran under, and that user's name.
    uid: u32,
    user: Option<String>,
    /// A token let it into Slurm.
    slurm_jwt: bool,
    /// Who is not in the group of `-g`, of those that were met.
    outside_group: Vec<String>,
    /// By path, what statvfs said.
    statvfs: BTreeMap<String, Space>,
    /// By path, the number of the error why a file could not be read.
    unreadable: BTreeMap<String, i32>,
    /// How long each pause took, in seconds.
    pauses: Vec<f64>,
}

impl World {
    /// A file's bytes. `path` is that on the host, `place` where it is below the root.
    pub fn read(&self, path: &str, place: &Path) -> io::Result<Vec<u8>> {
        match self {
            Self::Host => fs::read(place),
            Self::Recorded(recorder) => recorder.file(path, fs::read(place)),
            Self::Played(recording) => recording.read(path),
        }
    }

    /// Whether a file can be opened; what is in it stays there.
    pub fn can_open(&self, path: &str, place: &Path) -> io::Result<()> {
        match self {
            Self::Host => File::open(place).map(drop),
            Self::Recorded(recorder) => recorder
                .file(path, File::open(place).map(|_| Vec::new()))
                .map(drop),
            Self::Played(recording) => recording.read(path).map(drop),
        }
    }

    /// Whether something lies in a folder; what, is not told.
    pub fn has_entries(&self, path: &str, place: &Path) -> bool {
        let looked = || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
        // An entry that Git keeps.
        let entry = format!("{path}/.keep");
        match self {
            Self::Host => looked(),
            Self::Recorded(recorder) => looked() && recorder.file(&entry, Ok(Vec::new())).is_ok(),
            Self::Played(recording) => recording.read(&entry).is_ok(),
        }
    }

    /// How full the file system of a path is. `asked`: what asking the host gives.
    pub async fn space(
        &self,
        path: &str,
        asked: impl Future<Output = io::Result<Result<Usage, Errno>>>,
    ) -> io::Result<Result<Usage, Errno>> {
        if let Self::Played(recording) = self {
            return recording.space(path);
        }
        let answer = asked.await;
        if let Self::Recorded(recorder) = self {
            recorder.space(path, &answer);
        }
        answer
    }

    /// Waits, and says how long it took. A recording was waited for already.
    pub async fn pause(&self, length: Duration) -> Duration {
        if let Self::Played(recording) = self {
            return recording.pause().unwrap_or(length);
        }
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(length).await;
        let took = begun.elapsed();
        if let Self::Recorded(recorder) = self {
            recorder.paused(took);
        }
        took
    }

    /// Whether a program is there, if that is known without looking for it.
    pub fn has_program(&self, program: &str) -> Option<bool> {
        match self {
            Self::Played(recording) => Some(recording.has_program(program)),
            Self::Host | Self::Recorded(_) => None,
        }
    }
}

impl Space {
    /// What cannot be told apart is an answer that did not come.
    fn of(answer: &io::Result<Result<Usage, Errno>>) -> Self {
        match answer {
            Ok(Ok(usage)) => Self::Usage(*usage),
            Ok(Err(why)) => Self::Errno(*why as i32),
            Err(_) => Self::Silent,
        }
    }

    fn answer(self) -> io::Result<Result<Usage, Errno>> {
        match self {
            Self::Usage(usage) => Ok(Ok(usage)),
            Self::Errno(number) => Ok(Err(Errno::from_raw(number))),
            Self::Silent => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// The process whose `/proc` is read is the first one in a case, and may be our own on a host.
fn case_path(path: &str) -> String {
    match path.strip_prefix("/proc/self/") {
        Some(rest) => format!("/proc/1/{rest}"),
        None => path.to_owned(),
    }
}

/// A run's arguments, as they are written and compared: one a line.
fn lines_of(args: &[Vec<u8>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for arg in args {
        lines.extend(arg.iter().map(|byte| match byte {
            b'\n' => b' ',
            byte => *byte,
        }));
        lines.push(b'\n');
    }
    lines
}
