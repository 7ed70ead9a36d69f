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
pub mod layers;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod pages;
pub mod panels;
pub mod refusals;
pub mod reload;
pub mod serve;
pub mod standing;
pub mod store;
pub mod tokens;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use afmetrics_settings::Unusable;
use cli::{Command, Reference, Wrong};
use layers::Asked;

/// Runs a command line to its end. Exit status: 0 done, 1 it failed, 2 the command line or the configuration
/// is wrong.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let asked = match layers::read(&words, &config::variables()) {
        Ok(asked) => asked,
        Err(Unusable::CommandLine(why)) => {
            let code = if why.use_stderr() { 2 } else { 0 };
            let _ = why.print();
            return ExitCode::from(code);
        }
        Err(Unusable::Settings(why)) => {
            eprintln!("afmetrics_receiver: {why}");
            return ExitCode::from(2);
        }
    };
    // Names stand in what it writes.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let done = match &asked.cli.command {
        Command::Serve(serve) => {
            log::open(serve.loudness.verbose);
            remark(&asked);
            serve::run(serve, &|| reload::read(&words, &asked))
        }
        Command::Token { command } => commands::token::run(command),
        Command::Backup(command) => commands::backup::backup(command),
        Command::Restore(command) => commands::backup::restore(command),
        Command::Check(command) => commands::check::run(command),
        Command::Prune(command) => commands::prune::run(command),
        Command::Forget(command) => commands::forget::run(command),
        Command::Export(command) => commands::export::run(command),
        Command::Import(command) => commands::import::run(command),
        Command::Reference {
            of: Reference::Config,
        } => {
            // A reader that has enough is no error.
            let _ = std::io::stdout().write_all(layers::PROGRAM.sample().as_bytes());
            Ok(())
        }
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

/// Says by what `serve` goes.
fn remark(asked: &Asked) {
    for warning in &asked.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(file) = &asked.file {
        tracing::info!("configured by {}", file.display());
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
