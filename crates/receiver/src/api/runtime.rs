//! Jobs that ended, and how long they ran.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Form, Param, STEP, TO};
use super::jobs::{most, subtract};
use super::numbers::{self, Steps};
use super::refused::Refused;
use super::reply::{self, Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::{Metric, System};
use crate::store::slots::Cell;

pub const QUESTION: Question = Question {
    path: "runtime",
    summary: "Jobs that ended, and how long they ran",
    about: "A job that ended counts once, when it was first reported as ended, be it reported by two collectors. Numbers are sums. A step in which no job ended is left out. Users over the whole span come in the order of their run time, the rest last.",
    params: &[
        FACILITY,
        FROM,
        TO,
        STEP,
        Param {
            name: "by",
            form: Form::OneOf(&["user", "length", "state", "system"]),
            about: "What to split by: the user; the run time, by powers of two; how the job ended; the batch system.",
        },
        Param {
            name: "over",
            form: Form::OneOf(&["all", "time"]),
            about: "Over the whole span, or step by step.",
        },
        asked::limit(
            100,
            1000,
            "With `by=user`: so many users, those with most run time; the rest, if there are any, are one, whose `user` is null.",
        ),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field(
            "time",
            Ty::MaybeTime,
            "The beginning of the step, with `over=time`.",
        ),
        field(
            "user",
            Ty::MaybeText,
            "The user, with `by=user`; null for the rest.",
        ),
        field(
            "below",
            Ty::MaybeInt,
            "With `by=length`: jobs that ran less than so many seconds, and at least half as many.",
        ),
        field(
            "state",
            Ty::MaybeText,
            "How they ended, with `by=state`: finished or removed; of Slurm also failed, timeout, out_of_memory and the like.",
        ),
        field("jobs", Ty::Int, "Jobs that ended."),
        field(
            "seconds",
            Ty::Number,
            "Their run time together, in seconds.",
        ),
        field(
            "system",
            Ty::MaybeText,
            "The batch system, with `by=system`: HTCondor or Slurm.",
        ),
    ],
    answer: How::Rows(answer),
};

/// What a line of the answer is of. In the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    User(String),
    Length(u32),
    State(String),
    System(System),
    Rest,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    let lines = match asked.word("by").unwrap_or("user") {
        "length" => lines(store, asked, Metric::EndedByLength, |label, _| {
            Of::Length(label.parse().unwrap_or(63))
        })?,
        "state" => lines(store, asked, Metric::Ended, |_, part| {
            Of::State(System::of_part(part).1.to_owned())
        })?,
        "system" => lines(store, asked, Metric::Ended, |_, part| {
            Of::System(System::of_part(part).0)
        })?,
        _ => {
            let (lines, cut) = by_user(store, asked)?;
            rows.cut = cut;
            lines
        }
    };
    let mut all: Vec<(Option<i64>, &Of, Cell)> = Vec::new();
    for (of, steps) in &lines {
        match asked.word("over") {
            Some("time") => all.extend(steps.iter().map(|(time, cell)| (Some(*time), of, *cell))),
            _ => all.extend(steps.values().map(|cell| (None, of, *cell))),
        }
    }
    all.sort_by_key(|(time, ..)| *time);
    if asked.word("over") != Some("time") && asked.word("by").is_none_or(|by| by == "user") {
        all.sort_by(|(_, of, cell), (_, other, more)| {
            let is_rest = |of: &Of| *of == Of::Rest;
            (is_rest(of).cmp(&is_rest(other))).then(more.sum.total_cmp(&cell.sum))
        });
    }
    for (time, of, cell) in all.into_iter().filter(|(.., cell)| cell.n > 0) {
        let (mut user, mut below, mut state, mut system) = (None, None, None, None);
        match of {
            Of::User(name) => user = Some(name.as_str()),
            Of::Length(power) => below = Some(1_i64 << power.min(&62)),
            Of::State(word) => state = Some(word.as_str()),
            Of::System(of) => system = Some(of.name()),
            Of::Rest => {}
        }
        rows.push(vec![
            time.map(Datum::Time).into(),
            user.into(),
            below.into(),
            state.into(),
            i64::from(cell.n).into(),
            cell.sum.into(),
            system.into(),
        ])?;
    }
    Ok(rows)
}

/// What a series has, by step; all of it under one where steps are not asked for.
fn steps(store: &Connection, asked: &Asked, series: i64) -> Result<Steps, Refused> {
    if asked.word("over") == Some("time") {
        return numbers::steps(store, series, asked.span, asked.step);
    }
    let total = numbers::total(store, series, asked.span)?;
    Ok(total
        .map(|cell| (asked.span.from, cell))
        .into_iter()
        .collect())
}

fn lines(
    store: &Connection,
    asked: &Asked,
    metric: Metric,
    of: impl Fn(&str, &str) -> Of,
) -> Result<BTreeMap<Of, Steps>, Refused> {
    let mut lines: BTreeMap<Of, Steps> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        for series in numbers::series(store, facility.id, metric)? {
            let line = lines.entry(of(&series.label, &series.part)).or_default();
            for (time, cell) in steps(store, asked, series.id)? {
                numbers::add(line, time, cell);
            }
        }
    }
    Ok(lines)
}

/// The users with most run time, and the rest: how many those are.
fn by_user(store: &Connection, asked: &Asked) -> Result<(BTreeMap<Of, Steps>, usize), Refused> {
    let mut seconds: HashMap<String, f64> = HashMap::new();
    let mut all = Vec::new();
    for facility in asked.facilities(store)? {
        let own = numbers::totals(store, facility.id, Metric::EndedOfUser, asked.span)?;
        for (user, total) in own {
            *seconds.entry(user.clone()).or_insert(0.0) += total.sum;
            all.push((facility.id, user, total));
        }
    }
    let (top, cut) = most(seconds, asked.limit());
    let mut n = 0;
    let mut lines: BTreeMap<Of, Steps> = BTreeMap::new();
    for (facility, user, total) in all.into_iter().filter(|(_, user, _)| top.contains(user)) {
        let own = of_user(store, asked, (facility, &user), total)?;
        let line = lines.entry(Of::User(user)).or_default();
        let before = line.len();
        for (time, cell) in own {
            numbers::add(line, time, cell);
        }
        n += line.len() - before;
        reply::fits(n)?;
    }
    let mut rest = self::lines(store, asked, Metric::Ended, |_, _| Of::Rest)?;
    lines
        .values()
        .for_each(|steps| subtract(rest.get_mut(&Of::Rest), steps));
    lines.append(&mut rest);
    Ok((lines, cut))
}

/// A user's jobs that ended at a facility, by step; their total under one where steps are not asked for.
fn of_user(
    store: &Connection,
    asked: &Asked,
    (facility, user): (i64, &str),
    total: Cell,
) -> Result<Steps, Refused> {
    let mut own = Steps::new();
    if asked.word("over") != Some("time") {
        own.insert(asked.span.from, total);
        return Ok(own);
    }
    for series in numbers::of_label(store, facility, Metric::EndedOfUser, user)? {
        for (time, cell) in numbers::steps(store, series.id, asked.span, asked.step)? {
            numbers::add(&mut own, time, cell);
        }
    }
    Ok(own)
}
