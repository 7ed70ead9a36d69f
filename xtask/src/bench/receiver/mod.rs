//! What the receiver does with a load, beside nginx, which does nothing with it.

mod jobs;
pub mod large;
mod load;
mod nginx;
mod pages;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::jobs::{FACILITIES, Requests, facility_name};
use self::load::Outcome;
use self::nginx::Nginx;
use super::mb;
use super::measure::{cpu_of, memory_of};
use crate::programs::{ends_well, program};

const ARRAYS_OVER: usize = 4;
const SINGLES_OVER: usize = 64;
const FOR: Duration = Duration::from_secs(10);
/// Of single documents, which nginx and the receiver get by turns.
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(2);
/// Of the backlog: two weeks have 4,032.
const LATE_ROUNDS: usize = 60;
const SIZE_ROUNDS: usize = 50;

/// Prints the rows of a receiver.
pub fn run(binary: &Path) -> Result<()> {
    println!(
        "\n{:<58} {:>10} {:>9} {:>9} {:>9}   target",
        "the receiver", "a second", "p50", "p99", "CPU/1000"
    );
    let nginx = Nginx::start()?;
    if nginx.is_none() {
        println!("  (left out: nginx; apt-get install nginx-light)");
    }
    let mut bench = Bench::start(binary)?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = memory_of(bench.receiver.pid(), "VmRSS");
    bench.arrays(nginx.as_ref())?;
    bench.singles(nginx.as_ref())?;
    bench.backlog()?;
    Bench::start(binary)?.size()?;
    let peak = memory_of(bench.receiver.pid(), "VmHWM");
    println!(
        "{:<58} {:>10} {:>31}at most 20 MiB (21.0 MB)",
        "memory, idle",
        mb(idle),
        ""
    );
    println!(
        "{:<58} {:>10} {:>31}at most 200 MiB (209.7 MB)",
        "memory, the most",
        mb(peak),
        ""
    );
    Ok(())
}

/// Builds the release binary.
pub fn built() -> Result<PathBuf> {
    ends_well(program("cargo").args(["build", "--release", "--package", "afmetrics-receiver"]))?;
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/afmetrics_receiver"))
}

struct Bench {
    receiver: Receiver,
    tokens: Vec<String>,
    /// Loads until now.
    loads: u16,
    folder: TempDir,
}

impl Bench {
    fn start(binary: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let tokens: Result<Vec<_>> = (0..FACILITIES)
            .map(|facility| token(binary, folder.path(), &facility_name(facility)))
            .collect();
        Ok(Self {
            tokens: tokens?,
            receiver: Receiver::start(binary, folder.path())?,
            loads: 0,
            folder,
        })
    }

    /// What the jobs of a facility need that sends an array of 500 at a time.
    fn size(mut self) -> Result<()> {
        let requests = self.requests(500, SIZE_ROUNDS, None);
        let outcome = load::run(self.receiver.address, 1, &requests, None)?;
        // When it has ended, all is in the one file.
        drop(self.receiver);
        let bytes = fs::metadata(self.folder.path().join("afmetrics.db"))?.len();
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let each = bytes as f64 / (outcome.taken * 500) as f64;
        println!(
            "{:<58} {each:>10.1} {:>31}at most 20 bytes",
            "bytes of the store for a job, in arrays of 500", ""
        );
        Ok(())
    }

    fn requests(&mut self, each: usize, rounds: usize, since: Option<Duration>) -> Requests {
        self.loads += 1;
        Requests::new(self.loads, &self.tokens, each, rounds, since)
    }

    fn arrays(&mut self, nginx: Option<&Nginx>) -> Result<()> {
        let requests = self.requests(500, 50, None);
        let target = "at least 150,000 documents a second";
        let what = format!(
            "arrays of 500 jobs ({} kB), {ARRAYS_OVER} connections: documents",
            requests.body_bytes() / 1000
        );
        self.load(&what, ARRAYS_OVER, &requests, Some(FOR), target)?;
        if let Some(nginx) = nginx {
            let outcome = load::run(nginx.address, ARRAYS_OVER, &requests, Some(FOR / 2))?;
            row("  the same by nginx, to nowhere", &outcome, 500, None, "");
        }
        Ok(())
    }

