//! The log: to standard error, and to `/var/log/afmetrics/afmetrics.log` where that is set up and
//! is not where standard error or output go anyway.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The folder that a site makes if it wants a log of its own.
const FOLDER: &str = "var/log/afmetrics";
const FILE: &str = "afmetrics.log";

/// Which lines the log has, of which a daemon may change its mind.
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// From now on those of this level and the graver ones.
    pub fn set(&self, level: LevelFilter) {
        // An error: there is no log.
        let _ = self.0.reload(ours(level));
    }
}

/// Libraries do not know what must not be logged.
fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target("afmetrics_collector", level)
}

/// Opens the log for this process; only the first call does. `root`: below it is the file; `None`: only
/// standard error. `journal`: what the service manager says of where standard error goes
/// (`JOURNAL_STREAM`).
pub fn open(level: LevelFilter, root: Option<&Path>, journal: Option<&OsStr>) -> Level {
    let file = root.and_then(own_file).map(Mutex::new);
    let (ours, handle) = reload::Layer::new(ours(level));
    let (both, journal) = match (is_journal(journal), file) {
        (false, Some(file)) => (Some(BoxMakeWriter::new(io::stderr.and(file))), None),
        (false, None) => (Some(BoxMakeWriter::new(io::stderr)), None),
        // It has times of its own.
        (true, file) => (
            file.map(BoxMakeWriter::new),
            Some(BoxMakeWriter::new(io::stderr)),
        ),
    };
    let _ = tracing_subscriber::registry()
        .with(ours)
        .with(both.map(lines))
        .with(journal.map(|writer| lines(writer).without_time()))
        .try_init();
    Level(handle)
}

fn lines<S>(
    writer: BoxMakeWriter,
) -> fmt::Layer<S, fmt::format::DefaultFields, fmt::format::Format, BoxMakeWriter> {
    fmt::layer()
        .with_ansi(false)
        .with_target(false)
        // A line that cannot be written (a closed pipe, a full disk) must not end the round: saying
        // so on standard error would panic where that is what is closed.
        .log_internal_errors(false)
        .with_writer(writer)
}

/// Whether standard error is the stream to the journal whose device and inode this names.
fn is_journal(stream: Option<&OsStr>) -> bool {
    let Some(stream) = stream.and_then(OsStr::to_str) else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn own_file(root: &Path) -> Option<File> {
    let folder = root.join(FOLDER);
    let owner = fs::metadata(&folder)
        .ok()
        .filter(fs::Metadata::is_dir)?
        .uid();
    let file = fs::OpenOptions::new()
        .append(true)
        // A file of root's, who looked once by hand, would keep the job of another user from writing.
        .create(owner == nix::unistd::geteuid().as_raw())
        .mode(0o640)
        .open(folder.join(FILE))
        .ok()?;
    let is_taken = is_same(&file, io::stderr()) || is_same(&file, io::stdout());
    (!is_taken).then_some(file)
}

fn is_same(file: &File, stream: impl AsFd) -> bool {
    let (Ok(file), Ok(stream)) = (file.metadata(), nix::sys::stat::fstat(stream)) else {
        return false;
    };
    (file.dev(), file.ino()) == (stream.st_dev, stream.st_ino)
}
