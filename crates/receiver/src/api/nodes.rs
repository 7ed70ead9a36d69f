//! Which nodes there are, when each was last heard of, and how it is.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::Deserialize;

use super::asked::{self, Asked, FACILITY, FORMAT};
use super::newest::{self, Newest};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};

pub const QUESTION: Question = Question {
    path: "nodes",
    summary: "Nodes, when each was last heard of, and how it is",
    about: "Nodes are those named in `login_node`. Jupyter users, batch jobs and queues are of no node. A node whose newest document is older than `--keep-documents` days is forgotten. Numbers are those of its newest documents; null where these are older than 15 minutes.",
    params: &[
        FACILITY,
        asked::param_text("node", "Only this node."),
        FORMAT,
    ],
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
        field(
            "state",
            Ty::Text,
            "ok, or silent where that is more than 15 minutes ago.",
        ),
        field("load", Ty::MaybeNumber, "1-minute load average."),
        field("memory", Ty::MaybeNumber, "Share of memory that is used."),
        field("sent", Ty::MaybeNumber, "Bytes a second that it sent."),
        field(
            "received",
            Ty::MaybeNumber,
            "Bytes a second that it received.",
        ),
        field(
            "fullest",
            Ty::MaybeNumber,
            "Used share of the file system with the largest, as `df` has it: used / (used + free).",
        ),
    ],
    answer: How::Rows(answer),
};

/// A node, as its newest documents have it.
#[derive(Default)]
struct Node {
    kinds: BTreeSet<String>,
    last: i64,
    load: Option<f64>,
    memory: Option<f64>,
    sent: Option<f64>,
    received: Option<f64>,
    fullest: Option<f64>,
}

#[derive(Deserialize)]
struct Cpu {
    load: f64,
}

#[derive(Deserialize)]
struct Memory {
    total: f64,
    available: f64,
}

#[derive(Deserialize)]
struct Network {
    network: Traffic,
}

#[derive(Deserialize)]
struct Traffic {
    interval: f64,
    sent: f64,
    received: f64,
}

#[derive(Deserialize)]
struct Disk {
    used: f64,
    /// What users may still write.
    free: f64,
}

/// A part of a whole, where there is a whole.
pub fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl Node {
    fn add(&mut self, newest: &Newest, now: i64) -> Result<(), Refused> {
        self.last = self.last.max(newest.time);
        self.kinds.insert(newest.kind.clone());
        if newest.is_silent(now) {
            return Ok(());
        }
        match &*newest.kind {
            "CPU" => self.load = Some(newest.read::<Cpu>()?.load),
            "MEM" => {
                let Memory { total, available } = newest.read()?;
                self.memory = share(total - available, total);
            }
            "NETWORK" => {
                let traffic = newest.read::<Network>()?.network;
                self.sent = share(traffic.sent, traffic.interval);
                self.received = share(traffic.received, traffic.interval);
            }
            "DISK" => {
                let Disk { used, free } = newest.read()?;
                let fullest = share(used, used + free).into_iter().chain(self.fullest);
                self.fullest = fullest.reduce(f64::max);
            }
            _ => {}
        }
        Ok(())
    }
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    for facility in asked.facilities(store)? {
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        for newest in newest::all(store, facility.id)? {
            let is_asked = asked.word("node").is_none_or(|node| node == newest.node);
            if !newest.node.is_empty() && is_asked {
                let node = nodes.entry(newest.node.clone()).or_default();
                node.add(&newest, asked.now)?;
            }
        }
        for (name, node) in nodes {
            rows.push(vec![
                facility.name.as_str().into(),
                name.into(),
                Datum::Texts(node.kinds.into_iter().collect()),
                Datum::Time(node.last),
                ((asked.now - node.last).max(0) / 1000).into(),
                newest::state(node.last, asked.now).into(),
                node.load.into(),
                node.memory.into(),
                node.sent.into(),
                node.received.into(),
                node.fullest.into(),
            ])?;
        }
    }
    Ok(rows)
}
