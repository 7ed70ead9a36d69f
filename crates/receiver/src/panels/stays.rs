//! How long users of notebooks stay.

use foldhash::HashMap;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Panel;
use super::notebooks::KINDS;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::span::Span;
use crate::api::{How, Question, field};
use crate::documents::fields::Text;
use crate::documents::time::{self, DAY_MS};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::JUPYTER;
use crate::store::block;

pub const PANEL: Panel = Panel {
    name: "stays",
    page: &JUPYTER,
    title: "How long sessions last",
    about: "A session is a row of documents of one kind in which a user is named; more than ten minutes without the user end it. Documents come every five minutes, so lengths are exact to five minutes, and a session shorter than that may be missed. What began before the span, or goes on at its end, is cut there. At most the last 31 days of the span.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("length", "Length", Show::Text),
            column("sessions", "Sessions", Show::Bar(Unit::Count)),
            column("going", "Of them going on", Show::Number(Unit::Count)),
        ],
        long: None,
        none: "Nothing was heard of notebooks in this span.",
    }),
};

pub const QUESTION: Question = Question {
    path: "stays",
    summary: "How long users of notebooks stay",
    about: "A session: from the first to the last of the documents of one kind (jupyter-ml, jupyter-coffea) in which a user is named, with no more than ten minutes between two of them. Documents come every five minutes, so lengths are exact to five minutes, and a session shorter than that may be missed. What began before the span, or goes on at its end, is cut there. Of the span, at most the last 31 days are read, as far as documents are kept.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("length", Ty::Text, "The row's lengths, in words."),
        field(
            "most",
            Ty::MaybeInt,
            "The longest of them in seconds; null where there is no longest.",
        ),
        field("sessions", Ty::Int, "Sessions of such a length."),
        field(
            "going",
            Ty::Int,
            "Of them those that go on at the end of the span.",
        ),
    ],
    answer: How::Rows(answer),
};

const LONGEST_SPAN_MS: i64 = 31 * DAY_MS;
/// A longer time without the user ends a session.
const GAP_MS: i64 = 10 * 60_000;

const LENGTHS: [(&str, i64); 8] = [
    ("up to 15 min", 15 * 60),
    ("up to 30 min", 30 * 60),
    ("up to 1 h", 3_600),
    ("up to 2 h", 2 * 3_600),
    ("up to 4 h", 4 * 3_600),
    ("up to 8 h", 8 * 3_600),
    ("up to 1 day", 24 * 3_600),
    ("longer", i64::MAX),
];

/// Sessions of each length, and how many of them go on.
#[derive(Debug, Default, PartialEq)]
struct Lengths([(usize, usize); LENGTHS.len()]);

impl Lengths {
    fn add(&mut self, (first, last): (i64, i64), is_going: bool) {
        let seconds = (last - first) / 1000;
        let at = LENGTHS.iter().position(|(_, most)| seconds <= *most);
        let length = &mut self.0[at.unwrap_or(LENGTHS.len() - 1)];
        length.0 += 1;
        length.1 += usize::from(is_going);
    }
}

/// The sessions that are open while documents of one kind go by in the order of their time: who, the first and
/// the last time.
#[derive(Default)]
struct Open(HashMap<u32, (i64, i64)>);

impl Open {
    fn saw(&mut self, user: u32, time: i64, lengths: &mut Lengths) {
        let session = self.0.entry(user).or_insert((time, time));
        if time - session.1 > GAP_MS {
            lengths.add(*session, false);
            session.0 = time;
        }
        session.1 = time;
    }

    fn end(self, end: i64, lengths: &mut Lengths) {
        for session in self.0.into_values() {
            lengths.add(session, end - session.1 <= GAP_MS);
        }
    }
}

/// Users as numbers.
#[derive(Default)]
struct Users {
    numbers: HashMap<String, u32>,
    /// The list that was read last, as it was written: mostly the next document has the same.
    last: (String, Vec<u32>),
}

impl Users {
    fn of(&mut self, written: &str) -> serde_json::Result<Vec<u32>> {
        if self.last.0 != written {
            let names: Vec<Text<'_>> = serde_json::from_str(written)?;
            let numbers = names.iter().map(|name| self.number(&name.0)).collect();
            self.last = (written.to_owned(), numbers);
        }
        Ok(self.last.1.clone())
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    users: &'a RawValue,
}

/// Documents of an hour: the time of each, and who is named.
type Hour = Vec<(i64, Vec<u32>)>;

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let to = asked.exact.to.min(asked.now + 1);
    let span = Span {
        from: asked.exact.from.max(to - LONGEST_SPAN_MS),
        to,
    };
    let mut lengths = Lengths::default();
    let mut is_heard = false;
    for facility in asked.facilities(store)? {
        for kind in KINDS {
            is_heard |= read(store, facility.id, kind, span, &mut lengths)?;
        }
    }
    let mut rows = Rows::default();
    if is_heard {
        for ((name, most), (sessions, going)) in LENGTHS.iter().zip(lengths.0) {
            rows.push(vec![
                (*name).into(),
                Datum::from((*most < i64::MAX).then_some(*most)),
                sessions.into(),
                going.into(),
            ])?;
        }
    }
    Ok(rows)
}

