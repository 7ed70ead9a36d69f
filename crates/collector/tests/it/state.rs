//! The state folder, by way of NETWORK, which counts from one round to the next.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::programs::DEAD_MOUNT;
use crate::support::endpoint::{Endpoint, Protocol, Received, Reply};
use crate::support::namespace::{Namespace, within};
use crate::support::needs;
use crate::support::program::{Run, World};
use crate::support::proxy::Proxy;

const HOST: [&str; 4] = ["--host", "--mount", "/", "-v"];
/// What a round that was delivered leaves in the state folder.
const KEPT: [&str; 3] = ["cursors", "locks", "spool"];
/// Where the counters are once the round that stored them is gone.
const COUNTERS: &str = "state/cursors/network@UC-AF.json";
const BOOT: &str = "5b4b5f0e-0000-4000-8000-000000000001\n";

/// By interface: bytes sent, bytes received.
type Interfaces<'a> = &'a [(&'a str, u64, u64)];

/// What the kernel of a world counted at this time since its boot.
fn at(world: &mut World, uptime: &str, interfaces: Interfaces) {
    let mut text = "Inter-|   Receive  |  Transmit\n face |bytes  |bytes\n".to_owned();
    for (name, sent, received) in interfaces {
        text.push_str(&format!(
            "{name}: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
        ));
    }
    world
        .file("/proc/uptime", format!("{uptime} 1.00\n"))
        .file("/proc/1/net/dev", text);
}

fn host(uptime: &str, interfaces: Interfaces) -> World {
    let mut world = World::new();
    world.healthy_host();
    at(&mut world, uptime, interfaces);
    world
}

/// Sends a round and returns its NETWORK.
#[track_caller]
fn round(world: &World) -> (Value, Run) {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let run = world.deliver(&endpoint, &HOST).exits(0);
    (network(&endpoint), run)
}

#[track_caller]
fn network(endpoint: &Endpoint) -> Value {
    let documents = endpoint.documents();
    let network = documents.iter().find(|d| d["kind"] == "NETWORK").unwrap();
    network["network"].clone()
}

/// Asserts that this came from two samples of unchanged counters.
#[track_caller]
fn assert_sampled(network: &Value) {
    assert_eq!(
        (&network["sent"], &network["received"]),
        (&json!(0), &json!(0))
    );
    let interval = network["interval"].as_f64().unwrap();
    assert!((1.0..10.0).contains(&interval), "{interval}");
}

/// What is in the cursor's file.
#[track_caller]
fn counters(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path(COUNTERS)).unwrap()).unwrap()
}

/// Puts something where the cursor is.
fn put_cursor(world: &World, content: &[u8]) {
    fs::create_dir_all(world.path("state/cursors")).unwrap();
    fs::write(world.path(COUNTERS), content).unwrap();
}

#[test]
fn a_round_counts_from_the_last_one_and_the_first_takes_two_samples() {
    let mut world = host("5000.25", &[("lo", 100, 100), ("eth0", 1000, 2000)]);
    let (first, run) = round(&world);
    assert_sampled(&first);
    run.says("INFO network: no counters of an earlier round");
    at(
        &mut world,
        "5300.50",
        &[("lo", 101, 101), ("eth0", 1500, 2700)],
    );
    let (second, _) = round(&world);
    assert_eq!(
        second,
        json!({"interval": 300.25, "sent": 501, "received": 701})
    );
    at(
        &mut world,
        "5400.50",
        &[("lo", 101, 101), ("eth0", 1500, 2700)],
    );
    let (third, _) = round(&world);
    assert_eq!(third, json!({"interval": 100.0, "sent": 0, "received": 0}));
    at(
        &mut world,
        "95400.75",
        &[("lo", 102, 103), ("eth0", 1500, 2700)],
    );
    let (long, _) = round(&world);
    assert_eq!(
        long,
        json!({"interval": 90000.25, "sent": 1, "received": 2}),
        "a round long ago is a long interval"
    );
    assert_eq!(world.names("state"), KEPT);
    assert_eq!(world.names("state/spool/pending"), Vec::<String>::new());
    assert_eq!(counters(&world)["round"], 4);
    let mode = fs::metadata(world.path(COUNTERS))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn print_counts_from_the_last_round_and_leaves_it() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    round(&world);
    let before = fs::read(world.path(COUNTERS)).unwrap();
    at(&mut world, "5010.00", &[("lo", 107, 109)]);
    for to in ["-d", "--print"] {
        let run = world.run(&[&[to][..], &HOST].concat()).exits(0);
        assert_eq!(fs::read(world.path(COUNTERS)).unwrap(), before, "{to}");
        assert_eq!(world.names("state"), KEPT, "{to}");
        if to == "--print" {
            let documents = run.documents();
            let network = documents.iter().find(|d| d["kind"] == "NETWORK").unwrap();
            assert_eq!(
                network["network"],
                json!({"interval": 10.0, "sent": 7, "received": 9})
            );
        }
    }
}

