//! The flags: the old script's, with its meanings, and ours; and the commands for the spool.
//!
//! The help text, the man page, the tables of docs/collector.md and the sample configuration are printed from this file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use afmetrics_document::kinds::KINDS;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{
    ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

use crate::secret::Secret;

/// Collects ssh users, batch jobs, Jupyter users and host metrics of an analysis facility, once,
/// and delivers them as JSON documents to an HTTPS endpoint.
///
/// What cannot be delivered now is kept, and delivered by a later round; `afmetrics_collector spool`
/// shows it.
///
/// Exit status: 0 all collected and delivered (or written, with -d or --print); 1 something failed or
/// waits in the spool; 2 usage or configuration.
#[derive(Debug, Parser)]
#[command(
    name = "afmetrics_collector",
    bin_name = "afmetrics_collector",
    version,
    disable_version_flag = true,
    args_override_self = true,
    infer_long_args = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_long_help = ENVIRONMENT
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub round: Round,

    /// Print the version
    #[arg(long, action = ArgAction::Version, help_heading = RUN)]
    pub version: (),
}

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

/// What to do, if it is not a round.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Do a round every five minutes until SIGTERM; SIGHUP reads the configuration again
    Run(Box<Run>),
    /// Read the configuration, try every source and every endpoint, and say what was found; sends and
    /// stores nothing
    Check(Box<Check>),
    /// Print what there is to know
    Reference(Reference),
    /// Look at what waits for delivery, what was rejected and what is damaged, and deal with it;
    /// alone it is `spool list`
    ///
    /// Without --state-dir the first of its default folders is meant that holds a spool. Run it as the user
    /// whose rounds use the spool; `list` and `show` change nothing, and root may run them, too.
    Spool(OnSpool),
    /// Write what a round reads into a new folder, with all names replaced, as a bug report; sends nothing
    ///
    /// The flags are those of the round that goes wrong. Token, salt and URL are not in the folder, and what it
    /// takes to be a word or a number stays: look through it before you send it.
    Record(Record),
    /// Run the round of a recorded folder, and print its documents to standard output; reads nothing else
    ///
    /// Exit status: that of the recorded round, or 2 if the folder cannot be used.
    Replay(Replay),
}

#[derive(Debug, Args)]
pub struct Record {
    /// Where to: a folder that is empty, or is not there yet
    // Or a flag, where DIR comes behind some: `in_order` tells.
    #[arg(value_name = "DIR", allow_hyphen_values = true)]
    pub dir: PathBuf,

    /// The flags of the round
    #[arg(
        value_name = "FLAGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub flags: Vec<OsString>,
}

impl Record {
    /// The folder, wherever it stands, and the flags of the round.
    pub fn in_order(&self) -> Result<(PathBuf, Vec<OsString>), clap::Error> {
        let dir = self.dir.clone().into_os_string();
        let words = spell_out(std::iter::once(dir).chain(self.flags.clone()));
        let command = clap::Command::new("afmetrics_collector record")
            .no_binary_name(true)
            .args_override_self(true)
            .infer_long_args(true)
            .override_usage("afmetrics_collector record DIR [FLAGS]...")
            .arg(
                clap::Arg::new("DIR")
                    .required(true)
                    .value_parser(clap::value_parser!(PathBuf)),
            );
        let command = Round::augment_args(command);
        let found = matches(command.clone(), &words).map_err(|why| {
            let is_command = |word: &OsString| COMMANDS.iter().any(|known| word == known);
            match why.kind() {
                ErrorKind::UnknownArgument if words.iter().any(is_command) => self::command()
                    .error(
                        ErrorKind::UnknownArgument,
                        "record takes the flags of a round, and no command",
                    ),
                _ => why,
            }
        })?;
        let dir: PathBuf = found.get_one("DIR").cloned().unwrap_or_default();
        // The value of a flag can be the same word: without that one the others make no sense, or the same.
        let command = command.mut_arg("DIR", |dir| dir.required(false));
        let others = |at: usize| {
            let mut others = words.clone();
            others.remove(at);
            others
        };
        let flags = (0..words.len())
            .filter(|at| Path::new(&words[*at]) == dir)
            .map(others)
            .find(|others| {
                let rest = command.clone().try_get_matches_from(others);
                rest.is_ok_and(|rest| !rest.contains_id("DIR"))
            });
        Ok((dir, flags.unwrap_or_default()))
    }
}

