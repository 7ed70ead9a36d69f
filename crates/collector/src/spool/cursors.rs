//! Cursors: how far collectors have read, each in a file with the number of the round that says so.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CURSOR, HIGHEST, Spool};

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Content<T> {
    /// The round whose documents go up to here.
    round: u64,
    cursor: T,
}

/// A cursor as it was found.
#[derive(Debug, PartialEq)]
pub enum Found {
    Nothing,
    /// Something that is no cursor; where it lies, and what is wrong with it.
    Damaged(PathBuf, String),
    /// Where it lies, and what it says.
    Cursor(PathBuf, Value),
}

/// Writes a cursor that is not there yet, durably.
pub fn write(path: &Path, round: u64, cursor: &Value) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&serde_json::to_vec(&Content { round, cursor })?)?;
    file.sync_all()
}

/// The round of the cursor in a file; `None` where there is none that can be understood.
pub fn round_of(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let content: Content<IgnoredAny> = parse(&bytes).ok()?;
    Some(content.round)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<Content<T>, String> {
    let content: Content<T> = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    match content.round < HIGHEST {
        true => Ok(content),
        false => Err(format!("there is no round {}", content.round)),
    }
}

impl Spool {
    /// The cursor under this name that counts: the one of the highest round. A damaged one comes
    /// first: it may have been the one.
    ///
    /// Pending rounds are looked through first: a round that is ended meanwhile moves its cursor to where
    /// is looked last, so it cannot be missed.
    pub fn cursor(&self, name: &str) -> io::Result<Found> {
        let pending = self.rounds()?.into_iter().rev();
        let pending = pending.map(|round| self.round(round).join(format!("{CURSOR}{name}.json")));
        let mut newest = None;
        for path in pending {
            newest = look(path)?;
            if newest.is_some() {
                break;
            }
        }
        let kept = look(self.cursor_file(name))?;
        Ok(match (newest, kept) {
            (Some(Err(damaged)), _) | (None, Some(Err(damaged))) => damaged,
            (Some(Ok((newest, found))), Some(Ok((kept, _)))) if newest > kept => found,
            (_, Some(Ok((_, found)))) | (Some(Ok((_, found))), _) => found,
            (None, None) => Found::Nothing,
        })
    }
}

/// A cursor's round and itself, or that it is damaged; `None`: there is none.
fn look(path: PathBuf) -> io::Result<Option<Result<(u64, Found), Found>>> {
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) if why.kind() == io::ErrorKind::IsADirectory => {
            return Ok(Some(Err(Found::Damaged(path, why.to_string()))));
        }
        Err(why) => return Err(why),
    };
    Ok(Some(match parse(&bytes) {
        Ok(content) => Ok((content.round, Found::Cursor(path, content.cursor))),
        Err(why) => Err(Found::Damaged(path, why)),
    }))
}
