//! Cursors: how far collectors have read, each in a file with the number of the round that says so.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CURSOR, HIGHEST, Spool};

/// What is in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    Cursor(Value),
}

/// Writes a cursor that is not there yet; who calls syncs it.
pub fn write(path: &Path, round: u64, cursor: &Value) -> io::Result<File> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // Piece by piece: one can be as large as a queue.
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, &Content { round, cursor })?;
    Ok(file.into_inner()?)
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

/// A cursor's file, and what is in it, or what is wrong with that.
type Look = (PathBuf, Result<Content<Value>, String>);

impl Spool {
    /// The cursor under this name that counts: the one of the highest round. A damaged one in a round that
    /// waits is not passed over for an older one; one in `cursors/` is, as rounds go oldest first.
    pub fn cursor(&self, name: &str) -> io::Result<Found> {
        Ok(match self.look_for(name)? {
            None => Found::Nothing,
            Some((_, Ok(content))) => Found::Cursor(content.cursor),
            Some((path, Err(why))) => Found::Damaged(path, why),
        })
    }

    /// Where that cursor lies.
    pub fn place_of_cursor(&self, name: &str) -> io::Result<Option<PathBuf>> {
        Ok(self.look_for(name)?.map(|(path, _)| path))
    }

    /// Pending rounds are looked through first: a round that is ended meanwhile moves its cursor to where
    /// is looked last, so it cannot be missed.
    fn look_for(&self, name: &str) -> io::Result<Option<Look>> {
        let (mut newest, mut of_round) = (None, 0);
        for round in self.rounds()?.into_iter().rev() {
            let path = self.round(round).join(format!("{CURSOR}{name}.json"));
            newest = look(path).map_err(|why| {
                let place = format!("in round {round} of spool/pending");
                io::Error::new(why.kind(), format!("{place}: {why}"))
            })?;
            if newest.is_some() {
                of_round = round;
                break;
            }
        }
        let kept = match look(self.cursor_file(name)) {
            // Rounds go oldest first: what is kept is of an older one.
            Err(_) if newest.is_some() => None,
            kept => kept?,
        };
        let (Some(newest), Some(kept)) = (&newest, &kept) else {
            return Ok(newest.or(kept));
        };
        let is_kept_newer = match (&newest.1, &kept.1) {
            (_, Ok(kept)) => kept.round >= of_round,
            (_, Err(_)) => false,
        };
        Ok(Some(if is_kept_newer { kept } else { newest }.clone()))
    }
}

/// `None`: there is none.
fn look(path: PathBuf) -> io::Result<Option<Look>> {
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, parse(&bytes)))),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::IsADirectory => {
            Ok(Some((path, Err(why.to_string()))))
        }
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_the_highest_round_counts_and_damage_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::below(folder.path());
        spool.make().unwrap();
        let place = |round: u64| spool.round(round).join(format!("{CURSOR}canary.json"));
        let put = |round: u64, number: u64| {
            fs::create_dir(spool.round(round)).unwrap();
            write(&place(round), round, &Value::from(number)).unwrap();
        };
        assert_eq!(spool.cursor("canary").unwrap(), Found::Nothing);
        write(&spool.cursor_file("canary"), 5, &Value::from(50)).unwrap();
        put(4, 40);
        assert_eq!(spool.cursor("canary").unwrap(), Found::Cursor(50.into()));
        put(6, 60);
        assert_eq!(spool.cursor("canary").unwrap(), Found::Cursor(60.into()));
        assert_eq!(spool.place_of_cursor("canary").unwrap(), Some(place(6)));
        fs::write(place(6), "{").unwrap();
        let found = spool.cursor("canary").unwrap();
        assert!(matches!(found, Found::Damaged(path, _) if path == place(6)));
    }
}
