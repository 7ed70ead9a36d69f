//! The table of metrics: HELP and TYPE lines, what OTLP says of a metric, and the tables of
//! `docs/metrics.md` are printed from it. Nothing else names a metric.

use std::fmt::Write as _;

/// Whether a number can go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// How things were when they were read, or what one round found.
    Gauge,
    /// A sum since the program began: only a program that stays has one.
    Counter,
}

/// What a number counts. Base units only, as Prometheus wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Bytes,
    Seconds,
    BytesPerSecond,
}

impl Unit {
    /// As it ends a metric's name, and as `# UNIT` says it; empty where there is none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::BytesPerSecond => "bytes_per_second",
        }
    }

    /// As OTLP says it (UCUM). Prometheus puts what a unit says behind names that do not have it, `_ratio`
    /// for a `1`, and does not see that they have it of `By/s`: so neither is said.
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::None | Self::BytesPerSecond => "",
            Self::Bytes => "By",
            Self::Seconds => "s",
        }
    }
}

/// One metric. Each has the label `cluster`, too: the facility (`-c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub ty: Type,
    pub unit: Unit,
    /// Its labels beside `cluster`. No user is ever one.
    pub labels: &'static [&'static str],
    /// What it says, without backslash, quote and line break.
    pub help: &'static str,
    /// The kind and field of the document it is made of, or the part of the program.
    pub from: &'static str,
}

/// Of a batch system: `htcondor` or `slurm`.
const SYSTEM: &str = "system";
/// The node's published name.
const NODE: &str = "login_node";
const MOUNT: &[&str] = &[NODE, "mount", "device"];
const QUEUE: &[&str] = &[SYSTEM, "queue"];
const STATE: &[&str] = &[SYSTEM, "state"];
const ENDPOINT: &[&str] = &["endpoint"];

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident: $ty:ident $name:literal, $unit:ident, $labels:expr, $from:literal, $help:literal;)*) => {
        $($(#[$doc])* pub const $id: Metric = Metric {
            name: $name,
            ty: Type::$ty,
            unit: Unit::$unit,
            labels: $labels,
            help: $help,
            from: $from,
        };)*
        /// Every metric there is, in the order in which they are printed.
        pub const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    SSH_USERS: Gauge "afmetrics_ssh_users", None, &[NODE], "`ssh`: `ssh_user_count`",
        "Users logged in on the node, each counted once.";
    JUPYTER_USERS: Gauge "afmetrics_jupyter_users", None, &["kind"], "`jupyter-ml`, `jupyter-coffea`: `jupyter_user_count`",
        "Users who own at least one notebook pod, by the kind of the document; where several places have one kind, of those that could be read.";
    JOBS: Gauge "afmetrics_jobs", None, STATE, "`condorjob`, `slurmjob`",
        "Jobs in the queue by state, of the users that are reported. Not there unless the whole list was read.";
    ROUND_ENDED_JOBS: Gauge "afmetrics_round_ended_jobs", None, STATE, "`condorjob`, `slurmjob`",
        "Jobs of which this round found that they had ended, by how they ended. Each job is in one round.";
    ROUND_ENDED_RUNTIME: Gauge "afmetrics_round_ended_jobs_runtime_seconds", Seconds, STATE, "`condorjob`, `slurmjob`: `Runtime`",
        "Wall clock time of these jobs, summed.";
    ENDED_JOBS: Counter "afmetrics_ended_jobs_total", None, STATE, "`condorjob`, `slurmjob`",
        "Jobs that ended, by how they ended, since the collector started.";
    ENDED_RUNTIME: Counter "afmetrics_ended_jobs_runtime_seconds_total", Seconds, STATE, "`condorjob`, `slurmjob`: `Runtime`",
        "Wall clock time of these jobs, summed.";
    QUEUE_JOBS: Gauge "afmetrics_queue_jobs", None, &[SYSTEM, "queue", "state"], "`condorqueue`, `slurmqueue`: `idle`, `running`, `held`",
        "Jobs of a queue by state: idle, running or held.";
    QUEUE_CORES: Gauge "afmetrics_queue_allocated_cores", None, QUEUE, "`condorqueue`, `slurmqueue`: `allocated_cores`",
        "Cores of the running jobs of a queue.";
    QUEUE_MEMORY: Gauge "afmetrics_queue_allocated_memory_bytes", Bytes, QUEUE, "`condorqueue`, `slurmqueue`: `allocated_mem`",
        "Memory of the running jobs of a queue.";
    LOAD: Gauge "afmetrics_load1", None, &[NODE], "`CPU`: `load`",
        "Load average of the node over one minute.";
    MEMORY_TOTAL: Gauge "afmetrics_memory_total_bytes", Bytes, &[NODE], "`MEM`: `total`",
        "Memory of the node.";
    MEMORY_AVAILABLE: Gauge "afmetrics_memory_available_bytes", Bytes, &[NODE], "`MEM`: `available`",
        "Memory of the node that programs can still have.";
    TRANSMIT: Gauge "afmetrics_network_transmit_bytes_per_second", BytesPerSecond, &[NODE], "`NETWORK`: `sent` / `interval`",
        "Bytes sent over all interfaces, loopback included: the mean since the round before.";
    RECEIVE: Gauge "afmetrics_network_receive_bytes_per_second", BytesPerSecond, &[NODE], "`NETWORK`: `received` / `interval`",
        "Bytes received over all interfaces, loopback included: the mean since the round before.";
    MOUNT_SIZE: Gauge "afmetrics_mount_size_bytes", Bytes, MOUNT, "`DISK`: `total`",
        "Size of a file system. The device is left out where the document has none.";
    MOUNT_USED: Gauge "afmetrics_mount_used_bytes", Bytes, MOUNT, "`DISK`: `used`",
        "What is used of a file system.";
    MOUNT_FREE: Gauge "afmetrics_mount_free_bytes", Bytes, MOUNT, "`DISK`: `free`",
        "What an ordinary user may still write to a file system.";
    BUILD: Gauge "afmetrics_collector_build_info", None, &["version"], "the program",
        "Always 1; the version of the collector is a label.";
    // Not the customary process_...: in a textfile these would be taken for the node_exporter's own.
    START_TIME: Gauge "afmetrics_collector_start_time_seconds", Seconds, &[], "the program",
        "When the collector started, in seconds since 1970.";
    RESIDENT: Gauge "afmetrics_collector_resident_memory_bytes", Bytes, &[], "/proc/self/status: VmRSS",
        "Memory that the collector uses.";
    ROUNDS: Counter "afmetrics_collector_rounds_total", None, &[], "a round",
        "Rounds that have ended, well or not.";
    LAST_ROUND: Gauge "afmetrics_collector_last_round_timestamp_seconds", Seconds, &[], "a round",
        "When the last round ended collecting, in seconds since 1970.";
    ROUND_DURATION: Gauge "afmetrics_collector_last_round_duration_seconds", Seconds, &[], "a round",
        "How long the last round collected.";
    SUCCESS: Gauge "afmetrics_collector_success", None, &["collector"], "a round",
        "Whether a collector read all of its sources in the last round: 1 or 0.";
    DURATION: Gauge "afmetrics_collector_duration_seconds", Seconds, &["collector"], "a round",
        "How long a collector ran in the last round; 0 if it did not.";
    RESULTS: Counter "afmetrics_collector_results_total", None, &["collector", "result"], "a round",
        "How often a collector ended so: ok, not_here, failed, timed_out, malformed, busy.";
    DOCUMENTS: Counter "afmetrics_collector_documents_total", None, &["kind"], "a round",
        "Documents collected, by kind.";
    DELIVERED: Counter "afmetrics_collector_delivered_documents_total", None, &["endpoint", "result"], "delivery",
        "Documents that are done with, by what became of them: accepted, rejected (put aside), lost.";
    LATE: Counter "afmetrics_collector_late_documents_total", None, ENDPOINT, "delivery",
        "Of the accepted documents, those of an earlier round than the one that delivered them.";
    ANSWERS: Counter "afmetrics_collector_answers_total", None, &["endpoint", "meaning"], "delivery",
        "Answers of an endpoint by what they mean: accepted, rejected, mend (a person has to), busy; none: there was no answer.";
    SPOOL_BATCHES: Gauge "afmetrics_collector_spool_batches", None, ENDPOINT, "the spool",
        "Batches that wait on disk for an endpoint.";
    SPOOL_BYTES: Gauge "afmetrics_collector_spool_bytes", Bytes, ENDPOINT, "the spool",
        "Bytes on disk of the batches that wait for an endpoint.";
    SPOOL_DOCUMENTS: Gauge "afmetrics_collector_spool_documents", None, ENDPOINT, "the spool",
        "Documents in the batches that wait for an endpoint.";
    SPOOL_OLDEST: Gauge "afmetrics_collector_spool_oldest_timestamp_seconds", Seconds, ENDPOINT, "the spool",
        "When the oldest batch that waits for an endpoint was collected, in seconds since 1970; not there if none waits.";
}

