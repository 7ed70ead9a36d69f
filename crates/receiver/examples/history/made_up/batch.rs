//! A batch system that does not exist: jobs wait, run, are held, and end.

use std::collections::BTreeMap;

use afmetrics_document::{Document, PublishedUser};
use afmetrics_receiver::documents::System;
use afmetrics_receiver::documents::time::HOUR_MS;
use fastrand::Rng;

use super::chance::{between, happens, long_tailed};
use super::plan::Pool;

const MINUTE_MS: f64 = 60_000.0;
/// Of the jobs in a state, in five minutes: running ones that are held, and waiting ones that their user removes.
const HELD: f64 = 0.0004;
const REMOVED: f64 = 0.0002;
/// How jobs of Slurm end, of those whose time has come; all others finish.
const ENDS: [(&str, f64); 4] = [
    ("failed", 0.04),
    ("timeout", 0.02),
    ("out_of_memory", 0.01),
    ("node_fail", 0.001),
];

pub struct Batch {
    pool: &'static Pool,
    jobs: Vec<Job>,
    /// Those that ended since they were asked for last.
    ended: Vec<Document>,
    /// The number of the last submission.
    cluster: u64,
}

struct Job {
    system: System,
    owner: PublishedUser,
    /// Of its submission; and its place in that, if there are more.
    cluster: u64,
    process: Option<usize>,
    /// By its place in the pool, besides the first, which has all.
    queue: usize,
    /// What Slurm calls that.
    partition: &'static str,
    cores: i64,
    /// How long it will run, in milliseconds.
    run: i64,
    /// How long its past runs were, in milliseconds.
    past: i64,
    state: State,
}

/// With the time at which it began or ends, in milliseconds since 1970.
#[derive(Clone, Copy)]
enum State {
    Idle,
    Running(i64),
    Held(i64),
    Ended(&'static str),
}

impl Batch {
    pub fn new(pool: &'static Pool) -> Self {
        Self {
            pool,
            jobs: Vec::new(),
            ended: Vec::new(),
            cluster: 174_000,
        }
    }

    /// Who reads what has ended, the queues, and the jobs.
    pub fn collectors(&self) -> [&'static str; 3] {
        match self.pool.system {
            System::HtCondor => ["condor_history", "condor_queue", "condor_jobs"],
            System::Slurm => ["slurm_history", "slurm_queue", "slurm_jobs"],
        }
    }

    /// A user sends so many jobs that are alike.
    pub fn submit(&mut self, rng: &mut Rng, owner: &PublishedUser, count: usize) {
        self.cluster += 1 + rng.u64(0..4);
        let cores = [1, 1, 1, 2, 4, 8][rng.usize(0..6)];
        let needs_gpu = self.pool.queues.contains(&"gpu") && happens(rng, 0.1);
        let median = long_tailed(rng, 45.0 * MINUTE_MS, 1.2);
        for process in 0..count {
            let run =
                long_tailed(rng, median, 0.5).clamp(2.0 * MINUTE_MS, 48.0 * HOUR_MS as f64) as i64;
            let queue = self.place(needs_gpu, run);
            self.jobs.push(Job {
                system: self.pool.system,
                owner: owner.clone(),
                cluster: self.cluster,
                process: (self.pool.system == System::HtCondor || count > 1).then_some(process),
                queue,
                partition: self.pool.queues[queue],
                cores,
                run,
                past: 0,
                state: State::Idle,
            });
        }
    }

    /// The queue that such a job goes to, by its place.
    fn place(&self, needs_gpu: bool, run: i64) -> usize {
        let of = |name: &str| self.pool.queues.iter().position(|queue| *queue == name);
        let own = match needs_gpu {
            true => of("gpu"),
            false if run > 6 * HOUR_MS => of("long"),
            false => None,
        };
        own.or_else(|| of("batch")).unwrap_or(0)
    }

    /// Five minutes go by, up to this time.
    pub fn pass(&mut self, rng: &mut Rng, time: i64) {
        for job in &mut self.jobs {
            job.pass(rng, time);
        }
        let ended = self
            .jobs
            .extract_if(.., |job| matches!(job.state, State::Ended(_)));
        self.ended.extend(ended.map(|job| job.document(time)));
        self.start(rng, time);
    }

    /// Waiting jobs get free places, from any of them on, so that nobody waits for all jobs of another.
    fn start(&mut self, rng: &mut Rng, time: i64) {
        let mut free = self.pool.slots.saturating_sub(self.running());
        let first = rng.usize(0..=self.jobs.len());
        let (before, after) = self.jobs.split_at_mut(first);
        for job in after.iter_mut().chain(before) {
            if free == 0 {
                return;
            }
            if matches!(job.state, State::Idle) {
                job.state = State::Running(time);
                free -= 1;
            }
        }
    }

