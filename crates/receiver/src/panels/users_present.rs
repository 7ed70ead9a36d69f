//! How many users are there, over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, STEP, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field, numbers};
use crate::documents::Metric;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::OVERVIEW;

pub const PANEL: Panel = Panel {
    name: "users-present",
    page: &OVERVIEW,
    title: "Users present",
    about: "Who is logged in or has a notebook, by what says so. A user on two nodes counts on each; a node that was not heard of is not in the sum.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Count,
        split: &["kind"],
        values: &[("users", "users")],
        steps: 300,
    }),
};

pub const QUESTION: Question = Question {
    path: "visitors",
    summary: "Users who are present, over time",
    about: "By the documents of kind ssh, jupyter-ml and jupyter-coffea: the mean of each node's number over the step, nodes and facilities added up. A user on two nodes counts on each; a node that was not heard of in a step is not in its sum. A step in which nothing of a kind was heard is left out.",
    params: &[FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("kind", Ty::Text, "ssh, jupyter-ml or jupyter-coffea."),
        field("users", Ty::Number, "Users who are present, a mean."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut lines: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        for series in numbers::series(store, facility.id, Metric::UsersPresent)? {
            let line = lines.entry(series.label).or_default();
            for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
                *line.entry(time).or_insert(0.0) += cell.mean();
            }
        }
    }
    let mut rows = Rows::default();
    // ssh first.
    for (kind, line) in lines.iter().rev() {
        for (time, users) in line {
            rows.push(vec![
                Datum::Time(*time),
                kind.as_str().into(),
                (*users).into(),
            ])?;
        }
    }
    Ok(rows)
}
