//! `cargo xtask bench`: what a round costs, beside what it should cost and what others need, all
//! measured in one run on one machine.

mod daemon;
mod drain;
mod durable;
mod line;
mod measure;
mod receiver;
mod slurm;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use self::drain::Drain;
use self::measure::{Cost, best_of, cost_of};
use crate::programs::{ends_well, program};

/// The binary with the release profile, and a folder with fake tools.
struct Bench {
    binary: PathBuf,
    folder: TempDir,
}

/// Builds the release binaries and prints the tables; `receiver`: of the receiver alone.
pub fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => collector().and_then(|()| receiver::run(&receiver::built()?)),
        ["receiver"] => receiver::run(&receiver::built()?),
        // Another build, to compare with.
        ["receiver", "--binary", path] => receiver::run(Path::new(path)),
        ["--large"] => receiver::large::run("100000000"),
        ["--large", "--documents", documents] => receiver::large::run(documents),
        // What was filled before.
        ["--large", "--store", store] => {
            receiver::large::ask_all(&receiver::built()?, Path::new(store))
        }
        ["--large", "--store", store, "--binary", path] => {
            receiver::large::ask_all(Path::new(path), Path::new(store))
        }
        _ => bail!(
            "expected `cargo xtask bench`, `cargo xtask bench receiver [--binary FILE]` or `cargo xtask bench --large [--documents N | --store FOLDER [--binary FILE]]`"
        ),
    }
}

fn collector() -> Result<()> {
    let bench = Bench::new()?;
    println!(
        "{:<58} {:>10} {:>10} {:>9}   target",
        "", "wall", "CPU", "peak"
    );
    bench.size()?;
    bench.start()?;
    bench.small_round()?;
    daemon::run(&bench)?;
    bench.ten_thousand()?;
    bench.a_million()?;
    slurm::run(&bench)?;
    bench.spool()?;
    bench.backlog()?;
    bench.long_line()
}

impl Bench {
    fn new() -> Result<Self> {
        ends_well(program("cargo").args([
            "build",
            "--release",
            "--package",
            "afmetrics-collector",
        ]))?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Ok(Self {
            binary: root.join("target/release/afmetrics_collector"),
            folder: TempDir::new()?,
        })
    }

    /// The binary, with the fake tools first on `PATH`.
    fn collector(&self, args: &[&str]) -> Command {
        let mut command = program(&self.binary);
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        command
            .args(args)
            .arg("--state-dir")
            .arg(self.folder.path())
            .env("PATH", path)
            .env("AFMETRICS_CONFIG", "/dev/null")
            .env("AFMETRICS_TOKEN", "t0ken-of-the-bench");
        command
    }

    fn delivering(&self, drain: &Drain, args: &[&str]) -> Command {
        self.delivering_to(drain, &drain.url, args)
    }

    /// Over another way to the drain.
    fn delivering_to(&self, drain: &Drain, url: &str, args: &[&str]) -> Command {
        let mut command = self.collector(args);
        command.args(["-u", url, "--ca-file"]).arg(drain.ca.path());
        command
    }

    fn size(&self) -> Result<()> {
        let bytes = fs::metadata(&self.binary)?.len();
        println!(
            "{:<58} {:>31}   at most 12 MB",
            "binary, release profile",
            mb(bytes)
        );
        Ok(())
    }

    fn start(&self) -> Result<()> {
        let cost = best_of(20, || cost_of(&mut self.collector(&["--version"])))?;
        row("--version", cost, "");
        Ok(())
    }

    fn small_round(&self) -> Result<()> {
        let drain = Drain::start(&["h2", "http/1.1"])?;
        let args = ["-s", "--host", "--root", "/"];
        // The first round takes a second for NETWORK; best_of leaves it out.
        let cost = best_of(10, || {
            cost_of(self.without_utmp(&mut self.delivering(&drain, &args)))
        })?;
        row(
            "-s --host over TLS",
            cost,
            "at most 15 ms of CPU and 20 MiB (the old script: 440 ms)",
        );
        Ok(())
    }

