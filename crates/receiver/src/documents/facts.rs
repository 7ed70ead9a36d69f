//! What a document says that is added up: who was seen, which job is in which state, which number a
//! node had. Read when a document comes in, and again from the stored one after a crash.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use afmetrics_document::kinds::{self, Kind};
use ring::digest;

use super::fields::Fields;
use super::shape::{Value, string};
use super::{Name, Names, System};
use crate::documents::Metric;

/// What is added up of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Users who are there now (ssh, Jupyter). `node` is empty where the kind has none.
    Users { node: Name, users: Vec<Name> },
    /// One batch job.
    Job(Job),
    /// Numbers of a node, a mount of it (`part`), or a queue (`part`, of no node; as [`System::part`] has it).
    Numbers {
        node: Name,
        part: Name,
        numbers: Vec<(Metric, f64)>,
    },
    /// A round of a collector. `saw_jobs`: which batch systems' queues it read (in the order of
    /// [`System::ALL`]), so that no job in one is a zero and not a gap.
    Round { node: Name, saw_jobs: SawJobs },
    /// Of a kind that nothing is added up of.
    Nothing,
}

/// Of which batch systems a round read the queue, in the order of [`System::ALL`].
pub type SawJobs = [bool; System::ALL.len()];

/// A document stands for at most so many jobs: the largest array that Slurm can be told to allow (MaxArraySize).
const MOST_TASKS: i64 = 4_000_001;

/// One batch job, or the waiting tasks of an array, as one document reports it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    pub user: Name,
    /// As [`System::part`] has it.
    pub state: Name,
    /// Which job of its system it is: a hash of schedd (where given), user and Id, of this program only. Of
    /// waiting tasks, those of an array are one, whichever still wait.
    pub job: u64,
    /// How many jobs it is, from 1 on.
    pub tasks: u32,
    /// Seconds.
    pub runtime: i64,
    /// For a job that has ended: what makes it the same when somebody else reports it too, a hash of
    /// schedd (where given), user, Id and run time (of HTCondor's removed ones the state in its place), and of
    /// Slurm's also system and state. It does not change between versions.
    pub ended: Option<u128>,
}

