//! Every answer that a body can get, and that nothing of what was refused is stored.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::wire::{self, Wire, exchange, request};
use crate::support::{FACILITY, World, job, load};

const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

#[test]
fn bodies_of_every_form_are_taken() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let one = load(&token, "login01", 0.5).to_string();
    let three = json!([
        load(&token, "a", 1.0),
        job(&token, "canary-1", "1.0", "idle", 0),
        load(&token, "b", 2.0)
    ])
    .to_string();
    let lines = format!("{one}\r\n\n{one}\n");
    /// Headers, a body, and how many documents are in it.
    type Case<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, u64);
    let cases: [Case; 9] = [
        (&[], one.clone().into(), 1),
        (
            &[("content-type", "APPLICATION/JSON; charset=utf-8")],
            format!(" \n{one}\n ").into(),
            1,
        ),
        (&[JSON], three.clone().into(), 3),
        (&[LINES], lines.clone().into(), 2),
        (
            &[JSON, ("content-encoding", "gzip")],
            gzip(three.as_bytes()),
            3,
        ),
        (
            &[JSON, ("content-encoding", "X-GZIP")],
            [gzip(b"["), gzip(one.as_bytes()), gzip(b"]")].concat(),
            1,
        ),
        (
            &[JSON, ("content-encoding", "zstd")],
            zstd(three.as_bytes()),
            3,
        ),
        (
            &[LINES, ("content-encoding", "zstd")],
            zstd(lines.as_bytes()),
            2,
        ),
        (&[JSON, ("content-encoding", "identity")], one.into(), 1),
    ];
    let mut sum = 0;
    for (headers, body, stored) in cases {
        let (status, answer) = running.post_with(headers, body);
        assert_eq!(
            (status, answer),
            (200, json!({"stored": stored, "repeated": 0})),
            "{headers:?}"
        );
        sum += stored;
    }
    let (ended, _) = running.terminate();
    assert!(ended.success());
    assert_eq!(wire::documents(&world.store()).len() as u64, sum);
}

/// Body, status, and what the answer says.
fn refused(token: &str) -> Vec<(Value, u16, &'static str)> {
    let with = |field: &str, value: Value| {
        let mut one = load(token, "login01", 0.5);
        match value {
            Value::Null => one.as_object_mut().unwrap().remove(field),
            value => one.as_object_mut().unwrap().insert(field.into(), value),
        };
        one
    };
    vec![
        (
            with("kind", json!(7)),
            400,
            "field `kind`: expected a string, found 7",
        ),
        (
            with("kind", Value::Null),
            400,
            "field `kind` is missing (expected a string)",
        ),
        (
            with("kind", json!("nonsense")),
            422,
            "field `kind`: unknown kind nonsense",
        ),
        (
            with("cluster", json!(["UC-AF"])),
            400,
            "field `cluster`: expected a string, found the array [\"UC-AF\"]",
        ),
        (
            with("cluster", json!("BNL")),
            403,
            "field `cluster`: this token is not for facility BNL",
        ),
        (
            with("cluster", Value::Null),
            400,
            "field `cluster` is missing",
        ),
        (
            with("token", json!(7)),
            400,
            "field `token`: expected a string",
        ),
        (
            with("token", Value::Null),
            401,
            "no token: neither a field `token` nor an Authorization header",
        ),
        (
            with("token", json!("afs_wrong")),
            401,
            "field `token`: unknown, expired or revoked token",
        ),
        (
            with("load", json!("much")),
            400,
            "field `load`: expected a number, found the string \"much\"",
        ),
        (
            with("load", Value::Null),
            400,
            "field `load` is missing (expected a number)",
        ),
        (
            with("login_node", json!({})),
            400,
            "field `login_node`: expected a string, found the object {}",
        ),
        (
            with("timestamp", json!("yesterday")),
            400,
            "field `timestamp`: expected a time such as",
        ),
        (
            with("timestamp", json!(1763870706)),
            400,
            "field `timestamp`: expected a time such as",
        ),
        (
            with("timestamp", json!("2020-01-01T00:00:00Z")),
            422,
            "is more than 31 days ago",
        ),
        (
            with("timestamp", json!("9999-01-01T00:00:00Z")),
            422,
            "is more than 5 minutes ahead",
        ),
        (
            with("comment", json!("x".repeat(70_000))),
            413,
            "at most 65536 are taken",
        ),
        (json!(7), 400, "expected an object"),
        (json!(["a"]), 400, "expected an object, found an array"),
        (
            json!("afs_canary"),
            400,
            "expected an object, found a string",
        ),
    ]
}

