//! The table of kinds: every field of every document, with its type, unit and source.
//!
//! `docs/kinds.md` is printed from it by [`markdown`]; dashboards at the facilities use these
//! names, so nothing here is renamed or retyped, and what is added is optional.

use std::fmt::Write as _;

/// The JSON type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Str,
    Int,
    Float,
    /// An array of strings without repeats.
    Strs,
    /// An object of [`Field`]s of its own.
    Object(&'static [Field]),
    /// An object of such objects, by name.
    Map(&'static [Field]),
}

/// One field of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub ty: Type,
    /// The unit of a number, empty where there is none.
    pub unit: &'static str,
    pub meaning: &'static str,
    /// Whether a document of this kind always has it.
    pub required: bool,
}

/// One kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    /// What one such document says.
    pub meaning: &'static str,
    /// The tool, file or service that the numbers come from.
    pub source: &'static str,
    /// Fields beyond those of [`COMMON`].
    pub fields: &'static [Field],
}

const fn field(name: &'static str, ty: Type, unit: &'static str, meaning: &'static str) -> Field {
    Field {
        name,
        ty,
        unit,
        meaning,
        required: true,
    }
}

/// One that a document may lack.
const fn optional(
    name: &'static str,
    ty: Type,
    unit: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        required: false,
        ..field(name, ty, unit, meaning)
    }
}

const LOGIN_NODE: Field = field(
    "login_node",
    Type::Str,
    "",
    "the node, as gethostname() names it (or `--login-node`, or its name under `-O`)",
);

const JUPYTER: &[Field] = &[
    field(
        "jupyter_user_count",
        Type::Int,
        "users",
        "length of `users`",
    ),
    field(
        "users",
        Type::Strs,
        "",
        "who owns at least one notebook pod, each once",
    ),
];

/// The words that `state` of a `condorjob` can be, by HTCondor's JobStatus from 0 on; any other
/// status is [`UNKNOWN_STATE`].
pub const JOB_STATES: [&str; 8] = [
    "unexpanded",
    "idle",
    "running",
    "removed",
    "finished",
    "held",
    "transferring_output",
    "suspended",
];

/// `state` of a job whose JobStatus is missing or not one of [`JOB_STATES`].
pub const UNKNOWN_STATE: &str = "unknown";

/// What Slurm calls a state, and the word of [`JOB_STATES`] that says the same. A job that waits and is
/// held (its priority is 0, or its reason says so) is `held`. Any other state is Slurm's own word in small
/// letters.
pub const SLURM_STATES: [(&str, &str); 6] = [
    ("PENDING", "idle"),
    ("RUNNING", "running"),
    ("SUSPENDED", "suspended"),
    ("COMPLETED", "finished"),
    ("CANCELLED", "removed"),
    ("REQUEUE_HOLD", "held"),
];

/// The states that a job never leaves: those of both systems, then those that only Slurm has.
pub const END_STATES: [&str; 10] = [
    "finished",
    "removed",
    "failed",
    "timeout",
    "out_of_memory",
    "node_fail",
    "preempted",
    "boot_fail",
    "deadline",
    "revoked",
];

/// The words that `result` of a collector in a `round` can be.
pub const RESULTS: [&str; 6] = ["ok", "not_here", "failed", "timed_out", "malformed", "busy"];

/// Fields of every document.
pub const COMMON: &[Field] = &[
    field(
        "token",
        Type::Str,
        "",
        "the facility's secret: added when a document leaves, never stored, logged or shown",
    ),
    field("kind", Type::Str, "", "which of the kinds below"),
    field("cluster", Type::Str, "", "the facility (`-c`)"),
    Field {
        name: "timestamp",
        ty: Type::Str,
        unit: "RFC 3339, UTC, milliseconds",
        meaning: "when it was collected; only on a document that is delivered later than in the round that collected it",
        required: false,
    },
];

