//! In which hours a user was there.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::Panel;
use super::user_facts::WHO;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Form, Param, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::{self, BATCH, DOORS};
use crate::api::span::{Span, Step};
use crate::api::{How, Question, field, heard};
use crate::documents::time::{DAY_MS, HOUR_MS};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USER;

/// Hours can be told apart up to so long a span.
const HOURLY_MS: i64 = 62 * DAY_MS;

pub const PANEL: Panel = Panel {
    name: "user-hours",
    page: &USER,
    title: "Hours with the user",
    about: "Dark: an hour (UTC) in which the user was seen through that door; beyond 62 days, a day, the darker the more hours. Striped: the door's source was not heard of; of batch, the queue was not read.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Heat,
        unit: Unit::Count,
        split: &["door"],
        values: &[("hours", "hours")],
        steps: 1500,
    }),
};

pub const QUESTION: Question = Question {
    path: "hours",
    summary: "In which hours a user was seen",
    about: "For each hour or day, UTC, and door that the user ever came through in the span: in how many hours of it. Each is whole, also where the span begins or ends in it.",
    params: &[
        WHO,
        FACILITY,
        FROM,
        TO,
        Param {
            name: "per",
            form: Form::Words(&["hour", "day"]),
            about: "Per hour or day, UTC; otherwise hour up to 62 days, day beyond.",
        },
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the hour or day."),
        field("door", Ty::Text, "ssh, jupyter or batch."),
        field(
            "hours",
            Ty::MaybeInt,
            "Hours of it in which the user was seen; null where the door's source was not heard of.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let user = seen::user(store, &facilities, asked.name("user"))?;
    let step = step(asked);
    let span = Span {
        from: step.begin(asked.exact.from),
        to: step.begin(asked.exact.to - 1) + step.ms(),
    };
    // A bit for each hour of a day, of all facilities together.
    let mut hours: BTreeMap<(usize, i64), i64> = BTreeMap::new();
    for day in seen::days_of(store, &facilities, user, span.days())? {
        *hours.entry((day.door, day.day)).or_insert(0) |= day.hours;
    }
    let doors: BTreeSet<usize> = hours.keys().map(|(door, _)| *door).collect();
    let mut rows = Rows::default();
    for door in doors {
        let heard = match door {
            BATCH => heard::queue_steps(store, &facilities, span, step)?,
            _ => heard::steps(store, &facilities, door, span, step)?,
        };
        let mut time = span.from;
        while time < span.to {
            let day = time.div_euclid(DAY_MS);
            let bits = hours.get(&(door, day)).copied().unwrap_or(0);
            let seen = match step {
                Step::Day => i64::from(bits.count_ones()),
                _ => bits >> (time - day * DAY_MS).div_euclid(HOUR_MS) & 1,
            };
            let is_heard = seen > 0 || heard.contains_key(&time);
            rows.push(vec![
                Datum::Time(time),
                DOORS[door].0.into(),
                is_heard.then_some(seen).into(),
            ])?;
            time += step.ms();
        }
    }
    Ok(rows)
}

fn step(asked: &Asked) -> Step {
    let is_long = asked.exact.to - asked.exact.from > HOURLY_MS;
    match asked.word("per") {
        Some("hour") => Step::Hour,
        None if !is_long => Step::Hour,
        _ => Step::Day,
    }
}
