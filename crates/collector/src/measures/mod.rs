//! The numbers of a round as metrics: for Prometheus as text, for an OpenTelemetry Collector as OTLP.
//!
//! A collector's [`Measures`] grow with its documents, one at a time, and go where they go: dropped
//! if the source failed, merged into the round's if it ended well. What was not read has no sample,
//! never a 0; what was read and is empty is 0. Jobs are counted by state, so that memory does not
//! grow with the queue, and no user is ever a label.

pub mod otlp;
pub mod own;
pub mod table;
pub mod text;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use afmetrics_document::kinds::{END_STATES, JOB_STATES, UNKNOWN_STATE};
use afmetrics_document::{Document, Heard};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::table::Metric;

/// One number. As a line of JSON it can wait in the spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// That of a [`Metric`] of [`table::METRICS`], or of another version's.
    pub name: Cow<'static, str>,
    pub labels: BTreeMap<Cow<'static, str>, String>,
    pub value: f64,
    /// Of a counter: since when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Sample {
    /// `values`: of the metric's labels, in its order; an empty one is left out, which is the same to
    /// Prometheus.
    fn new(metric: &Metric, cluster: &str, values: &[&str], value: f64) -> Self {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let others = metric.labels.iter().copied().zip(values.iter().copied());
        Self {
            name: Cow::Borrowed(metric.name),
            labels: std::iter::once(("cluster", cluster))
                .chain(others)
                .filter(|(_, value)| !value.is_empty())
                .map(|(label, value)| (Cow::Borrowed(label), value.to_owned()))
                .collect(),
            value,
            since: None,
        }
    }
}

/// A batch system, as `system` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    Htcondor,
    Slurm,
}

impl System {
    const ALL: [Self; 2] = [Self::Htcondor, Self::Slurm];

    const fn name(self) -> &'static str {
        match self {
            Self::Htcondor => "htcondor",
            Self::Slurm => "slurm",
        }
    }

    /// The collector of all jobs in the queue.
    const fn queue(self) -> &'static str {
        match self {
            Self::Htcondor => "condor_jobs",
            Self::Slurm => "slurm_jobs",
        }
    }

    /// The collector of jobs that ended.
    const fn history(self) -> &'static str {
        match self {
            Self::Htcondor => "condor_history",
            Self::Slurm => "slurm_history",
        }
    }

    /// The states of which a list that was read to its end has some jobs, or none.
    const fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Htcondor => &[
                "idle",
                "running",
                "held",
                "suspended",
                "transferring_output",
                "removed",
            ],
            Self::Slurm => &["idle", "running", "held", "suspended", "completing"],
        }
    }

    /// The same of a history. HTCondor's removed jobs are read on demand only, so none is no 0.
    const fn usual_ends(self) -> &'static [&'static str] {
        match self {
            Self::Htcondor => &["finished"],
            Self::Slurm => &[
                "finished",
                "removed",
                "failed",
                "timeout",
                "out_of_memory",
                "node_fail",
            ],
        }
    }
}

/// States that Slurm alone has, and that a job leaves. Whatever else it says is `other`, so that
/// states remain few.
const SLURM_ONLY: [&str; 16] = [
    "completing",
    "configuring",
    "requeued",
    "requeue_fed",
    "resizing",
    "resv_del_hold",
    "signaling",
    "special_exit",
    "stage_out",
    "stopped",
    "launch_failed",
    "power_up_node",
    "reconfig_fail",
    "update_db",
    "expediting",
    UNKNOWN_STATE,
];

fn known(state: &str) -> &'static str {
    let all = JOB_STATES.iter().chain(&END_STATES).chain(&SLURM_ONLY);
    all.copied()
        .find(|known| *known == state)
        .unwrap_or("other")
}

/// A batch system and a state.
type Counted = (System, &'static str);

/// Jobs that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ended {
    jobs: u64,
    /// Seconds.
    runtime: u64,
}

impl Ended {
    fn add(&mut self, other: Self) {
        self.jobs = self.jobs.saturating_add(other.jobs);
        self.runtime = self.runtime.saturating_add(other.runtime);
    }
}

