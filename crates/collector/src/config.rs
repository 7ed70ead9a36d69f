//! What one round is to do, checked: made from the flags and the environment, and the only thing
//! that the rest of the program asks.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afmetrics_document::Publisher;
use afmetrics_document::names::{HostRule, Scheme, UserRule};
use anyhow::{Context as _, Result, bail};
use reqwest::Url;

use crate::cli::{Cli, Deliver, Hash};
use crate::endpoint_url;
use crate::secret::{self, Secret};
use crate::sources::htcondor::options::Options;
use crate::spool::Bounds;

/// The variables of the environment that we read ourselves. (`KUBECONFIG` is kube's to read, the
/// proxies' variables are reqwest's.)
#[derive(Debug, Default, Clone)]
pub struct Environment {
    pub token: Option<OsString>,
    pub salt: Option<OsString>,
    pub state_directory: Option<OsString>,
    pub xdg_state_home: Option<OsString>,
    pub home: Option<OsString>,
    pub path: Option<OsString>,
    /// What the tools of Slurm may see; others change what they print (`SQUEUE_STATES`, `SLURM_CLUSTERS`).
    pub for_slurm: Vec<(&'static str, OsString)>,
}

/// Where Slurm's tools find their programs, libraries and configuration, and what lets them in where that
/// is a token and no munge.
const FOR_SLURM: [&str; 5] = ["PATH", "HOME", "LD_LIBRARY_PATH", "SLURM_CONF", "SLURM_JWT"];

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads it; everything else gets it by argument"
    )]
    pub fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            token: var(secret::VARIABLES[0]),
            salt: var(secret::VARIABLES[1]),
            state_directory: var("STATE_DIRECTORY"),
            xdg_state_home: var("XDG_STATE_HOME"),
            home: var("HOME"),
            path: var("PATH"),
            for_slurm: FOR_SLURM
                .into_iter()
                .filter_map(|name| Some((name, var(name)?)))
                .collect(),
        }
    }
}

/// Where a round's documents go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To the endpoint, over HTTP.
    Endpoint(Box<EndpointConfig>),
    /// `-d`: appended to files in the current directory.
    Files,
    /// `--print`: to standard output.
    Print,
}

/// How documents are delivered.
#[derive(Clone)]
pub struct EndpointConfig {
    pub url: Url,
    pub token: Secret,
    /// Documents a request; `None`: one, and not in an array.
    pub batch_size: Option<usize>,
    /// Pack long bodies.
    pub gzip: bool,
    /// A PEM file of further certificate authorities, and what is in it.
    pub ca: Option<(PathBuf, Vec<u8>)>,
    pub max_connections: usize,
    pub max_streams: usize,
    /// How long a request may take, from connecting to the end of the answer.
    pub patience: Duration,
    /// For a whole round.
    pub deliver_for: Duration,
}

/// Shows the URL without what is secret in it.
impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("url", &endpoint_url::without_password(self.url.as_str()))
            .finish_non_exhaustive()
    }
}

/// One `-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// A ClassAd expression; `None`: all jobs.
    pub constraint: Option<String>,
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

/// A place where state may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    pub path: PathBuf,
    /// How it came to be one, for where the path must not be shown: it can name a user.
    pub rule: &'static str,
}

/// How long a source may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without a byte from it.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
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
    pub namespace: Asked<String>,
    pub label: Label,
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
    /// How users are hashed, where no `--hash` said it: the round's line names it.
    pub unstated_scheme: Option<Scheme>,
    pub group: Option<String>,
    pub login_node: Option<String>,
    /// Where state may be kept, best first, and whether the first was asked for by name.
    pub state_dirs: Asked<Vec<StateDir>>,
    /// What was collected for other endpoints goes to this one, too.
    pub any_endpoint: bool,
    /// How much may wait for delivery, and for how long.
    pub spool: Bounds,
    pub limits: Limits,
    pub root: PathBuf,
    /// Where programs are looked for.
    pub path: Option<OsString>,
    /// The environment of Slurm's tools.
    pub for_slurm: Vec<(&'static str, OsString)>,
    pub target: Target,
    /// All secrets, for keeping them out of quoted text.
    pub secrets: Vec<Secret>,
    /// What to say once the log is open, at INFO.
    pub remarks: Vec<String>,
    /// The same, at WARN.
    pub warnings: Vec<String>,
}

/// A Kubernetes label selector, and the label in it whose value is the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub selector: String,
    pub key: String,
}

impl Label {
    /// The key is what the selector begins with: `owner`, `owner=x`, `owner in (x, y),app!=z`.
    pub fn parse(selector: &str) -> Result<Self> {
        let selector = selector.trim();
        let end = selector
            .find(|c: char| c.is_whitespace() || "=!,()".contains(c))
            .unwrap_or(selector.len());
        if end == 0 {
            bail!("-l {selector:?} does not begin with the label that names the user (-l owner)");
        }
        Ok(Self {
            selector: selector.to_owned(),
            key: selector[..end].to_owned(),
        })
    }
}

