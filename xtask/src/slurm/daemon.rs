//! One daemon: how it is started, whether it answers, and how it is stopped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use super::folder::{CLUSTER, Folder};
use crate::programs::program;

/// One that ends is started again after this time.
const PAUSE: Duration = Duration::from_secs(1);
/// For one that was told to end.
const GRACE: Duration = Duration::from_secs(10);

/// What Slurm consists of, each after those that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Munged,
    Mariadbd,
    Slurmdbd,
    Slurmctld,
    Slurmd,
}

pub const ALL: [Which; 5] = [
    Which::Munged,
    Which::Mariadbd,
    Which::Slurmdbd,
    Which::Slurmctld,
    Which::Slurmd,
];

impl Which {
    pub fn name(self) -> &'static str {
        match self {
            Self::Munged => "munged",
            Self::Mariadbd => "mariadbd",
            Self::Slurmdbd => "slurmdbd",
            Self::Slurmctld => "slurmctld",
            Self::Slurmd => "slurmd",
        }
    }

    /// The daemon, in the foreground, so that it stays our child.
    fn command(self, folder: &Folder) -> Result<Command> {
        let mut command = bare(self.name(), folder);
        command.env("MYSQL_UNIX_PORT", folder.mysql_socket());
        match self {
            Self::Munged => {
                let user = User::from_name("munge")?.context("there is no user munge here")?;
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
                let munge = folder.path().join("munge");
                let option =
                    |name: &str, file: &str| format!("--{name}={}/{file}", munge.display());
                command.arg("--foreground").args([
                    option("socket", "socket"),
                    option("key-file", "key"),
                    option("seed-file", "seed"),
                    option("log-file", "log"),
                    option("pid-file", "pid"),
                ]);
            }
            Self::Mariadbd => {
                let option = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
                command.args([
                    "--no-defaults",
                    "--user=mysql",
                    "--skip-networking",
                    "--skip-log-bin",
                    "--innodb-log-file-size=32M",
                    "--innodb-lock-wait-timeout=900",
                    // What is lost with the machine is of no use to anybody.
                    "--innodb-flush-log-at-trx-commit=0",
                ]);
                command.args([
                    option("datadir", folder.path().join("mysql/data")),
                    option("socket", folder.mysql_socket()),
                    option("pid-file", folder.path().join("mysql/pid")),
                ]);
            }
            Self::Slurmdbd | Self::Slurmctld | Self::Slurmd => {
                command.arg("-D");
            }
        }
        Ok(command)
    }

    /// What has to be done once before it is started.
    fn prepare(self, folder: &Folder) -> Result<()> {
        if self != Self::Mariadbd {
            return Ok(());
        }
        let mut install = bare("mariadb-install-db", folder);
        install
            .args(["--no-defaults", "--user=mysql", "--skip-test-db"])
            .arg("--auth-root-authentication-method=socket")
            .arg(format!("--datadir={}/mysql/data", folder.path().display()));
        ends_well(&mut install)
    }

    /// Whether it does what it is there for, asked in the way of a client; what the database needs to know
    /// is told to it by that.
    fn answers(self, folder: &Folder) -> Result<()> {
        match self {
            Self::Munged => ends_well(
                client("munge", folder)
                    .arg("--no-input")
                    .arg("--socket")
                    .arg(folder.munge_socket()),
            ),
            // Slurm's user is known by its id over the socket: there is no password.
            Self::Mariadbd => ends_well(
                client("mariadb", folder)
                    .args(["--no-defaults", "--user=root", "--execute"])
                    .arg(
                        "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
                         CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED VIA unix_socket;
                         GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost'",
                    )
                    .arg(format!("--socket={}", folder.mysql_socket().display())),
            ),
            Self::Slurmdbd => {
                let of_it = [
                    "--noheader",
                    "show",
                    "cluster",
                    CLUSTER,
                    "format=cluster%40",
                ];
                let known = says(client("sacctmgr", folder).args(of_it))?;
                match known.trim() == CLUSTER {
                    true => Ok(()),
                    false => ends_well(client("sacctmgr", folder).args([
                        "--immediate",
                        "add",
                        "cluster",
                        CLUSTER,
                    ])),
                }
            }
            Self::Slurmctld => ends_well(client("scontrol", folder).arg("ping")),
            Self::Slurmd => {
                let state = says(client("sinfo", folder).args(["--noheader", "--format=%t"]))?;
                let is_up = state
                    .lines()
                    .all(|line| matches!(line, "idle" | "mix" | "alloc"));
                if state.is_empty() || !is_up {
                    bail!("its node is {:?}", state.trim());
                }
                Ok(())
            }
        }
    }
}

