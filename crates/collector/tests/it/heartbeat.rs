//! `--heartbeat`: the document that a round leaves about itself. A receiver reads exactly this.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, Started, TOKEN, World, jobs};

/// The document, written here once more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Round {
    kind: String,
    cluster: String,
    login_node: String,
    version: String,
    duration: f64,
    collectors: BTreeMap<String, Report>,
    token: Option<String>,
    timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    result: String,
    documents: u64,
    duration: f64,
}

impl Round {
    #[track_caller]
    fn of(document: &Value) -> Self {
        let round: Self = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(round.kind, "round");
        assert_eq!(round.version, env!("CARGO_PKG_VERSION"));
        for report in round.collectors.values() {
            assert!(report.duration <= round.duration, "{document}");
        }
        assert!(round.duration < 60.0, "{document}");
        round
    }

    /// Of the last document on standard output, which is the only one of its kind.
    #[track_caller]
    fn printed(run: &Run) -> Self {
        let documents = run.documents();
        assert_eq!(of_kind(&documents, "round").len(), 1, "{}", run.stdout);
        Self::of(documents.last().unwrap())
    }

    /// Each collector's result and number of documents.
    fn results(&self) -> Vec<(&str, &str, u64)> {
        self.collectors
            .iter()
            .map(|(name, report)| (name.as_str(), report.result.as_str(), report.documents))
            .collect()
    }
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|d| d["kind"] == kind).collect()
}

/// A node where all is well.
fn node() -> World {
    let mut world = World::new();
    world
        .healthy_host()
        .batch_node(&jobs(3, "canary-1"))
        .program(
            "who",
            "echo 'canary-1 pts/0        Nov 22 20:11 (127.0.0.1)'",
        );
    world
}

const ALL: [&str; 7] = [
    "-sbv",
    "--host",
    "--mount",
    "/",
    "--heartbeat",
    "--login-node",
    "login01.canary.example",
];

const WELL: [(&str, &str, u64); 7] = [
    ("condor_history", "ok", 0),
    ("condor_jobs", "ok", 3),
    ("disk", "ok", 1),
    ("load", "ok", 1),
    ("memory", "ok", 1),
    ("network", "ok", 1),
    ("ssh", "ok", 1),
];

#[test]
fn the_last_document_of_a_round_says_what_became_of_each_collector() {
    for protocol in [Protocol::PlainHttp, Protocol::Http2] {
        let endpoint = Endpoint::ok(protocol);
        let args = [&ALL[..], &["-c", "CANARY-AF", "--batch-size", "500"]].concat();
        node()
            .deliver(&endpoint, &args)
            .exits(0)
            .says("collected 9 documents from 7 of 7 collectors in ")
            .says("; 9 accepted\n");
        let documents = endpoint.documents();
        assert_eq!(documents.len(), 9);
        assert_eq!(of_kind(&documents, "round").len(), 1);
        let round = Round::of(documents.last().unwrap());
        assert_eq!(round.cluster, "CANARY-AF");
        assert_eq!(round.login_node, "login01.canary.example");
        assert_eq!(round.token.as_deref(), Some(TOKEN));
        assert_eq!(round.timestamp, None);
        assert_eq!(round.results(), WELL);
    }
}

#[test]
fn without_it_a_round_is_as_before() {
    let without: Vec<&str> = ALL
        .into_iter()
        .filter(|arg| *arg != "--heartbeat")
        .collect();
    let run = node().print(&without).exits(0);
    assert_eq!(run.documents().len(), 8);
    run.says("collected 8 documents from 7 of 7 collectors in ")
        .lacks("\"round\"");
}

#[test]
fn nobody_there_is_ok_and_one() {
    let mut world = node();
    world.program("who", "");
    let round = Round::printed(&world.print(&["-s", "--heartbeat"]).exits(0));
    assert_eq!(round.results(), [("ssh", "ok", 1)]);
    world.batch_node("[\n]\n");
    let run = world.print(&["-b", "--heartbeat"]).exits(0);
    assert_eq!(run.documents().len(), 1, "nothing but the heartbeat");
    assert_eq!(
        Round::printed(&run).results(),
        [("condor_history", "ok", 0), ("condor_jobs", "ok", 0)]
    );
}

#[test]
fn a_collector_that_failed_says_how() {
    const SLOW: [&str; 4] = ["--silence", "1", "--deadline", "20"];
    for (script, result) in [
        (Some("echo 'no utmp of canary-1' >&2; exit 3"), "failed"),
        (Some("echo no such thing"), "malformed"),
        (Some("exec /usr/bin/sleep 30"), "timed_out"),
        (None, "not_here"),
    ] {
        let mut world = node();
        match script {
            Some(script) => world.program("who", script),
            None => {
                fs::remove_file(world.path("bin/who")).unwrap();
                &mut world
            }
        };
        let run = world.print(&[&ALL[..], &SLOW].concat()).exits(1);
        let run = run.says("collected 8 documents from 6 of 7 collectors in ");
        let round = Round::printed(&run);
        let mut expected = WELL;
        expected[6] = ("ssh", result, 0);
        assert_eq!(round.results(), expected);
        let waited = round.collectors["ssh"].duration >= 1.0;
        assert_eq!(waited, result == "timed_out", "{round:?}");
        assert!(round.collectors["load"].duration < 1.0, "{round:?}");
        assert!(!run.stdout.contains("utmp"), "the reason stays in the log");
    }
}

