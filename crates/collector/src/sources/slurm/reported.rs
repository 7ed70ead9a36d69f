//! Which runs of jobs have been reported, and which window of time is asked for next.
//!
//! Records come into Slurm's database after a job's end: slurmctld sends them in the background, and while slurmdbd is
//! away it keeps them, and sends them some time after it is back, with ends that are as old as the outage was long.
//! So every second is asked for again until two readings that had it are an hour apart, and what was reported in that
//! time is kept in mind. Such a whole reading is made every ten minutes; rounds between them ask for what is new.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::sources::keys::Keys;

/// How long before the first round a job may have ended to be news: as with the old script, five minutes between
/// two rounds, and one for being late.
const FIRST: u64 = 360;
/// How long after slurmdbd could be read a record may still come, in seconds.
const LATE: u64 = 60 * 60;
/// Between two whole readings.
const WHOLE_EVERY: u64 = 10 * 60;
/// Other rounds ask for so much that was asked for before: ends are in whole seconds, and clocks differ.
const AGAIN: u64 = 120;
/// Of one query, besides what is asked for again. After a longer pause the accounts are read so much at a time.
const AT_ONCE: u64 = 6 * 60 * 60;
/// After such a pause slurmctld is given so long to send what it kept, before anything is read for good.
const BACKLOG: u64 = 10 * 60;

/// What a round leaves for the next one. Times are in seconds since 1970.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What ended before that is no news.
    since: u64,
    /// How far the accounts have been read.
    until: u64,
    /// By when they were read as a whole, how far: of the last hour, and one before.
    readings: BTreeMap<u64, u64>,
    /// After a long pause, when they could be read again.
    back: Option<u64>,
    /// Runs that were reported and ended since then, by the minute in which they did.
    known: BTreeMap<u64, Keys>,
}

/// A round's reading of the accounts.
#[derive(Debug)]
pub struct Reading {
    now: u64,
    cursor: Cursor,
    known: HashSet<u64>,
    /// It has all that may still come.
    is_whole: bool,
    /// What is asked for, from and to, in seconds since 1970.
    pub window: (u64, u64),
}

impl Reading {
    /// `before`: what the last round left, if there was one.
    pub fn new(before: Option<Cursor>, now: u64) -> Self {
        let mut cursor = match before {
            Some(before) => before.by(now),
            None => Cursor {
                since: now.saturating_sub(FIRST),
                until: now.saturating_sub(FIRST),
                ..Cursor::default()
            },
        };
        let is_behind = now - cursor.until > AT_ONCE;
        let back = *cursor.back.get_or_insert(now);
        let to = match is_behind {
            // Nothing new: what slurmctld kept is on its way.
            true if now - back < BACKLOG => cursor.until,
            true => cursor.until + AT_ONCE,
            false => now,
        };
        if !is_behind {
            cursor.back = None;
        }
        let last = cursor
            .readings
            .last_key_value()
            .map(|(read_at, _)| *read_at);
        let is_whole = is_behind || last.is_none_or(|last| now - last >= WHOLE_EVERY);
        let from = match is_whole {
            true => cursor.from(now),
            false => cursor.until.saturating_sub(AGAIN).max(cursor.since),
        };
        let known = cursor.known.values().flat_map(|keys| &keys.0);
        Self {
            now,
            window: (from.min(to), to),
            known: known.copied().collect(),
            is_whole,
            cursor,
        }
    }

    /// Seconds between the end of the window and now: a later round reads on.
    pub fn is_behind(&self) -> u64 {
        self.now - self.window.1
    }

    /// Whether a run that ended then is news, from now on not any more.
    pub fn take(&mut self, ended: u64, key: u64) -> bool {
        let is_news = ended >= self.cursor.since && self.known.insert(key);
        if is_news {
            let keys = self.cursor.known.entry(ended / 60).or_default();
            keys.0.push(key);
        }
        is_news
    }

