//! `spool retry` and `spool drop`: what a person decides about what is in the spool.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Result, bail};
use tracing::error;
use uuid::Uuid;

use super::{Opened, named, print, quoted, remark, visible};
use crate::counted::{counted, of};
use crate::spool::{Entry, Item, Spool, described};

pub fn retry(opened: &Opened, word: Option<&str>) -> Result<bool> {
    let Some(_turn) = opened.take_turn()? else {
        return Ok(false);
    };
    let spool = &opened.spool;
    let ids = match word {
        Some(word) => match opened.readable(spool.contents()) {
            Some(entries) => Some(vec![of_rejected(entries, word)?]),
            None => None,
        },
        None => opened.readable(spool.rejected()),
    };
    let Some(ids) = ids else {
        return Ok(false);
    };
    if ids.is_empty() {
        remark("nothing was rejected");
        return Ok(true);
    }
    let mut is_done = true;
    for id in ids {
        match spool.retry(id) {
            Ok(documents) => {
                let wait = of(documents, "waits", "wait");
                let documents = counted(documents, "document");
                is_done &= print(|out| writeln!(out, "{id}: {documents} {wait} again"));
            }
            Err(why) => {
                error!("{id}: its documents cannot be stored once more: {why}");
                is_done = false;
            }
        }
    }
    Ok(is_done)
}

fn of_rejected(entries: Vec<Entry>, word: &str) -> Result<Uuid> {
    let mut rejected = entries;
    rejected.retain(|entry| matches!(entry.item, Item::Rejected(_)));
    match named(&rejected, word, "that was rejected")?.item {
        Item::Rejected(id) => Ok(id),
        // Not kept above.
        Item::Waiting(_) | Item::Damaged(_) => bail!("{} was not rejected", quoted(word)),
    }
}

pub fn discard(opened: &Opened, words: &[String]) -> Result<bool> {
    let Some(_turn) = opened.take_turn()? else {
        return Ok(false);
    };
    let Some(entries) = opened.readable(opened.spool.contents()) else {
        return Ok(false);
    };
    let mut chosen: Vec<&Entry> = Vec::new();
    // All are understood before the first goes.
    for word in words {
        let entry = named(&entries, word, "in the spool")?;
        if chosen.iter().all(|other| other.item != entry.item) {
            chosen.push(entry);
        }
    }
    let mut is_done = true;
    for entry in chosen {
        let id = visible(&entry.id());
        let what = what(&opened.spool, entry);
        match remove(&opened.spool, entry) {
            Ok(()) => is_done &= print(|out| writeln!(out, "{id}: dropped {what}")),
            Err(why) => {
                error!("{id} cannot be removed: {why}");
                is_done = false;
            }
        }
    }
    Ok(is_done)
}

fn remove(spool: &Spool, entry: &Entry) -> io::Result<()> {
    match &entry.item {
        Item::Waiting(waiting) => spool.end(waiting),
        Item::Rejected(id) => spool.drop_rejected(*id),
        Item::Damaged(name) => spool.drop_damaged(name),
    }
}

/// `3 documents (condorjob 2, ssh 1) of 2026-11-22T20:11:05.000Z`
fn what(spool: &Spool, entry: &Entry) -> String {
    let kinds: Option<BTreeMap<String, u64>> = match &entry.item {
        Item::Waiting(waiting) => spool.kinds_left(waiting).ok(),
        Item::Rejected(_) => entry.header.as_ref().map(|header| header.kinds.clone()),
        Item::Damaged(_) => None,
    };
    let all = entry.header.as_ref().map(|header| &header.kinds);
    match (kinds, all) {
        (Some(kinds), _) => format!(
            "{} ({}) of {:.3}",
            counted(kinds.values().sum(), "document"),
            visible(&described(&kinds)),
            entry.since
        ),
        (None, Some(kinds)) => format!(
            "a damaged batch of {} ({}) of {:.3}",
            counted(kinds.values().sum(), "document"),
            visible(&described(kinds)),
            entry.since
        ),
        (None, None) => "something that cannot be read".to_owned(),
    }
}
