//! Cursors: how far collectors have read, each in a file with the number of the round that says so.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;

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
    let content: Content<IgnoredAny> = parse(File::open(path).ok()?).ok()?.ok()?;
    Some(content.round)
}

/// Piece by piece, as it was written. The outer error: it cannot be read; the inner one: what is wrong
/// with it.
fn parse<T: DeserializeOwned>(file: impl Read) -> io::Result<Result<Content<T>, String>> {
    Ok(match serde_json::from_reader(BufReader::new(file)) {
        Ok(Content { round, .. }) if round >= HIGHEST => Err(format!("there is no round {round}")),
        Ok(content) => Ok(content),
        Err(why) if why.is_io() => return Err(why.into()),
        Err(why) => Err(what_is_wrong(&why)),
    })
}

/// Why something is no cursor, without a word of what is in it: that can name hosts.
pub fn what_is_wrong(why: &serde_json::Error) -> String {
    let what = match why.classify() {
        Category::Eof => "it is cut",
        Category::Data => "it is not what this version writes",
        Category::Io | Category::Syntax => "it is no JSON",
    };
    match (why.line(), why.column()) {
        (0, _) => what.to_owned(),
        (line, column) => format!("{what}, line {line} column {column}"),
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
        let is_kept_newer = match (&newest, &kept) {
            (Some(_), Some((_, Ok(kept)))) => kept.round >= of_round,
            (newest, _) => newest.is_none(),
        };
        Ok(if is_kept_newer { kept } else { newest })
    }
}

/// `None`: there is none.
fn look(path: PathBuf) -> io::Result<Option<Look>> {
    match File::open(&path).and_then(parse) {
        Ok(content) => Ok(Some((path, content))),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::IsADirectory => {
            Ok(Some((path, Err(why.to_string()))))
        }
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn what_is_wrong_with_a_cursor_does_not_quote_it() {
        for (bytes, what) in [
            (
                r#"{"round": "canary-1", "cursor": 1}"#,
                "it is not what this version writes, line 1 column 20",
            ),
            (
                r#"{"round": 1, "cursor": canary"#,
                "it is no JSON, line 1 column 24",
            ),
            (
                r#"{"round": 1, "cursor": "canary"#,
                "it is cut, line 1 column 30",
            ),
        ] {
            let found = parse::<Value>(bytes.as_bytes()).unwrap();
            assert_eq!(found.unwrap_err(), what);
        }
    }
}
