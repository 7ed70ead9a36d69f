//! The flags of a round, which are the options of the configuration file, too.

use std::path::PathBuf;

use afmetrics_document::kinds::KINDS;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, ValueEnum};

use super::{Cli, Deliver};
use crate::secret::Secret;

pub const COLLECT: &str = "What to collect";
pub const DELIVER: &str = "Where it goes";
pub const PRIVACY: &str = "What may leave";
pub const RUN: &str = "How it runs";

// No documentation comments on what is flattened: clap would take them for the command's.

// What a round collects, where it goes, what may leave, and how it runs.
#[derive(Debug, Clone, Args)]
pub struct Round {
    /// Collect the users who are logged in (`who`)
    #[arg(short = 's', long, help_heading = COLLECT)]
    pub ssh: bool,

    /// Collect also those who logged in within the last 5 minutes (`last`); implies -s
    #[arg(short = 'S', long, help_heading = COLLECT)]
    pub ssh_history: bool,

    /// Collect the Jupyter users (Kubernetes; KUBECONFIG, ~/.kube/config or the service account)
    #[arg(short = 'j', long, help_heading = COLLECT)]
    pub jupyter: bool,

    /// Collect the batch jobs of HTCondor (`condor_q`, `condor_history`); on a node without condor_q and with
    /// squeue, those of Slurm
    #[arg(short = 'b', long, help_heading = COLLECT)]
    pub batch: bool,

    /// Collect the batch jobs and partitions of Slurm (`squeue`, `sacct`)
    #[arg(long, help_heading = COLLECT)]
    pub slurm: bool,

    /// Collect load, memory, network traffic and disk use of this node
    #[arg(long, help_heading = COLLECT)]
    pub host: bool,

    /// Add a document about the round itself, also if there is nothing else: what became of each collector
    #[arg(long, help_heading = COLLECT)]
    pub heartbeat: bool,

    /// With -j: the namespace of the facility's own notebooks [default: af-jupyter]
    #[arg(short = 'n', long, value_name = "NAMESPACE", help_heading = COLLECT)]
    pub namespace: Option<String>,

    /// With -j: the label that names the user, or a selector that begins with it (owner=x)
    #[arg(short = 'l', long, value_name = "LABEL", default_value = "owner", help_heading = COLLECT)]
    pub label: String,

    /// With -j: leave out pods that Succeeded or Failed
    #[arg(long, help_heading = COLLECT)]
    pub exclude_finished_pods: bool,

    /// With -b: count the jobs that CONSTRAINT selects, as queue NAME (all: has none); repeatable
    #[arg(short = 'q', long, value_name = "NAME:CONSTRAINT", action = ArgAction::Append, help_heading = COLLECT)]
    pub queue: Vec<String>,

    /// With -b or --slurm: leave this owner's jobs out; repeatable [default: atlas-coffea]
    #[arg(long, value_name = "NAME", action = ArgAction::Append, help_heading = COLLECT)]
    pub exclude_owner: Vec<String>,

    /// With -b: report also jobs that were removed (condor_rm) and left the queue; of Slurm they always are
    #[arg(long, help_heading = COLLECT)]
    pub removed_jobs: bool,

    #[command(flatten)]
    pub htcondor: Htcondor,

    /// With --host: a path whose file system to report; repeatable [default: /home /data /scratch,
    /// those that exist]
    #[arg(long, value_name = "PATH", action = ArgAction::Append, help_heading = COLLECT)]
    pub mount: Vec<String>,

    #[command(flatten)]
    pub delivery: Delivery,

    /// Send nothing: append the documents, pretty-printed, to ssh.json, jupyter-debug.json,
    /// condor.json, slurm.json, host.json and round.json (--heartbeat) in the current directory
    #[arg(short = 'd', long, conflicts_with = "print", help_heading = DELIVER)]
    pub debug: bool,

    /// Send nothing: write the documents to standard output, one a line
    #[arg(long, help_heading = DELIVER)]
    pub print: bool,