    /// By turns with nginx, so that a noisy moment of the machine is both's.
    fn singles(&mut self, nginx: Option<&Nginx>) -> Result<()> {
        let (mut theirs, mut ours) = (Outcome::default(), Outcome::default());
        let mut cpu = Duration::ZERO;
        for _ in 0..TURNS {
            let requests = self.requests(1, 10, None);
            if let Some(nginx) = nginx {
                theirs.add(load::run(
                    nginx.address,
                    SINGLES_OVER,
                    &requests,
                    Some(TURN),
                )?);
            }
            let (outcome, took) = self.loaded(SINGLES_OVER, &requests, Some(TURN))?;
            ours.add(outcome);
            cpu += took;
        }
        let mut target = String::new();
        if nginx.is_some() {
            let what = "single documents by nginx, to nowhere";
            row(what, &theirs, 1, None, "");
            let share = ours.per_second(1) / theirs.per_second(1) * 100.0;
            target = format!("at least 40 % of nginx: {share:.0} %");
        }
        let what = format!("single documents, {SINGLES_OVER} connections");
        row(&what, &ours, 1, Some(cpu), &target);
        Ok(())
    }

    /// Rounds that were five minutes apart come at once: each brings new counts.
    fn backlog(&mut self) -> Result<()> {
        let since = jobs::now() - Duration::from_secs(300) * 100;
        let requests = self.requests(500, LATE_ROUNDS, Some(since));
        let what =
            format!("arrays of {LATE_ROUNDS} late rounds, {ARRAYS_OVER} connections: documents");
        self.load(&what, ARRAYS_OVER, &requests, None, "")
    }

    fn load(
        &self,
        what: &str,
        connections: usize,
        requests: &Requests,
        time: Option<Duration>,
        target: &str,
    ) -> Result<()> {
        let (outcome, cpu) = self.loaded(connections, requests, time)?;
        row(what, &outcome, requests.each as u64, Some(cpu), target);
        Ok(())
    }

    /// What comes of a load until it is added up, too; and the receiver's CPU time.
    fn loaded(
        &self,
        connections: usize,
        requests: &Requests,
        time: Option<Duration>,
    ) -> Result<(Outcome, Duration)> {
        let before = cpu_of(self.receiver.pid());
        let begun = Instant::now();
        let mut outcome = load::run(self.receiver.address, connections, requests, time)?;
        self.receiver.ask("/api/v1/facilities")?;
        outcome.wall = begun.elapsed();
        let cpu = cpu_of(self.receiver.pid()).saturating_sub(before);
        Ok((outcome, cpu))
    }
}

fn row(what: &str, outcome: &Outcome, each: u64, cpu: Option<Duration>, target: &str) {
    #[expect(clippy::cast_precision_loss, reason = "for reading")]
    let thousands = (outcome.taken * each) as f64 / 1000.0;
    let cpu = cpu.map_or(String::new(), |cpu| {
        format!("{:.2} ms", cpu.as_secs_f64() * 1000.0 / thousands)
    });
    let refused = match outcome.refused {
        0 => String::new(),
        n => format!("   {n} requests refused"),
    };
    println!(
        "{what:<58} {:>10.0} {:>9} {:>9} {cpu:>9}   {target}{refused}",
        outcome.per_second(each),
        super::duration(outcome.percentile(50)),
        super::duration(outcome.percentile(99)),
    );
}

fn token(binary: &Path, store: &Path, facility: &str) -> Result<String> {
    let made = program(binary)
        .args(["token", "create", "--facility", facility, "--store"])
        .arg(store)
        .output()
        .context("cannot start the receiver")?;
    if !made.status.success() {
        bail!("no token: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// A running receiver; it is stopped when this goes.
struct Receiver {
    child: Child,
    address: SocketAddr,
}

impl Receiver {
    /// Starts it and waits until it listens.
    fn start(binary: &Path, store: &Path) -> Result<Self> {
        let mut child = program(binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--trust-loopback",
                "--store",
            ])
            .arg(store)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the receiver")?;
        let log = child.stderr.take().context("its log is a pipe")?;
        let mut log = BufReader::new(log).lines();
        let address = log.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once(" listens on http://")?;
            rest.split_once('/')?.0.parse().ok()
        });
        let Some(address) = address else {
            stop(&mut child);
            bail!("the receiver does not listen");
        };
        // What else it has to say is shown: nothing is expected.
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        Ok(Self { child, address })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks a question, whose answer has to be a good one; how long it took.
    fn ask(&self, path: &str) -> Result<Duration> {
        let mut stream = TcpStream::connect(self.address)?;
        let begun = Instant::now();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")?;
        let status = load::answer(&mut stream)?;
        if status != 200 {
            bail!("{path} is answered {status}");
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Ends a program by SIGTERM, or if that is in vain by SIGKILL.
fn stop(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}
