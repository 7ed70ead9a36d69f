//! Who was active in a span, and through which door.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Facility, TO};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::span::Span;
use super::{How, Question, field};
use crate::documents::time::{DAY_MS, HOUR_MS};

/// The doors, and the kinds that are seen through each.
const DOORS: [(&str, &[&str]); 3] = [
    ("ssh", &["ssh"]),
    ("jupyter", &["jupyter-ml", "jupyter-coffea"]),
    ("batch", &["condorjob"]),
];

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
    ],
    answer: How::Rows(answer),
};

#[derive(Default)]
struct Person {
    /// By their number in the list, in its order.
    facilities: Vec<usize>,
    doors: [bool; DOORS.len()],
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
    let names =
        |all: &[usize]| Datum::Texts(all.iter().map(|at| facilities[*at].name.clone()).collect());
    for (user, person) in named(store, people)?.into_iter().take(asked.limit()) {
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
        ])?;
    }
    Ok(rows)
}

fn through(doors: [bool; DOORS.len()]) -> Vec<String> {
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
    let mut read = store.prepare_cached(
        "SELECT user, day, kind, hours, first, last FROM seen WHERE facility = ? AND day BETWEEN ? AND ?",
    )?;
    for (at, facility) in facilities.iter().enumerate() {
        let mut rows = read.query(params![facility.id, first, last])?;
        while let Some(row) = rows.next()? {
            let user = row.get(0)?;
            if only.is_some_and(|only| only != user) {
                continue;
            }
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

fn doors(store: &Connection) -> rusqlite::Result<HashMap<i64, usize>> {
    let mut id = store.prepare_cached("SELECT id, name FROM kinds")?;
    let kinds: Vec<(i64, String)> = id
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let door = |kind: &str| DOORS.iter().position(|(_, kinds)| kinds.contains(&kind));
    Ok(kinds
        .into_iter()
        .filter_map(|(id, kind)| Some((id, door(&kind)?)))
        .collect())
}

/// From when to when somebody was seen in a span, by what is known of a day: a bit for each hour, the
/// first time and the last. `None`: not at all.
pub fn within(span: Span, day: i64, hours: i64, first: i64, last: i64) -> Option<(i64, i64)> {
    if last < span.from || first >= span.to {
        return None;
    }
    if span.has_day(day) {
        return Some((first, last));
    }
    let begin = |hour: i64| day * DAY_MS + hour * HOUR_MS;
    let mut seen = (0..24).filter(|hour| {
        hours >> hour & 1 == 1 && begin(*hour) < span.to && begin(hour + 1) > span.from
    });
    let earliest = seen.next()?;
    let latest = seen.next_back().unwrap_or(earliest);
    let from = if span.has(first) {
        first
    } else {
        begin(earliest).max(span.from)
    };
    let to = if span.has(last) {
        last
    } else {
        begin(latest).max(from)
    };
    Some((from, to))
}
