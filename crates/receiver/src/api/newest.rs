//! The newest document of each kind, by node and part (a mount, a queue).

use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;

use super::refused::Refused;

/// What was not heard of for longer is silent: three rounds of five minutes.
pub const SILENT_MS: i64 = 15 * 60_000;

/// A newest document.
pub struct Newest {
    pub kind: String,
    /// Empty: of no node.
    pub node: String,
    pub part: String,
    /// When it was collected.
    pub time: i64,
    document: String,
}

impl Newest {
    /// Its fields.
    ///
    /// # Errors
    /// It is not a document of its kind.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_str(&self.document).map_err(|why| Refused::Failed(why.into()))
    }

    pub fn is_silent(&self, now: i64) -> bool {
        is_silent(self.time, now)
    }

    /// `ok` or `silent`.
    pub fn state(&self, now: i64) -> &'static str {
        state(self.time, now)
    }
}

/// Whether what was last heard at a time is silent now.
pub fn is_silent(time: i64, now: i64) -> bool {
    time < now - SILENT_MS
}

/// `ok` or `silent`, by when something was last heard.
pub fn state(time: i64, now: i64) -> &'static str {
    match is_silent(time, now) {
        true => "silent",
        false => "ok",
    }
}

/// All newest documents of a facility, in the order of node and part.
pub fn all(store: &Connection, facility: i64) -> rusqlite::Result<Vec<Newest>> {
    store
        .prepare_cached(
            "SELECT kinds.name, node, part, time, document FROM latest JOIN kinds ON kinds.id = kind
             WHERE facility = ? ORDER BY node, part, kinds.name",
        )?
        .query_map([facility], newest)?
        .collect()
}

/// Those of one kind.
pub fn of(store: &Connection, facility: i64, kind: &str) -> rusqlite::Result<Vec<Newest>> {
    store
        .prepare_cached(
            "SELECT ?2, node, part, time, document FROM latest
             WHERE facility = ?1 AND kind = (SELECT id FROM kinds WHERE name = ?2) ORDER BY node, part",
        )?
        .query_map(params![facility, kind], newest)?
        .collect()
}

fn newest(row: &Row<'_>) -> rusqlite::Result<Newest> {
    Ok(Newest {
        kind: row.get(0)?,
        node: row.get(1)?,
        part: row.get(2)?,
        time: row.get(3)?,
        document: row.get(4)?,
    })
}
