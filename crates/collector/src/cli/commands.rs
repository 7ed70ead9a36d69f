//! The commands besides a round.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Subcommand};

use super::flags::{DELIVER, PRIVACY, RUN};
use super::{COMMANDS, Delivery, Place, Round, matches, spell_out};

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
                ErrorKind::UnknownArgument if words.iter().any(is_command) => super::command()
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
