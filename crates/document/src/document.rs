//! One variant of [`Document`] for each way a fact is written. Names in it are published names by
//! type: a collector cannot put in the name that it read. Only what one audience may hear of it can be
//! written ([`Document::heard_by`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::names::{PublishedHost, PublishedUser};

/// One document as a collector hands it on. As one audience hears it ([`Heard`]), it serializes to a flat JSON
/// object that begins with `kind`; `cluster` is put in front when it is stored, `token` when it is sent.
///
/// Fields, units and where each number comes from are in [`crate::kinds::KINDS`], which a test
/// holds against what is serialized here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind")]
pub enum Document<User = PublishedUser, Host = PublishedHost> {
    #[serde(rename = "ssh")]
    Ssh {
        login_node: Host,
        ssh_user_count: u64,
        users: Vec<User>,
    },
    #[serde(rename = "jupyter-ml")]
    JupyterMl {
        jupyter_user_count: u64,
        users: Vec<User>,
    },
    #[serde(rename = "jupyter-coffea")]
    JupyterCoffea {
        jupyter_user_count: u64,
        users: Vec<User>,
    },
    #[serde(rename = "condorjob")]
    CondorJob {
        users: User,
        #[serde(rename = "Id")]
        id: String,
        #[serde(rename = "Runtime")]
        runtime: i64,
        state: &'static str,
        /// From here on: only where details were asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        schedd: Option<Host>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cores: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        memory: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hold_reason_code: Option<i64>,
    },
    #[serde(rename = "condorqueue")]
    CondorQueue {
        queue: String,
        /// The schedd that was asked, where it is one of several: it stands behind the queue's name.
        #[serde(skip)]
        schedd: Option<Host>,
        idle: i64,
        running: i64,
        held: i64,
        allocated_cores: i64,
        allocated_mem: i64,
    },
    #[serde(rename = "slurmjob")]
    SlurmJob {
        users: User,
        #[serde(rename = "Id")]
        id: String,
        #[serde(rename = "Runtime")]
        runtime: i64,
        state: Cow<'static, str>,
        partition: String,
        /// Hidden like a user: it may be named after one.
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<User>,
        cores: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        tasks: Option<u64>,
    },
    #[serde(rename = "slurmqueue")]
    SlurmQueue {
        queue: String,
        idle: i64,
        running: i64,
        held: i64,
        allocated_cores: i64,
        allocated_mem: i64,
    },
    #[serde(rename = "CPU")]
    Cpu { login_node: Host, load: f64 },
    #[serde(rename = "MEM")]
    Mem {
        login_node: Host,
        total: u64,
        available: u64,
    },
    #[serde(rename = "NETWORK")]
    Network { login_node: Host, network: Traffic },
    #[serde(rename = "DISK")]
    Disk {
        login_node: Host,
        mount: String,
        total: u64,
        used: u64,
        free: u64,
        utilization: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<Host>,
    },
    #[serde(rename = "round")]
    Round {
        login_node: Host,
        version: &'static str,
        duration: f64,
        collectors: BTreeMap<&'static str, CollectorReport>,
    },
}

/// A document as one audience hears it: the only form in which it can be written.
pub type Heard<'a> = Document<&'a str, &'a str>;

impl Document {
    /// Whether nobody could say of a user in it whether this audience is to hear of him: then it cannot be
    /// written for that audience, with or without him.
    pub fn is_unknown_to(&self, audience: usize) -> bool {
        let users = match self {
            Self::Ssh { users, .. }
            | Self::JupyterMl { users, .. }
            | Self::JupyterCoffea { users, .. } => users.as_slice(),
            Self::CondorJob { users, .. } | Self::SlurmJob { users, .. } => {
                std::slice::from_ref(users)
            }
            _ => &[],
        };
        users
            .iter()
            .any(|user| user.may_be_heard_by(audience).is_none())
    }