    /// Jobs that run.
    pub fn running(&self) -> usize {
        let is_running = |job: &&Job| matches!(job.state, State::Running(_));
        self.jobs.iter().filter(is_running).count()
    }

    /// What has ended since this was asked last.
    pub fn ended(&mut self) -> Vec<Document> {
        std::mem::take(&mut self.ended)
    }

    /// What is in the queue at this time. What waits of an array of Slurm's is one document for each state.
    pub fn jobs(&self, time: i64) -> Vec<Document> {
        let mut arrays: BTreeMap<(u64, &str), Vec<&Job>> = BTreeMap::new();
        let mut documents = Vec::new();
        for job in &self.jobs {
            match (job.system, job.process, job.state) {
                (System::Slurm, Some(_), State::Idle | State::Held(_)) => {
                    let array = arrays.entry((job.cluster, job.word())).or_default();
                    array.push(job);
                }
                _ => documents.push(job.document(time)),
            }
        }
        documents.extend(arrays.values().map(|tasks| array(tasks, time)));
        documents
    }

    pub fn queues(&self) -> impl Iterator<Item = Document> {
        self.pool
            .queues
            .iter()
            .enumerate()
            .map(|(at, name)| self.queue(at, (*name).to_owned()))
    }

    fn queue(&self, at: usize, queue: String) -> Document {
        let (mut idle, mut running, mut held, mut allocated_cores) = (0, 0, 0, 0);
        for job in self.jobs.iter().filter(|job| at == 0 || job.queue == at) {
            match job.state {
                State::Running(_) => {
                    running += 1;
                    allocated_cores += job.cores;
                }
                State::Held(_) => held += 1,
                State::Idle | State::Ended(_) => idle += 1,
            }
        }
        let allocated_mem = allocated_cores * 2_048;
        match self.pool.system {
            System::HtCondor => Document::CondorQueue {
                queue,
                schedd: None,
                idle,
                running,
                held,
                allocated_cores,
                allocated_mem,
            },
            System::Slurm => Document::SlurmQueue {
                queue,
                idle,
                running,
                held,
                allocated_cores,
                allocated_mem,
            },
        }
    }
}

/// The document of tasks that wait, of which there is at least one.
fn array(tasks: &[&Job], time: i64) -> Document {
    let mut document = tasks[0].document(time);
    if let Document::SlurmJob { id, tasks: of, .. } = &mut document {
        let places = tasks.iter().filter_map(|job| job.process);
        let list: Vec<String> = places.map(|place| place.to_string()).collect();
        let mut list = list.join(",");
        if list.len() > 64 {
            list.truncate(64);
            list.push_str("...");
        }
        *id = format!("{}_[{list}]", tasks[0].cluster);
        *of = Some(tasks.len() as u64);
    }
    document
}

impl Job {
    fn pass(&mut self, rng: &mut Rng, time: i64) {
        self.state = match self.state {
            State::Running(since) if since + self.run <= time => {
                self.past += self.run;
                State::Ended(self.end(rng))
            }
            State::Running(since) if happens(rng, HELD) => {
                self.past += time - since;
                State::Held(time + (between(rng, 0.5, 30.0) * HOUR_MS as f64) as i64)
            }
            State::Held(until) if until <= time => match happens(rng, 0.6) {
                true => State::Idle,
                false => State::Ended("removed"),
            },
            State::Idle if happens(rng, REMOVED) => State::Ended("removed"),
            same => same,
        };
    }

    /// How it ends when its time has come.
    fn end(&self, rng: &mut Rng) -> &'static str {
        if self.system == System::HtCondor {
            return "finished";
        }
        let mut chance = rng.f64();
        let end = ENDS.into_iter().find(|(_, in_all)| {
            chance -= in_all;
            chance < 0.0
        });
        end.map_or("finished", |(end, _)| end)
    }

    fn word(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Running(_) => "running",
            State::Held(_) => "held",
            State::Ended(how) => how,
        }
    }

    fn document(&self, time: i64) -> Document {
        let users = self.owner.clone();
        let place = |sign: char| match self.process {
            Some(process) => format!("{}{sign}{process}", self.cluster),
            None => self.cluster.to_string(),
        };
        match self.system {
            System::HtCondor => Document::CondorJob {
                users,
                id: place('.'),
                runtime: self.past / 1000,
                state: self.word(),
                schedd: None,
                cores: None,
                memory: None,
                hold_reason_code: None,
            },
            System::Slurm => Document::SlurmJob {
                users,
                id: place('_'),
                runtime: match self.state {
                    State::Running(since) => (time - since) / 1000,
                    State::Ended(_) => self.past / 1000,
                    State::Idle | State::Held(_) => 0,
                },
                state: self.word().into(),
                partition: self.partition.to_owned(),
                account: None,
                cores: self.cores,
                tasks: None,
            },
        }
    }
}
