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

use std::cell::RefCell;
use std::collections::HashSet;

use async_trait::async_trait;
use tracing::{debug, warn};

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::completed::{self, Completed};
use crate::sources::htcondor::history::{CURSOR, Cursor, Reading, Record};
use crate::sources::htcondor::jobs::{Ad, FINISHED, Job, Reporter, attributes};
use crate::sources::htcondor::options::Options;
use crate::sources::htcondor::query;
use crate::sources::htcondor::schedd::Schedd;
use crate::state::Left;

pub const SPEC: Spec = Spec {
    name: "condor_history",
    summary: "HTCondor jobs that left the queue since the last round; in the first one, those of the last 360 s (condor_history)",
    kinds: &["condorjob"],
    flag: "-b",
    table: "batch",
    debug_file: "condor.json",
    after: None,
    build: |config| {
        config.batch.then(|| {
            Box::new(CondorHistory {
                excluded_owners: config.excluded_owners.clone(),
                removed: config.removed_jobs,
                options: config.htcondor.clone(),
                shared: RefCell::default(),
            }) as _
        })
    },
};

struct CondorHistory {
    excluded_owners: Vec<String>,
    /// Also jobs that somebody removed; the old script does not report them.
    removed: bool,
    options: Options,
    /// The cursor of rounds without `--schedd`, as far as the schedds have been read that it knows.
    shared: RefCell<Option<Cursor>>,
}

const ATTRIBUTES: &str = "GlobalJobId,Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus,CompletionDate,JobFinishedHookDone,EnteredCurrentStatus";

#[async_trait(?Send)]
impl Collector for CondorHistory {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let of_one = async |schedd: &Schedd, out: &mut Documents| self.of(schedd, cx, out).await;
        self.options.schedds.each(cx, out, of_one).await
    }
}

impl CondorHistory {
    /// Reads the history of one schedd, once more where files were rotated meanwhile.
    async fn of(
        &self,
        schedd: &Schedd,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        let shares = schedd.shares_cursors(cx).await?;
        let name = schedd.cursor_name(CURSOR, shares);
        let mut cursor = self.cursor(&name, cx).await?;
        let whole = (name == CURSOR).then(|| cursor.clone());
        let among_others = schedd.name().zip(whole);
        if let Some((schedd, whole)) = &among_others {
            cursor = whole.of(schedd);
        }
        let reported = schedd.cursor_name(completed::CURSOR, shares);
        let reported = match cx.cursor(&reported).await? {
            Left::Value(cursor) => Completed::new(cursor),
            Left::Nothing | Left::Unusable => Completed::default(),
        };
        let begin = out.mark();
        let label = schedd.label(cx);
        let mut passed = HashSet::new();
        let mut reading = Reading::new(&cursor, cx.unix_seconds());
        let read = async |reading: &mut Reading<'_>, passed: &mut _, out: &mut _| {
            self.read(schedd, reading, &reported, passed, cx, out).await
        };
        read(&mut reading, &mut passed, out).await?;
        if reading.is_of_another_schedd() {
            warn!(
                "condor_history: {label}the last round with this state folder read the history of another schedd; beginning with the last 360 s of this one"
            );
            out.take_back(begin)?;
            reading = Reading::anew(&cursor, cx.unix_seconds());
            read(&mut reading, &mut passed, out).await?;
        } else if reading.misses_the_newest() {
            debug!(
                "condor_history: {label}the newest known record is not there; reading once more, as files may have been rotated meanwhile"
            );
            out.take_back(begin)?;
            reading = Reading::new(&cursor, cx.unix_seconds());
            read(&mut reading, &mut passed, out).await?;
        }
        if reading.misses_all() {
            let unread = match schedd.name() {
                None => "rotated away unread (MAX_HISTORY_LOG, MAX_HISTORY_ROTATIONS)",
                Some(_) => {
                    "left unread, as the schedd looks at no more than HISTORY_HELPER_MAX_HISTORY, or rotated away (MAX_HISTORY_LOG, MAX_HISTORY_ROTATIONS)"
                }
            };
            warn!(
                "condor_history: {label}no record that the last round read is there any more: others may have been {unread}"
            );
        }
        let recorded: Vec<u64> = reading.newest().to_vec();
        if cx.state.is_some()
            && let Some(cursor) = reading.cursor()
        {
            let cursor = match among_others {
                Some((schedd, mut whole)) => {
                    whole.put(schedd, cursor);
                    whole
                }
                None => cursor,
            };
            out.advance(&name, &cursor)?;
            if name == CURSOR {
                *self.shared.borrow_mut() = Some(cursor);
            }
        }
        // Only now: had it failed, the next round would meet them again.
        cx.passed.borrow_mut().extend(passed);
        cx.recorded.borrow_mut().extend(recorded);
        Ok(())
    }

    /// The cursor of this name, as the schedds before this one have left it.
    async fn cursor(&self, name: &str, cx: &Context) -> Result<Cursor, CollectError> {
        if name == CURSOR
            && let Some(cursor) = &*self.shared.borrow()
        {
            return Ok(cursor.clone());
        }
        Ok(match cx.cursor(name).await? {
            Left::Value(cursor) => cursor,
            Left::Nothing | Left::Unusable => Cursor::default(),
        })
    }

    /// Reads as far as anything is new. The tool may be silent as long as it may take at all: where it
    /// cannot read the files it asks the schedd, which scans them.
    async fn read(
        &self,
        schedd: &Schedd,
        reading: &mut Reading<'_>,
        reported: &Completed,
        passed: &mut HashSet<u64>,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        let attributes = attributes(ATTRIBUTES, &self.options, false);
        let args = [&schedd.args()[..], &["-json", "-attributes", &attributes]].concat();
        let jobs = query(cx, "condor_history", &args, cx.deadline("batch")).await?;
        let mut jobs = jobs.labelled(schedd.label(cx));
        let owners = &self.excluded_owners;
        let mut reporter = Reporter::new("condor_history", owners, &self.options, schedd, cx);
        let mut last_known = out.mark();
        while let Some(job) = jobs.next(Ad::job).await? {
            match reading.take(&job.key, job.ended) {
                Record::New if reported.contains(job.hash()) => {
                    passed.insert(job.hash());
                }
                Record::New if cx.sent.borrow().contains(&job.hash()) => {}
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
