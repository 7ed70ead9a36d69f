//! Rounds of 3,000 documents, killed (SIGKILL) at random moments, against an endpoint that refuses, hangs,
//! resets, answers 413, 429, 500 and 503, and now and then takes documents and does not say so. At the
//! end nothing is lost and nothing came twice.
//!
//! 30 kills, or `AFMETRICS_KILLS`; what is random comes from `AFMETRICS_SEED`, which is printed. Not all is
//! repeated by a seed: who is faster, the kill or the round, is the machine's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::ledger::{Deed, Door, Ledger, Lie};
use crate::support::program::{Started, World};

const DOCUMENTS: usize = 3000;
/// Requests that may be under way at a time, over HTTP/1.1 and over HTTP/2.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 24;
/// No round of the test takes longer: then it is killed.
const LONGEST: Duration = Duration::from_secs(5);

/// When a round is killed.
#[derive(Debug)]
enum Moment {
    /// So long behind its start.
    After(Duration),
    /// While it is being written, or so long after that.
    WhenWriting(Duration),
    /// So long after it has reported itself stored.
    WhenStored(Duration),
    /// When the endpoint has been asked so often.
    WhenAsked(usize),
    Never,
}

/// How a round went.
struct Round {
    is_killed: bool,
    /// Seen in `pending`, or ended by itself.
    is_stored: bool,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no business of the program's"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn jobs(round: usize, count: usize) -> String {
    let jobs: Vec<String> = (0..count)
        .map(|proc| {
            format!(
                r#"{{"ClusterId":{round},"ProcId":{proc},"JobStatus":2,"Owner":"canary-1","RemoteWallClockTime":38.0}}"#
            )
        })
        .collect();
    format!("[\n{}\n]\n", jobs.join("\n,\n"))
}

