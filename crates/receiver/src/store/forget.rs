//! Erasure of a user: out of the raw documents, the tables, and the bytes of the files.
//!
//! What names nobody stays: how many jobs there were, how many users were present.

use std::path::{Path, PathBuf};

use afmetrics_document::kinds::{self, Field, Type};
use anyhow::{Context as _, Result, anyhow, bail};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::{Map, Value};

use super::block::{self, Packer};
use super::maintenance::{Keep, note_gone};
use super::writer::Writer;
use crate::documents::facts::Facts;
use crate::documents::metric::Metric;
use crate::documents::time::{self, DAY_MS};
use crate::documents::{Names, System, read_again};

/// What was found of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Documents that went, as they are of the user.
    pub documents: usize,
    /// Documents that the user was one of many in.
    pub lists: usize,
    /// Days on which the user was seen, by facility and kind.
    pub seen: usize,
    pub series: usize,
    pub ended: usize,
}

impl Writer {
    /// Takes a user out of a facility, or of all. Nobody else may have the store open.
    ///
    /// # Errors
    /// The store cannot be read or written: then nothing, or all but the last cleaning, is done; once more is right.
    pub fn forget(&mut self, user: &str, facility: Option<&str>, now: i64) -> Result<Forgotten> {
        self.settle()?;
        let facility = match facility {
            None => None,
            Some(name) => match id(&self.store, "facilities", name)? {
                None => bail!("there is no facility {name} in the store"),
                known => known,
            },
        };
        // What is deleted is overwritten.
        self.store.pragma_update(None, "secure_delete", true)?;
        let change = self
            .store
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut found = Forgotten::default();
        of_blocks(&change, user, facility, &mut found)?;
        of_tables(&change, user, facility, &mut found)?;
        of_latest(&change, user, facility)?;
        if found != Forgotten::default() {
            note_gone(&change, "forgotten", time::hour(now) + 1)?;
        }
        change.commit()?;
        self.clean().context(
            "the user is out of the tables, but the files may still hold the name: do it again when there is room",
        )?;
        Ok(found)
    }

    /// Writes the file anew, without free pages, and empties the log beside it.
    ///
    /// # Errors
    /// There is no room for a second store.
    pub fn clean(&mut self) -> Result<()> {
        let file = self.store.path().map(PathBuf::from).unwrap_or_default();
        let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
        self.work_in(file.parent())?;
        self.store.execute_batch("VACUUM").with_context(|| {
            format!(
                "{} cannot be written anew, for which its folder needs room for it twice more: {} MB",
                file.display(),
                (2 * bytes).div_ceil(1_000_000)
            )
        })?;
        let busy: i64 = self
            .store
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            bail!("somebody reads the store: its log cannot be emptied");
        }
        Ok(())
    }

    /// Makes SQLite's passing files be in the store's folder: elsewhere, such as in /tmp, names would get
    /// onto a disk that is not known to be as private, and may be too small.
    fn work_in(&self, folder: Option<&Path>) -> Result<()> {
        let folder = folder
            .and_then(Path::to_str)
            .context("the folder's name is not UTF-8")?;
        self.store
            .pragma_update(None, "temp_store_directory", folder)
            .with_context(|| format!("cannot write in {folder}"))
    }

    /// Notes for how long a receiver keeps what, for `prune`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remember(&mut self, keep: Keep) -> Result<()> {
        let change = self.store.transaction()?;
        change.execute("DELETE FROM keep", [])?;
        change.execute(
            "INSERT INTO keep VALUES (?, ?)",
            [keep.documents, keep.summaries],
        )?;
        Ok(change.commit()?)
    }

    /// What a receiver was told last.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn kept(&self) -> Result<Option<Keep>> {
        Ok(self
            .store
            .query_row("SELECT documents, summaries FROM keep", [], |row| {
                Ok(Keep {
                    documents: row.get(0)?,
                    summaries: row.get(1)?,
                })
            })
            .optional()?)
    }

    /// Makes a batch be known for ten years instead of 31 days: a file may be imported again at any time.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn know_for_long(&mut self, batch: uuid::Uuid, now: i64) -> Result<()> {
        self.store.execute(
            "UPDATE batches SET stored = ? WHERE facility IN (SELECT id FROM facilities) AND batch = ?",
            params![now + 3_650 * DAY_MS, batch.as_bytes()],
        )?;
        Ok(())
    }

    /// The part of the file that nothing is in, from 0 to 1.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn free_part(&self) -> Result<f64> {
        let number = |name: &str| {
            self.store
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0))
        };
        Ok(f64::from(number("freelist_count")?) / f64::from(number("page_count")?.max(1)))
    }
}