    #[command(flatten)]
    pub privacy: Privacy,

    /// This node's name, instead of what gethostname() says
    #[arg(long, value_name = "NAME", help_heading = RUN)]
    pub login_node: Option<String>,

    /// Give a source up after SECONDS without a byte from it
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = RUN)]
    pub silence: u32,

    /// Give a collector up after SECONDS in all
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = RUN)]
    pub deadline: u32,

    #[command(flatten)]
    pub deadlines: Deadlines,

    /// Write the numbers of the round to FILE, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub textfile: Option<PathBuf>,

    #[command(flatten)]
    pub place: Place,
}

// An endpoint of the configuration file. The sentences of its own are those of the sample.
#[derive(Debug, Clone, Parser)]
#[command(args_override_self = true, disable_help_flag = true)]
pub struct EndpointFlags {
    /// What the log and /metrics call it; by default its host
    #[arg(long)]
    pub name: Option<String>,

    /// What it takes: `documents`, or `otlp`: metrics by the OpenTelemetry protocol over HTTP, without any
    /// user's name (docs/metrics.md)
    #[arg(long, default_value = "documents")]
    pub protocol: Protocol,

    /// Send it only documents of these kinds (docs/kinds.md)
    #[arg(long, action = ArgAction::Append, value_parser = kinds())]
    pub kinds: Vec<&'static str>,

    #[command(flatten)]
    pub delivery: Delivery,

    #[command(flatten)]
    pub privacy: Privacy,

    /// Where it stands in the file.
    #[arg(skip)]
    pub place: String,
}

/// What an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// JSON documents
    Documents,
    /// Metrics, by the OpenTelemetry protocol over HTTP
    Otlp,
}

// A place of the configuration file where notebooks run.
#[derive(Debug, Clone, Parser)]
#[command(args_override_self = true, disable_help_flag = true)]
pub struct NotebookFlags {
    /// The namespace
    #[arg(long)]
    pub namespace: String,

    /// The label that names the user, or a selector that begins with it (owner=x)
    #[arg(long, default_value = "owner")]
    pub label: String,

    /// The kind of its documents
    #[arg(long, default_value = "jupyter-ml")]
    pub kind: NotebookKind,

    /// It may be missing, or forbidden: that is no failure where another is there
    #[arg(long)]
    pub optional: bool,
}

/// The kind of a document about notebooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NotebookKind {
    JupyterMl,
    JupyterCoffea,
}

// How names may leave.
#[derive(Debug, Clone, Args)]
pub struct Privacy {
    /// Hash user names
    #[arg(short = 'o', long, help_heading = PRIVACY)]
    pub obfuscate_users: bool,

    /// With -o: what is hashed before the name. Every user of this node can see it in `ps`: prefer
    /// --salt-file
    #[arg(short = 'z', long, value_name = "SALT", conflicts_with = "salt_file", help_heading = PRIVACY)]
    pub salt: Option<Secret>,

    /// Read the salt from this file [or the environment: AFMETRICS_SALT]
    #[arg(long, value_name = "FILE", help_heading = PRIVACY)]
    pub salt_file: Option<PathBuf>,

    /// With -o: how names are hashed [default: md5]
    #[arg(long, value_name = "SCHEME", help_heading = PRIVACY)]
    pub hash: Option<Hash>,

    /// Name this node `atlas` + the digits of its name + `.DOMAIN`
    #[arg(short = 'O', long, value_name = "DOMAIN", help_heading = PRIVACY)]
    pub obfuscate_hosts: Option<String>,

    /// With -O: what stands before the digits
    #[arg(long, value_name = "PREFIX", default_value = "atlas", help_heading = PRIVACY)]
    pub host_prefix: String,

    /// Only users of this Unix group, primary or supplementary
    #[arg(short = 'g', long, value_name = "GROUP", help_heading = PRIVACY)]
    pub group: Option<String>,
}

