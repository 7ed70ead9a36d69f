//! End to end: the real collector to the real receiver over TLS, and eight more connections beside it. Either
//! or both are killed (SIGKILL) at random moments; at the end every document that was answered 200 is in the
//! store, exactly once, and counted once.
//!
//! 20 kills, or `AFMETRICS_KILLS`; what is random comes from `AFMETRICS_SEED`, which is printed.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tls::Authority;
use crate::support::{FACILITY, Running, World, job, receiver, runtime, wire};

const SENDERS: usize = 8;
/// Documents of a collector's round.
const JOBS: usize = 150;

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no business of the program's"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A collector that finds its batch jobs in a file.
struct Collector {
    folder: PathBuf,
    binary: PathBuf,
    token: String,
    url: String,
}

impl Collector {
    fn new(world: &World, token: &str, url: &str) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_afmetrics_receiver"))
            .with_file_name("afmetrics_collector");
        assert!(
            binary.exists(),
            "there is no {}: cargo build -p afmetrics-collector",
            binary.display()
        );
        let folder = world.path().join("collector");
        for name in ["root", "bin", "state"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let this = Self {
            folder,
            binary,
            token: token.to_owned(),
            url: url.to_owned(),
        };
        this.program(
            "condor_q",
            &format!("exec /usr/bin/cat {}", this.path("queue.json")),
        );
        this.program("condor_history", "echo [; echo ]");
        this
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }

