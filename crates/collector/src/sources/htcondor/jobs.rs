//! Jobs, as two tools list them and as they are reported.

use std::time::{Duration, SystemTime};

use afmetrics_document::Document;
use afmetrics_document::kinds::{JOB_STATES, UNKNOWN_STATE};
use serde::Deserialize;
use tracing::debug;

use super::{Ads, Number, Text};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;

/// The attributes of a job that we ask for and read.
pub const ATTRIBUTES: &str = "Owner,ClusterId,ProcId,RemoteWallClockTime,JobStatus";

/// How long a job that finished is news: as with the old script, five minutes between two rounds,
/// and one for being late.
pub const WINDOW: Duration = Duration::from_secs(360);

/// Makes a document of each job that a tool of HTCondor lists, except those of excluded owners and
/// those that are no news.
pub async fn push_jobs(
    mut jobs: Ads<'_, Ad>,
    excluded_owners: &[String],
    is_news: impl Fn(&Job) -> bool,
    cx: &Context,
    out: &mut Documents,
) -> Result<(), CollectError> {
    let mut without_runtime = 0_u64;
    while let Some(job) = jobs.next(Ad::job).await? {
        if excluded_owners.contains(&job.owner) || !is_news(&job) {
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
        debug!(
            "{}: {without_runtime} jobs have no RemoteWallClockTime; their Runtime is 0",
            jobs.program
        );
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ad {
    owner: Text,
    cluster_id: Number,
    proc_id: Number,
    remote_wall_clock_time: Number,
    job_status: Number,
    completion_date: Number,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    owner: String,
    id: String,
    runtime: Option<i64>,
    state: &'static str,
    /// When it was done, in seconds since 1970.
    completed: Option<u64>,
}

impl Job {
    /// Whether it is done, and was so more than `window` before now. One that is done at an unknown
    /// time is not: sent too often is better than never.
    pub fn finished_before(&self, now: SystemTime, window: Duration) -> bool {
        let completed = self
            .completed
            .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        self.state == FINISHED
            && completed.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age > window))
    }
}

const FINISHED: &str = JOB_STATES[4];

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
            // 0 stands for never.
            completed: self
                .completion_date
                .0
                .and_then(|at| u64::try_from(at).ok())
                .filter(|at| *at > 0),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn job(json: &str) -> Job {
        serde_json::from_str::<Ad>(json).unwrap().job().unwrap()
    }

    #[test]
    fn a_finished_job_is_news_for_six_minutes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (status, completed, is_old) in [
            (4, "999000", true),
            (4, "999639", true),
            (4, "999640", false),
            (4, "1000100", false),
            (4, "9223372036854775807", false),
            (4, "0", false),
            (4, "-1", false),
            (4, "null", false),
            (2, "999000", false),
            (3, "999000", false),
        ] {
            let job = job(&format!(
                r#"{{"Owner": "canary-1", "ClusterId": 1, "ProcId": 0, "JobStatus": {status}, "CompletionDate": {completed}}}"#
            ));
            assert_eq!(job.finished_before(now, WINDOW), is_old, "{job:?}");
        }
    }
}