/// The facts of a document of this kind, whose values are in the order of the kind's fields.
pub fn facts(
    kind: &Kind,
    fields: &Fields<'_>,
    values: &[Option<Value<'_>>],
    names: &mut Names,
) -> Facts {
    let given = Given { kind, values };
    match kind.name {
        "ssh" | "jupyter-ml" | "jupyter-coffea" => Facts::Users {
            node: names.of(given.str("login_node")),
            users: given.strs("users", names),
        },
        "condorjob" => job(System::HtCondor, &given, fields, names),
        "slurmjob" => job(System::Slurm, &given, fields, names),
        "condorqueue" => queue(System::HtCondor, &given, names),
        "slurmqueue" => queue(System::Slurm, &given, names),
        "CPU" => given.host(&[("load", Metric::Load)], names),
        "MEM" => given.host(
            &[
                ("total", Metric::MemoryTotal),
                ("available", Metric::MemoryAvailable),
            ],
            names,
        ),
        "NETWORK" => Facts::Numbers {
            node: names.of(given.str("login_node")),
            part: names.of(""),
            numbers: traffic(given.value("network")),
        },
        "DISK" => given.host(
            &[
                ("total", Metric::DiskTotal),
                ("used", Metric::DiskUsed),
                ("free", Metric::DiskFree),
            ],
            names,
        ),
        "round" => Facts::Round {
            node: names.of(given.str("login_node")),
            saw_jobs: saw_jobs(fields),
        },
        _ => Facts::Nothing,
    }
}

fn queue(system: System, given: &Given<'_, '_>, names: &mut Names) -> Facts {
    Facts::Numbers {
        node: names.of(""),
        part: names.of(&system.part(given.str("queue"))),
        numbers: given.numbers(&[
            ("idle", Metric::QueueIdle),
            ("running", Metric::QueueRunning),
            ("held", Metric::QueueHeld),
            ("allocated_cores", Metric::QueueCores),
            ("allocated_mem", Metric::QueueMemory),
        ]),
    }
}

fn job(system: System, given: &Given<'_, '_>, fields: &Fields<'_>, names: &mut Names) -> Facts {
    let (user, id) = (given.str("users"), given.str("Id"));
    let (state, runtime) = (given.str("state"), given.int("Runtime"));
    let schedd = fields.raw("schedd").and_then(string).unwrap_or_default();
    let tasks = given.value("tasks").map(|_| given.int("tasks"));
    let runs = [&*schedd, user, id, &runtime.to_string()];
    let is_ended = kinds::END_STATES.contains(&state);
    Facts::Job(Job {
        user: names.of(user),
        state: names.of(&system.part(state)),
        job: which(&schedd, user, id, tasks.map(|_| state)),
        tasks: tasks.map_or(1, at_least_one),
        runtime,
        ended: is_ended.then(|| match system {
            // The queue says of it how long its runs before took, the history how long all.
            System::HtCondor if state == "removed" => hash(&[&runs[..3], &[state]].concat()),
            System::HtCondor => hash(&runs),
            // Each run of a requeued job is one, and may be as long as another.
            System::Slurm => hash(&[&[system.job_kind(), state], &runs[..]].concat()),
        }),
    })
}

/// Which job of its system it is. Of an array that waits (`waiting`: in which state), which tasks do changes from
/// minute to minute: the list would count those twice that are in two reports.
fn which(schedd: &str, user: &str, id: &str, waiting: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (waiting, id.split_once('[')) {
        (Some(state), Some((array, _))) => (schedd, user, array, state).hash(&mut hasher),
        _ => (schedd, user, id).hash(&mut hasher),
    }
    hasher.finish()
}

/// Of how many jobs a document is that says so many: it is there, so of one, and of no more than there can be.
fn at_least_one(tasks: i64) -> u32 {
    u32::try_from(tasks.clamp(1, MOST_TASKS)).unwrap_or(1)
}

/// Stored, so it must stay as it is: the first 16 bytes of SHA-256 over the texts, each with its length.
fn hash(texts: &[&str]) -> u128 {
    let mut sum = digest::Context::new(&digest::SHA256);
    for text in texts {
        sum.update(&(text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&sum.finish().as_ref()[..16]);
    u128::from_be_bytes(first)
}

/// Bytes a second, from what was counted over an interval; nothing where the interval is no time.
fn traffic(network: Option<&Value<'_>>) -> Vec<(Metric, f64)> {
    let Some(Value::Object(values)) = network else {
        return Vec::new();
    };
    let number = |at: usize| values.get(at).and_then(|value| value.as_ref()).map(number);
    match (number(0), number(1), number(2)) {
        (Some(interval), Some(sent), Some(received)) if interval > 0.0 => [
            (Metric::NetworkSent, sent / interval),
            (Metric::NetworkReceived, received / interval),
        ]
        .into_iter()
        .filter(|(_, number)| adds_up(*number))
        .collect(),
        _ => Vec::new(),
    }
}

/// Whether a number can be one of a sum. Beyond any that is meant, a sum would once be infinite, and two
/// such no number at all, which the store refuses.
fn adds_up(number: f64) -> bool {
    number.abs() < 1e30
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums and means are floats; exact to 2^53, which is 9 PB"
)]
fn number(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    }
}

/// A round of a node that has one of the systems says nothing of the other.
fn saw_jobs(round: &Fields<'_>) -> SawJobs {
    #[derive(serde::Deserialize)]
    struct Ended {
        result: String,
    }
    let collectors: std::collections::BTreeMap<String, Ended> = round
        .raw("collectors")
        .and_then(|raw| serde_json::from_str(raw).ok())
        .unwrap_or_default();
    System::ALL.map(|system| {
        let ended = collectors.get(system.collector());
        ended.is_some_and(|ended| ended.result == "ok")
    })
}

/// A document's values by name. What a kind's table says is there is there: it was checked.
struct Given<'k, 'a> {
    kind: &'k Kind,
    values: &'k [Option<Value<'a>>],
}

