//! Jobs that have left the queue since the last round.
//!
//! ```text
//! {
//!   "ClusterId": 2,
//!   "CompletionDate": 1795378519,
//!   "EnteredCurrentStatus": 1795378519,
//!   "GlobalJobId": "login01.canary.example#2.2#1795378484",
//!   "JobFinishedHookDone": 1795378519,
//!   ...
//! ```
//!
//! What surprised us: `condor_history` reads files of the schedd, newest first, with or without a
//! running schedd. Records stand in the order in which jobs *left the queue*: one that was done long ago
//! may stand in front. JobFinishedHookDone is there for removed jobs, too, CompletionDate is not.
//! `-completedsince` and `-since` do not select but stop the scan at the first record that matches, and
//! one late leaver hides all others; `-since JOBID` scans everything when the job has rotated away; a
//! constraint scans everything always. A job that was done, stayed in the queue and was removed from
//! there is recorded as removed. A schedd that crashed may write a job twice, and the newer record may say
//! that it ran for no time. So the whole list is asked for, and the tool is ended when all that is known
//! has been met (`sources/htcondor/history.rs`): a few hundred records, 82 us each.

use std::collections::HashSet;

use async_trait::async_trait;
use tracing::{debug, warn};

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::completed::{self, Completed};
use crate::sources::htcondor::history::{Cursor, Reading, Record};
use crate::sources::htcondor::jobs::{Ad, FINISHED, Job, Reporter};
use crate::sources::htcondor::query;
use crate::state::Left;

pub const SPEC: Spec = Spec {
    name: "condor_history",
    summary: "HTCondor jobs that left the queue since the last round; in the first one, those of the last 360 s (condor_history)",
    kinds: &["condorjob"],
    flag: "-b",
    debug_file: "condor.json",
    after: None,
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

const CURSOR: &str = "condor_history";
const ATTRIBUTES: &str = "GlobalJobId,Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus,CompletionDate,JobFinishedHookDone,EnteredCurrentStatus";

#[async_trait(?Send)]
impl Collector for CondorHistory {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let cursor = match cx.cursor::<Cursor>(CURSOR).await? {
            Left::Value(cursor) => cursor,
            Left::Nothing | Left::Unusable => Cursor::default(),
        };
        let reported = match cx.cursor(completed::CURSOR).await? {
            Left::Value(cursor) => Completed::new(cursor),
            Left::Nothing | Left::Unusable => Completed::default(),
        };
        let begin = out.mark();
        let mut passed = HashSet::new();
        let mut reading = Reading::new(&cursor, cx.unix_seconds());
        self.read(&mut reading, &reported, &mut passed, cx, out)
            .await?;
        if reading.is_of_another_schedd() {
            warn!(
                "condor_history: the last round with this state folder read the history of another schedd; beginning with the last 360 s of this one"
            );
            out.take_back(begin)?;
            reading = Reading::anew(&cursor, cx.unix_seconds());
            self.read(&mut reading, &reported, &mut passed, cx, out)
                .await?;
        } else if reading.misses_the_newest() {
            debug!(
                "condor_history: the newest known record is not there; reading once more, as files may have been rotated meanwhile"
            );
            out.take_back(begin)?;
            reading = Reading::new(&cursor, cx.unix_seconds());
            self.read(&mut reading, &reported, &mut passed, cx, out)
                .await?;
        }
        if reading.misses_all() {
            warn!(
                "condor_history: no record that the last round read is there any more: others may have been rotated away unread (MAX_HISTORY_LOG, MAX_HISTORY_ROTATIONS)"
            );
        }
        let recorded = reading.newest().iter().copied().collect();
        if cx.state.is_some()
            && let Some(cursor) = reading.cursor()
        {
            out.advance(CURSOR, &cursor)?;
        }
        // Only now: had it failed, the next round would meet them again.
        *cx.passed.borrow_mut() = passed;
        *cx.recorded.borrow_mut() = recorded;
        Ok(())
    }
}

impl CondorHistory {
    /// Reads as far as anything is new. The tool may be silent as long as it may take at all: where it
    /// cannot read the files it asks the schedd, which scans them.
    async fn read(
        &self,
        reading: &mut Reading<'_>,
        reported: &Completed,
        passed: &mut HashSet<u64>,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        let args = ["-json", "-attributes", ATTRIBUTES];
        let mut jobs = query(cx, "condor_history", &args, cx.limits.total).await?;
        let mut reporter = Reporter::new("condor_history", &self.excluded_owners, cx);
        let mut last_known = out.mark();
        while let Some(job) = jobs.next(Ad::job).await? {
            match reading.take(&job.key, job.ended) {
                Record::New if reported.contains(job.hash()) => {
                    passed.insert(job.hash());
                }
                Record::New => {
                    if let Some(state) = self.reportable(&job) {
                        reporter.push_once(&job, state, out).await?;
                    }
                }
                Record::Known => last_known = out.mark(),
                Record::Twice => {}
            }
            if reading.is_done() {
                reporter.end();
                return jobs.stop();
            }
        }
        if reading.ends_in_old_ones() {
            debug!("condor_history: a record that was known is not there any more");
            out.take_back(last_known)?;
        }
        reporter.end();
        Ok(())
    }

    fn reportable(&self, job: &Job) -> Option<&'static str> {
        job.outcome()
            .filter(|state| self.removed || *state == FINISHED)
    }
}
