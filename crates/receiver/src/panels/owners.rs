//! How many users have notebooks.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::Deserialize;

use super::Panel;
use super::notebooks::KINDS;
use super::users_now::before;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::newest::SILENT_MS;
use crate::api::refused::Refused;
use crate::api::reply::{Rows, Ty};
use crate::api::seen::{self, JUPYTER as DOOR};
use crate::api::span::Span;
use crate::api::{How, Question, field, heard, newest};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::tiles::Tiles;
use crate::pages::JUPYTER;

pub const PANEL: Panel = Panel {
    name: "owners",
    page: &JUPYTER,
    title: "Users",
    about: "Each person counts once, whatever facilities and kinds they are in. Now: by the newest documents, of the last 15 minutes. The span is compared with the one before, of the same length, if the store knows that.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Tiles(Tiles {
        title: "what",
        value: "users",
        before: Some("before"),
        note: Some("note"),
        unit: Unit::Count,
    }),
};

pub const QUESTION: Question = Question {
    path: "owners",
    summary: "Users with a notebook, now and in a span",
    about: "Now: by the newest document of each kind, unless that is older than 15 minutes. In the span: who was seen is kept by the hour (see `users`).",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("what", Ty::Text, "What is counted."),
        field(
            "users",
            Ty::MaybeInt,
            "Users, each counted once; null where it is not known.",
        ),
        field(
            "before",
            Ty::MaybeInt,
            "The same of the span of the same length before, where it is known and makes sense.",
        ),
        field("note", Ty::MaybeText, "What is to be known about it."),
    ],
    answer: How::Rows(answer),
};

#[derive(Deserialize)]
struct Document {
    users: Vec<String>,
}

/// Who is there now by the newest documents, and what is silent.
#[derive(Default)]
struct Now {
    users: BTreeSet<String>,
    is_heard: bool,
    silent: Vec<String>,
}

impl Now {
    fn add(&mut self, store: &Connection, asked: &Asked, of: &Facility) -> Result<(), Refused> {
        for kind in KINDS {
            for newest in newest::of(store, of.id, kind)? {
                if newest.time < asked.now - SILENT_MS {
                    self.silent.push(format!("{kind} of {}", of.name));
                } else {
                    self.is_heard = true;
                    self.users.extend(newest.read::<Document>()?.users);
                }
            }
        }
        Ok(())
    }

    fn note(&self) -> Option<String> {
        (!self.silent.is_empty()).then(|| format!("Silent: {}.", self.silent.join(", ")))
    }
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let mut now = Now::default();
    for facility in &facilities {
        now.add(store, asked, facility)?;
    }
    let earlier = before(asked.exact);
    // Of a span that the store knows in part only, fewer were there for no reason.
    let before = match heard::since(store, &facilities, DOOR, earlier)? {
        true => unique(store, &facilities, earlier)?,
        false => None,
    };
    let mut rows = Rows::default();
    rows.push(vec![
        "Now".into(),
        now.is_heard.then_some(now.users.len()).into(),
        None::<i64>.into(),
        now.note().into(),
    ])?;
    rows.push(vec![
        "In the span".into(),
        unique(store, &facilities, asked.exact)?.into(),
        before.into(),
        None::<String>.into(),
    ])?;
    Ok(rows)
}

/// Users who were seen in a span; `None`: nothing was heard in it.
fn unique(
    store: &Connection,
    facilities: &[Facility],
    span: Span,
) -> Result<Option<usize>, Refused> {
    if !heard::any(store, facilities, DOOR, span)? {
        return Ok(None);
    }
    let crowd = seen::within_span(store, facilities, &seen::doors(store)?, span)?;
    Ok(Some(crowd.values().filter(|through| through[DOOR]).count()))
}
