//! The recorded cases: each is run as it is, and once more with everything hidden that may not leave.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use afmetrics_collector::collectors;
use serde_json::{Value, json};

use crate::support::case::{self, Case};
use crate::support::cluster::{Cluster, json_reply};
use crate::support::endpoint::{Endpoint, Protocol, Received, Reply};
use crate::support::program::{Run, TOKEN, World, names};

/// Cases are mostly waits for programs.
const AT_A_TIME: usize = 4;

/// What no byte that leaves may hold under `-o` and `-O`: everybody in a case is called canary-N,
/// and every host is in this domain or network.
const RAW_NAMES: [&str; 4] = ["canary-", ".canary.example", "192.0.2.", "2001:db8:"];
const SALT: &str = "s0me-salt";
const HIDDEN: [&str; 7] = [
    "-o",
    "-O",
    "canary.invalid",
    "-z",
    SALT,
    "-vv",
    "--heartbeat",
];

/// `cargo xtask bless` sets it: what is, is right from now on.
fn blessing() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads its own environment"
    )]
    let bless = std::env::var_os("AFMETRICS_BLESS");
    bless.is_some()
}

#[test]
fn every_case_gives_the_expected_documents() {
    for_each_case(|case| {
        let world = case.world();
        let args = case.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = match case.is_recording() {
            true => world.replay(&case.path("")),
            false => world.print(&[&args[..], &["-vv"]].concat()),
        };
        let mut wrong = Vec::new();
        let documents: String = match case.is_recording() {
            // Nothing of it is measured now.
            true => run.stdout.clone(),
            false => run.stdout.lines().map(settled).collect(),
        };
        if blessing() {
            fs::write(case.path("expected.json"), &documents).unwrap();
        } else if documents != case.text("expected.json") {
            wrong.push(format!(
                "documents:\n{documents}instead of:\n{}",
                case.text("expected.json")
            ));
        }
        if run.status != case.exit() {
            wrong.push(format!(
                "exit status {} instead of {}",
                run.status,
                case.exit()
            ));
        }
        wrong.extend(wrong_in_log(&run, &case.text("expected.log")));
        wrong.extend(wrong_runs(case, &world).filter(|_| !case.is_recording()));
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!("{}\nlog:\n{}", wrong.join("\n"), run.stderr)),
        }
    });
}

/// Lines that are expected and are not there, and complaints that nobody expects.
fn wrong_in_log(run: &Run, expected: &str) -> Vec<String> {
    let missing = expected
        .lines()
        .filter(|part| !run.stderr.contains(part))
        .map(|part| format!("the log lacks: {part}"));
    let unexpected = run
        .stderr
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
        .filter(|line| !expected.lines().any(|part| line.contains(part)))
        .map(|line| format!("the log has, unexpectedly: {line}"));
    missing.chain(unexpected).collect()
}

/// Every recorded run of a program is wanted once, and no other.
fn wrong_runs(case: &Case, world: &World) -> Option<String> {
    let (runs, expected) = (case.runs_in(world), case.runs());
    (runs != expected).then(|| format!("programs were run: {runs:?} instead of {expected:?}"))
}

/// A document as it is compared: what this machine measures while the test runs is replaced by a
/// word, if it can be right.
fn settled(line: &str) -> String {
    let document: Value = serde_json::from_str(line).unwrap();
    let mut line = line.to_owned();
    if document["kind"] == "DISK" {
        let (total, used) = (&document["total"], &document["used"]);
        assert!(total.as_u64() >= used.as_u64(), "{line}");
        assert!(document["utilization"].is_f64(), "{line}");
        for field in ["total", "used", "free", "utilization"] {
            line = with_word(&line, field, &document[field], "measured");
        }
    }
    let interval = &document["network"]["interval"];
    if interval
        .as_f64()
        .is_some_and(|seconds| (1.0..30.0).contains(&seconds))
    {
        line = with_word(&line, "interval", interval, "two samples");
    }
    line + "\n"
}

fn with_word(line: &str, field: &str, value: &Value, word: &str) -> String {
    let was = format!("\"{field}\":{value}");
    assert!(line.contains(&was), "no {was} in {line}");
    line.replacen(&was, &format!("\"{field}\":\"<{word}>\""), 1)
}