/// The id of a name in a table of names.
///
/// # Errors
/// The store cannot be read.
pub fn id(store: &Connection, table: &str, name: &str) -> rusqlite::Result<Option<i64>> {
    store
        .query_row(
            &format!("SELECT id FROM {table} WHERE name = ?"),
            [name],
            |row| row.get(0),
        )
        .optional()
}

fn of_blocks(
    store: &Connection,
    user: &str,
    facility: Option<i64>,
    found: &mut Forgotten,
) -> Result<()> {
    let ids: Vec<i64> = store
        .prepare("SELECT id FROM blocks WHERE ?1 IS NULL OR facility = ?1 ORDER BY id")?
        .query_map([facility], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut read = store.prepare("SELECT facility, data, bytes FROM blocks WHERE id = ?")?;
    let mut packer = Packer::new()?;
    for id in ids {
        let (facility, lines): (i64, Result<String>) = read.query_row([id], |row| {
            let lines = block::unpack(row.get_ref(1)?.as_blob()?, row.get(2)?);
            Ok((row.get(0)?, lines))
        })?;
        let lines = lines.with_context(|| {
            format!("block {id}: nothing was changed; restore a backup, then forget")
        })?;
        if may_name(&lines, user) {
            rewrite(store, &mut packer, (id, facility), &lines, user, found)?;
        }
    }
    Ok(())
}

/// Whether a name can stand in JSON: as it is, or with escapes.
fn may_name(lines: &str, user: &str) -> bool {
    lines.contains(user) || lines.contains('\\')
}

fn rewrite(
    store: &Connection,
    packer: &mut Packer,
    (id, facility): (i64, i64),
    lines: &str,
    user: &str,
    found: &mut Forgotten,
) -> Result<()> {
    let (mut kept, mut documents, mut is_changed) = (String::with_capacity(lines.len()), 0, false);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut names = Names::default();
    for line in lines.lines() {
        let without = match may_name(line, user) {
            true => without(line, user)?,
            false => Without::Same,
        };
        let (_, time, facts) = read_again(line, &mut names).map_err(|why| {
            anyhow!("block {id}: a document cannot be read again, so nothing was changed: {why}")
        })?;
        if let (Without::Nothing, Facts::Job(job)) = (&without, facts)
            && let Some(job) = job.ended
        {
            found.ended += forget_ended(store, facility, time, job)?;
        }
        match &without {
            Without::Same => kept.push_str(line),
            Without::Changed(line) => {
                found.lists += 1;
                kept.push_str(line);
            }
            Without::Nothing => {
                found.documents += 1;
                is_changed = true;
                continue;
            }
        }
        is_changed |= without != Without::Same;
        kept.push('\n');
        documents += 1;
        (first, last) = (first.min(time), last.max(time));
    }
    match (is_changed, documents) {
        (false, _) => {}
        (true, 0) => {
            store
                .prepare_cached("DELETE FROM blocks WHERE id = ?")?
                .execute([id])?;
        }
        (true, documents) => {
            store
                .prepare_cached(
                    "UPDATE blocks SET first = ?, last = ?, documents = ?, bytes = ?, data = ? WHERE id = ?",
                )?
                .execute(params![
                    first,
                    last,
                    documents,
                    i64::try_from(kept.len())?,
                    packer.pack(&kept)?,
                    id
                ])?;
        }
    }
    Ok(())
}

fn forget_ended(store: &Connection, facility: i64, time: i64, job: u128) -> Result<usize> {
    let day = time.div_euclid(DAY_MS);
    Ok(store
        .prepare_cached("DELETE FROM ended WHERE facility = ? AND day BETWEEN ? AND ? AND job = ?")?
        .execute(params![facility, day - 1, day + 1, job.to_be_bytes()])?)
}

/// What is left of a document.
#[derive(Debug, PartialEq)]
enum Without {
    Same,
    Changed(String),
    Nothing,
}

/// A document without a user: the name is taken out of a list `users` and out of its count, and an `account` that
/// is called so, as many are one user's own; a document that has the name in any other field that may be a user's
/// goes.
fn without(line: &str, user: &str) -> Result<Without> {
    let mut document: Map<String, Value> =
        serde_json::from_str(line).context("a stored document is no JSON")?;
    let mut is_changed = false;
    if let Some(Value::Array(users)) = document.get_mut("users") {
        let before = users.len();
        users.retain(|one| one != user);
        let gone = before - users.len();
        is_changed = gone > 0;
        for (name, count) in &mut document {
            if name.ends_with("_user_count")
                && let Some(n) = count.as_u64()
            {
                *count = n.saturating_sub(gone as u64).into();
            }
        }
    }
    if document.get("kind").and_then(Value::as_str) == Some(System::Slurm.job_kind())
        && document
            .get("account")
            .is_some_and(|account| account == user)
    {
        document.remove("account");
        is_changed = true;
    }
    let names_the_user = match document
        .get("kind")
        .and_then(Value::as_str)
        .and_then(kinds::find)
    {
        Some(kind) => names_user(&document, &[kinds::COMMON, kind.fields], user),
        None => document
            .iter()
            .any(|(field, value)| !NO_USERS.contains(&field.as_str()) && has(value, user)),
    };
    Ok(match (names_the_user, is_changed) {
        (true, _) => Without::Nothing,
        (false, true) => Without::Changed(in_order(line, &document)?),
        (false, false) => Without::Same,
    })
}

/// Of a kind that is not known: a node, queue, mount or state that happens to be called the same is not the user.
const NO_USERS: [&str; 9] = [
    "timestamp",
    "kind",
    "cluster",
    "login_node",
    "queue",
    "mount",
    "device",
    "state",
    "version",
];

/// Whether a document of a known kind has a user's name where one may be: in `users`, and in all that the
/// table of kinds does not know.
fn names_user(fields: &Map<String, Value>, known: &[&[Field]], user: &str) -> bool {
    fields.iter().any(|(name, value)| {
        let Some(field) = known
            .iter()
            .copied()
            .flatten()
            .find(|field| field.name == name)
        else {
            return name == user || has(value, user);
        };
        match (field.ty, value) {
            (Type::Object(inner), Value::Object(fields)) => names_user(fields, &[inner], user),
            (Type::Map(inner), Value::Object(map)) => map
                .values()
                .filter_map(Value::as_object)
                .any(|fields| names_user(fields, &[inner], user)),
            _ => field.name == "users" && has(value, user),
        }
    })
}

fn has(value: &Value, user: &str) -> bool {
    match value {
        Value::String(text) => text == user,
        Value::Array(list) => list.iter().any(|one| has(one, user)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name == user || has(value, user)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The changed document, its fields in the order of the line that it was, and what did not change as it was.
fn in_order(line: &str, changed: &Map<String, Value>) -> Result<String> {
    let fields: crate::documents::fields::Fields = serde_json::from_str(line)?;
    let mut text = String::from("{");
    let left = fields
        .iter()
        .filter(|(name, _)| changed.contains_key(*name));
    for (at, (name, raw)) in left.enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name).to_string());
        text.push(':');
        match changed.get(name) {
            Some(value) if name == "users" || name.ends_with("_user_count") => {
                text.push_str(&value.to_string());
            }
            _ => text.push_str(raw),
        }
    }
    text.push('}');
    Ok(text)
}

fn of_tables(
    store: &Connection,
    user: &str,
    facility: Option<i64>,
    found: &mut Forgotten,
) -> Result<()> {
    if let Some(id) = id(store, "users", user)? {
        found.seen = store.execute(
            "DELETE FROM seen WHERE user = ?1 AND (?2 IS NULL OR facility = ?2)",
            params![id, facility],
        )?;
        store.execute(
            "DELETE FROM users WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM seen WHERE user = ?1)",
            [id],
        )?;
    }
    for metric in Metric::ALL.into_iter().filter(|one| one.names_a_user()) {
        let ids: Vec<i64> = store
            .prepare(
                "SELECT id FROM series WHERE metric = ?1 AND label = ?2 AND (?3 IS NULL OR facility = ?3)",
            )?
            .query_map(params![metric.name(), user, facility], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for id in ids {
            for table in ["days", "slots"] {
                store.execute(
                    &format!("DELETE FROM {table} WHERE id >= ? AND id < ?"),
                    [super::slots::row(id, 0), super::slots::row(id + 1, 0)],
                )?;
            }
            found.series += store.execute("DELETE FROM series WHERE id = ?", [id])?;
        }
    }
    Ok(())
}

fn of_latest(store: &Connection, user: &str, facility: Option<i64>) -> Result<()> {
    type Row = (i64, i64, String, String, String);
    let rows: Vec<Row> = store
        .prepare(
            "SELECT facility, kind, node, part, document FROM latest WHERE ?1 IS NULL OR facility = ?1",
        )?
        .query_map([facility], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (facility, kind, node, part, document) in rows {
        let key = params![facility, kind, node, part];
        match without(&document, user)? {
            Without::Same => {}
            Without::Changed(line) => {
                store.execute(
                    "UPDATE latest SET document = ?5 WHERE facility = ?1 AND kind = ?2 AND node = ?3 AND part = ?4",
                    params![facility, kind, node, part, line],
                )?;
            }
            Without::Nothing => {
                store.execute(
                    "DELETE FROM latest WHERE facility = ? AND kind = ? AND node = ? AND part = ?",
                    key,
                )?;
            }
        }
    }
    Ok(())
}
