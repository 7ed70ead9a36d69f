//! Rounds in a row at a node of Slurm whose accounts come late or not at all, and tools of Slurm that misbehave
//! in ways that no recording shows. (The real one is in `slurm.rs`.)

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::schedd::ends;
use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, World};

const HEADER: [&str; 12] = [
    "JobID",
    "JobIDRaw",
    "User",
    "UID",
    "Account",
    "Partition",
    "State",
    "Submit",
    "Start",
    "End",
    "ElapsedRaw",
    "AllocCPUS",
];

fn now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn line(columns: &[&str]) -> String {
    columns.join("\x1f") + "\n"
}

/// A job that runs, as squeue lists it.
fn queued(id: &str) -> String {
    let columns = [
        id,
        "canary-1",
        "21001",
        "RUNNING",
        "0:26",
        "batch",
        "1",
        "canary-physics",
        "1",
        "cpu=1,mem=64M,node=1",
        "None",
        "",
    ];
    line(&columns)
}

/// A run that ended so long ago.
fn ended(id: &str, state: &str, age: u64) -> String {
    let end = now() - age;
    let [submit, start, end] = [end - 60, end - 40, end].map(|at| at.to_string());
    let user = ["canary-1", "21001", "canary-physics", "batch"];
    let times = [state, &submit, &start, &end, "40", "2"];
    line(&[&[id, id], &user[..], &times].concat())
}

/// A node of Slurm: one job runs.
fn node() -> World {
    let mut world = World::new();
    world
        .program("squeue", "exec /usr/bin/cat queue")
        .program("sinfo", "echo batch; echo long")
        .program(
            "sacct",
            "[ ! -e away ] || { echo 'sacct: error: Sending PersistInit msg: Connection refused' >&2; exit 1; }\nexec /usr/bin/cat accounts",
        );
    fs::write(world.path("cwd/queue"), queued("1")).unwrap();
    accounts(&world, &[]);
    world
}

fn accounts(world: &World, runs: &[&str]) {
    let text = line(&HEADER) + &runs.concat();
    fs::write(world.path("cwd/accounts"), text).unwrap();
}

/// The Ids of jobs that have ended, in the order in which they came.
fn ids(documents: &[Value]) -> Vec<String> {
    documents
        .iter()
        .filter(|document| document["kind"] == "slurmjob" && document["state"] != "running")
        .map(|document| document["Id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_run_is_reported_once_however_late_it_comes() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    let world = node();
    let mut seen = 0;
    let mut round = |runs: &[&str], status| {
        accounts(&world, runs);
        world.deliver(&endpoint, &["--slurm"]).exits(status);
        let documents = endpoint.documents();
        let new = ids(&documents[seen..]);
        seen = documents.len();
        new
    };
    let (old, one) = (ended("2", "COMPLETED", 400), ended("3", "COMPLETED", 30));
    assert_eq!(round(&[&old, &one], 0), ["3"], "the last 360 s");
    assert_eq!(round(&[&old, &one], 0), [""; 0]);
    // It ended before the one that is known, and comes after it; and so does a second run of that.
    let (late, again) = (ended("4", "FAILED", 200), ended("3", "NODE_FAIL", 10));
    assert_eq!(round(&[&late, &old, &one, &again], 0), ["4", "3"]);
    // slurmdbd is away, and what ended meanwhile comes when it is back.
    fs::write(world.path("cwd/away"), "").unwrap();
    let while_away = ended("5", "TIMEOUT", 5);
    assert_eq!(round(&[&while_away], 1), [""; 0]);
    fs::remove_file(world.path("cwd/away")).unwrap();
    assert_eq!(round(&[&one], 0), [""; 0]);
    assert_eq!(round(&[&one, &while_away], 0), ["5"]);
    assert_eq!(round(&[&one, &while_away, &late], 0), [""; 0]);
}

#[test]
fn what_could_not_be_delivered_is_delivered_later_and_once() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::Status(503, String::new()));
    let world = node();
    let one = ended("2", "COMPLETED", 30);
    accounts(&world, &[&one]);
    world.deliver(&endpoint, &["--slurm"]).exits(1);
    let refused = endpoint.documents().len();
    endpoint.answers(|_, _| Reply::ok());
    world.deliver(&endpoint, &["--slurm"]).exits(0);
    let accepted = endpoint.documents().split_off(refused);
    assert_eq!(ids(&accepted), ["2"]);
    let stamped = accepted.iter().filter(|d| d.get("timestamp").is_some());
    // Of the first round: all partitions, batch, long, the job that ran and the one that ended.
    assert_eq!(stamped.count(), 5);
}

