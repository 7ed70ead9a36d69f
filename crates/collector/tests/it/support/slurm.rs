//! A real Slurm, which `cargo xtask test` (or `cargo xtask slurm`) has started: jobs of several users, what
//! Slurm's own tools say of them, and daemons that are stopped for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::{plain, within};
use super::needs;
use super::program::{Run, World};

/// For what takes seconds on an idle machine: a time limit is looked at every 30 s, and slurmctld may take 20 s to
/// find its slurmdbd again.
const PATIENCE: Duration = Duration::from_secs(90);
/// Says where its folder is.
const VARIABLE: &str = "AFMETRICS_TEST_SLURM";
/// Slurm takes no operator without an account.
const ACCOUNT: &str = "operators";

/// A running Slurm. It has one queue, so one test at a time uses it.
pub struct Slurm {
    folder: PathBuf,
}

/// A job as `scontrol show job` tells it: `JobId`, `JobState` and so on.
pub type Told = BTreeMap<String, String>;

impl Slurm {
    /// The one that runs; if none does, the test is left out.
    pub fn there() -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "how the tests are run is no business of the program's"
        )]
        let Some(folder) = std::env::var_os(VARIABLE) else {
            needs::left_out(
                "it needs a Slurm, as cargo xtask test and cargo xtask slurm start one",
            );
            return None;
        };
        let folder = PathBuf::from(folder);
        assert!(
            folder.join("slurm.conf").exists(),
            "{VARIABLE}: no slurm.conf in {}",
            folder.display()
        );
        Some(Self { folder })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A world whose collector sees this Slurm, and nothing else of the machine.
    pub fn world(&self) -> World {
        let mut world = World::new();
        world.healthy_host();
        world
            .env("PATH", "/usr/bin:/bin")
            .env("SLURM_CONF", self.path("slurm.conf"));
        world
    }

    /// One of Slurm's tools, with times in seconds.
    fn tool(&self, program: &str, args: &[&str]) -> Command {
        let mut command = plain("timeout");
        command
            .args(["30", program])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC0")
            .env("SLURM_TIME_FORMAT", "%s")
            .env("SLURM_CONF", self.path("slurm.conf"));
        command
    }

    /// What one of Slurm's tools prints.
    #[track_caller]
    pub fn says(&self, program: &str, args: &[&str]) -> String {
        let run = Run::of(self.tool(program, args));
        assert_eq!(run.status, 0, "{program} {args:?}: {}", run.stderr);
        run.stdout
    }

    /// Submits a job as this user, who needs no name; returns its id.
    #[track_caller]
    pub fn submit(&self, uid: u32, options: &[&str], script: &str) -> String {
        let uid = uid.to_string();
        let mut args = vec!["--reuid", &uid, "--regid", &uid, "--clear-groups", "sbatch"];
        args.extend(["--parsable", "--chdir=/", "--output=/dev/null"]);
        args.extend(options);
        args.extend(["--wrap", script]);
        self.says("setpriv", &args).trim().to_owned()
    }

    /// All jobs that slurmctld has in mind, ended ones for five minutes.
    pub fn told(&self) -> Vec<Told> {
        let said = self.says("scontrol", &["show", "job", "--oneliner"]);
        said.lines()
            .filter(|line| line.starts_with("JobId="))
            .map(|line| {
                let words = line.split(' ').filter_map(|word| word.split_once('='));
                let mut job = Told::new();
                // A name may look like something else: what Slurm says first counts.
                for (name, value) in words {
                    job.entry(name.to_owned()).or_insert(value.to_owned());
                }
                job
            })
            .collect()
    }

    /// The state of a job, or of the task `5_1` of an array.
    pub fn state(&self, id: &str) -> String {
        let told = self.told();
        let is_it = |job: &&Told| super::slurm::id(job) == id;
        told.iter()
            .find(is_it)
            .map(|job| job["JobState"].clone())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn reaches(&self, id: &str, state: &str) {
        assert!(
            within(PATIENCE, || self.state(id) == state),
            "job {id} is {} and does not become {state}",
            self.state(id)
        );
    }

    /// What the accounts have of these jobs, a line for each run, `|` between the columns.
    pub fn accounts(&self, ids: &BTreeSet<String>, columns: &str) -> Vec<String> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (ids, columns) = (ids.join(","), format!("--format={columns}"));
        let args = [
            "--allusers",
            "--allocations",
            "--parsable2",
            "--noheader",
            "--duplicates",
            "--starttime=now-1hour",
            "--endtime=now",
            &columns,
            "--jobs",
            &ids,
        ];
        let said = self.says("sacct", &args);
        said.lines().map(str::to_owned).collect()
    }

    /// Waits until the accounts have an end of so many runs of these jobs.
    #[track_caller]
    pub fn accounts_have_ends(&self, ids: &BTreeSet<String>, count: usize) {
        let ends = || {
            let lines = self.accounts(ids, "JobID,User,Partition,State,End");
            let is_over = |line: &&String| {
                let end = line.rsplit('|').next().unwrap_or_default();
                // While the database is behind there are lines of nobody's.
                end.parse::<u64>().is_ok() && !line.contains("|root||")
            };
            lines.iter().filter(is_over).count()
        };
        assert!(
            within(PATIENCE, || ends() == count),
            "not {count}: {:#?}",
            self.accounts(ids, "JobID,User,Partition,State,End")
        );
    }

    /// Cancels all jobs and waits until none is in the queue any more.
    pub fn is_cleared(&self) {
        for state in ["PENDING", "RUNNING", "SUSPENDED"] {
            self.says("scancel", &["--state", state]);
        }
        let is_empty = || self.says("squeue", &["--all", "--noheader"]).is_empty();
        assert!(within(PATIENCE, is_empty), "jobs are left");
    }

    /// Stops a daemon until what is returned is dropped.
    #[must_use]
    pub fn without(&self, daemon: &'static str) -> Stopped<'_> {
        let file = self.path(&format!("stopped/{daemon}"));
        fs::write(&file, "").unwrap();
        let stopped = Stopped { slurm: self, file };
        let pid_file = self.path(&format!("run/{daemon}.pid"));
        assert!(
            within(PATIENCE, || !pid_file.exists()),
            "{daemon} does not end"
        );
        stopped
    }

    /// Lets a daemon hang until what is returned is dropped.
    #[must_use]
    pub fn with_hung(&self, daemon: &str) -> Hung<'_> {
        let pid = self.pid(daemon);
        kill(pid, Signal::SIGSTOP).unwrap();
        Hung { slurm: self, pid }
    }

    /// Hides jobs from other users, by `slurm.conf` (in the queue) or `slurmdbd.conf` (in the accounts), until
    /// what is returned is dropped.
    #[must_use]
    pub fn with_private_jobs(&self, file: &'static str) -> Private<'_> {
        let before = fs::read_to_string(self.path(file)).unwrap();
        fs::write(self.path(file), format!("{before}PrivateData=jobs\n")).unwrap();
        let private = Private {
            slurm: self,
            file,
            before,
        };
        self.reads_again(file, "jobs");
        private
    }

    /// Waits until the daemon whose file it is has read it.
    fn reads_again(&self, file: &str, private: &str) {
        let (tool, daemon) = match file {
            "slurm.conf" => ("scontrol", "slurmctld"),
            _ => ("sacctmgr", "slurmdbd"),
        };
        kill(self.pid(daemon), Signal::SIGHUP).unwrap();
        let has_read = || {
            // sacctmgr shows both files, that of slurmdbd last.
            let config = self.says(tool, &["show", "config"]);
            let lines = config.lines().filter_map(|line| line.split_once('='));
            let mut values = lines.filter(|(name, _)| name.trim() == "PrivateData");
            values
                .next_back()
                .is_some_and(|(_, value)| value.trim() == private)
        };
        assert!(within(PATIENCE, has_read), "{daemon} does not read {file}");
        assert!(within(PATIENCE, || self.is_up()));
    }

    /// Makes a user who is nobody special an operator, until what is returned is dropped.
    #[must_use]
    pub fn with_operator(&self, name: &'static str) -> Operator<'_> {
        let manage = |words: &[&str]| self.says("sacctmgr", &[&["--immediate"], words].concat());
        manage(&["add", "account", ACCOUNT]);
        let operator = Operator { slurm: self, name };
        let account = format!("account={ACCOUNT}");
        manage(&["add", "user", name, &account, "adminlevel=operator"]);
        let users = format!("users={name}");
        let is_known = || {
            self.says("scontrol", &["show", "assoc_mgr", &users, "flags=users"])
                .contains("AdminLevel=Operator")
        };
        assert!(within(PATIENCE, is_known), "slurmctld hears nothing of it");
        operator
    }

    fn pid(&self, daemon: &str) -> Pid {
        let pid = fs::read_to_string(self.path(&format!("run/{daemon}.pid"))).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap())
    }

    /// Whether all daemons answer.
    fn is_up(&self) -> bool {
        let ends_well =
            |program: &str, args: &[&str]| Run::of(self.tool(program, args)).status == 0;
        let node = Run::of(self.tool("sinfo", &["--noheader", "--format=%t"]));
        ends_well("scontrol", &["ping"])
            && ends_well("sacctmgr", &["--noheader", "show", "cluster"])
            && ["idle", "mix", "alloc"].contains(&node.stdout.trim())
    }
}

