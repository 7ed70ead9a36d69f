//! Users of notebooks over time.

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
use crate::pages::JUPYTER;

/// The kinds of documents that name users of notebooks.
pub const KINDS: [&str; 2] = ["jupyter-ml", "jupyter-coffea"];

pub const PANEL: Panel = Panel {
    name: "notebooks",
    page: &JUPYTER,
    title: "Users over time",
    about: "Users who have a notebook server, by kind: JupyterLab servers (jupyter-ml) and those of Coffea-casa (jupyter-coffea). Longer steps have the mean.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Count,
        split: &["facility", "kind"],
        values: &[("users", "users")],
        steps: 300,
    }),
};

pub const QUESTION: Question = Question {
    path: "notebooks",
    summary: "Users of notebooks over time",
    about: "Means of what was reported in a step. A step in which nothing was heard of a kind is left out; where nobody was there, there is a 0.",
    params: &[FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("facility", Ty::Text, "The facility."),
        field("kind", Ty::Text, "jupyter-ml or jupyter-coffea."),
        field("users", Ty::Number, "Users with a notebook server, a mean."),
        field("most", Ty::Number, "The most at a time."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    for facility in asked.facilities(store)? {
        for series in numbers::series(store, facility.id, Metric::UsersPresent)? {
            if !KINDS.contains(&&*series.label) {
                continue;
            }
            for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
                rows.push(vec![
                    Datum::Time(time),
                    facility.name.as_str().into(),
                    series.label.as_str().into(),
                    cell.mean().into(),
                    cell.max.into(),
                ])?;
            }
        }
    }
    Ok(rows)
}
