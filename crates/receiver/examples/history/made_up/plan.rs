//! What the three facilities are like, and what happens to them.

use std::ops::Range;

use afmetrics_receiver::documents::System;
use afmetrics_receiver::documents::time::{DAY_MS, HOUR_MS, hour};

/// A facility that does not exist.
#[derive(Debug)]
pub struct Plan {
    pub name: &'static str,
    /// What its clocks show at the end of the history: the hour of a day in full swing, for one of them.
    pub last_hour: i64,
    /// The numbers of its nodes; the first ones are login nodes.
    pub nodes: Range<usize>,
    pub login_nodes: usize,
    /// One for each of its batch systems; most jobs go to the first.
    pub pools: &'static [Pool],
    /// Of all users, those who are at home here (0 to 1).
    pub share: f64,
    /// Nothing comes from this age to that one, in milliseconds before the end.
    pub gap: (i64, i64),
}

/// What a batch system has.
#[derive(Debug)]
pub struct Pool {
    pub system: System,
    /// Jobs that run at a time.
    pub slots: usize,
    /// The first has all jobs; a job is also in the one that its length or its needs put it in.
    pub queues: &'static [&'static str],
}

pub const PLANS: [Plan; 3] = [
    Plan {
        name: "made-up-1",
        last_hour: 14,
        nodes: 1..21,
        login_nodes: 4,
        pools: &[
            Pool {
                system: System::HtCondor,
                slots: 150,
                queues: &["all", "long", "gpu"],
            },
            Pool {
                system: System::Slurm,
                slots: 40,
                queues: &["all", "batch", "gpu"],
            },
        ],
        share: 0.5,
        gap: (-1, -1),
    },
    Plan {
        name: "made-up-2",
        last_hour: 21,
        nodes: 21..33,
        login_nodes: 3,
        pools: &[Pool {
            system: System::Slurm,
            slots: 100,
            queues: &["all", "batch", "long", "gpu"],
        }],
        share: 0.32,
        gap: (24 * DAY_MS + 12 * HOUR_MS, 24 * DAY_MS),
    },
    Plan {
        name: "made-up-3",
        last_hour: 5,
        nodes: 33..41,
        login_nodes: 2,
        pools: &[Pool {
            system: System::HtCondor,
            slots: 50,
            queues: &["all"],
        }],
        share: 0.18,
        gap: (3 * DAY_MS, 0),
    },
];

/// The node that has fallen silent alone, and how long before the end.
pub const SILENT_NODE: usize = 7;
pub const SILENT_MS: i64 = 5 * HOUR_MS;

impl Plan {
    /// Whether anything comes at this age, of a history of this length: a short one has a short gap.
    pub fn is_heard(&self, age: i64, length: i64) -> bool {
        let (from, to) = self.gap;
        let from = match to {
            0 => from.min(length / 4),
            _ => from,
        };
        !(to..=from).contains(&age)
    }

    /// How far its clocks are ahead of UTC, in milliseconds, if the history ends at this time.
    pub fn zone(&self, until: i64) -> i64 {
        let ahead = self.last_hour - hour(until);
        ((ahead + 12).rem_euclid(24) - 12) * HOUR_MS
    }

    /// How many come on this (local) day, of those who could (0 to 1).
    pub fn attendance(day: i64) -> f64 {
        // 1 January 1970 was a Thursday.
        match (day + 3).rem_euclid(7) {
            5 => 0.28,
            6 => 0.22,
            4 => 0.85,
            _ => 1.0,
        }
    }
}
