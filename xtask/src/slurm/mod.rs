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
use std::process::{Child, ExitStatus, Stdio};
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
    if !install::slurm()? {
        bail!("not all of Slurm's packages are there, see above");
    }
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
                   squeue, sbatch --uid=games -D /tmp -o /dev/null --wrap 'sleep 60', sacct -a, scontrol show config
  the tests on it  {VARIABLE}={folder} cargo test -p afmetrics-collector --test it slurm
  stop a daemon    touch {folder}/stopped/slurmctld      (or slurmdbd, slurmd, mariadbd, munged)
  start it again   rm {folder}/stopped/slurmctld
  logs             {folder}/log

Ctrl-C ends it and removes the folder.
"
    );
}

/// One for the tests, if it can be had. That it cannot is a failure only where all tests are wanted. None if the
/// tests have been told of another.
pub fn for_tests() -> Result<Option<Slurm>> {
    if is_told() || !install::is_root() || !install::slurm_is_there() {
        return Ok(None);
    }
    match Slurm::start() {
        Ok(slurm) => Ok(Some(slurm)),
        Err(why) if install::all_are_wanted() => Err(why),
        Err(why) => {
            println!("{why:#}; its tests are left out");
            Ok(None)
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is said in the environment"
)]
fn is_told() -> bool {
    std::env::var_os(VARIABLE).is_some()
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
        Self::kept_by(&std::env::current_exe().context("where is this program?")?)
    }

    /// `xtask`: this program.
    fn kept_by(xtask: &Path) -> Result<Self> {
        let mut keeper = program(xtask)
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

    fn end(&mut self) -> Result<ExitStatus> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;
    use crate::programs::ends_well;

    /// Whether something becomes so within this time.
    fn within(seconds: u64, is_so: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > Duration::from_secs(seconds) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn says(folder: &Path, program_and_args: &[&str]) -> String {
        let output = program("timeout")
            .arg("20")
            .args(program_and_args)
            .env("SLURM_CONF", folder.join("slurm.conf"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn pid(folder: &Path, daemon: &str) -> Option<String> {
        fs::read_to_string(folder.join(format!("run/{daemon}.pid"))).ok()
    }

    /// Processes whose command line has this.
    fn with(text: &str) -> usize {
        let processes = fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains(text))
            .count()
    }

    /// The whole life of one: a job, a daemon that is stopped and comes back, and then its keeper's input ends, as
    /// it does when this process is killed.
    #[test]
    fn nothing_is_left_of_a_slurm_and_no_other_is_touched() {
        if !install::is_root() || !install::slurm_is_there() {
            assert!(
                !install::all_are_wanted(),
                "it needs root, and Slurm's packages"
            );
            println!("LEFT OUT: it needs root, and Slurm's packages");
            return;
        }
        // `cargo xtask test` has built it just now.
        ends_well(program("cargo").args(["build", "--quiet", "--package", "xtask"])).unwrap();
        let own = std::env::current_exe().unwrap();
        let xtask = own.parent().unwrap().parent().unwrap().join("xtask");
        let other = Slurm::kept_by(&xtask).unwrap();
        let slurm = Slurm::kept_by(&xtask).unwrap();
        let folder = slurm.folder().to_owned();
        // A number of seconds that nobody else sleeps.
        let sleep = format!("sleep {}1", std::process::id());
        let asleep = sleep.replace(' ', "\0");
        says(
            &folder,
            &[
                "sbatch",
                "--chdir=/",
                "--output=/dev/null",
                "--wrap",
                &sleep,
            ],
        );
        assert!(within(30, || with(&asleep) > 0));

        let before = pid(&folder, "slurmctld").unwrap();
        fs::write(folder.join("stopped/slurmctld"), "").unwrap();
        assert!(within(30, || pid(&folder, "slurmctld").is_none()));
        fs::remove_file(folder.join("stopped/slurmctld")).unwrap();
        assert!(within(30, || says(&folder, &["scontrol", "ping"]).contains(" UP")));
        assert_ne!(pid(&folder, "slurmctld").unwrap(), before);

        slurm.stop().unwrap();
        assert!(!folder.exists());
        assert_eq!(with(&asleep), 0);
        assert_eq!(with(&folder.display().to_string()), 0);
        assert!(says(other.folder(), &["squeue", "--noheader"]).is_empty());
        assert!(says(other.folder(), &["scontrol", "ping"]).contains(" UP"));
    }
}
