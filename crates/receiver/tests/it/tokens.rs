//! Tokens: where they may stand, what they open, and that they are nowhere afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::wire;
use crate::support::{FACILITY, World, bytes_of, load, wait_until};

fn without_token(node: &str) -> Value {
    let mut one = load("", node, 0.5);
    one.as_object_mut().unwrap().remove("token");
    one
}

#[test]
fn a_token_stands_in_the_document_or_in_the_header() {
    let world = World::new();
    let token = world.token(FACILITY);
    let other = world.token("BNL");
    let viewer = world.viewer();
    let gone = world.done(&["token", "create", "--facility", FACILITY, "--expires", "1"]);
    let gone = gone.trim();
    rusqlite::Connection::open(world.store().join("afmetrics.db"))
        .unwrap()
        .execute("UPDATE tokens SET expires = 1 WHERE expires > 0", [])
        .unwrap();
    let running = world.serve(&[]);
    let null =
        json!({"token": null, "kind": "CPU", "cluster": FACILITY, "login_node": "a", "load": 1});
    let bearer = |token: &str| format!("bEaReR  {token}");
    for (header, body, status) in [
        (None, load(&token, "a", 1.0), 200),
        (None, without_token("a"), 401),
        (None, null.clone(), 401),
        (None, load(&viewer, "a", 1.0), 401),
        (None, load(gone, "a", 1.0), 401),
        (None, load(&other, "a", 1.0), 403),
        (None, load(&token[..40], "a", 1.0), 401),
        (None, load("", "a", 1.0), 401),
        (Some(bearer(&token)), without_token("a"), 200),
        (Some(bearer(&token)), null, 200),
        (Some(bearer(&token)), load(&token, "a", 1.0), 200),
        (Some(bearer(&token)), load("afs_wrong", "a", 1.0), 401),
        (Some(bearer(&token)), load(&other, "a", 1.0), 403),
        (Some(bearer(&other)), load(&token, "a", 1.0), 200),
        (Some(bearer(&other)), without_token("a"), 403),
        (Some(bearer(&viewer)), without_token("a"), 401),
        (Some(bearer(gone)), load(&token, "a", 1.0), 401),
        (Some("Basic eDp5".to_owned()), load(&token, "a", 1.0), 200),
    ] {
        let header = header.iter().map(|value| ("authorization", value.as_str()));
        let headers: Vec<_> = header.collect();
        let (got, answer) = running.post_with(&headers, body.to_string());
        assert_eq!(got, status, "{headers:?} {body}: {answer}");
        assert!(!answer.to_string().contains(&token), "{answer}");
    }
    // The viewer's may read, the sender's may not.
    assert_eq!(running.get("/api/v1/facilities", &viewer).0, 200);
    assert_eq!(running.get("/api/v1/facilities", &token).0, 401);
    let (ended, log) = running.terminate();
    assert!(ended.success());
    let bytes = [bytes_of(&world.store()), log.into_bytes()].concat();
    for secret in [&*token, &other, &viewer, gone] {
        let is_in = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!is_in, "a token is in the store or the log");
    }
}

#[test]
fn tokens_come_and_go_while_it_runs() {
    let world = World::new();
    let old = world.token(FACILITY);
    let running = world.serve(&[]);
    let status = |token: &str| running.post(load(token, "a", 1.0).to_string()).0;
    assert_eq!(status(&old), 200);
    let new = world.token(FACILITY);
    wait_until("the new token is known", || status(&new) == 200);
    assert_eq!(status(&old), 200, "side by side");
    world.done(&["token", "revoke", "1"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((status(&old), status(&new)), (401, 200));
    let (ended, _) = running.terminate();
    assert!(ended.success());
    let list = world.done(&["token", "list", "--json"]);
    let list: Vec<Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |field: &str| {
        list.iter()
            .map(|token| token[field].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("state"), ["revoked", "good"]);
    assert!(of("used").iter().all(Value::is_string), "{list:?}");
    assert!(!json!(list).to_string().contains("afs_"));
}

#[test]
fn the_commands_say_what_is_wrong() {
    let world = World::new();
    for (words, status, says) in [
        (vec!["token", "create"], 2, "--facility"),
        (
            vec!["token", "create", "--facility", ""],
            2,
            "--facility is empty",
        ),
        (
            vec!["token", "create", "--facility", " UC-AF"],
            2,
            "blanks around it",
        ),
        (
            vec!["token", "create", "--facility", "a\nb"],
            2,
            "control characters",
        ),
        (
            vec!["token", "create", "--facility", "a", "--note", "\u{1b}[2J"],
            2,
            "--note has control characters",
        ),
        (
            vec!["token", "create", "--facility", "a", "--expires", "-1"],
            2,
            "-1",
        ),
        (
            vec!["token", "create", "--facility", "a", "--expires", "soon"],
            2,
            "soon",
        ),
        (vec!["token", "list"], 1, "there is no store in"),
        (vec!["token", "revoke"], 2, "<ID>"),
        (vec!["token", "revoke", "x"], 2, "invalid value 'x'"),
        (vec!["token", "revoke", "7"], 1, "there is no store in"),
    ] {
        let output = world.run(&words);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {err}");
        assert!(err.contains(says), "{words:?}: {err}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    world.token(FACILITY);
    let none = world.run(&["token", "revoke", "7"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no token 7"));
    world.done(&["token", "revoke", "1"]);
    assert!(!world.run(&["token", "revoke", "1"]).status.success());
}

#[test]
fn who_sends_too_much_is_told_when_to_go_on() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(FACILITY));
    let running = world.serve(&["--rate-limit", "10"]);
    let many = |token: &str| Value::from(vec![load(token, "a", 1.0); 60]).to_string();
    assert_eq!(running.post(many(&token)).0, 200);
    let mut wire = wire::Wire::to(&running);
    wire.send(wire::request("", many(&token)));
    let (status, head, body) = wire.answer();
    assert_eq!(status, 429, "{body}");
    let after = head
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "))
        .unwrap();
    assert!((1..=3).contains(&after.parse::<u32>().unwrap()), "{after}");
    assert_eq!(running.post(many(&other)).0, 200, "each token by itself");
}

#[test]
fn each_token_is_charged_for_its_own() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(FACILITY));
    let running = world.serve(&["--rate-limit", "10"]);
    let mut both = vec![load(&token, "a", 1.0); 60];
    both.extend(vec![load(&other, "a", 1.0); 5]);
    let few = |token: &str| Value::from(vec![load(token, "a", 1.0); 80]).to_string();
    assert_eq!(running.post(Value::from(both).to_string()).0, 200);
    assert_eq!(running.post(few(&other)).0, 200);
    assert_eq!(running.post(few(&token)).0, 429);
}

#[test]
fn what_a_token_is_good_for_is_said_of_good_ones() {
    let world = World::new();
    let (sender, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let (status, answer) = running.post(load(&viewer, "a", 1.0).to_string());
    assert_eq!(status, 401);
    assert!(
        answer.to_string().contains("this is a viewer's token"),
        "{answer}"
    );
    let (status, answer) = running.get("/api/v1/facilities", &sender);
    assert_eq!(status, 401);
    assert!(answer.contains("this is a sender's token"), "{answer}");
    let (_, answer) = running.post(load("afv_wrong", "a", 1.0).to_string());
    assert!(
        answer.to_string().contains("unknown, expired or revoked"),
        "{answer}"
    );
}