/// Every kind there is, in the order of the manual.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "ssh",
        meaning: "the users logged in on a node",
        source: "`who`; with `-S` also `last` of the past 5 minutes",
        fields: &[
            LOGIN_NODE,
            field("ssh_user_count", Type::Int, "users", "length of `users`"),
            field(
                "users",
                Type::Strs,
                "",
                "who has at least one session, each once",
            ),
        ],
    },
    Kind {
        name: "jupyter-ml",
        meaning: "the Jupyter users of the facility's own notebooks",
        source: "Kubernetes: label `owner` (`-l`) of the pods in namespace `af-jupyter` (`-n`)",
        fields: JUPYTER,
    },
    Kind {
        name: "jupyter-coffea",
        meaning: "the Jupyter users of coffea-casa",
        source: "Kubernetes: label `jhub_user` of the pods in namespace `coffea-casa`",
        fields: JUPYTER,
    },
    Kind {
        name: "condorjob",
        meaning: "one batch job: in the queue now, or finished since the last round",
        source: "`condor_q`, `condor_history`",
        fields: &[
            field(
                "users",
                Type::Str,
                "",
                "Owner: one user, in spite of the plural",
            ),
            field("Id", Type::Str, "", "`ClusterId.ProcId`"),
            field(
                "Runtime",
                Type::Int,
                "s",
                "RemoteWallClockTime: the sum of the job's *past* runs, and so 0 for most running jobs, as the run that goes on is not in it; what went before the point is kept. With `--runtime live` a running, suspended or transferring_output job has the current run in it: the schedd's time less ShadowBday (JobCurrentStartDate where that is missing)",
            ),
            field(
                "state",
                Type::Str,
                "",
                "JobStatus 0 to 7 in words: unexpanded, idle, running, removed, finished, held, transferring_output, suspended; anything else is unknown. Jobs that left the queue removed are there with `--removed-jobs` only",
            ),
            optional(
                "schedd",
                Type::Str,
                "",
                "with `--job-details`: the schedd, as GlobalJobId names it; under `-O` like a host; under `-o` what stands before an `@` is hashed like a user",
            ),
            optional(
                "cores",
                Type::Int,
                "cores",
                "with `--job-details`: CpusProvisioned of a job that runs or has ended, RequestCpus of one that waits or is held, or had none; left out where it is an expression or not there",
            ),
            optional(
                "memory",
                Type::Int,
                "MiB",
                "with `--job-details`: the same of MemoryProvisioned and RequestMemory",
            ),
            optional(
                "hold_reason_code",
                Type::Int,
                "HTCondor's code",
                "with `--job-details`: HoldReasonCode of a job that is held",
            ),
        ],
    },
    Kind {
        name: "condorqueue",
        meaning: "one batch queue, counted: one for each `-q NAME:CONSTRAINT`, and of several schedds (`--schedd`) one for each schedd",
        source: "`condor_q -totals`, `condor_q -run`; with `--queue-totals schedd-ad` `condor_status`",
        fields: &[
            field(
                "queue",
                Type::Str,
                "",
                "NAME of `-q`; of several schedds `NAME@SCHEDD`, where SCHEDD is written as in `schedd` of `condorjob`: their sum is the facility's",
            ),
            field(
                "idle",
                Type::Int,
                "jobs",
                "Idle; with `--queue-totals schedd-ad` TotalIdleJobs",
            ),
            field(
                "running",
                Type::Int,
                "jobs",
                "Running, without suspended jobs; with `--queue-totals schedd-ad` TotalRunningJobs, with them",
            ),
            field(
                "held",
                Type::Int,
                "jobs",
                "Held; with `--queue-totals schedd-ad` TotalHeldJobs",
            ),
            field(
                "allocated_cores",
                Type::Int,
                "cores",
                "sum of CpusProvisioned over running jobs; a job without it (local universe) counts 0; with `--queue-totals schedd-ad` sum of Cpus over the slots that run a job of the schedd (RemoteScheddName)",
            ),
            field(
                "allocated_mem",
                Type::Int,
                "MiB",
                "the same of MemoryProvisioned and Memory",
            ),
        ],
    },
    Kind {
        name: "slurmjob",
        meaning: "one Slurm job, or the tasks of an array that wait: in the queue now, or ended since the last round; of one that was requeued, each run",
        source: "`squeue`, `sacct`",
        fields: &[
            field(
                "users",
                Type::Str,
                "",
                "its user, one in spite of the plural; the number of one that the system does not know any more",
            ),
            field(
                "Id",
                Type::Str,
                "",
                "as Slurm writes it: `123`, `123_4` (task 4 of array 123), `123+1` (part of a heterogeneous job), `123_[5-9%2]` (tasks that wait, all in one document, or ended before they began, as far as the accounts list them; a list of more than 64 characters ends in `...`)",
            ),
            field(
                "Runtime",
                Type::Int,
                "s",
                "TimeUsed of this run until now; of an ended one ElapsedRaw: without the time in which it was suspended, and of a job that was resized that of its last size",
            ),
            field(
                "state",
                Type::Str,
                "",
                "idle (PENDING), held (PENDING with priority 0 or a hold as its reason, REQUEUE_HOLD), running (RUNNING), suspended (SUSPENDED), finished (COMPLETED), removed (CANCELLED); any other state of Slurm in small letters, among them completing, configuring, failed, timeout, out_of_memory, node_fail, preempted, boot_fail, deadline, requeued; unknown if there is none",
            ),
            field(
                "partition",
                Type::Str,
                "",
                "its partition; while it waits in several, all of them (`batch,long`)",
            ),
            Field {
                name: "account",
                ty: Type::Str,
                unit: "",
                meaning: "what it is charged to, if anything; under `-o` hashed like a user, as many an account is one user's own",
                required: false,
            },
            field(
                "cores",
                Type::Int,
                "cores",
                "NumCPUs or AllocCPUS: what it has, or asks for while it waits (each task of an array); 0 if it ended before it began",
            ),
            Field {
                name: "tasks",
                ty: Type::Int,
                unit: "tasks",
                meaning: "how many tasks of an array the document stands for, if they wait; otherwise it is one job",
                required: false,
            },
        ],
    },
    Kind {
        name: "slurmqueue",
        meaning: "a partition of Slurm, counted, and one named all, in which each job counts once",
        source: "`squeue`, `sinfo`",
        fields: &[
            field(
                "queue",
                Type::Str,
                "",
                "the partition, or all; a job that waits in several partitions counts in each; a partition that is itself named all is not reported",
            ),
            field(
                "idle",
                Type::Int,
                "jobs",
                "PENDING and not held, each task of an array",
            ),
            field("running", Type::Int, "jobs", "RUNNING"),
            field("held", Type::Int, "jobs", "held, each task of an array"),
            field(
                "allocated_cores",
                Type::Int,
                "cores",
                "sum of NumCPUs over running jobs",
            ),
            field(
                "allocated_mem",
                Type::Int,
                "MiB",
                "sum of mem in TRES-ALLOC over running jobs, rounded down; a job without it counts 0",
            ),
        ],
    },
    Kind {
        name: "CPU",
        meaning: "how busy a node is",
        source: "/proc/loadavg",
        fields: &[
            LOGIN_NODE,
            field("load", Type::Float, "", "1-minute load average"),
        ],
    },
    Kind {
        name: "MEM",
        meaning: "a node's memory",
        source: "/proc/meminfo",
        fields: &[
            LOGIN_NODE,
            field("total", Type::Int, "bytes", "MemTotal"),
            field("available", Type::Int, "bytes", "MemAvailable"),
        ],
    },
    Kind {
        name: "NETWORK",
        meaning: "a node's network traffic since the last round, all interfaces, loopback included",
        source: "/proc/net/dev",
        fields: &[
            LOGIN_NODE,
            field(
                "network",
                Type::Object(&[
                    field("interval", Type::Float, "s", "what the two numbers cover"),
                    field("sent", Type::Int, "bytes", "sent in that time"),
                    field("received", Type::Int, "bytes", "received in that time"),
                ]),
                "",
                "one second's traffic where there is no last round to count from",
            ),
        ],
    },
    Kind {
        name: "DISK",
        meaning: "a file system: one for each of `/home`, `/data`, `/scratch` (or each `--mount`) that exists",
        source: "statvfs",
        fields: &[
            LOGIN_NODE,
            field("mount", Type::Str, "", "the path that was asked about"),
            field("total", Type::Int, "bytes", "f_blocks"),
            field("used", Type::Int, "bytes", "f_blocks - f_bfree"),
            field(
                "free",
                Type::Int,
                "bytes",
                "f_bavail: what an ordinary user may still write",
            ),
            field(
                "utilization",
                Type::Float,
                "",
                "used / total, from 0 to 1; 0 where total is 0",
            ),
            Field {
                name: "device",
                ty: Type::Str,
                unit: "",
                meaning: "what is mounted there, without `/dev/`, if the path itself is a mount point; with `-O` left out of network mounts, as it names the server, and where it has the node's name in it or is often named after it (LVM, ZFS)",
                required: false,
            },
        ],
    },
    Kind {
        name: "round",
        meaning: "a round of the collector itself, whatever it found: the last document of each, with `--heartbeat`",
        source: "the collector",
        fields: &[
            LOGIN_NODE,
            field("version", Type::Str, "", "the program's"),
            field(
                "duration",
                Type::Float,
                "s",
                "from the beginning of the round to the end of its last collector, to the millisecond",
            ),
            field(
                "collectors",
                Type::Map(&[
                    field(
                        "result",
                        Type::Str,
                        "",
                        "ok (be it that there was nothing), not_here, failed, timed_out, malformed, or busy (left to another round, which is still at it); of one that read several sources, what its first failure says",
                    ),
                    field(
                        "documents",
                        Type::Int,
                        "documents",
                        "how many of its documents the round holds: those of the sources that could be read",
                    ),
                    field(
                        "duration",
                        Type::Float,
                        "s",
                        "how long it ran, to the millisecond; 0 if it did not",
                    ),
                ]),
                "",
                "each collector that was to run, by its name in docs/collector.md, and of whose kinds the endpoint hears",
            ),
        ],
    },
];

