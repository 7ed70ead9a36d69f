//! Jobs, as two tools list them and as they are reported.

use std::time::{Duration, SystemTime};

use afmetrics_document::Document;
use afmetrics_document::kinds::{JOB_STATES, UNKNOWN_STATE};
use serde::Deserialize;
use tracing::debug;

use super::{Number, Text};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::keys::hash;

/// How long before the first round a job may have finished to be news: as with the old script, five
/// minutes between two rounds, and one for being late.
pub const WINDOW: Duration = Duration::from_secs(360);

const REMOVED: usize = 3;
const COMPLETED: usize = 4;
/// How a job is called that did what it was to do.
pub const FINISHED: &str = JOB_STATES[COMPLETED];

/// Makes documents of jobs, except those of excluded owners.
pub struct Reporter<'a> {
    program: &'static str,
    excluded_owners: &'a [String],
    cx: &'a Context,
    without_runtime: u64,
}

impl<'a> Reporter<'a> {
    /// `program`: the tool that lists the jobs.
    pub fn new(program: &'static str, excluded_owners: &'a [String], cx: &'a Context) -> Self {
        Self {
            program,
            excluded_owners,
            cx,
            without_runtime: 0,
        }
    }

    /// Reports a job as it is now: every round does.
    pub async fn push(&mut self, job: &Job, out: &mut Documents) -> Result<(), CollectError> {
        match self.document(job, job.state()).await? {
            Some(document) => out.push(&document),
            None => Ok(()),
        }
    }

    /// Reports what became of a job: no other round does, if there is a cursor to keep it from it.
    pub async fn push_once(
        &mut self,
        job: &Job,
        state: &'static str,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        match self.document(job, state).await? {
            Some(document) if self.cx.state.is_some() => out.push_once(&document),
            Some(document) => out.push(&document),
            None => Ok(()),
        }
    }

    async fn document(
        &mut self,
        job: &Job,
        state: &'static str,
    ) -> Result<Option<Document>, CollectError> {
        if self.excluded_owners.contains(&job.owner) {
            return Ok(None);
        }
        let Some(users) = self.cx.names.publish(&job.owner).await? else {
            return Ok(None);
        };
        self.without_runtime += u64::from(job.runtime.is_none());
        Ok(Some(Document::CondorJob {
            users,
            id: job.id.clone(),
            runtime: job.runtime.unwrap_or(0),
            state,
        }))
    }

    /// Says what the documents do not.
    pub fn end(self) {
        if self.without_runtime > 0 {
            debug!(
                "{}: {} jobs have no RemoteWallClockTime; their Runtime is 0",
                self.program, self.without_runtime
            );
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ad {
    global_job_id: Text,
    owner: Text,
    cluster_id: Number,
    proc_id: Number,
    remote_wall_clock_time: Number,
    job_status: Number,
    completion_date: Number,
    job_finished_hook_done: Number,
    entered_current_status: Number,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    /// What names it among all jobs of all times; a queue's own number is used anew once a schedd is
    /// set up anew.
    pub key: String,
    owner: String,
    id: String,
    runtime: Option<i64>,
    /// Its place among the states.
    status: Option<usize>,
    /// When it was done, in seconds since 1970: one that was removed after that has it, too.
    completed: Option<u64>,
    /// When it ended, in whatever way.
    pub ended: Option<u64>,
}

impl Job {
    fn state(&self) -> &'static str {
        self.status
            .and_then(|status| JOB_STATES.get(status).copied())
            .unwrap_or(UNKNOWN_STATE)
    }

    /// Whether it is done, as far as the queue goes.
    pub fn is_completed(&self) -> bool {
        self.status == Some(COMPLETED)
    }

    /// What became of a job in the history; `None` for what is no end of a job. One that was done,
    /// stayed in the queue and was removed from there was not removed but finished.
    pub fn outcome(&self) -> Option<&'static str> {
        match self.status {
            Some(COMPLETED) => Some(FINISHED),
            Some(REMOVED) if self.completed.is_some() => Some(FINISHED),
            Some(REMOVED) => Some(JOB_STATES[REMOVED]),
            _ => None,
        }
    }

    /// Whether it was done more than `window` before now. One that was done at an unknown time was not:
    /// sent too often is better than never.
    pub fn completed_before(&self, now: SystemTime, window: Duration) -> bool {
        self.completed
            .is_some_and(|at| is_before(at, now, window) == Some(true))
    }

    /// The key, short.
    pub fn hash(&self) -> u64 {
        hash(&self.key)
    }
}