    /// Begins a round of so many jobs.
    #[expect(clippy::disallowed_methods, reason = "a test runs programs")]
    fn start(&self, round: usize, jobs: usize, batch_size: &str) -> Child {
        let one = |proc| {
            json!({"ClusterId": round, "ProcId": proc, "JobStatus": 2, "Owner": "canary-1", "RemoteWallClockTime": 38.0}).to_string()
        };
        let jobs: Vec<String> = (0..jobs).map(one).collect();
        std::fs::write(
            self.path("next.json"),
            format!("[\n{}\n]\n", jobs.join("\n,\n")),
        )
        .unwrap();
        std::fs::rename(self.path("next.json"), self.path("queue.json")).unwrap();
        Command::new(&self.binary)
            .args([
                "-b",
                "-c",
                FACILITY,
                "-t",
                &self.token,
                "-u",
                &self.url,
                "--gzip",
            ])
            .args([
                "--ca-file",
                &self.path("../ca.pem"),
                "--batch-size",
                batch_size,
            ])
            .args(["--request-timeout", "3", "--deliver-for", "10"])
            .args([
                "--state-dir",
                &self.path("state"),
                "--root",
                &self.path("root"),
            ])
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path(""))
            .env("AFMETRICS_CONFIG", "/dev/null")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// Sends batches until it is told to stop; what was answered 200, by Id.
fn send(
    who: usize,
    url: &str,
    authority: &Authority,
    token: &str,
    stop: &AtomicBool,
) -> Vec<String> {
    let mut taken = Vec::new();
    let client = authority.client();
    runtime().block_on(async {
        for batch in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let count = [1, 5, 40][(who + batch) % 3];
            let ids: Vec<String> = (0..count).map(|n| format!("s{who}.{batch}.{n}")).collect();
            let documents: Value = ids
                .iter()
                .map(|id| job(token, "canary-2", id, "running", 5))
                .collect();
            let key = format!("{}/0-{count}", Uuid::now_v7());
            let mut stopped = None;
            loop {
                let request = client
                    .post(url)
                    .header("idempotency-key", &key)
                    .header("content-type", "application/json");
                match request.body(documents.to_string()).send().await {
                    Ok(answer) if answer.status() == 200 => break,
                    Ok(answer) => assert!(
                        [429, 503].contains(&answer.status().as_u16()),
                        "{}",
                        answer.status()
                    ),
                    Err(_) => {}
                }
                if stop.load(Ordering::Relaxed) {
                    let stopped = stopped.get_or_insert_with(Instant::now);
                    assert!(
                        stopped.elapsed() < Duration::from_secs(20),
                        "it does not take documents any more"
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            taken.extend(ids);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    taken
}

/// Tells the senders to stop, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A port that nobody is given unasked, so that it is still free after a restart.
fn quiet_port(random: &mut fastrand::Rng) -> u16 {
    loop {
        let port = random.u16(20_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let kills = usize::try_from(number("AFMETRICS_KILLS").unwrap_or(20)).unwrap();
    let seed = number("AFMETRICS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("AFMETRICS_SEED={seed} AFMETRICS_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new();
    let token = world.token(FACILITY);
    let authority = Authority::new(&world);
    authority.sign();
    let listen = format!("127.0.0.1:{}", quiet_port(&mut random));
    let start = || {
        let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
        let mut command = receiver(&[
            "serve",
            "--listen",
            &listen,
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ]);
        command.env("AFMETRICS_STORE", world.store());
        Running::start(command)
    };
    let url = format!("https://{listen}/");
    let collector = Collector::new(&world, &token, &url);
    let stop = AtomicBool::new(false);
    // By round: whether it must be there.
    let mut rounds: Vec<bool> = Vec::new();
    let (taken, running) = std::thread::scope(|scope| {
        let told = Stop(&stop);
        let mut running = start();
        let senders: Vec<_> = (0..SENDERS)
            .map(|who| {
                let (url, authority, token, stop) = (&url, &authority, &token, &stop);
                scope.spawn(move || send(who, url, authority, token, stop))
            })
            .collect();
        for _ in 0..kills {
            let batch_size = ["10", "50", "500"][random.usize(..3)];
            let mut round = collector.start(rounds.len(), JOBS, batch_size);
            std::thread::sleep(Duration::from_millis(random.u64(..500)));
            let which = random.usize(..3);
            if which != 0 {
                // It may have ended by itself.
                let _ = round.kill();
            }
            running = match which {
                1 => running,
                _ => {
                    running.kill();
                    start()
                }
            };
            let ended = round.wait().unwrap();
            rounds.push(ended.code().is_some_and(|code| code <= 1));
        }
        // What waits in the spool is delivered.
        let begun = Instant::now();
        loop {
            let ended = collector.start(rounds.len(), 1, "500").wait().unwrap();
            rounds.push(true);
            if ended.success() {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the spool is never empty"
            );
        }
        drop(told);
        let taken: Vec<String> = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        (taken, running)
    });
    let (ended, log) = running.terminate();
    assert!(ended.success(), "{log}");
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    let documents = wire::documents(&world.store());
    for one in &documents {
        *stored
            .entry(one["Id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    println!(
        "{} documents, {} of them from senders, in {} rounds",
        documents.len(),
        taken.len(),
        rounds.len()
    );
    let twice: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for id in &taken {
        assert!(
            stored.remove(id).is_some(),
            "{id} was answered 200 and is not there"
        );
    }
    for (round, must) in rounds.iter().enumerate() {
        let prefix = format!("{round}.");
        let there = stored.keys().filter(|id| id.starts_with(&prefix)).count();
        let all = if round < kills { JOBS } else { 1 };
        assert!(
            there == all || (there == 0 && !must),
            "{there} of round {round}"
        );
    }
    assert!(
        stored.keys().all(|id| !id.starts_with('s')),
        "what was never answered 200"
    );
    assert_eq!(wire::counted(&world.store()), documents.len());
}

#[test]
fn sigterm_under_load_finishes_what_was_accepted() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let url = format!("{}/", running.url);
    let (taken, took) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|who| {
                let (url, token) = (&url, &token);
                scope.spawn(move || until_it_ends(who, url, token))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(1500));
        let began = Instant::now();
        let (ended, log) = running.terminate();
        let took = began.elapsed();
        assert!(ended.success(), "{log}");
        assert!(
            log.contains("SIGTERM: what was accepted is finished"),
            "{log}"
        );
        let taken: Vec<String> = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        (taken, took)
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    let stored = wire::documents(&world.store());
    let ids: std::collections::BTreeSet<&str> = stored
        .iter()
        .map(|one| one["Id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), stored.len());
    assert!(taken.len() > 20, "{}", taken.len());
    for id in &taken {
        assert!(ids.contains(id.as_str()), "{id} was answered 200");
    }
    // One request of each sender may have lost its answer.
    assert!(stored.len() <= taken.len() + SENDERS);
    assert_eq!(wire::counted(&world.store()), stored.len());
}

fn until_it_ends(who: usize, url: &str, token: &str) -> Vec<String> {
    let mut taken = Vec::new();
    let client = crate::support::client();
    runtime().block_on(async {
        for n in 0.. {
            let id = format!("{who}.{n}");
            let body = job(token, "canary-1", &id, "running", 5).to_string();
            match client.post(url).body(body).send().await {
                Ok(answer) if answer.status() == 200 => taken.push(id),
                Ok(answer) => assert_eq!(answer.status(), 503),
                Err(_) => break,
            }
        }
    });
    taken
}
