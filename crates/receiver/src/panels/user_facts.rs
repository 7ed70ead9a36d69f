//! What is known of one user.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, Form, Param, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::{self, BATCH, DOORS};
use crate::api::{How, Question, field, heard, numbers};
use crate::documents::Metric;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, column};
use crate::pages::USER;
use crate::store::slots::Cell;

/// The user whom a question is about.
pub const WHO: Param = Param {
    name: "user",
    form: Form::Name,
    about: "The user's published name.",
};

pub const PANEL: Panel = Panel {
    name: "user-facts",
    page: &USER,
    title: "What is known",
    about: "First and last seen: of all that the store knows, through any door; the rest is of the span. Run time is of jobs that ended in it, by wall clock.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Facts(&[
        column("first", "First seen", Show::Time),
        column("last", "Last seen", Show::Ago),
        column("facilities", "Facilities", Show::Text),
        column("doors", "Doors", Show::Text),
        column("days", "Days", Show::Number(Unit::Count)),
        column("jobs", "Jobs ended", Show::Number(Unit::Count)),
        column("seconds", "Run time", Show::Number(Unit::Seconds)),
    ]),
};

pub const QUESTION: Question = Question {
    path: "profiles",
    summary: "What is known of one user",
    about: "First and last are of all that the store knows; the rest is of the days (UTC) that the span touches, and of jobs that ended in it.",
    params: &[WHO, FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("user", Ty::Text, "The user's published name."),
        field("first", Ty::MaybeTime, "First seen at all."),
        field("last", Ty::MaybeTime, "Last seen at all."),
        field(
            "facilities",
            Ty::MaybeTexts,
            "Where, in the span; null: nowhere.",
        ),
        field(
            "doors",
            Ty::MaybeTexts,
            "Through which doors, in the span; null: none.",
        ),
        field(
            "days",
            Ty::Int,
            "Days of the span on which the user was seen.",
        ),
        field(
            "jobs",
            Ty::MaybeInt,
            "Jobs that ended in the span; null where nothing was heard of jobs.",
        ),
        field(
            "seconds",
            Ty::MaybeNumber,
            "Their run time together, in seconds.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let name = asked.name("user");
    let user = seen::user(store, &facilities, name)?;
    let mut places = Vec::new();
    let (mut doors, mut days) = (BTreeSet::new(), BTreeSet::new());
    for facility in &facilities {
        let own = std::slice::from_ref(facility);
        let all = seen::days_of(store, own, user, asked.exact.days())?;
        let in_span = |day: &&seen::Day| {
            seen::within(asked.exact, day.day, day.hours, day.first, day.last).is_some()
        };
        let mut is_here = false;
        for day in all.iter().filter(in_span) {
            doors.insert(day.door);
            days.insert(day.day);
            is_here = true;
        }
        if is_here {
            places.push(facility.name.clone());
        }
    }
    let ended = ended(store, asked, &facilities, name)?;
    let doors: Vec<String> = doors.into_iter().map(|door| DOORS[door].0.into()).collect();
    let texts = |all: Vec<String>| (!all.is_empty()).then_some(all);
    let (first, last) = ends(store, &facilities, user)?;
    let mut rows = Rows::default();
    rows.push(vec![
        name.into(),
        first.map(Datum::Time).into(),
        last.map(Datum::Time).into(),
        texts(places).into(),
        texts(doors).into(),
        days.len().into(),
        ended.map(|ended| i64::from(ended.n)).into(),
        ended.map(|ended| ended.sum).into(),
    ])?;
    Ok(rows)
}

/// When a user was seen first and last, of all that the store knows.
fn ends(
    store: &Connection,
    facilities: &[Facility],
    user: i64,
) -> Result<(Option<i64>, Option<i64>), Refused> {
    let (first, last) = (
        seen::first_day(store, facilities, user)?,
        seen::last_day(store, facilities, user)?,
    );
    let on = |day: Option<i64>| match day {
        Some(day) => seen::days_of(store, facilities, user, (day, day)),
        None => Ok(Vec::new()),
    };
    Ok((
        on(first)?.iter().map(|day| day.first).min(),
        on(last)?.iter().map(|day| day.last).max(),
    ))
}

/// The user's jobs that ended in the span. `None`: nothing was heard of jobs.
fn ended(
    store: &Connection,
    asked: &Asked,
    facilities: &[Facility],
    user: &str,
) -> Result<Option<Cell>, Refused> {
    if !heard::any(store, facilities, BATCH, asked.span)? {
        return Ok(None);
    }
    let mut ended = Cell {
        n: 0,
        ..Cell::one(0.0)
    };
    for facility in facilities {
        for series in numbers::of_label(store, facility.id, Metric::EndedOfUser, user)? {
            if let Some(total) = numbers::total(store, series.id, asked.span)? {
                ended.n += total.n;
                ended.sum += total.sum;
            }
        }
    }
    Ok(Some(ended))
}
