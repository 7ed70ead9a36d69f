//! Which runs of jobs have been reported, and which window of time is asked for next.
//!
//! Records come into Slurm's database after a job's end: slurmctld sends them in the background, and while slurmdbd is
//! away it keeps them, and sends them some time after it is back, with ends that are as old as the outage was long.
//! So every second is asked for again until two readings that had it are an hour apart, and what was reported in that
//! time is kept in mind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sources::keys::Keys;

/// How long before the first round a job may have ended to be news: as with the old script, five minutes between
/// two rounds, and one for being late.
const FIRST: u64 = 360;
/// How long after slurmdbd could be read a record may still come, in seconds.
const LATE: u64 = 60 * 60;
/// Of one query. After a longer pause the database is asked for a day at a time.
const AT_ONCE: u64 = 24 * 60 * 60;

/// What a round leaves for the next one. Times are in seconds since 1970.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What ended before that is no news.
    since: u64,
    /// How far the accounts have been read.
    until: u64,
    /// By when they were read, how far: of the last hour, and one before.
    readings: BTreeMap<u64, u64>,
    /// Runs that were reported and ended since then, by the minute in which they did.
    known: BTreeMap<u64, Keys>,
}

/// A round's reading of the accounts.
#[derive(Debug)]
pub struct Reading {
    now: u64,
    cursor: Cursor,
    /// What is asked for, from and to, in seconds since 1970.
    pub window: (u64, u64),
}

impl Reading {
    /// `before`: what the last round left, if there was one.
    pub fn new(before: Option<Cursor>, now: u64) -> Self {
        let mut cursor = before.unwrap_or_else(|| Cursor {
            since: now.saturating_sub(FIRST),
            until: now.saturating_sub(FIRST),
            ..Cursor::default()
        });
        for keys in cursor.known.values_mut() {
            keys.0.sort_unstable();
        }
        let to = now.min(cursor.until.saturating_add(AT_ONCE));
        // A clock that was put back has nothing to ask for until it is where it was an hour before.
        let from = cursor.from(now).min(to);
        Self {
            now,
            window: (from, to),
            cursor,
        }
    }

    /// Seconds between the end of the window and now: a later round reads on.
    pub fn is_behind(&self) -> u64 {
        self.now - self.window.1
    }

    /// Whether a run that ended then is news, from now on not any more.
    pub fn take(&mut self, ended: u64, key: u64) -> bool {
        if ended < self.cursor.since {
            return false;
        }
        let keys = &mut self.cursor.known.entry(ended / 60).or_default().0;
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
        let (from, to) = self.window;
        let mut cursor = self.cursor;
        cursor.since = cursor.since.max(from);
        cursor.until = cursor.until.max(to);
        cursor.known.retain(|minute, _| *minute >= from / 60);
        cursor.readings.retain(|read_at, _| *read_at < self.now);
        cursor.readings.insert(self.now, cursor.until);
        if let Some((last, _)) = cursor.settled() {
            cursor.readings.retain(|read_at, _| *read_at >= last);
        }
        cursor
    }
}

impl Cursor {
    /// The last reading that another followed an hour later: what it had has been asked for again.
    fn settled(&self) -> Option<(u64, u64)> {
        let (last, _) = self.readings.last_key_value()?;
        let old = ..=last.saturating_sub(LATE);
        let (read_at, until) = self.readings.range(old).next_back()?;
        Some((*read_at, *until))
    }

