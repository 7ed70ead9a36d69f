//! `check`: everything is tried, nothing is sent, and nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use crate::state::by_nobody;
use crate::support::authority::Authority;
use crate::support::cluster::{Cluster, What, json_reply, recorded};
use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::needs;
use crate::support::program::{Run, TOKEN, World, jobs};
use crate::support::proxy::Proxy;

/// Sessions, jobs, and what the host has.
const ALL: [&str; 5] = ["-sb", "--host", "--mount", "/", "-v"];

/// A login node where everything is well.
fn node() -> World {
    let mut world = World::new();
    world.healthy_host().program(
        "who",
        "echo 'canary-1 pts/0 Nov 22 20:11 (192.0.2.1)'; echo 'canary-2 pts/1 Nov 22 20:12 (192.0.2.2)'",
    );
    world.batch_node(&jobs(3, "canary-1"));
    world
}

/// `check`, with this world's folders.
fn command(world: &World, args: &[&str]) -> Command {
    let state = world.path("state");
    let state = ["--state-dir", state.to_str().unwrap()];
    without_state_dir(world, &[&state, args].concat())
}

fn without_state_dir(world: &World, args: &[&str]) -> Command {
    let root = world.path("root");
    world.bare_command(&[&["check", "--root", root.to_str().unwrap()], args].concat())
}

fn check(world: &World, args: &[&str]) -> Run {
    Run::of(command(world, args))
}

/// The same, with a token, of the way to an endpoint.
fn way(world: &World, endpoint: &Endpoint, args: &[&str]) -> Run {
    let ca = endpoint.ca.path().to_str().unwrap();
    let to = ["-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
    check(world, &[&to, args].concat())
}

/// A row of the table: its verdict and the rest of the line.
#[track_caller]
fn row(run: &Run, check: &str) -> (String, String) {
    let line = run
        .stdout
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(&format!("{check}  ")))
        .unwrap_or_else(|| panic!("no row {check}:\n{}{}", run.stdout, run.stderr));
    let (verdict, rest) = line.trim_start().split_once(' ').unwrap();
    (verdict.to_owned(), rest.trim().to_owned())
}

/// Asserts what came of a check, and that its row has these words.
#[track_caller]
fn has(run: &Run, check: &str, verdict: &str, words: &[&str]) {
    let (found, rest) = row(run, check);
    assert_eq!(found, verdict, "{check}: {rest}");
    for word in words {
        assert!(rest.contains(word), "no {word:?} in {check}: {rest}");
    }
}

/// Asserts that this is advised, in a line of its own or in one.
#[track_caller]
fn advises(run: &Run, text: &str) {
    let (_, advice) = run.stdout.split_once("\n\n").unwrap();
    assert!(
        advice.contains(text),
        "{text:?} is not advised:\n{}",
        run.stdout
    );
}

/// Every file and folder below some, with mode and content.
fn everything_in(world: &World, folders: &[&str]) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    fn walk(at: &Path, all: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
        let about = fs::symlink_metadata(at).unwrap();
        let content = match about.is_file() {
            true => fs::read(at).unwrap(),
            false => Vec::new(),
        };
        all.insert(at.to_owned(), (about.permissions().mode(), content));
        if about.is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                walk(&entry.unwrap().path(), all);
            }
        }
    }
    let mut all = BTreeMap::new();
    for folder in folders {
        walk(&world.path(folder), &mut all);
    }
    all
}

const PLACES: [&str; 4] = ["state", "cwd", "home", "root"];

