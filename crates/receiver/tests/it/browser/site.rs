//! A receiver with two days of two facilities: people by three doors, jobs of HTCondor and of Slurm, nodes of which
//! one fell silent, and two names that are made to do harm.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Running, World};

/// Users whose names are HTML and SQL.
pub const HOSTILE: [&str; 2] = ["<img src=x onerror=alert(1)>", "'; DROP TABLE users; --"];

/// A node of AF-1 that has said nothing for twenty hours.
pub const SILENT: &str = "node-3.example.org";

/// Between two rounds.
const ROUND: SignedDuration = SignedDuration::from_mins(30);
const ROUNDS: i32 = 96;

/// A receiver, and who may read there.
pub struct Site {
    pub running: Running,
    /// Of all facilities.
    pub viewer: String,
    /// Of AF-1 alone.
    pub bound: String,
    /// Of AF-1 and AF-2, to send with.
    senders: BTreeMap<&'static str, String>,
    _world: World,
}

impl Site {
    /// One that has heard nothing.
    pub fn empty() -> Self {
        Self::new(|world| world.serve(&[]))
    }

    /// The same, with a clock that is set to this time (UTC).
    pub fn empty_at(now: &str) -> Self {
        Self::new(|world| world.serve_at(now))
    }

    /// One of a store that somebody has filled, to look at: its clock goes on from the newest document.
    pub fn of(store: &Path) -> Self {
        let world = World::new();
        std::os::unix::fs::symlink(store, world.store()).unwrap();
        // By today's clock a store that was kept for long is full of what is too old.
        let for_ever = ["--keep-documents", "36500", "--keep-summaries", "36500"];
        // Which brings it up to date.
        drop(world.serve(&for_ever));
        let viewer = world.viewer();
        let facilities = world.serve(&for_ever).json("/api/v1/facilities", &viewer);
        let all = facilities["facilities"].as_array().unwrap().iter();
        let newest = all.filter_map(|one| one["last"].as_str()).max().unwrap();
        let newest: Timestamp = newest.parse().unwrap();
        Self {
            viewer,
            running: world.serve_at(&newest.strftime("%F %T").to_string()),
            bound: String::new(),
            senders: BTreeMap::new(),
            _world: world,
        }
    }

    fn new(serve: impl Fn(&World) -> Running) -> Self {
        let world = World::new();
        let bound = world.done(&["token", "create", "--viewer", "--facility", "AF-1"]);
        // A receiver that runs would need a second to know them.
        let senders = ["AF-1", "AF-2"].map(|facility| (facility, world.token(facility)));
        Self {
            viewer: world.viewer(),
            bound: bound.trim().to_owned(),
            senders: senders.into(),
            running: serve(&world),
            _world: world,
        }
    }

    /// One with two days of both facilities, which tests that only read have together.
    pub fn filled() -> Arc<Self> {
        static SHARED: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some(site) = shared.upgrade() {
            return site;
        }
        let site = Arc::new(Self::empty());
        let now = Timestamp::now();
        for (facility, documents) in [("AF-1", first as Documents), ("AF-2", second)] {
            let ago = |round| now - ROUND * (ROUNDS - 1 - round);
            site.send(
                facility,
                (0..ROUNDS).flat_map(|round| at(ago(round), documents(round))),
            );
        }
        *shared = Arc::downgrade(&site);
        site
    }

    pub fn url(&self) -> &str {
        &self.running.url
    }

    /// Sends documents of a facility; they are in the tables when this returns.
    pub fn send(&self, facility: &str, documents: impl IntoIterator<Item = Value>) {
        let token = &self.senders[facility];
        let mut all: Vec<Value> = documents.into_iter().collect();
        for document in &mut all {
            document["token"] = token.as_str().into();
            document["cluster"] = facility.into();
        }
        for part in all.chunks(1000) {
            let (status, answer) = self.running.post(json!(part).to_string());
            assert_eq!(status, 200, "{answer}");
        }
    }
}

/// What a facility says in a round.
type Documents = fn(i32) -> Vec<Value>;

/// The same documents, as of this time.
pub fn at(time: Timestamp, mut documents: Vec<Value>) -> Vec<Value> {
    for document in &mut documents {
        document["timestamp"] = format!("{time:.3}").into();
    }
    documents
}

