//! `fill FOLDER DOCUMENTS`: makes a store with so many made-up documents of all kinds, of 20 facilities over the
//! 90 days before now, through the path that documents take. For `cargo xtask bench --large`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use afmetrics_receiver::documents::time::{DAY_MS, SLOT_MS, text};
use afmetrics_receiver::documents::{Form, Taking};
use afmetrics_receiver::store::{Received, Store};
use afmetrics_receiver::{clock, store};
use anyhow::{Context as _, Result, anyhow};

const DAYS: i64 = 90;
const FACILITIES: i64 = 20;
/// Of a facility.
const USERS: i64 = 30;
const NODES: i64 = 4;
/// Requests that are in work.
const AHEAD: usize = 16;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, documents] = &words[..] else {
        return Err(anyhow!("expected: fill FOLDER DOCUMENTS"));
    };
    let documents: i64 = documents.parse().context("DOCUMENTS is no number")?;
    let (store, writing) = Store::open(Path::new(folder))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let filled = runtime.block_on(fill(&store, documents));
    drop(store);
    writing.end()?;
    println!("{} documents", filled?);
    Ok(())
}

/// Stores rounds in the order of their time, some in work at once.
async fn fill(store: &Store, documents: i64) -> Result<usize> {
    let now = clock::now();
    // Every five minutes, or less often where there are few documents.
    let rounds = (documents / FACILITIES / (NODES * 16)).clamp(1, DAYS * DAY_MS / SLOT_MS);
    let step = DAYS * DAY_MS / rounds;
    let each = (documents / rounds / FACILITIES).max(NODES * 8);
    let (made, ready) = sync_channel(AHEAD);
    let maker = std::thread::spawn(move || -> Result<()> {
        for round in 0..rounds {
            let time = now - DAYS * DAY_MS + round * step;
            for facility in 0..FACILITIES {
                made.send(received(facility, round, time, each)?)?;
            }
        }
        Ok(())
    });
    let mut stored = 0;
    let mut ready = ready.into_iter().peekable();
    while ready.peek().is_some() {
        let some = ready
            .by_ref()
            .take(AHEAD)
            .map(|received| store.keep(received));
        for kept in futures_util::future::join_all(some).await {
            stored += kept.map_err(|why| anyhow!("{why:?}"))?.stored;
        }
    }
    maker
        .join()
        .map_err(|_| anyhow!("the maker has failed"))??;
    Ok(stored)
}

fn received(facility: i64, round: i64, time: i64, each: i64) -> Result<store::Received> {
    let body = body(facility, round, time, each);
    let taking = Taking {
        now: time,
        accept_unknown_kinds: false,
        gate: None,
    };
    let documents = taking
        .documents(&body, Form::Lines, &mut Vec::new())
        .map_err(|fault| anyhow!("{fault}"))?;
    Ok(Received {
        documents,
        key: None,
        now: time,
        room: None,
    })
}

/// What a facility's collectors say in one round: its nodes, its users, and all else are jobs.
fn body(facility: i64, round: i64, time: i64, each: i64) -> String {
    let mut lines = Lines {
        text: String::new(),
        facility,
        stamp: text(time),
        count: 0,
    };
    for node in 0..NODES {
        let noise = scattered(round * NODES + node);
        let login = format!(r#""login_node":"login{node}.facility-{facility}.example.org""#);
        let user = |n: i64| format!("canary-{facility}-{}", (noise + n * 7) % USERS);
        lines.line(
            "ssh",
            &format!(
                r#"{login},"ssh_user_count":3,"users":["{}","{}","{}"]"#,
                user(0),
                user(1),
                user(2)
            ),
        );
        lines.line(
            "CPU",
            &format!(r#"{login},"load":{}.{:02}"#, noise % 64, noise % 100),
        );
        lines.line(
            "MEM",
            &format!(
                r#"{login},"total":270000000000,"available":{}"#,
                100_000_000_000 + noise * 4096
            ),
        );
        lines.line(
            "NETWORK",
            &format!(
                r#"{login},"network":{{"interval":300.0,"sent":{},"received":{}}}"#,
                noise * 99,
                noise * 1013
            ),
        );
        for mount in ["/home", "/data"] {
            let used = 400_000_000_000 + noise * 512;
            lines.line("DISK", &format!(
                r#"{login},"mount":"{mount}","total":1000000000000,"used":{used},"free":{},"utilization":0.{}"#,
                1_000_000_000_000 - used, used / 10_000_000
            ));
        }
    }
    let noise = scattered(round + facility);
    lines.line(
        "jupyter-ml",
        &format!(
            r#""jupyter_user_count":2,"users":["canary-{facility}-{}","canary-{facility}-{}"]"#,
            noise % 15,
            15 + noise % 15
        ),
    );
    lines.line("condorqueue", &format!(
        r#""queue":"main","idle":{},"running":{},"held":3,"allocated_cores":{},"allocated_mem":{}"#,
        noise % 500, noise % 900, noise % 3600, noise % 3600 * 2048
    ));
    for job in 0..each - lines.count {
        job_line(&mut lines, round, job);
    }
    lines.text
}

/// A job lives for some 50 rounds; then another has its place.
fn job_line(lines: &mut Lines, round: i64, job: i64) {
    let age = round + scattered(job) % 50;
    let (life, age) = (age / 50, age % 50);
    let id = scattered(job * 10_000 + life);
    let (state, runtime) = match age {
        0..5 => ("idle", 0),
        49 => ("finished", 300 * 44 + id % 300),
        20..23 if id % 7 == 0 => ("held", 300 * 15 + id % 300),
        _ if id % 3 == 0 => ("running", 300 * 10 + id % 7919),
        _ => ("running", 0),
    };
    let (facility, user) = (lines.facility, id % USERS);
    let (cluster, process) = (1_000_000 + job / 20 * 37 + life * 1000, job % 20);
    lines.line("condorjob", &format!(
        r#""users":"canary-{facility}-{user}","Id":"{cluster}.{process}","Runtime":{runtime},"state":"{state}""#
    ));
}

/// A number that looks like any below a million, and is the same each time.
fn scattered(number: i64) -> i64 {
    number
        .wrapping_mul(0x1E37_79B9_7F4A_7C15)
        .rotate_right(32)
        .rem_euclid(1_000_000)
}

struct Lines {
    text: String,
    facility: i64,
    stamp: String,
    count: i64,
}

impl Lines {
    fn line(&mut self, kind: &str, rest: &str) {
        self.count += 1;
        writeln!(
            self.text,
            r#"{{"kind":"{kind}","cluster":"facility-{:02}","timestamp":"{}",{rest}}}"#,
            self.facility, self.stamp
        )
        .expect("memory takes it");
    }
}
