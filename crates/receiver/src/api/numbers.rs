//! Reading series: what each step of a span has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::refused::Refused;
use super::span::{Span, Step};
use crate::documents::Metric;
use crate::documents::metric::Grain;
use crate::documents::time::{DAY_MS, SLOT_MS, SLOTS};
use crate::store::slots::{self, Cell, Day};

/// A series of numbers, of one facility and metric.
#[derive(Debug, Clone)]
pub struct Series {
    pub id: i64,
    pub label: String,
    pub part: String,
}

/// What each step has that has something, by its beginning. `n` and `sum` of a count are over its five minutes.
pub type Steps = BTreeMap<i64, Cell>;

/// The series of a facility's metric.
pub fn series(store: &Connection, facility: i64, metric: Metric) -> rusqlite::Result<Vec<Series>> {
    store
        .prepare_cached("SELECT id, label, part FROM series WHERE facility = ? AND metric = ? ORDER BY label, part")?
        .query_map(params![facility, metric.name()], |row| {
            Ok(Series {
                id: row.get(0)?,
                label: row.get(1)?,
                part: row.get(2)?,
            })
        })?
        .collect()
}

/// Those of one label.
pub fn of_label(
    store: &Connection,
    facility: i64,
    metric: Metric,
    label: &str,
) -> rusqlite::Result<Vec<Series>> {
    store
        .prepare_cached(
            "SELECT id, part FROM series WHERE facility = ? AND metric = ? AND label = ? ORDER BY part",
        )?
        .query_map(params![facility, metric.name(), label], |row| {
            Ok(Series {
                id: row.get(0)?,
                label: label.to_owned(),
                part: row.get(1)?,
            })
        })?
        .collect()
}

/// A row of `days`.
struct Stored {
    day: i64,
    total: Cell,
    slots: Option<Day>,
}

/// Calls for each day of a series in a span, unpacked unless `is_enough` says that its total will do.
fn days(
    store: &Connection,
    series: i64,
    span: Span,
    is_enough: impl Fn(i64, &Cell) -> bool,
    mut with: impl FnMut(Stored),
) -> Result<(), Refused> {
    let mut read = store.prepare_cached(
        "SELECT id - ?1, n, sum, min, max FROM days WHERE id BETWEEN ?1 + ?2 AND ?1 + ?3",
    )?;
    let (first, last) = span.days();
    let mut rows = read.query(params![slots::row(series, 0), first, last])?;
    while let Some(row) = rows.next()? {
        let day = row.get(0)?;
        let total = Cell {
            n: u32::try_from(row.get::<_, i64>(1)?).unwrap_or(u32::MAX),
            sum: row.get(2)?,
            min: row.get(3)?,
            max: row.get(4)?,
        };
        let slots = match is_enough(day, &total) {
            true => None,
            false => Some(Day::read(store, slots::row(series, day))?),
        };
        with(Stored { day, total, slots });
    }
    Ok(())
}

fn times(day: i64, slots: &Day) -> impl Iterator<Item = (i64, Cell)> {
    slots
        .cells()
        .map(move |(slot, cell)| (day * DAY_MS + i64::from(slot) * SLOT_MS, cell))
}

/// What those five minutes of a day add up to that are in a span.
fn of_span(day: i64, slots: &Day, span: Span) -> Option<Cell> {
    times(day, slots)
        .filter(|(time, _)| span.has(*time))
        .map(|(_, cell)| cell)
        .reduce(|mut all, cell| {
            all.add(cell, Grain::Samples);
            all
        })
}

/// What a series has in a span, by step.
pub fn steps(store: &Connection, series: i64, span: Span, step: Step) -> Result<Steps, Refused> {
    let mut steps = Steps::new();
    let is_whole = |day, _: &Cell| step == Step::Day && span.has_day(day);
    days(store, series, span, is_whole, |stored| {
        match &stored.slots {
            None => add(&mut steps, stored.day * DAY_MS, stored.total),
            Some(slots) => {
                for (time, cell) in times(stored.day, slots).filter(|(time, _)| span.has(*time)) {
                    add(&mut steps, step.begin(time), cell);
                }
            }
        }
    })?;
    Ok(steps)
}

