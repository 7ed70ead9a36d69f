//! A batch system that does not exist: jobs wait, run, are held, and end.

use afmetrics_document::{Document, PublishedUser};
use afmetrics_receiver::documents::time::HOUR_MS;
use fastrand::Rng;

use super::chance::{between, happens, long_tailed};
use super::plan::Plan;

const MINUTE_MS: f64 = 60_000.0;
/// Of the jobs in a state, in five minutes: running ones that are held, and waiting ones that their user removes.
const HELD: f64 = 0.0004;
const REMOVED: f64 = 0.0002;

pub struct Batch {
    plan: &'static Plan,
    jobs: Vec<Job>,
    /// Those that ended since they were asked for last.
    ended: Vec<Document>,
    /// The number of the last submission.
    cluster: u64,
}

struct Job {
    owner: PublishedUser,
    /// `ClusterId.ProcId`.
    id: String,
    /// By its place in the plan, besides the first, which has all.
    queue: usize,
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
    pub fn new(plan: &'static Plan) -> Self {
        Self {
            plan,
            jobs: Vec::new(),
            ended: Vec::new(),
            cluster: 174_000,
        }
    }

    /// A user sends so many jobs that are alike.
    pub fn submit(&mut self, rng: &mut Rng, owner: &PublishedUser, count: usize) {
        self.cluster += 1 + rng.u64(0..4);
        let cores = [1, 1, 1, 2, 4, 8][rng.usize(0..6)];
        let needs_gpu = self.plan.queues.contains(&"gpu") && happens(rng, 0.1);
        let median = long_tailed(rng, 45.0 * MINUTE_MS, 1.2);
        for process in 0..count {
            let run =
                long_tailed(rng, median, 0.5).clamp(2.0 * MINUTE_MS, 48.0 * HOUR_MS as f64) as i64;
            let queue = match needs_gpu {
                true => "gpu",
                false if run > 6 * HOUR_MS => "long",
                false => "all",
            };
            let place = self.plan.queues.iter().position(|name| *name == queue);
            self.jobs.push(Job {
                owner: owner.clone(),
                id: format!("{}.{process}", self.cluster),
                queue: place.unwrap_or(0),
                cores,
                run,
                past: 0,
                state: State::Idle,
            });
        }
    }

    /// Five minutes go by, up to this time.
    pub fn pass(&mut self, rng: &mut Rng, time: i64) {
        for job in &mut self.jobs {
            job.pass(rng, time);
        }
        let ended = self
            .jobs
            .extract_if(.., |job| matches!(job.state, State::Ended(_)));
        self.ended.extend(ended.map(|job| job.document()));
        self.start(rng, time);
    }

    /// Waiting jobs get free places, from any of them on, so that nobody waits for all jobs of another.
    fn start(&mut self, rng: &mut Rng, time: i64) {
        let mut free = self.plan.slots.saturating_sub(self.running());
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

    fn running(&self) -> usize {
        let is_running = |job: &&Job| matches!(job.state, State::Running(_));
        self.jobs.iter().filter(is_running).count()
    }

    /// The part of the places that is in use.
    pub fn busy(&self) -> f64 {
        self.running() as f64 / self.plan.slots as f64
    }

    /// What `condor_history` has since it was asked last.
    pub fn ended(&mut self) -> Vec<Document> {
        std::mem::take(&mut self.ended)
    }

    /// What `condor_q` has.
    pub fn jobs(&self) -> impl Iterator<Item = Document> {
        self.jobs.iter().map(Job::document)
    }

    pub fn queues(&self) -> impl Iterator<Item = Document> {
        self.plan
            .queues
            .iter()
            .enumerate()
            .map(|(at, name)| self.queue(at, name))
    }

    fn queue(&self, at: usize, name: &str) -> Document {
        let (mut idle, mut running, mut held, mut cores) = (0, 0, 0, 0);
        for job in self.jobs.iter().filter(|job| at == 0 || job.queue == at) {
            match job.state {
                State::Running(_) => {
                    running += 1;
                    cores += job.cores;
                }
                State::Held(_) => held += 1,
                State::Idle | State::Ended(_) => idle += 1,
            }
        }
        Document::CondorQueue {
            queue: name.to_owned(),
            idle,
            running,
            held,
            allocated_cores: cores,
            allocated_mem: cores * 2_048,
        }
    }
}

impl Job {
    fn pass(&mut self, rng: &mut Rng, time: i64) {
        self.state = match self.state {
            State::Running(since) if since + self.run <= time => {
                self.past += self.run;
                State::Ended("finished")
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

    fn document(&self) -> Document {
        Document::CondorJob {
            users: self.owner.clone(),
            id: self.id.clone(),
            runtime: self.past / 1000,
            state: match self.state {
                State::Idle => "idle",
                State::Running(_) => "running",
                State::Held(_) => "held",
                State::Ended(how) => how,
            },
            schedd: None,
            cores: None,
            memory: None,
            hold_reason_code: None,
        }
    }
}
