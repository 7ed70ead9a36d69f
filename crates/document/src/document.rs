//! One variant of [`Document`] for each way a fact is written. Names in it are published names by
//! type: a collector cannot put in the name that it read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::names::{PublishedHost, PublishedUser};

/// One document as a collector hands it on. It serializes to a flat JSON object that begins with
/// `kind`; `cluster` is put in front when it is stored, `token` when it is sent.
///
/// Fields, units and where each number comes from are in [`crate::kinds::KINDS`], which a test
/// holds against what is serialized here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind")]
pub enum Document {
    #[serde(rename = "ssh")]
    Ssh {
        login_node: PublishedHost,
        ssh_user_count: u64,
        users: Vec<PublishedUser>,
    },
    #[serde(rename = "jupyter-ml")]
    JupyterMl {
        jupyter_user_count: u64,
        users: Vec<PublishedUser>,
    },
    #[serde(rename = "jupyter-coffea")]
    JupyterCoffea {
        jupyter_user_count: u64,
        users: Vec<PublishedUser>,
    },
    #[serde(rename = "condorjob")]
    CondorJob {
        users: PublishedUser,
        #[serde(rename = "Id")]
        id: String,
        #[serde(rename = "Runtime")]
        runtime: i64,
        state: &'static str,
        /// From here on: only where details were asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        schedd: Option<PublishedHost>,
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
        idle: i64,
        running: i64,
        held: i64,
        allocated_cores: i64,
        allocated_mem: i64,
    },
    #[serde(rename = "slurmjob")]
    SlurmJob {
        users: PublishedUser,
        #[serde(rename = "Id")]
        id: String,
        #[serde(rename = "Runtime")]
        runtime: i64,
        state: Cow<'static, str>,
        partition: String,
        /// Hidden like a user: it may be named after one.
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<PublishedUser>,
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
    Cpu {
        login_node: PublishedHost,
        load: f64,
    },
    #[serde(rename = "MEM")]
    Mem {
        login_node: PublishedHost,
        total: u64,
        available: u64,
    },
    #[serde(rename = "NETWORK")]
    Network {
        login_node: PublishedHost,
        network: Traffic,
    },
    #[serde(rename = "DISK")]
    Disk {
        login_node: PublishedHost,
        mount: String,
        total: u64,
        used: u64,
        free: u64,
        utilization: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    #[serde(rename = "round")]
    Round {
        login_node: PublishedHost,
        version: &'static str,
        duration: f64,
        collectors: BTreeMap<&'static str, CollectorReport>,
    },
}

impl Document {
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
