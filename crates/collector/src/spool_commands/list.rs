//! `spool list`: a line for everything in the spool.

use std::io::{self, Write};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;

use super::{Opened, print, remark, visible};
use crate::delivery::CLEAR;
use crate::spool::{Entry, Item, described};
use crate::{now, table};

/// Of the table.
const COLUMNS: usize = 11;
const HEADINGS: [&str; COLUMNS] = [
    "ID",
    "STATE",
    "AGE",
    "FACILITY",
    "ENDPOINT",
    "DOCUMENTS",
    "KINDS",
    "USERS",
    "HOSTS",
    "TRIES",
    "LAST ANSWER",
];

pub fn list(opened: &Opened, as_json: bool) -> Result<bool> {
    let Some(entries) = opened.readable(opened.spool.contents()) else {
        return Ok(false);
    };
    if entries.is_empty() {
        remark(&format!("nothing is in the spool of {}", opened.shown));
        return Ok(true);
    }
    let now = Timestamp::try_from(now()).unwrap_or(Timestamp::UNIX_EPOCH);
    let is_printed = print(|out| match as_json {
        true => entries.iter().try_for_each(|entry| {
            serde_json::to_writer(&mut *out, &object(entry, now))?;
            out.write_all(b"\n")
        }),
        false => table(&entries, now, out),
    });
    if !as_json && is_printed && entries.iter().any(has_clear_users) {
        remark(
            "USERS clear: such a batch holds the names of users as they are; a round with -o does not send it (`afmetrics_collector spool drop ID` gives it up)",
        );
    }
    Ok(is_printed)
}

/// Whether it may be sent some day with the names of users as they are.
fn has_clear_users(entry: &Entry) -> bool {
    let is_there = matches!(entry.item, Item::Waiting(_) | Item::Rejected(_));
    let header = entry.header.as_ref();
    is_there && header.is_some_and(|header| header.users == CLEAR)
}

fn state(entry: &Entry) -> &'static str {
    match entry.item {
        _ if entry.is_damaged => "damaged",
        Item::Waiting(_) => "waiting",
        Item::Rejected(_) => "rejected",
        Item::Damaged(_) => "damaged",
    }
}

fn age_s(entry: &Entry, now: Timestamp) -> u64 {
    // Of what comes from the future, as the clock was set back: none.
    u64::try_from(now.as_second() - entry.since.as_second()).unwrap_or(0)
}

/// `45 s`, `12 min`, `3 h`, `2 d`
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        172_800.. => format!("{} d", seconds / 86_400),
    }
}

/// The facts of an entry for programs.
fn object(entry: &Entry, now: Timestamp) -> serde_json::Value {
    let header = entry.header.as_ref();
    json!({
        "id": entry.id(),
        "state": state(entry),
        "since": format!("{:.3}", entry.since),
        "age": age_s(entry, now),
        "batch": header.map(|header| header.id),
        "facility": header.map(|header| &header.cluster),
        "endpoint": header.map(|header| &header.endpoint),
        "left": is_countable(entry).then_some(entry.left),
        "documents": header.map(|header| header.documents),
        "kinds": header.map(|header| &header.kinds),
        "users": header.map(|header| &header.users),
        "hosts": header.map(|header| &header.hosts),
        "tries": entry.tries,
        "last": entry.said,
    })
}

/// Of a damaged batch nobody knows how much can be read.
fn is_countable(entry: &Entry) -> bool {
    entry.header.is_some() && !entry.is_damaged
}

fn row(entry: &Entry, now: Timestamp) -> [String; COLUMNS] {
    let unknown = || "?".to_owned();
    let header = entry.header.as_ref();
    let documents = header.map(|header| match is_countable(entry) {
        true => format!("{} of {}", entry.left, header.documents),
        false => format!("? of {}", header.documents),
    });
    [
        entry.id(),
        state(entry).to_owned(),
        age(age_s(entry, now)),
        header.map_or_else(unknown, |header| header.cluster.clone()),
        header.map_or_else(unknown, |header| header.endpoint.clone()),
        documents.unwrap_or_else(unknown),
        header.map_or_else(unknown, |header| described(&header.kinds)),
        header.map_or_else(unknown, |header| header.users.clone()),
        header.map_or_else(unknown, |header| header.hosts.clone()),
        entry.tries.to_string(),
        entry.said.clone(),
    ]
    .map(|cell| visible(&cell))
}

fn table(entries: &[Entry], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| row(entry, now)));
    table::write(&rows, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_what_a_person_would_say() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (86_400, "24 h"),
            (172_800, "2 d"),
            (1_209_600, "14 d"),
        ] {
            assert_eq!(age(seconds), said);
        }
    }
}
