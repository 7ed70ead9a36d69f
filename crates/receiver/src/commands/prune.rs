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
    if !command.yes {
        // Before anything is opened.
        let what = format!(
            "What is too old goes from the store in {}: raw documents {}, summaries {}. Go on?",
            folder.display(),
            shown(command.keep_documents),
            shown(command.keep_summaries)
        );
        confirm(&what, false)?;
    }
    let (_lock, mut writer) = Store::open_alone(&folder)?;
    let told = writer.kept()?;
    let keep = Keep {
        documents: command
            .keep_documents
            .or(told.map(|keep| keep.documents))
            .unwrap_or(u32::MAX),
        summaries: command
            .keep_summaries
            .or(told.map(|keep| keep.summaries))
            .unwrap_or(u32::MAX),
    };
    if keep.documents == u32::MAX || keep.summaries == u32::MAX {
        eprintln!(
            "no receiver has said yet how long to keep what is in this store: all stays that --keep-documents and --keep-summaries do not name"
        );
    }
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

fn shown(days: Option<u32>) -> String {
    match days {
        Some(days) => format!("older than {days} days"),
        None => "as `serve` was told last".to_owned(),
    }
}
