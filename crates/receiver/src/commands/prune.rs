//! `prune`: what the running receiver does bit by bit, at once; and the file becomes as small as it can.

use anyhow::{Context as _, Result};

use super::{confirm, must_be_there};
use crate::cli::Prune;
use crate::store::Store;
use crate::store::maintenance::Keep;
use crate::{clock, config};

/// From so much of the file being empty on, it is written anew.
const MUCH: f64 = 0.1;

/// # Errors
/// The store is in use, or cannot be written.
pub fn run(command: &Prune) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    let what = format!(
        "Raw documents older than {} days and summaries older than {} days go from the store in {}. Go on?",
        command.keep_documents,
        command.keep_summaries,
        folder.display()
    );
    confirm(&what, command.yes)?;
    let (_lock, mut writer) = Store::open_alone(&folder)?;
    let keep = Keep {
        documents: command.keep_documents,
        summaries: command.keep_summaries,
    };
    let went = writer.prune(keep, clock::now())?;
    eprintln!("{went}");
    if writer.free_part()? > MUCH {
        writer
            .clean()
            .context("all that is too old has gone, but the file cannot be made smaller")?;
        eprintln!("the file was written anew, without what was empty in it");
    }
    Ok(())
}
