//! A user's jobs that ended.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::Panel;
use super::user_facts::WHO;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, STEP, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::{self, BATCH};
use crate::api::{How, Question, field, heard, numbers};
use crate::documents::Metric;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USER;

pub const PANEL: Panel = Panel {
    name: "user-ended",
    page: &USER,
    title: "Jobs that ended",
    about: "However they ended; each counts once, when it was first reported as ended.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Bars,
        unit: Unit::Count,
        split: &[],
        values: &[("jobs", "jobs")],
        steps: 60,
    }),
};

pub const QUESTION: Question = Question {
    path: "endings",
    summary: "A user's jobs that ended, over time",
    about: "A job that ended counts once, when it was first reported as ended. A step in which nothing was heard of anybody's jobs is left out.",
    params: &[WHO, FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("jobs", Ty::Int, "Jobs of the user that ended."),
        field(
            "seconds",
            Ty::Number,
            "Their run time together, in seconds.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let user = asked.name("user");
    seen::user(store, &facilities, user)?;
    let heard = heard::steps(store, &facilities, BATCH, asked.span, asked.step)?;
    let mut steps: BTreeMap<i64, (u32, f64)> = heard.keys().map(|time| (*time, (0, 0.0))).collect();
    for facility in &facilities {
        for series in numbers::of_label(store, facility.id, Metric::EndedOfUser, user)? {
            for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
                let (jobs, seconds) = steps.entry(time).or_default();
                *jobs += cell.n;
                *seconds += cell.sum;
            }
        }
    }
    let mut rows = Rows::default();
    for (time, (jobs, seconds)) in steps {
        rows.push(vec![
            Datum::Time(time),
            i64::from(jobs).into(),
            seconds.into(),
        ])?;
    }
    Ok(rows)
}
