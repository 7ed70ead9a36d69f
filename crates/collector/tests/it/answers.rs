//! What becomes of documents by what the endpoint answers: accepted, rejected, later.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::endpoint::{Endpoint, Protocol, Received, Reply};
use crate::support::namespace::within;
use crate::support::program::{Run, Started, TOKEN, World, jobs};

/// A batch head node with so many jobs and nothing else.
fn node(count: usize) -> World {
    let mut world = World::new();
    world.batch_node(&jobs(count, "canary-1"));
    world
}

fn status(status: u16) -> Reply {
    Reply::Status(status, "no".to_owned())
}

/// Later, and not in this round.
fn not_today(status: u16) -> Reply {
    let header = ("retry-after", "86400".to_owned());
    Reply::With(status, vec![header], "not today".to_owned())
}

/// The numbers of the jobs in a request.
fn numbers(request: &Received) -> Vec<usize> {
    request.documents().iter().map(number).collect()
}

fn number(document: &Value) -> usize {
    let id = document["Id"].as_str().unwrap();
    id.strip_prefix("1.").unwrap().parse().unwrap()
}

fn key(request: &Received) -> String {
    request.header("idempotency-key").unwrap().to_owned()
}

/// The batches in the spool, oldest first: header and documents.
fn batches(world: &World) -> Vec<(Value, Vec<Value>)> {
    let pending = world.path("state/spool/pending");
    let mut batches = Vec::new();
    for round in world.names("state/spool/pending") {
        for name in world.names(&format!("state/spool/pending/{round}")) {
            if name.ends_with(".ndjson.zst") {
                let packed = File::open(pending.join(&round).join(name)).unwrap();
                let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
                let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                batches.push((lines.next().unwrap(), lines.collect()));
            }
        }
    }
    batches
}

/// The refused documents of all batches, without the headers.
fn rejected(world: &World) -> Vec<Value> {
    let mut rejected = Vec::new();
    for name in world.names("state/spool/rejected") {
        let text = fs::read_to_string(world.path("state/spool/rejected").join(&name)).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let header: Value = lines.next().unwrap();
        assert_eq!(name, format!("{}.ndjson", header["id"].as_str().unwrap()));
        rejected.extend(lines);
    }
    rejected
}

/// Asserts that these requests have jobs 0 to `count`, each once and with the token.
#[track_caller]
fn assert_each_once<'a>(requests: impl IntoIterator<Item = &'a Received>, count: usize) {
    let documents: Vec<Value> = requests.into_iter().flat_map(Received::documents).collect();
    assert!(documents.iter().all(|document| document["token"] == TOKEN));
    let mut ids: Vec<usize> = documents.iter().map(number).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..count).collect::<Vec<_>>());
}

/// A round of one document that is answered in this way.
fn round_of_one(reply: u16) -> (World, Run, usize) {
    let endpoint = Endpoint::start(Protocol::Http1, move |_, _| status(reply));
    let world = node(1);
    let run = world.deliver(&endpoint, &["-b", "-v"]);
    (world, run, endpoint.requests().len())
}

#[test]
fn what_is_accepted_leaves_nothing_in_the_spool() {
    for status in [200, 201, 204, 299] {
        let (world, run, requests) = round_of_one(status);
        run.exits(0).says("; 1 accepted\n");
        assert_eq!(requests, 1);
        assert_eq!(batches(&world).len(), 0);
        assert_eq!(world.names("state/spool/pending").len(), 0);
        assert_eq!(rejected(&world).len(), 0);
    }
}

