//! Every job in the queue of Slurm, from one `squeue` a round; `slurm_queue` has the same list's counts.
//!
//! ```text
//! 3_[2-20%1]·canary-1·1001·PENDING·0:00·batch·1·physics·1·cpu=1,mem=64M,node=1,billing=1·JobArrayTaskLimit·
//! 3_1·canary-1·1001·RUNNING·0:02·batch·1·physics·1·cpu=1,mem=64M,node=1,billing=1·None·
//! ```
//!
//! (`·` is the unit separator, 0x1f.) What surprised us: the tasks of an array that wait are one line, those
//! that run one each; `squeue --array` would make 100,000 of it. A reason is a word or a sentence with commas. A
//! user that the system does not know any more is `nobody` in 22.05 and a number in 24.11. A job that is held has
//! priority 0, whatever its reason says. `%m` is memory for each CPU or for each node, and does not say which;
//! tres-alloc is that of the job.

use afmetrics_document::Document;
use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::slurm::queue::Counts;
use crate::sources::slurm::{Job, QUEUE_FORMAT, query, visible};

pub const SPEC: Spec = Spec {
    name: "slurm_jobs",
    summary: "all jobs in the queue of Slurm (squeue)",
    kinds: &["slurmjob"],
    flag: "--slurm",
    table: "batch",
    debug_file: "slurm.json",
    after: None,
    build: |config| {
        config.slurm.then(|| {
            Box::new(SlurmJobs {
                excluded_owners: config.excluded_owners.clone(),
            }) as _
        })
    },
};

struct SlurmJobs {
    excluded_owners: Vec<String>,
}

#[async_trait(?Send)]
impl Collector for SlurmJobs {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        // All partitions, hidden ones, too; of a federation this cluster alone.
        let args = ["-a", "--local", "-h", "-O", QUEUE_FORMAT];
        let mut lines = query(cx, "squeue", &args, cx.limits.silence).await?;
        let mut counts = Counts::default();
        let own = cx.uid().as_raw();
        let (mut is_empty, mut shows_others) = (true, false);
        while let Some(line) = lines.next().await? {
            match Job::parse(&line) {
                Err(why) => lines.bad(why),
                // Another cluster of a federation runs it.
                Ok(job) if job.state == "revoked" => {}
                Ok(job) => {
                    is_empty = false;
                    shows_others |= job.uid != Some(own);
                    counts.add(&job);
                    self.push(&job, cx, out).await?;
                }
            }
        }
        if is_empty {
            visible::controller_is_up(cx).await?;
        }
        visible::queue_is_visible(cx, shows_others).await?;
        *cx.counted.borrow_mut() = Some(counts);
        Ok(())
    }
}

impl SlurmJobs {
    async fn push(
        &self,
        job: &Job<'_>,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        if self.excluded_owners.iter().any(|owner| owner == job.user) {
            return Ok(());
        }
        let Some(users) = cx.names.publish(job.user).await? else {
            return Ok(());
        };
        out.push(&Document::SlurmJob {
            users,
            id: job.id.clone().into_owned(),
            runtime: job.runtime.unwrap_or(0),
            state: job.state.clone(),
            partition: job.partition.to_owned(),
            account: job.account.map(|name| cx.names.publish_account(name)),
            cores: job.cores,
            tasks: job.tasks,
        })
    }
}
