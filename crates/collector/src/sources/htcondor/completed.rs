//! Jobs that are done and still in the queue: each is reported when it is first seen, from the queue or
//! from the history, and not again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sources::keys::Keys;

/// The cursor of `condor_jobs`, which `condor_history` reads, too.
pub const CURSOR: &str = "condor_jobs";
/// How long a job that has left the queue is waited for in the history: it comes there at once, unless
/// the history cannot be read.
const WAIT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What earlier rounds have seen. Keys are hashes, as there may be a million: 8 bytes in memory, 16 in
/// the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Jobs that are done and were in the queue.
    finished: Keys,
    /// Such jobs that have left and that the history has not shown yet: by when they were first missed,
    /// in seconds since 1970.
    left: BTreeMap<u64, Keys>,
}

/// The completed jobs of a queue, as a round meets them.
#[derive(Debug, Default)]
pub struct Completed {
    /// In order.
    known: Vec<u64>,
    /// Of those, by place, the ones that are still there.
    still: Vec<bool>,
    left: HashMap<u64, u64>,
    new: HashSet<u64>,
}

impl Completed {
    pub fn new(cursor: Cursor) -> Self {
        let left = cursor.left.into_iter();
        let mut known = cursor.finished.0;
        known.sort_unstable();
        known.dedup();
        Self {
            still: vec![false; known.len()],
            known,
            left: left
                .flat_map(|(since, keys)| keys.0.into_iter().map(move |key| (key, since)))
                .collect(),
            new: HashSet::new(),
        }
    }

    /// Whether an earlier round has seen it in the queue.
    pub fn contains(&self, key: u64) -> bool {
        self.known.binary_search(&key).is_ok() || self.left.contains_key(&key)
    }

    /// Takes a job that is in the queue; whether it is there for the first time.
    pub fn take(&mut self, key: u64) -> bool {
        if let Ok(place) = self.known.binary_search(&key) {
            self.still[place] = true;
            return false;
        }
        // A list can lack jobs (one schedd of several was away): they were never gone.
        let was_missed = self.left.remove(&key).is_some();
        self.new.insert(key) && !was_missed
    }

    /// What the next round has to know. `passed`: jobs that the history has shown and will not show again.
    pub fn cursor(self, now: u64, passed: &HashSet<u64>) -> Cursor {
        let mut finished: Vec<u64> = self.new.into_iter().collect();
        let mut left: BTreeMap<u64, Keys> = BTreeMap::new();
        let gone = self.left.into_iter().map(|(key, since)| (key, Some(since)));
        let here = self.known.into_iter().zip(self.still);
        for (key, since) in gone.chain(here.map(|(key, still)| (key, (!still).then_some(now)))) {
            match since {
                None => finished.push(key),
                Some(_) if passed.contains(&key) => {}
                Some(since) if now.saturating_sub(since) > WAIT.as_secs() => {}
                Some(since) => left.entry(since).or_default().0.push(key),
            }
        }
        finished.sort_unstable();
        for keys in left.values_mut() {
            keys.0.sort_unstable();
        }
        Cursor {
            finished: Keys(finished),
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    /// A round that sees these jobs; those that are there for the first time, and the cursor.
    fn round(before: Cursor, queue: &[u64], now: u64, passed: &[u64]) -> (Vec<u64>, Cursor) {
        let mut completed = Completed::new(before);
        let new = queue.iter().copied().filter(|key| completed.take(*key));
        let new = new.collect();
        let passed = passed.iter().copied().collect();
        (new, completed.cursor(now, &passed))
    }

    fn cursor(finished: &[u64], left: &[(u64, &[u64])]) -> Cursor {
        let left = left.iter().map(|(at, keys)| (*at, Keys(keys.to_vec())));
        Cursor {
            finished: Keys(finished.to_vec()),
            left: left.collect(),
        }
    }

    #[test]
    fn a_job_is_new_once_and_waited_for_when_it_has_left() {
        let (new, first) = round(Cursor::default(), &[3, 1, 3], 10, &[]);
        assert_eq!(new, [3, 1]);
        assert_eq!(first, cursor(&[1, 3], &[]));
        let (new, second) = round(first, &[3, 7], 20, &[]);
        assert_eq!(new, [7]);
        assert_eq!(second, cursor(&[3, 7], &[(20, &[1])]));
        assert!(Completed::new(cursor(&[3], &[(20, &[1])])).contains(1));
        let (new, third) = round(second, &[], 30, &[1, 3]);
        assert!(new.is_empty());
        assert_eq!(third, cursor(&[], &[(30, &[7])]));
    }

    #[test]
    fn a_job_that_a_list_lacked_is_not_new_when_it_is_back() {
        let (new, cursor) = round(cursor(&[], &[(20, &[1])]), &[1], 30, &[]);
        assert!(new.is_empty());
        assert_eq!(cursor, self::cursor(&[1], &[]));
    }

    #[test]
    fn a_job_that_the_history_never_shows_is_forgotten_after_two_weeks() {
        for (age, is_kept) in [(14 * DAY, true), (14 * DAY + 1, false)] {
            let (_, after) = round(cursor(&[], &[(100, &[1])]), &[], 100 + age, &[]);
            assert_eq!(after == cursor(&[], &[(100, &[1])]), is_kept, "{age}");
        }
        // The clock was set back.
        let (_, after) = round(cursor(&[], &[(100, &[1])]), &[], 50, &[]);
        assert_eq!(after, cursor(&[], &[(100, &[1])]));
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = cursor(&[0, 1, u64::MAX], &[(7, &[2]), (8, &[3, 4])]);
        let value = serde_json::to_value(&cursor).unwrap();
        assert_eq!(
            value["finished"],
            "00000000000000000000000000000001ffffffffffffffff"
        );
        assert_eq!(serde_json::from_value::<Cursor>(value).unwrap(), cursor);
        for damaged in [
            "0",
            "000000000000000g",
            "+000000000000000",
            "ä00000000000000",
        ] {
            let value = serde_json::json!({"finished": damaged, "left": {}});
            assert!(
                serde_json::from_value::<Cursor>(value).is_err(),
                "{damaged}"
            );
        }
    }
}