#[test]
fn what_is_rejected_is_kept_with_the_answer_and_not_sent_again() {
    for status in [400, 402, 406, 409, 411, 413, 415, 418, 422, 431, 451] {
        let (world, run, requests) = round_of_one(status);
        let run = run.exits(1).says("; 0 accepted, 1 rejected\n");
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
        assert_eq!(requests, 1);
        assert_eq!(world.names("state/spool/pending").len(), 0);
        let rejected = rejected(&world);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0]["index"], 0);
        let answer = rejected[0]["answer"].as_str().unwrap();
        assert!(answer.starts_with(&status.to_string()), "{answer}");
        assert!(answer.ends_with(": no"), "{answer}");
        assert_eq!(rejected[0]["document"]["Id"], "1.0");
        assert_eq!(rejected[0]["document"].get("token"), None);
    }
    // Nor in the next round.
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| status(400));
    let mut world = node(1);
    world.deliver(&endpoint, &["-b"]).exits(1);
    world.batch_node("[\n]\n");
    world.deliver(&endpoint, &["-b"]).exits(0);
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn what_a_person_has_to_mend_is_said_once_a_round_and_the_documents_wait() {
    for status in [300, 301, 302, 303, 307, 308, 401, 403, 404, 405, 410] {
        let (world, run, requests) = round_of_one(status);
        let run = run
            .exits(1)
            .says("; 0 accepted, 1 waits in the spool since ");
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
        assert_eq!(requests, 1, "after a {status}");
        assert_eq!(batches(&world)[0].1.len(), 1);
        assert_eq!(rejected(&world).len(), 0);
    }
    let endpoint = Endpoint::start(Protocol::Http1, |number, _| {
        Reply::Status(401, format!("request {number} has no good token"))
    });
    let run = node(30).deliver(&endpoint, &["-b", "-v"]).exits(1);
    let run = run
        .says("answered 401 Unauthorized (is the token right?)")
        .says("; 0 accepted, 30 wait in the spool since ");
    assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
    assert_eq!(endpoint.requests().len(), 5);
}

#[test]
fn what_an_endpoint_cannot_take_now_is_tried_again_and_then_waits() {
    let statuses = [408, 425, 429, 500, 502, 503, 504];
    thread::scope(|scope| {
        for status in statuses {
            scope.spawn(move || {
                let (world, run, requests) = round_of_one(status);
                let run = run
                    .exits(1)
                    .says(&format!(" answered {status} "))
                    .says("; 0 accepted, 1 waits in the spool since ");
                assert_eq!(run.lines_with("ERROR"), 0, "{}", run.stderr);
                assert_eq!(requests, 5, "after a {status}");
                assert_eq!(batches(&world)[0].1.len(), 1);
                assert_eq!(rejected(&world).len(), 0);
            });
        }
    });
}

#[test]
fn an_endpoint_that_is_down_gets_five_requests_a_round() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for args in [&["-b", "-v"][..], &["-b", "-v", "--batch-size", "3"]] {
            let endpoint = Endpoint::start(protocol, |_, _| status(503));
            node(100)
                .deliver(&endpoint, args)
                .exits(1)
                .says("5 requests in a row without success: https://127.0.0.1:")
                .says("; 0 accepted, 100 wait in the spool since ");
            assert_eq!(endpoint.requests().len(), 5);
        }
    }
}

#[test]
fn halving_finds_the_one_document_that_is_refused() {
    for refused in [400, 413, 422] {
        let endpoint = Endpoint::start(Protocol::Http1, move |_, request| {
            match numbers(request).contains(&137) {
                true => status(refused),
                false => Reply::ok(),
            }
        });
        let world = node(500);
        let run = world.deliver(&endpoint, &["-b", "-v", "--batch-size", "500"]);
        let run = run.exits(1).says("; 499 accepted, 1 rejected\n");
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
        let requests = endpoint.requests();
        assert!(requests.len() <= 19, "{} requests", requests.len());
        let mut accepted: Vec<usize> = requests
            .iter()
            .map(numbers)
            .filter(|numbers| !numbers.contains(&137))
            .flatten()
            .collect();
        accepted.sort_unstable();
        let others: Vec<usize> = (0..500).filter(|number| *number != 137).collect();
        assert_eq!(accepted, others);
        let rejected = rejected(&world);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0]["index"], 137);
        assert_eq!(number(&rejected[0]["document"]), 137);
        let answer = rejected[0]["answer"].as_str().unwrap();
        assert!(answer.starts_with(&refused.to_string()), "{answer}");
        assert_eq!(world.names("state/spool/pending").len(), 0);
    }
}

