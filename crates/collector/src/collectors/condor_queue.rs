//! Queue summaries: one document for each `-q NAME:CONSTRAINT`.
//!
//! `condor_q -all -totals -json` counts in the schedd, which costs it next to nothing:
//!
//! ```text
//! [
//! {
//!   "AllusersIdle": 11,
//!   "Held": 2,
//!   "Idle": 11,
//!   "Running": 15,
//! ...
//! ```
//!
//! What surprised us: an empty queue is still one object, all 0. `Allusers*` ignore the constraint,
//! the plain counters are for it. `-run` lists suspended jobs (JobStatus 7), too, which Running does
//! not count. Jobs of the local universe run and have neither CpusProvisioned nor MemoryProvisioned;
//! both stay in the ad when the run is over. `-run` looks at each job of the queue: with
//! `--queue-totals schedd-ad` no schedd is asked (`sources/htcondor/pool.rs`).

use afmetrics_document::Document;
use async_trait::async_trait;
use serde::Deserialize;
use tracing::debug;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::options::Options;
use crate::sources::htcondor::pool::Pool;
use crate::sources::htcondor::queues::Queue;
use crate::sources::htcondor::schedd::Schedd;
use crate::sources::htcondor::{Number, query};

pub const SPEC: Spec = Spec {
    name: "condor_queue",
    summary: "HTCondor jobs counted by queue, one for each -q (condor_q -totals, condor_q -run; or condor_status)",
    kinds: &["condorqueue"],
    flag: "-b -q NAME:CONSTRAINT",
    table: "batch",
    debug_file: "condor.json",
    after: None,
    build: |config| {
        (config.batch && !config.queues.is_empty()).then(|| {
            Box::new(CondorQueue {
                queues: config.queues.clone(),
                options: config.htcondor.clone(),
            }) as _
        })
    },
};

struct CondorQueue {
    queues: Vec<Queue>,
    options: Options,
}

#[async_trait(?Send)]
impl Collector for CondorQueue {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        // One after the other: ten queues must not be twenty queries at once to the schedd.
        if self.options.totals_of_ads {
            return self.of_ads(cx, out).await;
        }
        let read = async |schedd: &Schedd, queue: &Queue, out: &mut Documents| {
            summarize(queue, schedd, cx, out)
                .await
                .map_err(|why| of(queue, why))
        };
        let schedds = &self.options.schedds;
        schedds.each_of(&self.queues, cx, out, read).await
    }
}

impl CondorQueue {
    /// None of them has a constraint.
    async fn of_ads(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let schedds = &self.options.schedds;
        let pool = Pool::read(schedds, cx).await?;
        let read = async |schedd: &Schedd, queue: &Queue, out: &mut Documents| {
            let name = schedd.name().unwrap_or_default();
            let counted = pool
                .counted(name, cx.unix_seconds())
                .map_err(|why| of(queue, why))?;
            out.push(&Document::CondorQueue {
                queue: queue.name.clone(),
                schedd: schedd.of_a_queue(cx),
                idle: counted.idle,
                running: counted.running,
                held: counted.held,
                allocated_cores: counted.cores,
                allocated_mem: counted.mem,
            })
        };
        schedds.each_of(&self.queues, cx, out, read).await
    }
}

fn of(queue: &Queue, why: CollectError) -> CollectError {
    why.of(&format!("queue {}", queue.name))
}

async fn summarize(
    queue: &Queue,
    schedd: &Schedd,
    cx: &Context,
    out: &mut Documents,
) -> Result<(), CollectError> {
    let count = totals(queue, schedd, cx).await?;
    let allocated = allocated(queue, schedd, cx).await?;
    out.push(&Document::CondorQueue {
        queue: queue.name.clone(),
        schedd: schedd.of_a_queue(cx),
        idle: count.idle,
        running: count.running,
        held: count.held,
        allocated_cores: allocated.cores,
        allocated_mem: allocated.mem,
    })
}

fn args<'a>(schedd: &'a Schedd, asked: &[&'a str], queue: &'a Queue) -> Vec<&'a str> {
    let mut args = [&schedd.args()[..], asked].concat();
    if let Some(constraint) = &queue.constraint {
        args.extend(["-constraint", constraint]);
    }
    args
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Totals {
    idle: Number,
    running: Number,
    held: Number,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    idle: i64,
    running: i64,
    held: i64,
}

impl Totals {
    fn count(self) -> Result<Count, &'static str> {
        match (self.idle.0, self.running.0, self.held.0) {
            (Some(idle), Some(running), Some(held)) => Ok(Count {
                idle,
                running,
                held,
            }),
            _ => Err("totals without Idle, Running and Held"),
        }
    }
}

async fn totals(queue: &Queue, schedd: &Schedd, cx: &Context) -> Result<Count, CollectError> {
    let args = args(schedd, &["-all", "-totals", "-json"], queue);
    let ads = query(cx, "condor_q", &args, cx.limits.silence).await?;
    let mut ads = ads.labelled(schedd.label(cx));
    let mut sum: Option<Count> = None;
    // One object for each schedd that was asked.
    while let Some(count) = ads.next(Totals::count).await? {
        let sum = sum.get_or_insert_default();
        sum.idle = sum.idle.saturating_add(count.idle);
        sum.running = sum.running.saturating_add(count.running);
        sum.held = sum.held.saturating_add(count.held);
    }
    sum.ok_or_else(|| {
        CollectError::Malformed(
            "condor_q -totals printed no totals, which even an empty queue has".to_owned(),
        )
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Running {
    cpus_provisioned: Number,
    memory_provisioned: Number,
    job_status: Number,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Allocated {
    cores: i64,
    mem: i64,
    /// Running jobs that have not both values.
    incomplete: u64,
}

impl Allocated {
    fn add(&mut self, job: &Running) {
        const SUSPENDED: Number = Number(Some(7));
        if job.job_status == SUSPENDED {
            return;
        }
        let (cores, mem) = (job.cpus_provisioned.0, job.memory_provisioned.0);
        self.cores = self.cores.saturating_add(cores.unwrap_or(0));
        self.mem = self.mem.saturating_add(mem.unwrap_or(0));
        self.incomplete += u64::from(cores.is_none() || mem.is_none());
    }
}

async fn allocated(
    queue: &Queue,
    schedd: &Schedd,
    cx: &Context,
) -> Result<Allocated, CollectError> {
    const ATTRIBUTES: &str = "CpusProvisioned,MemoryProvisioned,JobStatus";
    let asked = ["-all", "-run", "-json", "-attributes", ATTRIBUTES];
    let args = args(schedd, &asked, queue);
    let ads = query(cx, "condor_q", &args, cx.limits.silence).await?;
    let mut ads = ads.labelled(schedd.label(cx));
    let mut sum = Allocated::default();
    while let Some(job) = ads.next(Ok::<Running, _>).await? {
        sum.add(&job);
    }
    if sum.incomplete > 0 {
        debug!(
            "{}queue {}: {} running jobs lack CpusProvisioned or MemoryProvisioned; what is missing counts 0",
            schedd.label(cx),
            queue.name,
            sum.incomplete
        );
    }
    Ok(sum)
}
