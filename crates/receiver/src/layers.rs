//! What flags, environment and configuration file say together: flags win over `AFMETRICS_RECEIVER_*` over
//! the file over defaults.
//!
//! An option of the file is a flag of `serve` (the table [`LAYOUT`] says which), so nothing is described or
//! checked twice. The other commands take from it where the store is, and nothing else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use afmetrics_settings::{Given, Layout, Program, Shown, Table, Unusable, explicit, row};
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::{Cli, Command};
use crate::config;

/// How the variables begin that stand for flags.
pub const PREFIX: &str = "AFMETRICS_RECEIVER_";
/// What all commands have.
const SHARED: [&str; 2] = ["config", "store"];

/// Where else than on the command line flags can be said.
pub const PROGRAM: Program = Program {
    layout: LAYOUT,
    prefix: PREFIX,
    file: "/etc/afmetrics/receiver.toml",
    unreadable: "cannot be read by this user: run the command as the receiver's user (sudo -u afmetrics_receiver), let its group read the file (chgrp afmetrics_receiver, chmod 640), or name another (--config)",
    command: with_all_flags,
};

/// What was asked for, by whatever way.
#[derive(Debug)]
pub struct Asked {
    pub cli: Cli,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What to say once the log is open, at WARN.
    pub warnings: Vec<String>,
}

/// Reads the command line, the variables that stand for flags, and the file that one of them names, or the one
/// that is always looked for.
///
/// # Errors
/// One of them is wrong: where, what, and what to do.
pub fn read(words: &[OsString], variables: &[(OsString, OsString)]) -> Result<Asked, Unusable> {
    let matches = Cli::command().try_get_matches_from(words)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let Some(place) = cli.command.place() else {
        return Ok(Asked {
            cli,
            file: None,
            warnings: Vec::new(),
        });
    };
    let is_serve = matches!(cli.command, Command::Serve(_));
    let is_wanted = |given: &Given| is_serve || SHARED.contains(&given.flag.as_str());
    let explicit = explicit(&matches);
    let mut warnings = Vec::new();
    // A command that is not `serve` has no use for most of them, and does not stumble over them.
    let shared = SHARED.map(|flag| format!("{PREFIX}{}", flag.to_ascii_uppercase()));
    let is_shared = |name: &OsString| shared.iter().any(|known| known.as_str() == name);
    let variables = variables
        .iter()
        .filter(|(name, _)| is_serve || is_shared(name));
    let mut lower = PROGRAM.variables(variables.cloned(), &mut warnings)?;
    let by_variable = lower.iter().find(|given| given.flag == "config");
    let named = place.config.clone().or_else(|| {
        let path = by_variable?.values.first()?;
        Some(PathBuf::from(path))
    });
    let mut said = explicit.iter().chain(&lower);
    let has_store = said.any(|given| given.flag == "store");
    let mut file = None;
    // Where it is known, whoever may read the store need not be one who may read the file.
    if is_serve || named.is_some() || !has_store {
        let (path, settings) = PROGRAM.settings(named)?;
        file = path;
        lower.splice(0..0, settings.given.into_iter().filter(is_wanted));
    }
    let command = afmetrics_settings::with_defaults(Cli::command(), &lower);
    let cli = Cli::from_arg_matches(&command.try_get_matches_from(words)?)?;
    if let Command::Serve(serve) = &cli.command {
        config::check(serve, &Origins::of(&lower, &explicit))?;
    }
    Ok(Asked {
        cli,
        file,
        warnings,
    })
}

/// The command that has all flags that a file can say.
fn with_all_flags() -> clap::Command {
    let whole = Cli::command();
    match whole.find_subcommand("serve") {
        Some(serve) => serve.clone(),
        None => whole,
    }
}

/// Where the values of flags come from, for messages.
#[derive(Debug, Default)]
pub struct Origins(HashMap<String, String>);

impl Origins {
    /// Later ones win over earlier ones, and what stands on the command line over all.
    fn of(lower: &[Given], explicit: &[Given]) -> Self {
        let is_explicit = |flag: &str| explicit.iter().any(|given| given.flag == flag);
        let places = lower
            .iter()
            .filter(|given| !is_explicit(&given.flag))
            .map(|given| (given.flag.clone(), given.place.clone()));
        Self(places.collect())
    }

    /// The flag as it is written, or the place in the file or the variable that says it. `flag`: clap's name for it.
    pub fn of_flag(&self, flag: &str) -> String {
        match self.0.get(flag) {
            Some(place) => place.clone(),
            None => format!("--{}", flag.replace('_', "-")),
        }
    }
}

/// A flag, and how the file says it: `--tls-key ([tls] key_file)`.
pub fn both_names(flag: &str) -> String {
    let long = flag.replace('_', "-");
    let option = LAYOUT.tables.iter().find_map(|table| {
        let row = table.options.iter().find(|row| row.flag == flag)?;
        Some(format!(" ([{}] {})", table.name, row.option))
    });
    format!("--{long}{}", option.unwrap_or_default())
}

/// Every table of the file, and which flag each option is.
pub const LAYOUT: Layout = Layout {
    about: "How afmetrics_receiver takes documents, keeps them and shows them.\n\
            \n\
            Everything here is as it is without this file: an option that is to be otherwise loses its #. \
            Flags of `afmetrics_receiver serve` win over variables of the environment (AFMETRICS_RECEIVER_LISTEN is \
            --listen), these over this file. The other commands read here where the store is. A running \
            receiver reads the file again at SIGHUP (systemctl reload afmetrics_receiver), and says in its log \
            which changes need a restart.",
    tables: &[
        Table {
            name: "listen",
            is_list: false,
            about: "Collectors and browsers come here.",
            command: None,
            options: &[
                row("address", "listen", Shown::Default),
                row("insecure_http", "insecure_http", Shown::Default),
            ],
        },
        Table {
            name: "tls",
            is_list: false,
            about: "Without it only this machine can send and read, unless insecure_http says otherwise.",
            command: None,
            options: &[
                row(
                    "cert_file",
                    "tls_cert",
                    Shown::Example("\"/etc/afmetrics/tls.pem\""),
                ),
                row(
                    "key_file",
                    "tls_key",
                    Shown::Example("\"/etc/afmetrics/tls.key\""),
                ),
            ],
        },
        Table {
            name: "access",
            is_list: false,
            about: "Who may read without a token. Tokens are made by `afmetrics_receiver token create`, and stand in the store.",
            command: None,
            options: &[row("trust_loopback", "trust_loopback", Shown::Default)],
        },
        Table {
            name: "store",
            is_list: false,
            about: "Where documents are kept, and for how long. What is too old is gone within minutes of a start or reload that says so.",
            command: None,
            options: &[
                row(
                    "folder",
                    "store",
                    Shown::DefaultIs("\"/var/lib/afmetrics_receiver\""),
                ),
                row("keep_documents_days", "keep_documents", Shown::Default),
                row("keep_summaries_days", "keep_summaries", Shown::Default),
            ],
        },
        Table {
            name: "limits",
            is_list: false,
            about: "What is taken, and how much of it.",
            command: None,
            options: &[
                row(
                    "accept_unknown_kinds",
                    "accept_unknown_kinds",
                    Shown::Default,
                ),
                row("rate_limit", "rate_limit", Shown::Default),
                row("max_connections", "max_connections", Shown::Default),
                row("request_timeout_secs", "request_timeout", Shown::Default),
            ],
        },
        Table {
            name: "log",
            is_list: false,
            about: "",
            command: None,
            options: &[row("verbose", "verbose", Shown::Default)],
        },
    ],
};