/// Whether a time is more than `window` before now; `None`: there is no such time.
fn is_before(at: u64, now: SystemTime, window: Duration) -> Option<bool> {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at))?;
    Some(now.duration_since(at).is_ok_and(|age| age > window))
}

impl Ad {
    pub fn job(self) -> Result<Job, &'static str> {
        let owner = self.owner.0.ok_or("a job without Owner")?;
        let (Some(cluster), Some(proc)) = (self.cluster_id.0, self.proc_id.0) else {
            return Err("a job without ClusterId and ProcId");
        };
        let id = format!("{cluster}.{proc}");
        Ok(Job {
            key: self.global_job_id.0.unwrap_or_else(|| id.clone()),
            owner,
            id,
            // Clock steps on the schedd can make it negative.
            runtime: self.remote_wall_clock_time.0.map(|seconds| seconds.max(0)),
            status: self
                .job_status
                .0
                .and_then(|status| usize::try_from(status).ok()),
            completed: time(self.completion_date),
            ended: time(self.job_finished_hook_done)
                .or(time(self.completion_date))
                .or(time(self.entered_current_status)),
        })
    }
}

/// Seconds since 1970; 0 stands for never.
fn time(attribute: Number) -> Option<u64> {
    attribute
        .0
        .and_then(|at| u64::try_from(at).ok())
        .filter(|at| *at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(rest: &str) -> Job {
        let json = format!(r#"{{"Owner": "canary-1", "ClusterId": 1, "ProcId": 0, {rest}}}"#);
        serde_json::from_str::<Ad>(&json).unwrap().job().unwrap()
    }

    #[test]
    fn a_job_is_old_six_minutes_after_it_was_done() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (completed, is_old) in [
            ("999000", true),
            ("999639", true),
            ("999640", false),
            ("1000100", false),
            ("9223372036854775807", false),
            ("0", false),
            ("-1", false),
            ("null", false),
        ] {
            let job = job(&format!(r#""CompletionDate": {completed}"#));
            assert_eq!(job.completed_before(now, WINDOW), is_old, "{job:?}");
        }
    }

    #[test]
    fn a_removed_job_that_was_done_before_has_finished() {
        for (rest, outcome) in [
            (r#""JobStatus": 4"#, Some("finished")),
            (r#""JobStatus": 3"#, Some("removed")),
            (r#""JobStatus": 3, "CompletionDate": 0"#, Some("removed")),
            (r#""JobStatus": 3, "CompletionDate": 5"#, Some("finished")),
            (r#""JobStatus": 2, "CompletionDate": 5"#, None),
            (r#""JobStatus": null"#, None),
        ] {
            assert_eq!(job(rest).outcome(), outcome, "{rest}");
        }
    }

    #[test]
    fn when_it_ended_is_what_is_known_best() {
        for (rest, ended) in [
            (
                r#""JobFinishedHookDone": 3, "CompletionDate": 2, "EnteredCurrentStatus": 4"#,
                Some(3),
            ),
            (r#""CompletionDate": 2, "EnteredCurrentStatus": 4"#, Some(2)),
            (r#""CompletionDate": 0, "EnteredCurrentStatus": 4"#, Some(4)),
            (r#""JobStatus": 4"#, None),
        ] {
            assert_eq!(job(rest).ended, ended, "{rest}");
        }
    }

    #[test]
    fn a_job_without_global_id_goes_by_its_number() {
        assert_eq!(job(r#""JobStatus": 4"#).key, "1.0");
        assert_eq!(job(r#""GlobalJobId": "a#1.0#7""#).key, "a#1.0#7");
        // `printf %s 1.0 | sha256sum`
        assert_eq!(hash("1.0"), 0xd0ff_5974_b6aa_52cf);
    }
}
