//! Who is there now.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::Deserialize;

use super::asked::{Asked, FACILITY, FORMAT, Form, Param};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};

pub const QUESTION: Question = Question {
    path: "sessions",
    summary: "Who is there now",
    about: "The newest `ssh` document of each node, and the newest of each Jupyter kind. One that is older than `minutes` is silent: who is there is not known.",
    params: &[
        FACILITY,
        Param {
            name: "minutes",
            form: Form::Number {
                default: 10,
                most: 525_600,
            },
            about: "How old a document may be to say who is there now.",
        },
        FORMAT,
    ],
    head: &[field(
        "unique",
        Ty::Int,
        "Users who are there now, each counted once.",
    )],
    fields: &[
        field("facility", Ty::Text, "The facility."),
        field("kind", Ty::Text, "ssh, jupyter-ml or jupyter-coffea."),
        field("node", Ty::MaybeText, "The node; null for Jupyter."),
        field("time", Ty::Time, "When the document was collected."),
        field("seconds", Ty::Int, "How long ago that is, in seconds."),
        field("silent", Ty::Bool, "Whether that is too long ago."),
        field(
            "users",
            Ty::MaybeTexts,
            "Who is there; in CSV with `;` between them. Null where silent.",
        ),
    ],
    answer: How::Rows(answer),
};

#[derive(Deserialize)]
struct Document {
    users: Vec<String>,
}

/// Who says who is there: a node, or the kind of Jupyter.
pub struct Source {
    pub kind: String,
    /// Empty: of no node.
    pub node: String,
    /// Of its newest document, milliseconds since 1970.
    pub time: i64,
    /// `None`: silent.
    pub users: Option<Vec<String>>,
}

/// A facility's sources; silent is whose newest document is from before `oldest`.
pub fn sources(store: &Connection, facility: i64, oldest: i64) -> Result<Vec<Source>, Refused> {
    let mut read = store.prepare_cached(
        "SELECT kinds.name, node, time, document FROM latest JOIN kinds ON kinds.id = kind
         WHERE facility = ? AND kinds.name IN ('ssh', 'jupyter-ml', 'jupyter-coffea') ORDER BY kinds.name DESC, node",
    )?;
    let mut found = read.query([facility])?;
    let mut sources = Vec::new();
    while let Some(row) = found.next()? {
        let time: i64 = row.get(2)?;
        let users = match time < oldest {
            true => None,
            false => {
                let text = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
                let document: Document =
                    serde_json::from_str(text).map_err(|why| Refused::Failed(why.into()))?;
                Some(document.users)
            }
        };
        sources.push(Source {
            kind: row.get(0)?,
            node: row.get(1)?,
            time,
            users,
        });
    }
    Ok(sources)
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    let mut unique = BTreeSet::new();
    let oldest = asked.now - asked.number("minutes") * 60_000;
    for facility in asked.facilities(store)? {
        for source in sources(store, facility.id, oldest)? {
            unique.extend(source.users.iter().flatten().cloned());
            rows.push(vec![
                facility.name.as_str().into(),
                source.kind.into(),
                (!source.node.is_empty()).then_some(source.node).into(),
                Datum::Time(source.time),
                ((asked.now - source.time).max(0) / 1000).into(),
                Datum::Bool(source.users.is_none()),
                source.users.map(Datum::Texts).into(),
            ])?;
        }
    }
    rows.head.push(("unique", unique.len().into()));
    Ok(rows)
}
