//! A facility that lives through its history five minutes at a time, and what its collectors send.

use afmetrics_document::{Document, PublishedUser};
use afmetrics_receiver::documents::time::{DAY_MS, HOUR_MS, day};
use anyhow::Result;
use fastrand::Rng;

use super::Wish;
use super::batch::Batch;
use super::chance::{between, happens, long_tailed};
use super::nodes::{Moment, Node, nodes};
use super::people::{Door, Person, Session};
use super::plan::{PLANS, Plan};
use super::request::Request;

/// Of the rounds: those that are delivered later, and those whose answer was lost, so that they come twice.
const LATE: f64 = 0.006;
const TWICE: f64 = 0.004;
/// Of the submissions, those that go to the second batch system, where there is one.
const TO_THE_SECOND: f64 = 0.25;
/// One user sends so many jobs at once, so long before the end.
const BURST: usize = 800;
const BURST_MS: i64 = 10 * DAY_MS + 9 * HOUR_MS;

pub struct Facility {
    number: usize,
    plan: &'static Plan,
    wish: Wish,
    rng: Rng,
    people: Vec<Person>,
    /// Those that go on or are still to come.
    sessions: Vec<Session>,
    /// The last local day that sessions were made for.
    day: i64,
    batches: Vec<Batch>,
    nodes: Vec<Node>,
    /// What was collected and is still to be delivered.
    late: Vec<Request>,
}

impl Facility {
    pub fn new(number: usize, wish: &Wish, people: &[Person], rng: Rng) -> Self {
        let plan = &PLANS[number];
        let own = people.iter().filter(|person| person.is_of(number));
        Self {
            number,
            plan,
            wish: *wish,
            rng,
            people: own.cloned().collect(),
            sessions: Vec::new(),
            day: i64::MIN,
            batches: plan.pools.iter().map(Batch::new).collect(),
            nodes: nodes(plan),
            late: Vec::new(),
        }
    }

    /// Five minutes go by, up to this time.
    pub fn pass(&mut self, time: i64) {
        let zone = self.plan.zone(self.wish.until);
        self.begin_day(day(time + zone), zone);
        let age = self.wish.until - time;
        if self.number == 0 && age == BURST_MS {
            self.submit(0, self.hungriest(), BURST);
        }
        let come = self.sessions.extract_if(.., |session| {
            session.door == Door::Batch && session.from <= time
        });
        for session in come.collect::<Vec<_>>() {
            let is_second = self.batches.len() > 1 && happens(&mut self.rng, TO_THE_SECOND);
            let pool = usize::from(is_second);
            let slots = self.plan.pools[pool].slots;
            let jobs = self.people[session.person].appetite * slots as f64;
            let count = long_tailed(&mut self.rng, jobs, 0.9).clamp(1.0, 200.0);
            self.submit(pool, session.person, count as usize);
        }
        self.sessions.retain(|session| session.to > time);
        for batch in &mut self.batches {
            batch.pass(&mut self.rng, time);
        }
    }

    fn begin_day(&mut self, day: i64, zone: i64) {
        if self.day == day {
            return;
        }
        self.day = day;
        for (at, person) in self.people.iter().enumerate() {
            let sessions = person.sessions(&mut self.rng, at, day, self.plan.login_nodes);
            self.sessions
                .extend(sessions.into_iter().map(|session| Session {
                    from: session.from - zone,
                    to: session.to - zone,
                    ..session
                }));
        }
    }

    fn submit(&mut self, pool: usize, person: usize, count: usize) {
        let owner = self.people[person].name.clone();
        self.batches[pool].submit(&mut self.rng, &owner, count);
    }

    /// Who sends most jobs.
    fn hungriest(&self) -> usize {
        let appetite = |at: &usize| self.people[*at].appetite;
        let all = 0..self.people.len();
        all.max_by(|one, other| appetite(one).total_cmp(&appetite(other)))
            .unwrap_or_default()
    }

