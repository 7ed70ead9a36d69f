//! The commands beside `serve`: each opens the store, does one thing, and says what it did.

pub mod backup;
pub mod check;
pub mod export;
pub mod forget;
pub mod import;
pub mod prune;
pub mod table;
pub mod token;

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::path::Path;

use anyhow::{Result, bail};

use crate::store::schema;

/// Asks before something is done that cannot be undone, if there is somebody to ask.
///
/// # Errors
/// The answer is not yes.
fn confirm(what: &str, is_sure: bool) -> Result<()> {
    if is_sure || !stdin().is_terminal() {
        return Ok(());
    }
    write!(stderr(), "{what} [y/N] ")?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

/// # Errors
/// There is no store: a command that only changes what is there must not make one by a wrong folder.
fn must_be_there(folder: &Path) -> Result<()> {
    if !folder.join(schema::FILE).exists() {
        bail!(
            "there is no store in {}: give its folder by --store",
            folder.display()
        );
    }
    Ok(())
}
