//! Who was active in a span, and through which door.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Facility, TO};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::seen::{BATCH, DOORS, Through, doors, within};
use super::{How, Question, field, heard, numbers};
use crate::documents::Metric;
use crate::documents::metric::Grain;
use crate::store::slots::Cell;

pub const QUESTION: Question = Question {
    path: "users",
    summary: "Users who were active in a span",
    about: "Who was seen is kept by the hour: of an hour that is only partly in the span, those count who were seen at any time in it, unless all that is known of their day is outside the span. A person is one name: whoever comes through two doors, or to two facilities, is one user.",
    params: &[
        FACILITY,
        FROM,
        TO,
        asked::param_text("user", "Only this user."),
        asked::limit(
            10_000,
            100_000,
            "At most so many users, in the order of their names; the numbers beside the list are of all.",
        ),
        FORMAT,
    ],
    head: &[
        field("unique", Ty::Int, "Users, each counted once."),
        field("ssh", Ty::Int, "Users who were logged in."),
        field("jupyter", Ty::Int, "Users with a notebook."),
        field("batch", Ty::Int, "Users with a batch job."),
    ],
    fields: &[
        field("user", Ty::Text, "The user's published name."),
        field(
            "facilities",
            Ty::Texts,
            "Where; in CSV with `;` between them.",
        ),
        field(
            "doors",
            Ty::Texts,
            "How: ssh, jupyter, batch; in CSV with `;` between them.",
        ),
        field(
            "first",
            Ty::Time,
            "First seen in the span; to the hour on its first day.",
        ),
        field(
            "last",
            Ty::Time,
            "Last seen in the span; to the hour on its last day.",
        ),
        field("days", Ty::Int, "Days (UTC) on which the user was seen."),
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

#[derive(Default)]
struct Person {
    /// By their number in the list, in its order.
    facilities: Vec<usize>,
    doors: Through,
    /// A bit for each day of the span.
    days: Vec<u64>,
    first: Option<i64>,
    last: i64,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let people = people(store, asked, &facilities)?;
    let mut rows = Rows::default();
    rows.head.push(("unique", people.len().into()));
    for (at, (door, _)) in DOORS.iter().enumerate() {
        let through = people.values().filter(|person| person.doors[at]);
        rows.head.push((door, through.count().into()));
    }
    rows.cut = people.len().saturating_sub(asked.limit());
    let ended = ended(store, asked, &facilities)?;
    let names =
        |all: &[usize]| Datum::Texts(all.iter().map(|at| facilities[*at].name.clone()).collect());
    for (user, person) in named(store, people)?.into_iter().take(asked.limit()) {
        let jobs = ended
            .as_ref()
            .map(|ended| ended.get(&user).copied().unwrap_or(NONE));
        rows.push(vec![
            user.into(),
            names(&person.facilities),
            Datum::Texts(through(person.doors)),
            Datum::Time(person.first.unwrap_or(person.last)),
            Datum::Time(person.last),
            i64::from(
                person
                    .days
                    .iter()
                    .map(|days| days.count_ones())
                    .sum::<u32>(),
            )
            .into(),
            jobs.map(|jobs| i64::from(jobs.n)).into(),
            jobs.map(|jobs| jobs.sum).into(),
        ])?;
    }
    Ok(rows)
}

/// No job ended.
const NONE: Cell = Cell {
    n: 0,
    sum: 0.0,
    min: 0.0,
    max: 0.0,
};

/// Jobs that ended and their run time, by user. `None`: nothing was heard of jobs.
fn ended(
    store: &Connection,
    asked: &Asked,
    facilities: &[Facility],
) -> Result<Option<HashMap<String, Cell>>, Refused> {
    if !heard::any(store, facilities, BATCH, asked.span)? {
        return Ok(None);
    }
    let mut ended: HashMap<String, Cell> = HashMap::new();
    for facility in facilities {
        let own = numbers::totals(store, facility.id, Metric::EndedOfUser, asked.span)?;
        for (user, cell) in own {
            ended
                .entry(user)
                .and_modify(|all| all.add(cell, Grain::Samples))
                .or_insert(cell);
        }
    }
    Ok(Some(ended))
}

fn through(doors: Through) -> Vec<String> {
    let names = DOORS.iter().map(|(name, _)| (*name).to_owned());
    names
        .zip(doors)
        .filter_map(|(name, is_it)| is_it.then_some(name))
        .collect()
}

fn named(
    store: &Connection,
    people: HashMap<i64, Person>,
) -> rusqlite::Result<BTreeMap<String, Person>> {
    let mut name = store.prepare_cached("SELECT name FROM users WHERE id = ?")?;
    people
        .into_iter()
        .map(|(id, person)| Ok((name.query_row([id], |row| row.get(0))?, person)))
        .collect()
}

fn people(
    store: &Connection,
    asked: &Asked,
    facilities: &[Facility],
) -> Result<HashMap<i64, Person>, Refused> {
    let doors = doors(store)?;
    let only: Option<i64> = match asked.word("user") {
        Some(user) => store
            .prepare_cached("SELECT coalesce((SELECT id FROM users WHERE name = ?), -1)")?
            .query_row([user], |row| row.get(0))?,
        None => None,
    };
    let mut people: HashMap<i64, Person> = HashMap::new();
    let (first, last) = asked.exact.days();
    // Of one user, by an index.
    let whose = only.map_or("", |_| " AND user = ?4");
    let mut read = store.prepare_cached(&format!(
        "SELECT user, day, kind, hours, first, last FROM seen
         WHERE facility = ?1 AND day BETWEEN ?2 AND ?3{whose}"
    ))?;
    for (at, facility) in facilities.iter().enumerate() {
        let mut rows = match only {
            Some(user) => read.query(params![facility.id, first, last, user])?,
            None => read.query(params![facility.id, first, last])?,
        };
        while let Some(row) = rows.next()? {
            let user = row.get(0)?;
            let day: i64 = row.get(1)?;
            let was = within(asked.exact, day, row.get(3)?, row.get(4)?, row.get(5)?);
            let (Some((from, to)), Some(door)) = (was, doors.get(&row.get(2)?)) else {
                continue;
            };
            let person = people.entry(user).or_default();
            if person.facilities.last() != Some(&at) {
                person.facilities.push(at);
            }
            person.doors[*door] = true;
            let nth = usize::try_from(day - first).unwrap_or_default();
            if person.days.len() <= nth / 64 {
                person.days.resize(nth / 64 + 1, 0);
            }
            person.days[nth / 64] |= 1 << (nth % 64);
            person.first = Some(person.first.map_or(from, |first| first.min(from)));
            person.last = person.last.max(to);
        }
    }
    Ok(people)
}
