//! `Idempotency-Key`: whatever comes again is stored once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::wire;
use crate::support::{FACILITY, Running, World};

const BATCH: &str = "01a20621-7623-7310-a7ad-f3b43b8e6695";

/// Documents `range` of a batch, each known by its node.
fn batch(token: &str, facility: &str, range: std::ops::Range<u32>) -> String {
    let one = |n: u32| json!({"token": token, "kind": "CPU", "cluster": facility, "login_node": format!("{facility}-{n}"), "load": 1});
    range.map(one).collect::<Value>().to_string()
}

fn post(
    running: &Running,
    batch_id: &str,
    range: std::ops::Range<u32>,
    body: String,
) -> (u16, Value) {
    let key = format!("{batch_id}/{}-{}", range.start, range.len());
    running.post_with(
        &[
            ("content-type", "application/json"),
            ("idempotency-key", &key),
        ],
        body,
    )
}

fn by_node(world: &World) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for one in wire::documents(&world.store()) {
        *nodes
            .entry(one["login_node"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    nodes
}

#[test]
fn whatever_the_ranges_each_document_is_stored_once() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token("BNL"));
    let mut running = world.serve(&[]);
    let ranges = [
        0..10,
        0..10,
        5..15,
        40..41,
        30..50,
        12..13,
        0..60,
        59..60,
        20..30,
    ];
    let mut known = std::collections::BTreeSet::new();
    for (at, range) in ranges.into_iter().enumerate() {
        let new = range.clone().filter(|n| known.insert(*n)).count();
        let (status, answer) = post(
            &running,
            BATCH,
            range.clone(),
            batch(&token, FACILITY, range.clone()),
        );
        assert_eq!(
            (status, answer),
            (200, json!({"stored": new, "repeated": range.len() - new})),
            "{range:?}"
        );
        // It is remembered across ends, good and bad ones.
        match at {
            2 => {
                running.kill();
                running = world.serve(&[]);
            }
            5 => {
                assert!(running.terminate().0.success());
                running = world.serve(&[]);
            }
            _ => {}
        }
    }
    // Written in another way, it is the same batch; of another facility, it is another.
    let again = BATCH.to_uppercase().replace('-', "");
    assert_eq!(
        post(&running, &again, 3..5, batch(&token, FACILITY, 3..5)).1["repeated"],
        2
    );
    assert_eq!(
        post(&running, BATCH, 0..5, batch(&other, "BNL", 0..5)).1["stored"],
        5
    );
    // What is refused is not remembered.
    let id = "01a20621-7623-7310-a7ad-000000000001";
    assert_eq!(
        post(&running, id, 70..72, batch("afs_wrong", FACILITY, 70..72)).0,
        401
    );
    assert_eq!(
        post(&running, id, 70..73, batch(&token, FACILITY, 70..72)).0,
        400
    );
    assert_eq!(
        post(&running, id, 70..72, batch(&token, FACILITY, 70..72)).1["stored"],
        2
    );
    assert!(running.terminate().0.success());
    let nodes = by_node(&world);
    assert!(nodes.values().all(|n| *n == 1), "{nodes:?}");
    assert_eq!(nodes.len(), 67);
    assert_eq!(wire::counted(&world.store()), 67);
}

#[test]
fn a_key_on_eight_connections_at_once_is_stored_once() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let stored: u64 = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|n| {
                let (running, token) = (&running, &token);
                scope.spawn(move || {
                    let mut stored = 0;
                    for round in 0..5 {
                        let range = round * 7 + n % 3..round * 7 + 20;
                        let (status, answer) =
                            post(running, BATCH, range.clone(), batch(token, FACILITY, range));
                        assert_eq!(status, 200, "{answer}");
                        stored += answer["stored"].as_u64().unwrap();
                    }
                    stored
                })
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .sum()
    });
    assert_eq!(stored, 48);
    assert!(running.terminate().0.success());
    let nodes = by_node(&world);
    assert_eq!((nodes.len(), nodes.values().sum()), (48, 48_usize));
}