#[test]
fn packed_bodies_are_gzip_and_hold_the_documents() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let endpoint = Endpoint::ok(protocol);
        node(100)
            .deliver(&endpoint, &["-b", "--gzip", "--batch-size", "20"])
            .exits(0);
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 5);
        for request in &requests {
            assert_eq!(request.header("content-encoding"), Some("gzip"));
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        assert_each_once(&requests, 100);
    }
    // What is short is not worth it.
    let endpoint = Endpoint::ok(Protocol::Http1);
    node(3).deliver(&endpoint, &["-b", "--gzip"]).exits(0);
    let requests = endpoint.requests();
    let is_packed = |request: &Received| request.header("content-encoding").is_some();
    assert!(!requests.iter().any(is_packed));
    assert_each_once(&requests, 3);
}

#[test]
fn an_endpoint_that_takes_no_packed_bodies_gets_others() {
    let is_packed = |request: &Received| request.header("content-encoding").is_some();
    let endpoint = Endpoint::start(Protocol::Http1, move |_, request| {
        match is_packed(request) {
            true => status(415),
            false => Reply::ok(),
        }
    });
    let args = ["-b", "-v", "--gzip", "--batch-size", "20"];
    let run = node(100).deliver(&endpoint, &args).exits(0);
    let run = run.says("takes no packed bodies").says("; 100 accepted\n");
    assert_eq!(run.lines_with("ERROR"), 0);
    let requests = endpoint.requests();
    let packed = requests.iter().filter(|request| is_packed(request)).count();
    assert_eq!(packed, 1);
    assert_each_once(requests.iter().filter(|request| !is_packed(request)), 100);
    // The same documents have the same name.
    assert_eq!(key(&requests[0]), key(&requests[1]));
}

#[test]
fn a_retry_after_is_honoured() {
    for (status, after) in [
        (503, (|| "2".to_owned()) as fn() -> String),
        // Whole seconds: at least two.
        (429, || in_seconds(3)),
    ] {
        let endpoint = Endpoint::start(Protocol::Http1, move |number, _| match number {
            0 => Reply::With(status, vec![("retry-after", after())], String::new()),
            _ => Reply::ok(),
        });
        let run = node(20).deliver(&endpoint, &["-b", "-v"]).exits(0);
        run.says("; 20 accepted\n");
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 21);
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= Duration::from_millis(1990), "{pause:?}");
        assert!(pause < Duration::from_secs(15), "{pause:?}");
    }
}

/// By the clock as it is then, not as it was when the round began to collect.
#[test]
fn a_retry_after_that_is_a_date_is_no_longer_than_that_after_slow_collecting() {
    let endpoint = Endpoint::start(Protocol::Http1, |number, _| match number {
        0 => Reply::With(429, vec![("retry-after", in_seconds(2))], String::new()),
        _ => Reply::ok(),
    });
    let mut world = node(1);
    let queue = world.path("queue.json");
    let slow = format!("/usr/bin/sleep 8; exec /usr/bin/cat {}", queue.display());
    world.program("condor_q", &slow);
    world.deliver(&endpoint, &["-b", "-v"]).exits(0);
    let requests = endpoint.requests();
    let pause = requests[1].at - requests[0].at;
    assert!(pause < Duration::from_secs(8), "{pause:?}");
}

fn in_seconds(seconds: u64) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the endpoint has a clock of its own"
    )]
    let now = SystemTime::now();
    httpdate::fmt_http_date(now + Duration::from_secs(seconds))
}