#[test]
fn printing_moves_no_cursor() {
    let world = node();
    let one = ended("2", "COMPLETED", 30);
    accounts(&world, &[&one]);
    for _ in 0..2 {
        let documents = world.print(&["--slurm"]).exits(0).documents();
        assert_eq!(ids(&documents), ["2"]);
    }
}

#[test]
fn debug_writes_a_file_of_its_own() {
    let world = node();
    let run = Run::of(world.bare_command(&["-d", "--slurm", "-v"])).exits(0);
    run.says("4 written to slurm.json");
    let text = fs::read_to_string(world.path("cwd/slurm.json")).unwrap();
    assert_eq!(text.matches("\"kind\": \"slurmqueue\"").count(), 3);
}

#[test]
fn both_systems_on_one_node() {
    let mut world = node();
    world.batch_node("");
    let both = world.print(&["-b", "--slurm"]).exits(0);
    assert_eq!(both.documents().len(), 4);
    // As ever: HTCondor goes first where it is there.
    let run = world.print(&["-b", "-vv"]).exits(0).lacks("slurm");
    assert_eq!(run.documents().len(), 0);
}

#[test]
fn a_tool_that_hangs_is_ended_and_what_it_said_is_told() {
    let mut world = node();
    world.program(
        "squeue",
        "echo $$ > pid; echo 'squeue: error: s_p_parse_file: cannot stat file /etc/slurm/slurm.conf: No such file or directory, retrying in 1sec up to 60sec' >&2; exec /usr/bin/sleep 60",
    );
    let begun = Instant::now();
    let run = world.print(&["--slurm", "--silence", "1"]).exits(1);
    run.says("ERROR slurm_jobs: squeue gave no output for 1 s and was ended: squeue: error: s_p_parse_file")
        .says("; the configuration of Slurm is not there")
        .says("ERROR slurm_queue: the queue could not be read");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let pid = fs::read_to_string(world.path("cwd/pid")).unwrap();
    assert!(ends(pid.trim()), "squeue still runs");
}

#[test]
fn a_line_without_end_is_given_up_and_the_tool_ended() {
    let mut world = node();
    world.program(
        "squeue",
        "echo $$ > pid; exec /usr/bin/tr '\\0' x < /dev/zero",
    );
    let run = world.print(&["--slurm"]).exits(1);
    run.says("ERROR slurm_jobs: the output of squeue has a line of more than 1048576 bytes");
    let pid = fs::read_to_string(world.path("cwd/pid")).unwrap();
    assert!(ends(pid.trim()), "squeue still runs");
}

/// The partitions need the list of jobs, and wait for it longer than other collectors wait for each other.
#[test]
fn a_slow_queue_is_counted_all_the_same() {
    let mut world = node();
    world.program(
        "squeue",
        "for i in 1 2 3; do /usr/bin/cat queue; /usr/bin/sleep 0.7; done",
    );
    let documents = world
        .print(&["--slurm", "--silence", "1"])
        .exits(0)
        .documents();
    let all = documents.iter().find(|d| d["queue"] == "all").unwrap();
    assert_eq!(all["running"], 3);
}

/// Under `-o` what a tool says is withheld, and what it means is told all the same.
#[test]
fn what_is_wrong_is_told_where_names_are_hidden() {
    let world = node();
    fs::write(world.path("cwd/away"), "").unwrap();
    let run = world.print(&["--slurm", "-o"]).exits(1);
    run.says("withheld")
        .says("; slurmdbd is down")
        .lacks("PersistInit");
}
