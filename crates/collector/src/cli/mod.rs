//! The flags: the old script's, with its meanings, and ours; and the commands for the spool.
//!
//! The help text, the man page, the tables of docs/collector.md and the sample configuration are printed from this folder.

mod commands;
mod flags;
mod spelling;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches as _, Parser};

pub use self::commands::{
    Check, Command, Deliver, Discard, List, OnSpool, Record, Reference, ReferenceOf, Replay, Retry,
    Run, Show, SpoolCommand,
};
use self::flags::RUN;
pub use self::flags::{
    Deadlines, Delivery, EndpointFlags, Hash, Htcondor, LogLevel, NotebookFlags, NotebookKind,
    Place, Privacy, Protocol, QueueTotals, Round, Runtime,
};
pub use self::spelling::spell_out;

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
