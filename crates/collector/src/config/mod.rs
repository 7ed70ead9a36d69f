//! What one round is to do, checked: made from the flags and the environment, and the only thing
//! that the rest of the program asks.

mod endpoints;
mod notebooks;
mod state_dirs;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use afmetrics_document::names::{Publisher, Rules, Scheme};
use anyhow::{Result, bail};

pub use self::endpoints::EndpointConfig;
use self::endpoints::{Made, NOTHING_HASHED};
pub use self::notebooks::{Label, Notebooks};
pub use self::state_dirs::state_dirs;
use crate::cli::{Deadlines, Deliver, EndpointFlags, Protocol, Round};
use crate::context::Limits;
use crate::documents::Audience;
use crate::endpoint_url;
use crate::environment::Environment;
use crate::layers::Lists;
use crate::secret::Secret;
use crate::sources::htcondor::options::Options;
use crate::sources::htcondor::queues::{self, Queue};
use crate::spool::Bounds;
use crate::state::StateDir;

/// Where a round's documents go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To these endpoints, over HTTP. Each is an audience.
    Endpoints(Vec<EndpointConfig>),
    /// `-d`: appended to files in the current directory.
    Files,
    /// `--print`: to standard output.
    Print,
}

/// A value, and whether somebody asked for it or it is our default. A default that is not there is
/// no failure; what somebody asked for and is not there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    pub value: T,
    pub by_name: bool,
}

impl<T> Asked<Vec<T>> {
    fn or_default(given: Vec<T>, default: impl IntoIterator<Item = T>) -> Self {
        Self {
            by_name: !given.is_empty(),
            value: if given.is_empty() {
                default.into_iter().collect()
            } else {
                given
            },
        }
    }
}

