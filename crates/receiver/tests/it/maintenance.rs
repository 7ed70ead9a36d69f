//! The store stays small, and what is kept stays right.

use std::path::Path;

use afmetrics_receiver::documents::{Form, Taking, time};
use afmetrics_receiver::store::maintenance::Keep;
use afmetrics_receiver::store::{Received, Store, check, schema};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{FACILITY, World, job, load, runtime, text, wait_until};

const DAY: i64 = time::DAY_MS;
const KEEP: Keep = Keep {
    documents: 90,
    summaries: 3650,
};

fn number(store: &Path, question: &str) -> i64 {
    let store = Connection::open(store.join(schema::FILE)).unwrap();
    store.query_row(question, [], |row| row.get(0)).unwrap()
}

fn now() -> i64 {
    afmetrics_receiver::clock::now()
}

fn at(mut document: Value, time: i64) -> Value {
    document["timestamp"] = json!(time::text(time));
    document
}

/// The documents in lines, as `import` reads them.
fn import(world: &World, documents: &[Value]) {
    let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
    std::fs::write(world.path().join("documents"), lines.join("\n")).unwrap();
    world.done(&["import", "documents"]);
}

#[test]
fn a_running_receiver_merges_the_blocks_of_hours_that_are_over() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let hour = now() - 3 * time::HOUR_MS;
    for n in 0..40 {
        let document = at(load(&token, "login01.canary.example", f64::from(n)), hour);
        assert_eq!(running.post(document.to_string()).0, 200);
        assert_eq!(
            running.post(load(&token, "login02", 1.0).to_string()).0,
            200
        );
    }
    running.terminate();
    let before = number(&world.store(), "SELECT count(*) FROM blocks");
    assert!(before >= 80, "{before}");
    let documents = world.done(&["export"]);
    let running = world.serve(&[]);
    let old = format!(
        "SELECT count(*) FROM blocks WHERE hour = {}",
        time::hour(hour)
    );
    wait_until("the old blocks are one", || {
        number(&world.store(), &old) == 1
    });
    running.terminate();
    let sorted = |text: &str| -> Vec<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&world.done(&["export"])), sorted(&documents));
    // Those of the hour that goes on are left alone, unless it has just ended.
    if time::hour(now()) == time::hour(hour) + 3 {
        assert_eq!(number(&world.store(), "SELECT count(*) FROM blocks"), 41);
    }
    world.done(&["check", "--deep"]);
}

#[test]
fn what_is_too_old_goes_and_summaries_stay() {
    let world = World::new();
    let (old, ancient) = (now() - 100 * DAY, now() - 4_000 * DAY);
    import(
        &world,
        &[
            at(job("", "canary-1", "1.0", "finished", 5), ancient),
            at(job("", "canary-2", "2.0", "finished", 5), old),
            at(load("", "login01.canary.example", 1.0), old),
            at(job("", "canary-3", "3.0", "running", 5), now() - DAY),
        ],
    );
    world.done(&["check", "--deep"]);
    let running = world.serve(&[]);
    wait_until("old raw documents have gone", || {
        number(&world.store(), "SELECT count(*) FROM blocks") == 1
    });
    let ancient_days = format!(
        "SELECT count(*) FROM days WHERE id % 65536 = {}",
        time::day(ancient)
    );
    let ancient_user = "SELECT count(*) FROM users WHERE name = 'canary-1'";
    wait_until("ancient summaries have gone", || {
        number(&world.store(), &ancient_days) == 0
            && number(&world.store(), "SELECT count(*) FROM latest") == 0
            && number(&world.store(), ancient_user) == 0
    });
    running.terminate();
    assert_eq!(number(&world.store(), "SELECT count(*) FROM seen"), 2);
    assert_eq!(number(&world.store(), "SELECT count(*) FROM ended"), 0);
    let old_days = format!(
        "SELECT count(*) FROM days WHERE id % 65536 = {}",
        time::day(old)
    );
    assert!(number(&world.store(), &old_days) > 3);
    world.done(&["check", "--deep"]);
    let output = world.run(&["prune", "--yes"]);
    let said = text(&output.stderr);
    assert!(said.contains("nothing was too old"), "{said}");
    assert_eq!(number(&world.store(), "SELECT count(*) FROM users"), 2);
}

#[test]
fn what_is_stored_is_the_owners_alone_and_one_file_at_the_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.store(), open).unwrap();
    let running = world.serve(&[]);
    assert!(running.log().contains("chmod 700"), "{}", running.log());
    assert_eq!(
        running
            .post(load(&token, "login01.canary.example", 1.0).to_string())
            .0,
        200
    );
    assert_eq!(running.get("/api/v1/facilities", &viewer).0, 200);
    let files = || -> Vec<(String, u32)> {
        let mut files: Vec<_> = std::fs::read_dir(world.store())
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                let mode = file.metadata().unwrap().permissions().mode() & 0o777;
                (file.file_name().into_string().unwrap(), mode)
            })
            .collect();
        files.sort();
        files
    };
    assert_eq!(files().len(), 4);
    assert!(
        files().iter().all(|(_, mode)| *mode == 0o600),
        "{:?}",
        files()
    );
    let (status, log) = running.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(
        files(),
        [
            ("afmetrics.db".into(), 0o600),
            ("receiver.lock".into(), 0o600)
        ]
    );
}