#[test]
fn a_retry_after_that_is_longer_than_the_round_delivers_ends_it_at_once() {
    for after in [
        "3600".to_owned(),
        "18446744073709551615".to_owned(),
        in_seconds(3600),
    ] {
        let endpoint = Endpoint::start(Protocol::Http1, move |_, _| {
            Reply::With(429, vec![("retry-after", after.clone())], String::new())
        });
        let begun = Instant::now();
        let world = node(20);
        let run = world.deliver(&endpoint, &["-b", "-v"]).exits(1);
        run.says("the endpoint asks to be left alone for ")
            .says("; 0 accepted, 20 wait in the spool since ");
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(endpoint.requests().len(), 1);
        assert_eq!(batches(&world)[0].1.len(), 20);
    }
}

#[test]
fn a_key_names_the_same_documents_for_ever() {
    let is_third = |request: &Received| numbers(request).contains(&2);
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    let mut world = node(5);
    let first = std::sync::atomic::AtomicBool::new(true);
    endpoint.answers(move |_, request| match is_third(request) {
        // Once more in this round, then no more.
        true if first.swap(false, std::sync::atomic::Ordering::SeqCst) => status(503),
        true => not_today(503),
        false => Reply::ok(),
    });
    let pairs = ["-b", "-v", "--batch-size", "2"];
    world
        .deliver(&endpoint, &pairs)
        .exits(1)
        .says("; 3 accepted, 2 wait in the spool since ");
    let (header, _) = &batches(&world)[0];
    let id = header["id"].as_str().unwrap().to_owned();
    assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7);
    let mut keys: Vec<String> = endpoint.requests().iter().map(key).collect();
    keys.sort();
    let expected = ["0-2", "2-2", "2-2", "4-1"].map(|which| format!("{id}/{which}"));
    assert_eq!(keys, expected);
    // In later rounds, of other batch sizes, too.
    world.batch_node("[\n]\n");
    endpoint.answers(|_, _| not_today(503));
    world.deliver(&endpoint, &pairs).exits(1);
    endpoint.answers(|_, _| Reply::ok());
    world
        .deliver(&endpoint, &["-b", "--batch-size", "1"])
        .exits(0);
    let requests = &endpoint.requests()[4..];
    let mut named: Vec<(String, Vec<usize>)> =
        requests.iter().map(|r| (key(r), numbers(r))).collect();
    named.sort();
    let expected = [("2-1", vec![2]), ("2-2", vec![2, 3]), ("3-1", vec![3])];
    assert_eq!(
        named,
        expected.map(|(which, n)| (format!("{id}/{which}"), n))
    );
    assert_eq!(batches(&world).len(), 0);
}