/// A daemon, running or not.
pub struct Daemon {
    pub which: Which,
    pid: Option<Pid>,
    started: Option<Instant>,
    told_to_end: Option<Instant>,
}

impl Daemon {
    pub fn new(which: Which) -> Self {
        Self {
            which,
            pid: None,
            started: None,
            told_to_end: None,
        }
    }

    /// Starts it and waits until it answers, unless it ends, or it `is_over`.
    pub fn start_well(&mut self, folder: &Folder, is_over: &dyn Fn() -> bool) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let name = self.which.name();
        self.which
            .prepare(folder)
            .with_context(|| name.to_owned())?;
        self.start(folder)?;
        let begun = Instant::now();
        loop {
            let Err(why) = self.which.answers(folder) else {
                return Ok(());
            };
            let has_ended = reaped().iter().any(|pid| self.has_ended(*pid));
            if is_over() {
                bail!("told to end before {name} was up");
            }
            if has_ended || begun.elapsed() > PATIENCE {
                let log = last_lines(&log(folder, self.which));
                bail!("{name} does not come up: {why:#}; it said:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start(&mut self, folder: &Folder) -> Result<()> {
        let name = self.which.name();
        let said = File::options()
            .create(true)
            .append(true)
            .open(log(folder, self.which))
            .with_context(|| format!("the log of {name}"))?;
        let mut command = self.which.command(folder)?;
        let child = command
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        fs::write(pid_file(folder, self.which), format!("{pid}\n"))?;
        (self.pid, self.started, self.told_to_end) = (Some(pid), Some(Instant::now()), None);
        Ok(())
    }

    /// Does the next thing there is to do, so that it runs, or does not while there is a file of its name in
    /// `stopped`.
    pub fn see_to(&mut self, folder: &Folder) -> Result<()> {
        let is_wanted = !folder
            .path()
            .join("stopped")
            .join(self.which.name())
            .exists();
        match (self.pid, self.told_to_end) {
            (None, _) if is_wanted && self.started.is_none_or(|at| at.elapsed() >= PAUSE) => {
                self.start(folder)
            }
            (Some(pid), None) if !is_wanted => {
                self.told_to_end = Some(Instant::now());
                Ok(kill(pid, Signal::SIGTERM)?)
            }
            (Some(pid), Some(at)) if at.elapsed() > GRACE => Ok(kill(pid, Signal::SIGKILL)?),
            _ => Ok(()),
        }
    }

    /// Takes note of the end of this process, if it was this daemon's.
    pub fn has_ended(&mut self, pid: Pid) -> bool {
        let is_own = self.pid == Some(pid);
        if is_own {
            self.pid = None;
        }
        is_own
    }

    /// Removes the file that says which process it is: it is there while the daemon is.
    pub fn forget(&self, folder: &Folder) {
        // It may not be there.
        let _ = fs::remove_file(pid_file(folder, self.which));
    }
}

/// The children of ours that have ended since the last call.
pub fn reaped() -> Vec<Pid> {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    let next = || {
        waitpid(None, Some(WaitPidFlag::WNOHANG))
            .ok()
            .and_then(|status| status.pid())
    };
    std::iter::from_fn(next).collect()
}

fn pid_file(folder: &Folder, which: Which) -> PathBuf {
    folder.path().join(format!("run/{}.pid", which.name()))
}

/// What it writes to its standard output and error.
fn log(folder: &Folder, which: Which) -> PathBuf {
    folder.path().join(format!("log/{}.out", which.name()))
}

fn last_lines(log: &std::path::Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// A client, which must not take long: a daemon that hangs is asked again.
fn client(name: &str, folder: &Folder) -> Command {
    let mut client = bare("timeout", folder);
    client.args(["20", name]);
    client
}

/// A program that sees nothing of our environment: a user's settings for Slurm's tools change what they say.
fn bare(name: &str, folder: &Folder) -> Command {
    let mut command = program(name);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SLURM_CONF", folder.slurm_conf());
    command
}

fn ends_well(command: &mut Command) -> Result<()> {
    says(command).map(drop)
}

/// What it prints, if it ends well; an error tells what it complained about.
fn says(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| command.get_program().to_string_lossy().into_owned())?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}, {}", output.status, why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
