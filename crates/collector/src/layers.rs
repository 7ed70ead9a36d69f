//! What flags, environment and configuration file say together: flags win over `AFMETRICS_*` over the file
//! over defaults.
//!
//! An option of the file is a flag (the table [`LAYOUT`] says which), so nothing is described or checked
//! twice. Two things are lists, which no flag can say: the endpoints, each with its own kinds and privacy, and
//! the places where notebooks run.

use std::ffi::OsString;
use std::path::PathBuf;

use afmetrics_settings::{
    Given, Item, Layout, Program, Row, Settings, Shown, Table, Unusable, Wrong, explicit,
};
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::{self, Cli, Command, EndpointFlags, NotebookFlags, Round, SpoolCommand};
use crate::config::{Environment, Lists};

/// Where else than on the command line flags can be said.
pub const PROGRAM: Program = Program {
    layout: LAYOUT,
    prefix: "AFMETRICS_",
    file: "/etc/afmetrics/collector.toml",
    unreadable: ", and without it names could leave that must not: chgrp it to a group of the user's and chmod g+r, or name another (--config)",
    command: with_all_flags,
};

/// What was asked for, by whatever way.
#[derive(Debug)]
pub struct Asked {
    pub cli: Cli,
    pub lists: Lists,
    /// What each flag was given that is not as by default, lists aside.
    pub given: Vec<Given>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What to say once the log is open, at WARN.
    pub warnings: Vec<String>,
}

/// Reads the command line, the variables that stand for flags, and the file that one of them names, or the
/// one that is always looked for.
pub fn read(words: &[OsString], env: &Environment) -> Result<Asked, Unusable> {
    let words = cli::spell_out(words.iter().cloned());
    let matches = cli::matches(cli::command(), &words)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let explicit = Explicit(explicit(&matches));
    let mut warnings = Vec::new();
    if !cli.is_configured() {
        return Ok(Asked::of_flags(cli, explicit.0, warnings));
    }
    let mut variables = PROGRAM.variables(env.flags.iter().cloned(), &mut warnings)?;
    let named = cli.place().config.clone().or_else(|| {
        let given = variables.iter().find(|given| given.flag == "config")?;
        given.values.first().map(PathBuf::from)
    });
    let (file, mut settings) = PROGRAM.settings(named)?;
    if file.is_none() && variables.is_empty() {
        return Ok(Asked::of_flags(cli, explicit.0, warnings));
    }
    explicit.replace(&mut variables, env);
    explicit.replace(&mut settings.given, env);
    if variables.iter().any(|given| given.flag == "token_file") {
        settings.given.retain(|given| given.flag != "token_file");
    }
    if variables.iter().any(|given| given.flag == "deadline") {
        settings
            .given
            .retain(|given| !given.flag.ends_with("_deadline"));
    }
    let mut lower = settings.given.clone();
    if matches!(cli.command, Some(Command::Spool(_))) {
        // By hand nothing is dropped that no flag asks for.
        lower.retain(|given| !matches!(given.flag.as_str(), "spool_max_size" | "spool_max_age"));
    }
    lower.extend(variables.iter().cloned());
    let command = afmetrics_settings::with_defaults(cli::command(), &lower);
    let cli = Cli::from_arg_matches(&cli::matches(command, &words)?)?;
    let endpoints = endpoints(&settings, &variables, &explicit, sends(&cli), env)?;
    let says = |flag: &str| explicit.has(flag) || variables.iter().any(|given| given.flag == flag);
    let notebooks = match says("namespace") || says("label") {
        true => Vec::new(),
        false => settings
            .list(NOTEBOOKS)
            .map(|item| parsed(NotebookFlags::command(), item))
            .collect::<Result<_, _>>()?,
    };
    Ok(Asked {
        lists: Lists {
            endpoints,
            notebooks,
            urls: settings
                .list(ENDPOINTS)
                .flat_map(|item| item.given.iter().filter(|given| given.flag == "url"))
                .flat_map(|given| given.values.iter().cloned())
                .collect(),
            wants_numbers: false,
        },
        file,
        ..Asked::of_flags(cli, merged(lower, explicit.0), warnings)
    })
}

impl Asked {
    fn of_flags(cli: Cli, given: Vec<Given>, warnings: Vec<String>) -> Self {
        Self {
            cli,
            lists: Lists::default(),
            given,
            file: None,
            warnings,
        }
    }
}

