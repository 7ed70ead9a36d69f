//! The power goes at any moment: what rounds had reported as stored is there when it comes back.
//!
//! Some rounds run under strace. Their history below the state folder is replayed up to every point, in
//! each of several ways to lose what was not synced, and the binary runs on what is left.
//!
//! What is modelled: a file has what was written before its last fsync, and of the rest all, nothing, zeros
//! or some; a name is there, or gone, for certain only when its folder was synced after that, whether or not
//! the file itself was; a folder's steps that were not synced can be kept in any selection. A rename is one
//! step, also from one folder to another, and a sync of either makes it durable: so is it on file
//! systems with a journal. Not modelled: a page that is half written (zstd's checksums are for that), disks that
//! lose what they say is synced, names and file lengths that are damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::disk::{self, CALLS, Disk, Left, Step, Tree};
use crate::support::ledger::{Deed, Door, Ledger};
use crate::support::needs;
use crate::support::program::{Run, World, names};

/// Of each round.
const DOCUMENTS: u32 = 12;
/// So many states are tried, at most.
const MOST: usize = 180;

/// A round under strace.
struct Phase {
    /// Which of the steps are of this one.
    end: usize,
    /// Behind this many it had been said that the round was stored.
    stored: usize,
}

/// What happened before the power went.
struct History {
    disk: Disk,
    phases: Vec<Phase>,
    /// The number of steps behind which the batch of round 4 was damaged.
    damaged: usize,
    /// By document: when the endpoint took it first.
    accepted: BTreeMap<String, f64>,
    ledger: Ledger,
}

/// One state in which the power can come back.
struct Moment {
    steps: usize,
    left: Left,
    tree: Tree,
}

fn jobs(round: usize, count: u32) -> String {
    let jobs: Vec<String> = (0..count)
        .map(|proc| {
            format!(
                r#"{{"ClusterId":{round},"ProcId":{proc},"JobStatus":2,"Owner":"canary-1","RemoteWallClockTime":38.0}}"#
            )
        })
        .collect();
    format!("[\n{}\n]\n", jobs.join("\n,\n"))
}

/// Of each round, in the history.
const FINISHED: std::ops::Range<u32> = 90..93;

/// Gives the node a history of the jobs that finished in rounds 0 to `last`, just now.
fn finished(world: &mut World, last: usize) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = SystemTime::now();
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let jobs: Vec<String> = (0..=last)
        .rev()
        .flat_map(|round| FINISHED.rev().map(move |proc| (round, proc)))
        .map(|(round, proc)| {
            format!(
                "{{\n  \"ClusterId\": {round},\n  \"CompletionDate\": {now},\n  \"EnteredCurrentStatus\": {now},\n  \"GlobalJobId\": \"canary-1#{round}.{proc}#1795378484\",\n  \"JobFinishedHookDone\": {now},\n  \"JobStatus\": 4,\n  \"Owner\": \"canary-1\",\n  \"ProcId\": {proc},\n  \"RemoteWallClockTime\": 22.0\n}}\n"
            )
        })
        .collect();
    let path = world.path("history.json");
    fs::write(&path, format!("[\n{}]\n", jobs.join(",\n"))).unwrap();
    world.program(
        "condor_history",
        &format!("exec /usr/bin/cat {}", path.display()),
    );
}

/// What `/proc/uptime` says in a round: by this its cursor is known.
fn uptime(round: usize) -> u32 {
    1000 + 100 * u32::try_from(round).unwrap()
}

/// The binary's command, to be run by strace.
fn traced(command: &Command, to: &Path) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program itself"
    )]
    let mut strace = Command::new("/usr/bin/strace");
    strace
        .args([
            "-f", "-ttt", "-y", "-xx", "-s", "10000000", "-e", CALLS, "-o",
        ])
        .arg(to)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::null());
    strace
}

fn args<'a>(ledger: &'a Ledger, state: &'a str, token: &'a str) -> Vec<&'a str> {
    vec![
        "-b",
        "-v",
        "--state-dir",
        state,
        "-t",
        token,
        "-u",
        &ledger.url,
    ]
}

