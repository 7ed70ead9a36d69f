//! When the source of a door was heard of: only then is nobody a zero.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::asked::Facility;
use super::numbers::{self, Series};
use super::refused::Refused;
use super::seen::DOORS;
use super::span::{Span, Step};
use crate::documents::Metric;
use crate::documents::time::DAY_MS;
use crate::store::slots;

/// The series that have something whenever a door's source is heard of, at all facilities. Of batch, not its
/// documents: that the queue was read and empty is a zero of its jobs.
pub fn series(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
) -> rusqlite::Result<Vec<Series>> {
    let (name, kinds) = DOORS[door];
    let mut all = Vec::new();
    for facility in facilities {
        if name == "batch" {
            all.extend(numbers::series(store, facility.id, Metric::Jobs)?);
            continue;
        }
        let mut documents = numbers::series(store, facility.id, Metric::Documents)?;
        documents.retain(|series| kinds.contains(&series.label.as_str()));
        all.append(&mut documents);
    }
    Ok(all)
}

/// On which days a door's source was heard of.
pub fn days(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    (first, last): (i64, i64),
) -> Result<BTreeSet<i64>, Refused> {
    let mut days = BTreeSet::new();
    let mut read = store.prepare_cached("SELECT id FROM days WHERE id BETWEEN ? AND ?")?;
    for series in series(store, facilities, door)? {
        let (from, to) = (slots::row(series.id, first), slots::row(series.id, last));
        let mut rows = read.query(params![from, to])?;
        while let Some(row) = rows.next()? {
            days.insert(slots::series_and_day(row.get(0)?).1);
        }
    }
    Ok(days)
}

/// In which steps a door's source was heard of: in how many five minutes of each.
pub fn steps(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    span: Span,
    step: Step,
) -> Result<BTreeMap<i64, u32>, Refused> {
    numbers::heard(store, &series(store, facilities, door)?, span, step)
}

/// Whether a door's source was heard of in a span.
pub fn any(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    span: Span,
) -> Result<bool, Refused> {
    for series in series(store, facilities, door)? {
        if numbers::has_any(store, series.id, span)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a door's source was heard of before a span, or in its first 24th: otherwise the source is younger
/// than the span, and its numbers are of a part of it.
pub fn since(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    span: Span,
) -> Result<bool, Refused> {
    let mut read = store.prepare_cached("SELECT 1 FROM days WHERE id BETWEEN ? AND ? LIMIT 1")?;
    let (first, _) = span.days();
    for series in series(store, facilities, door)? {
        if read.exists([slots::row(series.id, 0), slots::row(series.id, first - 1)])? {
            return Ok(true);
        }
    }
    let begin = Span {
        from: first * DAY_MS,
        to: span.from + (span.to - span.from) / 24 + 1,
    };
    any(store, facilities, door, begin)
}