impl Given<'_, '_> {
    fn value(&self, name: &str) -> Option<&Value<'_>> {
        let at = self
            .kind
            .fields
            .iter()
            .position(|field| field.name == name)?;
        self.values.get(at)?.as_ref()
    }

    fn str(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Value::Str(text)) => text,
            _ => "",
        }
    }

    fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    fn strs(&self, name: &str, names: &mut Names) -> Vec<Name> {
        match self.value(name) {
            Some(Value::Strs(texts)) => texts.iter().map(|text| names.of(&text.0)).collect(),
            _ => Vec::new(),
        }
    }

    fn numbers(&self, wanted: &[(&str, Metric)]) -> Vec<(Metric, f64)> {
        wanted
            .iter()
            .filter_map(|(name, metric)| Some((*metric, number(self.value(name)?))))
            .filter(|(_, number)| adds_up(*number))
            .collect()
    }

    fn host(&self, wanted: &[(&str, Metric)], names: &mut Names) -> Facts {
        Facts::Numbers {
            node: names.of(self.str("login_node")),
            part: names.of(self.str("mount")),
            numbers: self.numbers(wanted),
        }
    }
}

impl Facts {
    /// The same with other numbers for its names.
    pub fn renamed(&self, to: impl Fn(Name) -> Name) -> Facts {
        match self {
            Facts::Users { node, users } => Facts::Users {
                node: to(*node),
                users: users.iter().map(|user| to(*user)).collect(),
            },
            Facts::Job(job) => Facts::Job(Job {
                user: to(job.user),
                state: to(job.state),
                ..*job
            }),
            Facts::Numbers {
                node,
                part,
                numbers,
            } => Facts::Numbers {
                node: to(*node),
                part: to(*part),
                numbers: numbers.clone(),
            },
            Facts::Round { node, saw_jobs } => Facts::Round {
                node: to(*node),
                saw_jobs: *saw_jobs,
            },
            Facts::Nothing => Facts::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::read_again;

    /// The facts of a document; names by their text.
    fn of(line: &str, names: &mut Names) -> Facts {
        let line =
            format!(r#"{{"timestamp":"2026-11-22T23:00:00.000Z","cluster":"UC-AF",{line}}}"#);
        read_again(&line, names).unwrap().2
    }

    fn job(kind: &str, id: &str, state: &str, more: &str) -> (Job, String) {
        let mut names = Names::default();
        let line = format!(
            r#""kind":"{kind}","users":"canary-1","Id":"{id}","Runtime":60,"state":"{state}","partition":"all","cores":1{more}"#
        );
        match of(&line, &mut names) {
            Facts::Job(job) => (job, names.text(job.state).to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_job_of_slurm_is_a_job_and_none_of_htcondor() {
        let (condor, state) = job("condorjob", "7", "running", "");
        assert_eq!((condor.tasks, &*state), (1, "running"));
        let (slurm, state) = job("slurmjob", "7", "running", "");
        assert_eq!((slurm.tasks, &*state), (1, "slurm/running"));
        assert_eq!((condor.ended, slurm.ended), (None, None));
    }

    #[test]
    fn an_end_is_known_by_its_hash_which_stays_as_it_is() {
        let ended = |kind, state, more| job(kind, "7.0", state, more).0.ended;
        // As stores have them from before there was another system: schedd, user, Id, run time.
        let known = 0xdaf9_81f8_cb93_b2cb_b655_1840_549d_03d9;
        assert_eq!(ended("condorjob", "finished", ""), Some(known));
        let of_schedd = 0x22f2_bf9f_b15c_5759_1a49_b6cc_ce43_87dc;
        let schedd = r#","schedd":"s1""#;
        assert_eq!(ended("condorjob", "finished", schedd), Some(of_schedd));
        // Kind and state before them.
        let of_slurm = 0xec6d_d689_1747_ea19_4cfb_93af_cd0f_fbf0;
        assert_eq!(ended("slurmjob", "finished", ""), Some(of_slurm));
    }

    #[test]
    fn a_job_that_was_removed_is_one_end_whatever_its_run_time() {
        let ended = |state: &str, id: &str, runtime: i64| {
            let line = format!(
                r#""kind":"condorjob","users":"canary-1","Id":"{id}","Runtime":{runtime},"state":"{state}""#
            );
            match of(&line, &mut Names::default()) {
                Facts::Job(job) => job.ended,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ended("removed", "7.0", 0), ended("removed", "7.0", 500));
        assert_ne!(ended("removed", "7.0", 0), ended("removed", "8.0", 0));
        assert_ne!(ended("finished", "7.0", 0), ended("finished", "7.0", 500));
        let known = 0x168e_0e32_76d6_3b5c_e9ae_b9db_0c5f_a65e;
        assert_eq!(ended("removed", "7.0", 60), Some(known));
    }

    #[test]
    fn every_end_state_is_an_end_and_no_other() {
        for state in kinds::END_STATES {
            assert!(job("slurmjob", "7", state, "").0.ended.is_some(), "{state}");
        }
        for state in [
            "requeued",
            "completing",
            "configuring",
            "idle",
            "held",
            "unknown",
        ] {
            assert_eq!(job("slurmjob", "7", state, "").0.ended, None, "{state}");
        }
        // Runs of one job that are as long as each other.
        let run = |state| job("slurmjob", "7", state, "").0.ended;
        assert_ne!(run("node_fail"), run("finished"));
    }

    #[test]
    fn waiting_tasks_are_as_many_jobs_and_one_array_whichever_still_wait() {
        let waits = |id, state, tasks: i64| {
            let (job, _) = job("slurmjob", id, state, &format!(r#","tasks":{tasks}"#));
            (job.job, job.tasks)
        };
        let (array, five) = waits("123_[5-9%2]", "idle", 5);
        assert_eq!(five, 5);
        assert_eq!(waits("123_[6-9%2]", "idle", 4), (array, 4));
        assert_ne!(waits("123_[6-9%2]", "held", 4).0, array);
        assert_ne!(waits("124_[5-9%2]", "idle", 5).0, array);
        let (task, _) = job("slurmjob", "123_5", "running", "");
        assert_ne!(task.job, array);
        // A document that is there is of one job at least, and of no more than Slurm allows.
        for (says, counts) in [
            (0, 1),
            (-7, 1),
            (i64::MIN, 1),
            (4_000_001, 4_000_001),
            (i64::MAX, 4_000_001),
        ] {
            assert_eq!(waits("123_[1]", "idle", says).1, counts, "{says}");
        }
        let (none, _) = job("slurmjob", "123", "idle", r#","tasks":null"#);
        assert_eq!(none.tasks, 1);
    }

    #[test]
    fn a_round_says_of_its_own_batch_system_only_that_the_queue_is_empty() {
        let saw = |collectors: &str| {
            let line = format!(
                r#""kind":"round","login_node":"login01.canary.example","version":"1","duration":1.0,"collectors":{{{collectors}}}"#
            );
            match of(&line, &mut Names::default()) {
                Facts::Round { saw_jobs, .. } => saw_jobs,
                other => panic!("{other:?}"),
            }
        };
        let ran = |name: &str, result: &str| {
            format!(r#""{name}":{{"result":"{result}","documents":0,"duration":0.1}}"#)
        };
        let (condor, slurm) = (ran("condor_jobs", "ok"), ran("slurm_jobs", "ok"));
        assert_eq!(saw(&condor), [true, false]);
        assert_eq!(saw(&slurm), [false, true]);
        assert_eq!(saw(&format!("{condor},{slurm}")), [true, true]);
        let failed = ran("slurm_jobs", "failed");
        assert_eq!(saw(&format!("{condor},{failed}")), [true, false]);
        let absent = ran("condor_jobs", "not_here");
        assert_eq!(saw(&format!("{absent},{slurm}")), [false, true]);
        // Others than those that read the queue say nothing of it.
        assert_eq!(saw(&ran("slurm_history", "ok")), [false, false]);
    }

    #[test]
    fn queues_of_one_name_are_two() {
        let mut names = Names::default();
        let numbers =
            r#""queue":"all","idle":1,"running":2,"held":3,"allocated_cores":4,"allocated_mem":5"#;
        let mut part = |kind: &str| match of(&format!(r#""kind":"{kind}",{numbers}"#), &mut names) {
            Facts::Numbers {
                node,
                part,
                numbers,
            } => {
                assert_eq!(names.text(node), "", "a queue is of no node");
                (names.text(part).to_owned(), numbers)
            }
            other => panic!("{other:?}"),
        };
        let (condor, slurm) = (part("condorqueue"), part("slurmqueue"));
        assert_eq!((&*condor.0, &*slurm.0), ("all", "slurm/all"));
        assert_eq!(condor.1, slurm.1);
    }
}