#[test]
fn an_interval_that_was_not_delivered_is_delivered_later_and_the_next_one_begins_behind_it() {
    let mut world = host("4050.00", &[("lo", 100, 100)]);
    round(&world);
    let before = counters(&world);
    at(&mut world, "4350.19", &[("lo", 600, 700)]);
    let busy = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(500, "busy".to_owned())
    });
    let args = [&HOST[..], &["--deliver-for", "1"]].concat();
    // To the same URL: what was collected for one endpoint is not sent to another.
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let proxied = |world: &mut World, endpoint: &Endpoint| {
        let proxy = Proxy::to(endpoint.address());
        world.env("http_proxy", format!("http://{}", proxy.address));
        let url = ["-t", "t0ken-1", "-u", "http://collector.example.org/"];
        (world.run(&[&url, &args[..]].concat()), proxy)
    };
    proxied(&mut world, &busy).0.exits(1);
    assert_eq!(counters(&world), before);
    let pending = "state/spool/pending/00000002/cursor-network@UC-AF.json";
    let pending: Value = serde_json::from_slice(&fs::read(world.path(pending)).unwrap()).unwrap();
    assert_eq!(
        (&pending["round"], &pending["cursor"]["uptime"]),
        (&json!(2), &json!(4350.19))
    );
    at(&mut world, "4650.19", &[("lo", 1100, 2100)]);
    proxied(&mut world, &endpoint).0.exits(0);
    assert_eq!(counters(&world)["round"], 3);
    let documents = endpoint.documents();
    let interval_of = |is_late: bool| {
        let mut found = documents
            .iter()
            .filter(|d| d["kind"] == "NETWORK" && d.get("timestamp").is_some() == is_late);
        let network = found.next().unwrap()["network"].clone();
        assert!(found.next().is_none());
        network
    };
    assert_eq!(
        interval_of(true),
        json!({"interval": 300.19, "sent": 500, "received": 600})
    );
    assert_eq!(
        interval_of(false),
        json!({"interval": 300.0, "sent": 500, "received": 1400})
    );
    assert_eq!(documents.len(), 8);
    assert_eq!(world.names("state"), KEPT);
    assert_eq!(world.names("state/spool/pending"), Vec::<String>::new());
}

#[test]
fn no_difference_is_made_of_what_cannot_be_compared() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("a counter went back", |world| {
            at(world, "5300.00", &[("lo", 900, 50)])
        }),
        ("the uptime went back", |world| {
            at(world, "4999.00", &[("lo", 900, 900)])
        }),
        ("no time went by", |world| {
            at(world, "5000.00", &[("lo", 900, 900)])
        }),
        ("another boot", |world| {
            at(world, "5300.00", &[("lo", 900, 900)]);
            world.file(
                "/proc/sys/kernel/random/boot_id",
                "5b4b5f0e-0000-4000-8000-000000000002\n",
            );
        }),
    ];
    for (what, change) in changes {
        let mut world = host("5000.00", &[("lo", 100, 100)]);
        round(&world);
        change(&mut world);
        let (network, run) = round(&world);
        assert_sampled(&network);
        assert_eq!(
            run.lines_with("rebooted or a counter was reset"),
            1,
            "{what}"
        );
        at(&mut world, "6000.00", &[("lo", 1000, 1000)]);
        let (network, _) = round(&world);
        assert!(
            network["interval"].as_f64().unwrap() > 600.0,
            "{what}: counts from there"
        );
    }
}

