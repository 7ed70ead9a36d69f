//! Every job in the queue of the local schedd.
//!
//! ```text
//! {
//!   "ClusterId": 1,
//!   "JobStatus": 2,
//!   "Owner": "canary-1",
//!   "ProcId": 2,
//!   "RemoteWallClockTime": 38.0
//! }
//! ```
//!
//! What surprised us: `-all` is needed, or a user gets the own jobs only. RemoteWallClockTime is the
//! sum of past runs, 0 for a job on its first. Local- and scheduler-universe jobs are in the list, too.

use afmetrics_document::Document;
use afmetrics_document::kinds::{JOB_STATES, UNKNOWN_STATE};
use async_trait::async_trait;
use serde::Deserialize;
use tracing::debug;

use super::{CollectError, Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::sources::htcondor::{self, Number, Text};

pub const SPEC: Spec = Spec {
    name: "condor_jobs",
    summary: "all jobs in the HTCondor queue (condor_q)",
    kinds: &["condorjob"],
    flag: "-b",
    debug_file: "condor.json",
    build: |config| {
        config.batch.then(|| {
            Box::new(CondorJobs {
                excluded_owners: config.excluded_owners.clone(),
            }) as _
        })
    },
};

pub struct CondorJobs {
    pub excluded_owners: Vec<String>,
}

/// The attributes of a job that we ask for and read.
pub const ATTRIBUTES: &str = "Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus";

#[async_trait(?Send)]
impl Collector for CondorJobs {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let args = ["-all", "-json", "-attributes", ATTRIBUTES];
        push_jobs("condor_q", &args, &self.excluded_owners, cx, out).await
    }
}

/// Makes a document of each job that a tool of HTCondor lists, but those of excluded owners.
pub async fn push_jobs(
    program: &'static str,
    args: &[&str],
    excluded_owners: &[String],
    cx: &Context,
    out: &mut Documents,
) -> Result<(), CollectError> {
    let mut jobs = htcondor::query(cx, program, args).await?;
    let mut without_runtime = 0_u64;
    while let Some(job) = jobs.next(Ad::job).await? {
        if excluded_owners.contains(&job.owner) {
            continue;
        }
        let Some(users) = cx.names.publish(&job.owner).await? else {
            continue;
        };
        without_runtime += u64::from(job.runtime.is_none());
        out.push(&Document::CondorJob {
            users,
            id: job.id,
            runtime: job.runtime.unwrap_or(0),
            state: job.state,
        })?;
    }
    if without_runtime > 0 {
        debug!("{program}: {without_runtime} jobs have no RemoteWallClockTime; their Runtime is 0");
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ad {
    owner: Text,
    cluster_id: Number,
    proc_id: Number,
    remote_wall_clock_time: Number,
    job_status: Number,
}

#[derive(Debug, PartialEq, Eq)]
struct Job {
    owner: String,
    id: String,
    runtime: Option<i64>,
    state: &'static str,
}

impl Ad {
    fn job(self) -> Result<Job, &'static str> {
        let owner = self.owner.0.ok_or("a job without Owner")?;
        let (Some(cluster), Some(proc)) = (self.cluster_id.0, self.proc_id.0) else {
            return Err("a job without ClusterId and ProcId");
        };
        Ok(Job {
            owner,
            id: format!("{cluster}.{proc}"),
            // Clock steps on the schedd can make it negative.
            runtime: self.remote_wall_clock_time.0.map(|seconds| seconds.max(0)),
            state: state(self.job_status),
        })
    }
}

fn state(status: Number) -> &'static str {
    status
        .0
        .and_then(|status| usize::try_from(status).ok())
        .and_then(|status| JOB_STATES.get(status).copied())
        .unwrap_or(UNKNOWN_STATE)
}
