//! The partitions of Slurm, counted: from the list that `slurm_jobs` reads, as one `squeue` a round is enough.
//! Partitions in which nothing is come from `sinfo -h -o %R`, a name a line:
//!
//! ```text
//! batch
//! long
//! ```
//!
//! What surprised us: `%P` would mark the default partition with a star, `%R` does not. A partition is listed
//! once for each state of its nodes.

use std::collections::BTreeSet;

use afmetrics_document::Document;
use async_trait::async_trait;
use tracing::debug;

use super::{After, Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::slurm::query;
use crate::sources::slurm::queue::Count;

pub const SPEC: Spec = Spec {
    name: "slurm_queue",
    summary: "Slurm jobs counted by partition, and in all (squeue, sinfo)",
    kinds: &["slurmqueue"],
    flag: "--slurm",
    table: "batch",
    debug_file: "slurm.json",
    after: Some(After {
        name: "slurm_jobs",
        needed: true,
    }),
    build: |config| config.slurm.then(|| Box::new(SlurmQueue) as _),
};

struct SlurmQueue;

/// The whole cluster, each job once.
const ALL: &str = "all";

#[async_trait(?Send)]
impl Collector for SlurmQueue {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let Some(counts) = cx.counted.take() else {
            return Err(CollectError::Failed(
                "the queue could not be read, so nothing was counted: see what slurm_jobs says"
                    .to_owned(),
            ));
        };
        if counts.without_memory > 0 {
            debug!(
                "slurm_queue: {} running jobs have no mem in tres-alloc; they count 0",
                counts.without_memory
            );
        }
        let mut partitions = counts.partitions;
        // A partition of that name would be taken for it.
        partitions.remove(ALL);
        out.part(async |out| {
            push(ALL, &counts.all, out)?;
            // What sinfo knows besides; where it fails those of squeue count all the same.
            partitions
                .iter()
                .try_for_each(|(name, count)| push(name, count, out))
        })
        .await?;
        out.part(async |out| {
            for name in names(cx).await? {
                if name != ALL && !partitions.contains_key(&name) {
                    push(&name, &Count::default(), out)?;
                }
            }
            Ok(())
        })
        .await
    }
}

fn push(name: &str, count: &Count, out: &mut Documents) -> Result<(), CollectError> {
    out.push(&Document::SlurmQueue {
        queue: name.to_owned(),
        idle: count.idle,
        running: count.running,
        held: count.held,
        allocated_cores: count.cores,
        allocated_mem: i64::try_from(count.memory / 1024).unwrap_or(i64::MAX),
    })
}

/// The partitions that there are.
async fn names(cx: &Context) -> Result<BTreeSet<String>, CollectError> {
    let mut lines = query(
        cx,
        "sinfo",
        &["-a", "--local", "-h", "-o", "%R"],
        cx.limits.silence,
    )
    .await?;
    let mut names = BTreeSet::new();
    while let Some(line) = lines.next().await? {
        match line.trim() {
            "" => lines.bad("no name of a partition"),
            name => drop(names.insert(name.to_owned())),
        }
    }
    Ok(names)
}