#[derive(Debug, Clone)]
pub struct Config {
    pub ssh: bool,
    pub ssh_history: bool,
    pub jupyter: bool,
    /// HTCondor, or whatever batch system this node has ([`crate::batch_system`]).
    pub batch: bool,
    pub slurm: bool,
    pub host: bool,
    /// The round leaves a document about itself.
    pub heartbeat: bool,
    pub notebooks: Vec<Notebooks>,
    pub exclude_finished_pods: bool,
    pub queues: Vec<Queue>,
    pub excluded_owners: Vec<String>,
    /// Jobs that were removed from the queue lately, too.
    pub removed_jobs: bool,
    /// Whom of HTCondor to ask, and how much.
    pub htcondor: Options,
    pub mounts: Asked<Vec<String>>,
    pub cluster: String,
    pub publisher: Publisher,
    /// The audiences of the publisher: the endpoints, or who reads what is written.
    pub audiences: Vec<Audience>,
    /// The one of them that asks at this node: the daemon's listener, and the textfile.
    pub local_audience: Option<usize>,
    /// How users are hashed, where no `--hash` said it: the round's line names it.
    pub unstated_scheme: Option<Scheme>,
    pub login_node: Option<String>,
    /// Where state may be kept, best first, and whether the first was asked for by name.
    pub state_dirs: Asked<Vec<StateDir>>,
    /// What was collected for other endpoints goes to this one, too: for those that are none of `endpoints_listed`.
    pub any_endpoint: bool,
    /// All endpoints that the file lists, as they are shown.
    pub endpoints_listed: Vec<String>,
    /// How much may wait for delivery, and for how long.
    pub spool: Bounds,
    pub limits: Limits,
    /// In all, by the table of the file that is about the collector, where it is not as for the others.
    pub deadlines: Vec<(&'static str, Duration)>,
    pub root: PathBuf,
    /// Where programs are looked for.
    pub path: Option<OsString>,
    /// The environment of Slurm's tools.
    pub for_slurm: Vec<(&'static str, OsString)>,
    pub target: Target,
    /// Where the numbers of the round go, for node_exporter.
    pub textfile: Option<PathBuf>,
    /// All secrets, for keeping them out of quoted text.
    pub secrets: Vec<Secret>,
    /// What to say once the log is open, at INFO.
    pub remarks: Vec<String>,
    /// The same, at WARN.
    pub warnings: Vec<String>,
}

impl Config {
    /// Checks what was asked for of a round. Errors are one sentence that says what to do; they are exit
    /// status 2.
    pub fn new(round: Round, wanted: Lists, env: Environment) -> Result<Self> {
        let batch = round.batch || round.slurm;
        let jupyter = round.jupyter;
        if !(round.ssh || round.ssh_history || jupyter || batch || round.host || round.heartbeat) {
            bail!(
                "nothing to collect: choose at least one of -s (ssh), -S (ssh with history), -j (Jupyter), -b (batch), --slurm, --host (or --heartbeat), or enable it in /etc/afmetrics/collector.toml"
            );
        }
        Self::checked(round, wanted, env)
    }

    /// The same for `spool deliver`, which collects nothing. `state`: the folder whose spool it is.
    pub fn for_delivery(
        deliver: Deliver,
        wanted: Lists,
        state: StateDir,
        env: Environment,
    ) -> Result<Self> {
        let any_endpoint = deliver.any_endpoint;
        if any_endpoint && wanted.endpoints.len() > 1 {
            bail!("--any-endpoint needs to know which: name one endpoint with -u");
        }
        // By hand nothing is dropped that a round with other bounds would keep.
        let spool = bounds(
            deliver.delivery.spool_max_size.unwrap_or(u32::MAX),
            deliver.delivery.spool_max_age.unwrap_or(u32::MAX),
        );
        // Nothing is hashed, and nobody is looked up.
        let env = Environment { salt: None, ..env };
        let mut wanted = wanted;
        for endpoint in &mut wanted.endpoints {
            let privacy = &mut endpoint.privacy;
            (privacy.salt, privacy.salt_file) = (None, None);
            (privacy.hash, privacy.group) = (None, None);
        }
        let config = Self::checked(Round::delivering_only(deliver), wanted, env)?;
        Ok(Self {
            any_endpoint,
            spool,
            state_dirs: Asked {
                value: vec![state],
                by_name: true,
            },
            ..config
        })
    }

    /// Whether this is a round; otherwise what waits is delivered.
    pub fn collects(&self) -> bool {
        self.ssh || self.jupyter || self.batch || self.slurm || self.host || self.heartbeat
    }

    /// How many endpoints there are: they are the first audiences.
    pub fn endpoints(&self) -> usize {
        match &self.target {
            Target::Endpoints(endpoints) => endpoints.len(),
            Target::Files | Target::Print => 0,
        }
    }

    fn checked(round: Round, wanted: Lists, env: Environment) -> Result<Self> {
        let mut remarks = Vec::new();
        let mut warnings = Vec::new();
        let state_dirs = state_dirs(round.place.state_dir, &env, &round.place.root);
        let ssh = round.ssh || round.ssh_history;
        for (flag, name) in [
            ("-c", Some(&round.delivery.cluster)),
            ("--login-node", round.login_node.as_ref()),
        ] {
            if name.is_some_and(|name| name.trim().is_empty()) {
                bail!("{flag} needs a name: it was given an empty one");
            }
        }
        let queues = round
            .queue
            .iter()
            .map(|queue| Queue::parse(queue))
            .collect::<Result<Vec<_>>>()?;
        if !queues.is_empty() && !round.batch {
            warnings.push("-q has no effect without -b".to_owned());
        }
        let cluster = round.delivery.cluster.clone();
        let spool = bounds(
            round.delivery.spool_max_size.unwrap_or(256),
            round.delivery.spool_max_age.unwrap_or(14),
        );
        let is_sent = !(round.debug || round.print);
        let mut privacy = round.privacy;
        let mut written = privacy.clone();
        if !is_sent {
            // What is written down hides as much as what leaves to the one endpoint, or to the strictest of several.
            let all = wanted.endpoints.iter().map(|endpoint| &endpoint.privacy);
            if let Some(strictest) = all.max_by_key(|privacy| privacy.hides()) {
                if strictest.hides() > privacy.hides() {
                    privacy = strictest.clone();
                }
                let is_the_one = wanted.endpoints.len() == 1;
                written = if is_the_one { strictest } else { &privacy }.clone();
            }
        }
        let flags = match wanted.endpoints {
            endpoints if endpoints.is_empty() || !is_sent => vec![EndpointFlags {
                name: None,
                protocol: Protocol::Documents,
                kinds: Vec::new(),
                delivery: round.delivery,
                privacy: written,
                place: String::new(),
            }],
            endpoints => endpoints,
        };
        let wants_numbers = wanted.wants_numbers || round.textfile.is_some();
        let mut made = Made::default();
        for flags in &flags {
            made.add(flags, is_sent, &env)
                .map_err(|why| match flags.place.is_empty() {
                    true => why,
                    false => why.context(flags.place.clone()),
                })?;
        }
        made.check_urls()?;
        // Of several endpoints one may well hear clear names beside the salt of the others.
        if made.rules.iter().any(Rules::hides_users) {
            made.warnings.retain(|warning| warning != NOTHING_HASHED);
        }
        let local_audience = wants_numbers
            .then(|| made.add_local(&privacy, &env))
            .transpose()?;
        let jwt = env.for_slurm.iter().find(|(name, _)| *name == "SLURM_JWT");
        let jwt = jwt.and_then(|(_, value)| value.to_str()).map(str::trim);
        made.secrets
            .extend(jwt.filter(|jwt| !jwt.is_empty()).map(Secret::new));
        remarks.append(&mut made.remarks);
        warnings.append(&mut made.warnings);
        if round.batch {
            queues::check(&queues, &made.audiences)?;
        }
        let publisher = Publisher::of(made.rules);
        if round.htcondor.is_given() && !round.batch {
            warnings.push("--schedd, --pool, --queue-totals, --no-queued-jobs, --runtime and --job-details have no effect without -b".to_owned());
        }
        let htcondor = Options::new(round.htcondor, &queues, &publisher)?;
        if round.batch {
            remarks.extend(htcondor.remark().map(str::to_owned));
        }
        let target = if round.debug {
            Target::Files
        } else if round.print {
            Target::Print
        } else {
            Target::Endpoints(made.endpoints)
        };

        Ok(Self {
            ssh,
            ssh_history: round.ssh_history,
            jupyter: round.jupyter,
            batch: round.batch,
            slurm: round.slurm,
            host: round.host,
            heartbeat: round.heartbeat,
            notebooks: notebooks::notebooks(round.namespace, &round.label, wanted.notebooks)?,
            exclude_finished_pods: round.exclude_finished_pods,
            queues,
            excluded_owners: if round.exclude_owner.is_empty() {
                vec!["atlas-coffea".to_owned()]
            } else {
                round.exclude_owner
            },
            removed_jobs: round.removed_jobs,
            htcondor,
            mounts: Asked::or_default(
                round.mount,
                ["/home", "/data", "/scratch"].map(String::from),
            ),
            cluster,
            publisher,
            audiences: made.audiences,
            local_audience,
            unstated_scheme: made.unstated_scheme,
            login_node: round.login_node,
            state_dirs,
            any_endpoint: false,
            endpoints_listed: wanted
                .urls
                .iter()
                .map(|url| endpoint_url::without_password(url))
                .collect(),
            spool,
            limits: Limits {
                silence: Duration::from_secs(round.silence.into()),
                total: Duration::from_secs(round.deadline.into()),
            },
            deadlines: deadlines(&round.deadlines),
            root: round.place.root,
            path: env.path,
            for_slurm: env.for_slurm,
            target,
            textfile: round.textfile,
            secrets: made.secrets,
            remarks,
            warnings,
        })
    }
}

fn deadlines(flags: &Deadlines) -> Vec<(&'static str, Duration)> {
    [
        ("ssh", flags.ssh_deadline),
        ("jupyter", flags.jupyter_deadline),
        ("batch", flags.batch_deadline),
        ("host", flags.host_deadline),
    ]
    .into_iter()
    .filter_map(|(table, secs)| Some((table, Duration::from_secs(secs?.into()))))
    .collect()
}

fn bounds(mib: u32, days: u32) -> Bounds {
    Bounds {
        size: u64::from(mib) << 20,
        age: Duration::from_secs(u64::from(days) * 86_400),
    }
}
