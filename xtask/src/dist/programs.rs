//! How this command runs others: bounded in time, or for what they print.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::programs::program;

/// What a program printed on standard output.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !out.status.success() {
        bail!("{name} ended with {}", out.status);
    }
    Ok(out.stdout)
}

/// The same, as text.
pub fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(output(command)?)?)
}

/// A program that is ended after some seconds.
pub fn bounded(seconds: u32, name: impl AsRef<OsStr>) -> Command {
    let mut command = program("timeout");
    command
        .args(["--kill-after=10", &seconds.to_string()])
        .arg(name);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "these commands are told by cargo and the shell where things are"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