    /// What the next round has to know: what it will be shown again, and no more.
    pub fn cursor(self) -> Cursor {
        let (from, to) = self.window;
        let mut cursor = self.cursor;
        cursor.until = cursor.until.max(to);
        if self.is_whole {
            cursor.since = cursor.since.max(from);
            cursor.known.retain(|minute, _| *minute >= from / 60);
            cursor.readings.insert(self.now, cursor.until);
            if let Some((last, _)) = cursor.settled() {
                cursor.readings.retain(|read_at, _| *read_at >= last);
            }
        }
        cursor
    }
}

impl Cursor {
    /// As this clock has it: another one may have been ahead.
    fn by(mut self, now: u64) -> Self {
        self.since = self.since.min(now);
        self.until = self.until.clamp(self.since, now);
        self.readings.retain(|read_at, _| *read_at <= now);
        for until in self.readings.values_mut() {
            *until = (*until).min(now);
        }
        self.back = self.back.filter(|back| *back <= now);
        self
    }

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
        let from = match now.saturating_sub(settled) <= AT_ONCE + LATE {
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

    /// Days of it, and what slurmctld kept comes only when slurmdbd has been back for a while.
    #[test]
    fn what_comes_after_a_long_outage_is_not_lost() {
        for hours in [5, 7, 23, 25, 60] {
            let outage = START + 10 * HOUR..START + (10 + hours) * HOUR;
            let runs: Vec<_> = (outage.start..outage.end)
                .step_by(60)
                .map(|ended| (ended, outage.end + 300))
                .collect();
            let mut cursor = None;
            let mut news = Vec::new();
            for now in (START..outage.end + 10 * HOUR).step_by(300) {
                if !outage.contains(&now) {
                    let (new, next) = round(cursor, now, &runs);
                    news.extend(new);
                    cursor = Some(next);
                }
            }
            assert_eq!(news.len(), runs.len(), "{hours} h");
        }
    }

    /// For one round, or three; once a second and once a minute something ends.
    #[test]
    fn a_clock_that_was_ahead_loses_nothing() {
        for ahead in [600, 2 * HOUR, 5 * HOUR, 365 * DAY] {
            let runs: Vec<_> = (START - HOUR..START + 4 * HOUR)
                .step_by(60)
                .map(|at| (at, at + 5))
                .collect();
            let mut cursor = None;
            let mut news = Vec::new();
            for now in (START..START + 4 * HOUR).step_by(300) {
                let shown = match now - START {
                    HOUR => now + ahead,
                    _ => now,
                };
                let there = runs.iter().take_while(|run| run.1 <= now);
                let there: Vec<_> = there.copied().collect();
                let (new, next) = round(cursor, shown, &there);
                news.extend(new);
                cursor = Some(next);
            }
            let expected = runs
                .iter()
                .filter(|run| (START - FIRST..START + 4 * HOUR - 300 - 5).contains(&run.0));
            news.sort_unstable();
            let once = news.len();
            news.dedup();
            assert_eq!(news.len(), once);
            assert_eq!(once, expected.count(), "{ahead} s ahead");
        }
    }

    #[test]
    fn a_long_pause_is_read_piece_by_piece() {
        let (_, mut cursor) = round(None, START, &[]);
        let now = START + 10 * DAY;
        let mut reading = Reading::new(Some(cursor.clone()), now);
        assert_eq!(reading.window.1, START, "it may still come");
        let mut rounds = 0;
        while reading.is_behind() > 0 {
            assert!(reading.window.1 - reading.window.0 <= AT_ONCE + LATE);
            cursor = reading.cursor();
            rounds += 1;
            reading = Reading::new(Some(cursor), now + 300 * rounds);
        }
        // Two rounds of waiting, and what the rounds took.
        assert_eq!(rounds, 2 + 40);
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
            let rounds = pauses.into_iter().chain([300; 600]);
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
        fn any_cursor_and_any_clock(since: u64, until: u64, now: u64, readings: BTreeMap<u64, u64>, back: Option<u64>, ends: Vec<u64>) {
            let cursor = Cursor { since, until, readings, back, known: BTreeMap::new() };
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
