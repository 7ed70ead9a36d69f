//! Slurm's tools, as `squeue`, `sacct`, `sinfo` and `scontrol` print.
//!
//! What surprised us (Slurm 22.05 and 24.11, real controllers): their JSON is 20 times slower than text, takes
//! 240 MB for 5,000 jobs, differs in every version, and in 22.05 says "no jobs" with exit status 0 when the
//! controller is down; so it is text, in columns that we name. A user's `SQUEUE_STATES`, `SQUEUE_PARTITION` or
//! `SLURM_TIME_FORMAT` changes what is printed even then; so the tools see nothing of our environment but what
//! they need. Lists of waiting array tasks are cut at 64 bytes, with no mark, unless `SLURM_BITSTR_LEN` is 0.
//! An empty list with exit status 0 is also what a wrong filter gives, and what a user sees who may not see
//! the jobs of others (PrivateData); so an empty one is looked into.

mod accounts;
mod lines;
pub mod queue;
pub mod reported;
pub mod visible;

use std::time::Duration;

pub use self::accounts::{Columns, Record, format as accounts_format};
pub use self::lines::Lines;
pub use self::queue::{FORMAT as QUEUE_FORMAT, Job};
use crate::command::{Command, Meaning};
use crate::context::Context;
use crate::error::CollectError;

/// Between two columns: the unit separator of ASCII, which stands in no name.
pub const SEPARATOR: char = '\x1f';

/// A tool of Slurm, about to be run.
pub fn command<'a>(cx: &'a Context, program: &'static str, args: &[&str]) -> Command<'a> {
    cx.command(program)
        .only_env(&cx.for_slurm)
        // Whole lists, however long; times as numbers, and where one is a date after all, in UTC.
        .env("SLURM_BITSTR_LEN", "0")
        .env("SLURM_TIME_FORMAT", "%s")
        .env("TZ", "UTC0")
        .args(args)
        .explained(meaning)
}

/// Starts a tool whose output is lines. `silence`: how long it may say nothing.
pub async fn query<'a>(
    cx: &'a Context,
    program: &'static str,
    args: &[&str],
    silence: Duration,
) -> Result<Lines<'a>, CollectError> {
    let running = command(cx, program, args).silence(silence).spawn().await?;
    Ok(Lines::new(program, running))
}

/// Which of Slurm's daemons a tool complains about.
fn meaning(said: &str) -> Option<Meaning> {
    const NO_CONFIGURATION: Meaning = Meaning::Failed(
        "the configuration of Slurm is not there or cannot be read: SLURM_CONF names it, if it is not in its usual place",
    );
    const MEANINGS: [(&str, Meaning); 11] = [
        (
            "accounting storage is disabled",
            Meaning::NotHere(
                "this Slurm keeps no accounts (AccountingStorageType), so it is not known which jobs have ended",
            ),
        ),
        (
            "Munge",
            Meaning::Failed("munged, which proves who asks, is down on this node"),
        ),
        (
            "slurm controller",
            Meaning::Failed("slurmctld is down or cannot be reached"),
        ),
        (
            "Socket timed out",
            Meaning::Failed("slurmctld or slurmdbd is there and does not answer"),
        ),
        (
            "persistent connection",
            Meaning::Failed("slurmdbd is down, cannot be reached or has no database"),
        ),
        (
            "PersistInit",
            Meaning::Failed("slurmdbd is down, cannot be reached or has no database"),
        ),
        ("slurm.conf", NO_CONFIGURATION),
        ("s_p_parse_file", NO_CONFIGURATION),
        ("ClusterName needs", NO_CONFIGURATION),
        ("configuration source", NO_CONFIGURATION),
        (
            "permission denied",
            Meaning::Failed(
                "Slurm hides that from this user (PrivateData): run the round as root or SlurmUser, or make this user an operator",
            ),
        ),
    ];
    MEANINGS
        .iter()
        .find(|(part, _)| said.contains(part))
        .map(|(_, meaning)| *meaning)
}