/// What each flag is given in the end: the highest layer that says something of it.
fn merged(lower: Vec<Given>, higher: Vec<Given>) -> Vec<Given> {
    let mut merged: Vec<Given> = Vec::new();
    for given in lower.into_iter().chain(higher) {
        merged.retain(|known| known.flag != given.flag);
        merged.push(given);
    }
    merged
}

/// Whether anything is sent, or would be.
fn sends(cli: &Cli) -> bool {
    let is_sent = |round: &Round| !(round.debug || round.print);
    match &cli.command {
        None => is_sent(&cli.round),
        Some(Command::Run(run)) => is_sent(&run.round),
        Some(Command::Check(check)) => is_sent(&check.round),
        Some(Command::Spool(on)) => matches!(on.command, Some(SpoolCommand::Deliver(_))),
        Some(Command::Reference(_) | Command::Record(_) | Command::Replay(_)) => false,
    }
}

/// The command that has all flags that a file can say.
fn with_all_flags() -> clap::Command {
    let command = cli::command();
    match command.find_subcommand("run") {
        Some(run) => run.clone(),
        None => command,
    }
}

/// The endpoints of the file. What `[delivery]` and `[privacy]` say holds for each that does not say otherwise.
fn endpoints(
    settings: &Settings,
    variables: &[Given],
    explicit: &Explicit,
    sends: bool,
    env: &Environment,
) -> Result<Vec<EndpointFlags>, Unusable> {
    let mut items: Vec<&Item> = settings.list(ENDPOINTS).collect();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(url) = explicit.value("url") {
        // Its privacy is that of the file.
        items.retain(|item| {
            item.given
                .iter()
                .any(|given| given.flag == "url" && given.values == [url])
        });
        if items.is_empty() {
            return Err(Wrong::at(
                "-u",
                "this is none of the [[endpoints]] of the configuration file, which say how names may leave to each: name one of them as it stands there, or leave the file out (--config /dev/null)",
            )
            .into());
        }
    }
    // One endpoint's secret must not go to another.
    let shared = [settings.given.as_slice(), variables].concat();
    if let Some(given) = shared
        .iter()
        .find(|given| matches!(given.flag.as_str(), "token_file" | "url"))
    {
        let what = "with [[endpoints]] each of them has its own";
        return Err(Wrong::at(&given.place, what).into());
    }
    let has_token = explicit.has("token") || explicit.has("token_file") || env.token.is_some();
    if sends && has_token && items.len() > 1 {
        return Err(Wrong::at(
            "-t, --token-file or AFMETRICS_TOKEN",
            "the configuration file has [[endpoints]], and each of them has its own token: leave it out, or name one of them with -u",
        )
        .into());
    }
    items
        .into_iter()
        .map(|item| {
            let own = EndpointFlags::command();
            afmetrics_settings::check(&own, &item.given)?;
            if item.given.iter().all(|given| given.flag != "url") {
                return Err(Wrong::at(&item.place, "has no url").into());
            }
            let mut given = settings.given.clone();
            let mut own_given = item.given.clone();
            explicit.replace(&mut own_given, env);
            given.extend(own_given);
            given.extend(variables.iter().cloned());
            given.extend(explicit.0.iter().cloned());
            let command = afmetrics_settings::with_defaults(own, &given);
            let matches = command.try_get_matches_from([item.list])?;
            let mut flags = EndpointFlags::from_arg_matches(&matches)?;
            flags.place.clone_from(&item.place);
            Ok(flags)
        })
        .collect()
}

fn parsed<T: clap::FromArgMatches>(command: clap::Command, item: &Item) -> Result<T, Unusable> {
    let matches = afmetrics_settings::parse_item(&command, item)?;
    Ok(T::from_arg_matches(&matches)?)
}

/// The flags that stand on the command line.
struct Explicit(Vec<Given>);

impl Explicit {
    fn has(&self, flag: &str) -> bool {
        self.value(flag).is_some()
    }

    fn value(&self, flag: &str) -> Option<&str> {
        let given = self.0.iter().find(|given| given.flag == flag)?;
        Some(given.values.first().map_or("", String::as_str))
    }

