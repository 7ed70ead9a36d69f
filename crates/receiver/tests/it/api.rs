//! Questions and their answers: known documents in, exact numbers out.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use afmetrics_receiver::documents::time::{self, DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::support::{FACILITY, Running, World, job, load, wait_until};

const MINUTE: i64 = 60_000;

/// The midnight, UTC, that began the day before yesterday.
pub fn midnight() -> i64 {
    (time::day(afmetrics_receiver::clock::now()) - 2) * DAY_MS
}

/// A document that was collected at a time.
pub fn at(mut document: Value, ms: i64) -> Value {
    document["timestamp"] = json!(time::text(ms));
    document
}

pub fn ssh(token: &str, node: &str, users: &[&str]) -> Value {
    json!({"token": token, "kind": "ssh", "cluster": FACILITY, "login_node": node, "ssh_user_count": users.len(), "users": users})
}

pub fn jupyter(token: &str, kind: &str, users: &[&str]) -> Value {
    json!({"token": token, "kind": kind, "cluster": FACILITY, "jupyter_user_count": users.len(), "users": users})
}

fn queue(token: &str, name: &str, running: i64) -> Value {
    json!({"token": token, "kind": "condorqueue", "cluster": FACILITY, "queue": name, "idle": 1, "running": running, "held": 0, "allocated_cores": 8, "allocated_mem": 2000})
}

/// The same of another facility.
pub fn of(mut document: Value, facility: &str, token: &str) -> Value {
    document["cluster"] = json!(facility);
    document["token"] = json!(token);
    document
}

pub fn send(running: &Running, documents: &[Value]) {
    let (status, answer) = running.post(json!(documents).to_string());
    assert_eq!(status, 200, "{answer}");
}

/// A span in a query, as written in one.
fn span(from: i64, to: i64) -> String {
    format!("from={}&to={}", time::text(from), time::text(to))
}

/// Some fields of each element of an answer's list.
fn rows(answer: &Value, list: &str, fields: &[&str]) -> Vec<Vec<Value>> {
    let element = |row: &Value| fields.iter().map(|field| row[*field].clone()).collect();
    answer[list]
        .as_array()
        .unwrap()
        .iter()
        .map(element)
        .collect()
}

#[test]
fn jobs_are_counted_by_state_with_gaps_as_gaps_and_zeros_as_zeros() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let say = |user, id, state, ms| at(job(&token, user, id, state, 0), ms);
    send(
        &running,
        &[
            // The last five minutes before midnight, the first after it, and an hour later.
            say("canary-1", "1.0", "running", day - 1),
            say("canary-1", "1.0", "running", day),
            say("canary-1", "2.0", "idle", day + 5 * MINUTE - 1),
            say("canary-2", "3.0", "running", day + HOUR_MS),
        ],
    );
    let ask = |query: &str| {
        let path = format!("/api/v1/jobs?{}&{query}", span(day, day + DAY_MS));
        running.json(&path, &viewer)
    };
    let (midnight, one) = (time::text(day), time::text(day + HOUR_MS));
    let fields = ["time", "state", "jobs"];
    let expected = json!([
        [midnight, "idle", 1.0],
        [midnight, "running", 1.0],
        [one, "idle", 0.0],
        [one, "running", 1.0],
    ]);
    let by_five = ask("step=5m");
    assert_eq!(
        (&by_five["step"], &by_five["from"]),
        (&json!("5m"), &json!(midnight))
    );
    assert_eq!(json!(rows(&by_five, "jobs", &fields)), expected);
    assert_eq!(json!(rows(&ask("step=1h"), "jobs", &fields)), expected);
    // Two of the day's five minutes were heard.
    assert_eq!(
        json!(rows(&ask("step=1d"), "jobs", &fields)),
        json!([[midnight, "idle", 0.5], [midnight, "running", 1.0]])
    );
    // The one with most jobs, and the rest.
    let by_user = ask("step=1d&by=user&limit=1");
    assert_eq!(by_user["cut"], 1);
    assert_eq!(
        json!(rows(&by_user, "jobs", &["user", "state", "jobs"])),
        json!([
            ["canary-1", "idle", 0.5],
            ["canary-1", "running", 0.5],
            [null, "idle", 0.0],
            [null, "running", 0.5],
        ])
    );
    // A day that is not whole is read by its five minutes.
    let path = format!("/api/v1/jobs?step=1d&{}", span(day + HOUR_MS, day + DAY_MS));
    let part = running.json(&path, &viewer);
    assert_eq!(
        json!(rows(&part, "jobs", &fields)),
        json!([[midnight, "running", 1.0]])
    );
}