/// The rounds in `pending`.
fn pending(world: &World) -> BTreeSet<String> {
    match fs::read_dir(world.path("state/spool/pending")) {
        Ok(names) => names
            .filter_map(|name| name.ok()?.file_name().into_string().ok())
            .collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn start(world: &World, ledger: &Ledger, round: usize, random: &mut fastrand::Rng) -> Started {
    fs::write(world.path("next.json"), jobs(round, DOCUMENTS)).unwrap();
    // In one step: `cat` of a round that was killed may be reading.
    fs::rename(world.path("next.json"), world.path("queue.json")).unwrap();
    let (token, connections, streams) = (
        format!("round-{round}"),
        CONNECTIONS.to_string(),
        STREAMS.to_string(),
    );
    let mut args = vec!["-b", "-t", &token, "-u", &ledger.url, "--ca-file"];
    args.push(ledger.ca.path().to_str().unwrap());
    args.extend(["--max-connections", &connections, "--max-streams", &streams]);
    args.extend(["--request-timeout", "2", "--deliver-for", "30"]);
    if let Some(size) = [None, Some("500"), Some("50")][random.usize(..3)] {
        args.extend(["--batch-size", size]);
    }
    let mut command = world.command(&args);
    Started::of(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Runs a round up to its end or to that moment.
fn run(world: &World, ledger: &Ledger, number: usize, random: &mut fastrand::Rng) -> Round {
    let before = pending(world);
    let asked = ledger.book().asked;
    let ms = |random: &mut fastrand::Rng, most| Duration::from_millis(random.u64(..most));
    let moment = match random.usize(..10) {
        0 | 1 => Moment::After(ms(random, 1200)),
        2 | 3 => Moment::WhenWriting(ms(random, 40)),
        4 | 5 => Moment::WhenStored(ms(random, 700)),
        6..9 => Moment::WhenAsked(asked + random.usize(..800)),
        _ => Moment::Never,
    };
    let begun = Instant::now();
    let mut round = start(world, ledger, number, random);
    let mut is_stored = false;
    // When what the moment is counted from was seen.
    let mut since = None;
    let is_killed = loop {
        if let Some(status) = round.ended() {
            // 1: not all could be delivered. Whoever ended in another way has stored nothing.
            assert!((0..=1).contains(&status), "it ended with {status}");
            is_stored = true;
            break false;
        }
        let now = pending(world);
        let is_new = |name: &&String| !name.starts_with('.') && !before.contains(*name);
        is_stored |= now.iter().any(|name| is_new(&name));
        let is_writing = is_stored || now.iter().any(|name| name.starts_with(".new-"));
        let is_due = match moment {
            Moment::After(time) => begun.elapsed() >= time,
            Moment::WhenWriting(time) if is_writing => {
                since.get_or_insert_with(Instant::now).elapsed() >= time
            }
            Moment::WhenStored(time) if is_stored => {
                since.get_or_insert_with(Instant::now).elapsed() >= time
            }
            Moment::WhenAsked(count) => ledger.book().asked >= count,
            _ => false,
        };
        if is_due || begun.elapsed() >= LONGEST {
            round.kill();
            break true;
        }
        sleep(Duration::from_micros(300));
    };
    round.ends();
    // It may have been stored between the last look and the kill.
    is_stored |= pending(world)
        .iter()
        .any(|name| !name.starts_with('.') && !before.contains(name));
    Round {
        is_killed,
        is_stored,
    }
}

/// An endpoint's bad moods: how many requests in a thousand go wrong.
fn judge(mut random: fastrand::Rng, mood: Arc<Mutex<u32>>) -> impl FnMut(usize) -> Deed {
    move |documents| {
        if random.u32(..1000) >= *mood.lock().unwrap() {
            return Deed::Accept;
        }
        match random.usize(..12) {
            0 => Deed::Refuse(429, None),
            1 => Deed::Refuse(429, Some("0")),
            2 => Deed::Refuse(
                429,
                Some(["1", "Sun, 06 Nov 1994 08:49:37 GMT"][random.usize(..2)]),
            ),
            3 => Deed::Refuse(500, None),
            4 => Deed::Refuse(503, None),
            // A single document would be rejected for good.
            5 | 6 if documents > 1 => Deed::Refuse(413, None),
            5 => Deed::Hang,
            6 | 7 => Deed::Reset,
            8 => Deed::AcceptAnd(Lie::Reset),
            9 => Deed::AcceptAnd(Lie::Say(503)),
            10 => Deed::AcceptAnd(Lie::BreakOff),
            _ => Deed::AcceptAnd(Lie::Hang),
        }
    }
}

fn door(
    mut random: fastrand::Rng,
    mood: Arc<Mutex<u32>>,
    http2: Arc<Mutex<bool>>,
) -> impl FnMut() -> Door {
    move || {
        if random.u32(..1000) < *mood.lock().unwrap() {
            return Door::Shut;
        }
        match *http2.lock().unwrap() {
            true => Door::Http2,
            false => Door::Http1,
        }
    }
}

/// Rounds of one document, which nobody kills, until nothing waits and nothing lies about. Their numbers go
/// on behind those of the others.
fn drain(world: &mut World, ledger: &Ledger, rounds: usize) {
    let ca = ledger.ca.path().to_str().unwrap().to_owned();
    for number in rounds..rounds + 20 {
        world.batch_node(&jobs(number, 1));
        let token = format!("round-{number}");
        let to = [
            "-b",
            "-v",
            "-t",
            &token,
            "-u",
            &ledger.url,
            "--ca-file",
            &ca,
        ];
        let run = world.run(&[&to[..], &["--batch-size", "500"]].concat());
        if pending(world).is_empty() {
            run.exits(0);
            return;
        }
    }
    panic!("something stays: {:?}", pending(world));
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_however_often_rounds_are_killed() {
    let kills = number("AFMETRICS_KILLS").unwrap_or(30);
    let seed = number("AFMETRICS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("AFMETRICS_SEED={seed} AFMETRICS_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new();
    world.batch_node("[\n]\n");
    let ledger = Ledger::start(true);
    let (mood, http2) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(false)));
    let mut deed = judge(random.fork(), Arc::clone(&mood));
    ledger.judge(move |asked| deed(asked.documents.len()));
    ledger.door(door(random.fork(), Arc::clone(&mood), Arc::clone(&http2)));
    let mut rounds = Vec::new();
    let mut killed = 0;
    // Some end before they are killed; if most do, they do not do what they should.
    let most = 50 + 20 * usize::try_from(kills).unwrap();
    while killed < kills {
        assert!(rounds.len() < most, "{killed} kills in {most} rounds");
        *mood.lock().unwrap() = [0, 5, 5, 30, 300][random.usize(..5)];
        *http2.lock().unwrap() = random.bool();
        let round = run(&world, &ledger, rounds.len(), &mut random);
        killed += u64::from(round.is_killed);
        rounds.push(round);
    }
    *mood.lock().unwrap() = 0;
    drain(&mut world, &ledger, rounds.len());
    check(&ledger, &rounds);
    for folder in ["rejected", "damaged"] {
        assert!(world.names(&format!("state/spool/{folder}")).is_empty());
    }
}

fn check(ledger: &Ledger, rounds: &[Round]) {
    let book = ledger.book();
    assert!(book.wrong.is_empty(), "{:?}", &book.wrong);
    let mut lost = 0;
    for (number, round) in rounds.iter().enumerate() {
        let found = (0..DOCUMENTS)
            .filter(|proc| book.documents.contains_key(&format!("{number}.{proc}")))
            .count();
        if round.is_stored {
            lost += DOCUMENTS - found;
        }
        assert!(
            found == 0 || found == DOCUMENTS,
            "half of round {number}: {found}"
        );
    }
    let mut double_by_key = 0;
    let mut doubles = 0;
    // Requests of which a document came once more.
    let mut repeated: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let mut repeated_lost = BTreeSet::new();
    for (id, taken) in &book.documents {
        double_by_key += taken
            .iter()
            .map(|taken| &taken.key)
            .collect::<BTreeSet<_>>()
            .len()
            - 1;
        doubles += taken.len() - 1;
        let round = id.split('.').next().unwrap();
        for taken in taken {
            let is_own = taken.token.strip_prefix("round-") == Some(round);
            assert_ne!(taken.is_late, is_own, "{id} in {}", taken.token);
        }
        for taken in &taken[..taken.len() - 1] {
            match &book.requests[taken.request] {
                (_, true) => {
                    repeated_lost.insert(taken.request);
                }
                (token, false) => {
                    repeated.entry(token).or_default().insert(taken.request);
                }
            }
        }
    }
    let kills = rounds.iter().filter(|round| round.is_killed).count();
    let answers_lost = book.requests.iter().filter(|(_, is_lost)| *is_lost).count();
    let requests = repeated.values().map(BTreeSet::len).sum::<usize>() + repeated_lost.len();
    let most = kills * STREAMS.max(CONNECTIONS) + answers_lost;
    println!(
        "{} rounds, {kills} kills, {} requests, {answers_lost} answers lost, {} documents: lost {lost}, double {double_by_key}; \
         without Idempotency-Key {doubles} doubles, of {requests} requests (at most {most})",
        rounds.len(),
        book.asked,
        book.documents.len(),
    );
    assert_eq!((lost, double_by_key), (0, 0));
    assert!(requests <= most);
    for (token, requests) in repeated {
        // On a busy machine an answer may come too late in a round that nobody kills; that is in the sum.
        let round = token
            .strip_prefix("round-")
            .and_then(|number| number.parse::<usize>().ok());
        if round.is_some_and(|number| rounds.get(number).is_some_and(|round| round.is_killed)) {
            assert!(
                requests.len() <= STREAMS.max(CONNECTIONS),
                "{token}: {}",
                requests.len()
            );
        }
    }
}