/// Adds the sessions of a facility and kind. Returns whether there was any document.
fn read(
    store: &Connection,
    facility: i64,
    kind: &str,
    span: Span,
    lengths: &mut Lengths,
) -> Result<bool, Refused> {
    let mut blocks = store.prepare_cached(
        "SELECT hour, bytes, data FROM blocks
         WHERE facility = ? AND kind = (SELECT id FROM kinds WHERE name = ?) AND hour BETWEEN ? AND ?
         ORDER BY hour, id",
    )?;
    let (first, last) = (time::hour(span.from), time::hour(span.to - 1));
    let mut found = blocks.query(params![facility, kind, first, last])?;
    let (mut users, mut open) = (Users::default(), Open::default());
    let (mut hour, mut documents) = (first, Hour::new());
    let mut is_heard = false;
    while let Some(row) = found.next()? {
        let of: i64 = row.get(0)?;
        if of != hour {
            pass(&mut documents, &mut open, lengths);
            hour = of;
        }
        let packed = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let lines = block::unpack(packed, row.get(1)?)?;
        add(&lines, span, &mut users, &mut documents)?;
        is_heard |= !documents.is_empty();
    }
    pass(&mut documents, &mut open, lengths);
    open.end(span.to, lengths);
    Ok(is_heard)
}

/// Adds the documents of a block that are in the span.
fn add(lines: &str, span: Span, users: &mut Users, to: &mut Hour) -> Result<(), Refused> {
    for line in lines.lines() {
        let broken = |why: serde_json::Error| Refused::Failed(why.into());
        let document: Document<'_> = serde_json::from_str(line).map_err(broken)?;
        if let Some(time) = time::parse(&document.timestamp.0).filter(|time| span.has(*time)) {
            to.push((time, users.of(document.users.get()).map_err(broken)?));
        }
    }
    Ok(())
}

/// Lets an hour's documents go by, late ones in their place.
fn pass(documents: &mut Hour, open: &mut Open, lengths: &mut Lengths) {
    documents.sort_by_key(|(time, _)| *time);
    for (time, users) in documents.drain(..) {
        for user in users {
            open.saw(user, time, lengths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// The lengths of sessions of one user who is named at these minutes, up to an end.
    fn lengths(minutes: &[i64], end: i64) -> [(usize, usize); 8] {
        let (mut lengths, mut open) = (Lengths::default(), Open::default());
        let mut documents = minutes
            .iter()
            .map(|minute| (minute * MINUTE, vec![7]))
            .collect();
        pass(&mut documents, &mut open, &mut lengths);
        open.end(end * MINUTE, &mut lengths);
        lengths.0
    }

    #[test]
    fn a_session_ends_after_more_than_ten_minutes_without_the_user() {
        // 15 minutes with one document left out, then 20 minutes.
        let all = lengths(&[0, 5, 15, 30, 35, 40, 45, 50], 100);
        assert_eq!(all[..3], [(1, 0), (1, 0), (0, 0)]);
        // Eleven minutes are too many; one document is a session of no length.
        assert_eq!(lengths(&[0, 11], 100)[0], (2, 0));
    }

    #[test]
    fn documents_that_came_in_another_order_are_one_session() {
        assert_eq!(lengths(&[20, 0, 10], 100)[1], (1, 0));
    }

    #[test]
    fn what_was_there_ten_minutes_before_the_end_goes_on() {
        assert_eq!(lengths(&[0, 10, 20], 30)[1], (1, 1));
        assert_eq!(lengths(&[0, 10, 20], 31)[1], (1, 0));
    }

    #[test]
    fn lengths_are_up_to_their_bound() {
        let mut lengths = Lengths::default();
        for seconds in [900, 901, 86_400, 86_401, 9_000_000] {
            lengths.add((0, seconds * 1000), false);
        }
        let sessions = lengths.0.map(|(sessions, _)| sessions);
        assert_eq!(sessions, [1, 1, 0, 0, 0, 0, 1, 2]);
    }
}