#[test]
fn interfaces_come_and_go() {
    let mut world = host("5000.00", &[("lo", 100, 100), ("eth0", 7000, 7000)]);
    round(&world);
    at(
        &mut world,
        "5010.00",
        &[("lo", 101, 102), ("veth7", 30, 40)],
    );
    let (network, _) = round(&world);
    assert_eq!(
        network,
        json!({"interval": 10.0, "sent": 31, "received": 42})
    );
}

#[test]
fn a_damaged_cursor_is_set_aside() {
    for content in [
        &b"\xff\x00{"[..],
        b"",
        b"{\"round\":1,\"cursor\":{\"boot_id\":\"x\",\"upti",
        b"[]",
        b"[1, 2]",
        b"\0\0",
        b"7",
        b"null",
        b"{}",
        b"{\"round\":1}",
        b"{\"round\":-1,\"cursor\":{}}",
        b"{\"round\":18446744073709551615,\"cursor\":{}}",
        b"{\"round\":1,\"cursor\":null}",
        b"{\"round\":1,\"cursor\":{\"sent\":1,\"received\":2,\"timestamp\":3}}",
        b"{\"round\":1,\"cursor\":{\"boot_id\":1,\"uptime\":\"x\",\"interfaces\":[]}}",
        b"{\"round\":1,\"cursor\":{\"boot_id\":\"x\",\"uptime\":1.0,\"interfaces\":{\"lo\":[-1,2]}}}",
    ] {
        let mut world = host("5000.00", &[("lo", 100, 100)]);
        put_cursor(&world, content);
        // Where the old script left off says nothing once we have counted ourselves.
        world.file("/run/afmetrics.json", old_state(300.0, 50, 50));
        let (network, run) = round(&world);
        assert_sampled(&network);
        assert_eq!(run.lines_with("WARN the cursor "), 1, "{}", run.stderr);
        let run = run.says("set aside as .damaged");
        assert_eq!(
            world.names("state/cursors"),
            ["network@UC-AF.json", "network@UC-AF.json.damaged"],
            "{}",
            run.stderr
        );
        let aside = fs::read(world.path(&format!("{COUNTERS}.damaged"))).unwrap();
        assert_eq!(aside, content);
        at(&mut world, "5010.00", &[("lo", 101, 102)]);
        let (network, run) = round(&world);
        assert_eq!(network["interval"], 10.0);
        assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    }
}

#[test]
fn a_damaged_cursor_of_a_round_that_waits_is_set_aside_too() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    round(&world);
    at(&mut world, "5010.00", &[("lo", 107, 109)]);
    let is_open = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_open);
    let endpoint = Endpoint::start(Protocol::PlainHttp, move |_, _| {
        match now.load(Ordering::SeqCst) {
            true => Reply::ok(),
            false => Reply::Status(403, "closed".to_owned()),
        }
    });
    let args = [&HOST[..], &["--batch-size", "9"]].concat();
    world.deliver(&endpoint, &args).exits(1);
    let pending = "state/spool/pending/00000002/cursor-network@UC-AF.json";
    fs::write(world.path(pending), "{").unwrap();
    at(&mut world, "5020.00", &[("lo", 200, 200)]);
    let run = world.deliver(&endpoint, &args).exits(1);
    assert_eq!(run.lines_with("WARN the cursor "), 1, "{}", run.stderr);
    assert_eq!(
        fs::read(world.path(&format!("{pending}.damaged"))).unwrap(),
        b"{"
    );
    is_open.store(true, Ordering::SeqCst);
    at(&mut world, "5030.00", &[("lo", 203, 204)]);
    let before = endpoint.requests().len();
    let run = world.deliver(&endpoint, &args).exits(0);
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    let accepted = endpoint.requests().split_off(before);
    let mut networks: Vec<Value> = accepted
        .iter()
        .flat_map(Received::documents)
        .filter(|d| d["kind"] == "NETWORK")
        .map(|d| d["network"].clone())
        .collect();
    assert_eq!(networks.len(), 3);
    networks.sort_by_key(|network| network["sent"].as_u64());
    // The one in the middle is gone, as nobody knows where it began.
    assert_sampled(&networks[0]);
    assert_eq!(
        networks[1..],
        [
            json!({"interval": 10.0, "sent": 3, "received": 4}),
            json!({"interval": 10.0, "sent": 7, "received": 9})
        ]
    );
    assert_eq!(world.names("state/spool/pending"), Vec::<String>::new());
}