#[test]
fn where_all_is_well_it_says_what_was_found_and_neither_sends_nor_writes() {
    let world = node();
    fs::create_dir_all(world.path("root/var/log/afmetrics")).unwrap();
    let endpoint = Endpoint::ok(Protocol::Http2);
    world.deliver(&endpoint, &ALL).exits(0);
    let (sent, before) = (endpoint.requests().len(), everything_in(&world, &PLACES));
    let (connected, _) = endpoint.connections();
    let run = way(&world, &endpoint, &ALL).exits(0);
    assert_eq!(endpoint.requests().len(), sent);
    assert_eq!(endpoint.connections().0, connected + 1);
    assert_eq!(everything_in(&world, &PLACES), before);
    has(&run, "configuration", "ok", &["facility UC-AF"]);
    has(&run, "ssh", "ok", &["1 document (ssh 1), 2 users"]);
    has(
        &run,
        "condor_jobs",
        "ok",
        &["3 documents (condorjob 3), 1 user"],
    );
    has(&run, "condor_history", "ok", &["no documents"]);
    has(&run, "disk", "ok", &["DISK 1"]);
    has(&run, "state folder", "ok", &["can be written"]);
    has(&run, "spool", "ok", &["nothing waits"]);
    has(&run, "log", "ok", &["/var/log/afmetrics/afmetrics.log"]);
    has(&run, "127.0.0.1 connection", "ok", &[endpoint.address()]);
    has(&run, "127.0.0.1 TLS", "ok", &["TLS 1.3, HTTP/2"]);
    has(
        &run,
        "127.0.0.1 certificate",
        "ok",
        &["for 127.0.0.1, ", "localhost", "until "],
    );
    has(&run, "127.0.0.1 token", "ok", &["given by -t"]);
    assert!(run.stdout.contains(" 0 failed"), "{}", run.stdout);
    run.lacks("canary").lacks(TOKEN);
}

#[test]
fn a_state_folder_that_is_not_there_is_not_made() {
    let world = node();
    let made = world.path("made/here");
    let endpoint = Endpoint::ok(Protocol::Http1);
    let run = Run::of(without_state_dir(
        &world,
        &["--host", "-t", TOKEN, "-u", &endpoint.url, "--ca-file"]
            .into_iter()
            .chain([endpoint.ca.path().to_str().unwrap(), "--mount", "/"])
            .chain(["--state-dir", made.to_str().unwrap()])
            .collect::<Vec<_>>(),
    ))
    .exits(0);
    has(&run, "state folder", "ok", &["a round makes it"]);
    has(&run, "127.0.0.1 TLS", "ok", &["HTTP/1.1"]);
    assert!(!world.path("made").exists());
}

