//! The daemon between two rounds: what it keeps in memory, and how often it wakes up.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::drain::Drain;
use super::{Bench, mb};

/// Long enough for some seconds in which nothing is to be done.
const INTERVAL: Duration = Duration::from_secs(10);
/// Watched, behind a round.
const IDLE: Duration = Duration::from_secs(5);

/// Ends with the test of it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(bench: &Bench) -> Result<()> {
    let drain = Drain::start(&["h2"])?;
    let interval = INTERVAL.as_secs().to_string();
    let args = ["run", "--interval", &interval, "--host", "--root", "/"];
    let mut command = bench.delivering(&drain, &args);
    command.args(["--listen", "127.0.0.1:0"]);
    let child = command.stderr(Stdio::null()).spawn();
    let daemon = Daemon(child.context("cannot start the daemon")?);
    let begun = Instant::now();
    // Two rounds: the first one opens what is opened once.
    let mut requests = 0;
    while requests < 8 {
        if begun.elapsed() > 6 * INTERVAL {
            bail!("the daemon sent {requests} documents in a minute");
        }
        thread::sleep(Duration::from_millis(100));
        requests += drain.seen().requests;
    }
    thread::sleep(Duration::from_secs(2));
    let before = switches(&daemon)?;
    thread::sleep(IDLE);
    println!(
        "{:<58} {:>31}   at most 15 MiB; woken up {} times in {} s",
        "the daemon between two rounds",
        mb(number(&daemon, "VmRSS:")? * 1024),
        switches(&daemon)? - before,
        IDLE.as_secs()
    );
    Ok(())
}

fn switches(daemon: &Daemon) -> Result<u64> {
    number(daemon, "voluntary_ctxt_switches:")
}

/// A line of the kernel's about the process.
fn number(daemon: &Daemon, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.context("the kernel does not say it")?.parse()?)
}