#[test]
fn a_cursor_that_is_a_folder_is_not_fatal() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    fs::create_dir_all(world.path(COUNTERS).join("with/something")).unwrap();
    let (network, run) = round(&world);
    assert_sampled(&network);
    assert_eq!(run.lines_with("WARN the cursor"), 1, "{}", run.stderr);
    assert_eq!(run.lines_with("WARN"), 1, "{}", run.stderr);
    at(&mut world, "5010.00", &[("lo", 101, 102)]);
    let (network, run) = round(&world);
    assert_eq!(network["interval"], 10.0);
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
}

/// Seconds since 1970.
fn unix_now() -> f64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test makes what the old script left just now"
    )]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// The old script's sums over all interfaces so many seconds ago, milliseconds since 1970.
fn old_state(ago: f64, sent: u64, received: u64) -> String {
    json!({"sent": sent, "received": received, "timestamp": (unix_now() - ago) * 1000.0})
        .to_string()
}

#[test]
fn the_old_scripts_state_is_where_the_first_round_counts_from() {
    let interfaces: Interfaces = &[("lo", 100, 100), ("eth0", 1000, 2000)];
    let left = |ago, sent| old_state(ago, sent, 2000);
    let mut world = host("5000.00", interfaces);
    world.file("/run/afmetrics.json", left(300.0, 1050));
    let printed = world.print(&HOST).exits(0).documents();
    let printed = printed.iter().find(|d| d["kind"] == "NETWORK").unwrap();
    assert_eq!(printed["network"]["sent"], 50);
    let (network, _) = round(&world);
    assert_eq!(
        (&network["sent"], &network["received"]),
        (&json!(50), &json!(100))
    );
    let interval = network["interval"].as_f64().unwrap();
    assert!((300.0..330.0).contains(&interval), "{interval}");
    at(
        &mut world,
        "5010.00",
        &[("lo", 100, 100), ("eth0", 1001, 2002)],
    );
    let (network, _) = round(&world);
    assert_eq!(
        network,
        json!({"interval": 10.0, "sent": 1, "received": 2}),
        "our own, then"
    );

    for unusable in [
        left(3700.0, 1050),
        left(-60.0, 1050),
        left(300.0, 9999),
        "[]".to_owned(),
        "[1]".to_owned(),
        String::new(),
        "{\"sent\":-1,\"received\":0,\"timestamp\":0}".to_owned(),
        "\u{0}".to_owned(),
    ] {
        let mut world = host("5000.00", interfaces);
        world.file("/run/afmetrics.json", &unusable);
        let (network, _) = round(&world);
        assert_sampled(&network);
    }
    let mut world = host("200.00", interfaces);
    world.file("/run/afmetrics.json", left(300.0, 1050));
    let (network, _) = round(&world);
    assert_sampled(&network);
}

#[test]
fn a_named_state_folder_that_cannot_be_used_is_a_failure_and_the_round_goes_on() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    // It would be the beginning of every round until it is an hour old.
    world.file("/run/afmetrics.json", old_state(300.0, 50, 50));
    // Root may write anywhere, but not below a file.
    fs::write(world.path("file"), "").unwrap();
    let below = ["file", "file/below"].map(|name| world.path(name));
    for path in below.iter().chain([&"/proc/self/nowhere".into()]) {
        let path = path.to_str().unwrap();
        let endpoint = Endpoint::ok(Protocol::PlainHttp);
        let args = [&HOST[..], &["--state-dir", path]].concat();
        let run = world.deliver(&endpoint, &args).exits(1);
        assert_sampled(&network(&endpoint));
        assert_eq!(endpoint.documents().len(), 4);
        assert_eq!(
            run.lines_with("ERROR no state folder can be written"),
            1,
            "{}",
            run.stderr
        );
        assert_eq!(run.lines_with(path), 1, "{}", run.stderr);
        let args = [&args[..], &["-O", "example.org"]].concat();
        world
            .deliver(&endpoint, &args)
            .exits(1)
            .says("the folder of --state-dir: ")
            .lacks(path);
    }
}

/// Makes it impossible to store a round, for whoever it is.
fn full(world: &World) {
    let lock = world.path("state/spool/storing.lock");
    let _ = fs::remove_file(&lock);
    fs::create_dir_all(lock).unwrap();
}

