//! Jobs that finished lately and may have left the queue.
//!
//! What surprised us: `condor_history` reads files of the schedd, newest first, with or without a
//! running schedd. Records stand in the order in which jobs *left the queue*. JobFinishedHookDone is
//! there for removed jobs, too, CompletionDate is not; `-completedsince` and `-since` do not select
//! but stop the scan at the first older record, and one late leaver hides all others. So a constraint
//! selects, and all files are read: 82 us a record, without a byte of output where nothing is found.

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
                removed: config.removed_jobs,
            }) as _
        })
    },
};

struct CondorHistory {
    excluded_owners: Vec<String>,
    /// Also jobs that somebody removed; the old script does not report them.
    removed: bool,
}

#[async_trait(?Send)]
impl Collector for CondorHistory {
    /// The scan may be silent as long as it may take at all: over 400,000 records it finds nothing
    /// for half a minute, and `--silence` would fail it in every round.
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let since = cx.unix_now() - WINDOW.as_secs_f64();
        let status = match self.removed {
            true => "(JobStatus == 4 || JobStatus == 3)",
            false => "JobStatus == 4",
        };
        let constraint = format!("{status} && JobFinishedHookDone >= {since:.0}");
        let args = [
            "-json",
            "-attributes",
            ATTRIBUTES,
            "-constraint",
            &constraint,
        ];
        let jobs = query(cx, "condor_history", &args, cx.limits.total).await?;
        push_jobs(jobs, &self.excluded_owners, |_| true, cx, out).await
    }
}
