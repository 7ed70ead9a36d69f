//! How these commands start programs.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

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