impl Privacy {
    /// How many of users and hosts are hidden.
    pub fn hides(&self) -> u8 {
        u8::from(self.obfuscate_users) + u8::from(self.obfuscate_hosts.is_some())
    }
}

// How long the collectors that one flag chooses may take, where that is not --deadline. The configuration
// file has them in the tables of these collectors.
#[derive(Debug, Clone, Args)]
pub struct Deadlines {
    /// Give the collector up after SECONDS in all, instead of deadline_secs at the top
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), hide = true)]
    pub ssh_deadline: Option<u32>,

    /// Give the collector up after SECONDS in all, instead of deadline_secs at the top
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), hide = true)]
    pub jupyter_deadline: Option<u32>,

    /// Give a collector of batch jobs up after SECONDS in all, instead of deadline_secs at the top
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), hide = true)]
    pub batch_deadline: Option<u32>,

    /// Give a collector of this node's numbers up after SECONDS in all, instead of deadline_secs at the top
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), hide = true)]
    pub host_deadline: Option<u32>,
}

// Whom of HTCondor to ask, and how much.
#[derive(Debug, Clone, Args)]
pub struct Htcondor {
    /// With -b: ask this schedd of HTCondor, one after the other if there are several; repeatable
    /// [default: the local one]
    #[arg(long, value_name = "NAME", action = ArgAction::Append, help_heading = COLLECT)]
    pub schedd: Vec<String>,

    /// With --schedd: the central manager that knows the schedds [default: HTCondor's own
    /// configuration]
    #[arg(long, value_name = "HOST", help_heading = COLLECT)]
    pub pool: Option<String>,

    /// With -q: what counts the jobs
    #[arg(long, value_name = "SOURCE", default_value = "jobs", help_heading = COLLECT)]
    pub queue_totals: QueueTotals,

    /// With -b: do not list the jobs in the queue of HTCondor, only report those that ended, and count
    /// queues (-q)
    #[arg(long, help_heading = COLLECT)]
    pub no_queued_jobs: bool,

    /// With -b: which runs of a job its Runtime is the sum of
    #[arg(long, value_name = "RUNS", default_value = "past", help_heading = COLLECT)]
    pub runtime: Runtime,

    /// With -b: add schedd, cores, memory and, of held jobs, hold_reason_code to HTCondor's jobs
    #[arg(long, help_heading = COLLECT)]
    pub job_details: bool,
}

/// What counts the jobs of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueueTotals {
    /// The schedd (`condor_q`)
    Jobs,
    /// The ads of schedds and slots in the pool, up to 5 minutes old, 11 where the schedd has died
    /// (`condor_status`): costs a schedd nothing; needs --schedd, and queues without a constraint
    ScheddAd,
}

/// The runs whose time a job's `Runtime` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// Those that are over, as ever: 0 for a job on its first run
    Past,
    /// The one that goes on, too
    Live,
}

// How documents are delivered, and which may wait for it.
#[derive(Debug, Clone, Args)]
pub struct Delivery {
    /// The facility's token. Every user of this node can see it in `ps`: prefer --token-file
    #[arg(short = 't', long, value_name = "TOKEN", conflicts_with = "token_file", help_heading = DELIVER)]
    pub token: Option<Secret>,

    /// Read the token from this file [or the environment: AFMETRICS_TOKEN]
    #[arg(long, value_name = "FILE", help_heading = DELIVER)]
    pub token_file: Option<PathBuf>,

    /// The facility's name
    #[arg(short = 'c', long, value_name = "NAME", default_value = "UC-AF", help_heading = DELIVER)]
    pub cluster: String,

    // May hold a password.
    /// The endpoint
    #[arg(short = 'u', long, value_name = "URL", default_value = "https://af.atlas-ml.org/", help_heading = DELIVER)]
    pub url: Secret,

    /// Send arrays of at most N documents and 900 kB instead of one document a request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = DELIVER)]
    pub batch_size: Option<u32>,

