//! Programs that behave badly, and what that may cost: their own documents and a line in the log.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::namespace::{Namespace, within};
use crate::support::needs;
use crate::support::program::{Run, World};

/// With the deadlines of these tests, what is not done by then hangs.
const BOUND: Duration = Duration::from_secs(20);
const SESSION: &str = "canary-1 pts/0        Nov 22 20:11 (127.0.0.1)";

/// A world with a healthy host. Everything that is started in it has `marker` in its environment.
struct Marked {
    world: World,
    marker: String,
}

impl Marked {
    fn new() -> Self {
        let mut world = World::new();
        world.healthy_host();
        let marker = format!("MARKER={}", world.path("").display());
        world.env("MARKER", world.path(""));
        Self { world, marker }
    }

    fn with_who(script: &str) -> Self {
        let mut this = Self::new();
        this.world.program("who", script);
        this
    }

    /// The processes that were started in this world and are alive.
    fn processes(&self) -> Vec<String> {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let environ = fs::read(path.join("environ")).ok()?;
                let is_ours = environ
                    .split(|&byte| byte == 0)
                    .any(|variable| variable == self.marker.as_bytes());
                let line = fs::read_to_string(path.join("cmdline")).ok()?;
                is_ours.then(|| format!("{} {}", path.display(), line.replace('\0', " ")))
            })
            .collect()
    }

    #[track_caller]
    fn leaves_nothing_behind(&self) {
        assert!(
            within(Duration::from_secs(5), || self.processes().is_empty()),
            "left behind: {:?}",
            self.processes()
        );
    }

    /// One round of ssh and host, bounded in time.
    #[track_caller]
    fn round(&self, args: &[&str]) -> Run {
        let endpoint = Endpoint::ok(Protocol::PlainHttp);
        let begun = Instant::now();
        let all = [&["-s", "--host", "--mount", "/", "--silence", "2"], args].concat();
        let run = self.world.deliver(&endpoint, &all);
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        self.leaves_nothing_behind();
        let mut kinds: Vec<String> = endpoint
            .documents()
            .iter()
            .map(|document| document["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        let expected: &[&str] = match run.status {
            0 => &["CPU", "DISK", "MEM", "NETWORK", "ssh"],
            _ => &["CPU", "DISK", "MEM", "NETWORK"],
        };
        assert_eq!(kinds, expected, "{}", run.stderr);
        run
    }
}

/// A round whose `who` fails costs the ssh document, and one line that begins with this.
#[track_caller]
fn costs_its_own_document(marked: &Marked, args: &[&str], line: &str) {
    let run = marked.round(args).exits(1).says(line);
    let errors = run.stderr.matches("ERROR").count();
    assert_eq!(errors, 1, "one failure, one line:\n{}", run.stderr);
}

#[test]
fn one_that_hangs() {
    let marked = Marked::with_who("exec /usr/bin/sleep 600");
    costs_its_own_document(
        &marked,
        &[],
        "ssh: who gave no output for 2 s and was ended",
    );
}

#[test]
fn one_that_hangs_and_ignores_the_request_to_end() {
    let marked = Marked::with_who("trap '' TERM\nwhile :; do /usr/bin/sleep 1; done");
    costs_its_own_document(
        &marked,
        &[],
        "ssh: who gave no output for 2 s and was ended",
    );
}

#[test]
fn one_that_floods_standard_error() {
    let marked = Marked::with_who("exec /usr/bin/yes who is there >&2");
    costs_its_own_document(
        &marked,
        &[],
        "ssh: who gave no output for 2 s and was ended",
    );
}

#[test]
fn one_that_floods_standard_error_and_ends_well() {
    let marked = Marked::with_who(&format!(
        "/usr/bin/yes who is there | /usr/bin/head -c 100000000 >&2\necho '{SESSION}'"
    ));
    marked.round(&["--silence", "15"]).exits(0);
}

#[test]
fn one_that_floods_standard_error_and_fails() {
    let marked = Marked::with_who(
        "echo first of all >&2; /usr/bin/yes who is there | /usr/bin/head -c 100000000 >&2; exit 5",
    );
    costs_its_own_document(
        &marked,
        &["--silence", "15"],
        "ssh: who ended with exit status 5: first of all",
    );
}

#[test]
fn one_that_leaves_a_child_with_its_output_open() {
    let marked = Marked::with_who(&format!("/usr/bin/sleep 600 &\necho '{SESSION}'"));
    marked.round(&[]).exits(0);
}

#[test]
fn one_that_leaves_a_child_that_wants_nothing_of_us() {
    let marked = Marked::with_who(&format!(
        "(trap '' TERM; /usr/bin/sleep 600; /usr/bin/sleep 600) </dev/null >/dev/null 2>&1 &\necho '{SESSION}'"
    ));
    marked.round(&[]).exits(0);
}

#[test]
fn one_that_fails_and_leaves_a_child_with_its_standard_error_open() {
    let marked = Marked::with_who("/usr/bin/sleep 600 >/dev/null &\necho no luck >&2\nexit 4");
    costs_its_own_document(&marked, &[], "ssh: who ended with exit status 4: no luck");
}