    /// What arrives of a round at this time: what it collects, unless that is delivered later, and what was late.
    ///
    /// # Errors
    /// A document that cannot be written.
    pub fn round(&mut self, time: i64) -> Result<Vec<Request>> {
        let age = self.wish.until - time;
        if !self.plan.is_heard(age, self.wish.days * DAY_MS) {
            // Nobody reads the list of what has ended meanwhile.
            self.batches
                .iter_mut()
                .for_each(|batch| drop(batch.ended()));
            return Ok(Vec::new());
        }
        let mut arrive: Vec<Request> = self.late.extract_if(.., |late| late.now <= time).collect();
        for request in &mut arrive {
            request.now = time;
        }
        let later = match happens(&mut self.rng, LATE) {
            true => (between(&mut self.rng, 1.0, 5.0) * HOUR_MS as f64) as i64,
            false => 0,
        };
        let request = self.collect(time, time + later)?;
        match later {
            0 if happens(&mut self.rng, TWICE) => arrive.extend([request.clone(), request]),
            0 => arrive.push(request),
            _ => self.late.push(request),
        }
        Ok(arrive)
    }

    fn collect(&mut self, time: i64, now: i64) -> Result<Request> {
        let mut request = Request::new(&mut self.rng, self.plan.name, time, now);
        let mut besides = Vec::new();
        for (door, name) in [
            (Door::JupyterMl, "jupyter-ml"),
            (Door::JupyterCoffea, "jupyter-coffea"),
        ] {
            request.push(&notebooks(name, self.present(time, door, None)))?;
        }
        besides.push(("jupyter", 2));
        for batch in &mut self.batches {
            let [history, queues, jobs] = batch.collectors();
            let ended = batch.ended();
            besides.push((history, ended.len()));
            besides.push((queues, batch.queues().count()));
            let before = request.documents as usize;
            for job in batch.jobs(time) {
                request.push(&job)?;
            }
            besides.push((jobs, request.documents as usize - before));
            for document in ended.into_iter().chain(batch.queues()) {
                request.push(&document)?;
            }
        }
        self.collect_nodes(time, &besides, &mut request)?;
        Ok(request)
    }

    fn collect_nodes(
        &mut self,
        time: i64,
        besides: &[(&'static str, usize)],
        request: &mut Request,
    ) -> Result<()> {
        let age = self.wish.until - time;
        for (at, node) in self.nodes.iter().enumerate() {
            if node.is_silent(age) {
                continue;
            }
            let users = self.present(time, Door::Ssh, Some(at));
            let now = Moment {
                facility: self.number,
                age,
                busy: self.busy(),
                users: &users,
                // One node asks for all that is no node's own.
                besides: if at == 0 { besides } else { &[] },
            };
            node.say(&mut self.rng, &now, request)?;
        }
        Ok(())
    }

    /// The part of the places for jobs that is in use.
    fn busy(&self) -> f64 {
        let running: usize = self.batches.iter().map(Batch::running).sum();
        let slots: usize = self.plan.pools.iter().map(|pool| pool.slots).sum();
        running as f64 / slots as f64
    }

    /// Who is there, each once.
    fn present(&self, time: i64, door: Door, node: Option<usize>) -> Vec<PublishedUser> {
        let is_there = |session: &&Session| {
            session.door == door
                && session.from <= time
                && node.is_none_or(|node| node == session.node)
        };
        let mut users: Vec<PublishedUser> = self
            .sessions
            .iter()
            .filter(is_there)
            .map(|session| self.people[session.person].name.clone())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

fn notebooks(name: &str, users: Vec<PublishedUser>) -> Document {
    let jupyter_user_count = users.len() as u64;
    match name {
        "jupyter-ml" => Document::JupyterMl {
            jupyter_user_count,
            users,
        },
        _ => Document::JupyterCoffea {
            jupyter_user_count,
            users,
        },
    }
}