/// The reason to have this test is that it can fail, and so it is shown first that the cases have
/// names to leak: in documents, and in what tools say on standard error.
#[test]
fn no_raw_name_leaves() {
    let clear = Mutex::new((Vec::new(), Vec::new()));
    for_each_case(|case| {
        let args = case.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = case.world().print(&args);
        let mut clear = clear.lock().unwrap();
        clear.0.push(run.stdout);
        clear.1.push(run.stderr);
        drop(clear);

        leaves_no_raw_name(&args, || logging(case.world()))
    });
    let (stdout, stderr) = clear.into_inner().unwrap();
    for name in ["canary-", ".canary.example"] {
        assert!(stdout.concat().contains(name), "no document names {name}");
        assert!(stderr.concat().contains(name), "no log line names {name}");
    }
}

/// The same for the collector whose recordings are pages of an API, where some of what it asks for is
/// refused with names in the reason.
#[test]
fn no_raw_name_leaves_jupyter() {
    for is_refused in [false, true] {
        let cluster = Cluster::start(move |ask| {
            (is_refused && ask.namespace == "coffea-casa").then(|| {
                let why = "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"Forbidden\",\"code\":403,\"message\":\"canary-1 may not on login01.canary.example\"}";
                json_reply(403, why.to_owned())
            })
        });
        let world = || {
            let mut world = logging(World::new());
            let kubeconfig = world.path("home/af.conf");
            let user = json!({"token": "t0ken-of-the-cluster"});
            fs::write(&kubeconfig, cluster.kubeconfig(&user).to_string()).unwrap();
            world.env("KUBECONFIG", kubeconfig);
            world
        };
        let args = ["-j", "--login-node", case::LOGIN_NODE];
        let clear = world().print(&[&args[..], &["-vv"]].concat()).exits(0);
        assert!(clear.stdout.contains("canary-"), "{}", clear.stdout);
        assert_eq!(clear.stderr.contains("canary-1 may not"), is_refused);
        leaves_no_raw_name(&args, world).unwrap();
    }
}

/// Prints and delivers with names hidden, each in a fresh world, and looks at all that leaves.
fn leaves_no_raw_name(args: &[&str], world: impl Fn() -> World) -> Result<(), String> {
    let hidden = [args, &HIDDEN].concat();
    // One that throws back what it got, which then stands in the log.
    let endpoint = Endpoint::start(Protocol::Http2, |_, request| {
        Reply::Status(400, String::from_utf8_lossy(&bytes(request)).into_owned())
    });
    let printing = world();
    let printed = printing.print(&hidden);
    let delivering = world();
    let delivered = delivering.deliver(&endpoint, &hidden);
    let requests = endpoint.requests();
    if requests.len() != printed.stdout.lines().count() {
        return Err(format!(
            "{} requests for {} documents; log:\n{}",
            requests.len(),
            printed.stdout.lines().count(),
            delivered.stderr
        ));
    }
    let mut leaving = vec![("standard output", printed.stdout.clone().into_bytes())];
    leaving.extend(requests.iter().map(|request| ("a request", bytes(request))));
    let logs = [&printed, &delivered].map(|run| ("the log", run.stderr.clone().into_bytes()));
    let files = [&printing, &delivering].map(|world| {
        let log = world.path("root/var/log/afmetrics/afmetrics.log");
        ("the log file", fs::read(log).unwrap())
    });
    for (what, bytes) in leaving.iter().chain(&logs).chain(&files) {
        none_of(&RAW_NAMES, bytes).map_err(|why| format!("{what} {why}"))?;
    }
    for (what, bytes) in logs.iter().chain(&files) {
        none_of(&[SALT, TOKEN], bytes).map_err(|why| format!("{what} {why}"))?;
    }
    none_of(&[SALT], &leaving.concat_bytes()).map_err(|why| format!("what leaves {why}"))
}

/// A world with a log of its own.
fn logging(world: World) -> World {
    fs::create_dir_all(world.path("root/var/log/afmetrics")).unwrap();
    world
}