#[test]
fn late_documents_say_when_they_were_collected_and_the_oldest_go_first() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| not_today(503));
    let world = node(3);
    let args = ["-b", "-v", "--max-connections", "1"];
    for _ in 0..2 {
        world.deliver(&endpoint, &args).exits(1);
    }
    let collected: Vec<Timestamp> = batches(&world)
        .iter()
        .map(|(header, _)| header["collected"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(
        endpoint
            .documents()
            .iter()
            .skip(1)
            .all(|d| d["timestamp"].is_string())
    );
    let before = endpoint.requests().len();
    endpoint.answers(|_, _| Reply::ok());
    let run = world.deliver(&endpoint, &args).exits(0);
    run.says("; 9 accepted (6 of earlier rounds)\n");
    let timestamps: Vec<Option<String>> = endpoint.requests()[before..]
        .iter()
        .map(|request| request.json()["timestamp"].as_str().map(str::to_owned))
        .collect();
    let late: Vec<Timestamp> = timestamps[..6]
        .iter()
        .map(|at| {
            let at = at.as_deref().unwrap();
            // 2026-11-23T01:02:03.456Z
            assert!(
                at.len() == 24 && at.ends_with('Z') && at.as_bytes()[19] == b'.',
                "{at}"
            );
            at.parse().unwrap()
        })
        .collect();
    assert_eq!(late[..3], [collected[0]; 3]);
    assert_eq!(late[3..], [collected[1]; 3]);
    assert!(collected[0] < collected[1]);
    assert_eq!(timestamps[6..], [None, None, None]);
}

/// In the first round so many documents are always refused, and 34 are not; in the second they are all
/// that is left of the oldest batch.
fn poisoned(refusal: u16, poison: usize, args: &[&str]) {
    let endpoint = Endpoint::start(Protocol::Http1, move |_, request| {
        match numbers(request).iter().any(|number| *number < poison) {
            true => status(refusal),
            false => Reply::ok(),
        }
    });
    let mut world = node(poison + 34);
    let what = format!("{poison} documents that get {refusal}, {args:?}");
    let run = world.deliver(&endpoint, &[&["-b", "-v"], args].concat());
    let wait = if poison == 1 { "waits" } else { "wait" };
    let said = format!("; 34 accepted, {poison} {wait} in the spool");
    assert!(run.stderr.contains(&said), "{what}: {}", run.stderr);
    endpoint.answers(
        move |_, request| match request.documents()[0]["timestamp"].is_string() {
            true => status(refusal),
            false => Reply::ok(),
        },
    );
    world.batch_node(&jobs(7, "canary-1"));
    let run = world.deliver(&endpoint, &[&["-b", "-v"], args].concat());
    let said = format!("; 7 accepted, {poison} {wait} in the spool");
    assert!(run.stderr.contains(&said), "{what}: {}", run.stderr);
    assert_eq!(rejected(&world).len(), 0);
    endpoint.answers(|_, _| Reply::ok());
    world.batch_node("[\n]\n");
    let run = world.deliver(&endpoint, &["-b", "-v"]).exits(0);
    run.says(&format!("; {poison} accepted ({poison} of earlier rounds)"));
}

#[test]
fn documents_that_an_endpoint_never_takes_do_not_keep_others_from_being_delivered() {
    thread::scope(|scope| {
        for refusal in [500, 403] {
            for poison in [1, 6, 40] {
                scope.spawn(move || poisoned(refusal, poison, &[]));
            }
        }
    });
}

#[test]
fn a_document_that_an_endpoint_never_takes_does_not_keep_the_others_of_its_array() {
    thread::scope(|scope| {
        for refusal in [500, 403] {
            scope.spawn(move || poisoned(refusal, 1, &["--batch-size", "20"]));
        }
    });
}

#[test]
fn delivery_ends_in_time_when_nothing_is_answered() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let endpoint = Endpoint::start(protocol, |number, _| match number {
            0..3 => Reply::ok(),
            _ => Reply::Hang,
        });
        let begun = Instant::now();
        let world = node(200);
        world
            .deliver(&endpoint, &["-b", "-v", "--deliver-for", "3"])
            .exits(1)
            .says("stopped delivering after 3 s")
            .says("; 3 accepted, 197 wait in the spool since ");
        assert!(begun.elapsed() < Duration::from_secs(12));
        endpoint.answers(|_, _| Reply::ok());
        let run = world.deliver(&endpoint, &["-b", "-v"]).exits(0);
        run.says("; 397 accepted (197 of earlier rounds)");
    }
}