/// How Slurm names a job of which `scontrol` tells: `5`, `5_1`, `5_[2-3%1]`.
pub fn id(job: &Told) -> String {
    match (job.get("ArrayJobId"), job.get("ArrayTaskId")) {
        (Some(array), Some(task)) if task.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{array}_{task}")
        }
        (Some(array), Some(tasks)) => format!("{array}_[{tasks}]"),
        _ => job["JobId"].clone(),
    }
}

/// A daemon that is stopped; it is started again when this is dropped.
pub struct Stopped<'a> {
    slurm: &'a Slurm,
    file: PathBuf,
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // What fails here fails in what follows.
        let _ = fs::remove_file(&self.file);
        let _ = within(PATIENCE, || self.slurm.is_up());
    }
}

/// A daemon that hangs; it goes on when this is dropped.
pub struct Hung<'a> {
    slurm: &'a Slurm,
    pid: Pid,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGCONT);
        let _ = within(PATIENCE, || self.slurm.is_up());
    }
}

/// A setting that is taken back when this is dropped.
pub struct Private<'a> {
    slurm: &'a Slurm,
    file: &'static str,
    before: String,
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.slurm.path(self.file), &self.before);
        if !std::thread::panicking() {
            self.slurm.reads_again(self.file, "none");
        }
    }
}

