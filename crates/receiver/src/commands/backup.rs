//! `backup FILE`, beside a receiver that may run, and `restore FILE`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::must_be_there;
use crate::cli::{Backup, Restore};
use crate::store::{Store, backup, schema};
use crate::{clock, config};

/// # Errors
/// The store cannot be read or the file not written; then there is no file.
pub fn backup(command: &Backup) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    let store = schema::open_to_read(&folder)?;
    // To write another file than the store is writing, too.
    store.pragma_update(None, "query_only", false)?;
    backup::copy(&store, &command.file)
        .with_context(|| format!("cannot back up to {}", command.file.display()))?;
    let bytes = std::fs::metadata(&command.file)?.len();
    eprintln!("{}: {bytes} bytes", command.file.display());
    Ok(())
}

/// # Errors
/// The file is no sound store, or there is a store in the folder already.
pub fn restore(command: &Restore) -> Result<()> {
    let folder = config::folder(&command.place);
    let was_there = folder.exists();
    let restored = put_back(command, &folder);
    if restored.is_err() && !was_there {
        // Made for the lock; it holds nothing else.
        let _ = std::fs::remove_file(folder.join("receiver.lock"));
        let _ = std::fs::remove_dir(&folder);
    }
    restored
}

fn put_back(command: &Restore, folder: &Path) -> Result<()> {
    let _lock = Store::lock_alone(folder)?;
    if command.replace && folder.join(schema::FILE).exists() {
        let what = format!("The store in {} is put aside. Go on?", folder.display());
        super::confirm(&what, command.yes)?;
    }
    let aside = backup::restore(&command.file, folder, command.replace, clock::now())?;
    eprintln!("restored to {}", folder.join(schema::FILE).display());
    if let Some(aside) = aside {
        eprintln!("the store that was there is {}", aside.display());
    }
    eprintln!(
        "{} tokens are good, as they were in the backup: revoke again what was revoked after it",
        backup::good_tokens(folder, clock::now())?
    );
    Ok(())
}