impl Queue {
    /// `NAME:CONSTRAINT`; only the first colon separates, the constraint may have others.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((name, constraint)) = text.split_once(':') else {
            bail!(
                "-q {text:?} has no colon: it takes NAME:CONSTRAINT, or {text}: for all jobs under that name"
            );
        };
        if name.trim().is_empty() {
            bail!("-q {text:?} has no name before the colon: it takes NAME:CONSTRAINT");
        }
        let constraint = constraint.trim();
        Ok(Self {
            name: name.trim().to_owned(),
            constraint: (!constraint.is_empty()).then(|| constraint.to_owned()),
        })
    }
}

impl Config {
    /// Checks the flags of a round. Errors are one sentence that says what to do; they are exit status
    /// 2.
    pub fn new(cli: Cli, env: Environment) -> Result<Self> {
        let batch = cli.batch || cli.slurm;
        if !(cli.ssh || cli.ssh_history || cli.jupyter || batch || cli.host || cli.heartbeat) {
            bail!(
                "nothing to collect: choose at least one of -s (ssh), -S (ssh with history), -j (Jupyter), -b (batch), --slurm, --host (or --heartbeat)"
            );
        }
        Self::checked(cli, env)
    }

    /// The same for `spool deliver`, which collects nothing. `state`: the folder whose spool it is.
    pub fn for_delivery(deliver: Deliver, state: StateDir, env: Environment) -> Result<Self> {
        let any_endpoint = deliver.any_endpoint;
        // By hand nothing is dropped that a round with other bounds would keep.
        let spool = bounds(
            deliver.delivery.spool_max_size.unwrap_or(u32::MAX),
            deliver.delivery.spool_max_age.unwrap_or(u32::MAX),
        );
        // Nothing is hashed.
        let env = Environment { salt: None, ..env };
        let config = Self::checked(Cli::delivering_only(deliver), env)?;
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

    fn checked(cli: Cli, env: Environment) -> Result<Self> {
        let mut remarks = Vec::new();
        let mut warnings = Vec::new();
        let state_dirs = state_dirs(cli.place.state_dir, &env, &cli.place.root);
        let ssh = cli.ssh || cli.ssh_history;
        for (flag, name) in [
            ("-c", Some(&cli.delivery.cluster)),
            ("--login-node", cli.login_node.as_ref()),
        ] {
            if name.is_some_and(|name| name.trim().is_empty()) {
                bail!("{flag} needs a name: it was given an empty one");
            }
        }
        let queues = cli
            .queue
            .iter()
            .map(|queue| Queue::parse(queue))
            .collect::<Result<Vec<_>>>()?;
        if !queues.is_empty() && !cli.batch {
            warnings.push("-q has no effect without -b".to_owned());
        }

        if cli.salt.is_some() {
            remarks.push(secret::on_command_line("salt"));
        }
        let salt = secret::read("salt", cli.salt, cli.salt_file.as_deref(), env.salt)?;
        let mut secrets: Vec<Secret> = salt.iter().cloned().collect();
        let users = user_rule(cli.obfuscate_users, cli.hash, salt, &mut warnings)?;
        let unstated_scheme = match &users {
            UserRule::Hashed { scheme, .. } if cli.hash.is_none() => Some(*scheme),
            _ => None,
        };
        let hosts = match cli.obfuscate_hosts {
            Some(domain) if domain.trim().is_empty() => bail!("-O needs a domain (-O example.org)"),
            Some(domain) => HostRule::Digits {
                prefix: cli.host_prefix,
                // The point between the two is ours.
                domain: domain.trim_start_matches('.').to_owned(),
            },
            None => HostRule::Clear,
        };
        let publisher = Publisher::new(users, hosts);
        if cli.htcondor.is_given() && !cli.batch {
            warnings.push("--schedd, --pool, --queue-totals, --no-queued-jobs, --runtime and --job-details have no effect without -b".to_owned());
        }
        let htcondor = Options::new(cli.htcondor, &queues, &publisher)?;
        if cli.batch {
            remarks.extend(htcondor.remark().map(str::to_owned));
        }

        let target = if cli.debug {
            Target::Files
        } else if cli.print {
            Target::Print
        } else {
            if cli.delivery.token.is_some() {
                remarks.push(secret::on_command_line("token"));
            }
            let token = secret::read(
                "token",
                cli.delivery.token,
                cli.delivery.token_file.as_deref(),
                env.token,
            )?;
            if token.as_ref().is_some_and(secret::is_no_token) {
                bail!(
                    "the token is blank, or has a line end or another control character in it: it is one line, and nothing else is in its file"
                );
            }
            let Some(token) = token else {
                bail!(
                    "no token: give --token-file FILE, AFMETRICS_TOKEN in the environment, or -t TOKEN (-d and --print need none)"
                );
            };
            secrets.push(token.clone());
            let url = endpoint_url::checked(cli.delivery.url.expose(), &mut warnings)?;
            secrets.extend(endpoint_url::secrets(&url));
            Target::Endpoint(Box::new(EndpointConfig {
                url,
                token,
                batch_size: cli.delivery.batch_size.map(|n| n as usize),
                gzip: cli.delivery.gzip,
                ca: cli.delivery.ca_file.map(read_ca_file).transpose()?,
                max_connections: cli.delivery.max_connections.into(),
                max_streams: cli.delivery.max_streams.into(),
                patience: Duration::from_secs(cli.delivery.request_timeout.into()),
                deliver_for: Duration::from_secs(cli.delivery.deliver_for.into()),
            }))
        };

        Ok(Self {
            ssh,
            ssh_history: cli.ssh_history,
            jupyter: cli.jupyter,
            batch: cli.batch,
            slurm: cli.slurm,
            host: cli.host,
            heartbeat: cli.heartbeat,
            namespace: Asked {
                by_name: cli.namespace.is_some(),
                value: cli.namespace.unwrap_or_else(|| "af-jupyter".to_owned()),
            },
            label: Label::parse(&cli.label)?,
            exclude_finished_pods: cli.exclude_finished_pods,
            queues,
            excluded_owners: if cli.exclude_owner.is_empty() {
                vec!["atlas-coffea".to_owned()]
            } else {
                cli.exclude_owner
            },
            removed_jobs: cli.removed_jobs,
            htcondor,
            mounts: Asked::or_default(cli.mount, ["/home", "/data", "/scratch"].map(String::from)),
            cluster: cli.delivery.cluster,
            publisher,
            unstated_scheme,
            group: cli.group,
            login_node: cli.login_node,
            state_dirs,
            any_endpoint: false,
            spool: bounds(
                cli.delivery.spool_max_size.unwrap_or(256),
                cli.delivery.spool_max_age.unwrap_or(14),
            ),
            limits: Limits {
                silence: Duration::from_secs(cli.silence.into()),
                total: Duration::from_secs(cli.deadline.into()),
            },
            root: cli.place.root,
            path: env.path,
            for_slurm: env.for_slurm,
            target,
            secrets,
            remarks,
            warnings,
        })
    }
}

fn bounds(mib: u32, days: u32) -> Bounds {
    Bounds {
        size: u64::from(mib) << 20,
        age: Duration::from_secs(u64::from(days) * 86_400),
    }
}

fn user_rule(
    hide: bool,
    hash: Option<Hash>,
    salt: Option<Secret>,
    warnings: &mut Vec<String>,
) -> Result<UserRule> {
    if !hide {
        if hash.is_some() || salt.is_some() {
            warnings.push(
                "a salt or --hash has no effect without -o: user names leave as they are"
                    .to_owned(),
            );
        }
        return Ok(UserRule::Clear);
    }
    let scheme = match hash.unwrap_or(Hash::Md5) {
        Hash::Md5 => Scheme::Md5,
        Hash::Sha256 => Scheme::Sha256,
        Hash::HmacSha256 => Scheme::HmacSha256,
    };
    let salt = salt
        .map(|salt| salt.expose().to_owned())
        .unwrap_or_default();
    if scheme == Scheme::HmacSha256 && salt.is_empty() {
        bail!("--hash hmac-sha256 needs a salt: give --salt-file FILE or AFMETRICS_SALT");
    }
    Ok(UserRule::Hashed { scheme, salt })
}

fn read_ca_file(path: PathBuf) -> Result<(PathBuf, Vec<u8>)> {
    let pem = fs::read(&path).with_context(|| {
        format!(
            "cannot read the certificates of --ca-file {}",
            path.display()
        )
    })?;
    Ok((path, pem))
}

/// Where state may be: the folder that was asked for, or else ours, best first.
pub fn state_dirs(named: Option<PathBuf>, env: &Environment, root: &Path) -> Asked<Vec<StateDir>> {
    let named = named.map(|path| StateDir {
        path,
        rule: "the folder of --state-dir",
    });
    Asked::or_default(named.into_iter().collect(), default_state_dirs(env, root))
}

fn default_state_dirs(env: &Environment, root: &Path) -> Vec<StateDir> {
    let services = env
        .state_directory
        .as_ref()
        .and_then(|dirs| std::env::split_paths(dirs).next());
    let below = |folder: &Option<OsString>, rest| Some(Path::new(folder.as_ref()?).join(rest));
    [
        (services, "$STATE_DIRECTORY"),
        (Some(root.join("var/lib/afmetrics")), "/var/lib/afmetrics"),
        (
            below(&env.xdg_state_home, "afmetrics"),
            "$XDG_STATE_HOME/afmetrics",
        ),
        (
            below(&env.home, ".local/state/afmetrics"),
            "~/.local/state/afmetrics",
        ),
    ]
    .into_iter()
    .filter_map(|(path, rule)| Some(StateDir { path: path?, rule }))
    .collect()
}
