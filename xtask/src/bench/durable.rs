//! What it costs that nothing is lost: the spool beside delivery from memory, a backlog, a long line.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::drain::Drain;
use super::measure::{Cost, best_of, cost_of};
use super::{Bench, duration, expect, line, mb, row};
use crate::programs::program;

const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9/";

/// A round with the spool and the same round from memory, one after the other so often.
const PAIRS: usize = 15;

impl Bench {
    /// The spool beside memory, for many documents and for few.
    pub fn spool(&self) -> Result<()> {
        let drain = Drain::start(&["h2"])?;
        self.jobs(10_000)?;
        let (spool, memory) = self.pairs(&drain, &["-b", "--batch-size", "500"])?;
        row("10,000 jobs, --batch-size 500, from memory", memory, "");
        row(
            "  the same through the spool",
            spool,
            &format!(
                "at most 15 % more time: {:+.0} %",
                (spool.wall.as_secs_f64() / memory.wall.as_secs_f64() - 1.0) * 100.0
            ),
        );
        self.jobs(8)?;
        let (spool, memory) = self.pairs(&drain, &["-b"])?;
        row("8 jobs, from memory", memory, "");
        row(
            "  the same through the spool",
            spool,
            &format!(
                "at most 10 ms more time: {:+.1} ms",
                (spool.wall.as_secs_f64() - memory.wall.as_secs_f64()) * 1000.0
            ),
        );
        Ok(())
    }

    /// The best of each, taken in turns, so that what else the machine does hits both.
    fn pairs(&self, drain: &Drain, args: &[&str]) -> Result<(Cost, Cost)> {
        let mut with = self.delivering(drain, args);
        let mut without = self.without_state(drain, args)?;
        let (mut spool, mut memory) = (cost_of(&mut with)?, cost_of(&mut without)?);
        for _ in 1..PAIRS {
            spool = spool.least(cost_of(&mut with)?);
            memory = memory.least(cost_of(&mut without)?);
        }
        Ok((spool, memory))
    }

    /// The binary where no state folder can be written: it delivers from memory.
    fn without_state(&self, drain: &Drain, args: &[&str]) -> Result<Command> {
        let root = self.folder.path().join("root");
        fs::create_dir_all(root.join("var"))?;
        // A file where the folder would be made.
        fs::write(root.join("var/lib"), "")?;
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let mut command = program(&self.binary);
        command
            .args(args)
            .arg("--root")
            .arg(root)
            .args(["-u", &drain.url, "--ca-file"])
            .arg(drain.ca.path())
            .env("PATH", path)
            .env("AFMETRICS_CONFIG", "/dev/null")
            .env("AFMETRICS_TOKEN", "t0ken-of-the-bench")
            .env_remove("HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("STATE_DIRECTORY")
            .stderr(std::process::Stdio::null());
        Ok(command)
    }

    /// Rounds whose endpoint was away, then one whose endpoint is back.
    pub fn backlog(&self) -> Result<()> {
        const ROUNDS: u64 = 10;
        const JOBS: u64 = 100_000;
        self.jobs(JOBS)?;
        for _ in 0..ROUNDS {
            let status = self
                .collector(&["-b", "-u", NOBODY, "--deliver-for", "1"])
                .stderr(std::process::Stdio::null())
                .status()
                .context("cannot start the collector")?;
            if status.code() != Some(1) {
                bail!("a round whose endpoint is away ended with {status}");
            }
        }
        let bytes = self.spool_size()?;
        let drain = Drain::start(&["h2"])?;
        let args = ["spool", "deliver", "--any-endpoint", "--batch-size", "500"];
        let cost = cost_of(&mut self.delivering(&drain, &args))?;
        expect(drain.seen().requests, ROUNDS * JOBS / 500)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate, for reading")]
        let rate = (ROUNDS * JOBS) as f64 / cost.wall.as_secs_f64();
        row(
            &format!("1,000,000 waiting documents, {}, arrays of 500", mb(bytes)),
            cost,
            &format!("at least 100,000 documents a second: {rate:.0}; at most 64 MiB"),
        );
        Ok(())
    }

    fn spool_size(&self) -> Result<u64> {
        let pending: PathBuf = self.folder.path().join("spool/pending");
        let mut bytes = 0;
        for round in fs::read_dir(pending)? {
            for file in fs::read_dir(round?.path())? {
                bytes += file?.metadata()?.len();
            }
        }
        Ok(bytes)
    }

    /// One document a request, over a line of 20 ms.
    pub fn long_line(&self) -> Result<()> {
        const JOBS: u64 = 10_000;
        self.jobs(JOBS)?;
        for (protocol, name, most) in [("h2", "HTTP/2", 5), ("http/1.1", "HTTP/1.1", 15)] {
            let drain = Drain::start(&[protocol])?;
            let url = over_the_line(&drain)?;
            let cost = best_of(2, || {
                cost_of(&mut self.delivering_to(&drain, &url, &["-b"]))
            })?;
            row(
                &format!("10,000 jobs, one a request, 20 ms away, {name}"),
                cost,
                &format!("at most {most} s of time"),
            );
        }
        self.a_connection_each_over_the_line(JOBS)
    }

    /// What a connection for each document takes, from some of them.
    fn a_connection_each_over_the_line(&self, jobs: u64) -> Result<()> {
        const SOME: u32 = 20;
        let drain = Drain::start(&["http/1.1"])?;
        let url = over_the_line(&drain)?;
        let begun = Instant::now();
        for _ in 0..SOME {
            let status = program("curl")
                .args(["-s", "-o", "/dev/null", "-d", "{}", "--cacert"])
                .arg(drain.ca.path())
                .arg(&url)
                .status();
            if !status.is_ok_and(|status| status.success()) {
                println!("  (left out: curl)");
                return Ok(());
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "ten thousand")]
        let all = begun.elapsed() / SOME * jobs as u32;
        println!(
            "{:<58} {:>10} {:>10} {:>9}   more than 10 minutes: {:.0} (from {SOME} of them)",
            "  the same by curl, a connection each",
            duration(all),
            "",
            "",
            all.as_secs_f64() / 60.0
        );
        Ok(())
    }
}

/// The drain's URL at the other end of a line.
fn over_the_line(drain: &Drain) -> Result<String> {
    let address = drain
        .url
        .trim_start_matches("https://")
        .trim_end_matches('/');
    let server: SocketAddr = address.parse().context("the drain has an address")?;
    Ok(format!("https://{}/", line::start(server, ROUND_TRIP)?))
}
