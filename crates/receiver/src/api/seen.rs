//! Who was seen, through which door, on which days.

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::asked::Facility;
use super::numbers;
use super::refused::Refused;
use super::span::Span;
use crate::documents::time::{DAY_MS, HOUR_MS};

/// The doors, and the kinds that are seen through each.
pub const DOORS: [(&str, &[&str]); 3] = [
    ("ssh", &["ssh"]),
    ("jupyter", &["jupyter-ml", "jupyter-coffea"]),
    ("batch", &["condorjob", "slurmjob"]),
];
/// Where Jupyter and batch are among them.
pub const JUPYTER: usize = 1;
pub const BATCH: usize = 2;
/// All doors together, as answers call it: a person who comes through two of them counts once.
pub const TOGETHER: &str = "together";

/// Through which doors somebody came, in the order of [`DOORS`].
pub type Through = [bool; DOORS.len()];

/// A day of a user's, through one door.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    /// From 1970.
    pub day: i64,
    /// In the order of [`DOORS`].
    pub door: usize,
    /// A bit for each hour, UTC.
    pub hours: i64,
    pub first: i64,
    pub last: i64,
}

/// The door of each kind, by the number that the store has for it.
pub fn doors(store: &Connection) -> rusqlite::Result<HashMap<i64, usize>> {
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

/// The number that the store has for a user of this name.
///
/// # Errors
/// 404: nobody of this name was seen at these facilities.
pub fn user(store: &Connection, facilities: &[Facility], name: &str) -> Result<i64, Refused> {
    let id: Option<i64> = store
        .prepare_cached("SELECT id FROM users WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let id = id.ok_or_else(|| Refused::unknown("user", name))?;
    match first_day(store, facilities, id)? {
        Some(_) => Ok(id),
        None => Err(Refused::unknown("user", name)),
    }
}

/// The first day on which a user was seen, of all that the store knows.
pub fn first_day(
    store: &Connection,
    facilities: &[Facility],
    user: i64,
) -> rusqlite::Result<Option<i64>> {
    end(store, facilities, user, "min").map(|days| days.into_iter().min())
}

/// The last one.
pub fn last_day(
    store: &Connection,
    facilities: &[Facility],
    user: i64,
) -> rusqlite::Result<Option<i64>> {
    end(store, facilities, user, "max").map(|days| days.into_iter().max())
}

fn end(
    store: &Connection,
    facilities: &[Facility],
    user: i64,
    end: &str,
) -> rusqlite::Result<Vec<i64>> {
    let mut read = store.prepare_cached(&format!(
        "SELECT {end}(day) FROM seen WHERE user = ? AND facility = ?"
    ))?;
    let mut days = Vec::new();
    for facility in facilities {
        let day: Option<i64> = read.query_row([user, facility.id], |row| row.get(0))?;
        days.extend(day);
    }
    Ok(days)
}

/// A user's days from one to another.
pub fn days_of(
    store: &Connection,
    facilities: &[Facility],
    user: i64,
    (first, last): (i64, i64),
) -> Result<Vec<Day>, Refused> {
    let doors = doors(store)?;
    // SQLite would read everybody's days instead.
    let mut read = store.prepare_cached(
        "SELECT day, kind, hours, first, last FROM seen INDEXED BY seen_user
         WHERE user = ? AND facility = ? AND day BETWEEN ? AND ?",
    )?;
    let mut days = Vec::new();
    for facility in facilities {
        let mut rows = read.query(params![user, facility.id, first, last])?;
        while let Some(row) = rows.next()? {
            if let Some(door) = doors.get(&row.get(1)?) {
                days.push(Day {
                    day: row.get(0)?,
                    door: *door,
                    hours: row.get(2)?,
                    first: row.get(3)?,
                    last: row.get(4)?,
                });
            }
        }
    }
    Ok(days)
}

/// Who was seen on any of these days, and through which doors: users by the store's numbers.
pub fn on_days(
    store: &Connection,
    facilities: &[Facility],
    doors: &HashMap<i64, usize>,
    (first, last): (i64, i64),
) -> Result<HashMap<i64, Through>, Refused> {
    let mut crowd = HashMap::<i64, Through>::default();
    let mut read = store
        .prepare_cached("SELECT user, kind FROM seen WHERE facility = ? AND day BETWEEN ? AND ?")?;
    for facility in facilities {
        let mut rows = read.query(params![facility.id, first, last])?;
        while let Some(row) = rows.next()? {
            if let Some(door) = doors.get(&row.get(1)?) {
                crowd.entry(row.get(0)?).or_default()[*door] = true;
            }
        }
    }
    Ok(crowd)
}

/// Who was seen in a span, to the hour at its ends; the same.
pub fn within_span(
    store: &Connection,
    facilities: &[Facility],
    doors: &HashMap<i64, usize>,
    span: Span,
) -> Result<HashMap<i64, Through>, Refused> {
    let mut crowd = on_days(store, facilities, doors, numbers::whole_days(span))?;
    let mut read = store.prepare_cached(
        "SELECT user, kind, hours, first, last FROM seen WHERE facility = ? AND day = ?",
    )?;
    for day in numbers::cut_days(span) {
        for facility in facilities {
            let mut rows = read.query([facility.id, day])?;
            while let Some(row) = rows.next()? {
                let was = within(span, day, row.get(2)?, row.get(3)?, row.get(4)?);
                if let (Some(_), Some(door)) = (was, doors.get(&row.get(1)?)) {
                    crowd.entry(row.get(0)?).or_default()[*door] = true;
                }
            }
        }
    }
    Ok(crowd)
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