fn empty(world: &World) {
    fs::remove_dir(world.path("state/spool/storing.lock")).unwrap();
}

/// Sends a round that cannot be stored: all but its NETWORK leaves.
#[track_caller]
fn round_without_room(world: &World) {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let run = world.deliver(&endpoint, &HOST).exits(1);
    let run = run.says("3 accepted, 1 left to the next round");
    assert_eq!(
        run.lines_with("WARN the round cannot be stored in "),
        1,
        "{}",
        run.stderr
    );
    let kinds: Vec<Value> = endpoint
        .documents()
        .iter()
        .map(|d| d["kind"].clone())
        .collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert!(!kinds.contains(&json!("NETWORK")), "{kinds:?}");
}

#[test]
fn counters_that_cannot_be_stored_are_no_end_of_an_interval() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    round(&world);
    full(&world);
    for time in ["5300.00", "5600.00"] {
        at(&mut world, time, &[("lo", 700, 700)]);
        round_without_room(&world);
    }
    empty(&world);
    at(&mut world, "5900.00", &[("lo", 800, 900)]);
    let (network, run) = round(&world);
    assert_eq!(
        network,
        json!({"interval": 900.0, "sent": 700, "received": 800})
    );
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
}

#[test]
fn the_old_scripts_interval_waits_for_room() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    world.file("/run/afmetrics.json", old_state(300.0, 50, 50));
    full(&world);
    round_without_room(&world);
    round_without_room(&world);
    empty(&world);
    let (network, _) = round(&world);
    assert_eq!(
        (&network["sent"], &network["received"]),
        (&json!(50), &json!(50))
    );
}

#[test]
fn a_disk_that_is_full_is_seen_before_anything_is_sent() {
    if !needs::root_and(&[]) {
        return;
    }
    let namespace = Namespace::new(
        &[],
        "",
        "mkdir $1/full; mount -t tmpfs -o size=64k none $1/full; chmod 700 $1/full",
    );
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    let full = namespace.path("full");
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = [&["-t", "t0ken-1", "-u", &endpoint.url], &HOST[..]].concat();
    let args = [&to[..], &["--state-dir", full.to_str().unwrap()]].concat();
    let round = |world: &World| Run::of(namespace.inside(&world.command(&args)));
    round(&world).exits(0);
    namespace.sh("cat /dev/zero > $1/full/file || true");
    at(&mut world, "5300.00", &[("lo", 700, 700)]);
    round(&world)
        .exits(1)
        .says("WARN the round cannot be stored in ")
        .says("No space left on device")
        .says("3 accepted, 1 left to the next round");
    namespace.sh("rm $1/full/file");
    at(&mut world, "5600.00", &[("lo", 800, 900)]);
    let run = round(&world).exits(0);
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    let sent = networks(&endpoint);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(
        sent[1],
        json!({"interval": 600.0, "sent": 700, "received": 800}),
        "{sent:?}"
    );
}

/// A file that nobody writes to: reading it hangs in the kernel.
#[test]
fn a_cursor_that_does_not_answer_costs_its_patience_only() {
    let world = host("5000.00", &[("lo", 100, 100)]);
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    fs::create_dir(world.path("state/cursors")).unwrap();
    nix::unistd::mkfifo(&world.path(COUNTERS), mode).unwrap();
    let begun = Instant::now();
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let args = [&HOST[..], &["--silence", "2"]].concat();
    world
        .deliver(&endpoint, &args)
        .exits(1)
        .says("network@UC-AF.json: no answer within 2 s")
        .says("ERROR network: cannot read the cursor ");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(endpoint.documents().len(), 3);
}

