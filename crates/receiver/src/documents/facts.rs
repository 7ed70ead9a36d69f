//! What a document says that is added up: who was seen, which job is in which state, which number a
//! node had. Read when a document comes in, and again from the stored one after a crash.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use afmetrics_document::kinds::{self, Kind};
use ring::digest;

use super::fields::Fields;
use super::shape::{Value, string};
use super::{Name, Names};
use crate::documents::Metric;

/// What is added up of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Users who are there now (ssh, Jupyter). `node` is empty where the kind has none.
    Users { node: Name, users: Vec<Name> },
    /// One batch job.
    Job(Job),
    /// Numbers of a node, a mount of it (`part`), or a queue (`part`, of no node).
    Numbers {
        node: Name,
        part: Name,
        numbers: Vec<(Metric, f64)>,
    },
    /// A round of a collector. `saw_jobs`: it read the queue of the batch system, so that no job in it is
    /// a zero and not a gap.
    Round { node: Name, saw_jobs: bool },
    /// Of a kind that nothing is added up of.
    Nothing,
}

/// One batch job, as one document reports it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    pub user: Name,
    pub state: Name,
    /// Which job it is: a hash of schedd (where given), user and Id, of this program only.
    pub job: u64,
    /// Seconds.
    pub runtime: i64,
    /// For a job that has ended: what makes it the same when somebody else reports it too, a hash of
    /// schedd (where given), user, Id and run time that does not change between versions.
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
        "condorjob" => job(&given, fields, names),
        "condorqueue" => Facts::Numbers {
            node: names.of(""),
            part: names.of(given.str("queue")),
            numbers: given.numbers(&[
                ("idle", Metric::QueueIdle),
                ("running", Metric::QueueRunning),
                ("held", Metric::QueueHeld),
                ("allocated_cores", Metric::QueueCores),
                ("allocated_mem", Metric::QueueMemory),
            ]),
        },
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

fn job(given: &Given<'_, '_>, fields: &Fields<'_>, names: &mut Names) -> Facts {
    let (user, id) = (given.str("users"), given.str("Id"));
    let (state, runtime) = (given.str("state"), given.int("Runtime"));
    let schedd = fields.raw("schedd").and_then(string).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&*schedd, user, id).hash(&mut hasher);
    Facts::Job(Job {
        user: names.of(user),
        state: names.of(state),
        job: hasher.finish(),
        runtime,
        ended: kinds::END_STATES
            .contains(&state)
            .then(|| ended(&schedd, user, id, runtime)),
    })
}

/// Stored, so it must stay as it is: the first 16 bytes of SHA-256 over the four, each with its length.
fn ended(schedd: &str, user: &str, id: &str, runtime: i64) -> u128 {
    let mut sum = digest::Context::new(&digest::SHA256);
    for text in [schedd, user, id, &runtime.to_string()] {
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

fn saw_jobs(round: &Fields<'_>) -> bool {
    #[derive(serde::Deserialize)]
    struct Ended {
        result: String,
    }
    let collectors: Option<std::collections::BTreeMap<String, Ended>> = round
        .raw("collectors")
        .and_then(|raw| serde_json::from_str(raw).ok());
    collectors.is_some_and(|collectors| {
        ["condor_jobs", "slurm_jobs"].iter().any(|name| {
            collectors
                .get(*name)
                .is_some_and(|ended| ended.result == "ok")
        })
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