#[test]
fn facilities_are_added_up_or_kept_apart() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token("BNL"));
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[at(job(&token, "canary-1", "1.0", "running", 0), day)],
    );
    send(
        &running,
        &[
            at(
                of(job(&other, "canary-1", "1.0", "running", 0), "BNL", &other),
                day,
            ),
            at(
                of(job(&other, "canary-1", "2.0", "running", 0), "BNL", &other),
                day + HOUR_MS,
            ),
        ],
    );
    let ask = |by: &str| {
        let path = format!("/api/v1/jobs?step=5m&by={by}&{}", span(day, day + DAY_MS));
        running.json(&path, &viewer)
    };
    let (first, second) = (time::text(day), time::text(day + HOUR_MS));
    let fields = ["time", "facility", "jobs"];
    assert_eq!(
        json!(rows(&ask("state"), "jobs", &fields)),
        json!([[first, null, 2.0], [second, null, 1.0]])
    );
    assert_eq!(
        json!(rows(&ask("facility"), "jobs", &fields)),
        json!([
            [first, "BNL", 1.0],
            [first, FACILITY, 1.0],
            [second, "BNL", 1.0]
        ])
    );
}

#[test]
fn an_ended_job_counts_once_whoever_reports_it() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let ended = |user, id, seconds, ms| at(job(&token, user, id, "finished", seconds), ms);
    send(
        &running,
        &[
            ended("canary-1", "1.0", 600, day - MINUTE),
            ended("canary-2", "2.0", 100, day),
        ],
    );
    // Another collector, on the other side of midnight.
    send(
        &running,
        &[
            ended("canary-1", "1.0", 600, day + MINUTE),
            ended("canary-1", "3.0", 511, day + HOUR_MS),
        ],
    );
    let ask = |query: &str| {
        let path = format!(
            "/api/v1/runtime?{}&{query}",
            span(day - DAY_MS, day + DAY_MS)
        );
        running.json(&path, &viewer)
    };
    assert_eq!(
        json!(rows(
            &ask("by=user"),
            "runtime",
            &["user", "jobs", "seconds", "time"]
        )),
        json!([["canary-1", 2, 1111.0, null], ["canary-2", 1, 100.0, null]])
    );
    assert_eq!(
        json!(rows(
            &ask("limit=1"),
            "runtime",
            &["user", "jobs", "seconds"]
        )),
        json!([["canary-1", 2, 1111.0], [null, 1, 100.0]])
    );
    assert_eq!(
        json!(rows(&ask("by=length"), "runtime", &["below", "jobs"])),
        json!([[128, 1], [512, 1], [1024, 1]])
    );
    assert_eq!(
        json!(rows(
            &ask("by=state&over=time&step=1d"),
            "runtime",
            &["time", "state", "jobs", "seconds"]
        )),
        json!([
            [time::text(day - DAY_MS), "finished", 1, 600.0],
            [time::text(day), "finished", 2, 611.0],
        ])
    );
}

