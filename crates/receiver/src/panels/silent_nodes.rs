//! What stopped reporting.

use std::cmp::Reverse;

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT};
use crate::api::newest::SILENT_MS;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, facilities, field};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::OVERVIEW;

pub const PANEL: Panel = Panel {
    name: "silent-nodes",
    page: &OVERVIEW,
    title: "Nodes that stopped reporting",
    about: "As of now, whatever the span: a node or a facility is silent when nothing that was collected there in the last 15 minutes has come. A node is forgotten with its last document.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("state", "State", Show::State),
            column("node", "Node", Show::Node),
            column("last", "Last heard of", Show::Ago),
            column("facility", "Facility", Show::Facility),
            column("nodes", "Its nodes", Show::Number(Unit::Count)),
        ],
        long: None,
        none: "Nothing was heard of any node yet.",
    }),
};

pub const QUESTION: Question = Question {
    path: "silences",
    summary: "Nodes and facilities that stopped reporting",
    about: "Of which nothing is there that was collected in the last 15 minutes: facilities first, then nodes of the others, what fell silent last first. Those that report are counted only.",
    params: &[FACILITY, FORMAT],
    head: &[
        field("nodes", Ty::Int, "Nodes that are known."),
        field("silent", Ty::Int, "Those of them that are silent."),
        field("facilities", Ty::Int, "Facilities that are known."),
        field("says", Ty::Text, "How it stands, in a sentence."),
    ],
    fields: &[
        field("state", Ty::Text, "silent."),
        field("what", Ty::Text, "facility (all of it) or node."),
        field(
            "nodes",
            Ty::MaybeInt,
            "Of a facility: how many nodes of it are known; they are not named one by one.",
        ),
        field("facility", Ty::Text, "The facility."),
        field(
            "node",
            Ty::MaybeText,
            "The node; null for all of a facility.",
        ),
        field(
            "last",
            Ty::MaybeTime,
            "When the newest document was collected.",
        ),
    ],
    answer: How::Rows(answer),
};

/// Something that is silent.
struct Silent {
    facility: String,
    /// `None`: all of the facility.
    node: Option<String>,
    /// Of a facility.
    nodes: Option<usize>,
    /// Its newest document.
    last: Option<i64>,
}

/// How many there are, and how many of them are silent.
#[derive(Default)]
struct Counted {
    all: usize,
    silent: usize,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let oldest = asked.now - SILENT_MS;
    let (mut nodes, mut facilities) = (Counted::default(), Counted::default());
    let mut silent: Vec<Silent> = Vec::new();
    let mut read = store.prepare_cached(
        "SELECT node, max(time) FROM latest WHERE facility = ? AND node != '' GROUP BY node",
    )?;
    for facility in asked.facilities(store)? {
        let last = facilities::last(store, facility.id)?;
        let is_silent = last.is_none_or(|last| last < oldest);
        facilities.add(is_silent);
        let mut rows = read.query([facility.id])?;
        let before = nodes.all;
        while let Some(row) = rows.next()? {
            let (node, last): (String, i64) = (row.get(0)?, row.get(1)?);
            nodes.add(last < oldest);
            if last < oldest && !is_silent {
                silent.push(Silent {
                    facility: facility.name.clone(),
                    node: Some(node),
                    nodes: None,
                    last: Some(last),
                });
            }
        }
        if is_silent {
            silent.push(Silent {
                facility: facility.name,
                node: None,
                nodes: Some(nodes.all - before),
                last,
            });
        }
    }
    silent.sort_by_key(|one| {
        let (facility, node) = (one.facility.clone(), one.node.clone());
        (node.is_some(), Reverse(one.last), facility, node)
    });
    let mut rows = Rows::default();
    rows.head = vec![
        ("nodes", nodes.all.into()),
        ("silent", nodes.silent.into()),
        ("facilities", facilities.all.into()),
        ("says", sentence(&nodes, &facilities).into()),
    ];
    for one in silent {
        rows.push(vec![
            "silent".into(),
            if one.node.is_some() {
                "node"
            } else {
                "facility"
            }
            .into(),
            one.nodes.into(),
            one.facility.into(),
            one.node.into(),
            one.last.map(Datum::Time).into(),
        ])?;
    }
    Ok(rows)
}

impl Counted {
    fn add(&mut self, is_silent: bool) {
        self.all += 1;
        self.silent += usize::from(is_silent);
    }
}

fn sentence(nodes: &Counted, facilities: &Counted) -> String {
    let counted = |count: usize, one: &str, more: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    };
    let all_nodes = counted(nodes.all, "node", "nodes");
    let all_facilities = counted(facilities.all, "facility", "facilities");
    match (nodes, facilities) {
        (_, Counted { all: 0, .. }) => "Nothing was heard of any node yet.".into(),
        (Counted { silent: 0, all: 0 }, Counted { silent: 0, .. }) => {
            format!("No node is known; {all_facilities} heard of within 15 minutes.")
        }
        (Counted { silent: 0, all: 1 }, Counted { silent: 0, .. }) => {
            "The only node was heard of within 15 minutes.".into()
        }
        (Counted { silent: 0, .. }, Counted { silent: 0, .. }) => {
            format!("All {all_nodes} were heard of within 15 minutes.")
        }
        (_, Counted { silent: 0, .. }) => format!(
            "{} of {all_nodes} silent; the others were heard of within 15 minutes.",
            nodes.silent
        ),
        _ => format!(
            "{} of {all_facilities} and {} of {all_nodes} silent.",
            facilities.silent, nodes.silent
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_how_it_stands() {
        let of = |all, silent| Counted { all, silent };
        for (nodes, facilities, says) in [
            (of(0, 0), of(0, 0), "Nothing was heard of any node yet."),
            (
                of(40, 0),
                of(2, 0),
                "All 40 nodes were heard of within 15 minutes.",
            ),
            (
                of(0, 0),
                of(1, 0),
                "No node is known; 1 facility heard of within 15 minutes.",
            ),
            (
                of(40, 3),
                of(2, 0),
                "3 of 40 nodes silent; the others were heard of within 15 minutes.",
            ),
            (
                of(3, 0),
                of(2, 1),
                "1 of 2 facilities and 0 of 3 nodes silent.",
            ),
        ] {
            assert_eq!(sentence(&nodes, &facilities), says);
        }
    }
}