    /// From when on there may be news.
    fn from(&self, now: u64) -> u64 {
        let settled = self.settled().map_or(self.since, |(_, until)| until);
        let from = match now.saturating_sub(settled) <= AT_ONCE {
            true => settled,
            false => self.until.saturating_sub(LATE),
        };
        from.max(self.since)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    const START: u64 = 1_795_000_000;

    /// A round over runs that ended and came into the database at these times: the ends that were news.
    fn round(before: Option<Cursor>, now: u64, runs: &[(u64, u64)]) -> (Vec<u64>, Cursor) {
        let mut reading = Reading::new(before, now);
        let (from, to) = reading.window;
        assert!(from <= to && to <= now, "{from} {to} {now}");
        let mut news = Vec::new();
        for (key, (ended, came)) in runs.iter().enumerate() {
            if (from..=to).contains(ended) && *came <= now && reading.take(*ended, key as u64) {
                news.push(*ended);
            }
        }
        (news, reading.cursor())
    }

    #[test]
    fn the_first_round_has_six_minutes_and_no_later_one_more() {
        let runs = [START - 400, START - 350, START].map(|at| (at, at));
        let (news, cursor) = round(None, START, &runs);
        assert_eq!(news, [START - 350, START]);
        let (news, cursor) = round(Some(cursor), START + 300, &runs);
        assert_eq!(news, [0; 0]);
        assert_eq!(round(Some(cursor), START + 2 * HOUR, &runs).0, [0; 0]);
    }

    #[test]
    fn what_comes_after_an_outage_is_not_lost() {
        let outage = START + 10 * HOUR..START + 16 * HOUR;
        // It ended when slurmdbd had just gone, and came when it had been back for ten minutes.
        let runs = [(outage.start + 60, outage.end + 600)];
        let mut cursor = None;
        let mut news = Vec::new();
        for now in (START..START + 20 * HOUR).step_by(300) {
            if outage.contains(&now) {
                // sacct fails: nothing is stored.
                continue;
            }
            let (new, next) = round(cursor, now, &runs);
            news.extend(new);
            cursor = Some(next);
        }
        assert_eq!(news, [outage.start + 60]);
    }

    #[test]
    fn a_long_pause_is_read_a_day_at_a_time() {
        let (_, mut cursor) = round(None, START, &[]);
        let now = START + 10 * DAY;
        let mut reading = Reading::new(Some(cursor.clone()), now);
        assert_eq!(reading.window.1, START + DAY);
        let mut rounds = 0;
        while reading.is_behind() > 0 {
            assert!(reading.window.1 - reading.window.0 <= AT_ONCE + LATE);
            cursor = reading.cursor();
            rounds += 1;
            reading = Reading::new(Some(cursor), now + rounds);
        }
        // And the seconds that the rounds took.
        assert_eq!(rounds, 10);
    }

    #[test]
    fn a_cursor_does_not_grow() {
        let mut cursor = None;
        for now in (START..START + 2 * DAY).step_by(30) {
            let runs: Vec<_> = (now - 30..now).map(|at| (at, at)).collect();
            cursor = Some(round(cursor, now, &runs).1);
        }
        let cursor = cursor.unwrap();
        assert!(cursor.readings.len() < 125, "{}", cursor.readings.len());
        assert!(cursor.known.len() < 65, "{}", cursor.known.len());
        let text = serde_json::to_string(&cursor).unwrap();
        assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(1_795_430_560), "2026-11-23T10:42:40");
        assert_eq!(date(u64::MAX), "1970-01-01T00:00:00");
    }

    proptest! {
        /// Whatever pauses there are, each run that comes within an hour of a reading is reported once.
        #[test]
        fn each_run_is_news_once(
            pauses in prop::collection::vec(1..30 * HOUR, 1..20),
            runs in prop::collection::vec((0..20 * DAY, 0..30 * 60_u64), 0..50),
        ) {
            let runs: Vec<(u64, u64)> = runs.iter().map(|(at, late)| (START + at, START + at + late)).collect();
            let (mut now, mut cursor, mut news) = (START, None, Vec::new());
            // The pauses, and then rounds as they should be, until all has been read.
            let rounds = pauses.into_iter().chain([300; 400]);
            for pause in rounds {
                let (new, next) = round(cursor, now, &runs);
                news.extend(new);
                cursor = Some(next);
                now += pause;
            }
            let end = now - HOUR;
            let mut expected: Vec<u64> = runs.iter().map(|run| run.0).filter(|at| *at < end).collect();
            news.retain(|at| *at < end);
            news.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(news, expected);
        }

        #[test]
        fn any_cursor_and_any_clock(since: u64, until: u64, now: u64, readings: BTreeMap<u64, u64>, ends: Vec<u64>) {
            let cursor = Cursor { since, until, readings, known: BTreeMap::new() };
            let mut reading = Reading::new(Some(cursor), now);
            prop_assert!(reading.window.0 <= reading.window.1);
            for (key, ended) in ends.iter().enumerate() {
                reading.take(*ended, key as u64);
            }
            let next = reading.cursor();
            Reading::new(Some(next), now.wrapping_add(300));
        }
    }
}
