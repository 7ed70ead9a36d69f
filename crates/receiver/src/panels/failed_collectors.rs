//! What a collector was to read and could not: what its heartbeat says.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::Deserialize;

use super::Panel;
use crate::api::asked::{self, Asked, FACILITY, FORMAT};
use crate::api::newest::{self, Newest};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field};
use crate::documents::quoted;
use crate::draw::Draw;
use crate::draw::table::{Show, Table, column};
use crate::pages::QUALITY;

/// What is said in place of a table where no round is known, which is not that all is well.
pub const NO_ROUNDS: &str =
    "No round of the last 15 minutes is known, so nobody says what failed: --heartbeat sends them.";

/// Results that are no failure. What is left to another round is in that one's document.
const WELL: [&str; 2] = ["ok", "busy"];
/// All others that are known, the worst first, and what they mean.
const FAILURES: [(&str, &str); 4] = [
    ("failed", "could not be read"),
    ("timed_out", "did not answer in time"),
    ("malformed", "answered what is not understood"),
    ("not_here", "is not there"),
];

pub const PANEL: Panel = Panel {
    name: "failed-collectors",
    page: &QUALITY,
    title: "Collectors that failed",
    about: "As of now, whatever the span: what the newest round of each node could not read, the worst first. Why stands in that node's log. Of a node whose newest round is older than 15 minutes nothing is said here: what it said is no longer so, or the node is silent.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("collector", "Collector", Show::Text),
            column("means", "What it was to read", Show::Bad),
            column("node", "Node", Show::Node),
            column("facility", "Facility", Show::Text),
            column("time", "Round", Show::Ago),
        ],
        long: None,
        none: NO_ROUNDS,
    }),
};

pub const QUESTION: Question = Question {
    path: "failures",
    summary: "Collectors that failed in the newest round of their node",
    about: "From the newest `round` document of each node, which collectors send with `--heartbeat`, if it is of the last 15 minutes. A collector that could read all it was asked for, or was left to another round, is not in the list.",
    params: &[
        FACILITY,
        asked::limit(100, 1_000, "At most so many, the worst."),
        FORMAT,
    ],
    head: &[
        field(
            "nodes",
            Ty::Int,
            "Nodes with a round of the last 15 minutes.",
        ),
        field(
            "failing",
            Ty::Int,
            "Those of them where a collector failed.",
        ),
        field(
            "late",
            Ty::Int,
            "Nodes whose newest round is older: nothing is known of their collectors.",
        ),
        field(
            "says",
            Ty::MaybeText,
            "How it stands, in a sentence; null where no node has such a round.",
        ),
    ],
    fields: &[
        field("facility", Ty::Text, "The facility."),
        field("node", Ty::Text, "The node."),
        field("collector", Ty::Text, "The collector."),
        field(
            "result",
            Ty::Text,
            "failed, timed_out, malformed or not_here; or a word that only a newer collector knows.",
        ),
        field("means", Ty::Text, "The same in words."),
        field("time", Ty::Time, "When that round was."),
    ],
    answer: How::Rows(answer),
};

#[derive(Deserialize)]
struct Round {
    collectors: BTreeMap<String, Report>,
}

#[derive(Deserialize)]
struct Report {
    result: String,
}

/// A collector that failed.
struct Failure {
    facility: String,
    node: String,
    collector: String,
    result: String,
    time: i64,
}

/// Of how many nodes there is a round.
#[derive(Default)]
struct Rounds {
    fresh: usize,
    late: usize,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rounds = Rounds::default();
    let mut all: Vec<Failure> = Vec::new();
    for facility in asked.facilities(store)? {
        for newest in newest::of(store, facility.id, "round")? {
            match newest.is_silent(asked.now) {
                true => rounds.late += 1,
                false => {
                    rounds.fresh += 1;
                    all.extend(failures(&facility.name, &newest)?);
                }
            }
        }
    }
    // Within a result they stay in the order of facility, node and collector.
    all.sort_by_key(|one| rank(&one.result));
    let nodes: BTreeSet<_> = all.iter().map(|one| (&one.facility, &one.node)).collect();
    let mut rows = Rows::default();
    rows.head = vec![
        ("nodes", rounds.fresh.into()),
        ("failing", nodes.len().into()),
        ("late", rounds.late.into()),
        ("says", sentence(&rounds, nodes.len(), all.len()).into()),
    ];
    rows.cut = all.len().saturating_sub(asked.limit());
    for one in all.into_iter().take(asked.limit()) {
        rows.push(vec![
            one.facility.into(),
            one.node.into(),
            one.collector.into(),
            one.result.as_str().into(),
            meaning(&one.result).into(),
            Datum::Time(one.time),
        ])?;
    }
    Ok(rows)
}

fn failures(facility: &str, newest: &Newest) -> Result<Vec<Failure>, Refused> {
    let round: Round = newest.read()?;
    let mut all: Vec<Failure> = Vec::new();
    for (collector, Report { result }) in round.collectors {
        if !WELL.contains(&&*result) {
            all.push(Failure {
                facility: facility.to_owned(),
                node: newest.node.clone(),
                collector,
                result,
                time: newest.time,
            });
        }
    }
    Ok(all)
}

/// Its place among the failures; a word that is none of them comes last.
fn rank(result: &str) -> usize {
    let at = FAILURES.iter().position(|(word, _)| *word == result);
    at.unwrap_or(FAILURES.len())
}

fn meaning(result: &str) -> String {
    match FAILURES.iter().find(|(word, _)| *word == result) {
        Some((_, means)) => (*means).to_owned(),
        None => format!("ended as \"{}\"", quoted(result)),
    }
}

/// `None`: no round says anything.
fn sentence(rounds: &Rounds, failing: usize, failures: usize) -> Option<String> {
    let nodes = |count: usize| match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let says = match (rounds.fresh, failures) {
        (0, _) => return None,
        (all, 0) => format!(
            "All collectors could read all they were asked for ({}).",
            nodes(all)
        ),
        (all, 1) => format!("1 collector failed, on 1 of {}.", nodes(all)),
        (all, many) => format!("{many} collectors failed, on {failing} of {}.", nodes(all)),
    };
    Some(match rounds.late {
        0 => says,
        late => format!(
            "{says} The newest round of {} is older than 15 minutes.",
            nodes(late)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use afmetrics_document::kinds::RESULTS;

    #[test]
    fn every_result_of_the_kinds_is_well_or_a_failure() {
        for result in RESULTS {
            let is_failure = FAILURES.iter().any(|(word, _)| *word == result);
            assert_ne!(WELL.contains(&result), is_failure, "{result}");
        }
        assert_eq!(meaning("odd\n"), "ended as \"odd\u{fffd}\"");
    }

    #[test]
    fn a_sentence_says_how_it_stands() {
        let says = |fresh, late, failing, failures| {
            sentence(&Rounds { fresh, late }, failing, failures).unwrap_or_default()
        };
        assert_eq!(says(0, 0, 0, 0), "");
        assert_eq!(says(0, 3, 0, 0), "");
        assert_eq!(
            says(3, 0, 0, 0),
            "All collectors could read all they were asked for (3 nodes)."
        );
        assert_eq!(
            says(1, 2, 0, 0),
            "All collectors could read all they were asked for (1 node). The newest round of 2 nodes is older than 15 minutes."
        );
        assert_eq!(says(1, 0, 1, 1), "1 collector failed, on 1 of 1 node.");
        assert_eq!(
            says(9, 1, 2, 4),
            "4 collectors failed, on 2 of 9 nodes. The newest round of 1 node is older than 15 minutes."
        );
    }
}