#[test]
fn what_waits_is_counted() {
    let world = node();
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(503, "busy".to_owned())
    });
    world
        .deliver(&endpoint, &["-b", "--deliver-for", "1"])
        .exits(1);
    let sent = endpoint.requests().len();
    let run = way(&world, &endpoint, &["-b"]).exits(0);
    has(
        &run,
        "spool",
        "warn",
        &["3 documents in 1 batch wait since 2"],
    );
    has(&run, "127.0.0.1 TLS", "skipped", &["not encrypted"]);
    advises(&run, "afmetrics_collector spool list --state-dir ");
    assert_eq!(endpoint.requests().len(), sent);
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_and_one_that_ends_soon() {
    let world = node();
    let authority = Authority::new();
    let start = |identity| {
        Endpoint::of(&authority, identity, Protocol::Http1, None, |_, _| {
            Reply::ok()
        })
    };
    let own = start(authority.sign(&["127.0.0.1"]));
    let run = check(&world, &["-b", "-t", TOKEN, "-u", &own.url]).exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &["UnknownIssuer"]);
    has(
        &run,
        "127.0.0.1 certificate",
        "fail",
        &["for 127.0.0.1, by "],
    );
    advises(&run, "ca_file = \"/etc/afmetrics/ca.pem\"");
    // An authority of the same name.
    let another = Endpoint::ok(Protocol::Http1);
    let ca = another.ca.path().to_str().unwrap();
    let run = check(
        &world,
        &["-b", "-t", TOKEN, "-u", &own.url, "--ca-file", ca],
    )
    .exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &["BadSignature"]);
    advises(&run, "has another key");

    let expired = start(authority.sign_expired(&["127.0.0.1"]));
    let run = way(&world, &expired, &["-b"]).exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &["certificate expired"]);
    has(
        &run,
        "127.0.0.1 certificate",
        "fail",
        &["until 2001-01-01", "days ago"],
    );
    advises(&run, "is this node's clock wrong?");

    let of_another_host = start(authority.sign(&["collector.canary.example"]));
    let run = way(&world, &of_another_host, &["-b"]).exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &["not valid for name"]);
    has(
        &run,
        "127.0.0.1 certificate",
        "fail",
        &["for collector.canary.example"],
    );

    let in_ten_days = Timestamp::now().to_zoned(TimeZone::UTC).date() + 10.days();
    let day = (
        i32::from(in_ten_days.year()),
        u8::try_from(in_ten_days.month()).unwrap(),
        u8::try_from(in_ten_days.day()).unwrap(),
    );
    let soon = start(authority.sign_until(&["127.0.0.1"], day));
    let run = way(&world, &soon, &["-b"]).exits(0);
    has(&run, "127.0.0.1 TLS", "ok", &["TLS 1.3"]);
    has(&run, "127.0.0.1 certificate", "warn", &["9 days"]);
    for endpoint in [own, expired, of_another_host, soon] {
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn an_endpoint_that_wants_a_certificate_of_ours_is_found_out() {
    let authority = Authority::new();
    let identity = authority.sign(&["127.0.0.1"]);
    let endpoint = Endpoint::of(
        &authority,
        identity,
        Protocol::Http1,
        Some(&authority),
        |_, _| Reply::ok(),
    );
    let run = way(&node(), &endpoint, &["-b"]).exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &["CertificateRequired"]);
}

#[test]
fn an_endpoint_that_nobody_can_reach() {
    let world = node();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let url = format!("https://canary-9:p4ssw0rd@{address}/a?b=p4ssw0rd");
    let run = check(&world, &["-b", "-t", TOKEN, "-u", &url])
        .exits(1)
        .lacks("p4ssw0rd");
    has(&run, "127.0.0.1 address", "ok", &["127.0.0.1"]);
    has(&run, "127.0.0.1 connection", "fail", &[&address, "refused"]);
    advises(&run, "https_proxy=");
    assert!(!run.stdout.contains("127.0.0.1 TLS"), "{}", run.stdout);

    let url = "https://collector.canary.invalid/";
    let run = check(&world, &["-b", "-t", TOKEN, "-u", url]).exits(1);
    let name = "collector.canary.invalid";
    has(&run, &format!("{name} address"), "fail", &[name]);
    advises(&run, &format!("getent hosts {name}"));
    has(&run, "condor_jobs", "ok", &["condorjob 3"]);

    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let args = ["-b", "-t", TOKEN, "-u", &url, "--request-timeout", "1"];
    let run = check(&world, &args).exits(1);
    has(&run, "127.0.0.1 connection", "ok", &[]);
    has(
        &run,
        "127.0.0.1 TLS",
        "fail",
        &["no answer to the handshake"],
    );

    // It does not speak TLS.
    let plain = Endpoint::ok(Protocol::PlainHttp);
    let url = plain.url.replace("http:", "https:");
    let run = check(&world, &["-b", "-t", TOKEN, "-u", &url]).exits(1);
    has(&run, "127.0.0.1 TLS", "fail", &[]);
}