#[test]
fn a_state_folder_on_a_dead_mount_is_passed_over() {
    if !needs::root_and(&["/dev/fuse"]) {
        return;
    }
    let namespace = Namespace::new(&[], "", DEAD_MOUNT);
    let dead = namespace.path("dead");
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    world
        .env("STATE_DIRECTORY", &dead)
        .env("HOME", &dead)
        .env("XDG_STATE_HOME", &dead);
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = ["-t", "t0ken-1", "-u", &endpoint.url, "--silence", "2"];
    let to = [&to, &HOST[..]].concat();
    let inside = |args: &[&str]| {
        let begun = Instant::now();
        let run = Run::of(namespace.inside(&world.command_without_state_dir(args)));
        assert!(begun.elapsed() < Duration::from_secs(30));
        run
    };
    inside(&to).exits(0);
    assert_eq!(world.names("root/var/lib/afmetrics"), KEPT);

    fs::remove_dir_all(world.path("root/var/lib/afmetrics")).unwrap();
    block(&world, "root/var/lib/afmetrics");
    inside(&[&to[..], &["-o", "-v"]].concat())
        .exits(0)
        .says("WARN no state folder can be written")
        .says("$STATE_DIRECTORY: no answer within 2 s; /var/lib/afmetrics: ")
        .says("; $XDG_STATE_HOME/afmetrics: no answer within 2 s; ~/.local/state/afmetrics: no")
        .lacks(dead.to_str().unwrap());

    inside(&[&to[..], &["--state-dir", dead.to_str().unwrap()]].concat())
        .exits(1)
        .says(&format!("{}: no answer within 2 s", dead.display()));
    assert_eq!(networks(&endpoint).len(), 3);
    assert_eq!(endpoint.documents().len(), 12);
}

/// All NETWORKs, in the order in which they came.
fn networks(endpoint: &Endpoint) -> Vec<Value> {
    let documents = endpoint.documents();
    let networks = documents.iter().filter(|d| d["kind"] == "NETWORK");
    networks.map(|d| d["network"].clone()).collect()
}

#[test]
fn a_state_folder_that_is_missing_is_made() {
    let world = host("5000.00", &[("lo", 100, 100)]);
    let path = world.path("made/for/it");
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let args = [&HOST[..], &["--state-dir", path.to_str().unwrap()]].concat();
    let run = world.deliver(&endpoint, &args).exits(0);
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    assert_eq!(world.names("made/for/it"), KEPT);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// Runs a copy of the binary as `nobody`, who may not see the checkout; `None`: this is not root, so
/// it is left out.
pub fn as_somebody_else(world: &World, args: &[&str]) -> Option<Run> {
    as_nobody(world, args, &[])
}

/// The same, but the user may have one process, or thread, at a time.
fn alone(world: &World, args: &[&str]) -> Option<Run> {
    as_nobody(world, args, &["prlimit", "--nproc=1"])
}

/// `before`: what starts the program.
fn as_nobody(world: &World, args: &[&str], before: &[&str]) -> Option<Run> {
    by_nobody(world, &world.command_without_state_dir(args), before)
}

/// The same of this command.
pub fn by_nobody(world: &World, ours: &Command, before: &[&str]) -> Option<Run> {
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65534;
    if !needs::root_and(before.get(..1).unwrap_or_default()) {
        return None;
    }
    let copy = world.path("afmetrics_collector");
    fs::copy(ours.get_program(), &copy).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program itself"
    )]
    let mut theirs = match before {
        [] => Command::new(copy),
        [program, options @ ..] => {
            let mut command = Command::new(needs::path_of(program).unwrap());
            command.args(options).arg("--").arg(copy);
            command
        }
    };
    theirs
        .args(ours.get_args())
        .env_clear()
        .envs(
            ours.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(world.path("cwd"))
        .uid(NOBODY)
        .gid(NOBODY);
    Some(Run::of(theirs))
}

