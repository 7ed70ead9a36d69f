//! Jobs, as two tools list them and as they are reported.

use std::time::{Duration, SystemTime};

use afmetrics_document::Document;
use afmetrics_document::kinds::{JOB_STATES, UNKNOWN_STATE};
use serde::Deserialize;
use tracing::debug;

use super::options::Options;
use super::schedd::Schedd;
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
const HELD: usize = 5;
/// Running, transferring_output, suspended: a run goes on.
const IN_A_RUN: [usize; 3] = [2, 6, 7];

/// What live run times take of a job that is in the queue; ServerTime is the schedd's clock.
const OF_THE_RUN: &str = ",JobCurrentStartDate,ShadowBday,ServerTime";
const OF_DETAILS: &str =
    ",CpusProvisioned,MemoryProvisioned,RequestCpus,RequestMemory,HoldReasonCode";

/// The attributes to ask for: these, and what the options take beyond them. `is_queue`: of jobs that may
/// be running.
pub fn attributes(always: &str, options: &Options, is_queue: bool) -> String {
    let mut attributes = always.to_owned();
    if options.live_runtime && is_queue {
        attributes.push_str(OF_THE_RUN);
    }
    if options.job_details {
        attributes.push_str(OF_DETAILS);
    }
    attributes
}
/// How a job is called that did what it was to do.
pub const FINISHED: &str = JOB_STATES[COMPLETED];

/// Makes documents of jobs, except those of excluded owners.
pub struct Reporter<'a> {
    program: &'static str,
    excluded_owners: &'a [String],
    options: &'a Options,
    schedd: &'a Schedd,
    cx: &'a Context,
    without_runtime: u64,
    without_start: u64,
}

impl<'a> Reporter<'a> {
    /// `program`: the tool that lists the jobs.
    pub fn new(
        program: &'static str,
        excluded_owners: &'a [String],
        options: &'a Options,
        schedd: &'a Schedd,
        cx: &'a Context,
    ) -> Self {
        Self {
            program,
            excluded_owners,
            options,
            schedd,
            cx,
            without_runtime: 0,
            without_start: 0,
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
        let details = self.options.job_details.then_some(&job.details);
        let schedd = details.and(job.schedd().or(self.schedd.name()));
        Ok(Some(Document::CondorJob {
            users,
            id: job.id.clone(),
            runtime: self.runtime(job),
            state,
            schedd: schedd.map(|name| self.cx.names.schedd(name)),
            cores: details.and_then(|details| details.cores),
            memory: details.and_then(|details| details.memory),
            hold_reason_code: details.and_then(|details| details.hold_reason_code),
        }))
    }

    /// Of past runs, and if it is wanted of the one that goes on. In seconds.
    fn runtime(&mut self, job: &Job) -> i64 {
        self.without_runtime += u64::from(job.runtime.is_none());
        let past = job.runtime.unwrap_or(0);
        if !self.options.live_runtime || !job.is_in_a_run() {
            return past;
        }
        let now = job.server_time.unwrap_or_else(|| self.cx.unix_seconds());
        self.without_start += u64::from(job.started.is_none());
        let this_run = job.started.map_or(0, |started| now.saturating_sub(started));
        past.saturating_add(i64::try_from(this_run).unwrap_or(i64::MAX))
    }

    /// Says what the documents do not.
    pub fn end(self) {
        let label = self.schedd.label(self.cx);
        if self.without_start > 0 {
            debug!(
                "{}: {label}{} running jobs have neither ShadowBday nor JobCurrentStartDate; their Runtime is that of past runs",
                self.program, self.without_start
            );
        }
        if self.without_runtime > 0 {
            debug!(
                "{}: {label}{} jobs have no RemoteWallClockTime; their Runtime is 0",
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
    job_current_start_date: Number,
    shadow_bday: Number,
    server_time: Number,
    cpus_provisioned: Number,
    memory_provisioned: Number,
    request_cpus: Number,
    request_memory: Number,
    hold_reason_code: Number,
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
    /// When the run began that goes on, and what time the schedd had when it said so, in seconds since
    /// 1970; `None` where they were not asked for.
    started: Option<u64>,
    server_time: Option<u64>,
    details: Details,
}

/// The optional fields of a job's document, of those attributes that were asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    cores: Option<i64>,
    /// MiB.
    memory: Option<i64>,
    hold_reason_code: Option<i64>,
}

impl Job {
    fn state(&self) -> &'static str {
        self.status
            .and_then(|status| JOB_STATES.get(status).copied())
            .unwrap_or(UNKNOWN_STATE)
    }

    /// The schedd that its key names; `None` where there is only a number.
    fn schedd(&self) -> Option<&str> {
        let (name, _) = self.key.split_once('#')?;
        (!name.is_empty()).then_some(name)
    }

    fn is_in_a_run(&self) -> bool {
        self.status.is_some_and(|status| IN_A_RUN.contains(&status))
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
        let status = self
            .job_status
            .0
            .and_then(|status| usize::try_from(status).ok());
        let details = self.details(status);
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
            status,
            completed: time(self.completion_date),
            ended: time(self.job_finished_hook_done)
                .or(time(self.completion_date))
                .or(time(self.entered_current_status)),
            // HTCondor's own sum grows from ShadowBday on, too. After a restart of the schedd a run goes on
            // with a new shadow, and what it ran before is in the sum; JobCurrentStartDate stays.
            started: time(self.shadow_bday).or(time(self.job_current_start_date)),
            server_time: time(self.server_time),
            details,
        })
    }

