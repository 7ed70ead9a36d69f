//! Several endpoints at once: each with its own kinds and its own rules for names, and none in the way of
//! another.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, World, jobs};

/// A node with two users, three jobs, and endpoints as the file says behind the common part.
pub fn node(endpoints: &str) -> (World, PathBuf) {
    let mut world = World::new();
    world
        .healthy_host()
        .batch_node(&jobs(3, "canary-3"))
        .program(
            "who",
            "echo 'canary-1 pts/0        Nov 22 20:11 (127.0.0.1)'\necho 'canary-2 pts/1        Nov 22 20:11 (127.0.0.1)'",
        );
    let folder = world.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/').to_owned();
    fs::write(world.path("token"), "t0ken-of-one\n").unwrap();
    fs::write(world.path("other-token"), "t0ken-of-the-other\n").unwrap();
    let path = world.path("collector.toml");
    let file = format!(
        "facility = \"CANARY-AF\"\nlogin_node = \"login01.canary.example\"\nheartbeat = true\n\
         [spool]\nstate_dir = \"{folder}/state\"\n\
         [host]\nenabled = true\nroot = \"{folder}/root\"\nmounts = [\"/\"]\n\
         [ssh]\nenabled = true\n[batch]\nenabled = true\n{}",
        endpoints.replace("{world}", &folder)
    );
    fs::write(&path, file).unwrap();
    (world, path)
}

fn run(world: &World, path: &std::path::Path, args: &[&str]) -> Run {
    Run::of(world.bare_command(&[&["--config", path.to_str().unwrap()], args].concat()))
}

/// The table of an endpoint.
pub fn table(name: &str, endpoint: &Endpoint, token: &str, rest: &str) -> String {
    format!(
        "[[endpoints]]\nname = \"{name}\"\nurl = \"{}\"\ntoken_file = \"{{world}}/{token}\"\nca_file = \"{}\"\n{rest}",
        endpoint.url,
        endpoint.ca.path().display()
    )
}