#[test]
fn a_killed_round_repeats_at_most_what_was_in_flight() {
    for (protocol, limit) in [
        (Protocol::Http1, "--max-connections"),
        (Protocol::Http2, "--max-streams"),
    ] {
        // However fast or slow the machine is: it is not done when it is killed.
        let endpoint = Endpoint::start(protocol, |number, _| match number {
            0..150 => Reply::ok(),
            _ => Reply::Hang,
        });
        let mut world = node(400);
        let ca = endpoint.ca.path().to_str().unwrap();
        let to = ["-b", "-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
        let mut round = Started::of(&mut world.command(&[&to[..], &[limit, "8"]].concat()));
        let all_are_in_flight = || endpoint.requests().len() >= 158;
        assert!(within(Duration::from_secs(25), all_are_in_flight));
        round.kill();
        assert_eq!(round.ends().status, -1);
        assert_eq!(endpoint.requests().len(), 158);
        endpoint.answers(|_, _| Reply::ok());
        world.batch_node("[\n]\n");
        world.deliver(&endpoint, &["-b", "-v"]).exits(0);
        let requests = endpoint.requests();
        assert!(requests.len() <= 408, "{} requests", requests.len());
        let ids: BTreeSet<usize> = requests.iter().flat_map(numbers).collect();
        assert_eq!(ids.len(), 400);
        let keys: BTreeSet<String> = requests.iter().map(key).collect();
        assert_eq!(keys.len(), 400);
    }
}

#[test]
fn batches_for_another_endpoint_or_facility_are_not_sent_with_this_token() {
    let [one, other] = [0, 1].map(|_| Endpoint::start(Protocol::Http1, |_, _| not_today(503)));
    let world = node(2);
    let said = "for a round for another endpoint or facility";
    world
        .deliver(&one, &["-b", "-v", "-c", "CANARY-1"])
        .exits(1);
    other.answers(|_, _| Reply::ok());
    let run = world.deliver(&other, &["-b", "-v", "-c", "CANARY-1"]);
    run.exits(0).says("; 2 accepted\n").says(said);
    one.answers(|_, _| Reply::ok());
    let run = world.deliver(&one, &["-b", "-v", "-c", "CANARY-2"]);
    run.exits(0).says("; 2 accepted\n").says(said);
    assert_eq!(
        one.documents()
            .iter()
            .filter(|d| d["cluster"] == "CANARY-1")
            .count(),
        1
    );
    let run = world.deliver(&one, &["-b", "-v", "-c", "CANARY-1"]);
    run.exits(0)
        .says("; 4 accepted (2 of earlier rounds)\n")
        .lacks(said);
}

#[test]
fn clear_names_from_before_do_not_leave_once_names_are_hidden() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| not_today(503));
    let world = node(2);
    world.deliver(&endpoint, &["-b", "-v"]).exits(1);
    let before = endpoint.requests().len();
    endpoint.answers(|_, _| Reply::ok());
    let hidden = ["-b", "-v", "-o", "-z", "s4lt"];
    world
        .deliver(&endpoint, &hidden)
        .exits(1)
        .says("1 batch in the spool holds clear names, from before -o or -O, and is not sent")
        .says("; 2 accepted, 2 not sent for their clear names")
        .lacks("canary-1");
    let requests = &endpoint.requests()[before..];
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(!String::from_utf8_lossy(&request.body).contains("canary-1"));
    }
}

#[test]
fn a_round_leaves_its_documents_to_one_that_is_delivering_which_sends_them() {
    let (lets_go, is_time) = watch::channel(false);
    let endpoint = Endpoint::start(Protocol::Http1, move |number, _| match number {
        0 => Reply::When(is_time.clone()),
        _ => Reply::ok(),
    });
    let mut world = node(1);
    let ca = endpoint.ca.path().to_str().unwrap();
    let to = ["-b", "-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
    let first = Started::of(&mut world.command(&to));
    let is_asked = || !endpoint.requests().is_empty();
    assert!(within(Duration::from_secs(60), is_asked));
    world.batch_node(&jobs(3, "canary-1"));
    let run = world.deliver(&endpoint, &["-b", "-v"]).exits(1);
    run.says("another round is delivering just now")
        .says("; 0 accepted, 3 wait in the spool");
    assert_eq!(
        endpoint.requests().len(),
        1,
        "the first round has ended too early"
    );
    lets_go.send(true).unwrap();
    first.ends().exits(0);
    assert_eq!(endpoint.requests().len(), 4);
    assert_eq!(world.names("state/spool/pending").len(), 0);
}