#[test]
fn a_state_folder_of_another_user_is_not_used() {
    let world = host("5000.00", &[("lo", 100, 100)]);
    for name in ["", "root", "cwd", "home", "bin"] {
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(world.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let state = world.path("state");
    let args = [
        "-t",
        "t0ken-1",
        "-u",
        &endpoint.url,
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let Some(run) = as_somebody_else(&world, &[&HOST[..], &args].concat()) else {
        return;
    };
    let run = run.exits(1).says("Permission denied");
    assert_eq!(
        run.lines_with("ERROR no state folder can be written"),
        1,
        "{}",
        run.stderr
    );
    assert_sampled(&network(&endpoint));
    assert_eq!(world.names("state"), Vec::<String>::new());
}

#[test]
fn eight_rounds_at_once_count_every_interval_once() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = [&["-t", "t0ken-1", "-u", &endpoint.url][..], &HOST].concat();
    world.run(&to).exits(0);
    for time in 1..=3_u32 {
        let interfaces: Vec<(String, u64, u64)> = (0..200)
            .map(|n| {
                let bytes = u64::from(time) * 1000;
                (format!("veth{n}"), bytes, bytes)
            })
            .collect();
        let interfaces: Vec<(&str, u64, u64)> = interfaces
            .iter()
            .map(|(name, s, r)| (name.as_str(), *s, *r))
            .collect();
        at(
            &mut world,
            &format!("{}.00", 5000 + 100 * time),
            &interfaces,
        );
        let rounds: Vec<_> = (0..8)
            .map(|_| {
                world
                    .command(&to)
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for round in rounds {
            let output = round.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) => {}
                // Its documents are left to the one that is delivering.
                Some(1) => assert!(said.contains("WARN another round is delivering"), "{said}"),
                _ => panic!("{said}"),
            }
            assert!(!said.contains("damaged"), "{said}");
        }
        // What the last one to store came too late with.
        world.run(&to).exits(0);
        assert_eq!(world.names("state"), KEPT, "nothing is left");
        assert_eq!(world.names("state/spool/pending"), Vec::<String>::new());
        assert_eq!(world.names("state/cursors"), ["network@UC-AF.json"]);
        let state = counters(&world)["cursor"].clone();
        assert_eq!(state["interfaces"].as_object().unwrap().len(), 200);
        assert_eq!(state["uptime"], 5000.0 + 100.0 * f64::from(time));
    }
    let sent = networks(&endpoint);
    let sum: u64 = sent.iter().map(|n| n["sent"].as_u64().unwrap()).sum();
    assert_eq!(sum, 3 * 200 * 1000, "nothing is sent twice: {sent:?}");
}

#[test]
fn a_collector_that_another_round_is_still_running_is_left_to_it() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    let (begun, end) = (world.path("begun"), world.path("end"));
    world.program(
        "who",
        &format!(
            "echo > {}; while [ ! -e {} ]; do /usr/bin/sleep 0.05; done",
            begun.display(),
            end.display()
        ),
    );
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = [&["-s", "-t", "t0ken-1", "-u", &endpoint.url][..], &HOST].concat();
    let mut first = world.command(&to).stderr(Stdio::null()).spawn().unwrap();
    assert!(within(Duration::from_secs(20), || begun.exists()));
    // The first has all five, until it is stored.
    let run = world.run(&to).exits(0);
    assert_eq!(
        run.lines_with("WARN left to another round, which is still at it: "),
        1,
        "{}",
        run.stderr
    );
    for collector in ["ssh", "load", "memory", "network", "disk"] {
        assert_eq!(run.lines_with(collector), 1, "{collector}: {}", run.stderr);
    }
    // Another facility's, and those that the first does not run, are nobody's.
    let own = Endpoint::ok(Protocol::PlainHttp);
    let other = [
        &["-c", "CANARY-AF", "-t", "t0ken-1", "-u", &own.url],
        &HOST[..],
    ];
    world.run(&other.concat()).exits(0).lacks("left to");
    assert_eq!(own.documents().len(), 4);
    assert_eq!(endpoint.documents().len(), 0);
    fs::write(end, "").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(endpoint.documents().len(), 5);
}

#[test]
fn a_round_beside_one_that_delivers_stores_its_documents_and_that_one_delivers_them() {
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    let slow = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::After(Duration::from_secs(3))
    });
    let to = [&["-t", "t0ken-1", "-u", &slow.url][..], &HOST].concat();
    let mut first = world.command(&to).stderr(Stdio::null()).spawn().unwrap();
    assert!(within(Duration::from_secs(20), || !slow
        .requests()
        .is_empty()));
    at(&mut world, "5300.00", &[("lo", 700, 700)]);
    let run = world
        .run(&to)
        .exits(1)
        .says("WARN another round is delivering just now: ")
        .says("; 0 accepted, 4 wait in the spool");
    assert_eq!(run.lines_with("left to another round"), 0, "{}", run.stderr);
    assert!(first.wait().unwrap().success());
    assert_eq!(slow.documents().len(), 8);
    let networks = networks(&slow);
    assert_eq!(networks.len(), 2);
    assert!(
        networks.contains(&json!({"interval": 300.0, "sent": 600, "received": 600})),
        "{networks:?}"
    );
    assert_eq!(world.names("state/spool/pending"), Vec::<String>::new());
    at(&mut world, "5400.00", &[("lo", 701, 702)]);
    let (network, _) = round(&world);
    assert_eq!(
        network,
        json!({"interval": 100.0, "sent": 1, "received": 2})
    );
}

