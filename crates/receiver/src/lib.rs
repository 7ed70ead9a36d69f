//! `afmetrics_receiver`: takes documents, keeps them, answers questions about them.

pub mod answer;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod documents;
pub mod draw;
pub mod health;
pub mod ingest;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod pages;
pub mod panels;
pub mod refusals;
pub mod serve;
pub mod standing;
pub mod store;
pub mod tokens;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, Wrong};

/// Runs a command line to its end. Exit status: 0 done, 1 it failed, 2 the command line is wrong.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(why) => {
            let code = if why.use_stderr() { 2 } else { 0 };
            let _ = why.print();
            return ExitCode::from(code);
        }
    };
    // Names stand in what it writes.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let done = match &cli.command {
        Command::Serve(serve) => {
            log::open(serve.loudness.verbose);
            serve::run(serve)
        }
        Command::Token { command } => commands::token::run(command),
        Command::Backup(command) => commands::backup::backup(command),
        Command::Restore(command) => commands::backup::restore(command),
        Command::Check(command) => commands::check::run(command),
        Command::Prune(command) => commands::prune::run(command),
        Command::Forget(command) => commands::forget::run(command),
        Command::Export(command) => commands::export::run(command),
        Command::Import(command) => commands::import::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("afmetrics_receiver: {}", told(&why));
            match why.is::<Wrong>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// An error and its causes. SQLite's codes are left out: they say once more what stands before them.
fn told(why: &anyhow::Error) -> String {
    let causes: Vec<String> = why
        .chain()
        .filter(|cause| !cause.is::<rusqlite::ffi::Error>())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}