#[test]
fn a_person_counts_once_through_however_many_doors() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[
            at(
                ssh(&token, "login01.canary.example", &["canary-1", "canary-2"]),
                day - 1,
            ),
            at(
                ssh(&token, "login02.canary.example", &["canary-1"]),
                day + 2 * HOUR_MS,
            ),
            at(jupyter(&token, "jupyter-ml", &["canary-1"]), day + HOUR_MS),
            at(
                jupyter(&token, "jupyter-coffea", &["canary-3"]),
                day + HOUR_MS,
            ),
            at(job(&token, "canary-3", "1.0", "idle", 0), day + 3 * HOUR_MS),
        ],
    );
    let ask = |from, to, more: &str| {
        running.json(&format!("/api/v1/users?{}{more}", span(from, to)), &viewer)
    };
    let numbers = |answer: &Value| {
        json!([
            answer["unique"],
            answer["ssh"],
            answer["jupyter"],
            answer["batch"]
        ])
    };
    let all = ask(day - DAY_MS, day + DAY_MS, "");
    assert_eq!(numbers(&all), json!([3, 2, 2, 1]));
    assert_eq!(
        json!(rows(
            &all,
            "users",
            &["user", "doors", "first", "last", "days"]
        )),
        json!([
            [
                "canary-1",
                ["ssh", "jupyter"],
                time::text(day - 1),
                time::text(day + 2 * HOUR_MS),
                2
            ],
            [
                "canary-2",
                ["ssh"],
                time::text(day - 1),
                time::text(day - 1),
                1
            ],
            [
                "canary-3",
                ["jupyter", "batch"],
                time::text(day + HOUR_MS),
                time::text(day + 3 * HOUR_MS),
                1
            ],
        ])
    );
    assert_eq!(all["users"][0]["facilities"], json!([FACILITY]));
    // From midnight on, canary-2 is not there; up to two o'clock, nobody has a job.
    assert_eq!(numbers(&ask(day, day + DAY_MS, "")), json!([2, 1, 2, 1]));
    assert_eq!(
        numbers(&ask(day, day + 2 * HOUR_MS, "")),
        json!([2, 0, 2, 0])
    );
    let one = ask(day - DAY_MS, day + DAY_MS, "&user=canary-2");
    assert_eq!(numbers(&one), json!([1, 1, 0, 0]));
    let few = ask(day - DAY_MS, day + DAY_MS, "&limit=1");
    assert_eq!((&few["cut"], &few["unique"]), (&json!(2), &json!(3)));
}

#[test]
fn who_is_there_now_and_who_is_silent() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let now = afmetrics_receiver::clock::now();
    send(
        &running,
        &[
            at(
                ssh(&token, "login01.canary.example", &["canary-9"]),
                now - 2 * MINUTE,
            ),
            at(
                ssh(&token, "login01.canary.example", &["canary-1"]),
                now - MINUTE,
            ),
            at(
                ssh(&token, "login02.canary.example", &["canary-2"]),
                now - 20 * MINUTE,
            ),
            at(ssh(&token, "login03.canary.example", &[]), now - MINUTE),
            at(
                jupyter(&token, "jupyter-ml", &["canary-1", "canary-3"]),
                now - MINUTE,
            ),
        ],
    );
    let fields = ["kind", "node", "silent", "users"];
    let sessions = running.json("/api/v1/sessions", &viewer);
    assert_eq!(sessions["unique"], 2);
    assert_eq!(
        json!(rows(&sessions, "sessions", &fields)),
        json!([
            ["ssh", "login01.canary.example", false, ["canary-1"]],
            ["ssh", "login02.canary.example", true, null],
            ["ssh", "login03.canary.example", false, []],
            ["jupyter-ml", null, false, ["canary-1", "canary-3"]],
        ])
    );
    let longer = running.json("/api/v1/sessions?minutes=30", &viewer);
    assert_eq!(longer["unique"], 3);
    let nodes = running.json("/api/v1/nodes", &viewer);
    assert_eq!(
        json!(rows(&nodes, "nodes", &["node", "kinds", "last"])[1]),
        json!([
            "login02.canary.example",
            ["ssh"],
            time::text(now - 20 * MINUTE)
        ])
    );
    assert!((1_200..1_230).contains(&nodes["nodes"][1]["seconds"].as_i64().unwrap()));
}

