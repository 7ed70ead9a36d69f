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
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| program.as_ref() == "cargo") else {
        return Command::new(program);
    };
    let mut command = Command::new(cargo);
    // What it says of our package. A build script that asks for it (ring's) would run again each time somebody
    // changes between `cargo xtask` and `cargo`, and all that depends on it would be built anew.
    for (name, _) in std::env::vars_os() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b"CARGO_PKG_") || bytes.starts_with(b"CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
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
