//! How many users there are: now and in the span, through each door and together.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::newest::SILENT_MS;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::{self, BATCH, DOORS};
use crate::api::span::Span;
use crate::api::{How, Question, field, heard, sessions, systems};
use crate::documents::time::{DAY_MS, SLOT_MS, day};
use crate::documents::{Metric, System};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::tiles::Tiles;
use crate::pages::OVERVIEW;

/// Where all doors together are among what is counted.
const TOGETHER: usize = DOORS.len();
/// The longest span that is compared with the one before.
const LONGEST_COMPARED_MS: i64 = 93 * DAY_MS;
/// How the doors are called in a title.
const TITLES: [&str; DOORS.len()] = ["ssh", "Jupyter", "Batch"];

pub const PANEL: Panel = Panel {
    name: "users-now",
    page: &OVERVIEW,
    title: "Users",
    about: "Now: who is in a list of users, or has a batch job that was reported, of the last 15 minutes; of batch only where the queue was read in them. Together, a person who comes through two doors counts once. The span is compared with the one before, of the same length, if the store knows that and it is not more than 93 days; together only where the same doors were heard of.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Tiles(Tiles {
        title: "number",
        value: "users",
        before: Some("before"),
        note: Some("note"),
        unit: Unit::Count,
    }),
};

pub const QUESTION: Question = Question {
    path: "people",
    summary: "How many users there are now, and were in a span",
    about: "By door, and together: a person who comes through two doors, or to two facilities, is one. A door whose source was not heard of is null, not 0.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field(
            "number",
            Ty::Text,
            "What is counted: ssh, Jupyter, Batch or Together; now or in the span.",
        ),
        field(
            "users",
            Ty::MaybeInt,
            "Users, each counted once; null: the source was not heard of.",
        ),
        field(
            "before",
            Ty::MaybeInt,
            "The same in the span before, of the same length; null where that is not known, is of other doors, or would be of more than 93 days.",
        ),
        field("note", Ty::MaybeText, "What is not in it."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let mut rows = Rows::default();
    now(store, asked.now, &facilities, &mut rows)?;
    let in_span = count(store, &facilities, asked.exact)?;
    let earlier = earlier(store, &facilities, asked.exact)?;
    let before = comparable(store, &facilities, asked.exact, &in_span, earlier)?;
    for (at, title) in TITLES.iter().enumerate() {
        rows.push(vec![
            format!("{title} in the span").into(),
            in_span[at].into(),
            before[at].into(),
            Datum::Null,
        ])?;
    }
    rows.push(vec![
        "Together in the span".into(),
        in_span[TOGETHER].into(),
        before[TOGETHER].into(),
        without(&in_span, &earlier).into(),
    ])?;
    Ok(rows)
}

/// Users of the span before; of a long one nothing, as all days of both would have to be read.
fn earlier(store: &Connection, facilities: &[Facility], span: Span) -> Result<Counted, Refused> {
    match span.to - span.from <= LONGEST_COMPARED_MS {
        true => count(store, facilities, before(span)),
        false => Ok(Counted::default()),
    }
}

/// What of the span before can stand beside a span: of doors that were known before both; together only where the
/// same doors were heard of.
fn comparable(
    store: &Connection,
    facilities: &[Facility],
    span: Span,
    in_span: &Counted,
    earlier: Counted,
) -> Result<Counted, Refused> {
    let mut comparable = earlier;
    for door in 0..DOORS.len() {
        if in_span[door].is_none() && earlier[door].is_none() {
            continue;
        }
        let is_known = heard::since(store, facilities, door, before(span))?;
        if !is_known {
            comparable[door] = None;
        }
        if !is_known || in_span[door].is_some() != earlier[door].is_some() {
            comparable[TOGETHER] = None;
        }
    }
    Ok(comparable)
}

/// Which doors are not in a span, but were in the one before.
fn without(in_span: &Counted, earlier: &Counted) -> Option<String> {
    let is_missing = |door: &usize| in_span[*door].is_none() && earlier[*door].is_some();
    let missing: Vec<&str> = (0..DOORS.len())
        .filter(is_missing)
        .map(|door| TITLES[door])
        .collect();
    (!missing.is_empty()).then(|| format!("without {}", missing.join(" and ")))
}

/// The span before, of the same length.
pub fn before(span: Span) -> Span {
    Span {
        from: (span.from - (span.to - span.from)).max(0),
        to: span.from,
    }
}

