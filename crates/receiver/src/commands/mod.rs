//! The commands beside `serve`: each opens the store, does one thing, and says what it did.

pub mod backup;
pub mod check;
pub mod export;
pub mod forget;
pub mod import;
pub mod prune;
pub mod table;
pub mod token;

use std::fs::File;
use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::api::span;
use crate::cli::Wrong;
use crate::clock;
use crate::store::schema;

/// Asks before something is done that cannot be undone.
///
/// # Errors
/// The answer is not yes, or there is nobody to ask.
fn confirm(what: &str, is_sure: bool) -> Result<()> {
    if is_sure {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(wrong(
            "this cannot be undone and there is no terminal to ask on: give --yes",
        ));
    }
    write!(stderr(), "{what} [y/N] ")?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

/// An error of the command line: exit status 2.
fn wrong(what: impl Into<String>) -> anyhow::Error {
    Wrong(what.into()).into()
}

/// A flag's time, as the API takes it.
fn time(flag: &str, text: Option<&str>) -> Result<Option<i64>> {
    text.map(|text| {
        span::parse(text, clock::now()).ok_or_else(|| {
            wrong(format!(
                "{flag} {text}: expected a time (2026-11-23T04:05:06Z), a date (2026-11-23, UTC), now, or a time ago (-90m, -24h, -7d)"
            ))
        })
    })
    .transpose()
}

/// # Errors
/// There is no store, or it may not be read: a command that only changes what is there must not make one by a
/// wrong folder.
fn must_be_there(folder: &Path) -> Result<()> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let file = folder.join(schema::FILE);
    let bytes = match File::open(&file).and_then(|file| file.metadata()) {
        Err(why) if matches!(why.kind(), NotFound | NotADirectory) => bail!(
            "there is no store in {}: give its folder by --store, or in the configuration file ([store] folder)",
            folder.display()
        ),
        found => found
            .with_context(|| format!("cannot read the store {}", file.display()))?
            .len(),
    };
    if bytes == 0 {
        bail!("{} is empty, so it is no store", file.display());
    }
    Ok(())
}

/// Says after the work that the store was made for it: a wrong folder would not be seen otherwise.
fn say_if_new(folder: &Path, was_there: bool) {
    if !was_there {
        eprintln!("made a new store in {}", folder.display());
    }
}

fn is_there(folder: &Path) -> bool {
    folder.join(schema::FILE).exists()
}