/// An operator, who is none any more when this is dropped.
pub struct Operator<'a> {
    slurm: &'a Slurm,
    name: &'static str,
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        for what in [["user", self.name], ["account", ACCOUNT]] {
            let delete = ["--immediate", "delete", what[0], what[1]];
            // What fails here fails the next time one is made.
            let _ = Run::of(self.slurm.tool("sacctmgr", &delete));
        }
    }
}

/// A user who is nobody special, and has a copy of the program to run.
pub struct Unprivileged {
    uid: u32,
    program: tempfile::TempDir,
}

impl Unprivileged {
    pub fn new(uid: u32) -> Self {
        let program = tempfile::tempdir_in("/tmp").unwrap();
        is_open_to_all(program.path());
        // Where it was built may be a folder of root's own.
        let built = env!("CARGO_BIN_EXE_afmetrics_collector");
        fs::copy(built, program.path().join("collector")).unwrap();
        Self { uid, program }
    }

    /// Runs the collector as this user.
    pub fn print(&self, world: &World, args: &[&str]) -> Run {
        is_open_to_all(&world.path("."));
        std::os::unix::fs::chown(world.path("state"), Some(self.uid), Some(self.uid)).unwrap();
        let command = world.command(&[&["--print"], args].concat());
        let mut run = plain(&needs::path_of("setpriv").unwrap());
        let id = self.uid.to_string();
        run.args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .arg(self.program.path().join("collector"))
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir("/");
        Run::of(run)
    }
}

fn is_open_to_all(folder: &Path) {
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder, all).unwrap();
}
