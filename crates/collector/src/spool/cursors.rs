//! Cursors: how far collectors have read, each in a file with the number of the round that says so.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CURSOR, Spool};

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
    Damaged(std::path::PathBuf, String),
    Cursor(Value),
}

/// Writes a cursor that is not there yet, durably.
pub fn write(path: &Path, round: u64, cursor: &Value) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // Piece by piece: one can be as large as a queue.
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, &Content { round, cursor })?;
    file.into_inner()?.sync_all()
}

/// The round of the cursor in a file; `None` where there is none that can be understood.
pub fn round_of(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let content: Content<serde::de::IgnoredAny> = serde_json::from_slice(&bytes).ok()?;
    Some(content.round)
}

impl Spool {
    /// The cursor under this name that counts: the one of the highest round.
    ///
    /// Pending rounds are looked through first: a round that is ended meanwhile moves its cursor to where
    /// is looked last, so it cannot be missed.
    pub fn cursor(&self, name: &str) -> io::Result<Found> {
        let mut found = Found::Nothing;
        let mut highest = 0;
        let mut look = |path: &Path| -> io::Result<bool> {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(why) => return Err(why),
            };
            match serde_json::from_slice::<Content<Value>>(&bytes) {
                Ok(content) if content.round >= highest => {
                    highest = content.round;
                    found = Found::Cursor(content.cursor);
                }
                Ok(_) => {}
                Err(why) => {
                    if found == Found::Nothing {
                        found = Found::Damaged(path.to_owned(), why.to_string());
                    }
                }
            }
            Ok(true)
        };
        for round in self.rounds()?.into_iter().rev() {
            if look(&self.round(round).join(format!("{CURSOR}{name}.json")))? {
                break;
            }
        }
        look(&self.cursor_file(name))?;
        Ok(found)
    }
}
