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
    /// Take documents and answer questions, until SIGTERM
    Serve(Serve),
    /// Make, list and revoke tokens; a running receiver follows within a second
    Token {
        #[command(subcommand)]
        command: Token,
    },
}

/// Where the store is.
#[derive(Debug, Args, Clone)]
pub struct Place {
    /// The store's folder; it is made where there is none [default: $STATE_DIRECTORY, else /var/lib/afmetrics_receiver]
    #[arg(
        long,
        value_name = "DIR",
        env = "AFMETRICS_STORE",
        hide_env_values = true
    )]
    pub store: Option<PathBuf>,
}

/// How much is logged.
#[derive(Debug, Args, Clone)]
pub struct Loudness {
    /// Log at level DEBUG
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub loudness: Loudness,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// The certificate and its chain (PEM); with --tls-key. Read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Speak plain HTTP on any address: a proxy in front does TLS
    #[arg(long, conflicts_with = "tls_cert")]
    pub insecure_http: bool,
    /// Let everybody on this machine read without a token
    #[arg(long, conflicts_with = "insecure_http")]
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
    /// Take at most so many documents a second with each token; 0: no limit
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
    #[arg(long, value_name = "DAYS")]
    pub expires: Option<u32>,
    /// What it is for, to find it in the list
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}
