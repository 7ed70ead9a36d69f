//! Which runs of jobs have been reported, and which window of time is asked for next.
//!
//! Records come into Slurm's database minutes after a job's end (slurmctld sends them in the background, and keeps
//! them while slurmdbd is away). So each window begins an hour before the end of the last one, and what was
//! reported of that hour is kept in mind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sources::keys::Keys;

/// How long before the first round a job may have ended to be news: as with the old script, five minutes between
/// two rounds, and one for being late.
const FIRST: u64 = 360;
/// How late a record may come, in seconds.
const LATE: u64 = 60 * 60;
/// The longest time that one query is to cover, besides: after a long pause the database is asked piece by piece.
const AT_ONCE: u64 = 24 * 60 * 60;

/// What a round leaves for the next one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What ended before that was never news, in seconds since 1970.
    since: u64,
    /// How far the accounts have been read.
    until: u64,
    /// Reported runs, by the minute in which they ended.
    known: BTreeMap<u64, Keys>,
}

/// A round's reading of the accounts.
#[derive(Debug)]
pub struct Reading {
    since: u64,
    /// What is asked for, from and to, in seconds since 1970.
    pub window: (u64, u64),
    /// How far it will have been read.
    until: u64,
    known: BTreeMap<u64, Vec<u64>>,
}

impl Reading {
    /// `before`: what the last round left, if there was one.
    pub fn new(before: Option<Cursor>, now: u64) -> Self {
        let Some(before) = before else {
            let since = now.saturating_sub(FIRST);
            return Self {
                since,
                window: (since, now),
                until: now,
                known: BTreeMap::new(),
            };
        };
        // A clock that was put back moves nothing back but the window.
        let from = before
            .until
            .min(now)
            .saturating_sub(LATE)
            .max(before.since.min(now));
        let to = now.min(before.until.saturating_add(AT_ONCE)).max(from);
        let mut known: BTreeMap<u64, Vec<u64>> = before
            .known
            .into_iter()
            .map(|(minute, keys)| (minute, keys.0))
            .collect();
        for keys in known.values_mut() {
            keys.sort_unstable();
        }
        Self {
            since: before.since,
            window: (from, to),
            until: before.until.max(to),
            known,
        }
    }

    /// Seconds between the end of the window and now: a later round reads on.
    pub fn is_behind(&self, now: u64) -> u64 {
        now.saturating_sub(self.window.1)
    }

    /// Whether a run that ended then is news, from now on not any more.
    pub fn take(&mut self, ended: u64, key: u64) -> bool {
        if ended < self.since {
            return false;
        }
        let keys = self.known.entry(ended / 60).or_default();
        match keys.binary_search(&key) {
            Ok(_) => false,
            Err(place) => {
                keys.insert(place, key);
                true
            }
        }
    }

    /// What the next round has to know: what it will be shown again, and no more.
    pub fn cursor(self) -> Cursor {
        let oldest = self.until.saturating_sub(LATE) / 60;
        Cursor {
            since: self.since,
            until: self.until,
            known: self
                .known
                .into_iter()
                // Of a clock that was put back, more.
                .filter(|(minute, _)| *minute >= oldest.min(self.window.0 / 60))
                .map(|(minute, keys)| (minute, Keys(keys)))
                .collect(),
        }
    }
}

/// `2026-11-23T10:42:40`, as sacct takes it, in UTC.
pub fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S")
        .to_string()
}