#[test]
fn one_that_closes_its_output_and_stays() {
    let marked = Marked::with_who(&format!(
        "echo '{SESSION}'\nexec /usr/bin/sleep 600 >&- 2>&-"
    ));
    costs_its_own_document(
        &marked,
        &[],
        "ssh: who gave no output for 2 s and was ended",
    );
}

#[test]
fn one_that_dies_by_a_signal() {
    let marked = Marked::with_who(&format!("echo '{SESSION}'\nkill -SEGV $$"));
    costs_its_own_document(&marked, &[], "ssh: who ended with signal 11");
}

#[test]
fn one_that_fails_with_an_empty_line_first() {
    let marked = Marked::with_who(&format!(
        "echo '{SESSION}'\nprintf '\\nno luck\\n' >&2\nexit 3"
    ));
    costs_its_own_document(&marked, &[], "ssh: who ended with exit status 3: no luck");
}

#[test]
fn one_that_fails_in_no_encoding_at_all() {
    let marked = Marked::with_who("printf '\\377\\033[31m no luck\\n' >&2\nexit 3");
    let run = marked.round(&[]).exits(1).says("no luck");
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn one_that_says_nothing() {
    let mut marked = Marked::with_who("exit 0");
    marked.round(&[]).exits(0);
    fs::remove_file(marked.world.path("root/run/utmp")).unwrap();
    costs_its_own_document(&marked, &[], "ssh: who printed nothing");
    marked.world.program("who", "exit 1");
    costs_its_own_document(&marked, &[], "ssh: who ended with exit status 1");
}

#[test]
fn one_that_says_nothing_of_a_utmp_that_cannot_be_opened() {
    let mut marked = Marked::with_who("exit 0");
    marked.world.file("/run/systemd/seats/seat0", "");
    let utmp = marked.world.path("root/run/utmp");
    fs::remove_file(&utmp).unwrap();
    marked.round(&[]).exits(0);
    // Not even root opens what leads to itself.
    std::os::unix::fs::symlink("utmp", &utmp).unwrap();
    costs_its_own_document(
        &marked,
        &[],
        "ssh: who printed nothing, and /run/utmp cannot be read",
    );
}

#[test]
fn one_that_never_comes_to_an_end() {
    let marked = Marked::with_who(&format!(
        "while :; do echo '{SESSION}'; /usr/bin/sleep 1; done"
    ));
    costs_its_own_document(&marked, &["--deadline", "4"], "ssh: not done within 4 s");
}

#[test]
fn one_that_prints_more_than_any_node_has() {
    let marked = Marked::with_who(&format!("exec /usr/bin/yes '{SESSION}'"));
    costs_its_own_document(&marked, &[], "ssh: who wrote more than 16777216 bytes");
}

#[test]
fn one_that_cannot_be_run() {
    let marked = Marked::new();
    let who = marked.world.path("bin/who");
    fs::write(&who, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&who, fs::Permissions::from_mode(0o644)).unwrap();
    costs_its_own_document(&marked, &[], "ssh: cannot start who: Permission denied");
    fs::write(&who, "\u{7f}ELF, or is it?").unwrap();
    fs::set_permissions(&who, fs::Permissions::from_mode(0o755)).unwrap();
    costs_its_own_document(&marked, &[], "ssh: cannot start who: Exec format error");
}

#[test]
fn one_that_is_not_there() {
    costs_its_own_document(
        &Marked::new(),
        &[],
        "ssh: who is not on this node, or not on PATH (cron's is short: set PATH in the crontab)",
    );
}

/// A schedd that is asked for its history scans it first.
#[test]
fn the_history_may_be_silent_up_to_the_deadline() {
    let mut world = World::new();
    world
        .batch_node("")
        .program("condor_history", "/usr/bin/sleep 3; echo [; echo ]");
    world.print(&["-b", "--silence", "1"]).exits(0);
    world.program("condor_history", "exec /usr/bin/sleep 600");
    let run = world
        .print(&["-b", "--silence", "1", "--deadline", "2"])
        .exits(1);
    assert_eq!(
        run.lines_with("ERROR condor_history: "),
        1,
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_ended_in_the_middle_ends_what_it_started() {
    for (signal, name) in [
        (Signal::SIGTERM, "SIGTERM"),
        (Signal::SIGINT, "SIGINT"),
        (Signal::SIGHUP, "SIGHUP"),
    ] {
        let mut marked =
            Marked::with_who("trap '' TERM INT\n/usr/bin/sleep 600\n/usr/bin/sleep 600");
        marked
            .world
            .program("condor_q", "/usr/bin/sleep 601 & exec /usr/bin/sleep 600")
            .program("condor_history", "echo [; echo ]");
        let collector = marked
            .world
            .command(&["--print", "-sb"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sleeping = || {
            let all = marked.processes();
            all.iter()
                .filter(|process| process.contains("sleep"))
                .count()
        };
        assert!(
            within(BOUND, || sleeping() == 3),
            "{:?}",
            marked.processes()
        );
        kill(pid(&collector), signal).unwrap();
        let output = ends_in_time(collector);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("ended by {name}")), "{said}");
        marked.leaves_nothing_behind();
    }
}

#[test]
fn a_reader_that_does_not_read_keeps_no_signal_away() {
    let mut world = World::new();
    jobs(&mut world, 20_000);
    let mut collector = world
        .command(&["--print", "-b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = collector.stdout.take().unwrap();
    // Now it is writing, and the pipe will be full soon.
    stdout.read_exact(&mut [0]).unwrap();
    kill(pid(&collector), Signal::SIGTERM).unwrap();
    let output = ends_in_time(collector);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ended by SIGTERM"), "{said}");
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Runs a command to its end, in bounded time.
#[track_caller]
fn run_in_time(command: &mut Command) -> Run {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = ends_in_time(child);
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What it wrote must fit into a pipe.
#[track_caller]
fn ends_in_time(mut child: Child) -> Output {
    if !within(BOUND, || matches!(child.try_wait(), Ok(Some(_)))) {
        child.kill().unwrap();
        panic!("it had to be killed");
    }
    child.wait_with_output().unwrap()
}

/// An HTCondor with this many jobs of 100 users in the queue, and none in the history.
fn jobs(world: &mut World, count: u32) {
    let mut queue = std::io::BufWriter::new(fs::File::create(world.path("queue.json")).unwrap());
    for job in 0..count {
        let before = if job == 0 { "[" } else { "," };
        write!(
            queue,
            "{before}\n{{\n  \"ClusterId\": {job},\n  \"JobStatus\": 2,\n  \"Owner\": \"canary-{}\",\n  \"ProcId\": 0,\n  \"RemoteWallClockTime\": 38.0\n}}\n",
            job % 100
        )
        .unwrap();
    }
    queue.write_all(b"]\n").unwrap();
    queue.flush().unwrap();
    let path = world.path("queue.json");
    world
        .program("condor_q", &format!("exec /usr/bin/cat {}", path.display()))
        .program("condor_history", "printf '[\\n]\\n'");
}

/// The most memory that a round over so many jobs had, in KiB.
fn peak(count: u32) -> u64 {
    let mut world = World::new();
    jobs(&mut world, count);
    let mut collector = world
        .command(&["--print", "-b", "-o"])
        .stdout(fs::File::create(world.path("documents")).unwrap())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", collector.id());
    let mut peak = 0;
    while matches!(collector.try_wait(), Ok(None)) {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(most.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(collector.wait().unwrap().success());
    let documents = fs::read_to_string(world.path("documents")).unwrap();
    assert_eq!(documents.lines().count(), count as usize);
    peak
}

#[test]
fn memory_does_not_grow_with_the_queue() {
    let (few, many) = (peak(1_000), peak(100_000));
    assert!(few > 0);
    assert!(
        many < few + (8 << 10),
        "{few} KiB for 1,000 jobs, {many} KiB for 100,000"
    );
}

/// A file system that nobody serves: every question about it hangs in the kernel, as on a dead NFS
/// mount.
pub const DEAD_MOUNT: &str = r#"
mkdir "$1/dead"
exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 canary "$1/dead"
"#;

#[test]
fn a_dead_mount_costs_its_own_document() {
    if !needs::root_and(&["/dev/fuse"]) {
        return;
    }
    let namespace = Namespace::new(&[], "", DEAD_MOUNT);
    let dead = namespace.path("dead");
    let run = run_in_time(
        namespace
            .command(env!("CARGO_BIN_EXE_afmetrics_collector"))
            .args([
                "--print",
                "--host",
                "--silence",
                "2",
                "--mount",
                "/",
                "--mount",
            ])
            .arg(&dead)
            .args(["--mount", "/run"]),
    );
    let run = run
        .exits(1)
        .says(&format!("disk: {} did not answer for 2 s", dead.display()));
    let documents = run.documents();
    let mounts: Vec<&str> = documents
        .iter()
        .filter_map(|document| document["mount"].as_str())
        .collect();
    assert_eq!(mounts, ["/", "/run"]);
    assert_eq!(documents.len(), 5, "{documents:?}");
}

#[test]
fn a_dead_mount_on_path_costs_what_would_have_been_started() {
    if !needs::root_and(&["/dev/fuse"]) {
        return;
    }
    let namespace = Namespace::new(&[], "", DEAD_MOUNT);
    let mut world = World::new();
    world.healthy_host().program("who", "exit 0");
    let path = format!(
        "{}:{}",
        namespace.path("dead").display(),
        world.path("bin").display()
    );
    world.env("PATH", path);
    let args = ["--print", "-s", "--host", "--mount", "/", "--silence", "2"];
    let run = run_in_time(&mut namespace.inside(&world.command(&args)));
    let run = run
        .exits(1)
        .says("ssh: who could not be started within 2 s");
    assert_eq!(run.documents().len(), 4);
}