/// All that an endpoint sees of a request.
fn bytes(request: &Received) -> Vec<u8> {
    let mut text = format!("{} {}\n", request.method, request.target);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    [text.as_bytes(), &request.body].concat()
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<(&str, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn none_of(needles: &[&str], bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    match needles.iter().find(|needle| text.contains(*needle)) {
        None => Ok(()),
        Some(needle) => Err(format!("holds {needle}:\n{text}")),
    }
}

#[test]
fn a_fake_refuses_what_was_not_recorded() {
    let case = case::all()
        .into_iter()
        .find(|case| case.title() == "condor_queue/constraint")
        .unwrap();
    let world = case.world();
    let run = world.print(&["-b", "-q", "short:queue == \"long\"", "-vv"]);
    let run = run.exits(1).says("exit status 97");
    assert!(!run.stdout.contains("condorqueue"), "{}", run.stdout);
    assert!(wrong_runs(&case, &world).is_some());
}

/// Collectors whose recordings are elsewhere, and where.
const RECORDED_ELSEWHERE: [(&str, &str); 1] =
    [("jupyter", "pages of the Kubernetes API, with its stub")];

#[test]
fn every_row_has_a_case_and_every_case_a_row() {
    let cases = case::all();
    for spec in collectors::ALL {
        let elsewhere = RECORDED_ELSEWHERE
            .iter()
            .any(|(name, _)| *name == spec.name);
        let recorded = cases.iter().any(|case| case.collector == spec.name);
        assert!(recorded != elsewhere, "cases of {}", spec.name);
    }
    for case in &cases {
        let title = case.title();
        assert!(
            collectors::ALL
                .iter()
                .any(|spec| spec.name == case.collector),
            "{title}: no such collector"
        );
        for file in ["NOTES", "args", "expected.json"] {
            let is_being_written = blessing() && file == "expected.json";
            assert!(
                case.path(file).is_file() || is_being_written,
                "{title} has no {file}"
            );
        }
    }
}

#[test]
fn every_file_has_a_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collectors");
    let files: Vec<String> = names(&folder)
        .iter()
        .filter_map(|file| file.strip_suffix(".rs"))
        .filter(|file| *file != "mod")
        .map(str::to_owned)
        .collect();
    let mut rows: Vec<&str> = collectors::ALL.iter().map(|spec| spec.name).collect();
    rows.sort_unstable();
    assert_eq!(files, rows);
}

#[test]
fn rows_say_what_they_do_and_make_every_kind() {
    use afmetrics_document::kinds;
    for spec in collectors::ALL {
        assert!(!spec.summary.is_empty(), "{}", spec.name);
        assert!(spec.flag.starts_with('-'), "{}", spec.name);
        assert!(!spec.kinds.is_empty(), "{}", spec.name);
        for kind in spec.kinds {
            assert!(kinds::find(kind).is_some(), "{}: {kind}", spec.name);
        }
    }
    let mut names: Vec<&str> = collectors::ALL.iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), collectors::ALL.len(), "a name twice");
    // The round itself makes that one.
    for kind in kinds::KINDS.iter().filter(|kind| kind.name != "round") {
        assert!(
            collectors::ALL
                .iter()
                .any(|spec| spec.kinds.contains(&kind.name)),
            "nobody makes {}",
            kind.name
        );
    }
}

/// What the cases of a collector expect is of its row's kinds, and of each of them.
#[test]
fn cases_show_every_kind_of_their_row() {
    if blessing() {
        // They are being written.
        return;
    }
    let cases = case::all();
    for spec in collectors::ALL {
        for kind in spec.kinds {
            let wanted = format!("\"kind\":\"{kind}\"");
            let shown = cases
                .iter()
                .filter(|case| case.collector == spec.name)
                .any(|case| case.text("expected.json").contains(&wanted));
            let elsewhere = RECORDED_ELSEWHERE
                .iter()
                .any(|(name, _)| *name == spec.name);
            assert!(shown != elsewhere, "{} shows no {kind}", spec.name);
        }
    }
}

/// Runs a check on all cases, some at a time, and tells all that went wrong.
fn for_each_case(check: impl Fn(&Case) -> Result<(), String> + Sync) {
    let cases = case::all();
    assert!(!cases.is_empty());
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(case) {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{}: {why}", case.title()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} cases are wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
