//! The log: to standard error, and to `/var/log/afmetrics/afmetrics.log` where that is set up and
//! is not where standard error or output go anyway.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// The folder that a site makes if it wants a log of its own.
const FOLDER: &str = "var/log/afmetrics";
const FILE: &str = "afmetrics.log";

/// Opens the log for this process; only the first call does. `root`: below it is the file; `None`: only
/// standard error.
pub fn open(level: LevelFilter, root: Option<&Path>) {
    let writer = match root.and_then(own_file) {
        Some(file) => BoxMakeWriter::new(io::stderr.and(Mutex::new(file))),
        None => BoxMakeWriter::new(io::stderr),
    };
    let lines = fmt::layer()
        .with_ansi(false)
        .with_target(false)
        // A line that cannot be written (a closed pipe, a full disk) must not end the round: saying
        // so on standard error would panic where that is what is closed.
        .log_internal_errors(false)
        .with_writer(writer)
        // Libraries do not know what must not be logged.
        .with_filter(Targets::new().with_target("afmetrics_collector", level));
    let _ = tracing_subscriber::registry().with(lines).try_init();
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
