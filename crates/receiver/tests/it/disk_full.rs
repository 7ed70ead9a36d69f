//! A disk that is full, in a mount namespace of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::wire::{self, Wire, request};
use crate::support::{FACILITY, Running, World, needs};

/// The store's folder as 16 MiB of memory, with what is in it.
const SMALL_DISK: &str = r#"
set -e
cp -a "$1" "$1.aside"
mount -t tmpfs -o size=16m none "$1"
cp -a "$1.aside/." "$1/"
shift
exec "$@"
"#;

#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn unshare() -> Command {
    Command::new("unshare")
}

fn can_mount() -> bool {
    let tried = unshare()
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        needs::left_out("it needs root, for a mount namespace of its own");
    }
    can
}

/// Posts an array of documents that cannot be packed; their Ids where they were taken.
fn post(running: &Running, token: &str, batch: usize) -> Result<Vec<String>, (u16, String)> {
    let ids: Vec<String> = (0..50).map(|n| format!("{batch}.{n}")).collect();
    let noise = || {
        (0..4_000)
            .map(|_| fastrand::alphanumeric())
            .collect::<String>()
    };
    let one = |id: &String| json!({"token": token, "kind": "condorjob", "cluster": FACILITY, "users": "canary-1", "Id": id, "Runtime": 1, "state": "running", "noise": noise()});
    let body = ids.iter().map(one).collect::<Value>().to_string();
    let mut wire = Wire::to(running);
    wire.send(request("", body));
    match wire.answer() {
        (200, _, _) => Ok(ids),
        (status, head, _) => Err((status, head)),
    }
}

/// Posts over some connections at once; the answers that were not 200.
fn load(
    running: &Running,
    token: &str,
    batches: std::ops::Range<usize>,
    taken: &mut Vec<String>,
) -> Vec<(u16, String)> {
    let mut refused = Vec::new();
    let batches: Vec<usize> = batches.collect();
    for four in batches.chunks(4) {
        std::thread::scope(|scope| {
            let each = |batch: &usize| {
                let batch = *batch;
                scope.spawn(move || post(running, token, batch))
            };
            let senders: Vec<_> = four.iter().map(each).collect();
            for sender in senders {
                match sender.join().unwrap() {
                    Ok(ids) => taken.extend(ids),
                    Err(answer) => refused.push(answer),
                }
            }
        });
    }
    refused
}

/// A copy of the store as it is, while nobody writes: SQLite itself would not find its way into the namespace.
fn copy(inside: &Path, world: &World, name: &str) -> PathBuf {
    let copy = world.path().join(name);
    fs::create_dir(&copy).unwrap();
    for file in ["afmetrics.db", "afmetrics.db-wal"] {
        fs::copy(inside.join(file), copy.join(file)).unwrap();
    }
    let store = rusqlite::Connection::open(copy.join("afmetrics.db")).unwrap();
    let check: String = store
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    copy
}

#[test]
fn a_full_disk_does_no_damage() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let token = world.token(FACILITY);
    let mut command = unshare();
    command
        .args(["--mount", "sh", "-c", SMALL_DISK, "sh"])
        .arg(world.store())
        .args([
            env!("CARGO_BIN_EXE_afmetrics_receiver"),
            "serve",
            "--listen",
            "127.0.0.1:0",
        ])
        .env("AFMETRICS_RECEIVER_CONFIG", "/dev/null")
        .env("AFMETRICS_STORE", world.store());
    let running = Running::start(command);
    // The namespace's view of the folder.
    let inside = PathBuf::from(format!(
        "/proc/{}/root{}",
        running.pid(),
        world.store().display()
    ));
    fs::write(inside.join("ballast"), vec![1; 10 << 20]).unwrap();
    let mut taken = Vec::new();
    assert!(load(&running, &token, 0..4, &mut taken).is_empty());
    let refused = load(&running, &token, 100..160, &mut taken);
    assert!(refused.len() > 5, "only {} were refused", refused.len());
    for (status, head) in &refused {
        assert_eq!(*status, 503, "{head}");
        assert!(head.contains("retry-after: "), "{head}");
    }
    let ready = || running.ask("GET", "/readyz", &[], Vec::new());
    let (status, why) = ready();
    assert_eq!(status, 503);
    assert!(why.contains("the log says why"), "{why}");
    copy(&inside, &world, "full");
    let at_full = taken.len();
    fs::remove_file(inside.join("ballast")).unwrap();
    // It goes on by itself, and settles what it owes.
    let began = Instant::now();
    let refused = load(&running, &token, 600..612, &mut taken);
    assert!(
        refused.is_empty() && taken.len() == at_full + 12 * 50,
        "{refused:?}"
    );
    crate::support::wait_until("it is ready again", || ready().0 == 200);
    assert!(began.elapsed() < Duration::from_secs(15));
    let end = copy(&inside, &world, "end");
    let stored = wire::documents(&end);
    let ids: std::collections::BTreeSet<&str> = stored
        .iter()
        .map(|one| one["Id"].as_str().unwrap())
        .collect();
    assert_eq!((ids.len(), stored.len()), (taken.len(), taken.len()));
    assert!(taken.iter().all(|id| ids.contains(id.as_str())));
    assert_eq!(wire::counted(&end), taken.len());
    let (ended, log) = running.terminate();
    assert!(ended.success(), "{log}");
    assert!(log.contains("cannot store"), "{log}");
}
