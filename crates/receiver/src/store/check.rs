//! Whether a store is sound: SQLite's own check, every block and packed row, and (`--deep`) whether the
//! summaries are what the raw documents add up to.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, Rows, Transaction, params};

use super::block;
use super::open_slots::MOST_JOBS;
use super::ranges::Ranges;
use super::schema;
use super::slots::{self, Cell, Day};
use super::summaries::{Counted, Summaries};
use crate::documents::metric::{Grain, Metric};
use crate::documents::{Names, read_again, time};

/// After so many documents what they add up to goes from memory into the temporary tables.
const SETTLE_AFTER: usize = 200_000;

/// What is wrong, a line each, in the order in which it is found.
pub type Findings<'f> = &'f mut dyn FnMut(String);

/// Checks a store as it is at one moment, beside a receiver that may run.
///
/// # Errors
/// It cannot be read so far that this could go on.
pub fn check(store: &mut Connection, is_deep: bool, found: Findings<'_>) -> Result<()> {
    let store = store.transaction()?;
    let mut is_sound = true;
    let mut pages = store.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = pages.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            is_sound = false;
            found(format!("SQLite: {line}"));
        }
    }
    if !is_sound {
        found("the rest was not checked: restore a backup (`afmetrics_receiver restore`)".into());
        return Ok(());
    }
    blocks(&store, found)?;
    batches(&store, found)?;
    days(&store, found)?;
    orphans(&store, found)?;
    ended(&store, found)?;
    if is_deep {
        deep(&store, found)?;
    }
    Ok(())
}

fn names(store: &Connection, table: &str) -> Result<HashMap<i64, String>> {
    Ok(store
        .prepare(&format!("SELECT id, name FROM {table}"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?)
}

struct Block {
    id: i64,
    facility: i64,
    kind: i64,
    hour: i64,
    first: i64,
    last: i64,
    documents: i64,
    bytes: i64,
}

fn blocks(store: &Connection, found: Findings<'_>) -> Result<()> {
    let (facilities, kinds) = (names(store, "facilities")?, names(store, "kinds")?);
    let mut read = store.prepare(
        "SELECT id, facility, kind, hour, first, last, documents, bytes, data FROM blocks ORDER BY id",
    )?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let block = Block {
            id: row.get(0)?,
            facility: row.get(1)?,
            kind: row.get(2)?,
            hour: row.get(3)?,
            first: row.get(4)?,
            last: row.get(5)?,
            documents: row.get(6)?,
            bytes: row.get(7)?,
        };
        let id = block.id;
        match block::unpack(row.get_ref(8)?.as_blob()?, block.bytes) {
            Err(why) => found(format!("block {id}: {why:#}")),
            Ok(lines) => {
                let (facility, kind) = (facilities.get(&block.facility), kinds.get(&block.kind));
                if let Err(why) = lines_of(&block, &lines, facility, kind) {
                    found(format!("block {id}: {why}"));
                }
            }
        }
    }
    Ok(())
}

fn lines_of(
    block: &Block,
    lines: &str,
    facility: Option<&String>,
    kind: Option<&String>,
) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Whose {
        cluster: String,
    }
    let (mut n, mut first, mut last) = (0, i64::MAX, i64::MIN);
    let mut words = Names::default();
    for line in lines.lines() {
        n += 1;
        let (of_kind, time, _) =
            read_again(line, &mut words).map_err(|why| format!("document {n}: {why}"))?;
        let whose: Whose =
            serde_json::from_str(line).map_err(|why| format!("document {n}: {why}"))?;
        if Some(&of_kind) != kind || Some(&whose.cluster) != facility {
            return Err(format!("document {n} is of another facility or kind"));
        }
        if time::hour(time) != block.hour {
            return Err(format!("document {n} is of another hour"));
        }
        (first, last) = (first.min(time), last.max(time));
    }
    if usize::try_from(block.bytes) != Ok(lines.len()) {
        return Err(format!("it has {} bytes, not {}", lines.len(), block.bytes));
    }
    match n == block.documents && first == block.first && last == block.last {
        true => Ok(()),
        false => Err(format!(
            "it has {n} documents from {} to {}, not {} from {} to {}",
            time::text(first),
            time::text(last),
            block.documents,
            time::text(block.first),
            time::text(block.last)
        )),
    }
}

