//! When the source of a door was heard of: only then is nobody a zero.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::asked::Facility;
use super::numbers::{self, Series};
use super::refused::Refused;
use super::seen::{BATCH, DOORS};
use super::span::{Span, Step};
use super::systems;
use crate::documents::time::DAY_MS;
use crate::documents::{Metric, System};
use crate::store::slots;

/// Days before a span in which a source that goes on was heard of.
const LATELY: i64 = 31;

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

/// The same of batch jobs, where it takes the queue: who has only jobs in it is not known while it is not read.
pub fn queue_steps(
    store: &Connection,
    facilities: &[Facility],
    span: Span,
    step: Step,
) -> Result<BTreeMap<i64, u32>, Refused> {
    let queue = systems::of_queue(&series(store, facilities, BATCH)?);
    numbers::heard(store, &queue, span, step)
}

/// Whether a door's source was heard of in a span.
pub fn any(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    span: Span,
) -> Result<bool, Refused> {
    is_any(store, &series(store, facilities, door)?, span)
}

/// Whether any of these series has something in a span.
pub fn is_any(store: &Connection, all: &[Series], span: Span) -> Result<bool, Refused> {
    for series in all {
        if numbers::has_any(store, series.id, span)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a span can be compared with the one before it, `earlier`, of the same length: each facility whose door
/// was heard of in one of them was heard of before both, too; of batch, each of its systems. A younger source's
/// numbers are of a part only.
pub fn since(
    store: &Connection,
    facilities: &[Facility],
    door: usize,
    earlier: Span,
) -> Result<bool, Refused> {
    for facility in facilities {
        let all = series(store, std::slice::from_ref(facility), door)?;
        // What is of no batch has no mark of one, and is all of the first system's.
        for system in System::ALL {
            let own = systems::of_system(all.clone(), system);
            if !is_known_before(store, &own, earlier)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether series of one source that have something in a span or in the one after it, of the same length, go back
/// to before the span.
pub fn is_known_before(store: &Connection, all: &[Series], span: Span) -> Result<bool, Refused> {
    let both = Span {
        from: span.from,
        to: span.to + (span.to - span.from),
    };
    for series in all {
        if numbers::has_any(store, series.id, both)? {
            return goes_back(store, all, span, LATELY);
        }
    }
    Ok(true)
}

/// Whether any of these series has something in so many days before a span, or in the span's first 24th.
pub fn goes_back(
    store: &Connection,
    all: &[Series],
    span: Span,
    days: i64,
) -> Result<bool, Refused> {
    let mut read = store.prepare_cached("SELECT 1 FROM days WHERE id BETWEEN ? AND ? LIMIT 1")?;
    let (first, _) = span.days();
    let earliest = (first - days).max(0);
    let begin = Span {
        from: first * DAY_MS,
        to: span.from + (span.to - span.from) / 24 + 1,
    };
    for series in all {
        let rows = [
            slots::row(series.id, earliest),
            slots::row(series.id, first - 1),
        ];
        if read.exists(rows)? || numbers::has_any(store, series.id, begin)? {
            return Ok(true);
        }
    }
    Ok(false)
}