#[derive(Debug, Args)]
pub struct Replay {
    /// A folder that `record` has written
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Log at level INFO; twice: DEBUG
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub round: Round,

    /// Do a round every SECONDS, at times that are the node's own
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u32).range(5..=86_400), help_heading = RUN)]
    pub interval: u32,

    /// Answer to GET /metrics and /healthz at this loopback address and port
    #[arg(long, value_name = "ADDRESS", help_heading = RUN)]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub round: Round,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct Reference {
    #[command(subcommand)]
    pub what: ReferenceOf,
}

/// What there is to know.
#[derive(Debug, Subcommand)]
pub enum ReferenceOf {
    /// The sample configuration file: every option, with its default
    Config,
}

// No command is the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct OnSpool {
    #[command(subcommand)]
    pub command: Option<SpoolCommand>,

    #[command(flatten)]
    pub list: List,
}

/// What can be done with the spool.
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// List what is in the spool, oldest first; changes nothing
    List(List),
    /// Print a batch as lines of JSON: its header, then the documents that wait, or the rejected ones
    /// with the answers; changes nothing
    Show(Show),
    /// Let rejected documents wait for delivery again, once what was wrong has been mended
    Retry(Retry),
    /// Remove batches, waiting, rejected or damaged: their documents are lost
    Drop(Discard),
    /// Deliver what waits, and collect nothing; drops nothing, unless --spool-max-size or
    /// --spool-max-age is given
    Deliver(Box<Deliver>),
}

#[derive(Debug, Args)]
pub struct List {
    /// Print the list as lines of JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Show {
    /// What to show: an ID of the list, a batch's id, or the beginning of one
    #[arg(value_name = "ID")]
    pub id: String,

    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Retry {
    /// The batch whose rejected documents are to wait again: its id or the beginning of it [default:
    /// all that were rejected]
    #[arg(value_name = "ID")]
    pub id: Option<String>,

    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Discard {
    /// What to remove: IDs of the list, ids of batches, or beginnings of them
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,

    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Deliver {
    #[command(flatten)]
    pub delivery: Delivery,

    /// Deliver also what was collected for other endpoints: the endpoint has moved
    #[arg(long, help_heading = DELIVER)]
    pub any_endpoint: bool,

    /// As in a round, whose user names are hidden: leave what was collected with clear ones
    #[arg(short = 'o', long, help_heading = PRIVACY)]
    pub obfuscate_users: bool,

    /// As in a round, whose host names are hidden: leave what was collected with clear ones
    #[arg(short = 'O', long, value_name = "DOMAIN", help_heading = PRIVACY)]
    pub obfuscate_hosts: Option<String>,

    #[command(flatten)]
    pub place: Place,
}

const ENVIRONMENT: &str = "\
Environment:
  AFMETRICS_TOKEN, AFMETRICS_SALT   the token and the salt, where no flag gives them
  AFMETRICS_...                     any flag that is not given: AFMETRICS_BATCH_SIZE is --batch-size
  KUBECONFIG                        the cluster and the credentials for -j
  https_proxy, http_proxy, NO_PROXY proxies on the way to the endpoint, in both cases of letters
  SSL_CERT_FILE, SSL_CERT_DIR       the system's certificate authorities, if they are elsewhere
  STATE_DIRECTORY, XDG_STATE_HOME, HOME  where state may be kept (--state-dir)
  SLURM_CONF, SLURM_JWT             go to Slurm's tools; its other variables do not

Files:
  /etc/afmetrics/collector.toml       what neither flags nor the environment say (--config)
  spool/, cursors/, locks/ in the state folder   what waits for delivery; how far collectors have read
  /var/log/afmetrics/afmetrics.log    the log, besides standard error, if it can be written
  ssh.json, jupyter-debug.json, condor.json, slurm.json, host.json, round.json   what -d appends to";

const COLLECT: &str = "What to collect";
const DELIVER: &str = "Where it goes";
const PRIVACY: &str = "What may leave";
const RUN: &str = "How it runs";

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

/// Long options that the old script knew. Its users may have abbreviated them as far as they were
/// unambiguous *there*: `--tok` has to go on meaning `--token` although there is `--token-file` now.
const OF_THE_OLD_SCRIPT: [&str; 19] = [
    "ssh",
    "ssh-history",
    "jupyter",
    "namespace",
    "label",
    "batch",
    "queue",
    "host",
    "token",
    "cluster",
    "url",
    "debug",
    "obfuscate-users",
    "salt",
    "obfuscate-hosts",
    "group",
    "verbose",
    "very-verbose",
    "help",
];

/// A name of a kind of document.
fn kinds() -> impl TypedValueParser<Value = &'static str> {
    let names = || KINDS.iter().map(|kind| kind.name);
    PossibleValuesParser::new(names())
        .map(move |asked| names().find(|name| *name == asked).unwrap_or_default())
}

/// What the command line alone says.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&matches(command(), &spell_out(args))?)
}

/// Reads the command line. The error is clap's: it knows how to print itself and how to exit.
pub fn matches(command: clap::Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from(words).map_err(without_value)
}

/// All words that are commands, on any level.
const COMMANDS: [&str; 12] = [
    "run",
    "check",
    "reference",
    "config",
    "spool",
    "list",
    "show",
    "retry",
    "drop",
    "deliver",
    "record",
    "replay",
];

const NO_COMMAND: &str =
    "an argument belongs to no flag and is no command: does a value with a blank need quotes?";

/// An error that does not quote what may be part of a secret: the second half of a token with a
/// blank in it and no quotes around, a token behind a switch (`--debug=TOKEN`).
fn without_value(error: clap::Error) -> clap::Error {
    let arg = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.as_str(),
        _ => "",
    };
    let said = match error.kind() {
        ErrorKind::UnknownArgument if !arg.starts_with('-') => {
            "an argument belongs to no flag: does a value with a blank need quotes?".to_owned()
        }
        // Since there are commands, clap takes every such word for one. What is meant is none of the user's words.
        ErrorKind::InvalidSubcommand => match error.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::Strings(meant)) if !meant.is_empty() => format!(
                "an argument belongs to no flag and is no command: did you mean `{}`?",
                meant.join("` or `")
            ),
            _ => NO_COMMAND.to_owned(),
        },
        ErrorKind::ArgumentConflict => match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(word)) if COMMANDS.contains(&word.as_str()) => {
                format!("no flag goes before `{word}`: its own come behind it")
            }
            Some(_) => NO_COMMAND.to_owned(),
            None => return error,
        },
        ErrorKind::TooManyValues => format!("{arg} takes no value"),
        _ => return error,
    };
    command().error(error.kind(), said)
}

