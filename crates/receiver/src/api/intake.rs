//! Documents over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::asked::{Asked, FACILITY, FORMAT, FROM, STEP, TO};
use super::facilities::count;
use super::numbers;
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::Metric;

pub const QUESTION: Question = Question {
    path: "intake",
    summary: "Documents by kind over time",
    about: "By the time at which documents were collected, as sums. A step without a document of a kind is left out.",
    params: &[FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("kind", Ty::Text, "The kind."),
        field("documents", Ty::Int, "Documents."),
        field(
            "late",
            Ty::Int,
            "Those of them that came more than five minutes after they were collected.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut all: BTreeMap<(i64, String), [f64; 2]> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        for (at, metric) in [Metric::Documents, Metric::Late].into_iter().enumerate() {
            for series in numbers::series(store, facility.id, metric)? {
                for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
                    all.entry((time, series.label.clone())).or_default()[at] += cell.sum;
                }
            }
        }
    }
    let mut rows = Rows::default();
    for ((time, kind), [documents, late]) in all {
        rows.push(vec![
            Datum::Time(time),
            kind.into(),
            count(documents),
            count(late),
        ])?;
    }
    Ok(rows)
}
