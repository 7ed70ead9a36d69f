//! The programs of the demo: started in process groups of their own, so that Ctrl-C reaches only us and we end
//! them in order; and ended by their own id.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::folder::Folder;
use super::within;
use crate::programs::program;

pub struct Binaries {
    collector: PathBuf,
    receiver: PathBuf,
    /// Makes a history up.
    history: PathBuf,
    has_slurm: bool,
}

impl Binaries {
    pub fn beside_us() -> Result<Self> {
        let target = super::target()?;
        Ok(Self {
            collector: target.join("afmetrics_collector"),
            receiver: target.join("afmetrics_receiver"),
            history: target.join("examples/history"),
            has_slurm: has_slurm(),
        })
    }

    #[cfg(test)]
    pub fn are_there(&self) -> bool {
        self.collector.exists() && self.receiver.exists()
    }

    /// Makes a token.
    pub async fn token(&self, folder: &Folder, words: &[&str]) -> Result<String> {
        let mut create = command(&self.receiver);
        create
            .args(["token", "create", "--store"])
            .arg(folder.store())
            .args(words);
        let made = within(30, "token create", create.output()).await??;
        if !made.status.success() {
            bail!("token create: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(String::from_utf8(made.stdout)?.trim().to_owned())
    }

    /// Begins to fill the store with history.
    pub fn history(&self, folder: &Folder) -> Result<Child> {
        let mut fill = command(&self.history);
        fill.arg(folder.store());
        fill.spawn().context("cannot start to make a history")
    }

    /// Begins a round of all that this machine has.
    pub fn round(&self, folder: &Folder, url: &str, facility: &str) -> Result<Child> {
        let mut round = command(&self.collector);
        round.args(["-v", "-s", "--host", "--heartbeat"]);
        if is_on_path("condor_q") {
            round.arg("-b");
        }
        if self.has_slurm {
            round.arg("--slurm");
        }
        if has_kubeconfig() {
            round.arg("-j");
        }
        // A machine without /home, /data and /scratch has a disk, too.
        round.args(["--mount", "/", "-c", facility, "-u"]);
        round.arg(format!("{url}/"));
        round.arg("--token-file").arg(folder.sender_token());
        round.arg("--ca-file").arg(folder.ca());
        round.arg("--state-dir").arg(folder.state());
        round.spawn().context("cannot start the collector")
    }
}

/// A receiver that runs.
pub struct Receiver {
    child: Child,
    pub url: String,
}

impl Receiver {
    /// Starts it on a free port, with TLS if there is a certificate, and waits until it listens.
    pub async fn start(binaries: &Binaries, folder: &Folder) -> Result<Self> {
        let mut serve = command(&binaries.receiver);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--store"]);
        serve.arg(folder.store());
        if folder.certificate().exists() {
            serve.arg("--tls-cert").arg(folder.certificate());
            serve.arg("--tls-key").arg(folder.key());
        }
        serve.stderr(Stdio::piped());
        let mut child = serve.spawn().context("cannot start the receiver")?;
        let stderr = child.stderr.take().context("the receiver has no log")?;
        let mut lines = BufReader::new(stderr).lines();
        let url = within(60, "the receiver's start", url(&mut lines)).await??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        Ok(Self { child, url })
    }

    /// When it ends, how it did.
    pub async fn wait(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(why) => why.to_string(),
        }
    }

    pub async fn stop(self) -> Result<()> {
        let status = stop(self.child, "the receiver").await?;
        if !status.success() {
            bail!("the receiver ended with {status}");
        }
        Ok(())
    }
}

async fn url(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<String> {
    while let Some(line) = lines.next_line().await? {
        eprintln!("{line}");
        let said = line.split_once(" listens on ");
        if let Some((url, _)) = said.and_then(|(_, rest)| rest.split_once("/,")) {
            return Ok(url.to_owned());
        }
    }
    bail!("the receiver did not start")
}

/// Asks a program to end and waits for that; who does not in time is killed.
pub async fn stop(mut child: Child, name: &str) -> Result<ExitStatus> {
    if let Some(id) = child.id() {
        // It may have ended just now.
        let _ = kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM);
    }
    match within(30, name, child.wait()).await {
        Ok(status) => Ok(status?),
        Err(why) => {
            child.kill().await?;
            Err(why)
        }
    }
}

fn command(path: &Path) -> Command {
    let mut command = Command::from(program(path));
    command
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        // What a person has set for real ones.
        .env_remove("AFMETRICS_TOKEN")
        .env_remove("AFMETRICS_SALT")
        .env_remove("AFMETRICS_STORE")
        .env_remove("STATE_DIRECTORY")
        .env("AFMETRICS_CONFIG", "/dev/null")
        .env("AFMETRICS_RECEIVER_CONFIG", "/dev/null");
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "what this machine has is said in the environment"
)]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether a controller answers: its tools can be here without it, as the tests want them. Where its
/// configuration is missing, they would try for a minute.
fn has_slurm() -> bool {
    let mut ping = program("timeout");
    ping.args(["5", "scontrol", "ping"]);
    ping.stdout(Stdio::null()).stderr(Stdio::null());
    ping.status().is_ok_and(|status| status.success())
}

fn is_on_path(name: &str) -> bool {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn has_kubeconfig() -> bool {
    let own = variable("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let named = variable("KUBECONFIG").is_some();
    named || own.is_some_and(|file| file.is_file())
}