/// The command, for the man page and the documentation.
pub fn command() -> clap::Command {
    Cli::command()
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

impl Cli {
    /// Where configuration, state and log are.
    pub fn place(&self) -> &Place {
        match &self.command {
            None | Some(Command::Reference(_) | Command::Record(_) | Command::Replay(_)) => {
                &self.round.place
            }
            Some(Command::Run(run)) => &run.round.place,
            Some(Command::Check(check)) => &check.round.place,
            Some(Command::Spool(on)) => match &on.command {
                None => &on.list.place,
                Some(SpoolCommand::List(list)) => &list.place,
                Some(SpoolCommand::Show(show)) => &show.place,
                Some(SpoolCommand::Retry(retry)) => &retry.place,
                Some(SpoolCommand::Drop(discard)) => &discard.place,
                Some(SpoolCommand::Deliver(deliver)) => &deliver.place,
            },
        }
    }

    /// Whether the configuration file and the environment count. What is recorded is a command line of its own,
    /// for which they do.
    pub fn is_configured(&self) -> bool {
        !matches!(
            self.command,
            Some(Command::Reference(_) | Command::Record(_) | Command::Replay(_))
        )
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

/// Replaces abbreviations of the old script's long options by the whole word. What is no
/// abbreviation of exactly one of them stays for clap to judge.
pub fn spell_out(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let known: Vec<String> = command()
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    args.into_iter()
        .map(
            |arg| match arg.to_str().and_then(|text| whole(text, &known)) {
                Some(whole) => whole.into(),
                None => arg,
            },
        )
        .collect()
}

fn whole(arg: &str, known: &[String]) -> Option<String> {
    let option = arg.strip_prefix("--")?;
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    if name.is_empty() || known.iter().any(|known| known == name) {
        return None;
    }
    let mut matches = OF_THE_OLD_SCRIPT
        .iter()
        .filter(|long| long.starts_with(name));
    let (Some(long), None) = (matches.next(), matches.next()) else {
        return None;
    };
    Some(match value {
        Some(value) => format!("--{long}={value}"),
        None => format!("--{long}"),
    })
}
