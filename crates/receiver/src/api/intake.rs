//! Documents over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::asked::{Asked, FACILITY, FORMAT, FROM, Form, Param, STEP, TO};
use super::facilities::count;
use super::numbers;
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::Metric;

pub const QUESTION: Question = Question {
    path: "intake",
    summary: "Documents by kind over time",
    about: "By the time at which documents were collected, as sums; those that came again, by the time at which they came. A step without a document of a kind is left out. Facilities are added up.",
    params: &[
        FACILITY,
        FROM,
        TO,
        STEP,
        Param {
            name: "by",
            form: Form::OneOf(&["kind", "facility"]),
            about: "What to split by: the kind, or kind and facility.",
        },
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field(
            "facility",
            Ty::MaybeText,
            "The facility, with `by=facility`.",
        ),
        field("kind", Ty::Text, "The kind."),
        field(
            "documents",
            Ty::MaybeInt,
            "Documents; null where some came again only.",
        ),
        field(
            "late",
            Ty::MaybeInt,
            "Those of them that came more than five minutes after they were collected.",
        ),
        field(
            "repeated",
            Ty::Int,
            "Documents that came again (known by `Idempotency-Key`) and were not stored again.",
        ),
    ],
    answer: How::Rows(answer),
};

/// In the order of the fields.
const METRICS: [Metric; 3] = [Metric::Documents, Metric::Late, Metric::Repeated];

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let is_split = asked.word("by") == Some("facility");
    let mut all: BTreeMap<(i64, Option<String>, String), [Option<f64>; 3]> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        let name = is_split.then(|| facility.name.clone());
        for (at, metric) in METRICS.into_iter().enumerate() {
            for series in numbers::series(store, facility.id, metric)? {
                for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
                    let key = (time, name.clone(), series.label.clone());
                    *all.entry(key).or_default()[at].get_or_insert(0.0) += cell.sum;
                }
            }
        }
    }
    let mut rows = Rows::default();
    for ((time, facility, kind), [documents, late, repeated]) in all {
        rows.push(vec![
            Datum::Time(time),
            facility.into(),
            kind.into(),
            documents.map(count).into(),
            documents.map(|_| count(late.unwrap_or(0.0))).into(),
            count(repeated.unwrap_or(0.0)),
        ])?;
    }
    Ok(rows)
}