#[test]
fn the_way_by_a_proxy() {
    let authority = Authority::new();
    let host = "collector.canary.example";
    let endpoint = Endpoint::of(
        &authority,
        authority.sign(&[host]),
        Protocol::Http2,
        None,
        |_, _| Reply::ok(),
    );
    let ca = endpoint.ca.path().to_str().unwrap();
    let url = format!("https://{host}/");
    let args = ["-b", "-t", TOKEN, "-u", &url, "--ca-file", ca];
    let mut world = node();
    let proxy = Proxy::to(endpoint.address());
    world.env(
        "https_proxy",
        format!("http://canary-9:p4ssw0rd@{}", proxy.address),
    );
    let run = check(&world, &args).exits(0).lacks("p4ssw0rd");
    has(
        &run,
        &format!("{host} proxy"),
        "ok",
        &[&proxy.address.to_string()],
    );
    has(&run, &format!("{host} by proxy"), "ok", &["leads there"]);
    has(&run, &format!("{host} TLS"), "ok", &["HTTP/2"]);
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(
        heads[0].starts_with(&format!("CONNECT {host}:443 ")),
        "{heads:?}"
    );
    // canary-9:p4ssw0rd
    assert!(
        heads[0].contains("Basic Y2FuYXJ5LTk6cDRzc3cwcmQ="),
        "{heads:?}"
    );
    assert_eq!(endpoint.requests().len(), 0);

    let refusing = Proxy::refusing();
    world.env("https_proxy", format!("http://{}", refusing.address));
    let run = check(&world, &args).exits(1);
    has(&run, &format!("{host} by proxy"), "fail", &["403"]);
    advises(&run, &format!("NO_PROXY={host}"));
}

