//! A long queue of Slurm, made of recorded lines.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};

use super::measure::{best_of, cost_of};
use super::{Bench, mb, row};

const JOBS: usize = 100_000;
/// Between two columns.
const SEPARATOR: char = '\x1f';

/// 100,000 jobs that wait, run or are held; and 100,000 that have ended.
pub fn run(bench: &Bench) -> Result<()> {
    let [queue, ended] = ["squeue.out", "sacct.out"].map(|name| bench.folder.path().join(name));
    bench.fake("squeue", &format!("exec cat {}", queue.display()))?;
    bench.fake("sacct", &format!("exec cat {}", ended.display()))?;
    bench.fake("sinfo", "printf 'batch\\nlong\\n'")?;
    for tool in ["scontrol", "sacctmgr"] {
        bench.fake(tool, "echo 'PrivateData = none'; echo 'Slurmctld is UP'")?;
    }
    let bytes = repeated(&queue)?;
    accounts(&ended, 0)?;
    measured(
        bench,
        &format!("100,000 jobs of Slurm, --print, {} of squeue", mb(bytes)),
    )?;
    fs::write(&queue, "")?;
    let bytes = accounts(&ended, JOBS)?;
    measured(
        bench,
        &format!("100,000 ended jobs of Slurm, {} of sacct", mb(bytes)),
    )
}

fn measured(bench: &Bench, what: &str) -> Result<()> {
    let round = || bench.collector(&["--slurm", "--print"]);
    let printed = round().output().context("cannot run the collector")?;
    let count = printed.stdout.iter().filter(|byte| **byte == b'\n').count();
    // And the two partitions and all of them.
    if count != JOBS + 3 {
        bail!("{count} documents of {JOBS} jobs of Slurm");
    }
    let cost = best_of(3, || cost_of(&mut round()))?;
    row(what, cost, "at most 0.3 s of CPU and 32 MiB");
    Ok(())
}

/// Writes what sacct prints of so many jobs that have just ended; returns how long it is, in bytes.
fn accounts(path: &Path, jobs: usize) -> Result<u64> {
    const COLUMNS: [&str; 12] = [
        "JobID",
        "JobIDRaw",
        "User",
        "UID",
        "Account",
        "Partition",
        "State",
        "Submit",
        "Start",
        "End",
        "ElapsedRaw",
        "AllocCPUS",
    ];
    let separator = SEPARATOR.to_string();
    let mut file = BufWriter::new(fs::File::create(path)?);
    writeln!(file, "{}", COLUMNS.join(&separator))?;
    // When the file was made is now.
    let now = file.get_ref().metadata()?.modified()?;
    let now = now.duration_since(UNIX_EPOCH)?.as_secs();
    for job in 0..jobs {
        let end = now - job as u64 % 200;
        let [id, user, uid] = [job, job % 200, 21000 + job % 200].map(|number| number.to_string());
        let [submit, start, end] = [end - 400, end - 300, end].map(|at| at.to_string());
        let user = format!("canary-{user}");
        let columns = [
            &*id,
            &id,
            &user,
            &uid,
            "physics",
            "batch",
            "COMPLETED",
            &submit,
            &start,
            &end,
            "300",
            "8",
        ];
        writeln!(file, "{}", columns.join(&separator))?;
    }
    file.flush()?;
    Ok(fs::metadata(path)?.len())
}

/// Writes the recorded lines again and again, each as a job of its own; returns how long they are, in bytes.
fn repeated(path: &Path) -> Result<u64> {
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
    Ok(fs::metadata(path)?.len())
}
