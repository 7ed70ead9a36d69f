//! What a round wants of HTCondor beyond the jobs themselves.

use afmetrics_document::Publisher;
use anyhow::{Result, bail};

use super::schedd::Schedds;
use crate::cli::{Htcondor, QueueTotals, Runtime};
use crate::sources::htcondor::queues::Queue;

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub schedds: Schedds,
    /// Queues are counted by the ads in the pool's collector, and not by the schedds.
    pub totals_of_ads: bool,
    /// Jobs in the queue are not listed.
    pub no_queued_jobs: bool,
    /// The run time of a running job has the current run in it.
    pub live_runtime: bool,
    /// Jobs have the optional fields.
    pub job_details: bool,
}

impl Options {
    /// Checks the flags. `queues`: what `-q` counts. Errors are one sentence that says what to do, and name no
    /// host: under `-O` they may not.
    pub fn new(asked: Htcondor, queues: &[Queue], publisher: &Publisher) -> Result<Self> {
        let schedds = Schedds::new(asked.schedd, asked.pool).map_err(anyhow::Error::msg)?;
        let totals_of_ads = asked.queue_totals == QueueTotals::ScheddAd;
        if totals_of_ads && schedds.names().next().is_none() {
            bail!(
                "--queue-totals schedd-ad needs --schedd NAME, as condor_status -schedd prints it: a pool has the ads of many"
            );
        }
        if let Some(queue) = queues.iter().find(|queue| queue.constraint.is_some())
            && totals_of_ads
        {
            bail!(
                "--queue-totals schedd-ad counts all jobs of a schedd, and -q {}: has a constraint: leave that out, or use --queue-totals jobs",
                queue.name
            );
        }
        let published: Vec<_> = schedds.names().map(|name| publisher.schedd(name)).collect();
        let has_a_name_twice = |audience| {
            let mut names: Vec<_> = published
                .iter()
                .map(|name| name.heard_by(audience))
                .collect();
            names.sort_unstable();
            names.dedup();
            names.len() < published.len()
        };
        if (!queues.is_empty() || asked.job_details)
            && (0..publisher.audiences().len()).any(has_a_name_twice)
        {
            bail!(
                "two of the schedds have one name under -O or -o, and so would their queues (-q) and jobs (--job-details): leave these out, or run a round for each schedd, with its own -q and its own --state-dir"
            );
        }
        Ok(Options {
            schedds,
            totals_of_ads,
            no_queued_jobs: asked.no_queued_jobs,
            live_runtime: asked.runtime == Runtime::Live,
            job_details: asked.job_details,
        })
    }

    /// What is worth knowing though nothing is wrong.
    pub fn remark(&self) -> Option<&'static str> {
        let is_mixed = !self.job_details && self.schedds.names().nth(1).is_some();
        is_mixed.then_some(
            "several --schedd without --job-details: jobs of two schedds with the same user and Id are one to a receiver",
        )
    }

    /// Whether jobs are asked for in another way than ever.
    pub fn changes_jobs(&self) -> bool {
        self.no_queued_jobs || self.live_runtime || self.job_details
    }
}
