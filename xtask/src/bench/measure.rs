//! Runs a program and says what it cost.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What a run cost, its children included.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    pub cpu: Duration,
    /// The most memory that the program itself held, in bytes.
    pub peak: u64,
}

impl Cost {
    /// The least of both: what else the machine does only adds. Of memory the most.
    pub fn least(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
            peak: self.peak.max(other.peak),
        }
    }
}

/// Runs the program to its end, which has to be a good one.
pub fn cost_of(command: &mut Command) -> Result<Cost> {
    let before = children_cpu()?;
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        peak = peak.max(high_water_mark(&status_file));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_micros(500));
    };
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(Cost {
        wall: begun.elapsed(),
        cpu: children_cpu()?.saturating_sub(before),
        peak,
    })
}

/// The best of several runs: what else the machine does only adds.
pub fn best_of(times: usize, mut run: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let mut best = run()?;
    for _ in 1..times {
        best = best.least(run()?);
    }
    Ok(best)
}

fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.cast_unsigned()))
}

/// The most memory that it held; 0 if the process is gone.
fn high_water_mark(status_file: &str) -> u64 {
    memory(status_file, "VmHWM")
}

/// Memory of a running process in bytes: what it has (`VmRSS`), or the most it had (`VmHWM`).
pub fn memory_of(pid: u32, which: &str) -> u64 {
    memory(&format!("/proc/{pid}/status"), which)
}

/// CPU that a running process has used until now.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which is in brackets: fields 14 and 15, in hundredths of a second.
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// `VmHWM:      7680 kB`
fn memory(status_file: &str, which: &str) -> u64 {
    let status = fs::read_to_string(status_file).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(which)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
