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

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    let mut unique = BTreeSet::new();
    let mut read = store.prepare_cached(
        "SELECT kinds.name, node, time, document FROM latest JOIN kinds ON kinds.id = kind
         WHERE facility = ? AND kinds.name IN ('ssh', 'jupyter-ml', 'jupyter-coffea') ORDER BY kinds.name DESC, node",
    )?;
    for facility in asked.facilities(store)? {
        let mut found = read.query([facility.id])?;
        while let Some(row) = found.next()? {
            let (kind, node, time): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let is_silent = time < asked.now - asked.number("minutes") * 60_000;
            let users = match is_silent {
                true => None,
                false => {
                    let document: Document = serde_json::from_str(
                        row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?,
                    )
                    .map_err(|why| Refused::Failed(why.into()))?;
                    unique.extend(document.users.iter().cloned());
                    Some(document.users)
                }
            };
            rows.push(vec![
                facility.name.as_str().into(),
                kind.into(),
                (!node.is_empty()).then_some(node).into(),
                Datum::Time(time),
                ((asked.now - time).max(0) / 1000).into(),
                Datum::Bool(is_silent),
                users.map(Datum::Texts).into(),
            ])?;
        }
    }
    rows.head.push(("unique", unique.len().into()));
    Ok(rows)
}