    /// The document for an audience; `None`: it is about a user of whom that one is not to hear.
    #[expect(
        clippy::too_many_lines,
        reason = "every field of every kind, once, and nothing else"
    )]
    pub fn heard_by(&self, audience: usize) -> Option<Heard<'_>> {
        Some(match self {
            Self::Ssh {
                login_node,
                ssh_user_count: _,
                users,
            } => {
                let users = all(users, audience);
                Document::Ssh {
                    login_node: login_node.heard_by(audience)?,
                    ssh_user_count: users.len() as u64,
                    users,
                }
            }
            Self::JupyterMl {
                jupyter_user_count: _,
                users,
            } => {
                let users = all(users, audience);
                Document::JupyterMl {
                    jupyter_user_count: users.len() as u64,
                    users,
                }
            }
            Self::JupyterCoffea {
                jupyter_user_count: _,
                users,
            } => {
                let users = all(users, audience);
                Document::JupyterCoffea {
                    jupyter_user_count: users.len() as u64,
                    users,
                }
            }
            Self::CondorJob {
                users,
                id,
                runtime,
                state,
                schedd,
                cores,
                memory,
                hold_reason_code,
            } => Document::CondorJob {
                users: users.heard_by(audience)?,
                id: id.clone(),
                runtime: *runtime,
                state,
                schedd: schedd.as_ref().and_then(|name| name.heard_by(audience)),
                cores: *cores,
                memory: *memory,
                hold_reason_code: *hold_reason_code,
            },
            Self::CondorQueue {
                queue,
                schedd,
                idle,
                running,
                held,
                allocated_cores,
                allocated_mem,
            } => Document::CondorQueue {
                queue: match schedd.as_ref().map(|name| name.heard_by(audience)) {
                    Some(schedd) => format!("{queue}@{}", schedd?),
                    None => queue.clone(),
                },
                schedd: None,
                idle: *idle,
                running: *running,
                held: *held,
                allocated_cores: *allocated_cores,
                allocated_mem: *allocated_mem,
            },
            Self::SlurmJob {
                users,
                id,
                runtime,
                state,
                partition,
                account,
                cores,
                tasks,
            } => Document::SlurmJob {
                users: users.heard_by(audience)?,
                id: id.clone(),
                runtime: *runtime,
                state: state.clone(),
                partition: partition.clone(),
                account: account.as_ref().and_then(|name| name.heard_by(audience)),
                cores: *cores,
                tasks: *tasks,
            },
            Self::SlurmQueue {
                queue,
                idle,
                running,
                held,
                allocated_cores,
                allocated_mem,
            } => Document::SlurmQueue {
                queue: queue.clone(),
                idle: *idle,
                running: *running,
                held: *held,
                allocated_cores: *allocated_cores,
                allocated_mem: *allocated_mem,
            },
            Self::Cpu { login_node, load } => Document::Cpu {
                login_node: login_node.heard_by(audience)?,
                load: *load,
            },
            Self::Mem {
                login_node,
                total,
                available,
            } => Document::Mem {
                login_node: login_node.heard_by(audience)?,
                total: *total,
                available: *available,
            },
            Self::Network {
                login_node,
                network,
            } => Document::Network {
                login_node: login_node.heard_by(audience)?,
                network: *network,
            },
            Self::Disk {
                login_node,
                mount,
                total,
                used,
                free,
                utilization,
                device,
            } => Document::Disk {
                login_node: login_node.heard_by(audience)?,
                mount: mount.clone(),
                total: *total,
                used: *used,
                free: *free,
                utilization: *utilization,
                device: device.as_ref().and_then(|name| name.heard_by(audience)),
            },
            Self::Round {
                login_node,
                version,
                duration,
                collectors,
            } => Document::Round {
                login_node: login_node.heard_by(audience)?,
                version,
                duration: *duration,
                collectors: collectors.clone(),
            },
        })
    }
}

/// The users of whom an audience hears, each name once: two may have one hash.
fn all(users: &[PublishedUser], audience: usize) -> Vec<&str> {
    let mut names: Vec<&str> = users
        .iter()
        .filter_map(|user| user.heard_by(audience))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl<User, Host> Document<User, Host> {
    /// The name of its kind in [`crate::kinds::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ssh { .. } => "ssh",
            Self::JupyterMl { .. } => "jupyter-ml",
            Self::JupyterCoffea { .. } => "jupyter-coffea",
            Self::CondorJob { .. } => "condorjob",
            Self::CondorQueue { .. } => "condorqueue",
            Self::SlurmJob { .. } => "slurmjob",
            Self::SlurmQueue { .. } => "slurmqueue",
            Self::Cpu { .. } => "CPU",
            Self::Mem { .. } => "MEM",
            Self::Network { .. } => "NETWORK",
            Self::Disk { .. } => "DISK",
            Self::Round { .. } => "round",
        }
    }
}

/// What went over all network interfaces of a node, loopback included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Traffic {
    /// Seconds that the two numbers cover.
    pub interval: f64,
    /// Bytes sent in that time.
    pub sent: u64,
    /// Bytes received in that time.
    pub received: u64,
}

/// What became of one collector in a round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CollectorReport {
    pub result: CollectorResult,
    /// How many of its documents the round holds.
    pub documents: u64,
    /// Seconds from its start to its end.
    pub duration: f64,
}

/// How a collector ended: one of [`crate::kinds::RESULTS`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectorResult {
    /// It read all that it was to read, be it nothing.
    Ok,
    /// The node, or the cluster, does not have what was to be read.
    NotHere,
    /// The source was there and failed.
    Failed,
    /// The source took too long.
    TimedOut,
    /// What the source said is not what it should be.
    Malformed,
    /// Not run: it still ran in another round.
    Busy,
}