pub fn kinds(endpoint: &Endpoint) -> Vec<String> {
    let mut kinds: Vec<String> = endpoint
        .documents()
        .iter()
        .map(|document| document["kind"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

pub fn one(endpoint: &Endpoint, kind: &str) -> Value {
    let documents = endpoint.documents().into_iter();
    documents.clone().find(|it| it["kind"] == kind).unwrap()
}

const HASHED: &str = "obfuscate_users = true\nhash = \"md5\"\nobfuscate_hosts = \"example.org\"\n";

#[test]
fn each_endpoint_hears_what_it_may() {
    let (shared, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http1));
    let narrow = format!("{HASHED}kinds = [\"ssh\", \"CPU\", \"condorjob\"]\n");
    let (world, path) = node(
        &(table("shared", &shared, "token", &narrow) + &table("own", &own, "other-token", "")),
    );
    run(&world, &path, &["-v"])
        .exits(0)
        .says("shared: 5 accepted; own: ")
        .lacks("canary-1")
        .lacks("login01");
    assert_eq!(kinds(&shared), ["CPU", "condorjob", "ssh"]);
    assert_eq!(
        kinds(&own),
        ["CPU", "DISK", "MEM", "NETWORK", "condorjob", "round", "ssh"]
    );
    // By `printf %s NAME | md5sum`, the last 8 digits.
    assert_eq!(
        one(&shared, "ssh")["users"],
        serde_json::json!(["28db8282", "6495518e"])
    );
    assert_eq!(
        one(&own, "ssh")["users"],
        serde_json::json!(["canary-1", "canary-2"])
    );
    assert_eq!(one(&shared, "ssh")["login_node"], "atlas01.example.org");
    assert_eq!(one(&own, "CPU")["login_node"], "login01.canary.example");
    for request in shared.requests() {
        let body = String::from_utf8(request.unpacked()).unwrap();
        assert!(
            !body.contains("canary-") && !body.contains("login01"),
            "{body}"
        );
        assert!(!body.contains("t0ken-of-the-other"), "{body}");
        assert!(body.contains("t0ken-of-one"), "{body}");
    }
    for document in own.documents() {
        assert_eq!(document["token"], "t0ken-of-the-other");
        assert_eq!(document["cluster"], "CANARY-AF");
    }
}

#[test]
fn one_that_is_away_loses_nothing_and_keeps_none_waiting() {
    let (away, own) = (
        Endpoint::start(Protocol::Http2, |_, _| {
            Reply::Status(503, "busy".to_owned())
        }),
        Endpoint::ok(Protocol::Http2),
    );
    let (world, path) =
        node(&(table("away", &away, "token", HASHED) + &table("own", &own, "other-token", "")));
    run(&world, &path, &[])
        .exits(1)
        .says("endpoint{name=\"away\"}")
        .says("documents wait in the spool");
    let first = own.documents().len();
    assert!(first > 5, "{first}");
    let list = Run::of(world.bare_command(&["spool", "--config", path.to_str().unwrap()])).exits(0);
    assert!(list.stdout.contains(&away.url), "{}", list.stdout);
    assert!(!list.stdout.contains(&own.url), "{}", list.stdout);
    away.answers(|_, _| Reply::ok());
    let refused = away.documents().len();
    run(&world, &path, &[]).exits(0);
    let late: Vec<Value> = away
        .documents()
        .into_iter()
        .skip(refused)
        .filter(|document| document.get("timestamp").is_some())
        .collect();
    assert_eq!(
        late.len(),
        first,
        "each once, with the time of the first round"
    );
    assert_eq!(own.documents().len(), 2 * first, "and nothing twice");
    assert!(
        own.documents()
            .iter()
            .all(|it| it.get("timestamp").is_none())
    );
    assert!(world.names("state/spool/pending").is_empty());
}

#[test]
fn what_waits_is_delivered_by_hand_to_each() {
    let (one, other) = (
        Endpoint::start(Protocol::Http2, |_, _| Reply::Status(503, String::new())),
        Endpoint::start(Protocol::Http2, |_, _| Reply::Status(503, String::new())),
    );
    let (world, path) =
        node(&(table("one", &one, "token", HASHED) + &table("other", &other, "other-token", "")));
    run(&world, &path, &[]).exits(1);
    for endpoint in [&one, &other] {
        endpoint.answers(|_, _| Reply::ok());
    }
    let config = path.to_str().unwrap();
    Run::of(world.bare_command(&["spool", "deliver", "--config", config])).exits(0);
    assert!(world.names("state/spool/pending").is_empty());
    Run::of(world.bare_command(&["spool", "deliver", "--any-endpoint", "--config", config]))
        .exits(2)
        .says("name one endpoint with -u");
}

#[test]
fn an_endpoint_that_is_named_keeps_the_privacy_of_the_file() {
    let (one, other) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let (world, path) =
        node(&(table("one", &one, "token", HASHED) + &table("other", &other, "other-token", "")));
    run(&world, &path, &["-u", &one.url, "-t", "t0ken-by-flag"]).exits(0);
    assert_eq!(self::one(&one, "ssh")["login_node"], "atlas01.example.org");
    assert_eq!(self::one(&one, "ssh")["token"], "t0ken-by-flag");
    assert!(other.requests().is_empty());
    run(
        &world,
        &path,
        &["-u", "https://127.0.0.1:9/", "-t", "t0ken-by-flag"],
    )
    .exits(2)
    .says("this is none of the [[endpoints]]");
    // What is written down hides as much.
    run(&world, &path, &["--print"])
        .exits(0)
        .lacks("login01")
        .lacks("canary-1");
}

#[test]
fn a_round_says_nothing_of_collectors_of_which_the_endpoint_hears_nothing() {
    let own = Endpoint::ok(Protocol::Http2);
    let (world, path) = node(&table(
        "own",
        &own,
        "token",
        "kinds = [\"ssh\", \"round\"]\n",
    ));
    run(&world, &path, &[]).exits(0);
    let round = one(&own, "round");
    let collectors = round["collectors"].as_object().unwrap();
    assert_eq!(collectors.keys().collect::<Vec<_>>(), ["ssh"]);
}

#[test]
fn numbers_of_what_an_endpoint_does_not_hear_are_not_0() {
    let otel = Endpoint::start(Protocol::Http1, |_, _| Reply::Status(200, String::new()));
    let (world, path) = node(&table(
        "otel",
        &otel,
        "token",
        "protocol = \"otlp\"\nkinds = [\"ssh\"]\n",
    ));
    run(&world, &path, &[]).exits(0);
    let request = &otel.requests()[0];
    let body = request.unpacked();
    let has = |text: &str| {
        body.windows(text.len())
            .any(|found| found == text.as_bytes())
    };
    assert!(has("afmetrics_ssh_users"));
    assert!(!has("afmetrics_jobs") && !has("afmetrics_load1"));
}

#[test]
fn without_a_state_folder_each_still_gets_its_own() {
    let (shared, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let (world, path) =
        node(&(table("shared", &shared, "token", HASHED) + &table("own", &own, "other-token", "")));
    fs::write(world.path("no-folder"), "").unwrap();
    let nowhere = world.path("no-folder");
    run(&world, &path, &["--state-dir", nowhere.to_str().unwrap()])
        .exits(1)
        .says("no state folder can be written");
    assert_eq!(kinds(&shared), kinds(&own));
    assert_eq!(one(&shared, "ssh")["login_node"], "atlas01.example.org");
    assert_eq!(one(&own, "ssh")["login_node"], "login01.canary.example");
}

#[test]
fn what_is_printed_is_what_the_strictest_hears_or_the_one_that_is_named() {
    let (shared, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let clear = "obfuscate_users = false\n";
    let (world, path) = node(
        &(format!("[privacy]\n{HASHED}")
            + &table("shared", &shared, "token", "")
            + &table("own", &own, "other-token", clear)),
    );
    let printed = |args: &[&str]| {
        run(&world, &path, &[&["--print"], args].concat())
            .exits(0)
            .stdout
    };
    let hashed = printed(&[]);
    assert!(hashed.contains("6495518e") && !hashed.contains("canary-1"));
    let of_own = printed(&["-u", &own.url]);
    assert!(of_own.contains("canary-1") && !of_own.contains("6495518e"));
    let of_shared = printed(&["-u", &shared.url]);
    assert!(of_shared.contains("6495518e") && !of_shared.contains("canary-1"));
}

#[test]
fn a_secret_of_one_goes_to_no_other() {
    let (one, other) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let (mut world, path) =
        node(&(table("one", &one, "token", "") + &table("other", &other, "other-token", "")));
    run(&world, &path, &["-t", "t0ken-by-flag"])
        .exits(2)
        .says("each of them has its own token")
        .lacks("t0ken-by-flag");
    world.env("AFMETRICS_URL", &other.url);
    run(&world, &path, &[])
        .exits(2)
        .says("AFMETRICS_URL: with [[endpoints]] each of them has its own");
    world.env("AFMETRICS_URL", "");
    world.env("AFMETRICS_TOKEN", "t0ken-by-environment");
    run(&world, &path, &[])
        .exits(2)
        .lacks("t0ken-by-environment");
    assert!(one.requests().is_empty() && other.requests().is_empty());
}

#[test]
fn endpoints_that_could_not_be_told_apart_are_refused() {
    let endpoint = Endpoint::ok(Protocol::Http2);
    for (tables, what) in [
        (
            table("one", &endpoint, "token", "") + &table("other", &endpoint, "token", ""),
            "have the same url or the same name",
        ),
        (
            table("one", &endpoint, "token", "kinds = [\"shs\"]\n"),
            "[[endpoints]] kinds: \"shs\" is none of ssh, ",
        ),
        (
            format!(
                "[delivery]\ntoken_file = \"{{world}}/token\"\n{}",
                table("one", &endpoint, "token", "")
            ),
            "with [[endpoints]] each of them has its own",
        ),
        (
            format!("[[endpoints]]\nurl = \"{}\"\n", endpoint.url),
            "[[endpoints]]: has no token_file",
        ),
    ] {
        let (world, path) = node(&tables);
        run(&world, &path, &[]).exits(2).says(what);
    }
    assert!(endpoint.requests().is_empty());
}

#[test]
fn metrics_go_by_otlp_and_wait_like_documents() {
    let (otel, own) = (
        Endpoint::start(Protocol::Http1, |_, _| Reply::Status(503, String::new())),
        Endpoint::ok(Protocol::Http2),
    );
    let (world, path) = node(
        &(table(
            "otel",
            &otel,
            "token",
            "protocol = \"otlp\"\nobfuscate_hosts = \"example.org\"\n",
        ) + &table("own", &own, "other-token", "")),
    );
    run(&world, &path, &[]).exits(1);
    otel.answers(|_, _| Reply::Status(200, String::new()));
    let refused = otel.requests().len();
    run(&world, &path, &["-v"]).exits(0);
    let requests = otel.requests().split_off(refused);
    assert_eq!(requests.len(), 2, "a round each, and the first one late");
    for request in &requests {
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        assert_eq!(request.header("authorization"), Some("Bearer t0ken-of-one"));
        let body = request.unpacked();
        let has = |text: &str| {
            body.windows(text.len())
                .any(|found| found == text.as_bytes())
        };
        for text in [
            "afmetrics_load1",
            "afmetrics_ssh_users",
            "afmetrics_jobs",
            "CANARY-AF",
        ] {
            assert!(has(text), "{text}");
        }
        assert!(has("atlas01.example.org") && !has("login01"));
        assert!(!has("canary-1") && !has("t0ken"), "no user and no token");
    }
    assert!(
        own.documents()
            .iter()
            .all(|document| document["kind"] != "metrics")
    );
}

#[test]
fn only_members_of_a_group_leave_to_the_one_that_has_it() {
    // `canary-1` and `canary-2` are no users of this system.
    let (shared, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let (world, path) = node(
        &(table("shared", &shared, "token", "group = \"root\"\n")
            + &table("own", &own, "other-token", "")),
    );
    run(&world, &path, &[]).exits(0);
    assert_eq!(one(&shared, "ssh")["users"], serde_json::json!([]));
    assert_eq!(one(&shared, "ssh")["ssh_user_count"], 0);
    assert_eq!(one(&own, "ssh")["ssh_user_count"], 2);
    assert!(
        shared
            .documents()
            .iter()
            .all(|it| it["kind"] != "condorjob")
    );
    assert!(own.documents().iter().any(|it| it["kind"] == "condorjob"));
}
