//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Takes the documents of afmetrics collectors, keeps them, and answers questions about them
#[derive(Debug, Parser)]
#[command(name = "afmetrics_receiver", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take documents and answer questions, until SIGTERM; SIGHUP reads the configuration again
    Serve(Serve),
    /// Make, list and revoke tokens; a running receiver follows within a second
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// Write a copy of the store to a file; a receiver may run meanwhile
    Backup(Backup),
    /// Put a copy that `backup` made into a folder; no receiver may run there
    Restore(Restore),
    /// Look for damage: a line for each finding, and exit status 1. A receiver may run meanwhile
    Check(Check),
    /// Drop what is too old now, and make the file small; no receiver may run
    ///
    /// A running receiver drops what is too old by itself and uses the room again.
    Prune(Prune),
    /// Erase a user, out of documents, summaries and the files' bytes; no receiver may run
    Forget(Forget),
    /// Write raw documents, as lines of JSON or as CSV; a receiver may run meanwhile
    Export(Export),
    /// Take documents from files; no receiver may run
    ///
    /// A file holds lines of JSON (as `export --ndjson` writes them), an array, or objects one after another (as the
    /// collector's -d writes them). All of a file is taken, or nothing if there is a mistake in it. The same file a
    /// second time is not stored again. Documents older than --keep-documents are summarised, then go with the next
    /// cleaning; so import a span's documents before that, and at once.
    Import(Import),
    /// Print what there is to know
    #[command(disable_help_subcommand = true)]
    Reference {
        #[command(subcommand)]
        of: Reference,
    },
}

impl Command {
    /// Where the store and the configuration are; `None`: it has to do with neither.
    pub fn place(&self) -> Option<&Place> {
        Some(match self {
            Self::Serve(Serve { place, .. })
            | Self::Backup(Backup { place, .. })
            | Self::Restore(Restore { place, .. })
            | Self::Check(Check { place, .. })
            | Self::Prune(Prune { place, .. })
            | Self::Forget(Forget { place, .. })
            | Self::Export(Export { place, .. })
            | Self::Import(Import { place, .. })
            | Self::Token {
                command:
                    Token::Create(Create { place, .. })
                    | Token::List { place, .. }
                    | Token::Revoke { place, .. },
            } => place,
            Self::Reference { .. } => return None,
        })
    }
}

/// What there is to know.
#[derive(Debug, Subcommand)]
pub enum Reference {
    /// The sample configuration file: every option, with its default
    Config,
}

/// The command line or the configuration is wrong, in a way that the grammar does not say: exit status 2.
#[derive(Debug)]
pub struct Wrong(pub String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// The help of `--store` for commands that make one.
const MADE: &str = "The store's folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]";

/// `--listen`'s value.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an address of numbers and a port, such as 127.0.0.1:8443 or [::1]:8443 (no host name)".to_owned()
    })
}

// Where the store is, and the configuration.
#[derive(Debug, Args, Clone, PartialEq, Eq)]
pub struct Place {
    /// Read what no flag says from FILE [default: /etc/afmetrics/receiver.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store's folder [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]
    #[arg(
        long,
        value_name = "DIR",
        env = "AFMETRICS_STORE",
        hide_env_values = true
    )]
    pub store: Option<PathBuf>,
}

