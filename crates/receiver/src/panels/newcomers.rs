//! How many users come for the first time, and how many come again.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{Panel, unique_users};
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::period::{PER, Period};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field, seen};
use crate::documents::time::{self, DAY_MS};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USERS;

pub const PANEL: Panel = Panel {
    name: "newcomers",
    page: &USERS,
    title: "New and returning users",
    about: "New is who was never seen before that day, ISO week or month (UTC), through any door, since the store knows of users. Days, weeks and months are whole; the last one may not be over.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Count,
        split: &[],
        values: &[("new", "new"), ("returning", "returning")],
        steps: 300,
    }),
};

pub const QUESTION: Question = Question {
    path: "newcomers",
    summary: "New and returning users per day, week or month",
    about: "New is who was never seen before at any of the facilities that are asked about, through any door, as far back as the store knows.",
    params: &[FACILITY, FROM, TO, PER, FORMAT],
    head: &[
        field(
            "since",
            Ty::MaybeTime,
            "The first day of which the store knows users: until then nobody is a returning one.",
        ),
        field("says", Ty::Text, "The same, as a sentence."),
    ],
    fields: &[
        field("time", Ty::Time, "The beginning of the day, week or month."),
        field(
            "new",
            Ty::MaybeInt,
            "Users who were not seen before; null where nothing was heard of users.",
        ),
        field(
            "returning",
            Ty::MaybeInt,
            "Users who were; null where nothing was heard of users.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let periods = Period::of(asked).all(asked.exact);
    let heard = unique_users::heard_of(store, &facilities, &periods)?;
    let doors = seen::doors(store)?;
    let mut met = foldhash::HashSet::<i64>::default();
    let begin = periods.first().map_or(0, |(first, _)| *first);
    let since = since(store, &facilities)?;
    let older = before(store, &facilities, begin)?;
    let mut rows = Rows::default();
    rows.head = vec![
        ("since", since.map(|day| Datum::Time(day * DAY_MS)).into()),
        ("says", sentence(since).into()),
    ];
    for period in periods {
        let crowd = seen::on_days(store, &facilities, &doors, period)?;
        let mut new = 0_usize;
        for user in crowd.keys() {
            let is_new = met.insert(*user) && !was_before(store, &older, *user, begin)?;
            new += usize::from(is_new);
        }
        let is_heard = heard.iter().any(|days| unique_users::has(days, period));
        rows.push(vec![
            Datum::Time(period.0 * DAY_MS),
            is_heard.then_some(new).into(),
            is_heard.then_some(crowd.len() - new).into(),
        ])?;
    }
    Ok(rows)
}

/// The facilities at which anybody was seen before a day.
fn before(
    store: &Connection,
    facilities: &[Facility],
    day: i64,
) -> rusqlite::Result<BTreeSet<i64>> {
    let mut read =
        store.prepare_cached("SELECT 1 FROM seen WHERE facility = ? AND day < ? LIMIT 1")?;
    let mut older = BTreeSet::new();
    for facility in facilities {
        if read.exists([facility.id, day])? {
            older.insert(facility.id);
        }
    }
    Ok(older)
}

/// Whether a user was seen before a day at any of these facilities.
fn was_before(
    store: &Connection,
    facilities: &BTreeSet<i64>,
    user: i64,
    day: i64,
) -> rusqlite::Result<bool> {
    let (Some(first), Some(last)) = (facilities.first(), facilities.last()) else {
        return Ok(false);
    };
    // In the order of the index, so that the first row says it of most; one question for all facilities.
    let mut read = store.prepare_cached(
        "SELECT facility FROM seen INDEXED BY seen_user
         WHERE user = ? AND facility BETWEEN ? AND ? AND day < ?",
    )?;
    let mut rows = read.query([user, *first, *last, day])?;
    while let Some(row) = rows.next()? {
        if facilities.contains(&row.get(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first day of which users are known.
fn since(store: &Connection, facilities: &[Facility]) -> rusqlite::Result<Option<i64>> {
    let mut read = store.prepare_cached("SELECT min(day) FROM seen WHERE facility = ?")?;
    let mut since: Option<i64> = None;
    for facility in facilities {
        let first: Option<i64> = read.query_row([facility.id], |row| row.get(0))?;
        since = [since, first].into_iter().flatten().min();
    }
    Ok(since)
}

fn sentence(since: Option<i64>) -> String {
    match since {
        None => "No user was seen yet.".into(),
        Some(day) => {
            let text = time::text(day * DAY_MS);
            let date = text.split('T').next().unwrap_or(&text);
            format!("Users are known since {date}: all are new at first.")
        }
    }
}
