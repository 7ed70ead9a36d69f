//! The store's file: how it is opened, and how one of an older version becomes one of today.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OpenFlags};

/// The file in the store's folder that holds everything.
pub const FILE: &str = "afmetrics.db";

/// What makes each version out of the one before; the first makes version 1 out of an empty file.
const VERSIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("version-2.sql"),
    include_str!("version-3.sql"),
];

/// Today's version.
pub fn version() -> i64 {
    i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX)
}

/// Opens the store of a folder for writing, makes it where there is none, and brings it up to date;
/// a copy of an older one is left beside it.
///
/// # Errors
/// The file cannot be opened or is no store, or it is of a newer version than this program.
pub fn open(folder: &Path) -> Result<Connection> {
    let file = folder.join(FILE);
    let mut store = Connection::open(&file)
        .map_err(|why| advised(why, &file))
        .with_context(|| format!("cannot open the store {}", file.display()))?;
    prepare(&store)
        .map_err(|why| advised(why, &file))
        .with_context(|| format!("cannot use the store {}", file.display()))?;
    migrate(&mut store, &file)?;
    Ok(store)
}

/// What SQLite says, and what to do about it.
pub fn advised(why: rusqlite::Error, file: &Path) -> anyhow::Error {
    use rusqlite::ErrorCode as Code;
    let advice = match why.sqlite_error_code() {
        Some(Code::NotADatabase) => {
            "it is no store: move the file away, or put a backup in its place (`afmetrics_receiver restore --replace FILE`)"
        }
        Some(Code::DatabaseCorrupt) => {
            "it is damaged: put a backup in its place (`afmetrics_receiver restore --replace FILE`)"
        }
        Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => {
            "the folder and what is in it must belong to the user that runs this, and be writable"
        }
        Some(Code::DiskFull) => "the disk is full: make room",
        _ => return why.into(),
    };
    let what = format!("{} ({advice})", file.display());
    anyhow::Error::from(why).context(what)
}

/// Makes the tables in an empty store.
///
/// # Errors
/// It is not empty, or cannot be written.
pub fn fill(store: &Connection) -> rusqlite::Result<()> {
    VERSIONS
        .iter()
        .try_for_each(|step| store.execute_batch(step))
}

fn prepare(store: &Connection) -> rusqlite::Result<()> {
    store.busy_timeout(Duration::from_secs(10))?;
    // Only has an effect on a new file. Blocks of 500 documents have 5 kB, those of single ones some hundred
    // bytes: larger pages would be half empty, and a commit writes whole ones.
    store.pragma_update(None, "page_size", 4096)?;
    store.pragma_update(None, "journal_mode", "wal")?;
    // An answer of 200 is a promise that outlives a power cut.
    store.pragma_update(None, "synchronous", "full")?;
    store.pragma_update(None, "cache_size", -16_384)?;
    store.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    // After a burst the log's file goes back to this many bytes.
    store.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    store.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Opens the store of a folder for reading, beside one who writes.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_to_read(folder: &Path) -> Result<Connection> {
    let file = folder.join(FILE);
    let store = Connection::open_with_flags(
        &file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .with_context(|| format!("cannot open the store {}", file.display()))?;
    store.busy_timeout(Duration::from_secs(10))?;
    store.pragma_update(None, "query_only", true)?;
    store.pragma_update(None, "cache_size", -8_192)?;
    store.set_prepared_statement_cache_capacity(64);
    let found = version_of(&store)?;
    if found != version() {
        bail!(
            "the store {} is of version {found}, this program of version {}: {}",
            file.display(),
            version(),
            match found < version() {
                true => "`afmetrics_receiver serve` brings it up to date, and leaves a copy of it",
                false => "use a newer afmetrics_receiver",
            }
        );
    }
    Ok(store)
}

pub(super) fn version_of(store: &Connection) -> rusqlite::Result<i64> {
    store.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn migrate(store: &mut Connection, file: &Path) -> Result<()> {
    let found = version_of(store).map_err(|why| advised(why, file))?;
    if found > version() {
        bail!(
            "the store {} is of version {found}, newer than this program knows (version {}): use a newer afmetrics_receiver",
            file.display(),
            version()
        );
    }
    if found == version() {
        // Without a write: a full disk is no reason not to start.
        return Ok(());
    }
    let done = usize::try_from(found).context("the store has a negative version")?;
    if (1..VERSIONS.len()).contains(&done) {
        let copy = copy_of(file, found);
        // Of a try that did not come to its end: the store is still as it was.
        if copy.exists() {
            std::fs::remove_file(&copy)
                .with_context(|| format!("cannot replace {}", copy.display()))?;
        }
        super::backup::copy(store, &copy)
            .with_context(|| {
                format!(
                    "the store is of version {found} and stays so, as it cannot be copied to {} first: make room, then start again",
                    copy.display()
                )
            })?;
        tracing::info!(
            "the store is brought from version {found} to {}; as it was, it is in {}",
            version(),
            copy.display()
        );
    }
    bring_up(store, done)
        .map_err(|why| advised(why, file))
        .context("cannot bring the store up to date")
}

fn bring_up(store: &mut Connection, done: usize) -> rusqlite::Result<()> {
    let change = store.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in &VERSIONS[done..] {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", version())?;
    change.commit()
}

fn copy_of(file: &Path, version: i64) -> PathBuf {
    file.with_extension(format!("version-{version}.db"))
}
