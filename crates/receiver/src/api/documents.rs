//! Raw documents, as a stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::asked::{self, Asked, FACILITY, FROM, Form, Param, TO};
use super::refused::Refused;
use super::reply::{self, Ty, Written};
use super::span::Span;
use super::{How, Question, field};
use crate::app::App;
use crate::documents::time;
use crate::store::block;

/// Streams at a time, and with one token: each holds some blocks.
const MOST_STREAMS: usize = 8;
const MOST_WITH_A_TOKEN: usize = 4;

/// Unpacked bytes, and blocks, that are read at once.
const PIECE: i64 = 4 * 1024 * 1024;
const MOST_BLOCKS: usize = 256;

/// A reader that takes nothing for so long is cut off.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How often a stream waits for its turn to read the store, 30 s each.
const TURNS: u32 = 20;

/// The last line of an answer that `limit` has cut.
const CUT: &str = "{\"cut\":true}\n";

pub const QUESTION: Question = Question {
    path: "documents",
    summary: "Raw documents",
    about: "As lines of JSON (NDJSON), as they were stored: without token, with `timestamp`. Hour by hour; within an hour by facility and kind, and these in the order in which they came. Documents are kept for `--keep-documents` days. They are read while they are sent: if that fails, or the reader takes nothing for 60 seconds, the connection is closed before the end of the chunked body. A viewer's token may have 4 such answers at a time, all together 8.",
    params: &[
        FACILITY,
        FROM,
        TO,
        asked::param_text("kind", "Only of this kind."),
        asked::param_text("user", "Only those in which this user is named."),
        Param {
            name: "limit",
            form: Form::Number {
                default: 0,
                most: i64::MAX,
            },
            about: "At most so many documents; otherwise all. If there are more, a line `{\"cut\":true}` is the last.",
        },
    ],
    head: &[],
    fields: &[
        field(
            "timestamp",
            Ty::Time,
            "When it was collected; further fields are those of its kind (docs/kinds.md).",
        ),
        field("kind", Ty::Text, "Its kind."),
        field("cluster", Ty::Text, "Its facility."),
    ],
    answer: How::Documents,
};

/// A place among those who read documents; it is free again when this goes.
struct Place(Option<i64>);

/// The tokens that documents are read with just now; `None`: on this machine, without one.
static READ_WITH: Mutex<Vec<Option<i64>>> = Mutex::new(Vec::new());

fn read_with() -> MutexGuard<'static, Vec<Option<i64>>> {
    READ_WITH
        .lock()
        .unwrap_or_else(|broken| broken.into_inner())
}

impl Place {
    fn take(token: Option<i64>) -> Result<Self, Refused> {
        let mut all = read_with();
        if all.len() >= MOST_STREAMS {
            return Err(Refused::Busy("8 others read documents: try again later"));
        }
        if all.iter().filter(|other| **other == token).count() >= MOST_WITH_A_TOKEN {
            return Err(Refused::Busy(
                "this token reads documents 4 times already: try again later",
            ));
        }
        all.push(token);
        Ok(Self(token))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = read_with();
        if let Some(at) = all.iter().position(|token| *token == self.0) {
            all.swap_remove(at);
        }
    }
}

/// What is read next.
struct Reading {
    app: Arc<App>,
    span: Span,
    user: Option<String>,
    /// Facilities and kinds.
    of: Arc<Vec<(i64, i64)>>,
    group: Group,
    left: u64,
    is_over: bool,
    _place: Place,
}

/// Documents of a facility, a kind and an hour. They keep their order, and more only come behind them; but
/// between two turns some small blocks may become a larger one. So a group is read by its documents, of
/// which some have been passed, and its blocks are listed again when one is not what it was.
#[derive(Debug, Clone, Default)]
struct Group {
    hour: i64,
    /// Where in the list of facilities and kinds.
    at: usize,
    /// Documents, whether asked for or not.
    all: i64,
    passed: i64,
    /// Blocks that are still to be read, last first.
    blocks: Vec<Listed>,
}

#[derive(Debug, Clone, Copy)]
struct Listed {
    id: i64,
    documents: i64,
    /// Documents of the group up to the end of this block.
    end: i64,
}

/// Packed lines, their unpacked length, and how many of the first are passed over.
type Packed = (Vec<u8>, i64, usize);

/// Part of an answer. One that ends without `End` has failed.
enum Piece {
    Lines(Bytes),
    End,
}