#[test]
fn a_batch_is_known_for_31_days() {
    let world = World::new();
    let token = world.token(FACILITY);
    let key = |n: u8| format!("01a20621-7623-7310-a7ad-f3b43b8e66{n:02}/0-1");
    let send = |n: u8| {
        let running = world.serve(&[]);
        let headers = [
            ("idempotency-key", &*key(n)),
            ("content-type", "application/json"),
        ];
        let (status, answer) = running.post_with(&headers, load(&token, "a", 1.0).to_string());
        running.terminate();
        assert_eq!(status, 200, "{answer}");
        answer["repeated"].as_i64().unwrap()
    };
    assert_eq!((send(1), send(2)), (0, 0));
    for (n, age) in [(1, 30), (2, 32)] {
        let store = Connection::open(world.store().join(schema::FILE)).unwrap();
        let done = store.execute(
            "UPDATE batches SET stored = ?1 WHERE hex(batch) LIKE ?2",
            (now() - age * DAY, format!("%66{n:02}")),
        );
        assert_eq!(done, Ok(1));
    }
    world.done(&["prune", "--yes"]);
    assert_eq!((send(1), send(2)), (1, 0));
}

#[test]
fn a_check_beside_a_busy_receiver_finds_nothing() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for n in 0..200_i32 {
                // Among them hours that are over, which are merged meanwhile.
                let time = now() - i64::from(n % 4) * time::HOUR_MS;
                let user = format!("canary-{}", n % 3);
                let state = if n % 2 == 0 { "running" } else { "finished" };
                let document = at(job(&token, &user, &format!("{}.0", n % 20), state, 1), time);
                assert_eq!(running.post(document.to_string()).0, 200);
            }
        });
        let mut checks = 0;
        while !sender.is_finished() {
            world.done(&["check", "--deep"]);
            checks += 1;
        }
        assert!(checks > 1);
    });
    running.terminate();
    world.done(&["check", "--deep"]);
    assert_eq!(world.done(&["export"]).lines().count(), 200);
}

/// What may happen to a store.
#[derive(Debug, Clone)]
enum Step {
    /// Documents arrive: (hours ago, what, which).
    Take(Vec<(u32, u8, u8)>),
    /// So many days pass.
    Prune(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let hours = prop_oneof![0_u32..5, 20_u32..60, 0_u32..3_000];
    prop_oneof![
        3 => prop::collection::vec((hours, 0_u8..6, 0_u8..4), 1..30).prop_map(Step::Take),
        1 => (0_u32..50).prop_map(Step::Prune),
    ]
}

fn document((hours, what, which): (u32, u8, u8), now: i64) -> Value {
    let (user, node) = (format!("canary-{which}"), format!("login0{which}"));
    let document = match what {
        0 => job("", &user, "1.0", "running", 0),
        1 => job("", &user, "1.0", "idle", 0),
        2 => job("", &user, "2.0", "finished", i64::from(which)),
        3 => load("", &node, f64::from(hours)),
        4 => {
            json!({"kind": "ssh", "cluster": FACILITY, "login_node": node, "ssh_user_count": 1, "users": [user]})
        }
        _ => {
            json!({"kind": "round", "cluster": FACILITY, "login_node": node, "version": "1", "duration": 1.0,
                "collectors": {"condor_jobs": {"result": "ok", "documents": 0, "duration": 0.1}}})
        }
    };
    at(document, now - i64::from(hours) * time::HOUR_MS)
}

fn take(folder: &Path, documents: &[Value], now: i64) {
    let (store, writing) = Store::open(folder).unwrap();
    // Each on its own, so that there are many small blocks.
    for document in documents {
        let taking = Taking {
            now,
            accept_unknown_kinds: false,
            gate: None,
        };
        let documents = taking
            .documents(&document.to_string(), Form::Json, &mut Vec::new())
            .unwrap();
        let received = Received {
            documents,
            key: None,
            now,
            room: None,
        };
        runtime().block_on(store.keep(received)).unwrap();
    }
    drop(store);
    writing.end().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_summaries_are_those_of_the_documents(steps in prop::collection::vec(step(), 1..6)) {
        let world = World::new();
        let folder = world.store();
        let mut now = now();
        for step in steps {
            match step {
                Step::Take(documents) => {
                    let documents: Vec<Value> = documents.into_iter().map(|one| document(one, now)).collect();
                    take(&folder, &documents, now);
                }
                Step::Prune(days) => {
                    now += i64::from(days) * DAY;
                    let (_lock, mut writer) = Store::open_alone(&folder).unwrap();
                    writer.prune(KEEP, now).unwrap();
                }
            }
            let mut findings = Vec::new();
            if folder.join(schema::FILE).exists() {
                let mut store = schema::open_to_read(&folder).unwrap();
                check::check(&mut store, true, &mut |line| findings.push(line)).unwrap();
            }
            prop_assert_eq!(findings, Vec::<String>::new());
        }
    }
}
