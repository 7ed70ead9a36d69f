//! How many jobs there are: by state now, and ended in the span.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{Panel, users_now};
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::newest::SILENT_MS;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::BATCH;
use crate::api::span::{Span, Step};
use crate::api::{How, Question, field, heard, numbers};
use crate::documents::Metric;
use crate::documents::time::{DAY_MS, SLOT_MS};
use crate::draw::Draw;
use crate::draw::cell::{self, Unit};
use crate::draw::tiles::Tiles;
use crate::pages::OVERVIEW;
use crate::store::slots::Cell;

/// States that are shown, and how a title calls them.
const STATES: [(&str, &str); 3] = [("running", "Running"), ("idle", "Idle"), ("held", "Held")];

pub const PANEL: Panel = Panel {
    name: "jobs-now",
    page: &OVERVIEW,
    title: "Batch jobs",
    about: "Now: the last five minutes in which jobs were heard of, if that is not longer ago than 15 minutes; those that are not over yet only if the ones before are missing. The span is compared with the one before, of the same length, if the store knows that. Run time is of jobs that ended in the span, by wall clock: cores are not known.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Tiles(Tiles {
        title: "number",
        value: "value",
        before: Some("before"),
        note: Some("note"),
        unit: Unit::Count,
    }),
};

pub const QUESTION: Question = Question {
    path: "workloads",
    summary: "How many jobs there are now, and ended in a span",
    about: "What was not heard of is null, not 0.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("number", Ty::Text, "What is counted."),
        field("value", Ty::MaybeNumber, "How much; null: not heard of."),
        field(
            "before",
            Ty::MaybeNumber,
            "The same in the span before, of the same length; null where that is not known.",
        ),
        field("unit", Ty::Text, "count or seconds."),
        field(
            "note",
            Ty::MaybeText,
            "Of when it is, and what is not in it.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let mut rows = Rows::default();
    now(store, asked.now, &facilities, &mut rows)?;
    let earlier = users_now::before(asked.span);
    let is_older = heard::since(store, &facilities, BATCH, earlier)?;
    for (title, unit, part) in [
        ("Finished in the span", Unit::Count, Some("finished")),
        ("Removed in the span", Unit::Count, Some("removed")),
        ("Run time of ended jobs", Unit::Seconds, None),
    ] {
        let of = |span| -> Result<Option<f64>, Refused> {
            let ended = ended(store, &facilities, part, span)?;
            Ok(ended.map(|ended| match unit {
                Unit::Count => f64::from(ended.n),
                _ => ended.sum,
            }))
        };
        let before = if is_older { of(earlier)? } else { None };
        rows.push(vec![
            title.into(),
            of(asked.span)?.into(),
            before.into(),
            unit.word().into(),
            Datum::Null,
        ])?;
    }
    Ok(rows)
}

/// Jobs that ended in a span, in this state or any. `None`: nothing was heard of jobs.
fn ended(
    store: &Connection,
    facilities: &[Facility],
    part: Option<&str>,
    span: Span,
) -> Result<Option<Cell>, Refused> {
    if !heard::any(store, facilities, BATCH, span)? {
        return Ok(None);
    }
    let mut ended = Cell {
        n: 0,
        ..Cell::one(0.0)
    };
    for facility in facilities {
        for series in numbers::series(store, facility.id, Metric::Ended)? {
            if part.is_none_or(|part| part == series.part)
                && let Some(total) = numbers::total(store, series.id, span)?
            {
                ended.n += total.n;
                ended.sum += total.sum;
            }
        }
    }
    Ok(Some(ended))
}

/// The last five minutes that were heard of. While they are not over, some sources may still be missing: then
/// those before, if they were heard of as well.
fn newest(heard: &BTreeMap<i64, u32>, now: i64) -> Option<i64> {
    let (last, _) = heard.last_key_value()?;
    let is_over = last + SLOT_MS <= now;
    let before = last - SLOT_MS;
    match !is_over && heard.contains_key(&before) {
        true => Some(before),
        false => Some(*last),
    }
}

/// Adds a row for each state, of the facilities that were heard of.
fn now(
    store: &Connection,
    now: i64,
    facilities: &[Facility],
    rows: &mut Rows,
) -> Result<(), Refused> {
    let mut sums: Option<[f64; STATES.len()]> = None;
    let mut oldest: Option<i64> = None;
    let mut silent = Vec::new();
    for facility in facilities {
        let all = numbers::series(store, facility.id, Metric::Jobs)?;
        if all.is_empty() {
            continue;
        }
        let recent = Span {
            from: (now - SILENT_MS).div_euclid(SLOT_MS) * SLOT_MS,
            // A document may be some minutes ahead.
            to: now + DAY_MS,
        };
        let heard = numbers::heard(store, &all, recent, Step::FiveMinutes)?;
        let Some(last) = newest(&heard, now) else {
            silent.push(facility.name.as_str());
            continue;
        };
        oldest = Some(oldest.map_or(last, |oldest: i64| oldest.min(last)));
        let sums = sums.get_or_insert_default();
        for ((state, _), sum) in STATES.iter().zip(sums) {
            for series in all.iter().filter(|series| series.part == *state) {
                let steps = numbers::steps(store, series.id, recent, Step::FiveMinutes)?;
                *sum += steps.get(&last).map_or(0.0, |cell| cell.sum);
            }
        }
    }
    let mut note = oldest.map(|time| format!("{} UTC", cell::minute(time)));
    if let (Some(note), false) = (&mut note, silent.is_empty()) {
        note.push_str(&format!(", without {} (silent)", silent.join(" and ")));
    }
    for (at, (_, title)) in STATES.iter().enumerate() {
        rows.push(vec![
            format!("{title} now").into(),
            sums.map(|sums| sums[at]).into(),
            Datum::Null,
            Unit::Count.word().into(),
            note.clone().into(),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_only_begun_is_not_now_where_there_is_something_before_it() {
        let of = |slots: &[i64], now| {
            let heard = slots.iter().map(|slot| (slot * SLOT_MS, 1)).collect();
            newest(&heard, now).map(|time| time / SLOT_MS)
        };
        assert_eq!(of(&[7, 8, 9], 10 * SLOT_MS - 1), Some(8));
        assert_eq!(of(&[7, 8, 9], 10 * SLOT_MS), Some(9));
        assert_eq!(of(&[7, 9], 10 * SLOT_MS - 1), Some(9));
        assert_eq!(of(&[], 0), None);
    }
}
