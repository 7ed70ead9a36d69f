//! Jobs that finished lately and may have left the queue.
//!
//! What surprised us: `condor_history` reads files of the schedd, newest first, with or without a
//! running schedd. Records stand in the order in which jobs *left the queue*. JobFinishedHookDone is
//! there for removed jobs, too, CompletionDate is not; `-completedsince` and `-since` do not select
//! but stop the scan at the first older record, and one late leaver hides all others. So a constraint
//! selects.

use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::jobs::{ATTRIBUTES, WINDOW, push_jobs};
use crate::sources::htcondor::query;

pub const SPEC: Spec = Spec {
    name: "condor_history",
    summary: "HTCondor jobs that finished in the last 360 s (condor_history)",
    kinds: &["condorjob"],
    flag: "-b",
    debug_file: "condor.json",
    build: |config| {
        config.batch.then(|| {
            Box::new(CondorHistory {
                excluded_owners: config.excluded_owners.clone(),
            }) as _
        })
    },
};

struct CondorHistory {
    excluded_owners: Vec<String>,
}

#[async_trait(?Send)]
impl Collector for CondorHistory {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let since = cx.unix_now() - WINDOW.as_secs_f64();
        let constraint = format!("JobStatus == 4 && JobFinishedHookDone >= {since:.0}");
        let args = [
            "-json",
            "-attributes",
            ATTRIBUTES,
            "-constraint",
            &constraint,
        ];
        let jobs = query(cx, "condor_history", &args, cx.limits.silence).await?;
        push_jobs(jobs, &self.excluded_owners, |_| true, cx, out).await
    }
}
