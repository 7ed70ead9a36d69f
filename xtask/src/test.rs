//! `cargo xtask test`: every test there is, with what they need installed first.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::install;

pub fn run(words: &[String]) -> Result<()> {
    let all_is_there = install::needed()?;
    let mut test = workspace_tests();
    test.args(words);
    // As root with everything there, a test that is left out is a failure.
    if all_is_there && install::is_root() {
        test.env("AFMETRICS_TEST_ALL", "1");
    }
    ends_well(&mut test)
}

/// `cargo test` of the whole workspace.
pub fn workspace_tests() -> Command {
    let mut test = program("cargo");
    test.args(["test", "--workspace"]);
    test
}

/// A program; `cargo` is the one that runs us.
#[expect(
    clippy::disallowed_methods,
    reason = "these commands are there to start programs; cargo names itself in the environment"
)]
pub fn program(program: impl AsRef<OsStr>) -> Command {
    match std::env::var_os("CARGO") {
        Some(cargo) if program.as_ref() == "cargo" => Command::new(cargo),
        _ => Command::new(program),
    }
}

/// Runs it, with our output as its own.
pub fn ends_well(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}