/// The answer, which is written while it is read.
pub async fn stream(
    app: &Arc<App>,
    asked: Asked,
    token: Option<i64>,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    if reply::form(None, headers) == Written::Csv {
        return Err(Refused::NoCsv);
    }
    let place = Place::take(token)?;
    let (span, limit) = (asked.exact, asked.number("limit"));
    let user = asked.word("user").map(ToOwned::to_owned);
    let of = Arc::new(super::read(app, move |store| of(store, &asked)).await?);
    let reading = Reading {
        app: Arc::clone(app),
        span,
        user,
        group: Group {
            hour: time::hour(span.from) - 1,
            at: of.len(),
            ..Group::default()
        },
        of,
        left: u64::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(u64::MAX),
        is_over: false,
        _place: place,
    };
    let (to, pieces) = channel(1);
    tokio::spawn(send(reading, to));
    let mut response = Body::from_stream(stream::unfold(Some(pieces), next)).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

type Next = (std::io::Result<Bytes>, Option<Receiver<Piece>>);

async fn next(pieces: Option<Receiver<Piece>>) -> Option<Next> {
    let mut pieces = pieces?;
    match pieces.recv().await {
        Some(Piece::Lines(lines)) => Some((Ok(lines), Some(pieces))),
        Some(Piece::End) => None,
        None => Some((Err(std::io::Error::other("cut off")), None)),
    }
}

/// Reads on for as long as somebody takes it.
async fn send(mut reading: Reading, to: Sender<Piece>) {
    loop {
        let piece = match piece(&mut reading).await {
            Ok(Some(lines)) => Piece::Lines(lines.into()),
            Ok(None) => Piece::End,
            Err(why) => {
                tracing::error!("documents cannot be read to the end: {why:?}");
                return;
            }
        };
        let is_end = matches!(piece, Piece::End);
        match tokio::time::timeout(READ_WITHIN, to.send(piece)).await {
            Ok(Ok(())) if !is_end => {}
            Ok(_) => return,
            Err(_) => {
                tracing::warn!("who reads documents took none for {READ_WITHIN:?}: cut off");
                return;
            }
        }
    }
}

fn of(store: &Connection, asked: &Asked) -> Result<Vec<(i64, i64)>, Refused> {
    let kinds: BTreeMap<String, i64> = store
        .prepare_cached("SELECT name, id FROM kinds")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let kinds: Vec<i64> = match asked.word("kind") {
        Some(kind) => match kinds.get(kind) {
            Some(kind) => vec![*kind],
            None => return Err(Refused::unknown("kind", kind)),
        },
        None => kinds.into_values().collect(),
    };
    let facilities = asked.facilities(store)?;
    let pairs = facilities
        .iter()
        .flat_map(|facility| kinds.iter().map(|kind| (facility.id, *kind)));
    Ok(pairs.collect())
}

/// The next lines. The store is read in between only, so that a slow reader holds nothing of it.
async fn piece(reading: &mut Reading) -> Result<Option<String>, Refused> {
    while !reading.is_over {
        let (of, span, group) = (Arc::clone(&reading.of), reading.span, &mut reading.group);
        if group.blocks.is_empty() {
            let (hour, at) = (group.hour, group.at + 1);
            let next = move |store: &Connection| next_group(store, &of, span, hour, at);
            match turn(&reading.app, next).await? {
                Some(group) => reading.group = group,
                None => reading.is_over = true,
            }
            continue;
        }
        let which = of[group.at];
        let some: Vec<Listed> = group
            .blocks
            .iter()
            .rev()
            .take(MOST_BLOCKS)
            .copied()
            .collect();
        let (hour, passed) = (group.hour, group.passed);
        let read = move |store: &Connection| packed(store, which, hour, &some, passed);
        let packed = turn(&reading.app, read).await?;
        let group = &mut reading.group;
        if packed.is_empty() {
            let before = group.clone();
            let again = move |store: &Connection| list(store, which, span, &before);
            *group = turn(&reading.app, again).await?;
            continue;
        }
        for _ in &packed {
            group.passed = group.blocks.pop().map_or(group.all, |block| block.end);
        }
        let (user, most) = (reading.user.clone(), reading.left);
        let unpacked =
            tokio::task::spawn_blocking(move || lines(&packed, span, user.as_deref(), most));
        let found = unpacked
            .await
            .map_err(|why| Refused::Failed(why.into()))??;
        reading.left -= found.n;
        reading.is_over = found.is_cut;
        if !found.lines.is_empty() {
            return Ok(Some(found.lines));
        }
    }
    Ok(None)
}

/// Reads the store, when it is this one's turn: questions come in between.
async fn turn<T: Send + 'static>(
    app: &App,
    what: impl Fn(&Connection) -> Result<T, Refused> + Clone + Send + 'static,
) -> Result<T, Refused> {
    for _ in 1..TURNS {
        match super::read(app, what.clone()).await {
            Err(Refused::TooSlow) => {}
            done => return done,
        }
    }
    super::read(app, what).await
}

