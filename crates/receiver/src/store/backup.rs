//! Copies of a store that is in use.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rusqlite::Connection;

/// Writes all of a store, as it is at one moment, to a file that is not there yet.
///
/// # Errors
/// The file is there, or cannot be written in full; then it is not there afterwards.
pub fn copy(store: &Connection, file: &Path) -> Result<()> {
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    let text = file.to_str().context("the file's name is not UTF-8")?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let part = format!("{text}.part");
    let _ = std::fs::remove_file(&part);
    let written = store
        .execute("VACUUM INTO ?", [&part])
        .map_err(anyhow::Error::from)
        .and_then(|_| {
            std::fs::File::open(&part)?.sync_all()?;
            std::fs::rename(&part, file)?;
            std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(())
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}