#[test]
fn hosts_queues_and_intake_have_means_sums_and_gaps() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let node = "login01.canary.example";
    send(
        &running,
        &[
            at(load(&token, node, 1.0), day),
            at(load(&token, node, 3.0), day + MINUTE),
            at(load(&token, node, 5.0), day + 59 * MINUTE),
            at(load(&token, node, 7.0), day + 2 * HOUR_MS),
            at(queue(&token, "all", 10), day),
            at(queue(&token, "all", 30), day + 5 * MINUTE),
            at(queue(&token, "short", 4), day + HOUR_MS),
        ],
    );
    let ask = |path: &str, step: &str| {
        let all = format!("{path}step={step}&{}", span(day, day + DAY_MS));
        running.json(&format!("/api/v1/{all}"), &viewer)
    };
    let fields = ["time", "node", "mount", "min", "mean", "max"];
    assert_eq!(
        json!(rows(&ask("hosts?metric=load&", "1h"), "hosts", &fields)),
        json!([
            [time::text(day), node, null, 1.0, 3.0, 5.0],
            [time::text(day + 2 * HOUR_MS), node, null, 7.0, 7.0, 7.0],
        ])
    );
    assert_eq!(
        json!(rows(&ask("hosts?metric=load&", "1d"), "hosts", &fields)),
        json!([[time::text(day), node, null, 1.0, 4.0, 7.0]])
    );
    assert_eq!(
        json!(rows(
            &ask("queues?", "1h"),
            "queues",
            &["time", "queue", "idle", "running", "cores", "memory"]
        )),
        json!([
            [time::text(day), "all", 1.0, 20.0, 8.0, 2000.0],
            [time::text(day + HOUR_MS), "short", 1.0, 4.0, 8.0, 2000.0],
        ])
    );
    let fresh = load(&token, node, 1.0);
    send(&running, &[fresh]);
    assert_eq!(
        json!(rows(
            &ask("intake?", "1d"),
            "intake",
            &["kind", "documents", "late"]
        )),
        json!([["CPU", 4, 4], ["condorqueue", 3, 3]])
    );
    let today = running.json("/api/v1/intake?from=-10m&to=now&step=1d", &viewer);
    assert_eq!(
        json!(rows(&today, "intake", &["kind", "documents", "late"])),
        json!([["CPU", 1, 0]])
    );
    let facilities = running.json("/api/v1/facilities?from=-7d", &viewer);
    let fields = ["facility", "first", "documents", "nodes"];
    assert_eq!(
        json!(rows(&facilities, "facilities", &fields)),
        json!([[FACILITY, time::text(day), 8, 1]])
    );
}

#[test]
fn raw_documents_come_as_they_were_hour_by_hour() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let node = "login01.canary.example";
    send(
        &running,
        &[
            at(load(&token, node, 2.0), day + 2 * HOUR_MS),
            at(ssh(&token, node, &["canary-1"]), day + HOUR_MS),
            at(load(&token, node, 1.0), day),
            at(load(&token, node, 0.5), day - 1),
            at(job(&token, "canary-1", "1.0", "idle", 0), day + 3 * HOUR_MS),
        ],
    );
    let ask = |query: &str| {
        let path = format!(
            "/api/v1/documents?{}{query}",
            span(day, day + 3 * HOUR_MS + 1)
        );
        let (status, text) = running.get(&path, &viewer);
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains(&token));
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let all = ask("");
    let kinds: Vec<&str> = all
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["CPU", "ssh", "CPU", "condorjob"]);
    let mut expected = at(load(&token, node, 1.0), day);
    expected.as_object_mut().unwrap().remove("token");
    assert_eq!(all[0], expected);
    assert_eq!(ask("&limit=4"), all);
    let cut = ask("&limit=2");
    assert_eq!(cut[..2], all[..2]);
    assert_eq!(cut[2..], [json!({"cut": true})]);
    assert_eq!(ask("&limit=1&kind=condorjob"), all[3..]);
    assert_eq!(ask("&user=canary-1"), [all[1].clone(), all[3].clone()]);
    assert_eq!(ask("&kind=CPU&facility=UC-AF").len(), 2);
    let (status, why) = running.get("/api/v1/documents?kind=none", &viewer);
    assert_eq!(status, 404, "{why}");
    assert!(why.contains("nothing was heard of"), "{why}");
    let bearer = format!("Bearer {viewer}");
    let headers = [("authorization", &*bearer), ("accept", "text/csv")];
    let (status, why) = running.ask("GET", "/api/v1/documents", &headers, Vec::new());
    assert_eq!(status, 406, "{why}");
}

