//! What was turned away, over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, STEP, TO};
use crate::api::facilities::count;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field, numbers};
use crate::documents::Metric;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "refused",
    page: &QUALITY,
    title: "Refused requests",
    about: "Requests that were answered with an error, by answer and reason; a collector keeps what may be taken later. What is of no known token is shown only to who sees all facilities.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Count,
        split: &["reason"],
        values: &[("requests", "requests")],
        steps: 150,
    }),
};

const QUESTION: Question = Question {
    path: "refusals",
    summary: "Refused requests by reason over time",
    about: "By the time at which they came. A step has a row for each reason of the span, 0 where documents came and nothing was refused for it; a step in which nothing was heard is left out. Up to 5 s of it may be lost in a crash.",
    params: &[FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field(
            "reason",
            Ty::Text,
            "The answer and why; `none` where nothing was refused in the span.",
        ),
        field("requests", Ty::Int, "Requests."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let (span, step) = (asked.span, asked.step);
    let mut heard: BTreeMap<i64, u32> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        let documents = numbers::series(store, facility.id, Metric::Documents)?;
        heard.extend(numbers::heard(store, &documents, span, step)?);
    }
    let mut reasons: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for facility in asked.facilities_of(store, Metric::Refused)? {
        for series in numbers::series(store, facility.id, Metric::Refused)? {
            for (time, cell) in numbers::steps(store, series.id, span, step)? {
                heard.insert(time, 1);
                let reason = reasons.entry(series.label.clone()).or_default();
                *reason.entry(time).or_default() += cell.sum;
            }
        }
    }
    if reasons.is_empty() {
        reasons.insert("none".into(), BTreeMap::new());
    }
    let mut rows = Rows::default();
    for time in heard.keys() {
        for (reason, requests) in &reasons {
            rows.push(vec![
                Datum::Time(*time),
                reason.as_str().into(),
                count(requests.get(time).copied().unwrap_or(0.0)),
            ])?;
        }
    }
    Ok(rows)
}
