//! Raw documents, as a stream.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::asked::{self, Asked, FACILITY, FROM, Form, Param, TO};
use super::refused::Refused;
use super::reply::Ty;
use super::span::Span;
use super::{How, Question, field};
use crate::app::App;
use crate::documents::time;
use crate::store::block;

/// Streams at a time: each holds some blocks.
const MOST_STREAMS: usize = 8;
static STREAMS: Semaphore = Semaphore::const_new(MOST_STREAMS);

/// Packed bytes that are read at once.
const PIECE: usize = 512 * 1024;

pub const QUESTION: Question = Question {
    path: "documents",
    summary: "Raw documents",
    about: "As lines of JSON (NDJSON), as they were stored: without token, with `timestamp`. Hour by hour; within an hour, in the order of what came together. Documents are kept for `--keep-documents` days. They are read while they are sent: if that fails, the connection is closed before the end of the chunked body.",
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
            about: "At most so many documents; otherwise all.",
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

/// What is read next.
struct Reading {
    app: Arc<App>,
    span: Span,
    user: Option<String>,
    /// Facilities and kinds.
    of: Arc<Vec<(i64, i64)>>,
    hour: i64,
    /// Blocks of this hour that are still to be read, in reverse.
    blocks: Vec<i64>,
    left: u64,
    _place: SemaphorePermit<'static>,
}

/// The answer, which is written while it is read.
pub async fn stream(app: &Arc<App>, asked: Asked) -> Result<Response, Refused> {
    let place = STREAMS
        .try_acquire()
        .map_err(|_| Refused::Busy("8 others read documents: try again later"))?;
    let (span, limit) = (asked.exact, asked.number("limit"));
    let user = asked.word("user").map(ToOwned::to_owned);
    let of = super::read(app, move |store| of(store, &asked)).await?;
    let reading = Reading {
        app: Arc::clone(app),
        span,
        user,
        of: Arc::new(of),
        hour: time::hour(span.from) - 1,
        blocks: Vec::new(),
        left: u64::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(u64::MAX),
        _place: place,
    };
    let pieces = stream::unfold(Some(reading), |reading| async move {
        match piece(reading?).await {
            Ok(Some((bytes, reading))) => Some((Ok(bytes), Some(reading))),
            Ok(None) => None,
            Err(why) => {
                tracing::error!("documents cannot be read to the end: {why:?}");
                Some((Err(std::io::Error::other("the store cannot be read")), None))
            }
        }
    });
    let mut response = Body::from_stream(pieces).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn of(store: &Connection, asked: &Asked) -> Result<Vec<(i64, i64)>, Refused> {
    let kinds: HashMap<String, i64> = store
        .prepare_cached("SELECT name, id FROM kinds")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let kinds: Vec<i64> = match asked.word("kind") {
        Some(kind) => kinds.get(kind).copied().into_iter().collect(),
        None => kinds.into_values().collect(),
    };
    let facilities = asked.facilities(store)?;
    let pairs = facilities
        .iter()
        .flat_map(|facility| kinds.iter().map(|kind| (facility.id, *kind)));
    Ok(pairs.collect())
}

/// The next lines, and what comes after them. The store is read in between only, so that a slow reader
/// holds nothing of it.
async fn piece(mut reading: Reading) -> Result<Option<(Bytes, Reading)>, Refused> {
    while reading.left > 0 {
        if reading.blocks.is_empty() {
            let (of, span, after) = (Arc::clone(&reading.of), reading.span, reading.hour);
            let next = super::read(&reading.app, move |store| {
                next_hour(store, &of, span, after)
            });
            let Some((hour, blocks)) = next.await? else {
                return Ok(None);
            };
            (reading.hour, reading.blocks) = (hour, blocks);
        }
        let ids = std::mem::take(&mut reading.blocks);
        let (packed, ids) = super::read(&reading.app, move |store| packed(store, ids)).await?;
        reading.blocks = ids;
        let (span, user, most) = (reading.span, reading.user.clone(), reading.left);
        let unpacked =
            tokio::task::spawn_blocking(move || lines(&packed, span, user.as_deref(), most));
        let (lines, n) = unpacked
            .await
            .map_err(|why| Refused::Failed(why.into()))??;
        reading.left -= n;
        if !lines.is_empty() {
            return Ok(Some((lines.into(), reading)));
        }
    }
    Ok(None)
}

/// The next hour that has something, and its blocks, last first.
fn next_hour(
    store: &Connection,
    of: &[(i64, i64)],
    span: Span,
    after: i64,
) -> Result<Option<(i64, Vec<i64>)>, Refused> {
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
    let Some(hour) = hour else { return Ok(None) };
    let mut blocks: Vec<(i64, i64)> = Vec::new();
    let mut read = store.prepare_cached(
        "SELECT first, id FROM blocks WHERE facility = ? AND kind = ? AND hour = ? AND last >= ? AND first < ?",
    )?;
    for (facility, kind) in of {
        let found = read.query_map(params![facility, kind, hour, span.from, span.to], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        for block in found {
            blocks.push(block?);
        }
    }
    blocks.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Some((hour, blocks.into_iter().map(|(_, id)| id).collect())))
}

/// Packed lines and their unpacked length.
type Packed = Vec<(Vec<u8>, i64)>;

/// Some of the blocks as they are stored, and which are left. One that is gone was too old.
fn packed(store: &Connection, mut ids: Vec<i64>) -> Result<(Packed, Vec<i64>), Refused> {
    let mut read = store.prepare_cached("SELECT data, bytes FROM blocks WHERE id = ?")?;
    let (mut packed, mut bytes) = (Packed::new(), 0);
    while bytes < PIECE
        && packed.len() < 8
        && let Some(id) = ids.pop()
    {
        let block: Option<(Vec<u8>, i64)> = read
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some(block) = block {
            bytes += block.0.len();
            packed.push(block);
        }
    }
    Ok((packed, ids))
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

/// The lines that are asked for, and how many.
fn lines(
    packed: &Packed,
    span: Span,
    user: Option<&str>,
    most: u64,
) -> Result<(String, u64), Refused> {
    let (mut lines, mut n) = (String::new(), 0);
    for (data, bytes) in packed {
        for line in block::unpack(data, *bytes)?.split_inclusive('\n') {
            if n == most {
                return Ok((lines, n));
            }
            let document: Document =
                serde_json::from_str(line).map_err(|why| Refused::Failed(why.into()))?;
            let is_in = time::parse(&document.timestamp).is_some_and(|time| span.has(time));
            if is_in && user.is_none_or(|user| document.users.has(user)) {
                lines.push_str(line);
                n += 1;
            }
        }
    }
    Ok((lines, n))
}