    /// Where this machine has no utmp, `who` is a fake with three sessions: the round is the same.
    fn without_utmp<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if !Path::new("/run/utmp").exists() {
            let who =
                "printf 'canary-1 pts/0 Nov 22 20:11 (::1)\\ncanary-2 pts/1 Nov 22 20:11 (::1)\\n'";
            // A fake that cannot be written shows as a failing round.
            let _ = self.fake("who", who);
        }
        command
    }

    fn ten_thousand(&self) -> Result<()> {
        const JOBS: u64 = 10_000;
        self.jobs(JOBS)?;
        let http1 = Drain::start(&["http/1.1"])?;
        let http2 = Drain::start(&["h2"])?;
        let mut most = 0;
        let one_by_one = best_of(3, || {
            let cost = cost_of(&mut self.delivering(&http1, &["-b"]))?;
            let seen = http1.seen();
            most = most.max(seen.connections);
            expect(seen.requests, JOBS)?;
            Ok(cost)
        })?;
        row(
            &format!("10,000 jobs, one a request, HTTP/1.1, {most} connections"),
            one_by_one,
            "at most 16 connections",
        );
        row(
            "10,000 jobs, one a request, HTTP/2",
            cost_of(&mut self.delivering(&http2, &["-b"]))?,
            "",
        );
        expect(http2.seen().requests, JOBS)?;
        row(
            "10,000 jobs, --batch-size 500",
            cost_of(&mut self.delivering(&http2, &["-b", "--batch-size", "500"]))?,
            "at most 0.3 s of CPU",
        );
        expect(http2.seen().requests, JOBS / 500)?;
        self.a_connection_each(&http1, JOBS, one_by_one)
    }

    /// What others do: a connection for every document.
    fn a_connection_each(&self, drain: &Drain, jobs: u64, ours: Cost) -> Result<()> {
        const PYTHON: &str = "\
import http.client, ssl, sys, urllib.parse
url, ca, count = urllib.parse.urlparse(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=ca)
body = b'{\"token\":\"t0ken-of-the-bench\",\"kind\":\"condorjob\",\"cluster\":\"UC-AF\",\"users\":\"canary-1\",\"Id\":\"1.1\",\"Runtime\":177,\"state\":\"running\"}'
for _ in range(count):
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context)
    connection.request('POST', '/', body, {'Content-Type': 'application/json'})
    connection.getresponse().read()
    connection.close()
";
        let mut python = program("python3");
        python
            .args(["-c", PYTHON, &drain.url])
            .arg(drain.ca.path())
            .arg(jobs.to_string());
        match cost_of(&mut python) {
            Ok(cost) => row(
                "  the same by Python, a connection each",
                cost,
                &format!("ours at least 20 times less CPU: {}", times(cost, ours)),
            ),
            Err(why) => println!("  (left out: {why})"),
        }
        let config = self.folder.path().join("curl.config");
        let mut lines = BufWriter::new(fs::File::create(&config)?);
        for job in 0..jobs {
            if job > 0 {
                writeln!(lines, "next")?;
            }
            writeln!(
                lines,
                "url = \"{}\"\ncacert = \"{}\"\ndata = \"{{}}\"\nheader = \"Connection: close\"\nno-sessionid\nsilent\noutput = /dev/null",
                drain.url,
                drain.ca.path().display()
            )?;
        }
        lines.flush()?;
        let mut curl = program("curl");
        curl.arg("-K").arg(&config);
        match cost_of(&mut curl) {
            Ok(cost) => row(
                "  the same by curl, a connection each",
                cost,
                &format!("ours: {}", times(cost, ours)),
            ),
            Err(why) => println!("  (left out: {why})"),
        }
        drain.seen();
        Ok(())
    }

    fn a_million(&self) -> Result<()> {
        const JOBS: u64 = 1_000_000;
        let drain = Drain::start(&["h2"])?;
        self.jobs(10_000)?;
        let small = cost_of(&mut self.delivering(&drain, &["-b", "--batch-size", "500"]))?;
        drain.seen();
        self.jobs(JOBS)?;
        let cost = cost_of(&mut self.delivering(&drain, &["-b", "--batch-size", "500"]))?;
        let seen = drain.seen();
        expect(seen.requests, JOBS / 500)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate, for reading")]
        let rate = JOBS as f64 / cost.cpu.as_secs_f64();
        row(
            &format!("1,000,000 jobs, --batch-size 500, {}", mb(seen.bytes)),
            cost,
            &format!(
                "at most 64 MiB (10,000 jobs: {}); 200,000 jobs a second of CPU: {rate:.0}",
                mb(small.peak)
            ),
        );
        Ok(())
    }

    /// Makes `condor_q` print so many running jobs, and `condor_history` none.
    fn jobs(&self, count: u64) -> Result<()> {
        let list = self.folder.path().join("jobs.json");
        let mut file = BufWriter::new(fs::File::create(&list)?);
        for job in 0..count {
            let before = if job == 0 { "[" } else { "," };
            write!(
                file,
                "{before}\n{{\n  \"ClusterId\": {},\n  \"JobStatus\": 2,\n  \"Owner\": \"canary-{}\",\n  \"ProcId\": {},\n  \"RemoteWallClockTime\": {}.0\n}}\n",
                1000 + job / 100,
                job % 200,
                job % 100,
                job % 7919
            )?;
        }
        file.write_all(b"]\n")?;
        file.flush()?;
        self.fake("condor_q", &format!("exec cat {}", list.display()))?;
        self.fake("condor_history", "printf '[\\n]\\n'")
    }

    fn fake(&self, name: &str, script: &str) -> Result<()> {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))
    }
}

fn expect(requests: u64, wanted: u64) -> Result<()> {
    if requests != wanted {
        bail!("the endpoint saw {requests} requests instead of {wanted}");
    }
    Ok(())
}

fn row(what: &str, cost: Cost, target: &str) {
    println!(
        "{what:<58} {:>10} {:>10} {:>9}   {target}",
        duration(cost.wall),
        duration(cost.cpu),
        mb(cost.peak)
    );
}

fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1000.0),
        seconds => format!("{seconds:.2} s"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn times(theirs: Cost, ours: Cost) -> String {
    format!("{:.1}", theirs.cpu.as_secs_f64() / ours.cpu.as_secs_f64())
}
