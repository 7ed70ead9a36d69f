//! A long queue of Slurm, made of recorded lines.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::measure::{best_of, cost_of};
use super::{Bench, row};

const JOBS: usize = 100_000;
/// Between two columns.
const SEPARATOR: char = '\x1f';

/// 100,000 jobs that wait, run or are held, and none that have ended.
pub fn run(bench: &Bench) -> Result<()> {
    let queue = bench.folder.path().join("squeue.out");
    let bytes = repeated(&queue)?;
    bench.fake("squeue", &format!("exec cat {}", queue.display()))?;
    bench.fake("sinfo", "printf 'batch\\nlong\\n'")?;
    let header =
        "JobID,JobIDRaw,User,UID,Account,Partition,State,Submit,Start,End,ElapsedRaw,AllocCPUS";
    bench.fake("sacct", &format!("echo {header} | tr , '\\037'"))?;
    bench.fake("sacctmgr", "echo 'PrivateData = none'")?;
    let round = || bench.collector(&["--slurm", "--print"]);
    let printed = round().output().context("cannot run the collector")?;
    let count = printed.stdout.iter().filter(|byte| **byte == b'\n').count();
    // And the two partitions and all of them.
    if count != JOBS + 3 {
        bail!("{count} documents of {JOBS} jobs of Slurm");
    }
    let cost = best_of(3, || cost_of(&mut round()))?;
    row(
        &format!(
            "100,000 jobs of Slurm, --print, {:.1} MB of squeue",
            bytes / 1e6
        ),
        cost,
        "at most 0.3 s of CPU and 32 MiB",
    );
    Ok(())
}

/// Writes the recorded lines again and again, each as a job of its own; returns how long they are, in bytes.
#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn repeated(path: &Path) -> Result<f64> {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/collector/tests/cases/slurm_jobs/mixed/commands/squeue.out");
    let recorded = fs::read_to_string(&recorded).with_context(|| recorded.display().to_string())?;
    let mut file = BufWriter::new(fs::File::create(path)?);
    for (number, line) in recorded.lines().cycle().take(JOBS).enumerate() {
        let (id, rest) = line
            .split_once(SEPARATOR)
            .context("a recorded line without columns")?;
        // Its task, or the list of them, stays.
        let tail = id.trim_start_matches(|c: char| c.is_ascii_digit());
        writeln!(file, "{}{tail}{SEPARATOR}{rest}", 1000 + number)?;
    }
    file.flush()?;
    Ok(fs::metadata(path)?.len() as f64)
}