fn batches(store: &Connection, found: Findings<'_>) -> Result<()> {
    let mut read = store.prepare("SELECT hex(batch), ranges FROM batches")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        if Ranges::unpack(row.get_ref(1)?.as_blob()?).is_none() {
            let batch: String = row.get(0)?;
            found(format!("batch {batch}: its ranges are damaged"));
        }
    }
    Ok(())
}

fn days(store: &Connection, found: Findings<'_>) -> Result<()> {
    let mut read = store.prepare(
        "SELECT days.id, n, sum, min, max, series.metric FROM days
         LEFT JOIN series ON series.id = days.id / 65536",
    )?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let what = day_of_series(id);
        let total = match Day::read(store, id) {
            Ok(day) => day.total(),
            Err(why) => {
                found(format!("{what}: {why:#}"));
                continue;
            }
        };
        let stored = Cell {
            n: row.get(1)?,
            sum: row.get(2)?,
            min: row.get(3)?,
            max: row.get(4)?,
        };
        if !is_same(stored, total) {
            found(format!("{what}: its totals are not those of its slots"));
        }
        match row.get::<_, Option<String>>(5)? {
            None => found(format!("{what}: there is no such series")),
            Some(metric) if !Metric::ALL.iter().any(|one| one.name() == metric) => {
                found(format!("{what}: unknown metric {metric}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn day_of_series(row: i64) -> String {
    let (series, day) = slots::series_and_day(row);
    format!("day {day} of series {series}")
}

/// Slots of a day that has no totals.
fn orphans(store: &Connection, found: Findings<'_>) -> Result<()> {
    let mut read = store.prepare("SELECT id FROM slots WHERE id NOT IN (SELECT id FROM days)")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        found(format!(
            "{}: it has slots and no totals",
            day_of_series(row.get(0)?)
        ));
    }
    Ok(())
}

/// Sums may differ by the order of what was added.
fn is_same(one: Cell, other: Cell) -> bool {
    let tolerance = 1e-9 * one.sum.abs().max(other.sum.abs()).max(1.0);
    one.n == other.n
        && (one.sum - other.sum).abs() <= tolerance
        && one.min == other.min
        && one.max == other.max
}

/// Each job that is known to have ended counts once on its day, in each of the three metrics.
fn ended(store: &Connection, found: Findings<'_>) -> Result<()> {
    let from: i64 = store.query_row(
        "SELECT max(ended, summaries, (forgotten + 23) / 24) FROM gone",
        [],
        |row| row.get(0),
    )?;
    let known: BTreeMap<(i64, i64), i64> = store
        .prepare("SELECT facility, day, sum(is_counted) FROM ended WHERE day >= ? GROUP BY facility, day")?
        .query_map([from], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for metric in [Metric::Ended, Metric::EndedOfUser, Metric::EndedByLength] {
        let counted: BTreeMap<(i64, i64), i64> = store
            .prepare(
                "SELECT facility, days.id % 65536 AS day, sum(n) FROM series
                 JOIN days ON days.id BETWEEN series.id * 65536 + ?1 AND series.id * 65536 + 65535
                 WHERE metric = ?2 GROUP BY facility, day",
            )?
            .query_map(params![from, metric.name()], |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let more = counted.keys().filter(|key| !known.contains_key(key));
        for key in known.keys().chain(more) {
            let of = |map: &BTreeMap<(i64, i64), i64>| map.get(key).copied().unwrap_or(0);
            if of(&known) != of(&counted) {
                found(format!(
                    "{} of facility {} on day {}: {} jobs, of which {} are known",
                    metric.name(),
                    key.0,
                    key.1,
                    of(&counted),
                    of(&known)
                ));
            }
        }
    }
    Ok(())
}

/// Adds the raw documents up again, into temporary tables, and compares.
fn deep(store: &Transaction<'_>, found: Findings<'_>) -> Result<()> {
    // The first day of which nothing has gone.
    let from: i64 = store.query_row(
        "SELECT max((max(documents, forgotten) + 23) / 24, summaries) FROM gone",
        [],
        |row| row.get(0),
    )?;
    // SQLite keeps it in memory as long as it is small.
    let mut again = Connection::open("").context("cannot make temporary tables")?;
    schema::fill(&again)?;
    add_up(store, &mut again, from)?;
    same_series(store, &again, from, found)?;
    same_seen(store, &again, from, found)?;
    same_latest(store, &again, from, found)
}

fn add_up(store: &Transaction<'_>, again: &mut Connection, from: i64) -> Result<()> {
    let mut summaries = Summaries::default();
    let mut read = store.prepare(
        "SELECT id, facility, kind, arrived, data, bytes FROM blocks
         WHERE hour >= ? AND id <= (SELECT block FROM summarised) ORDER BY id",
    )?;
    let mut rows = read.query([from * 24])?;
    while let Some(row) = rows.next()? {
        summaries.make_room(MOST_JOBS);
        // What is damaged was found before.
        let Ok(lines) = block::unpack(row.get_ref(4)?.as_blob()?, row.get(5)?) else {
            continue;
        };
        for line in lines.lines() {
            let Ok((kind, time, facts)) = read_again(line, &mut summaries.words) else {
                continue;
            };
            let counted = Counted {
                facility: row.get(1)?,
                kind: row.get(2)?,
                kind_name: summaries.words.of(&kind),
                time,
                arrived: row.get(3)?,
                line,
                block: row.get(0)?,
            };
            summaries.count(store, counted, &facts)?;
        }
        if summaries.documents() >= SETTLE_AFTER || summaries.is_large() {
            settle(&mut summaries, again)?;
        }
    }
    settle(&mut summaries, again)
}

fn settle(summaries: &mut Summaries, again: &mut Connection) -> Result<()> {
    let change = again.transaction()?;
    summaries.settle(&change, 0)?;
    change.commit()?;
    summaries.settled();
    Ok(())
}

type Series = BTreeMap<(i64, String, String, String), i64>;

/// The series that can be compared. Which of two reports of a job's end counts depends on which was first
/// (`ended` looks at those), that one was late is known of a block only, not of each of its documents, and what
/// came again or was refused is in no document.
fn all_series(store: &Connection) -> Result<Series> {
    let mut all: Series = store
        .prepare("SELECT facility, metric, label, part, id FROM series")?
        .query_map([], |row| {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((key, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let others = [
        Metric::Ended,
        Metric::EndedOfUser,
        Metric::EndedByLength,
        Metric::Late,
    ];
    let of_none = Metric::ALL
        .into_iter()
        .filter(|one| one.is_of_no_document());
    let others: Vec<Metric> = others.into_iter().chain(of_none).collect();
    all.retain(|(_, metric, ..), _| !others.iter().any(|one| one.name() == metric));
    Ok(all)
}

fn same_series(
    store: &Connection,
    again: &Connection,
    from: i64,
    found: Findings<'_>,
) -> Result<()> {
    let (stored, added) = (all_series(store)?, all_series(again)?);
    let mut keys: Vec<_> = stored.keys().chain(added.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let (facility, metric, label, part) = key;
        let one = days_of(store, stored.get(key), from)?;
        let other = days_of(again, added.get(key), from)?;
        let is_count = Metric::ALL
            .iter()
            .any(|one| one.name() == metric && one.grain() == Grain::Count);
        let mut days: Vec<_> = one.keys().chain(other.keys()).collect();
        days.sort_unstable();
        days.dedup();
        for day in days {
            if !same_day(one.get(day), other.get(day), is_count) {
                found(format!(
                    "series {metric} label {label:?} part {part:?} of facility {facility}, day {day}: not what the raw documents add up to"
                ));
            }
        }
    }
    Ok(())
}

fn days_of(store: &Connection, id: Option<&i64>, from: i64) -> Result<BTreeMap<i64, Day>> {
    let Some(id) = id else {
        return Ok(BTreeMap::new());
    };
    let mut read = store.prepare_cached("SELECT id, cells FROM slots WHERE id BETWEEN ? AND ?")?;
    let mut rows = read.query(slots::rows(*id, from))?;
    let mut days = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (_, day) = slots::series_and_day(row.get(0)?);
        if let Ok(slots) = Day::unpack(row.get_ref(1)?.as_blob()?) {
            days.insert(day, slots);
        }
    }
    Ok(days)
}

fn same_day(one: Option<&Day>, other: Option<&Day>, is_count: bool) -> bool {
    let cells = |day: Option<&Day>| -> BTreeMap<u16, Cell> {
        day.map(|day| day.cells().collect()).unwrap_or_default()
    };
    let (one, other) = (cells(one), cells(other));
    // A count that went up and down again may be there or not.
    let zero = is_count.then_some(Cell::one(0.0));
    one.keys().chain(other.keys()).all(|slot| {
        let (one, other) = (one.get(slot).copied(), other.get(slot).copied());
        match (one.or(zero), other.or(zero)) {
            (Some(one), Some(other)) => is_same(one, other),
            _ => false,
        }
    })
}

fn same_seen(store: &Connection, again: &Connection, from: i64, found: Findings<'_>) -> Result<()> {
    type Key = (i64, i64, i64, String);
    type Seen = (Key, (i64, i64, i64, i64));
    // The users' numbers differ between the two; both come in the same order.
    const READ: &str =
        "SELECT facility, day, kind, coalesce(name, ''), hours, first, last, documents FROM seen
         LEFT JOIN users ON users.id = user WHERE day >= ? ORDER BY 1, 2, 3, 4";
    fn next(rows: &mut Rows<'_>) -> Result<Option<Seen>> {
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some((
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?),
            (row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?),
        )))
    }
    let (mut stored, mut added) = (store.prepare(READ)?, again.prepare(READ)?);
    let (mut stored, mut added) = (stored.query([from])?, added.query([from])?);
    let (mut one, mut other) = (next(&mut stored)?, next(&mut added)?);
    while let Some(first) = one.iter().chain(&other).map(|(key, _)| key).min().cloned() {
        let is_first = |seen: &Seen| seen.0 == first;
        let (left, right) = (
            one.take_if(|seen| is_first(seen)),
            other.take_if(|seen| is_first(seen)),
        );
        if left != right {
            found(format!(
                "user {:?} seen on day {} at facility {} by kind {}: not what the raw documents say",
                first.3, first.1, first.0, first.2
            ));
        }
        if left.is_some() {
            one = next(&mut stored)?;
        }
        if right.is_some() {
            other = next(&mut added)?;
        }
    }
    Ok(())
}

fn same_latest(
    store: &Connection,
    again: &Connection,
    from: i64,
    found: Findings<'_>,
) -> Result<()> {
    type Latest = BTreeMap<(i64, i64, String, String), i64>;
    let read = |store: &Connection| -> Result<Latest> {
        Ok(store
            .prepare("SELECT facility, kind, node, part, time FROM latest WHERE time >= ?")?
            .query_map([from * time::DAY_MS], |row| {
                Ok((
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?),
                    row.get(4)?,
                ))
            })?
            .collect::<rusqlite::Result<_>>()?)
    };
    let (stored, added) = (read(store)?, read(again)?);
    for key in stored
        .keys()
        .chain(added.keys().filter(|key| !stored.contains_key(key)))
    {
        if stored.get(key) != added.get(key) {
            found(format!(
                "newest document of node {:?} part {:?}, kind {} at facility {}: not the newest raw one",
                key.2, key.3, key.1, key.0
            ));
        }
    }
    Ok(())
}