#[test]
fn a_round_in_which_all_failed_is_heard_of() {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    World::new()
        .deliver(&endpoint, &["-sbv", "--heartbeat"])
        .exits(1)
        .says("collected 1 document from 0 of 3 collectors in ")
        .says("; 1 accepted\n");
    let documents = endpoint.documents();
    assert_eq!(documents.len(), 1);
    let not_here = ["condor_history", "condor_jobs", "ssh"].map(|name| (name, "not_here", 0));
    assert_eq!(Round::of(&documents[0]).results(), not_here);
}

/// The documents of the parts that could be read are counted, and a part that nobody asked for is no
/// failure.
#[test]
fn a_collector_of_several_sources_is_what_its_first_failure_says() {
    let world = node();
    let disks = |mounts: &[&str]| {
        let args = [&["--host", "--heartbeat"], mounts].concat();
        let round = Round::printed(&world.print(&args));
        let disk = &round.collectors["disk"];
        (disk.result.clone(), disk.documents)
    };
    let asked = disks(&["--mount", "/", "--mount", "/no-such-mount", "--mount", "/"]);
    assert_eq!(asked, ("not_here".to_owned(), 2));
    // None of the three is below this root.
    assert_eq!(disks(&[]), ("ok".to_owned(), 0));
}

#[test]
fn alone_it_is_a_round() {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    World::new()
        .deliver(&endpoint, &["--heartbeat", "-v"])
        .exits(0)
        .says("collected 1 document from 0 of 0 collectors in ")
        .says("; 1 accepted\n");
    let documents = endpoint.documents();
    assert_eq!(documents.len(), 1);
    assert_eq!(Round::of(&documents[0]).results(), []);
}

#[test]
fn under_obfuscation_it_names_the_published_host() {
    let args = [&ALL[..], &["-o", "-O", "example.org"]].concat();
    let run = node().print(&args).exits(0).lacks("canary");
    assert_eq!(Round::printed(&run).login_node, "atlas01.example.org");
}

#[test]
fn what_is_late_carries_the_time_of_its_round() {
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(401, "who is that".to_owned())
    });
    let world = node();
    let args = ["--heartbeat", "-v"];
    world
        .deliver(&endpoint, &args)
        .exits(1)
        .says("; 0 accepted, 1 waits in the spool since ");
    let kept = world.spool(&["list"]).exits(0);
    assert!(kept.stdout.contains("round 1"), "{}", kept.stdout);
    let before = endpoint.documents().len();
    endpoint.answers(|_, _| Reply::ok());
    world
        .deliver(&endpoint, &args)
        .exits(0)
        .says("; 2 accepted (1 of earlier rounds)\n");
    let documents = &endpoint.documents()[before..];
    let times: Vec<Option<String>> = documents.iter().map(|d| Round::of(d).timestamp).collect();
    assert_eq!(times.iter().flatten().count(), 1, "{times:?}");
    let late = times.iter().flatten().next().unwrap();
    assert!(late.ends_with('Z') && late.len() == 24, "{late}");
}

#[test]
fn debug_appends_it_to_a_file_of_its_own() {
    let world = node();
    for count in 1..=2 {
        world
            .run(&[&["-d"], &ALL[..]].concat())
            .exits(0)
            .says("9 written to condor.json, host.json, round.json, ssh.json\n");
        let text = fs::read(world.path("cwd/round.json")).unwrap();
        let stream = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
        let rounds: Vec<Round> = stream.map(|d| Round::of(&d.unwrap())).collect();
        assert_eq!(rounds.len(), count);
        assert_eq!(rounds[0].results(), WELL);
        assert_eq!(rounds[0].token, None);
    }
}

/// Where the round cannot be stored, what goes with a cursor is left to the next one, and not counted.
#[test]
fn it_counts_what_leaves() {
    let world = node();
    fs::create_dir_all(world.path("state/spool/storing.lock")).unwrap();
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    world
        .deliver(&endpoint, &ALL)
        .exits(1)
        .says("8 accepted, 1 left to the next round");
    let documents = endpoint.documents();
    let rounds = of_kind(&documents, "round");
    assert_eq!(rounds.len(), 1);
    let round = Round::of(rounds[0]);
    let mut expected = WELL;
    expected[5] = ("network", "ok", 0);
    assert_eq!(round.results(), expected);
    assert_eq!(documents.len(), 8);
}

#[test]
fn a_collector_that_another_round_is_running_is_busy() {
    let mut world = node();
    let (begun, end) = (world.path("begun"), world.path("end"));
    world.program(
        "who",
        &format!(
            "echo > {}; while [ ! -e {} ]; do /usr/bin/sleep 0.05; done",
            begun.display(),
            end.display()
        ),
    );
    let first = Endpoint::ok(Protocol::PlainHttp);
    let slow = ["-s", "-t", TOKEN, "-u", &first.url];
    let slow = Started::of(world.command(&slow).stderr(Stdio::piped()));
    let patience = Instant::now() + Duration::from_secs(20);
    while !begun.exists() {
        assert!(Instant::now() < patience, "the first round did not begin");
        thread::sleep(Duration::from_millis(10));
    }
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    world
        .deliver(&endpoint, &ALL)
        .exits(0)
        .says("WARN left to another round, which is still at it: ssh")
        .says("collected 8 documents from 6 of 6 collectors in ");
    let documents = endpoint.documents();
    let round = Round::of(of_kind(&documents, "round")[0]);
    let mut expected = WELL;
    expected[6] = ("ssh", "busy", 0);
    assert_eq!(round.results(), expected);
    assert_eq!(round.collectors["ssh"].duration, 0.0);
    fs::write(end, "").unwrap();
    slow.ends().exits(0);
}
