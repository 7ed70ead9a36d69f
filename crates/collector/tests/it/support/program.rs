//! The real binary in a world of its own: a root folder, a `PATH`, a home, a current directory, and
//! an environment without anything of the machine's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::endpoint::Endpoint;

/// Where the binary finds its world.
pub struct World {
    dir: TempDir,
    env: BTreeMap<String, OsString>,
}

/// What a run left.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A program under way. Whatever ends the test, it does not outlive it.
pub struct Started(Option<Child>);

impl Started {
    pub fn of(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn kill(&mut self) {
        self.0.as_mut().unwrap().kill().unwrap();
    }

    /// How it ended, if it has: 0 to 255, or -1 if a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.0.as_mut().unwrap().try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for its end; of its output there is what goes to a pipe.
    pub fn ends(mut self) -> Run {
        Run::from(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl World {
    /// Folders `root`, `bin`, `home`, `cwd`, `state`; `PATH` is `bin` alone.
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["root", "bin", "home", "cwd", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut world = Self {
            dir,
            env: BTreeMap::new(),
        };
        let (bin, home) = (world.path("bin"), world.path("home"));
        world.env("PATH", bin);
        world.env("HOME", home);
        // Not the file that this machine may have.
        world.env("AFMETRICS_CONFIG", "/dev/null");
        world
    }

    /// A path in this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Writes a file of the host: `path` is below the root.
    pub fn file(&mut self, path: &str, content: impl AsRef<[u8]>) -> &mut Self {
        let path = self.path("root").join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Puts a program on `PATH`: a shell script. It finds nothing else there, so it names what it
    /// runs by path (`/usr/bin/cat`).
    pub fn program(&mut self, name: &str, script: &str) -> &mut Self {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A batch head node with these jobs in its queue and none in its history.
    pub fn batch_node(&mut self, queue: &str) -> &mut Self {
        let path = self.path("queue.json");
        fs::write(&path, queue).unwrap();
        self.program("condor_q", &format!("exec /usr/bin/cat {}", path.display()))
            .program("condor_history", "echo [; echo ]")
    }

    /// What a healthy host has in /proc and /run.
    pub fn healthy_host(&mut self) -> &mut Self {
        let uptime = fs::read("/proc/uptime").unwrap();
        self.file("/proc/loadavg", "2.34 3.47 4.72 2/194 29805\n")
            .file(
                "/proc/meminfo",
                "MemTotal:       24684092 kB\nMemFree:        20347960 kB\nMemAvailable:   23356828 kB\n",
            )
            .file("/proc/uptime", uptime)
            .file(
                "/proc/sys/kernel/random/boot_id",
                "5b4b5f0e-0000-4000-8000-000000000001\n",
            )
            .file(
                "/proc/1/net/dev",
                "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 2556518078  970558    0    0    0     0          0         0 2556518078  970558    0    0    0     0       0          0
  eth0: 588187441   23045    0    0    0     0          0         0  1770434   14819    0    0    0     0       0          0
",
            )
            .file("/proc/1/mounts", "/dev/vda / ext4 rw 0 0\n")
            .file("/run/utmp", "")
    }

    /// The binary with this world's environment and folders, ready to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let state = self.path("state");
        let state = ["--state-dir", state.to_str().unwrap()];
        self.command_without_state_dir(&[&state, args].concat())
    }

    /// The same, but where state is kept is the program's choice.
    pub fn command_without_state_dir(&self, args: &[&str]) -> Command {
        let root = self.path("root");
        self.bare_command(&[&["--root", root.to_str().unwrap()], args].concat())
    }

    /// `spool COMMAND`, for this world's state folder.
    pub fn spool(&self, args: &[&str]) -> Run {
        Run::of(self.spool_command(args))
    }

    pub fn spool_command(&self, args: &[&str]) -> Command {
        let (root, state) = (self.path("root"), self.path("state"));
        let place = [
            "--root",
            root.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
        ];
        self.bare_command(&[&["spool"], args, &place].concat())
    }

    /// A line for the shell, with this world's environment, in this folder.
    pub fn shell(&self, line: &str, folder: &Path) -> Command {
        #[expect(clippy::disallowed_methods, reason = "what a page tells to type")]
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", line])
            .env_clear()
            .envs(&self.env)
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    /// With these arguments alone.
    pub fn bare_command(&self, args: &[&str]) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts the program itself"
        )]
        let mut command = Command::new(env!("CARGO_BIN_EXE_afmetrics_collector"));
        command
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.path("cwd"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args))
    }

    /// Runs the binary with `--print`.
    pub fn print(&self, args: &[&str]) -> Run {
        self.run(&[&["--print"], args].concat())
    }

    /// Runs the round of a recording.
    pub fn replay(&self, recording: &Path) -> Run {
        Run::of(self.bare_command(&["replay", recording.to_str().unwrap(), "-vv"]))
    }

    /// Runs the binary against an endpoint, with a token.
    pub fn deliver(&self, endpoint: &Endpoint, args: &[&str]) -> Run {
        let ca = endpoint.ca.path().to_str().unwrap();
        let to = ["-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
        self.run(&[&to, args].concat())
    }

    /// The names in a folder of this world, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

/// The token of [`World::deliver`].
pub const TOKEN: &str = "t0ken-of-the-tests";

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// So many jobs as `condor_q` prints them: 1.0, 1.1 and so on, all of this owner.
pub fn jobs(count: usize, owner: &str) -> String {
    let jobs: Vec<String> = (0..count)
        .map(|number| {
            format!(
                "{{\n  \"ClusterId\": 1,\n  \"JobStatus\": 2,\n  \"Owner\": \"{owner}\",\n  \"ProcId\": {number},\n  \"RemoteWallClockTime\": 38.0\n}}\n"
            )
        })
        .collect();
    format!("[\n{}]\n", jobs.join(",\n"))
}

impl Run {
    /// Runs a command to its end. A program that was just written may still be open in a child that another test
    /// is about to start, and cannot be run for that moment.
    pub fn of(mut command: Command) -> Self {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            match command.output() {
                Err(why)
                    if why.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < patience =>
                {
                    thread::sleep(Duration::from_millis(10));
                }
                output => return Self::from(output.unwrap()),
            }
        }
    }

    /// The documents on standard output (`--print`).
    pub fn documents(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Asserts the exit status, and shows the log if it is another.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stderr:\n{}", self.stderr);
        self
    }

    /// Asserts that the log has a line with this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in the log:\n{}",
            self.stderr
        );
        self
    }

    /// Asserts that this text is nowhere in the log, nor on standard output.
    #[track_caller]
    pub fn lacks(self, text: &str) -> Self {
        let said = format!("{}{}", self.stdout, self.stderr);
        assert!(!said.contains(text), "{text:?} is in the log:\n{said}");
        self
    }

    /// How many lines of the log have this text.
    pub fn lines_with(&self, text: &str) -> usize {
        self.stderr
            .lines()
            .filter(|line| line.contains(text))
            .count()
    }
}
