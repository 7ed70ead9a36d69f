//! Copies of a store: made while it is in use, and put back in its place.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::documents::time;

/// Writes all of a store, as it is at one moment, to a file that is not there yet.
///
/// `VACUUM INTO` reads one snapshot: the writer goes on meanwhile, only its log is not shortened before
/// the copy is done. (SQLite's backup in steps begins again whenever somebody writes, so beside collectors
/// that send all the time it would never end.)
///
/// # Errors
/// The file is there, or cannot be written in full; then it is not there afterwards.
pub fn copy(store: &Connection, file: &Path) -> Result<()> {
    write_new(file, |_, part| {
        let text = part.to_str().context("the file's name is not UTF-8")?;
        store.execute("VACUUM INTO ?", [text])?;
        Ok(())
    })
}

/// Writes a file that is not there yet, and that only its owner may read, by way of one called `.part`: under
/// its own name it is there whole or not at all, also after a power cut.
///
/// # Errors
/// The file is there, or `with` or the disk fails; then it is not there afterwards.
pub fn write_new<T>(file: &Path, with: impl FnOnce(&File, &Path) -> Result<T>) -> Result<T> {
    if file.symlink_metadata().is_ok() {
        bail!("{} is there already", file.display());
    }
    let part = with_more(file, ".part");
    let new = new_private(&part)?;
    let written = with(&new, &part).and_then(|done| {
        new.sync_all()?;
        fs::rename(&part, file)?;
        sync_folder_of(file)?;
        Ok(done)
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// An empty file that only its owner may read: names stand in a store. What an earlier try left goes.
fn new_private(file: &Path) -> Result<File> {
    let _ = fs::remove_file(file);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot write {}", file.display()))
}

fn sync_folder_of(file: &Path) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

fn with_more(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Puts a copy into a folder that nobody uses, in place of the store there if `replaces`; returns where
/// that one is now.
///
/// # Errors
/// The copy is no sound store of a version that this program knows, or there is a store already; then
/// nothing was changed.
pub fn restore(copy: &Path, folder: &Path, replaces: bool, now: i64) -> Result<Option<PathBuf>> {
    let file = folder.join(schema::FILE);
    let is_there = file.symlink_metadata().is_ok();
    if is_there && !replaces {
        bail!(
            "there is a store in {} already: give --replace to keep it aside, or --store another folder",
            folder.display()
        );
    }
    for more in ["-wal", "-journal"] {
        let log = with_more(copy, more);
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            bail!(
                "{} lies beside the copy, so it was in use when it was copied: make one by `afmetrics_receiver backup`",
                log.display()
            );
        }
    }
    let part = with_more(&file, ".part");
    let copied = copy_in(copy, &part).and_then(|()| sound(&part));
    if let Err(why) = copied {
        let _ = fs::remove_file(&part);
        return Err(why.context(format!("{} cannot be restored", copy.display())));
    }
    let placed = put_in_place(&part, &file, is_there.then_some(now));
    if placed.is_err() {
        let _ = fs::remove_file(&part);
    }
    placed
}

/// Gives a new store its name; the one that has it now gets another besides, with this time in it.
fn put_in_place(part: &Path, file: &Path, replaced: Option<i64>) -> Result<Option<PathBuf>> {
    let aside = replaced.map(|now| put_aside(file, now)).transpose()?;
    for more in ["-wal", "-shm", "-journal"] {
        // A log of no store, or of a damaged one that is aside, would be taken for the new one's.
        remove_if_there(&with_more(file, more))?;
    }
    sync_folder_of(file)?;
    fs::rename(part, file).with_context(|| format!("cannot make {}", file.display()))?;
    sync_folder_of(file)?;
    Ok(aside)
}

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(why).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// How many tokens of a store that was put in place may be used.
///
/// # Errors
/// The store cannot be read.
pub fn good_tokens(folder: &Path, now: i64) -> Result<i64> {
    Ok(open(&folder.join(schema::FILE))?.query_row(
        "SELECT count(*) FROM tokens WHERE revoked IS NULL AND (expires IS NULL OR expires > ?)",
        [now],
        |row| row.get(0),
    )?)
}

fn copy_in(copy: &Path, part: &Path) -> Result<()> {
    let mut from = File::open(copy).context("cannot read it")?;
    let mut to = new_private(part)?;
    std::io::copy(&mut from, &mut to)
        .with_context(|| format!("cannot write {}", part.display()))?;
    to.sync_all()?;
    Ok(())
}

/// # Errors
/// What is wrong with a file that is to be a store.
fn sound(file: &Path) -> Result<()> {
    let store = open(file)?;
    let version = schema::version_of(&store).context("it is no store")?;
    let is_ours = store
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'summarised'")?
        .exists([])?;
    if version < 1 || !is_ours {
        bail!("it is no store of afmetrics_receiver");
    }
    if version > schema::version() {
        bail!(
            "it is of version {version}, newer than this program knows (version {}): use a newer afmetrics_receiver",
            schema::version()
        );
    }
    let said: String = store.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    match said.as_str() {
        "ok" => Ok(()),
        damage => bail!("it is damaged: {damage}"),
    }
}

/// A store of any version.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(
        file,
        // Not read-only: a copy whose log was on needs one beside it while it is read.
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// Gives a store a second name, beside. Its own stays until another store takes it, so that at no moment
/// there is none.
fn put_aside(file: &Path, now: i64) -> Result<PathBuf> {
    let stamp: String = time::text(now)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let aside = file.with_extension(format!("replaced-{stamp}.db"));
    if aside.symlink_metadata().is_ok() {
        bail!("{} is there already", aside.display());
    }
    match without_log(file) {
        Ok(()) => {}
        Err(why) if is_busy(&why) => {
            bail!("somebody reads the store: wait until that is done, then do it again")
        }
        // It is damaged: all its files as they are. The store last: what has its name is complete.
        Err(_) => {
            for more in ["-wal", "-journal"] {
                let log = with_more(file, more);
                if log.symlink_metadata().is_ok() {
                    name_besides(&log, &with_more(&aside, more))?;
                }
            }
        }
    }
    name_besides(file, &aside)?;
    sync_folder_of(file)?;
    Ok(aside)
}

/// Brings all of a store's log into its file; then there is none.
fn without_log(file: &Path) -> rusqlite::Result<()> {
    let store = open(file)?;
    // Of a damaged store, the log stays as it is.
    store.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    store.busy_timeout(std::time::Duration::from_secs(10))?;
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    // It does not go while somebody else has the store open.
    let mode: String = store.query_row("PRAGMA journal_mode = delete", [], |row| row.get(0))?;
    match mode.as_str() {
        "delete" => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            None,
        )),
    }
}

fn is_busy(why: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(why.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

/// A second name for a file; a copy where the file system knows no such thing.
fn name_besides(file: &Path, besides: &Path) -> Result<()> {
    fs::hard_link(file, besides)
        .or_else(|_| copy_in(file, besides))
        .with_context(|| format!("cannot keep {} as {}", file.display(), besides.display()))
}

/// Copies of the store that lie in its folder: left by migrations and by `restore --replace`, or backups.
pub fn copies(folder: &Path) -> Vec<PathBuf> {
    let mut copies: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.is_file()
                && name != "receiver.lock"
                && ![schema::FILE, "afmetrics.db-wal", "afmetrics.db-shm"].contains(&&*name)
        })
        .collect();
    copies.sort_unstable();
    copies
}
