//! A command of the tests' own, with one flag of each sort, and a layout of it.

mod errors;
mod precedence;
mod programs;
mod properties;
mod samples;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args as _, FromArgMatches as _, Parser, ValueEnum};

use crate::{Given, Layout, Settings, Shown, Table, Wrong, row};

/// The program
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "program")]
struct Cli {
    #[command(flatten)]
    round: Round,
    #[command(subcommand)]
    below: Option<Below>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
struct Round {
    /// Whose it is
    #[arg(short, long, default_value = "UC-AF")]
    cluster: String,
    /// Look at users
    #[arg(short = 's', long)]
    ssh: bool,
    /// Leave jobs of NAME out; repeatable
    #[arg(long, value_name = "NAME", default_values = ["canary-8", "canary-9"])]
    exclude_owner: Vec<String>,
    /// Send at most N at a time
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch_size: u32,
    /// Wait so long [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    deadline: Option<u64>,
    /// How names leave
    #[arg(long, default_value = "md5")]
    hash: Hash,
    /// Where the salt is
    #[arg(long, value_name = "FILE", value_parser = clap::value_parser!(PathBuf))]
    salt_file: Option<PathBuf>,
    /// With --listen: where to listen, a sentence that is long enough to be wrapped in the sample, of which each line has to be a comment
    #[arg(long, conflicts_with = "salt_file")]
    listen: Option<SocketAddr>,
    /// With the key
    #[arg(long, requires = "salt_file")]
    cert: Option<PathBuf>,
    /// Say more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Hash {
    Md5,
    Sha256,
}

#[derive(Debug, Clone, PartialEq, clap::Subcommand)]
enum Below {
    /// Again and again
    Run {
        #[command(flatten)]
        round: Round,
    },
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
struct Endpoint {
    /// Where to send
    #[arg(long)]
    url: Option<String>,
    /// Which kinds
    #[arg(long)]
    kinds: Vec<String>,
    /// Pack it
    #[arg(long)]
    gzip: bool,
}

fn endpoint() -> clap::Command {
    Endpoint::augment_args(clap::Command::new("endpoint"))
}

fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

const PREFIX: &str = "CANARY_";

const LAYOUT: Layout = Layout {
    about: "What the program does.\n\nA second paragraph.",
    tables: &[
        Table {
            name: "",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("facility", "cluster", Shown::Default),
                row("deadline_secs", "deadline", Shown::DefaultIs("60")),
            ],
        },
        Table {
            name: "ssh",
            is_list: false,
            about: "Who is there.",
            command: None,
            options: &[row("enabled", "ssh", Shown::Default)],
        },
        Table {
            name: "batch",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("exclude_owners", "exclude_owner", Shown::Default),
                row("batch_size", "batch_size", Shown::Default),
            ],
        },
        Table {
            name: "privacy.names",
            is_list: false,
            about: "How names leave.",
            command: None,
            options: &[
                row("hash", "hash", Shown::Default),
                row(
                    "salt_file",
                    "salt_file",
                    Shown::Example("\"/etc/canary/salt\""),
                ),
                row("listen", "listen", Shown::Example("\"[::1]:1\"")),
                row("cert", "cert", Shown::Example("\"/etc/canary/cert\"")),
                row("no_such", "no_such", Shown::Default),
            ],
        },
        Table {
            name: "endpoints",
            is_list: true,
            about: "Where it goes.",
            command: Some(endpoint),
            options: &[
                row(
                    "url",
                    "url",
                    Shown::Example("\"https://af.canary.example/\""),
                ),
                row("kinds", "kinds", Shown::Example("[\"ssh\"]")),
                row("gzip", "gzip", Shown::Default),
            ],
        },
        Table {
            name: "empty",
            is_list: false,
            about: "Nothing.",
            command: None,
            options: &[],
        },
    ],
};

fn read(text: &str) -> Result<Settings, Wrong> {
    Settings::read(Path::new("f.toml"), text, LAYOUT, &command())
}

/// What a file gives, if all in it is right: each flag and its values.
fn given(text: &str) -> Vec<(String, Vec<String>)> {
    flags(&read(text).unwrap().given)
}

fn flags(given: &[Given]) -> Vec<(String, Vec<String>)> {
    given
        .iter()
        .map(|given| (given.flag.clone(), given.values.clone()))
        .collect()
}

/// The command line with these values as defaults.
fn parsed(given: &[Given], words: &[&str]) -> Result<Cli, clap::Error> {
    let all = [&["program"], words].concat();
    let matches = crate::with_defaults(command(), given).try_get_matches_from(all)?;
    Cli::from_arg_matches(&matches)
}

/// What the file and the command line come to.
fn cli(text: &str, words: &[&str]) -> Cli {
    let settings = read(text).unwrap();
    crate::check(&command(), &settings.given).unwrap();
    parsed(&settings.given, words).unwrap()
}