    /// Trust the certificate authorities in this file (PEM) besides the system's
    #[arg(long, value_name = "FILE", help_heading = DELIVER)]
    pub ca_file: Option<PathBuf>,

    /// At most N connections to the endpoint over HTTP/1.1
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = DELIVER)]
    pub max_connections: u16,

    /// At most N requests at a time over HTTP/2
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = DELIVER)]
    pub max_streams: u16,

    /// Give a request up that is not answered in full within SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = DELIVER)]
    pub request_timeout: u32,

    /// Pack the bodies of requests that are longer than 1 kB (Content-Encoding: gzip)
    #[arg(long, help_heading = DELIVER)]
    pub gzip: bool,

    /// Stop delivering after SECONDS in all and leave the rest to the next round
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = DELIVER)]
    pub deliver_for: u32,

    /// Keep at most so many MiB of documents that cannot be delivered; beyond, the oldest are dropped
    /// [default: 256]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=1_048_576), help_heading = RUN)]
    pub spool_max_size: Option<u32>,

    /// Keep documents that cannot be delivered for at most so many days [default: 14]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650), help_heading = RUN)]
    pub spool_max_age: Option<u32>,
}

// Where configuration, state and log are, and how much is logged.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Read what no flag says from FILE [default: /etc/afmetrics/collector.toml, if it is there]
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub config: Option<PathBuf>,

    /// Where to keep what the next round needs, and what cannot be delivered yet [default: $STATE_DIRECTORY, /var/lib/afmetrics,
    /// $XDG_STATE_HOME/afmetrics, ~/.local/state/afmetrics: the first that can be written]
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    pub state_dir: Option<PathBuf>,

    /// Read /proc, /run and the mounts below DIR: for a container that sees its host there
    #[arg(long, value_name = "DIR", default_value = "/", help_heading = RUN)]
    pub root: PathBuf,

    /// Log lines of this level and the graver ones
    #[arg(long, value_name = "LEVEL", default_value = "warn", help_heading = RUN)]
    pub log_level: LogLevel,

    /// Log at level INFO; twice: DEBUG
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = RUN)]
    pub verbose: u8,

    /// Log at level DEBUG (-vv)
    #[arg(long, help_heading = RUN)]
    pub very_verbose: bool,
}

/// Which lines the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Somebody has to act
    Error,
    /// Worth a look if it comes again
    Warn,
    /// A line a round, and what is not as usual
    Info,
    /// Everything
    Debug,
}

/// How user names are hashed under `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// Last 8 hex digits of MD5(salt + name), as documented
    Md5,
    /// First 8 hex digits of SHA-256(salt + name), as the old script does in the field
    Sha256,
    /// First 16 hex digits of HMAC-SHA-256 with the salt as key: recommended
    HmacSha256,
}

/// A name of a kind of document.
fn kinds() -> impl TypedValueParser<Value = &'static str> {
    let names = || KINDS.iter().map(|kind| kind.name);
    PossibleValuesParser::new(names())
        .map(move |asked| names().find(|name| *name == asked).unwrap_or_default())
}

impl Htcondor {
    /// Whether any of it is not as by default.
    pub fn is_given(&self) -> bool {
        !self.schedd.is_empty()
            || self.pool.is_some()
            || self.queue_totals != QueueTotals::Jobs
            || self.no_queued_jobs
            || self.runtime != Runtime::Past
            || self.job_details
    }
}

impl Round {
    /// A round that collects nothing and delivers what waits.
    pub fn delivering_only(deliver: Deliver) -> Self {
        let mut round = Cli::parse_from(["afmetrics_collector"]).round;
        round.delivery = deliver.delivery;
        round.privacy.obfuscate_users = deliver.obfuscate_users;
        round.privacy.obfuscate_hosts = deliver.obfuscate_hosts;
        round.place = deliver.place;
        round
    }
}
