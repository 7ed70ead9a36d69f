//! Which facilities there are, and when each was heard of.

use rusqlite::Connection;

use super::asked::{Asked, FACILITY, FORMAT, FROM, TO};
use super::numbers;
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::span::Span;
use super::{How, Question, field, systems};
use crate::documents::Metric;
use crate::documents::time::{DAY_MS, SLOT_MS};
use crate::store::slots::{self, Day};

/// Before a span, in which a batch system was heard of that a silent facility still has.
const LATELY_MS: i64 = 31 * DAY_MS;

pub const QUESTION: Question = Question {
    path: "facilities",
    summary: "Facilities, and when each was heard of",
    about: "A facility is known from its first document on.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("facility", Ty::Text, "Its name (`cluster` in documents)."),
        field(
            "first",
            Ty::MaybeTime,
            "The five minutes in which its first document was collected.",
        ),
        field(
            "last",
            Ty::MaybeTime,
            "When its newest document was collected; of kinds without node or user to five minutes.",
        ),
        field("documents", Ty::Int, "Documents of the span."),
        field(
            "nodes",
            Ty::Int,
            "Nodes that were heard of in the last `--keep-documents` days.",
        ),
        field(
            "systems",
            Ty::MaybeTexts,
            "The batch systems that were heard of in the span or the 31 days before it: HTCondor, Slurm, or both; null: none. In CSV with `;` between them.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    for facility in asked.facilities(store)? {
        let mut first = None;
        let mut documents = 0.0;
        for series in numbers::series(store, facility.id, Metric::Documents)? {
            first = [first, end(store, series.id, "ASC")?]
                .into_iter()
                .flatten()
                .min();
            documents += numbers::total(store, series.id, asked.span)?.map_or(0.0, |all| all.sum);
        }
        let nodes: i64 = store
            .prepare_cached(
                "SELECT count(DISTINCT node) FROM latest WHERE facility = ? AND node != ''",
            )?
            .query_row([facility.id], |row| row.get(0))?;
        let lately = Span {
            from: (asked.span.from - LATELY_MS).max(0),
            ..asked.span
        };
        let systems: Vec<String> = systems::heard(store, facility.id, lately)?
            .into_iter()
            .map(str::to_owned)
            .collect();
        rows.push(vec![
            facility.name.into(),
            first.map(Datum::Time).into(),
            last(store, facility.id)?.map(Datum::Time).into(),
            count(documents),
            nodes.into(),
            (!systems.is_empty()).then_some(systems).into(),
        ])?;
    }
    Ok(rows)
}

/// A sum of counts, which is a whole number.
#[expect(clippy::cast_possible_truncation, reason = "whole, and far below 2^53")]
pub fn count(sum: f64) -> Datum {
    Datum::Int(sum as i64)
}

/// When a facility's newest document was collected; of kinds without node or user to five minutes.
pub fn last(store: &Connection, facility: i64) -> Result<Option<i64>, Refused> {
    let mut last = newest(store, facility)?;
    for series in numbers::series(store, facility, Metric::Documents)? {
        last = last.max(end(store, series.id, "DESC")?);
    }
    Ok(last)
}

fn newest(store: &Connection, facility: i64) -> rusqlite::Result<Option<i64>> {
    store
        .prepare_cached(
            "SELECT max(time) FROM (SELECT max(time) AS time FROM latest WHERE facility = ?1
             UNION ALL SELECT max(last) FROM seen WHERE facility = ?1 AND day = (SELECT max(day) FROM seen WHERE facility = ?1))",
        )?
        .query_row([facility], |row| row.get(0))
}

/// The first or the last five minutes of a series.
fn end(store: &Connection, series: i64, order: &str) -> Result<Option<i64>, Refused> {
    let mut rows = store.prepare_cached(&format!(
        "SELECT id - ?1, cells FROM slots WHERE id BETWEEN ?1 AND ?1 + 65535 ORDER BY id {order} LIMIT 1"
    ))?;
    let mut rows = rows.query([slots::row(series, 0)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let day: i64 = row.get(0)?;
    let slots = Day::unpack(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
    let mut slots = slots.cells().map(|(slot, _)| slot);
    let slot = match order {
        "ASC" => slots.next(),
        _ => slots.last(),
    };
    Ok(slot.map(|slot| day * DAY_MS + i64::from(slot) * SLOT_MS))
}
