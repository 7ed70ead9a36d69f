//! How long users of notebooks stay.

use std::rc::Rc;

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
    about: "A session is a row of documents of one kind in which a user is named; more than twelve minutes without the user (two rounds and some slack) end it. Documents come every five minutes, so lengths are exact to five minutes, and a session shorter than that may be missed. What began before the span, or goes on at its end, is cut there. At most the last 31 days of the span; of several facilities the last two.",
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
    about: "A session: from the first to the last of the documents of one kind (jupyter-ml, jupyter-coffea) in which a user is named, with no more than twelve minutes between two of them (two rounds and some slack). Documents come every five minutes, so lengths are exact to five minutes, and a session shorter than that may be missed. What began before the span, or goes on at its end, is cut there. Of the span, at most the last 31 days are read, of several facilities the last two, as far as documents are kept.",
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

/// The longest span of one facility, and of several: all their documents are read.
const LONGEST_MS: i64 = 31 * DAY_MS;
const LONGEST_OF_SEVERAL_MS: i64 = 2 * DAY_MS;
/// A longer time without the user ends a session: two rounds, and slack for when in a round a document is made.
const GAP_MS: i64 = 12 * 60_000;
/// So many documents and names of an hour are put in order; more go by as they came.
const MOST_AT_ONCE: usize = 1_000_000;

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
            *session = (time, time);
        }
        *session = (session.0.min(time), session.1.max(time));
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
    last: (String, Rc<[u32]>),
}

impl Users {
    fn of(&mut self, written: &str) -> serde_json::Result<Rc<[u32]>> {
        if self.last.0 != written {
            let names: Vec<Text<'_>> = serde_json::from_str(written)?;
            let numbers = names.iter().map(|name| self.number(&name.0)).collect();
            self.last = (written.to_owned(), numbers);
        }
        Ok(Rc::clone(&self.last.1))
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
type Hour = Vec<(i64, Rc<[u32]>)>;

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let longest = match facilities.len() {
        0 | 1 => LONGEST_MS,
        _ => LONGEST_OF_SEVERAL_MS,
    };
    let to = asked.exact.to.min(asked.now + 1);
    let span = Span {
        from: asked.exact.from.max(to - longest),
        to,
    };
    let mut lengths = Lengths::default();
    let mut is_heard = false;
    for facility in facilities {
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
        "SELECT hour, bytes, data, id FROM blocks
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
        let id: i64 = row.get(3)?;
        match block::unpack(packed, row.get(1)?) {
            Ok(lines) => add(&lines, id, span, &mut users, &mut documents),
            Err(why) => left_out(id, &why),
        }
        is_heard |= !documents.is_empty();
        if weight(&documents) > MOST_AT_ONCE {
            pass(&mut documents, &mut open, lengths);
        }
    }
    pass(&mut documents, &mut open, lengths);
    open.end(span.to, lengths);
    Ok(is_heard)
}

/// Adds the documents of a block that are in the span.
fn add(lines: &str, block: i64, span: Span, users: &mut Users, to: &mut Hour) {
    for line in lines.lines() {
        match read_line(line, span, users) {
            Ok(document) => to.extend(document),
            Err(why) => left_out(block, &why.into()),
        }
    }
}

/// When a document of the span was collected, and who is named in it.
fn read_line(
    line: &str,
    span: Span,
    users: &mut Users,
) -> serde_json::Result<Option<(i64, Rc<[u32]>)>> {
    let document: Document<'_> = serde_json::from_str(line)?;
    let time = time::parse(&document.timestamp.0).filter(|time| span.has(*time));
    time.map(|time| Ok((time, users.of(document.users.get())?)))
        .transpose()
}

/// Says that something damaged is not in an answer.
fn left_out(block: i64, why: &anyhow::Error) {
    tracing::error!(
        "what is damaged in block {block} is left out of an answer: {why:#}; see `afmetrics_receiver check`"
    );
}

/// How much an hour has in memory: documents, and names of lists that are not those of the document before.
fn weight(documents: &Hour) -> usize {
    let mut last: Option<&Rc<[u32]>> = None;
    let mut names = 0;
    for (_, list) in documents {
        if last.is_none_or(|last| !Rc::ptr_eq(last, list)) {
            names += list.len();
        }
        last = Some(list);
    }
    documents.len() + names
}

/// Lets an hour's documents go by, late ones in their place.
fn pass(documents: &mut Hour, open: &mut Open, lengths: &mut Lengths) {
    documents.sort_by_key(|(time, _)| *time);
    for (time, users) in documents.drain(..) {
        for user in users.iter() {
            open.saw(*user, time, lengths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    const MINUTE: i64 = 60_000;

    /// The lengths of sessions of one user who is named at these minutes, up to an end.
    fn lengths(minutes: &[i64], end: i64) -> [(usize, usize); 8] {
        let (mut lengths, mut open) = (Lengths::default(), Open::default());
        let mut documents = minutes
            .iter()
            .map(|minute| (minute * MINUTE, Rc::from([7])))
            .collect();
        pass(&mut documents, &mut open, &mut lengths);
        open.end(end * MINUTE, &mut lengths);
        lengths.0
    }

    #[test]
    fn a_session_ends_after_more_than_twelve_minutes_without_the_user() {
        // 17 minutes with one document left out and another late, then 20 minutes.
        let all = lengths(&[0, 5, 17, 30, 35, 40, 45, 50], 100);
        assert_eq!(all[..3], [(0, 0), (2, 0), (0, 0)]);
        // Thirteen minutes are too many; one document is a session of no length.
        assert_eq!(lengths(&[0, 13], 100)[0], (2, 0));
    }

    #[test]
    fn documents_that_came_in_another_order_are_one_session() {
        assert_eq!(lengths(&[20, 0, 10], 100)[1], (1, 0));
    }

    #[test]
    fn what_was_there_twelve_minutes_before_the_end_goes_on() {
        assert_eq!(lengths(&[0, 10, 20], 32)[1], (1, 1));
        assert_eq!(lengths(&[0, 10, 20], 33)[1], (1, 0));
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

    #[test]
    fn a_damaged_block_is_left_out_and_the_others_are_read() {
        let store = Connection::open_in_memory().unwrap();
        schema::fill(&store).unwrap();
        let mut add = store
            .prepare("INSERT INTO blocks VALUES (NULL, 1, 1, 0, 0, 0, 0, 1, ?, ?)")
            .unwrap();
        let mut packer = block::Packer::new().unwrap();
        let mut block = |minute: i64| {
            let time = time::text(minute * MINUTE);
            let line = format!("{{\"timestamp\":\"{time}\",\"users\":[\"canary-1\"]}}\n{{\n");
            (
                i64::try_from(line.len()).unwrap(),
                packer.pack(&line).unwrap(),
            )
        };
        let blocks = [block(0), (9, b"no block".to_vec()), block(10), block(20)];
        for (bytes, data) in blocks {
            add.execute(params![bytes, data]).unwrap();
        }
        store
            .execute("INSERT INTO kinds VALUES (1, 'jupyter-ml')", [])
            .unwrap();
        let (mut lengths, span) = (
            Lengths::default(),
            Span {
                from: 0,
                to: DAY_MS,
            },
        );
        let is_heard = read(&store, 1, "jupyter-ml", span, &mut lengths);
        assert!(is_heard.ok().unwrap());
        assert_eq!(lengths.0[..2], [(0, 0), (1, 0)]);
    }
}
