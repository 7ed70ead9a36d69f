//! What flags, environment and configuration file say together: flags win over `AFMETRICS_*` over the file
//! over defaults.
//!
//! An option of the file is a flag ([`LAYOUT`] says which), so nothing is described or checked
//! twice. Two things are lists, which no flag can say: the endpoints, each with its own kinds and privacy, and
//! the places where notebooks run.

mod layout;

use std::ffi::OsString;
use std::path::PathBuf;

use afmetrics_settings::{Given, Item, Program, Settings, Unusable, Wrong, explicit};
use clap::{CommandFactory as _, FromArgMatches as _};

pub use self::layout::LAYOUT;
use self::layout::{ENDPOINTS, NOTEBOOKS};
use crate::cli::{self, Cli, Command, EndpointFlags, NotebookFlags, Round, SpoolCommand};
use crate::environment::{Environment, PREFIX};

/// Where else than on the command line flags can be said.
pub const PROGRAM: Program = Program {
    layout: LAYOUT,
    prefix: PREFIX,
    file: "/etc/afmetrics/collector.toml",
    unreadable: "cannot be read by this user, and without it names could leave that must not: chgrp it to a group of the user's and chmod g+r, or name another (--config)",
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

/// What the configuration file has lists of.
#[derive(Debug, Default, Clone)]
pub struct Lists {
    /// Empty: the one of the flags.
    pub endpoints: Vec<EndpointFlags>,
    /// The URLs of all endpoints that are listed, those that a flag leaves out, too.
    pub urls: Vec<String>,
    /// Empty: those of the flags.
    pub notebooks: Vec<NotebookFlags>,
    /// The daemon shows the numbers of each round.
    pub wants_numbers: bool,
}
