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
//! A job that is done can stay in the queue for days (leave_in_queue, as remote submission sets it):
//! it is sent as long as it is news, and not in every round.

use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::jobs::{Job, WINDOW, push_jobs};
use crate::sources::htcondor::query;

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

struct CondorJobs {
    excluded_owners: Vec<String>,
}

/// What every job has, and when it was done. A job that is not done has no CompletionDate, so this costs nothing.
const ATTRIBUTES_IN_QUEUE: &str =
    "Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus,CompletionDate";

#[async_trait(?Send)]
impl Collector for CondorJobs {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let args = ["-all", "-json", "-attributes", ATTRIBUTES_IN_QUEUE];
        let is_news = |job: &Job| !job.finished_before(cx.now, WINDOW);
        let jobs = query(cx, "condor_q", &args, cx.limits.silence).await?;
        push_jobs(jobs, &self.excluded_owners, is_news, cx, out).await
    }
}