/// How much is logged.
#[derive(Debug, Args, Clone, PartialEq, Eq)]
pub struct Loudness {
    /// Log at level DEBUG
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args, Clone, PartialEq, Eq)]
#[command(mut_arg("store", |arg| arg.help(MADE)))]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub loudness: Loudness,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443", value_parser = address)]
    pub listen: SocketAddr,
    /// The certificate and its chain (PEM); with --tls-key. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM); with --tls-cert
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Speak plain HTTP on any address: a proxy in front does TLS; not with --tls-cert
    #[arg(long)]
    pub insecure_http: bool,
    /// Let everybody on this machine read without a token; not with --insecure-http
    #[arg(long)]
    pub trust_loopback: bool,
    /// Take also documents whose kind is not known
    #[arg(long)]
    pub accept_unknown_kinds: bool,
    /// Keep raw documents for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(32..))]
    pub keep_documents: u32,
    /// Keep summaries for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(32..))]
    pub keep_summaries: u32,
    /// Take at most so many documents a second with each token, and ten seconds' worth at once; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rate_limit: u32,
    /// Serve at most so many connections at a time
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub max_connections: u32,
    /// Cut a request off whose body does not arrive in SECONDS (and a second more for each 16 kB of it)
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub request_timeout: u32,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it; it is never shown again
    Create(Create),
    /// List the tokens, without themselves
    List {
        #[command(flatten)]
        place: Place,
        /// Print them as lines of JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Its number in the list
        id: i64,
    },
}

#[derive(Debug, Args)]
#[command(mut_arg("store", |arg| arg.help(MADE)))]
pub struct Create {
    #[command(flatten)]
    pub place: Place,
    /// The facility whose documents may be sent with it (`cluster` in them); with --viewer: that may be seen
    #[arg(long, value_name = "NAME", required_unless_present = "viewer")]
    pub facility: Option<String>,
    /// A token for reading, not for sending; without --facility, of all facilities
    #[arg(long)]
    pub viewer: bool,
    /// End it after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires: Option<u32>,
    /// What it is for, to find it in the list
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

#[derive(Debug, Args)]
pub struct Backup {
    #[command(flatten)]
    pub place: Place,
    /// The file to write, which must not be there yet; names stand in it, so only you may read it
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[command(mut_arg("store", |arg| arg.help(MADE)))]
pub struct Restore {
    #[command(flatten)]
    pub place: Place,
    /// The file that `backup` wrote
    pub file: PathBuf,
    /// If there is a store already, keep it aside under another name
    #[arg(long)]
    pub replace: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub place: Place,
    /// Also add up all raw documents again, and compare with the summaries; reads everything
    #[arg(long)]
    pub deep: bool,
}

#[derive(Debug, Args)]
pub struct Prune {
    #[command(flatten)]
    pub place: Place,
    /// Keep raw documents for so many days [default: as `serve` was told last; all if it never ran]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(32..))]
    pub keep_documents: Option<u32>,
    /// Keep summaries for so many days [default: as `serve` was told last; all if it never ran]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(32..))]
    pub keep_summaries: Option<u32>,
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Forget {
    #[command(flatten)]
    pub place: Place,
    /// The user's name as it stands in documents: the hash, if the collector publishes hashes
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub user: String,
    /// Only of this facility [default: of all]
    #[arg(long, value_name = "NAME")]
    pub facility: Option<String>,
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub place: Place,
    /// Lines of JSON, as `import` reads them (the default)
    #[arg(long, conflicts_with = "csv")]
    pub ndjson: bool,
    /// CSV with a header, of one kind: what the kind has no column for is in the last one, as JSON
    #[arg(long, requires = "kind")]
    pub csv: bool,
    /// Only of this facility; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub facility: Vec<String>,
    /// Only of this kind, such as condorjob or slurmjob; may be given more than once, but not with --csv
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// From this time on: 2026-11-23T00:00:00Z, a date (UTC), now, or a time ago such as -24h or -7d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Leave out what is damaged and go on; the exit status is 1 then, too
    #[arg(long)]
    pub skip_damaged: bool,
    /// The file to write, which must not be there yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(mut_arg("store", |arg| arg.help(MADE)))]
pub struct Import {
    #[command(flatten)]
    pub place: Place,
    /// The files; `-`: standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The time of documents that say none, such as 2026-11-23T04:05:06Z [default: when the file was changed last]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub time: Option<String>,
    /// Take also documents whose kind is not known
    #[arg(long)]
    pub accept_unknown_kinds: bool,
}