/// What the endpoint does in a round.
fn deed(round: usize, document: &Value) -> Deed {
    let proc = document["Id"]
        .as_str()
        .and_then(|id| id.split('.').next_back()?.parse::<u32>().ok());
    match (round, proc.map(|proc| proc % 3)) {
        (2, Some(1)) => Deed::Refuse(400, None),
        (2, Some(2)) => Deed::Refuse(404, None),
        _ => Deed::Accept,
    }
}

fn history() -> History {
    let mut world = World::new();
    world.healthy_host();
    let ledger = Ledger::start(false);
    let top = world.path("state");
    // The program makes the state folder itself, and one above it.
    let state = top.join("lib/afmetrics");
    let mut disk = Disk::new(&top);
    let mut phases: Vec<Phase> = Vec::new();
    let mut damaged = usize::MAX;
    for round in 0..6 {
        let is_down = matches!(round, 0 | 1 | 4);
        ledger.door(move || if is_down { Door::Shut } else { Door::Http1 });
        ledger.judge(move |asked| deed(round, &asked.documents[0]));
        world.batch_node(&jobs(round, DOCUMENTS));
        finished(&mut world, round);
        world.file("/proc/uptime", format!("{}.00 10.00\n", uptime(round)));
        let token = format!("round-{round}");
        let mut args = args(&ledger, state.to_str().unwrap(), &token);
        args.extend(["--host", "--mount", "/", "--deliver-for", "2"]);
        if round == 3 {
            args.extend(["--batch-size", "5"]);
        }
        let trace = world.path("trace");
        let run = Run::of(traced(&world.command_without_state_dir(&args), &trace));
        assert!((0..=1).contains(&run.status), "{}", run.stderr);
        let begin = disk.steps.len();
        disk.record(&fs::read_to_string(trace).unwrap());
        phases.push(Phase {
            end: disk.steps.len(),
            stored: stored(&disk, &state, begin),
        });
        assert_same(&disk.after(disk.steps.len(), Left::Everything), &top);
        if round == 4 {
            damage(&mut disk, &state);
            damaged = disk.steps.len();
        }
    }
    let accepted = ledger
        .book()
        .documents
        .iter()
        .map(|(id, taken)| {
            let at = taken[0].at.duration_since(UNIX_EPOCH).unwrap();
            (id.clone(), at.as_secs_f64())
        })
        .collect();
    History {
        disk,
        phases,
        damaged,
        accepted,
        ledger,
    }
}

/// The number of steps behind which the round was said to be stored: after its rename, a sync of `pending`.
fn stored(disk: &Disk, state: &Path, begin: usize) -> usize {
    let pending = disk
        .node(state.join("spool/pending").to_str().unwrap())
        .unwrap();
    let mut steps = disk.steps.iter().enumerate().skip(begin);
    let renamed =
        |step: &Step| matches!(step, Step::Move { from, .. } if from.1.starts_with(".new-"));
    steps.find(|(_, step)| renamed(step)).unwrap();
    let synced = |step: &Step| matches!(step, Step::Sync(node) if *node == pending);
    steps.find(|(_, step)| synced(step)).unwrap().0 + 1
}

