//! `cargo xtask slurm`: a Slurm of one node on loopback, made of Debian's packages, in a folder of its own, for
//! the tests and for who works with it. Another Slurm, munge or MariaDB of the machine is left alone.
//!
//! A process of its own keeps it (`keeper`), and ends when we do, in whatever way.

mod daemon;
mod folder;
mod keeper;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::demo::{End, duration};
use crate::install;
use crate::programs::program;

const USAGE: &str = "cargo xtask slurm [--for TIME]
  --for TIME  end after this time (30s, 5m, 1h); without it: at Ctrl-C";
/// Said to this program by itself.
const KEEPER: &str = "--be-the-keeper";

/// Where the tests find a Slurm: the variable of the environment that has the path of [`Slurm::folder`].
pub const VARIABLE: &str = "AFMETRICS_TEST_SLURM";

pub fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let time = match words[..] {
        [] => None,
        [KEEPER] => return keeper::keep(),
        ["--for", time] => Some(duration(time)?),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => bail!("`{}` is nothing that it knows:\n{USAGE}", words.join(" ")),
    };
    if !install::is_root() {
        bail!("daemons of several users, and jobs of several users, need root");
    }
    install::needed()?;
    let mut end = Waiting::new(time)?;
    let slurm = Slurm::start()?;
    say_where(slurm.folder());
    end.wait();
    slurm.stop()
}

fn say_where(folder: &Path) {
    let folder = folder.display();
    println!(
        "
  talk to it       export SLURM_CONF={folder}/slurm.conf
                   squeue, sbatch --uid=games --wrap 'sleep 60', sacct -a, scontrol show config
  the tests on it  {VARIABLE}={folder} cargo test -p afmetrics-collector --test it slurm
  stop a daemon    touch {folder}/stopped/slurmctld      (or slurmdbd, slurmd, mariadbd, munged)
  start it again   rm {folder}/stopped/slurmctld
  logs             {folder}/log

Ctrl-C ends it and removes the folder.
"
    );
}

/// A Slurm that runs; it ends when this is dropped.
pub struct Slurm {
    /// It ends at the end of its standard input.
    keeper: Child,
    folder: PathBuf,
}

impl Slurm {
    /// Starts one and waits until jobs can be submitted: some five seconds.
    pub fn start() -> Result<Self> {
        // Somebody may take a port between its choice and its use.
        Self::start_once().or_else(|why| {
            println!("Slurm: {why:#}; once more");
            Self::start_once()
        })
    }

    fn start_once() -> Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let mut keeper = program(own)
            .args(["slurm", KEEPER])
            // Ctrl-C is not for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start what keeps Slurm")?;
        let stdout = keeper.stdout.take().context("it has no output")?;
        let mut folder = String::new();
        BufReader::new(stdout).read_line(&mut folder)?;
        if folder.is_empty() {
            let status = keeper.wait()?;
            bail!("Slurm does not come up, see above ({status})");
        }
        Ok(Self {
            keeper,
            folder: folder.trim_end().into(),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops all of it and removes the folder.
    pub fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        if !status.success() {
            bail!("what keeps Slurm ended with {status}");
        }
        Ok(())
    }

    fn end(&mut self) -> Result<std::process::ExitStatus> {
        drop(self.keeper.stdin.take());
        Ok(self.keeper.wait()?)
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // What went wrong has been said.
        let _ = self.end();
    }
}

/// Waits for the end, that is for a time or for somebody who says so.
struct Waiting {
    runtime: tokio::runtime::Runtime,
    end: End,
}

impl Waiting {
    fn new(time: Option<Duration>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let end = End::new(time)?;
        drop(guard);
        Ok(Self { runtime, end })
    }

    fn wait(&mut self) {
        self.runtime.block_on(self.end.wait_for());
    }
}