/// The kind of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// `docs/kinds.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Kinds of documents\n\n\
         <!-- Printed from crates/document/src/kinds.rs by `cargo xtask bless`. -->\n\n\
         Every document is one flat JSON object (UTF-8). All kinds have these fields:\n\n",
    );
    table(&mut text, COMMON);
    for kind in KINDS {
        let _ = write!(
            text,
            "\n## `{}`\n\n{}. From {}.\n\n",
            kind.name,
            capitalized(kind.meaning),
            kind.source
        );
        table(&mut text, kind.fields);
    }
    text
}

fn table(text: &mut String, fields: &[Field]) {
    text.push_str("| field | type | unit | meaning |\n| --- | --- | --- | --- |\n");
    for field in fields {
        row(text, "", field);
        let (prefix, inner) = match field.ty {
            Type::Object(inner) => (format!("{}.", field.name), inner),
            Type::Map(inner) => (format!("{}.NAME.", field.name), inner),
            Type::Str | Type::Int | Type::Float | Type::Strs => continue,
        };
        for inner in inner {
            row(text, &prefix, inner);
        }
    }
}

fn row(text: &mut String, prefix: &str, field: &Field) {
    let ty = match field.ty {
        Type::Str => "string",
        Type::Int => "integer",
        Type::Float => "number",
        Type::Strs => "array of strings",
        Type::Object(_) => "object",
        Type::Map(_) => "object of objects",
    };
    let optional = if field.required { "" } else { " (optional)" };
    let _ = writeln!(
        text,
        "| `{prefix}{}` | {ty}{optional} | {} | {} |",
        field.name, field.unit, field.meaning
    );
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + chars.as_str())
        .unwrap_or_default()
}
