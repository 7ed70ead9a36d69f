//! The made-up history of `examples/history`: the same each time, marked as made up, and a sound store.

#[path = "../../examples/history/made_up/mod.rs"]
mod made_up;

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time::{DAY_MS, HOUR_MS, text};
use afmetrics_receiver::store::Store;
use serde_json::Value;

use crate::support::{World, runtime};
use made_up::{Filled, Grain, Wish, fill};

/// A round in five minutes for half an hour, one in two hours before.
const COARSE: Grain = &[(HOUR_MS / 2, 1), (i64::MAX, 24)];

/// A store with some days of history.
fn filled(wish: &Wish) -> (World, Filled) {
    let world = World::new();
    let (store, writing) = Store::open(&world.store()).unwrap();
    let filled = runtime().block_on(fill(&store, wish, |_| ()));
    drop(store);
    writing.end().unwrap();
    (world, filled.unwrap())
}

/// What a receiver with this store answers to questions about all of its time.
fn answers<const N: usize>(world: &World, wish: &Wish, questions: [&str; N]) -> [Value; N] {
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let (from, to) = (text(wish.until - wish.days * DAY_MS), text(wish.until + 1));
    questions.map(|question| {
        let span = match question {
            "nodes" => String::new(),
            _ => format!("?from={from}&to={to}"),
        };
        running.json(&format!("/api/v1/{question}{span}"), &viewer)
    })
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let each = list.as_array().unwrap().iter();
    each.map(|one| one[field].as_str().unwrap()).collect()
}

fn sum(list: &Value, field: &str) -> u64 {
    let each = list.as_array().unwrap().iter();
    each.map(|one| one[field].as_u64().unwrap()).sum()
}

#[test]
fn all_of_it_is_marked_as_made_up_and_nothing_is_late_but_what_is_meant_to_be() {
    let wish = Wish {
        days: 2,
        grain: COARSE,
        ..Wish::up_to(clock::now())
    };
    let (world, filled) = filled(&wish);
    world.done(&["check", "--deep"]);
    let asked = ["facilities", "nodes", "users", "intake"];
    let [facilities, nodes, users, intake] = answers(&world, &wish, asked);
    let facilities = texts(&facilities["facilities"], "facility");
    assert_eq!(facilities, ["made-up-1", "made-up-2", "made-up-3"]);
    let nodes = texts(&nodes["nodes"], "node");
    assert_eq!(nodes.len(), 40);
    assert!(
        nodes
            .iter()
            .all(|node| node.ends_with(".made-up.example.org"))
    );
    let users = texts(&users["users"], "user");
    assert!((10..=500).contains(&users.len()), "{users:?}");
    assert!(users.iter().all(|user| user.starts_with("made-up-")));
    let intake = &intake["intake"];
    assert_eq!(sum(intake, "documents"), filled.stored as u64);
    assert_eq!(sum(intake, "late"), filled.late as u64);
}

#[test]
fn the_same_seed_makes_the_same_history_and_another_one_another() {
    let wish = Wish {
        days: 1,
        grain: COARSE,
        ..Wish::up_to(clock::now())
    };
    let asked = ["users", "jobs"];
    let [first, again, other] = [1, 1, 2].map(|seed| {
        let (world, _) = filled(&Wish { seed, ..wish });
        answers(&world, &wish, asked)
    });
    assert_eq!(first, again);
    assert!(first[0] != other[0] && first[1] != other[1]);
}