/// The group from this place on that has something in the span.
fn next_group(
    store: &Connection,
    of: &[(i64, i64)],
    span: Span,
    mut hour: i64,
    mut at: usize,
) -> Result<Option<Group>, Refused> {
    loop {
        if at >= of.len() {
            let Some(next) = next_hour(store, of, span, hour)? else {
                return Ok(None);
            };
            (hour, at) = (next, 0);
        }
        let place = Group {
            hour,
            at,
            ..Group::default()
        };
        let group = list(store, of[at], span, &place)?;
        if !group.blocks.is_empty() {
            return Ok(Some(group));
        }
        at += 1;
    }
}

/// The next hour that has something.
fn next_hour(
    store: &Connection,
    of: &[(i64, i64)],
    span: Span,
    after: i64,
) -> Result<Option<i64>, Refused> {
    let mut next = store.prepare_cached(
        "SELECT min(hour) FROM blocks WHERE facility = ? AND kind = ? AND hour > ? AND hour <= ?",
    )?;
    let last = time::hour(span.to - 1);
    let mut hour: Option<i64> = None;
    for (facility, kind) in of {
        let found: Option<i64> =
            next.query_row(params![facility, kind, after, last], |row| row.get(0))?;
        hour = [hour, found].into_iter().flatten().min();
    }
    Ok(hour)
}

/// A group as it is now, with the blocks that are not passed and have something in the span.
fn list(
    store: &Connection,
    (facility, kind): (i64, i64),
    span: Span,
    before: &Group,
) -> Result<Group, Refused> {
    let mut read = store.prepare_cached(
        "SELECT id, documents, first, last FROM blocks WHERE facility = ? AND kind = ? AND hour = ? ORDER BY id",
    )?;
    let mut rows = read.query(params![facility, kind, before.hour])?;
    let mut group = Group {
        all: 0,
        blocks: Vec::new(),
        ..*before
    };
    while let Some(row) = rows.next()? {
        let (id, documents, first, last): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        group.all += documents;
        let end = group.all;
        if end > group.passed && last >= span.from && first < span.to {
            group.blocks.push(Listed { id, documents, end });
        }
    }
    // It was just dropped as too old.
    if group.all < before.all {
        group.blocks.clear();
    }
    group.blocks.reverse();
    Ok(group)
}

/// The first of these blocks that are still as they were listed.
fn packed(
    store: &Connection,
    (facility, kind): (i64, i64),
    hour: i64,
    blocks: &[Listed],
    passed: i64,
) -> Result<Vec<Packed>, Refused> {
    let mut read = store.prepare_cached(
        "SELECT data, bytes FROM blocks WHERE id = ? AND facility = ? AND kind = ? AND hour = ? AND documents = ?",
    )?;
    let (mut packed, mut sum) = (Vec::new(), 0);
    for block in blocks {
        let which = params![block.id, facility, kind, hour, block.documents];
        let found: Option<(Vec<u8>, i64)> = read
            .query_row(which, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((data, bytes)) = found else { break };
        let skip = (passed - (block.end - block.documents)).max(0);
        packed.push((data, bytes, usize::try_from(skip).unwrap_or(0)));
        sum += bytes;
        if sum >= PIECE {
            break;
        }
    }
    Ok(packed)
}

#[derive(Deserialize)]
struct Document {
    timestamp: String,
    #[serde(default)]
    users: Users,
}

/// One name, or several; anything else names nobody.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Users {
    One(String),
    Some(Vec<String>),
    Other(serde::de::IgnoredAny),
    #[default]
    Nobody,
}

impl Users {
    fn has(&self, user: &str) -> bool {
        match self {
            Users::One(one) => one == user,
            Users::Some(all) => all.iter().any(|one| one == user),
            Users::Other(_) | Users::Nobody => false,
        }
    }
}

/// Lines that are asked for, how many, and whether there are more than were asked for.
#[derive(Default)]
struct Found {
    lines: String,
    n: u64,
    is_cut: bool,
}

fn lines(packed: &[Packed], span: Span, user: Option<&str>, most: u64) -> Result<Found, Refused> {
    let mut found = Found::default();
    for (data, bytes, skip) in packed {
        for line in block::unpack(data, *bytes)?
            .split_inclusive('\n')
            .skip(*skip)
        {
            let document: Document =
                serde_json::from_str(line).map_err(|why| Refused::Failed(why.into()))?;
            let is_in = time::parse(&document.timestamp).is_some_and(|time| span.has(time));
            if !is_in || user.is_some_and(|user| !document.users.has(user)) {
                continue;
            }
            if found.n == most {
                found.lines.push_str(CUT);
                found.is_cut = true;
                return Ok(found);
            }
            found.lines.push_str(line);
            found.n += 1;
        }
    }
    Ok(found)
}