    /// Takes away what the command line replaces though it is another flag: which collectors, and the
    /// secrets, of which each can be said in two ways.
    fn replace(&self, given: &mut Vec<Given>, env: &Environment) {
        let chooses = CHOOSING.iter().any(|flag| self.has(flag));
        let has_token = self.has("token") || self.has("token_file") || env.token.is_some();
        let has_salt = self.has("salt") || self.has("salt_file") || env.salt.is_some();
        let has_deadline = self.has("deadline");
        let writes = self.has("debug") || self.has("print");
        given.retain(|given| match given.flag.as_str() {
            flag if CHOOSING.contains(&flag) => !chooses,
            "token_file" => !has_token,
            "salt_file" => !has_salt,
            "debug" | "print" => !writes,
            flag if flag.ends_with("_deadline") => !has_deadline,
            _ => true,
        });
    }
}

/// The flags that choose collectors. If one stands on the command line, those count that stand there.
const CHOOSING: [&str; 6] = ["ssh", "ssh_history", "jupyter", "batch", "slurm", "host"];
const ENDPOINTS: &str = "endpoints";
const NOTEBOOKS: &str = "jupyter.sources";

/// Every table of the file, and which flag each option is.
pub const LAYOUT: Layout = Layout {
    about: "What afmetrics_collector collects, and where it goes.\n\
            \n\
            As it stands it changes nothing: take the # away from an option that is to be otherwise. \
            Flags win over variables of the environment (AFMETRICS_BATCH_SIZE is --batch-size), these over this \
            file. `afmetrics_collector check` reads it and tries everything; a running daemon reads it again at \
            SIGHUP (systemctl reload afmetrics_collector).",
    tables: &[
        Table {
            name: "",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("facility", "cluster", Shown::Default),
                row(
                    "login_node",
                    "login_node",
                    Shown::Example("\"login01.example.org\""),
                ),
                row("heartbeat", "heartbeat", Shown::Default),
                row("silence_secs", "silence", Shown::Default),
                row("deadline_secs", "deadline", Shown::Default),
            ],
        },
        Table {
            name: "daemon",
            is_list: false,
            about: "For `afmetrics_collector run`.",
            command: None,
            options: &[
                row("interval_secs", "interval", Shown::Default),
                row("listen", "listen", Shown::Example("\"127.0.0.1:19469\"")),
            ],
        },
        Table {
            name: "ssh",
            is_list: false,
            about: "Who is logged in.",
            command: None,
            options: &[
                row("enabled", "ssh", Shown::Default),
                row("history", "ssh_history", Shown::Default),
                row("deadline_secs", "ssh_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "batch",
            is_list: false,
            about: "Jobs of HTCondor and Slurm.",
            command: None,
            options: &[
                row("enabled", "batch", Shown::Default),
                row("slurm", "slurm", Shown::Default),
                row(
                    "exclude_owners",
                    "exclude_owner",
                    Shown::DefaultIs("[\"atlas-coffea\"]"),
                ),
                row(
                    "queues",
                    "queue",
                    Shown::Example("[\"all:\", \"short:MaxRuntime < 3600\"]"),
                ),
                row("queue_totals", "queue_totals", Shown::Default),
                row(
                    "schedds",
                    "schedd",
                    Shown::Example("[\"schedd01.example.org\"]"),
                ),
                row("pool", "pool", Shown::Example("\"cm.example.org\"")),
                row("no_queued_jobs", "no_queued_jobs", Shown::Default),
                row("runtime", "runtime", Shown::Default),
                row("job_details", "job_details", Shown::Default),
                row("removed_jobs", "removed_jobs", Shown::Default),
                row("deadline_secs", "batch_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "host",
            is_list: false,
            about: "Load, memory, network and disks of this node.",
            command: None,
            options: &[
                row("enabled", "host", Shown::Default),
                row(
                    "mounts",
                    "mount",
                    Shown::DefaultIs("[\"/home\", \"/data\", \"/scratch\"]"),
                ),
                row("root", "root", Shown::Default),
                row("deadline_secs", "host_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "jupyter",
            is_list: false,
            about: "Who has a notebook in Kubernetes.",
            command: None,
            options: &[
                row("enabled", "jupyter", Shown::Default),
                row(
                    "exclude_finished_pods",
                    "exclude_finished_pods",
                    Shown::Default,
                ),
                row("deadline_secs", "jupyter_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: NOTEBOOKS,
            is_list: true,
            about: "A namespace with notebooks; any number of them. One is enough to replace the two that are read \
                    by default: af-jupyter with label owner, and coffea-casa with label jhub_user as kind \
                    jupyter-coffea, which may be missing.",
            command: Some(NotebookFlags::command),
            options: &[
                row("namespace", "namespace", Shown::Example("\"af-jupyter\"")),
                row("label", "label", Shown::Default),
                row("kind", "kind", Shown::Default),
                row("optional", "optional", Shown::Default),
            ],
        },
        Table {
            name: "privacy",
            is_list: false,
            about: "How names leave; an endpoint can say otherwise.",
            command: None,
            options: PRIVACY,
        },
        Table {
            name: "delivery",
            is_list: false,
            about: "Where documents go, and how; an endpoint can say otherwise.",
            command: None,
            options: DELIVERY,
        },
        Table {
            name: ENDPOINTS,
            is_list: true,
            about: "Several endpoints at once. What one of them does not say here, [delivery] and [privacy] say \
                    for it, except url and token_file, which then stand here only. Each gets every document of \
                    the kinds that it names (all, if it names none), with names as it says; one that is away \
                    keeps none of the others waiting.",
            command: Some(EndpointFlags::command),
            options: &ENDPOINT,
        },
        Table {
            name: "spool",
            is_list: false,
            about: "What waits for delivery.",
            command: None,
            options: &[
                row(
                    "state_dir",
                    "state_dir",
                    Shown::Example("\"/var/lib/afmetrics\""),
                ),
                row("max_size_mib", "spool_max_size", Shown::DefaultIs("256")),
                row("max_age_days", "spool_max_age", Shown::DefaultIs("14")),
            ],
        },
        Table {
            name: "log",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("level", "log_level", Shown::Default),
                row(
                    "textfile",
                    "textfile",
                    Shown::Example("\"/var/lib/node_exporter/afmetrics.prom\""),
                ),
            ],
        },
    ],
};

const PRIVACY: &[Row] = &[
    row("obfuscate_users", "obfuscate_users", Shown::Default),
    row("hash", "hash", Shown::DefaultIs("\"md5\"")),
    row(
        "salt_file",
        "salt_file",
        Shown::Example("\"/etc/afmetrics/salt\""),
    ),
    row(
        "obfuscate_hosts",
        "obfuscate_hosts",
        Shown::Example("\"example.org\""),
    ),
    row("host_prefix", "host_prefix", Shown::Default),
    row("group", "group", Shown::Example("\"atlas\"")),
];

const DELIVERY: &[Row] = &[
    row("url", "url", Shown::Default),
    row(
        "token_file",
        "token_file",
        Shown::Example("\"/etc/afmetrics/token\""),
    ),
    row(
        "ca_file",
        "ca_file",
        Shown::Example("\"/etc/afmetrics/ca.pem\""),
    ),
    row("batch_size", "batch_size", Shown::Example("500")),
    row("gzip", "gzip", Shown::Default),
    row("max_connections", "max_connections", Shown::Default),
    row("max_streams", "max_streams", Shown::Default),
    row("request_timeout_secs", "request_timeout", Shown::Default),
    row("deliver_for_secs", "deliver_for", Shown::Default),
];

/// Its own options, then those of both tables.
const ENDPOINT: [Row; 18] = [
    row("name", "name", Shown::Example("\"shared\"")),
    row("protocol", "protocol", Shown::Default),
    row(
        "kinds",
        "kinds",
        Shown::Example("[\"ssh\", \"jupyter-ml\", \"condorjob\"]"),
    ),
    DELIVERY[0],
    DELIVERY[1],
    DELIVERY[2],
    DELIVERY[3],
    DELIVERY[4],
    DELIVERY[5],
    DELIVERY[6],
    DELIVERY[7],
    DELIVERY[8],
    PRIVACY[0],
    PRIVACY[1],
    PRIVACY[2],
    PRIVACY[3],
    PRIVACY[4],
    PRIVACY[5],
];

const fn row(option: &'static str, flag: &'static str, shown: Shown) -> Row {
    Row {
        option,
        flag,
        shown,
    }
}
