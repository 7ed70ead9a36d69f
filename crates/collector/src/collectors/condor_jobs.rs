//! Every job in the queue of the local schedd, or of those of `--schedd`.
//!
//! ```text
//! {
//!   "ClusterId": 1,
//!   "GlobalJobId": "login01.canary.example#1.2#1795378484",
//!   "JobStatus": 2,
//!   "Owner": "canary-1",
//!   "ProcId": 2,
//!   "RemoteWallClockTime": 38.0
//! }
//! ```
//!
//! What surprised us: `-all` is needed, or a user gets the own jobs only; it is short for `-allusers`, and
//! there since HTCondor 8.5.2, before which everybody's jobs were listed. RemoteWallClockTime is the
//! sum of past runs, 0 for a job on its first; `--runtime live` adds the run that goes on. Of several
//! `-name` the last one wins, so each schedd is asked alone. Local- and scheduler-universe jobs are in the list, too.
//! A job that is done can stay in the queue for days (leave_in_queue, as remote submission sets it):
//! it is sent when it is first seen, and not in every round. `condor_history` has it when it leaves, and
//! looks here whether it was sent. After a crash of the schedd it can be here again though the history
//! has it: then it is kept in mind, and not sent.

use std::cell::RefCell;

use async_trait::async_trait;

use super::{After, Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::completed::{CURSOR, Completed, Cursor};
use crate::sources::htcondor::jobs::{Ad, FINISHED, Reporter, WINDOW, attributes};
use crate::sources::htcondor::options::Options;
use crate::sources::htcondor::query;
use crate::sources::htcondor::schedd::Schedd;
use crate::state::Left;

pub const SPEC: Spec = Spec {
    name: "condor_jobs",
    summary: "all jobs in the HTCondor queue (condor_q)",
    kinds: &["condorjob"],
    flag: "-b",
    table: "batch",
    debug_file: "condor.json",
    // A job that leaves the queue between the two lists is in neither, and in the next round's history.
    // The other way round it would be in both, and reported twice.
    after: Some(After {
        name: "condor_history",
        needed: false,
    }),
    build: |config| {
        (config.batch && !config.htcondor.no_queued_jobs).then(|| {
            Box::new(CondorJobs {
                excluded_owners: config.excluded_owners.clone(),
                options: config.htcondor.clone(),
                shared: RefCell::default(),
            }) as _
        })
    },
};

struct CondorJobs {
    excluded_owners: Vec<String>,
    options: Options,
    /// The cursor of rounds without `--schedd`, as the schedds that it knows have left it.
    shared: RefCell<Option<Cursor>>,
}

/// What every job has, and when it was done. A job that is not done has no CompletionDate, so this costs nothing.
const ATTRIBUTES: &str =
    "GlobalJobId,Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus,CompletionDate";

#[async_trait(?Send)]
impl Collector for CondorJobs {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let read = async |schedd: &Schedd, out: &mut Documents| self.read(schedd, cx, out).await;
        self.options.schedds.each(cx, out, read).await
    }
}

impl CondorJobs {
    async fn read(
        &self,
        schedd: &Schedd,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        let shares = schedd.shares_cursors(cx).await?;
        let name = schedd.cursor_name(CURSOR, shares);
        let shared = self.shared.borrow().clone().filter(|_| name == CURSOR);
        let left = match shared {
            Some(cursor) => Left::Value(cursor),
            None => cx.cursor(&name).await?,
        };
        let (is_first, mut completed) = match left {
            Left::Value(cursor) => (false, Completed::new(cursor)),
            // Earlier rounds may have read its history only (`--no-queued-jobs`).
            Left::Nothing => (schedd.name().is_none() || !shares, Completed::default()),
            Left::Unusable => (true, Completed::default()),
        };
        let attributes = attributes(ATTRIBUTES, &self.options, true);
        let asked = ["-all", "-json", "-attributes", &attributes];
        let args = [&schedd.args()[..], &asked].concat();
        let jobs = query(cx, "condor_q", &args, cx.limits.silence).await?;
        let mut jobs = jobs.labelled(schedd.label(cx));
        let mut sent = Vec::new();
        let owners = &self.excluded_owners;
        let mut reporter = Reporter::new("condor_q", owners, &self.options, schedd, cx);
        while let Some(job) = jobs.next(Ad::job).await? {
            if !job.is_completed() {
                reporter.push(&job, out).await?;
            } else if completed.take(job.hash())
                && !cx.recorded.borrow().contains(&job.hash())
                && !(is_first && job.completed_before(cx.now, WINDOW))
            {
                reporter.push_once(&job, FINISHED, out).await?;
                sent.push(job.hash());
            }
        }
        reporter.end();
        if out.is_incomplete() {
            // The queue is as it is; who has left it is for the next round to say.
            return Ok(());
        }
        if cx.state.is_some() {
            let cursor = completed.cursor(cx.unix_seconds(), &cx.passed.borrow());
            out.advance(&name, &cursor)?;
            if name == CURSOR && schedd.name().is_some() {
                *self.shared.borrow_mut() = Some(cursor);
            }
        }
        cx.sent.borrow_mut().extend(sent);
        Ok(())
    }
}
