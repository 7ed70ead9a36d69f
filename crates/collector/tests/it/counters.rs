//! The counters of network traffic that one round leaves for the next.

use std::fs;

use serde_json::{Value, json};

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, World};

/// With one mount, so that no other collector has anything to say.
const HOST: [&str; 4] = ["--host", "--mount", "/", "-v"];
const STATE: &str = "state/network.json";

/// Puts the host this many seconds after its boot.
fn at(world: &mut World, uptime: &str) {
    world.file("/proc/uptime", format!("{uptime} 1593.41\n"));
}

/// What a round at 4050 s left, 1000 bytes sent and 2000 received before now.
fn leave_state(world: &World) {
    let state = json!({
        "boot_id": "5b4b5f0e-0000-4000-8000-000000000001",
        "uptime": 4050.0,
        "interfaces": {
            "lo": [2_556_518_078_u64, 2_556_518_078_u64],
            "eth0": [1_769_434, 588_185_441],
        },
    });
    fs::write(world.path(STATE), state.to_string()).unwrap();
}

fn host() -> World {
    let mut world = World::new();
    world.healthy_host();
    at(&mut world, "4350.19");
    world
}

fn network(documents: &[Value]) -> Value {
    documents
        .iter()
        .find(|document| document["kind"] == "NETWORK")
        .unwrap()["network"]
        .clone()
}

fn printed(run: &Run) -> Value {
    network(&run.documents())
}

#[test]
fn what_was_not_delivered_counts_in_the_next_round() {
    let mut world = host();
    leave_state(&world);
    let before = fs::read(world.path(STATE)).unwrap();
    let busy = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(500, "busy".to_owned())
    });
    world.deliver(&busy, &HOST).exits(1);
    assert_eq!(fs::read(world.path(STATE)).unwrap(), before);

    at(&mut world, "4650.19");
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    world.deliver(&endpoint, &HOST).exits(0);
    assert_eq!(
        network(&endpoint.documents()),
        json!({"interval": 600.19, "sent": 1000, "received": 2000})
    );

    at(&mut world, "4950.5");
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    world.deliver(&endpoint, &HOST).exits(0);
    assert_eq!(
        network(&endpoint.documents()),
        json!({"interval": 300.31, "sent": 0, "received": 0}),
        "that time is counted"
    );
}

#[test]
fn printing_reads_the_counters_and_stores_none() {
    let world = host();
    leave_state(&world);
    let before = fs::read(world.path(STATE)).unwrap();
    for to in ["--print", "-d"] {
        world.run(&[&[to][..], &HOST].concat()).exits(0);
        assert_eq!(fs::read(world.path(STATE)).unwrap(), before, "{to}");
        assert_eq!(world.names("state"), ["network.json"], "{to}");
    }
    let run = world.print(&HOST).exits(0);
    assert_eq!(printed(&run)["interval"], 300.19);
}

#[test]
fn a_round_long_ago_is_a_long_interval() {
    let mut world = host();
    leave_state(&world);
    at(&mut world, "94050.25");
    let run = world.print(&HOST).exits(0);
    assert_eq!(
        printed(&run),
        json!({"interval": 90000.25, "sent": 1000, "received": 2000})
    );
}

#[test]
fn damaged_state_is_set_aside_and_repaired() {
    let world = host();
    for damaged in [
        "",
        "{\"boot_id\":",
        "[1, 2]",
        "{\"sent\": -5}",
        "\u{0}\u{0}",
    ] {
        fs::write(world.path(STATE), damaged).unwrap();
        let endpoint = Endpoint::ok(Protocol::PlainHttp);
        world.deliver(&endpoint, &HOST).exits(0).says("is damaged");
        assert_eq!(network(&endpoint.documents())["sent"], 0);
        assert_eq!(
            fs::read_to_string(world.path("state/network.json.damaged")).unwrap(),
            damaged
        );
        serde_json::from_slice::<Value>(&fs::read(world.path(STATE)).unwrap()).unwrap();
    }
}

#[test]
fn eight_rounds_at_once_never_tear_the_state() {
    let world = host();
    leave_state(&world);
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let run = world.deliver(&endpoint, &HOST).exits(0);
                assert!(!run.stderr.contains("damaged"), "{}", run.stderr);
            });
        }
    });
    assert_eq!(world.names("state"), ["network.json"], "nothing is left");
    let state: Value = serde_json::from_slice(&fs::read(world.path(STATE)).unwrap()).unwrap();
    assert_eq!(state["uptime"], 4350.19);
}

#[test]
fn where_no_state_can_be_kept_all_documents_are_sent() {
    let world = host();
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    // Not even root makes a folder below a file.
    fs::write(world.path("cwd/file"), "").unwrap();
    let nowhere = world.path("cwd/file/below");
    let args = [&HOST[..], &["--state-dir", nowhere.to_str().unwrap()]].concat();
    world
        .deliver(&endpoint, &args)
        .exits(0)
        .says("no state folder can be written");
    assert_eq!(endpoint.documents().len(), 4);
}

/// The old script's sums over all interfaces, milliseconds since 1970.
fn old_state(age: u64) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test makes a file of some seconds ago"
    )]
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let then = now - u128::from(age) * 1000;
    format!("{{\"sent\": 2558287512, \"received\": 3144703519, \"timestamp\": {then}}}")
}

#[test]
fn a_swap_of_the_old_script_loses_no_interval() {
    let mut world = host();
    world.file("/run/afmetrics.json", old_state(290));
    let traffic = printed(&world.print(&HOST).exits(0));
    let interval = traffic["interval"].as_f64().unwrap();
    assert!((290.0..320.0).contains(&interval), "{interval}");
    assert_eq!(traffic["sent"], 1000);
    assert_eq!(traffic["received"], 2000);
}

#[test]
fn old_state_that_says_nothing_about_now_is_not_used() {
    for (old, uptime) in [
        (old_state(3700), "4350.19"),
        (old_state(290), "200.0"),
        ("[1]".to_owned(), "4350.19"),
        (String::new(), "4350.19"),
    ] {
        let mut world = host();
        at(&mut world, uptime);
        world.file("/run/afmetrics.json", &old);
        let traffic = printed(&world.print(&HOST).exits(0));
        let interval = traffic["interval"].as_f64().unwrap();
        assert!((1.0..30.0).contains(&interval), "{old}: {interval}");
        assert_eq!(traffic["sent"], 0, "{old}");
    }
}
