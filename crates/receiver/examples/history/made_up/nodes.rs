//! The nodes: what each says in a round about itself, and about its round.

use std::collections::BTreeMap;

use afmetrics_document::{
    CollectorReport, CollectorResult, Document, PublishedHost, PublishedUser, Traffic,
};
use anyhow::Result;
use fastrand::Rng;

use super::chance::{around, between, happens, rounded};
use super::plan::{Plan, SILENT_MS, SILENT_NODE};
use super::request::Request;
use super::{disks, names};

pub struct Node {
    number: usize,
    host: PublishedHost,
    is_login: bool,
    cores: f64,
    /// Bytes.
    memory: u64,
}

/// What is going on at a node.
pub struct Moment<'a> {
    /// The facility's number.
    pub facility: usize,
    /// Milliseconds before the end.
    pub age: i64,
    /// The part of the places for jobs that is in use.
    pub busy: f64,
    /// Who is logged in here, each once.
    pub users: &'a [PublishedUser],
    /// What collectors other than those of every node have found: their names, and how many documents.
    pub besides: &'a [(&'static str, usize)],
}

/// The nodes of a facility.
pub fn nodes(plan: &Plan) -> Vec<Node> {
    let node = |(at, number): (usize, usize)| Node {
        number,
        host: names().host(&format!("node-{number:02}.made-up.example.org")),
        is_login: at < plan.login_nodes,
        cores: if at < plan.login_nodes { 16.0 } else { 64.0 },
        memory: if at < plan.login_nodes { 135 } else { 540 } * 1_000_000_000,
    };
    plan.nodes.clone().enumerate().map(node).collect()
}

impl Node {
    pub fn is_silent(&self, age: i64) -> bool {
        self.number == SILENT_NODE && age < SILENT_MS
    }

    /// Adds what this node has to say.
    ///
    /// # Errors
    /// A document that cannot be written.
    pub fn say(&self, rng: &mut Rng, now: &Moment<'_>, request: &mut Request) -> Result<()> {
        let mut found = now.besides.to_vec();
        if self.is_login {
            request.push(&self.ssh(now.users))?;
            found.push(("ssh", 1));
        }
        let effort = self.effort(rng, now);
        request.push(&Document::Cpu {
            login_node: self.host.clone(),
            load: rounded(effort * self.cores, 2),
        })?;
        request.push(&self.memory(rng, effort))?;
        request.push(&self.traffic(rng, effort))?;
        for disk in self.disks(now) {
            request.push(&disk)?;
        }
        found.extend([("load", 1), ("memory", 1), ("network", 1), ("disk", 2)]);
        request.push(&self.round(rng, &found))
    }

    /// How hard it works, from 0 to somewhat more than 1.
    fn effort(&self, rng: &mut Rng, now: &Moment<'_>) -> f64 {
        let work = match self.is_login {
            true => 0.02 + 0.04 * now.users.len() as f64,
            // Some have more to do than others.
            false => now.busy * (0.8 + (self.number * 7 % 5) as f64 * 0.07),
        };
        (work * around(rng, 1.0, 0.12) + rng.f64() * 0.02).max(0.001)
    }

    fn ssh(&self, users: &[PublishedUser]) -> Document {
        Document::Ssh {
            login_node: self.host.clone(),
            ssh_user_count: users.len() as u64,
            users: users.to_vec(),
        }
    }

    fn memory(&self, rng: &mut Rng, effort: f64) -> Document {
        let used = (0.07 + 0.6 * effort + rng.f64() * 0.02).min(0.97);
        Document::Mem {
            login_node: self.host.clone(),
            total: self.memory,
            available: ((1.0 - used) * self.memory as f64) as u64,
        }
    }

    fn traffic(&self, rng: &mut Rng, effort: f64) -> Document {
        // A worker node reads more than it writes.
        let bytes = effort * self.cores * 300.0 * 1_200_000.0;
        Document::Network {
            login_node: self.host.clone(),
            network: Traffic {
                interval: rounded(between(rng, 299.9, 300.1), 3),
                sent: (bytes * between(rng, 0.1, 0.4)) as u64 + 40_000,
                received: (bytes * between(rng, 0.6, 1.5)) as u64 + 90_000,
            },
        }
    }

    fn disks(&self, now: &Moment<'_>) -> [Document; 2] {
        let data = disks::disk(&self.host, "/data", 200, disks::data(now.facility, now.age));
        let other = match self.is_login {
            true => disks::disk(&self.host, "/home", 20, disks::home(now.age)),
            false => disks::disk(
                &self.host,
                "/scratch",
                4,
                disks::scratch(self.number, now.age),
            ),
        };
        [data, other]
    }

    fn round(&self, rng: &mut Rng, found: &[(&'static str, usize)]) -> Document {
        let (mut collectors, mut longest) = (BTreeMap::new(), 0.0_f64);
        for (name, documents) in found {
            // Its documents were read before it stopped; that is how a part that fails looks.
            let (result, duration) = match happens(rng, 0.0005) {
                true => (CollectorResult::TimedOut, 60.0),
                false => (CollectorResult::Ok, between(rng, 0.001, 0.3)),
            };
            longest = longest.max(duration);
            let report = CollectorReport {
                result,
                documents: *documents as u64,
                duration: rounded(duration, 3),
            };
            collectors.insert(*name, report);
        }
        Document::Round {
            login_node: self.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
            duration: rounded(longest + 0.01, 3),
            collectors,
        }
    }
}