    /// What a job was given stays in its ad when the run is over: it is that of a job that runs or has
    /// ended; one that waits has what it asks for. That may be an expression, which is no number.
    fn details(&self, status: Option<usize>) -> Details {
        let has_run = |status| IN_A_RUN.contains(&status) || [REMOVED, COMPLETED].contains(&status);
        let given_or_asked = |given: Number, asked: Number| {
            let given = given.0.filter(|_| status.is_some_and(has_run));
            given.or(asked.0).filter(|value| *value >= 0)
        };
        Details {
            cores: given_or_asked(self.cpus_provisioned, self.request_cpus),
            memory: given_or_asked(self.memory_provisioned, self.request_memory),
            hold_reason_code: self.hold_reason_code.0.filter(|_| status == Some(HELD)),
        }
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
    use proptest::prelude::*;

    use super::super::list::tests::value;
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
    fn cores_and_memory_are_what_it_was_given_or_asks_for() {
        let asks = r#""RequestCpus": 8, "RequestMemory": 2000"#;
        let given = r#""CpusProvisioned": 2.0, "MemoryProvisioned": 1536"#;
        for (rest, cores, memory) in [
            (
                format!(r#""JobStatus": 2, {asks}, {given}"#),
                Some(2),
                Some(1536),
            ),
            (
                format!(r#""JobStatus": 7, {asks}, {given}"#),
                Some(2),
                Some(1536),
            ),
            (
                format!(r#""JobStatus": 4, {asks}, {given}"#),
                Some(2),
                Some(1536),
            ),
            (
                format!(r#""JobStatus": 3, {asks}, {given}"#),
                Some(2),
                Some(1536),
            ),
            // From an earlier run.
            (
                format!(r#""JobStatus": 1, {asks}, {given}"#),
                Some(8),
                Some(2000),
            ),
            (
                format!(r#""JobStatus": 5, {asks}, {given}"#),
                Some(8),
                Some(2000),
            ),
            (
                format!(r#""JobStatus": null, {asks}, {given}"#),
                Some(8),
                Some(2000),
            ),
            // Local universe.
            (format!(r#""JobStatus": 2, {asks}"#), Some(8), Some(2000)),
            (
                r#""JobStatus": 1, "RequestCpus": "\/Expr(100 + 28)\/", "RequestMemory": -1"#
                    .to_owned(),
                None,
                None,
            ),
        ] {
            let details = job(&rest).details;
            assert_eq!((details.cores, details.memory), (cores, memory), "{rest}");
        }
    }

    #[test]
    fn a_hold_has_its_code_only_while_it_lasts() {
        for (status, code) in [(5, Some(26)), (1, None), (2, None), (3, None)] {
            let job = job(&format!(r#""JobStatus": {status}, "HoldReasonCode": 26"#));
            assert_eq!(job.details.hold_reason_code, code, "{status}");
        }
    }

    #[test]
    fn the_run_that_goes_on_counts_since_its_shadow_began() {
        for (rest, started) in [
            (r#""JobCurrentStartDate": 5, "ShadowBday": 9"#, Some(9)),
            (r#""JobCurrentStartDate": 5, "ShadowBday": 0"#, Some(5)),
            (r#""ShadowBday": null"#, None),
        ] {
            assert_eq!(job(rest).started, started, "{rest}");
        }
    }

    proptest! {
        /// Whatever stands in an ad: no panic, nothing below 0, and a number only where there is one.
        #[test]
        fn any_ad_makes_a_job_of_its_numbers(
            values in prop::collection::vec(
                prop_oneof![any::<i64>().prop_map(serde_json::Value::from), value()],
                9,
            ),
            status in 0_i64..9,
        ) {
            let names = "GlobalJobId,RemoteWallClockTime,JobCurrentStartDate,ServerTime,CpusProvisioned,MemoryProvisioned,RequestCpus,RequestMemory,HoldReasonCode";
            let mut ad: serde_json::Map<_, _> =
                names.split(',').map(str::to_owned).zip(values.iter().cloned()).collect();
            for (name, value) in [("ClusterId", 1), ("ProcId", 0), ("JobStatus", status)] {
                ad.insert(name.to_owned(), value.into());
            }
            ad.insert("Owner".to_owned(), "canary-1".into());
            let text = serde_json::Value::Object(ad).to_string();
            let job = serde_json::from_str::<Ad>(&text).unwrap().job().unwrap();
            prop_assert!(job.runtime.is_none_or(|runtime| runtime >= 0));
            let numbers: Vec<Option<i64>> = values.iter().map(serde_json::Value::as_i64).collect();
            let is_one_of = |value: Option<i64>, at: [usize; 2]| {
                value.is_none_or(|value| value >= 0 && at.iter().any(|at| numbers[*at] == Some(value)))
            };
            prop_assert!(is_one_of(job.details.cores, [4, 6]));
            prop_assert!(is_one_of(job.details.memory, [5, 7]));
            prop_assert_eq!(job.details.hold_reason_code, numbers[8].filter(|_| status == 5));
        }
    }

    #[test]
    fn a_job_without_global_id_goes_by_its_number() {
        assert_eq!(job(r#""JobStatus": 4"#).key, "1.0");
        assert_eq!(job(r#""JobStatus": 4"#).schedd(), None);
        assert_eq!(job(r##""GlobalJobId": "a#1.0#7""##).key, "a#1.0#7");
        assert_eq!(job(r##""GlobalJobId": "b@a#1.0#7""##).schedd(), Some("b@a"));
        // `printf %s 1.0 | sha256sum`
        assert_eq!(hash("1.0"), 0xd0ff_5974_b6aa_52cf);
    }
}