/// Adds to a step: cells of five minutes, each of which counts.
pub fn add(steps: &mut Steps, time: i64, more: Cell) {
    steps
        .entry(time)
        .and_modify(|cell| cell.add(more, Grain::Samples))
        .or_insert(more);
}

/// The sums of a facility's metric by label, over all days that the span touches: enough to tell the largest
/// of a long span.
pub fn by_label(
    store: &Connection,
    facility: i64,
    metric: Metric,
    span: Span,
) -> rusqlite::Result<Vec<(String, f64)>> {
    let (first, last) = span.days();
    store
        .prepare_cached(
            "SELECT label, sum(days.sum) FROM series CROSS JOIN days
             ON days.id BETWEEN series.id * 65536 + ?3 AND series.id * 65536 + ?4
             WHERE facility = ?1 AND metric = ?2 GROUP BY label",
        )?
        .query_map(params![facility, metric.name(), first, last], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// What a facility's samples of a metric add up to in a span, by label. SQLite adds up the whole days; of the
/// first and the last, those five minutes count that are in the span.
pub fn totals(
    store: &Connection,
    facility: i64,
    metric: Metric,
    span: Span,
) -> Result<HashMap<String, Cell>, Refused> {
    let (from, to) = whole_days(span);
    let mut totals: HashMap<String, Cell> = store
        .prepare_cached(
            "SELECT label, sum(n), sum(days.sum), min(min), max(max) FROM series CROSS JOIN days
             ON days.id BETWEEN series.id * 65536 + ?3 AND series.id * 65536 + ?4
             WHERE facility = ?1 AND metric = ?2 GROUP BY label",
        )?
        .query_map(params![facility, metric.name(), from, to], |row| {
            let cell = Cell {
                n: u32::try_from(row.get::<_, i64>(1)?).unwrap_or(u32::MAX),
                sum: row.get(2)?,
                min: row.get(3)?,
                max: row.get(4)?,
            };
            Ok((row.get(0)?, cell))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut read = store.prepare_cached(
        "SELECT label, cells FROM series CROSS JOIN slots ON slots.id = series.id * 65536 + ?3
         WHERE facility = ?1 AND metric = ?2",
    )?;
    for day in cut_days(span) {
        let mut rows = read.query(params![facility, metric.name(), day])?;
        while let Some(row) = rows.next()? {
            let slots = Day::unpack(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            if let Some(cell) = of_span(day, &slots, span) {
                totals
                    .entry(row.get(0)?)
                    .and_modify(|total| total.add(cell, Grain::Samples))
                    .or_insert(cell);
            }
        }
    }
    Ok(totals)
}

/// All that a series has in a span, together. SQLite adds up the whole days: that is many times faster than
/// to read them.
pub fn total(store: &Connection, series: i64, span: Span) -> Result<Option<Cell>, Refused> {
    let id = series * 65_536;
    let (from, to) = whole_days(span);
    let mut total = store
        .prepare_cached(
            "SELECT sum(n), sum(sum), min(min), max(max) FROM days WHERE id BETWEEN ? AND ?",
        )?
        .query_row([id + from, id + to], |row| {
            match row.get::<_, Option<i64>>(0)? {
                None => Ok(None),
                Some(n) => Ok(Some(Cell {
                    n: u32::try_from(n).unwrap_or(u32::MAX),
                    sum: row.get(1)?,
                    min: row.get(2)?,
                    max: row.get(3)?,
                })),
            }
        })?;
    for day in cut_days(span) {
        let slots = Day::read(store, id + day)?;
        if let Some(cell) = of_span(day, &slots, span) {
            match &mut total {
                Some(total) => total.add(cell, Grain::Samples),
                None => total = Some(cell),
            }
        }
    }
    Ok(total)
}

/// The last five minutes in a span in which a series has anything.
pub fn last(store: &Connection, series: i64, span: Span) -> Result<Option<i64>, Refused> {
    let (first, last) = span.days();
    let id = slots::row(series, 0);
    let mut read = store.prepare_cached(
        "SELECT id - ?1 FROM days WHERE id BETWEEN ?1 + ?2 AND ?1 + ?3 ORDER BY id DESC",
    )?;
    let mut rows = read.query([id, first, last])?;
    // Of the last day, all may be after the span.
    while let Some(row) = rows.next()? {
        let day = row.get(0)?;
        let slots = Day::read(store, id + day)?;
        let time = times(day, &slots).map(|(time, _)| time);
        if let Some(time) = time.filter(|time| span.has(*time)).last() {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// The first and the last day that are in a span from beginning to end; the last is before the first where
/// there is none.
pub fn whole_days(span: Span) -> (i64, i64) {
    let (first, last) = span.days();
    (
        first + i64::from(!span.has_day(first)),
        last - i64::from(!span.has_day(last)),
    )
}

/// The first and the last day, where they are only partly in a span.
pub fn cut_days(span: Span) -> impl Iterator<Item = i64> {
    let (first, last) = span.days();
    let days = [Some(first), (last != first).then_some(last)];
    days.into_iter()
        .flatten()
        .filter(move |day| !span.has_day(*day))
}

/// Whether a series has anything in a span.
pub fn has_any(store: &Connection, series: i64, span: Span) -> Result<bool, Refused> {
    let (first, last) = whole_days(span);
    let id = series * 65_536;
    let is_on_a_whole_day = store
        .prepare_cached("SELECT 1 FROM days WHERE id BETWEEN ? AND ? LIMIT 1")?
        .exists([id + first, id + last])?;
    Ok(is_on_a_whole_day || total(store, series, span)?.is_some())
}

/// In how many five minutes of each step any of these counts has something.
pub fn heard(
    store: &Connection,
    all: &[Series],
    span: Span,
    step: Step,
) -> Result<BTreeMap<i64, u32>, Refused> {
    const ALL: usize = SLOTS as usize;
    let mut heard: BTreeMap<i64, [bool; ALL]> = BTreeMap::new();
    // From the end of the names: running and idle jobs are there all day, and then the others need no look.
    for series in all.iter().rev() {
        let full: BTreeSet<i64> = heard
            .iter()
            .filter(|(_, slots)| slots.iter().all(|is_heard| *is_heard))
            .map(|(day, _)| *day)
            .collect();
        let is_full = |day, total: &Cell| total.n == u32::from(SLOTS) || full.contains(&day);
        days(store, series.id, span, is_full, |stored| {
            let day = heard.entry(stored.day).or_insert([false; ALL]);
            match stored.slots {
                None => *day = [true; ALL],
                Some(slots) => slots
                    .cells()
                    .for_each(|(slot, _)| day[usize::from(slot)] = true),
            }
        })?;
    }
    let mut steps = BTreeMap::new();
    for (day, slots) in heard {
        let mut time = day * DAY_MS;
        for is_heard in slots {
            if is_heard && span.has(time) {
                *steps.entry(step.begin(time)).or_insert(0) += 1;
            }
            time += SLOT_MS;
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn the_last_five_minutes_are_those_of_the_span() {
        let folder = tempfile::tempdir().unwrap();
        let store = schema::open(folder.path()).unwrap();
        let mut packer = slots::Packer::new().unwrap();
        for (today, slot) in [(10, 0), (10, 7), (12, 3)] {
            let id = slots::row(1, today);
            let mut cells = Day::read(&store, id).unwrap();
            cells.add(slot, Cell::one(1.0), Grain::Count);
            store
                .execute("INSERT OR REPLACE INTO days VALUES (?, 1, 1, 1, 1)", [id])
                .unwrap();
            let packed = cells.pack(&mut packer).unwrap();
            store
                .execute(
                    "INSERT OR REPLACE INTO slots VALUES (?, ?)",
                    params![id, packed],
                )
                .unwrap();
        }
        let time = |day: i64, slot: i64| day * DAY_MS + slot * SLOT_MS;
        let found = |from, to| last(&store, 1, Span { from, to }).unwrap();
        assert_eq!(found(0, time(20, 0)), Some(time(12, 3)));
        // What is after the span on its last day is not of it.
        assert_eq!(found(0, time(12, 3)), Some(time(10, 7)));
        assert_eq!(found(time(10, 0), time(10, 7)), Some(time(10, 0)));
        assert_eq!(found(time(10, 8), time(12, 3)), None);
        assert_eq!(found(time(13, 0), time(14, 0)), None);
    }
}