#[test]
fn a_state_folder_that_cannot_be_written_is_granted_by_a_command() {
    let world = node();
    for name in ["", "root", "cwd", "home", "bin"] {
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(world.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let args = ["-b", "-t", TOKEN, "-u", "http://127.0.0.1:1/"];
    let before = everything_in(&world, &PLACES);
    let Some(run) = by_nobody(&world, &command(&world, &args), &[]) else {
        return;
    };
    let run = run.exits(1);
    has(&run, "user", "ok", &["nobody (uid 65534)"]);
    has(&run, "state folder", "fail", &["Permission denied"]);
    let state = world.path("state");
    advises(
        &run,
        &format!("sudo install -d -m 700 -o nobody {}", state.display()),
    );
    assert_eq!(everything_in(&world, &PLACES), before);
    // Under -o no name of a user, and no path that could hold one.
    let hidden = by_nobody(
        &world,
        &command(&world, &[&args[..], &["-o"]].concat()),
        &[],
    );
    let run = hidden.unwrap().exits(1).lacks(state.to_str().unwrap());
    advises(&run, "state_dir in [spool] or --state-dir names");
    advises(&run, "sudo install -d -m 700 -o 65534 STATE_DIR");
    let run = run.lacks("/var/lib/afmetrics");
    has(&run, "names to 127.0.0.1", "warn", &["without a salt"]);
    // One where services have theirs names nobody.
    let configured = "/var/lib/afmetrics-of-the-tests/not-there";
    for hide in [&["-O", "canary.example"][..], &["-o"]] {
        let args = [&args[..], hide, &["--state-dir", configured]].concat();
        let run = by_nobody(&world, &without_state_dir(&world, &args), &[]);
        advises(
            &run.unwrap().exits(1),
            &format!("sudo install -d -m 700 -o 65534 {configured}"),
        );
    }
}

#[test]
fn root_is_sent_to_the_user_whose_folder_it_is() {
    if !needs::root_and(&[]) {
        return;
    }
    let world = node();
    chown(world.path("state"), Some(65534), Some(65534)).unwrap();
    let args = ["-b", "-t", TOKEN, "-u", "http://127.0.0.1:1/"];
    let run = check(&world, &args).exits(1);
    has(&run, "state folder", "fail", &["belongs to another user"]);
    advises(&run, "sudo -u '#65534' afmetrics_collector check");
}

#[test]
fn where_no_state_folder_can_be_made() {
    let world = node();
    for folder in ["root/var/lib/afmetrics", "home/.local/state/afmetrics"] {
        let path = world.path(folder);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("/proc/self/nowhere", path).unwrap();
    }
    let args = ["-b", "-t", TOKEN, "-u", "http://127.0.0.1:1/"];
    let run = Run::of(without_state_dir(&world, &args)).exits(1);
    has(&run, "state folder", "fail", &["can write none"]);
    advises(&run, "install -d -m 700 -o ");
    advises(&run, " /var/lib/afmetrics");
}

#[test]
fn a_collector_that_fails_says_why_and_what_to_do() {
    let mut world = node();
    world.program("condor_q", "echo 'canary-1 is not let in' >&2; exit 1");
    let run = check(&world, &["-sb", "--print"]).exits(1);
    has(&run, "ssh", "ok", &["2 users"]);
    has(
        &run,
        "condor_jobs",
        "fail",
        &["exit status 1", "canary-1 is not let in"],
    );
    has(&run, "endpoint", "skipped", &["send nothing"]);
    assert_eq!(run.lines_with("ERROR"), 0, "said once: {}", run.stderr);
    // What it says may hold a name.
    let run = check(&world, &["-sb", "--print", "-o"])
        .exits(1)
        .lacks("canary");
    has(&run, "condor_jobs", "fail", &["exit status 1"]);

    fs::remove_file(world.path("bin/condor_q")).unwrap();
    let run = check(&world, &["-b", "--print", "--schedd", "s.canary.example"]).exits(1);
    has(&run, "condor_jobs", "fail", &["not on PATH"]);
    advises(&run, &format!("PATH is {}", world.path("bin").display()));

    let mut world = node();
    world.program("who", "exit 0");
    fs::remove_file(world.path("root/run/utmp")).unwrap();
    let run = check(&world, &["-s", "--print"]).exits(1);
    has(&run, "ssh", "fail", &["no record of sessions"]);
    advises(&run, "[ssh]\n      enabled = false");

    let run = check(&node(), &["--host", "--mount", "/nowhere", "--print"]).exits(1);
    has(&run, "disk", "fail", &["/nowhere does not exist"]);
    advises(&run, "mounts = ");
}

#[test]
fn a_forbidden_namespace_is_granted_by_commands() {
    let cluster = Cluster::start(|ask| {
        (ask.what == What::ListPods && ask.namespace == "canary-lab")
            .then(|| json_reply(403, recorded("403.json")))
    });
    let mut world = node();
    let run = check(&world, &["-j", "--print"]).exits(1);
    has(&run, "jupyter", "fail", &["there is no kubeconfig"]);
    advises(&run, "KUBECONFIG=/etc/afmetrics/kubeconfig");
    let path = world.path("home/af.conf");
    let kubeconfig = cluster.kubeconfig(&json!({"token": "t0ken-of-the-cluster"}));
    fs::write(&path, kubeconfig.to_string()).unwrap();
    world.env("KUBECONFIG", path);
    let run = check(&world, &["-j", "--print", "-n", "canary-lab"]).exits(1);
    has(&run, "jupyter", "fail", &["jupyter-coffea 1", "403"]);
    advises(
        &run,
        "kubectl -n canary-lab create role afmetrics --verb=list --resource=pods",
    );
}

#[test]
fn a_group_that_nobody_knows_is_a_wrong_configuration() {
    let endpoint = Endpoint::ok(Protocol::Http1);
    let run = way(&node(), &endpoint, &["-sb", "-g", "canaries-unknown"])
        .exits(2)
        .says("this system knows no group \"canaries-unknown\"");
    has(&run, "group", "fail", &["knows no group"]);
    advises(&run, "getent group");
    assert!(!run.stdout.contains("ssh  "), "{}", run.stdout);
    has(&run, "127.0.0.1 TLS", "ok", &[]);
}

#[test]
fn a_configuration_that_chooses_nothing_is_told_what_the_node_has() {
    let world = node();
    let run = check(&world, &["--print"])
        .exits(2)
        .says("nothing to collect");
    has(&run, "collectors", "fail", &["none is chosen"]);
    for line in [
        "[ssh]\n      enabled = true",
        "[batch]\n      enabled = true    # condor_q is on PATH",
        "[host]\n      enabled = true",
        "afmetrics_collector reference config",
    ] {
        advises(&run, line);
    }
    assert!(!run.stdout.contains("[jupyter]"), "{}", run.stdout);
    let run = check(&World::new(), &["--print"]).exits(2);
    advises(&run, "has nothing that could be collected");
    let run = check(&world, &["--print", "--heartbeat"]).exits(0);
    has(&run, "collectors", "ok", &["heartbeat alone"]);
}

#[test]
fn without_a_token_the_sources_are_tried_all_the_same() {
    let world = node();
    let run = check(&world, &["-sb"]).exits(2).says("no token");
    has(&run, "settings", "fail", &["no token"]);
    has(&run, "ssh", "ok", &["2 users"]);
    has(&run, "endpoints", "skipped", &[]);
    has(&run, "state folder", "ok", &[]);
    let missing = world.path("home/token");
    let run = check(
        &world,
        &["-sb", "-o", "--token-file", missing.to_str().unwrap()],
    )
    .exits(2);
    has(&run, "settings", "fail", &["cannot read the token from"]);
    advises(&run, "sudo install -m 640 -o root -g GROUP /dev/stdin ");
    // What cannot be understood at all leaves the rest.
    let run = check(&world, &["-b", "-q", "no colon"]).exits(2);
    has(&run, "settings", "fail", &["has no colon"]);
    has(&run, "state folder", "ok", &[]);
}

#[test]
fn a_file_with_two_endpoints_has_rows_for_both() {
    let world = node();
    let well = Endpoint::ok(Protocol::Http2);
    for name in ["one", "two", "salt"] {
        let path = world.path("home").join(name);
        fs::write(&path, "t0ken-of-a-file\n").unwrap();
        let mode = if name == "one" { 0o644 } else { 0o640 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let home = world.path("home");
    let home = home.display();
    let file = world.path("home/collector.toml");
    let text = format!(
        "facility = \"CANARY-AF\"\n[daemon]\ninterval_secs = 60\n[batch]\nenabled = true\n\
         [[endpoints]]\nname = \"site\"\nurl = \"{}\"\ntoken_file = \"{home}/one\"\nca_file = \"{}\"\n\
         [[endpoints]]\nname = \"abroad\"\nurl = \"https://127.0.0.1:1/\"\ntoken_file = \"{home}/two\"\nkinds = [\"condorjob\"]\n\
         obfuscate_users = true\nsalt_file = \"{home}/salt\"\nhash = \"hmac-sha256\"\n\
         [[endpoints]]\nname = \"numbers\"\nprotocol = \"otlp\"\nurl = \"http://127.0.0.1:2/\"\n",
        well.url,
        well.ca.path().display(),
    );
    fs::write(&file, text).unwrap();
    let mut world = world;
    world.env("AFMETRICS_SILENCE", "20");
    let run = check(&world, &["--config", file.to_str().unwrap()])
        .exits(1)
        .lacks("t0ken-of-a-file")
        .lacks("canary-1");
    has(
        &run,
        "configuration",
        "ok",
        &["CANARY-AF", "AFMETRICS_SILENCE"],
    );
    has(&run, "names to site", "ok", &["users as they are"]);
    has(
        &run,
        "names to abroad",
        "ok",
        &["HMAC-SHA-256(salt, name) with a salt", "only condorjob"],
    );
    has(&run, "condor_jobs", "ok", &["condorjob 3), 1 user"]);
    has(&run, "site TLS", "ok", &["HTTP/2"]);
    has(&run, "site token", "warn", &["token_file"]);
    advises(&run, "chmod o= TOKEN_FILE");
    has(&run, "abroad connection", "fail", &["127.0.0.1:1"]);
    has(&run, "abroad token", "ok", &["token_file"]);
    has(&run, "salt", "ok", &[]);
    has(&run, "names to numbers", "ok", &["no user's name"]);
    has(&run, "numbers token", "ok", &["none is given"]);
    assert_eq!(well.requests().len(), 0);
}

#[test]
fn names_of_hosts_are_hidden_where_they_must_not_leave() {
    let world = node();
    let endpoint = Endpoint::ok(Protocol::Http1);
    let hidden = ["-sb", "-O", "canary.example", "--login-node"];
    let run = way(
        &world,
        &endpoint,
        &[&hidden[..], &["lab-07.secret-site.example"]].concat(),
    )
    .exits(0)
    .lacks("secret-site")
    .lacks("lab-07")
    .lacks(world.path("state").to_str().unwrap());
    has(
        &run,
        "names to 127.0.0.1",
        "ok",
        &["this node is atlas07.canary.example"],
    );
    has(&run, "state folder", "ok", &["the folder of --state-dir"]);
    // The digit of a domain tells no node from another.
    for domain in ["canary.example", "t2.canary.example"] {
        let hidden = ["-sb", "-O", domain, "--login-node", "gateway"];
        let run = way(&world, &endpoint, &hidden).exits(0);
        has(
            &run,
            "names to 127.0.0.1",
            "warn",
            &[&format!("atlas.{domain}")],
        );
        advises(&run, "login_node = ");
        // Once is enough.
        run.lacks("tells it from them");
    }
}

#[test]
fn what_else_the_node_has() {
    let mut world = node();
    world
        .file("/usr/local/bin/afmetrics_collector", "#!/usr/bin/python3\n")
        .file("/run/systemd/system/x", "");
    let run = check(&world, &["-b", "--print"]).exits(0);
    has(&run, "old script", "warn", &["is a script"]);
    advises(
        &run,
        "grep -rn /usr/local/bin/afmetrics_collector /etc/cron*",
    );
    assert!(!run.stdout.contains("\nsystemd"), "{}", run.stdout);

    world.program(
        "systemctl",
        "case $1 in is-active) echo active; echo inactive; echo failed; exit 3;; *) echo enabled; echo disabled; echo static; exit 1;; esac",
    );
    world.file("/usr/local/bin/afmetrics_collector", "\x7fELF");
    let run = check(&world, &["-b", "--print"]).exits(0);
    assert!(!run.stdout.contains("old script"), "{}", run.stdout);
    has(
        &run,
        "systemd",
        "warn",
        &[
            "afmetrics_collector.service is active, enabled; afmetrics_collector.timer is inactive, disabled",
        ],
    );
    advises(&run, "journalctl -u afmetrics_collector_round.service");

    world.program(
        "systemctl",
        "echo inactive; echo inactive; echo inactive; exit 3",
    );
    let run = check(&world, &["-b", "--print"]).exits(0);
    has(&run, "systemd", "skipped", &["it does no rounds"]);
    let nowhere = world.path("nowhere/af.prom");
    let run = check(
        &world,
        &["-b", "--print", "--textfile", nowhere.to_str().unwrap()],
    )
    .exits(1);
    has(&run, "textfile", "fail", &["cannot be written"]);
}

#[test]
fn clear_names_that_go_to_the_default_endpoint_are_a_warning() {
    let world = node();
    let proxy = ("https_proxy", "http://127.0.0.1:9");
    let run = |args: &[&str]| {
        let mut command = command(&world, &[&["-s", "-t", TOKEN], args].concat());
        command.env(proxy.0, proxy.1);
        Run::of(command).stdout
    };
    let said = "no url is given: clear user names go to the default, af.atlas-ml.org";
    assert!(run(&[]).contains(said));
    assert!(!run(&["-o"]).contains(said));
    assert!(!run(&["-u", "http://127.0.0.1:9/"]).contains(said));
}
