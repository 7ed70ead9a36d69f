//! `spool show`: what is in a batch, as lines of JSON.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use tracing::error;
use uuid::Uuid;

use super::{Opened, named, print, remark, visible};
use crate::spool::{Done, Entry, Item, Reader, Unreadable};

pub fn show(opened: &Opened, word: &str) -> Result<bool> {
    let Some(entries) = opened.readable(opened.spool.contents()) else {
        return Ok(false);
    };
    let entry = named(&entries, word, "in the spool")?;
    Ok(match &entry.item {
        Item::Waiting(waiting) => batch(entry, opened.spool.open(waiting).map_err(unreadable)),
        Item::Damaged(name) => {
            remark(&format!(
                "{} was set aside: {}",
                visible(name),
                visible(&entry.said)
            ));
            batch(entry, opened.spool.open_damaged(name).map_err(unreadable))
        }
        Item::Rejected(id) => rejected(opened, *id),
    })
}

fn unreadable(why: Unreadable) -> String {
    match why {
        Unreadable::Io(why) if why.kind() == io::ErrorKind::NotFound => {
            "it is there no more: a round has ended it just now".to_owned()
        }
        why => why.to_string(),
    }
}

/// The header, then what is not done with.
fn batch(entry: &Entry, opened: Result<(Reader, Done), String>) -> bool {
    let (mut reader, done) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            error!("{} cannot be read: {}", visible(&entry.id()), visible(&why));
            return false;
        }
    };
    let mut ended = Ok(());
    let is_printed = print(|out| {
        line(out, &reader.header)?;
        loop {
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(why) => {
                    ended = Err(unreadable(why));
                    return Ok(());
                }
            };
            let lines = frame.lines.split_inclusive(|byte| *byte == b'\n');
            for (index, line) in (frame.first..).zip(lines) {
                if !done.is_done(index) {
                    out.write_all(line)?;
                }
            }
        }
    });
    if let Err(why) = &ended {
        error!(
            "the rest of {} cannot be read: {}",
            visible(&entry.id()),
            visible(why)
        );
    }
    is_printed && ended.is_ok()
}

/// The header, then each document with its index and its answer.
fn rejected(opened: &Opened, id: Uuid) -> bool {
    let mut reader = match opened.spool.open_rejected(id) {
        Ok(reader) => reader,
        Err(why) => {
            error!("{id} cannot be read: {why}");
            return false;
        }
    };
    let mut ended = Ok(());
    let is_printed = print(|out| {
        line(out, &reader.header)?;
        loop {
            match reader.next() {
                Ok(Some(refused)) => line(out, &refused)?,
                Ok(None) => return Ok(()),
                Err(why) => {
                    ended = Err(why);
                    return Ok(());
                }
            }
        }
    });
    if let Err(why) = &ended {
        error!("the rest of {id} cannot be read: {why}");
    }
    is_printed && ended.is_ok()
}

fn line(out: &mut dyn Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, what)?;
    out.write_all(b"\n")
}
