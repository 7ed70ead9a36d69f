//! Which nodes there are, and when each was last heard of.

use rusqlite::Connection;

use super::asked::{Asked, FACILITY, FORMAT};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};

pub const QUESTION: Question = Question {
    path: "nodes",
    summary: "Nodes, and when each was last heard of",
    about: "Nodes are those named in `login_node`. Jupyter users, batch jobs and queues are of no node. A node whose newest document is older than `--keep-documents` days is forgotten.",
    params: &[FACILITY, FORMAT],
    head: &[],
    fields: &[
        field("facility", Ty::Text, "The node's facility."),
        field("node", Ty::Text, "The node."),
        field(
            "kinds",
            Ty::Texts,
            "Kinds of documents that came of it; in CSV with `;` between them.",
        ),
        field("last", Ty::Time, "When its newest document was collected."),
        field("seconds", Ty::Int, "How long ago that is, in seconds."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    let mut read = store.prepare_cached(
        "SELECT node, kinds.name, max(time) FROM latest JOIN kinds ON kinds.id = kind
         WHERE facility = ? AND node != '' GROUP BY node, kinds.name ORDER BY node, kinds.name",
    )?;
    for facility in asked.facilities(store)? {
        let mut nodes: Vec<(String, Vec<String>, i64)> = Vec::new();
        let mut found = read.query([facility.id])?;
        while let Some(row) = found.next()? {
            let (node, kind, time): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            match nodes.last_mut().filter(|last| last.0 == node) {
                Some((_, kinds, last)) => {
                    kinds.push(kind);
                    *last = time.max(*last);
                }
                None => nodes.push((node, vec![kind], time)),
            }
        }
        for (node, kinds, last) in nodes {
            rows.push(vec![
                facility.name.as_str().into(),
                node.into(),
                Datum::Texts(kinds),
                Datum::Time(last),
                ((asked.now - last).max(0) / 1000).into(),
            ])?;
        }
    }
    Ok(rows)
}
