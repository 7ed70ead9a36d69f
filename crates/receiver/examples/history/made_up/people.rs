//! The users: who belongs where, how often each comes, through which doors, and who is there now.

use afmetrics_document::PublishedUser;
use afmetrics_receiver::documents::time::{DAY_MS, HOUR_MS, day};
use fastrand::Rng;

use super::chance::{around, between, happens, long_tailed};
use super::names;
use super::plan::{PLANS, Plan};

const USERS: usize = 500;

/// How somebody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Ssh,
    JupyterMl,
    JupyterCoffea,
    Batch,
}

/// All doors, and how many of the users have each.
const DOORS: [(Door, f64); 4] = [
    (Door::Ssh, 0.7),
    (Door::JupyterMl, 0.32),
    (Door::JupyterCoffea, 0.14),
    (Door::Batch, 0.5),
];

/// A user who does not exist.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: PublishedUser,
    /// Where, by number.
    facilities: Vec<usize>,
    doors: Vec<Door>,
    /// How likely on a working day.
    habit: f64,
    /// Jobs that are sent at a time, more or less, for each place of the facility.
    pub appetite: f64,
    /// The first and the last day.
    days: (i64, i64),
    /// A day on which they come for certain, and stay until a round has seen them. Days are counted from 1970.
    certain: i64,
}

/// Somebody is there.
#[derive(Debug, Clone)]
pub struct Session {
    pub door: Door,
    pub person: usize,
    /// The login node, by its place among them.
    pub node: usize,
    pub from: i64,
    pub to: i64,
}

/// The users of a history from one time to another.
pub fn people(rng: &mut Rng, from: i64, to: i64) -> Vec<Person> {
    let days = (day(from) + 1, (day(to) - 1).max(day(from) + 1));
    (1..=USERS).map(|n| person(rng, n, days)).collect()
}

fn person(rng: &mut Rng, n: usize, (first, last): (i64, i64)) -> Person {
    let (habit, appetite) = match rng.usize(0..100) {
        0..5 => (between(rng, 0.75, 0.95), 0.4),
        5..30 => (between(rng, 0.25, 0.6), 0.25),
        _ => (between(rng, 0.01, 0.1), 0.1),
    };
    let ago = |rng: &mut Rng, least: i64, most: i64| (last - rng.i64(least..=most)).max(first);
    let days = match rng.usize(0..100) {
        0..6 => (ago(rng, 8, 21), i64::MAX),
        6..14 => (i64::MIN, ago(rng, 8, 75)),
        _ => (i64::MIN, i64::MAX),
    };
    // Not among the last days, in which not all facilities are heard.
    let certain = days.0.max(first)..=days.1.min(last - 5).max(first);
    Person {
        name: names().user(&format!("made-up-{n:03}")),
        facilities: facilities(rng),
        doors: doors(rng),
        habit,
        appetite,
        certain: rng.i64(certain),
        days,
    }
}

/// One, for most; each has users whatever chance says.
fn facilities(rng: &mut Rng) -> Vec<usize> {
    let mut left = rng.f64();
    let home = PLANS.iter().position(|plan| {
        left -= plan.share;
        left < 0.0
    });
    let home = home.unwrap_or(0);
    match happens(rng, 0.07) {
        true => vec![home, (home + 1) % PLANS.len()],
        false => vec![home],
    }
}

fn doors(rng: &mut Rng) -> Vec<Door> {
    let mut doors: Vec<Door> = Vec::new();
    for (door, in_all) in DOORS {
        if happens(rng, in_all) {
            doors.push(door);
        }
    }
    if doors.is_empty() {
        doors.push(Door::Ssh);
    }
    doors
}

impl Person {
    pub fn is_of(&self, facility: usize) -> bool {
        self.facilities.contains(&facility)
    }

    fn comes_on(&self, rng: &mut Rng, day: i64) -> bool {
        let is_here = (self.days.0..=self.days.1).contains(&day);
        is_here && (day == self.certain || happens(rng, self.habit * Plan::attendance(day)))
    }

    /// What they do on a day of theirs: sessions, and for batch when jobs are sent. Times are local.
    pub fn sessions(&self, rng: &mut Rng, person: usize, day: i64, nodes: usize) -> Vec<Session> {
        let mut sessions = Vec::new();
        if !self.comes_on(rng, day) {
            return sessions;
        }
        for door in &self.doors {
            if !sessions.is_empty() && happens(rng, 0.35) {
                continue;
            }
            let hour = around(rng, 11.5, 3.2).clamp(0.2, 23.5);
            let from = day * DAY_MS + (hour * HOUR_MS as f64) as i64;
            let least = if day == self.certain { HOUR_MS } else { 0 };
            sessions.push(Session {
                door: *door,
                person,
                node: rng.usize(0..nodes),
                from,
                to: from + stay(rng, *door).max(least),
            });
        }
        sessions
    }
}

/// How long: some hours; a terminal that is left open, some days.
fn stay(rng: &mut Rng, door: Door) -> i64 {
    let hours = match door {
        Door::Ssh if happens(rng, 0.04) => between(rng, 20.0, 90.0),
        Door::Ssh => long_tailed(rng, 1.6, 0.9),
        _ => long_tailed(rng, 2.6, 0.7),
    };
    (hours.clamp(0.1, 90.0) * HOUR_MS as f64) as i64
}