/// What a metric says of one thing: the values of its labels.
type Series = (&'static str, Vec<String>);

/// The numbers of a collector's documents, or of a round's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// The collector that the documents are of; of a round's there is none.
    collector: &'static str,
    levels: BTreeMap<Series, (&'static Metric, f64)>,
    queued: BTreeMap<Counted, u64>,
    ended: BTreeMap<Counted, Ended>,
    well: BTreeSet<&'static str>,
}

impl Measures {
    /// `collector`: the one of [`crate::collectors::ALL`] whose documents will be added. A round's
    /// begin with [`Measures::default`].
    pub fn of(collector: &'static str) -> Self {
        Self {
            collector,
            ..Self::default()
        }
    }

    /// Adds what a document says.
    pub fn add(&mut self, document: &Heard<'_>) {
        match document {
            Document::Ssh {
                login_node,
                ssh_user_count,
                ..
            } => self.level(&table::SSH_USERS, &[login_node], real(*ssh_user_count)),
            // Of all places where notebooks of this kind run.
            Document::JupyterMl {
                jupyter_user_count, ..
            }
            | Document::JupyterCoffea {
                jupyter_user_count, ..
            } => self.sum(
                &table::JUPYTER_USERS,
                &[document.kind()],
                real(*jupyter_user_count),
            ),
            Document::CondorJob { state, runtime, .. } => {
                self.job(System::Htcondor, state, 1, *runtime);
            }
            Document::SlurmJob {
                state,
                runtime,
                tasks,
                ..
            } => self.job(System::Slurm, state, tasks.unwrap_or(1), *runtime),
            Document::CondorQueue { .. } | Document::SlurmQueue { .. } => self.queue(document),
            // What a round says of itself is in `own`.
            Document::Round { .. } => {}
            Document::Cpu { .. }
            | Document::Mem { .. }
            | Document::Network { .. }
            | Document::Disk { .. } => self.host(document),
        }
    }

    /// What the collector was to read it has read, all of it. Without that there is no number of jobs
    /// in the queue: of several schedds the sum of some would look like a queue that shrank.
    pub fn ended_well(&mut self) {
        self.well.insert(self.collector);
    }

    /// The jobs that ended will be read again, as the cursor behind them is not kept: they count then.
    pub fn forget_ended(&mut self) {
        self.ended.clear();
        for system in System::ALL {
            self.well.remove(system.history());
        }
    }

    /// Takes back which jobs ended since `before`: they will be read again, and count then.
    pub fn forget_ended_since(&mut self, before: &Self) {
        self.ended.clone_from(&before.ended);
    }

    /// Takes in those of another collector.
    pub fn merge(&mut self, other: Self) {
        self.levels.extend(other.levels);
        for (counted, jobs) in other.queued {
            self.queue_jobs(counted, jobs);
        }
        for (counted, ended) in other.ended {
            self.ended.entry(counted).or_default().add(ended);
        }
        self.well.extend(other.well);
    }

    /// All samples, each series once. `cluster`: the facility.
    pub fn samples(&self, cluster: &str) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut put = |metric: &Metric, values: &[&str], value: f64| {
            samples.push(Sample::new(metric, cluster, values, value));
        };
        for ((_, values), (metric, value)) in &self.levels {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            put(metric, &values, *value);
        }
        for ((system, state), jobs) in self.queued() {
            put(&table::JOBS, &[system.name(), state], real(jobs));
        }
        for ((system, state), ended) in self.ended() {
            let values = [system.name(), state];
            put(&table::ROUND_ENDED_JOBS, &values, real(ended.jobs));
            put(&table::ROUND_ENDED_RUNTIME, &values, real(ended.runtime));
        }
        samples
    }

    /// Jobs in the queues that were read to their end.
    fn queued(&self) -> BTreeMap<Counted, u64> {
        let mut queued = BTreeMap::new();
        for system in self.read(System::queue) {
            queued.extend(system.usual().iter().map(|state| ((system, *state), 0)));
            let of_system = self.queued.iter().filter(|((of, _), _)| *of == system);
            queued.extend(of_system.map(|(counted, jobs)| (*counted, *jobs)));
        }
        queued
    }

    /// Jobs that ended. They are events: those of a list that was not read to its end count as well,
    /// and the others come in a later round.
    fn ended(&self) -> BTreeMap<Counted, Ended> {
        let mut ended = BTreeMap::new();
        for system in self.read(System::history) {
            let none = |state: &&'static str| ((system, *state), Ended::default());
            ended.extend(system.usual_ends().iter().map(none));
        }
        ended.extend(&self.ended);
        ended
    }

    /// The batch systems of which this collector ended well.
    fn read(&self, collector: fn(System) -> &'static str) -> impl Iterator<Item = System> {
        let all = System::ALL.into_iter();
        all.filter(move |system| self.well.contains(collector(*system)))
    }

    fn level(&mut self, metric: &'static Metric, values: &[&str], value: f64) {
        if value.is_finite() {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            self.levels.insert((metric.name, values), (metric, value));
        }
    }

    fn sum(&mut self, metric: &'static Metric, values: &[&str], value: f64) {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let sum = self
            .levels
            .entry((metric.name, values))
            .or_insert((metric, 0.0));
        sum.1 += value;
    }

    fn job(&mut self, system: System, state: &str, jobs: u64, runtime: i64) {
        let counted = (system, known(state));
        // `condor_jobs` has finished jobs, too: those that stay in the queue, when they are first seen.
        let is_end = self.collector == system.history()
            || (system == System::Htcondor && state == "finished");
        if is_end {
            self.ended.entry(counted).or_default().add(Ended {
                jobs,
                runtime: u64::try_from(runtime).unwrap_or(0),
            });
        } else {
            self.queue_jobs(counted, jobs);
        }
    }

    fn queue_jobs(&mut self, counted: Counted, jobs: u64) {
        let sum = self.queued.entry(counted).or_default();
        *sum = sum.saturating_add(jobs);
    }

    fn queue(&mut self, document: &Heard<'_>) {
        const MIB: f64 = 1_048_576.0;
        let (Document::CondorQueue {
            queue,
            idle,
            running,
            held,
            allocated_cores,
            allocated_mem,
            ..
        }
        | Document::SlurmQueue {
            queue,
            idle,
            running,
            held,
            allocated_cores,
            allocated_mem,
        }) = document
        else {
            return;
        };
        let system = match document {
            Document::SlurmQueue { .. } => System::Slurm.name(),
            _ => System::Htcondor.name(),
        };
        for (state, jobs) in [("idle", idle), ("running", running), ("held", held)] {
            self.level(&table::QUEUE_JOBS, &[system, queue, state], signed(*jobs));
        }
        let values = [system, queue];
        self.level(&table::QUEUE_CORES, &values, signed(*allocated_cores));
        self.level(&table::QUEUE_MEMORY, &values, signed(*allocated_mem) * MIB);
    }

    fn host(&mut self, document: &Heard<'_>) {
        match document {
            Document::Cpu { login_node, load } => {
                self.level(&table::LOAD, &[login_node], *load);
            }
            Document::Mem {
                login_node,
                total,
                available,
            } => {
                let node = [*login_node];
                self.level(&table::MEMORY_TOTAL, &node, real(*total));
                self.level(&table::MEMORY_AVAILABLE, &node, real(*available));
            }
            // A rate, and no counter: a round by cron remembers no sum, and what is delivered late
            // stands for itself. Where there is no time to divide by, there is no rate.
            Document::Network {
                login_node,
                network,
            } => {
                let node = [*login_node];
                self.level(
                    &table::TRANSMIT,
                    &node,
                    real(network.sent) / network.interval,
                );
                self.level(
                    &table::RECEIVE,
                    &node,
                    real(network.received) / network.interval,
                );
            }
            Document::Disk {
                login_node,
                mount,
                total,
                used,
                free,
                device,
                ..
            } => {
                let device = device.unwrap_or_default();
                let values = [*login_node, mount.as_str(), device];
                self.level(&table::MOUNT_SIZE, &values, real(*total));
                self.level(&table::MOUNT_USED, &values, real(*used));
                self.level(&table::MOUNT_FREE, &values, real(*free));
            }
            _ => {}
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, which is 8 PiB; beyond, 16 digits are enough of a metric"
)]
const fn real(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
const fn signed(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