/// An answer of all documents of four days, of which only the first line of the head is read yet.
fn begin_documents(running: &Running, viewer: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(running.address()).unwrap();
    write!(
        stream,
        "GET /api/v1/documents?from=-4d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {viewer}\r\n\r\n"
    )
    .unwrap();
    let patience = Duration::from_secs(20);
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status).unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    answer
}

/// How many the store has.
fn blocks(world: &World) -> i64 {
    let store = rusqlite::Connection::open_with_flags(
        world.store().join("afmetrics.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    store
        .query_row("SELECT count(*) FROM blocks", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn documents_come_once_each_although_blocks_are_merged_meanwhile() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    // More than what fits into sockets and pieces on their way.
    const N: usize = 800;
    let mut long = load(&token, "login01.canary.example", 1.0);
    long["pad"] = json!("x".repeat(60_000));
    for n in (0..N).step_by(4) {
        let some: Vec<Value> = (n..n + 4)
            .map(|n| {
                long["n"] = json!(format!("<{n}>"));
                // Later ones are older.
                at(
                    long.clone(),
                    midnight() + HOUR_MS / 2 - i64::try_from(n).unwrap(),
                )
            })
            .collect();
        send(&running, &some);
    }
    running.terminate();
    let running = world.serve(&[]);
    let mut answer = begin_documents(&running, &viewer);
    // However slow the machine is, as long as it gets on.
    let is_merged = || running.log().contains("small blocks merged");
    while !is_merged() {
        let before = blocks(&world);
        wait_until("small blocks are merged", || {
            is_merged() || blocks(&world) < before
        });
    }
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    let found: Vec<&str> = rest
        .match_indices("\"<")
        .map(|(at, _)| rest[at + 2..].split_once('>').unwrap().0)
        .collect();
    let all: Vec<String> = (0..N).map(|n| n.to_string()).collect();
    assert_eq!(found, all);
}

#[test]
fn a_place_is_for_a_node_that_has_something_in_the_span() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[
            at(load(&token, "a-dead-one", 1.0), day),
            at(load(&token, "login01", 1.0), day + DAY_MS),
            at(load(&token, "login02", 1.0), day + DAY_MS),
            at(queue(&token, "a-dead-one", 1), day),
            at(queue(&token, "q1", 1), day + DAY_MS),
            at(queue(&token, "q2", 1), day + DAY_MS),
        ],
    );
    // A whole day, a part of one; and in milliseconds, as Grafana asks.
    for length in [DAY_MS, HOUR_MS] {
        for (path, list, name) in [
            ("hosts?metric=load&", "hosts", "node"),
            ("queues?", "queues", "queue"),
        ] {
            let (from, to) = (day + DAY_MS, day + DAY_MS + length);
            let path = format!("/api/v1/{path}from={from}&to={to}&limit=1");
            let answer = running.json(&path, &viewer);
            assert_eq!(answer["cut"], 1, "{answer}");
            assert_eq!(answer[list].as_array().unwrap().len(), 1, "{answer}");
            assert_ne!(answer[list][0][name], "a-dead-one");
        }
    }
}

#[test]
fn a_slow_reader_of_documents_holds_up_nobody() {
    let world = World::new();
    let token = world.token(FACILITY);
    let (viewer, others) = (world.viewer(), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let mut long = load(&token, "login01.canary.example", 1.0);
    long["pad"] = json!("x".repeat(60_000));
    for hour in 0..3 {
        let documents: Vec<Value> = (0..200)
            .map(|n| at(long.clone(), day + hour * HOUR_MS + n))
            .collect();
        send(&running, &documents);
    }
    // More than there are readers of the store, and each longer than what fits into sockets.
    let mut slow: Vec<_> = (0..4).map(|_| begin_documents(&running, &viewer)).collect();
    let (status, why) = running.get("/api/v1/documents?from=-4d", &viewer);
    assert!(status == 503 && why.contains("this token"), "{why}");
    slow.extend((0..4).map(|_| begin_documents(&running, &others)));
    let intake = running.json("/api/v1/intake?from=-4d&step=1d", &viewer);
    assert_eq!(intake["intake"][0]["documents"], 600);
    let (status, text) = running.get("/api/v1/documents?from=-4d", &viewer);
    assert_eq!(status, 503, "{text}");
    // It still gets all, and its place is free again.
    let mut rest = String::new();
    slow.pop().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("\"timestamp\":").count(), 600);
    drop(slow);
    wait_until("a place is free", || {
        running.get("/api/v1/documents?from=-4d&limit=1", &viewer).0 == 200
    });
}

#[test]
fn csv_says_what_json_says() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let users = [
        "=1+1",
        "+2",
        "-3",
        "@4",
        "a,b",
        "\"q\"",
        "line\nbreak",
        "nul\u{0}",
        "<script>",
        "'; DROP TABLE users;--",
        "é",
    ];
    let jobs: Vec<Value> = users
        .iter()
        .flat_map(|user| [(user, "1.0", "finished"), (user, "2.0", "running")])
        .map(|(user, id, state)| at(job(&token, user, id, state, 60), day))
        .collect();
    send(&running, &jobs);
    send(
        &running,
        &[
            at(ssh(&token, "=node", &["canary-1"]), day),
            at(load(&token, "-node", -1.5), day),
            at(queue(&token, "@q", 3), day),
        ],
    );
    let span = span(day - DAY_MS, day + DAY_MS);
    for question in [
        "facilities",
        "nodes",
        "users",
        "sessions?minutes=9000",
        "jobs?by=user",
        "runtime?by=user&over=time",
        "runtime?by=length",
        "queues",
        "hosts?metric=load",
        "intake",
    ] {
        let mut path = format!("/api/v1/{question}");
        if !question.starts_with("nodes") && !question.starts_with("sessions") {
            path = format!("{path}{}{span}", if path.contains('?') { '&' } else { '?' });
        }
        let list = question.split('?').next().unwrap();
        let bearer = format!("Bearer {viewer}");
        let headers = [("authorization", &*bearer), ("accept", "text/csv")];
        // How long ago something was may change between two answers.
        let (answer, text) = (0..100)
            .find_map(|_| {
                let answer = running.json(&path, &viewer);
                let (status, text) = running.ask("GET", &path, &headers, Vec::new());
                assert_eq!(status, 200);
                (running.json(&path, &viewer) == answer).then_some((answer, text))
            })
            .unwrap();
        let mut table = csv::Reader::from_reader(text.as_bytes());
        let names = table.headers().unwrap().clone();
        let found: Vec<BTreeMap<String, String>> = table
            .records()
            .map(|row| {
                names
                    .iter()
                    .map(str::to_owned)
                    .zip(row.unwrap().iter().map(str::to_owned))
                    .collect()
            })
            .collect();
        let expected: Vec<BTreeMap<String, String>> = answer[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                row.as_object()
                    .unwrap()
                    .iter()
                    .map(|(name, value)| (name.clone(), cell(value)))
                    .collect()
            })
            .collect();
        assert!(!expected.is_empty(), "{question}");
        assert_eq!(found, expected, "{question}");
    }
    let all = running.json(&format!("/api/v1/users?{span}"), &viewer);
    let found: Vec<&str> = all["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["user"].as_str().unwrap())
        .collect();
    assert!(users.iter().all(|user| found.contains(user)), "{found:?}");
}

/// A JSON value as a cell of CSV.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect::<Vec<_>>()
            .join(";"),
        Value::Number(number) => return number.as_f64().unwrap().to_string(),
        other => return other.to_string(),
    };
    match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text,
    }
}
