//! `forget --user NAME`: erasure.

use anyhow::{Result, bail};

use super::{confirm, must_be_there};
use crate::cli::Forget;
use crate::store::forget::Forgotten;
use crate::store::{Store, backup};
use crate::{clock, config};

/// # Errors
/// The store is in use, cannot be read or written, or has nothing of the user.
pub fn run(command: &Forget) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    let place = command.facility.as_deref().unwrap_or("all facilities");
    let what = format!(
        "User {:?} of {place} is erased from the store in {}. Go on?",
        command.user,
        folder.display()
    );
    confirm(&what, command.yes)?;
    let (_lock, mut writer) = Store::open_alone(&folder)?;
    let found = writer.forget(&command.user, command.facility.as_deref(), clock::now())?;
    if found == Forgotten::default() {
        // A name that is misspelt must not look like one that is erased.
        bail!(
            "there is nothing of user {:?} of {place} in the store: is the name spelt as it stands in documents?",
            command.user
        );
    }
    eprintln!(
        "erased: {} documents of the user, the name in {} lists of others, {} days of presence, {} series, {} ended jobs to know again",
        found.documents, found.lists, found.seen, found.series, found.ended
    );
    eprintln!(
        "counts that name nobody stay as they were; backups and exports made before still have the name"
    );
    for copy in backup::copies(&folder) {
        eprintln!("look at {}: it was not touched", copy.display());
    }
    Ok(())
}