/// The metric of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The table of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "| metric | type | labels | meaning | from |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let ty = match metric.ty {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        };
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            text,
            "| `{}` | {ty} | {} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help,
            metric.from
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use afmetrics_document::kinds::{KINDS, RESULTS as WORDS};

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} twice", metric.name);
            let (is_counter, family) = match metric.name.strip_suffix("_total") {
                Some(family) => (true, family),
                None => (false, metric.name),
            };
            assert_eq!(is_counter, metric.ty == Type::Counter, "{}", metric.name);
            assert!(family.ends_with(metric.unit.name()), "{}", metric.name);
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(metric.name.starts_with("afmetrics_"));
            assert!(metric.name.chars().all(allowed), "{}", metric.name);
        }
    }

    /// OpenMetrics takes a name and the same name with a suffix for one metric.
    #[test]
    fn no_family_is_another_ones_sample() {
        let family = |metric: &Metric| metric.name.trim_end_matches("_total").to_owned();
        let families: Vec<String> = METRICS.iter().map(family).collect();
        let different: BTreeSet<&String> = families.iter().collect();
        assert_eq!(different.len(), families.len());
        for name in &families {
            for suffix in ["_total", "_created", "_info", "_count", "_sum", "_bucket"] {
                assert!(!different.contains(&format!("{name}{suffix}")), "{name}");
            }
        }
    }

    #[test]
    fn help_needs_no_escaping_and_no_label_is_a_user() {
        for metric in METRICS {
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(!metric.help.contains(['\\', '"', '\n', '|']));
            for label in metric.labels {
                assert!(!["users", "user", "account", "Id", "cluster"].contains(label));
            }
        }
    }

    #[test]
    fn every_kind_with_a_number_is_the_source_of_a_metric() {
        for kind in KINDS.iter().filter(|kind| kind.name != "round") {
            let named = format!("`{}`", kind.name);
            let is_there = METRICS.iter().any(|metric| metric.from.contains(&named));
            assert!(is_there, "{}", kind.name);
        }
        assert!(WORDS.iter().all(|word| RESULTS.help.contains(word)));
    }
}