/// Where a round of this world left its counters, and what it logged.
fn chosen(world: &World) -> (Vec<&'static str>, Run) {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = ["-t", "t0ken-1", "-u", &endpoint.url];
    let run = Run::of(world.command_without_state_dir(&[&to, &HOST[..]].concat()));
    let places = [
        "services",
        "root/var/lib/afmetrics",
        "xdg/afmetrics",
        "home/.local/state/afmetrics",
    ];
    let chosen = places.into_iter().filter(|place| {
        world
            .path(place)
            .join("cursors/network@UC-AF.json")
            .exists()
    });
    (chosen.collect(), run.exits(0))
}

/// Makes a folder of this world one that nobody can make or write.
fn block(world: &World, folder: &str) {
    let path = world.path(folder);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink("/proc/self/nowhere", path).unwrap();
}

#[test]
fn the_first_folder_that_can_be_written_is_chosen() {
    let both = |world: &mut World| {
        let (services, xdg) = (world.path("services"), world.path("xdg"));
        world.env("STATE_DIRECTORY", format!("{}:/second", services.display()));
        world.env("XDG_STATE_HOME", xdg);
    };
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    both(&mut world);
    assert_eq!(chosen(&world).0, ["services"]);

    let mut world = host("5000.00", &[("lo", 100, 100)]);
    both(&mut world);
    block(&world, "services");
    assert_eq!(chosen(&world).0, ["root/var/lib/afmetrics"]);

    // One that could be written, but for what somebody else has put in it.
    let mut world = host("5000.00", &[("lo", 100, 100)]);
    both(&mut world);
    fs::create_dir(world.path("services")).unwrap();
    fs::write(world.path("services/spool"), "canary-1").unwrap();
    assert_eq!(chosen(&world).0, ["root/var/lib/afmetrics"]);

    let mut world = host("5000.00", &[("lo", 100, 100)]);
    both(&mut world);
    block(&world, "services");
    block(&world, "root/var/lib/afmetrics");
    assert_eq!(chosen(&world).0, ["xdg/afmetrics"]);

    let world = host("5000.00", &[("lo", 100, 100)]);
    block(&world, "root/var/lib/afmetrics");
    let (places, run) = chosen(&world);
    assert_eq!(places, ["home/.local/state/afmetrics"]);
    assert_eq!(run.lines_with("WARN no state folder"), 0, "{}", run.stderr);

    let world = host("5000.00", &[("lo", 100, 100)]);
    block(&world, "root/var/lib/afmetrics");
    block(&world, "home/.local/state/afmetrics");
    let (places, run) = chosen(&world);
    assert_eq!(places, Vec::<&str>::new());
    assert_eq!(run.lines_with("WARN no state folder"), 1, "{}", run.stderr);
}

#[test]
fn a_boot_id_is_what_makes_counters_comparable() {
    let world = host("5000.00", &[("lo", 100, 100)]);
    round(&world);
    assert_eq!(counters(&world)["cursor"]["boot_id"], BOOT.trim());
}

#[test]
fn where_no_thread_can_be_had_a_round_fails_by_what_needs_one() {
    let world = host("5000.00", &[("lo", 100, 100)]);
    for name in ["", "root", "cwd", "home", "bin", "state"] {
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let to = ["-t", "t0ken-1", "-u", &endpoint.url];
    let Some(run) = alone(&world, &[&HOST[..], &to].concat()) else {
        return;
    };
    run.exits(1)
        .says("ERROR disk: /: no thread could be started: ")
        .says("WARN no state folder can be written")
        .lacks("panicked");
    let mut kinds: Vec<_> = endpoint
        .documents()
        .iter()
        .map(|d| d["kind"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["CPU", "MEM", "NETWORK"]);

    let group = [&["-s", "-g", "nogroup"], &HOST[..], &to].concat();
    if let Some(run) = alone(&world, &group) {
        run.exits(1).lacks("panicked");
    }
}