fn first(round: i32) -> Vec<Value> {
    let mut all = Vec::new();
    for number in 1..=2 {
        let name = format!("node-{number}.example.org");
        all.extend(node(&name, round + number, &people(round, number)));
    }
    if round < ROUNDS - 40 {
        all.extend(node(SILENT, round, &["canary-9".to_owned()]));
    }
    all.push(jupyter(&[
        "canary-2".to_owned(),
        format!("canary-{}", 3 + round % 5),
    ]));
    for user in ["canary-1", "canary-4", HOSTILE[0]] {
        all.extend(jobs(user, round));
    }
    all.push(queue(round));
    all
}

fn second(round: i32) -> Vec<Value> {
    let mut all = node(
        "node-7.example.org",
        round,
        &["canary-21".to_owned(), HOSTILE[1].to_owned()],
    );
    all.push(jupyter(&["canary-22".to_owned()]));
    all.extend(slurm("canary-21", round));
    all.extend(["all", "batch"].map(|name| partition(name, queue(round + 5))));
    all
}

fn people(round: i32, node: i32) -> Vec<String> {
    let mut people: Vec<String> = (1..=3 + (round / 8) % 4)
        .map(|number| format!("canary-{}", number * node))
        .collect();
    people.push(HOSTILE[usize::from(node == 2)].to_owned());
    people
}

/// What one node says of itself and of those who are there.
fn node(name: &str, round: i32, users: &[String]) -> Vec<Value> {
    let (memory, disk) = (64_000_000_000_i64, 2_000_000_000_000_i64);
    let used = disk / 2 + i64::from(round) * 1_000_000_000;
    let load = f64::from(round % 16) / 2.0;
    vec![
        json!({"kind": "ssh", "login_node": name, "ssh_user_count": users.len(), "users": users}),
        json!({"kind": "CPU", "login_node": name, "load": load}),
        json!({"kind": "MEM", "login_node": name, "total": memory, "available": memory / 3 + i64::from(round) * 10_000_000}),
        json!({"kind": "NETWORK", "login_node": name, "network": {"interval": 300.0, "sent": 5_000_000 + round * 1000, "received": 90_000_000}}),
        json!({"kind": "DISK", "login_node": name, "mount": "/home", "total": disk, "used": used, "free": disk - used, "utilization": 0.5}),
    ]
}

fn jupyter(users: &[String]) -> Value {
    json!({"kind": "jupyter-ml", "jupyter_user_count": users.len(), "users": users})
}

/// A job that runs for four rounds and then has ended, another that waits.
fn jobs(user: &str, round: i32) -> Vec<Value> {
    let (number, part) = (round / 4, round % 4);
    let state = if part == 3 { "finished" } else { "running" };
    let job = |id: String, state: &str, runtime: i32| json!({"kind": "condorjob", "users": user, "Id": id, "Runtime": runtime, "state": state});
    vec![
        job(format!("{}.0", 100 + number), state, part * 1_800),
        job(format!("{}.1", 101 + number), "idle", 0),
    ]
}

fn queue(round: i32) -> Value {
    let running = 20 + round % 30;
    json!({"kind": "condorqueue", "queue": "all", "idle": round % 12, "running": running, "held": 1, "allocated_cores": running * 4, "allocated_mem": running * 8_192})
}

/// The same of Slurm: how it ends differs, and what waits is an array.
fn slurm(user: &str, round: i32) -> Vec<Value> {
    let end =
        ["finished", "failed", "timeout", "out_of_memory"][(round / 4 % 4).unsigned_abs() as usize];
    let mut jobs = jobs(user, round);
    for job in &mut jobs {
        job["kind"] = "slurmjob".into();
        job["partition"] = "batch".into();
        job["cores"] = 4.into();
        match job["state"].as_str() {
            Some("finished") => job["state"] = end.into(),
            Some("idle") => {
                job["Id"] = format!("{}_[1-{}]", 200 + round / 4, 1 + round % 9).into();
                job["tasks"] = (1 + round % 9).into();
            }
            _ => {}
        }
    }
    jobs
}

fn partition(name: &str, mut queue: Value) -> Value {
    queue["kind"] = "slurmqueue".into();
    queue["queue"] = name.into();
    queue
}