/// The replay is right: it has what is really there.
fn assert_same(tree: &Tree, top: &Path) {
    for (path, content) in tree {
        let real = top.join(path.trim_start_matches('/'));
        match content {
            None => assert!(real.is_dir(), "{path}"),
            Some(content) => assert!(fs::read(&real).unwrap() == *content, "{path}"),
        }
    }
    let count = |path: &Path| -> usize {
        let mut folders = vec![path.to_owned()];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for name in names(&folder) {
                count += 1;
                let path = folder.join(name);
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        count
    };
    assert_eq!(tree.len(), count(top));
}

/// Flips a bit in the documents of the only batch that waits.
fn damage(disk: &mut Disk, state: &Path) {
    let pending = state.join("spool/pending");
    let round = pending.join(names(&pending).last().unwrap());
    let batch = names(&round)
        .into_iter()
        .find(|name| name.ends_with(".ndjson.zst"))
        .unwrap();
    let path = round.join(batch);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 4;
    fs::write(&path, &bytes).unwrap();
    disk.damage(path.to_str().unwrap(), at, bytes[at]);
}

/// All different states, or as many of them as there is time for.
fn moments(history: &History, random: &mut fastrand::Rng) -> Vec<Moment> {
    let mut seen = BTreeSet::new();
    let mut moments = Vec::new();
    for steps in 1..=history.disk.steps.len() {
        let seed = random.u64(..);
        for left in [
            Left::Nothing,
            Left::Everything,
            Left::NamesAlone,
            Left::Zeros,
            Left::Earlier(seed),
            Left::Some(seed),
            Left::Some(seed ^ 1),
            Left::Some(seed ^ 2),
        ] {
            let tree = history.disk.after(steps, left);
            let stored = history
                .phases
                .iter()
                .filter(|phase| phase.stored <= steps)
                .count();
            if seen.insert((stored, tree.clone())) {
                moments.push(Moment { steps, left, tree });
            }
        }
    }
    let all = moments.len();
    random.shuffle(&mut moments);
    moments.truncate(MOST);
    println!(
        "{} steps, {all} states that a power cut can leave, {} of them tried",
        history.disk.steps.len(),
        moments.len()
    );
    moments
}

/// How far a state's cursor is.
fn cursor(state: &Path) -> Option<f64> {
    let pending = state.join("spool/pending");
    let mut files = vec![state.join("cursors/network@UC-AF.json")];
    if pending.is_dir() {
        files.extend(
            names(&pending)
                .iter()
                .filter(|name| !name.starts_with('.'))
                .map(|name| pending.join(name).join("cursor-network@UC-AF.json")),
        );
    }
    files
        .iter()
        .filter_map(|file| serde_json::from_slice::<Value>(&fs::read(file).ok()?).ok())
        .max_by_key(|content| content["round"].as_u64())
        .and_then(|content| content["cursor"]["uptime"].as_f64())
}

/// All text of the files in a folder that have this end.
fn text_in(folder: &Path) -> String {
    if !folder.is_dir() {
        return String::new();
    }
    names(folder)
        .iter()
        .map(|name| String::from_utf8_lossy(&fs::read(folder.join(name)).unwrap()).into_owned())
        .collect()
}

/// The power comes back, and a round runs.
fn check(history: &History, moment: &Moment, number: usize) {
    let Moment { steps, left, tree } = moment;
    let what = format!("{steps} steps, {left:?}: {:#?}", tree.keys());
    let mut world = World::new();
    world.batch_node(&jobs(1000 + number, 1));
    finished(&mut world, history.phases.len() - 1);
    let state = world.path("state/lib/afmetrics");
    disk::write(tree, &world.path("state"));
    let stored: BTreeSet<usize> = (0..history.phases.len())
        .filter(|phase| history.phases[*phase].stored <= *steps)
        .collect();
    let before = cursor(&state);
    let token = format!("check-{number}");
    let mut args = args(&history.ledger, state.to_str().unwrap(), &token);
    args.extend(["--batch-size", "50"]);
    let run = Run::of(world.command_without_state_dir(&args));
    assert!((0..=1).contains(&run.status), "{what}\n{}", run.stderr);
    assert!(!run.stderr.contains("panic"), "{what}\n{}", run.stderr);
    assert_eq!(
        names(&state.join("spool/pending")),
        [""; 0],
        "{what}\n{}",
        run.stderr
    );

    // Cursors stay with their documents.
    let after = cursor(&state);
    assert!(after >= before, "{before:?} {after:?} {what}");
    if let Some(last) = stored.last() {
        assert!(after >= Some(f64::from(uptime(*last))), "{after:?} {what}");
    }
    let has_cursor_of = |round| after >= Some(f64::from(uptime(round)));

    let delivered: BTreeSet<String> = history
        .ledger
        .book()
        .documents
        .iter()
        .filter(|(_, taken)| taken.iter().any(|taken| taken.token == token))
        .map(|(id, _)| id.clone())
        .collect();
    assert!(
        delivered.contains(&format!("{}.0", 1000 + number)),
        "{what}\n{}",
        run.stderr
    );
    let rejected = text_in(&state.join("spool/rejected"));
    let has_damaged =
        state.join("spool/damaged").is_dir() && !names(&state.join("spool/damaged")).is_empty();
    check_finished(history, moment, &token, &rejected, has_damaged, &run);
    for round in 0..history.phases.len() {
        let mut missing: Vec<String> = (0..DOCUMENTS)
            .map(|proc| format!("{round}.{proc}"))
            .filter(|id| !delivered.contains(id))
            .collect();
        let is_whole = missing.is_empty();
        let is_none = missing.len() == DOCUMENTS as usize;
        if !stored.contains(&round) && !has_cursor_of(round) {
            assert!(
                is_whole || is_none,
                "half of round {round}: {missing:?}\n{what}"
            );
            continue;
        }
        // What was taken before the last step that counts.
        let until = history.disk.times[steps - 1];
        missing.retain(|id| history.accepted.get(id).is_none_or(|at| *at > until));
        missing.retain(|id| !rejected.contains(&format!("\"Id\":\"{id}\"")));
        let is_damaged = round == 4 && *steps >= history.damaged - 1 && has_damaged;
        assert!(
            missing.is_empty() || is_damaged,
            "lost of round {round}: {missing:?}\n{what}\n{}",
            run.stderr
        );
    }
}

/// The cursor of the history is as far as what was stored with it: each job is reported, and not in two
/// batches.
fn check_finished(
    history: &History,
    Moment { steps, left, .. }: &Moment,
    token: &str,
    rejected: &str,
    has_damaged: bool,
    run: &Run,
) {
    // The time of the last step that counts.
    let until = history.disk.times[steps - 1];
    let book = history.ledger.book();
    for round in 0..history.phases.len() {
        for proc in FINISHED {
            let id = format!("{round}.{proc}");
            let what = || format!("{id}: {steps} steps, {left:?}\n{}", run.stderr);
            let is_before =
                |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64() <= until;
            let taken = book.documents.get(&id).into_iter().flatten();
            let (now, before): (Vec<_>, Vec<_>) = taken
                .filter(|taken| {
                    let is_of_history = taken.token.starts_with("round-");
                    taken.token == token || is_of_history && is_before(taken.at)
                })
                .partition(|taken| taken.token == token);
            let batches: BTreeSet<&String> = now.iter().chain(&before).map(|t| &t.key.0).collect();
            assert!(batches.len() <= 1, "in {batches:?}: {}", what());
            let is_damaged = round == 4 && *steps >= history.damaged - 1 && has_damaged;
            let is_rejected = rejected.contains(&format!("\"Id\":\"{id}\""));
            assert!(
                !batches.is_empty() || is_rejected || is_damaged,
                "lost: {}",
                what()
            );
        }
    }
}

#[test]
fn the_power_goes_at_any_moment_and_what_was_stored_is_there() {
    if !needs::root_and(&["strace"]) {
        return;
    }
    let history = history();
    history.ledger.door(|| Door::Http1);
    history.ledger.judge(|_| Deed::Accept);
    assert!(
        history
            .phases
            .windows(2)
            .all(|two| two[0].end <= two[1].stored)
    );
    let mut random = fastrand::Rng::with_seed(seed());
    let moments: Vec<(usize, Moment)> = moments(&history, &mut random)
        .into_iter()
        .enumerate()
        .collect();
    std::thread::scope(|scope| {
        for part in moments.chunks(moments.len().div_ceil(3)) {
            let history = &history;
            scope.spawn(move || {
                for (number, moment) in part {
                    check(history, moment, *number);
                }
            });
        }
    });
    let book = history.ledger.book();
    assert!(book.wrong.is_empty(), "{:?}", book.wrong);
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no business of the program's"
)]
fn seed() -> u64 {
    let said = std::env::var("AFMETRICS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = said.unwrap_or_else(|| fastrand::u64(..));
    println!("AFMETRICS_SEED={seed}");
    seed
}