/// Users by door, and together; `None`: the door was not heard of.
type Counted = [Option<usize>; DOORS.len() + 1];

/// Users in a span.
fn count(store: &Connection, facilities: &[Facility], span: Span) -> Result<Counted, Refused> {
    let crowd = seen::within_span(store, facilities, &seen::doors(store)?, span)?;
    let mut counted = Counted::default();
    for (door, counted) in counted.iter_mut().take(DOORS.len()).enumerate() {
        if heard::any(store, facilities, door, span)? {
            *counted = Some(crowd.values().filter(|through| through[door]).count());
        }
    }
    let is_heard = counted.iter().any(Option::is_some);
    counted[TOGETHER] = is_heard.then_some(crowd.len());
    Ok(counted)
}

/// Users of a door now, and how many of its sources are silent; of batch, also those of which only jobs that
/// ended are heard of, and how many these are.
#[derive(Default)]
struct Door {
    users: HashSet<String>,
    sources: usize,
    silent: usize,
    unread: usize,
}

impl Door {
    fn is_heard(&self) -> bool {
        self.silent < self.sources
    }

    fn note(&self) -> Option<String> {
        match (self.silent, self.sources) {
            (_, 0) => Some("nothing was heard of it".into()),
            (0, _) => None,
            (silent, all) if silent == self.unread => Some(match all {
                1 => "its queue was not read".into(),
                _ => format!("{silent} of {all} queues were not read"),
            }),
            (_, 1) => Some("its source is silent".into()),
            (silent, all) => Some(format!("{silent} of {all} sources are silent")),
        }
    }
}

fn now(
    store: &Connection,
    now: i64,
    facilities: &[Facility],
    rows: &mut Rows,
) -> Result<(), Refused> {
    let mut doors: [Door; DOORS.len()] = Default::default();
    for facility in facilities {
        for source in sessions::sources(store, facility.id, now - SILENT_MS)? {
            let door = DOORS
                .iter()
                .position(|(_, kinds)| kinds.contains(&&*source.kind));
            let Some(door) = door.map(|door| &mut doors[door]) else {
                continue;
            };
            door.sources += 1;
            match source.users {
                Some(users) => door.users.extend(users),
                None => door.silent += 1,
            }
        }
        batch(store, now, facility, &mut doors[BATCH])?;
    }
    let mut together: HashSet<&str> = HashSet::new();
    let mut missing = Vec::new();
    for (title, door) in TITLES.iter().zip(&doors) {
        together.extend(door.users.iter().map(String::as_str));
        if door.sources > 0 && !door.is_heard() {
            missing.push(*title);
        }
        rows.push(vec![
            format!("{title} now").into(),
            door.is_heard().then_some(door.users.len()).into(),
            Datum::Null,
            door.note().into(),
        ])?;
    }
    let is_heard = doors.iter().any(Door::is_heard);
    let note = !missing.is_empty() && is_heard;
    rows.push(vec![
        "Together now".into(),
        is_heard.then_some(together.len()).into(),
        Datum::Null,
        note.then(|| format!("without {}", missing.join(" and ")))
            .into(),
    ])
}

/// Users with a job in the last 15 minutes, by the five minutes in which numbers of jobs are kept. Each batch
/// system is a source.
fn batch(
    store: &Connection,
    now: i64,
    facility: &Facility,
    door: &mut Door,
) -> Result<(), Refused> {
    let last = Span {
        from: (now - SILENT_MS).div_euclid(SLOT_MS) * SLOT_MS,
        // A document may be some minutes ahead.
        to: now + DAY_MS,
    };
    let mut read = store.prepare_cached(
        "SELECT users.name FROM seen JOIN users ON users.id = user JOIN kinds ON kinds.id = kind
         WHERE facility = ? AND day >= ? AND kinds.name = ? AND last >= ?",
    )?;
    for system in System::ALL {
        let series = systems::series(store, facility.id, Metric::Jobs, system)?;
        if series.is_empty() {
            continue;
        }
        door.sources += 1;
        if !heard::is_any(store, &systems::of_queue(&series), last)? {
            door.silent += 1;
            door.unread += usize::from(heard::is_any(store, &series, last)?);
            continue;
        }
        let kind = system.job_kind();
        let mut found = read.query(params![facility.id, day(last.from), kind, last.from])?;
        while let Some(row) = found.next()? {
            door.users.insert(row.get(0)?);
        }
    }
    Ok(())
}