#[test]
fn what_is_refused_is_refused_whole_and_the_answer_says_why() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let good = load(&token, "refused", 0.5);
    for (wrong, status, says) in refused(&token) {
        let (got, answer) = running.post(json!([good, good, wrong, good]).to_string());
        let error = answer["error"].as_str().unwrap().to_owned();
        assert_eq!(got, status, "{error}");
        assert!(
            error.starts_with("element 2: ") && error.contains(says),
            "{error}"
        );
        let lines = format!("{good}\n\n{wrong}\n{good}");
        let (got, answer) = running.post_with(&[LINES], lines);
        let error = answer["error"].as_str().unwrap();
        assert_eq!(got, status, "{error}");
        assert!(
            error.starts_with("element 1: ") && error.contains(says),
            "{error}"
        );
        if wrong.is_object() {
            let (got, answer) = running.post(wrong.to_string());
            let error = answer["error"].as_str().unwrap();
            assert_eq!(got, status, "{error}");
            assert!(
                error.contains(says) && !error.contains("element"),
                "{error}"
            );
        }
    }
    let (ended, _) = running.terminate();
    assert!(ended.success());
    assert!(wire::documents(&world.store()).is_empty());
}

/// Text that stands for a document in the middle of a body, status and what the answer says.
const HOSTILE: &[(&str, u16, &str)] = &[
    (
        r#""load":1e999"#,
        400,
        "field `load`: expected a number, found 1e999",
    ),
    (
        r#""load":1,"x":1e999"#,
        400,
        "field `x`: number out of range",
    ),
    (
        r#""load":1,"kind":"CPU""#,
        400,
        "field `kind` is given twice",
    ),
    (
        r#""load":1,"ki\u006ed":"CPU""#,
        400,
        "field `kind` is given twice",
    ),
    (r#""load":1,"x":"\ud800""#, 400, "field `x`: "),
    (r#""load":1,"\ud800":1"#, 400, ""),
    (r#""load":1,"x":01"#, 400, ""),
    (r#""load":NaN"#, 400, ""),
    (r#""load":1,"x":"a"#, 400, ""),
    (r#""load":1} {"a":1"#, 400, "trailing characters"),
    (r#""load":1,}"#, 400, "trailing comma"),
    ("\"load\":1,\"x\":\"\u{0}\"", 400, ""),
];

#[test]
fn hostile_text_is_answered_and_not_taken() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let with = |rest: &str| {
        format!(r#"{{"token":"{token}","kind":"CPU","cluster":"UC-AF","login_node":"a",{rest}}}"#)
    };
    for (rest, status, says) in HOSTILE {
        let (got, answer) = running.post(with(rest));
        let error = answer["error"].as_str().unwrap();
        assert_eq!(got, *status, "{rest}: {error}");
        assert!(error.contains(says), "{rest}: {error}");
        assert!(!error.contains(&token), "{error}");
    }
    let deep = "[".repeat(1_000_000);
    let digits = "9".repeat(60_000);
    let fields: Vec<String> = (0..300).map(|n| format!("\"f{n}\":1")).collect();
    let name = "n".repeat(2_000_000);
    let many = "1,".repeat(4_000_000);
    let bodies: Vec<(Vec<u8>, u16)> = vec![
        (deep.clone().into(), 400),
        (with(&format!("\"load\":1,\"x\":{deep}")).into(), 400),
        (
            with(&format!(
                "\"load\":1,\"x\":{}{}",
                "[".repeat(20_000),
                "]".repeat(20_000)
            ))
            .into(),
            400,
        ),
        (with(&format!("\"load\":{digits}")).into(), 400),
        (with(&format!("\"load\":1,\"x\":[{many}1]")).into(), 413),
        (
            with(&format!("\"load\":1,{}", fields.join(","))).into(),
            400,
        ),
        (with(&format!("\"load\":1,\"{name}\":1")).into(), 413),
        (format!("\"{name}{token}\"").into(), 400),
        (format!("[\"{token}\"]").into(), 400),
        (b"".to_vec(), 400),
        (b" \n".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"[[]]".to_vec(), 400),
        (b"null".to_vec(), 400),
        (b"{}".to_vec(), 401),
        (b"[{}".to_vec(), 401),
        (b"\xef\xbb\xbf{}".to_vec(), 400),
        (b"{\"a\":\"\xff\xfe\"}".to_vec(), 400),
        (b"\x00\x00".to_vec(), 400),
    ];
    for (body, status) in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (got, answer) = {
            // A long body is not looked into without a token.
            let bearer = format!("Bearer {token}");
            let known = [("authorization", &*bearer)];
            let headers = if body.len() > 100_000 {
                &known[..]
            } else {
                &[]
            };
            running.post_with(headers, body)
        };
        let error = answer["error"].as_str().unwrap();
        assert_eq!(got, status, "{start}: {error}");
        assert!(
            error.len() < 600 && !error.contains(&token[8..]),
            "{start}: {error}"
        );
    }
    let (status, answer) = running.post(format!("[{}] x", with("\"load\":1")));
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("behind the array: trailing characters"),
        "{answer}"
    );
    assert!(
        wire::peak(running.pid()) < 200,
        "{} MiB",
        wire::peak(running.pid())
    );
    let (ended, log) = running.terminate();
    assert!(ended.success());
    assert!(!log.contains("panicked"), "{log}");
    assert!(wire::documents(&world.store()).is_empty());
}

#[test]
fn strange_but_sound_documents_are_stored_as_they_came() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let names = [
        "'); DROP TABLE users; --",
        "<script>alert(1)</script>",
        "canary\u{0}1",
        "канарейка \u{1F424}",
        "",
        "\u{7f}\u{2028}",
    ];
    let nested: Value =
        serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let mut sent: Vec<Value> = names
        .iter()
        .map(|name| job(&token, name, "1.0", "running", 5))
        .collect();
    sent[0]["extra"] = nested;
    sent[1]["we \"ird\n"] = json!({"token": "kept", "a": [1, 2.5, null]});
    // 256 fields: one more is there when it is stored.
    let mut wide = load(&token, "wide", 1.0);
    wide.as_object_mut().unwrap().remove("token");
    for n in 4..256 {
        wide[format!("f{n}")] = json!(n);
    }
    // Sums of these are no numbers; they must not stop the others from being added up.
    for node in ["huge", "huge", "huge"] {
        sent.push(load(&token, node, 1.7e308));
        sent.push(load(&token, node, -1.7e308));
    }
    let mut traffic = load(&token, "huge", 1.0);
    traffic["kind"] = json!("NETWORK");
    traffic["network"] = json!({"interval": 1e-300, "sent": i64::MAX, "received": i64::MIN});
    sent.push(traffic);
    let mut late = load(&token, "late", 1.0);
    late["timestamp"] = Value::Null;
    sent.push(late);
    let (status, answer) = running.post(json!(sent).to_string());
    assert_eq!(status, 200, "{answer}");
    let bearer = format!("Bearer {token}");
    let (status, answer) = running.post_with(&[("authorization", &bearer)], wide.to_string());
    assert_eq!(status, 200, "{answer}");
    sent.push(wide);
    assert_eq!(running.ask("GET", "/readyz", &[], Vec::new()).0, 200);
    running.kill();
    // What was not settled is added up again from what is stored.
    let running = world.serve(&[]);
    let (ended, log) = running.terminate();
    assert!(
        ended.success() && !log.contains("cannot be added up"),
        "{log}"
    );
    let stored = wire::documents(&world.store());
    assert_eq!(stored.len(), sent.len());
    for mut one in sent {
        one.as_object_mut().unwrap().remove("token");
        let found = stored.iter().any(|line| {
            let mut line = line.clone();
            line.as_object_mut().unwrap().remove("timestamp");
            let mut one = one.clone();
            one.as_object_mut().unwrap().remove("timestamp");
            line == one
        });
        assert!(found, "{one}");
    }
    assert_eq!(wire::counted(&world.store()), stored.len());
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let one = load(&token, "login01", 0.5).to_string();
    let viewers = format!("Authorization: Bearer {viewer}\r\n");
    for (line, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Encoding: br\r\n", 415),
        ("Content-Encoding: gzip, gzip\r\n", 415),
        ("Content-Encoding: gzip\r\nContent-Encoding: zstd\r\n", 415),
        ("Content-Encoding: gzip\r\n", 400),
        ("Content-Encoding: zstd\r\n", 400),
        ("Authorization: Bearer afs_wrong\r\n", 401),
        (&viewers, 401),
        ("Idempotency-Key: nonsense\r\n", 400),
        ("Idempotency-Key: \r\n", 400),
        (
            "Idempotency-Key: 01a20621-7623-7310-a7ad-f3b43b8e6695/0-2\r\n",
            400,
        ),
        (
            "Idempotency-Key: 01a20621-7623-7310-a7ad-f3b43b8e6695/4294967295-1\r\n",
            400,
        ),
        (
            "Idempotency-Key: 01a20621-7623-7310-a7ad-f3b43b8e6695/0-1\r\nIdempotency-Key: 01a20621-7623-7310-a7ad-f3b43b8e6695/1-1\r\n",
            400,
        ),
        ("Content-Length: 5\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 400),
    ] {
        let mut wire = Wire::to(&running);
        wire.send(request(line, &one));
        let (got, head, body) = wire.answer();
        assert_eq!(got, status, "{line}: {body}");
        assert_eq!(
            got == 401,
            head.contains("www-authenticate: Bearer"),
            "{head}"
        );
        assert_eq!(
            got == 415,
            head.contains("accept-encoding: gzip, zstd"),
            "{head}"
        );
    }
    let flood: String = (0..2_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    for lines in [flood, long] {
        let (status, _) = exchange(&running, request(&lines, &one));
        assert!([431, 0].contains(&status), "{status}");
    }
    assert_eq!(
        exchange(&running, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").0,
        404
    );
    assert_eq!(
        exchange(&running, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n").0,
        405
    );
    assert_eq!(
        exchange(&running, "\x16\x03\x01\x02\x00 nonsense\r\n\r\n").0,
        400
    );
    let (ended, _) = running.terminate();
    assert!(ended.success());
    assert!(wire::documents(&world.store()).is_empty());
}

/// The header lines of python-requests, over one connection, as the old script sends them.
#[test]
fn the_old_script_is_understood() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let documents = [
        r#""kind": "ssh", "cluster": "UC-AF", "login_node": "login01.canary.example", "ssh_user_count": 2, "users": ["canary-1", "canary-2"]"#,
        r#""kind": "jupyter-ml", "cluster": "UC-AF", "jupyter_user_count": 1, "users": ["canary-1"]"#,
        r#""kind": "jupyter-coffea", "cluster": "UC-AF", "jupyter_user_count": 0, "users": []"#,
        r#""kind": "condorjob", "cluster": "UC-AF", "users": "canary-1", "state": "finished", "Id": "174100.63", "Runtime": 177"#,
        r#""kind": "condorqueue", "cluster": "UC-AF", "queue": "all", "idle": 1995, "running": 1022, "held": 3, "allocated_cores": 966, "allocated_mem": 4145152"#,
        r#""kind": "CPU", "cluster": "UC-AF", "login_node": "login01.canary.example", "load": 0.01"#,
        r#""kind": "MEM", "cluster": "UC-AF", "login_node": "login01.canary.example", "available": 265041854464, "total": 269903060992"#,
        r#""kind": "NETWORK", "cluster": "UC-AF", "login_node": "login01.canary.example", "network": {"interval": 300.064, "sent": 6606414, "received": 11383868}"#,
        r#""kind": "DISK", "cluster": "UC-AF", "used": 92355981312, "total": 1883690205184, "free": 1695620259840, "login_node": "login01.canary.example", "utilization": 0.04902928361459448, "mount": "/scratch""#,
    ];
    let mut wire = Wire::to(&running);
    for document in documents {
        let body = format!("{{\"token\": \"{token}\", {document}}}");
        wire.send(format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nUser-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            running.address(),
            body.len()
        ));
        let (status, _, answer) = wire.answer();
        assert_eq!(
            (status, answer.as_str()),
            (200, r#"{"repeated":0,"stored":1}"#),
            "{body}"
        );
    }
    let (ended, _) = running.terminate();
    assert!(ended.success());
    for (mut stored, sent) in wire::documents(&world.store()).into_iter().zip(documents) {
        stored.as_object_mut().unwrap().remove("timestamp").unwrap();
        let sent: Value = serde_json::from_str(&format!("{{{sent}}}")).unwrap();
        assert_eq!(stored, sent);
    }
}

#[test]
fn times_are_honoured_within_bounds() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| format!("{:.3}", now + jiff::SignedDuration::from_secs(seconds));
    const DAY: i64 = 86_400;
    let day = &at(-2 * DAY)[..10];
    for (time, status) in [
        (at(-31 * DAY + 60), 200),
        (at(-31 * DAY - 60), 422),
        (at(240), 200),
        (at(360), 422),
        (format!("{day}T23:59:60Z"), 200),
        (format!("{day}T01:02:03.123456789+02:00"), 200),
        (format!("{day}T01:02:03-11:30"), 200),
        (format!("{day}T25:00:00Z"), 400),
        (format!("{day}T01:02:03"), 400),
        (format!("{day}T01:02:03Z[UTC]"), 400),
        (format!("{day}T01:02:03+99:00"), 400),
        ("-271821-04-20T00:00:00Z".to_owned(), 400),
        ("0000-01-01T00:00:00Z".to_owned(), 422),
        ("\u{0}".to_owned(), 400),
    ] {
        let mut one = load(&token, "login01", 0.5);
        one["timestamp"] = json!(time);
        let (got, answer) = running.post(one.to_string());
        assert_eq!(got, status, "{time}: {answer}");
    }
    let (ended, _) = running.terminate();
    assert!(ended.success());
    let stored = wire::documents(&world.store());
    let times: Vec<&str> = stored
        .iter()
        .map(|one| one["timestamp"].as_str().unwrap())
        .collect();
    assert!(
        times
            .iter()
            .all(|time| time.len() == 24 && time.ends_with('Z')),
        "{times:?}"
    );
    assert!(
        times.contains(&&*format!("{day}T23:59:59.000Z")),
        "{times:?}"
    );
    assert!(
        times.contains(&&*format!("{day}T12:32:03.000Z")),
        "{times:?}"
    );
}
