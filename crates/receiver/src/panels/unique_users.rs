//! How many different users come, by day, week or month.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::period::{PER, Period};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::{self, DOORS, TOGETHER};
use crate::api::{How, Question, field, heard};
use crate::documents::time::DAY_MS;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USERS;

pub const PANEL: Panel = Panel {
    name: "unique-users",
    page: &USERS,
    title: "Unique users",
    about: "Each user counts once a day, ISO week or month (UTC) and door; together, once however many doors. A day on which a door's source was not heard of is a gap. Days, weeks and months are whole; the last one may not be over.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Count,
        split: &["door"],
        values: &[("users", "users")],
        steps: 300,
    }),
};

pub const QUESTION: Question = Question {
    path: "uniques",
    summary: "Unique users per day, week or month",
    about: "By door, and together: a person who comes through two doors, or to two facilities, counts once.",
    params: &[FACILITY, FROM, TO, PER, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the day, week or month."),
        field("door", Ty::Text, "ssh, jupyter, batch or together."),
        field(
            "users",
            Ty::MaybeInt,
            "Users, each counted once; null where the door's source was not heard of.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let periods = Period::of(asked).all(asked.exact);
    let heard = heard_of(store, &facilities, &periods)?;
    let doors = seen::doors(store)?;
    let mut rows = Rows::default();
    for period in periods {
        let is_heard = heard.each_ref().map(|days| has(days, period));
        let crowd = seen::on_days(store, &facilities, &doors, period)?;
        for (door, (name, _)) in DOORS.iter().enumerate() {
            let count = || crowd.values().filter(|through| through[door]).count();
            rows.push(vec![
                Datum::Time(period.0 * DAY_MS),
                (*name).into(),
                is_heard[door].then(count).into(),
            ])?;
        }
        rows.push(vec![
            Datum::Time(period.0 * DAY_MS),
            TOGETHER.into(),
            is_heard.contains(&true).then_some(crowd.len()).into(),
        ])?;
    }
    Ok(rows)
}

/// On which days of these periods each door's source was heard of.
pub fn heard_of(
    store: &Connection,
    facilities: &[Facility],
    periods: &[(i64, i64)],
) -> Result<[BTreeSet<i64>; DOORS.len()], Refused> {
    let mut heard: [BTreeSet<i64>; DOORS.len()] = Default::default();
    if let (Some((first, _)), Some((_, last))) = (periods.first(), periods.last()) {
        for (door, days) in heard.iter_mut().enumerate() {
            *days = heard::days(store, facilities, door, (*first, *last))?;
        }
    }
    Ok(heard)
}

/// Whether one of these days is in a period.
pub fn has(days: &BTreeSet<i64>, (first, last): (i64, i64)) -> bool {
    days.range(first..=last).next().is_some()
}
