//! Which records of a history are new, though it is rotated, rewritten and read while it grows.
//!
//! The history lists records newest first, in the order in which jobs left the queue. An earlier round
//! left the keys of the newest records that it had read: what lies in front of all of them is new. It is
//! read on until all of them have been met, as two things put new records behind a known one:
//!
//! - a schedd that crashed writes a job that it had recorded once more, in front;
//! - a file that was rotated away between the tool's look at the folder and its opening of the files is
//!   not read in that round, and lies in the middle of the next one's.
//!
//! Where a list ends before all known records were met, there are two reasons. The oldest files were
//! removed: then none that is older than the missing ones is there, either, and all that nobody knows is
//! new. Or a record can no longer be read: then the oldest known ones are there, and what lies behind them
//! is as old as they are.
//!
//! A list without any record says nothing: a folder that is away for a moment looks like that, too. What
//! earlier rounds read then stays as it is.
//!
//! Two nodes can share a state folder, so a cursor is kept for each schedd. Which one a list is of is
//! known by its newest record. A schedd that is not known yet may be one under a new name: its list then
//! still has the old name's records.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::jobs::WINDOW;
use crate::sources::keys::{Keys, hash};

/// The cursor of `condor_history`.
pub const CURSOR: &str = "condor_history";
/// How many of the newest records a cursor names. As many as a schedd may record once more after a crash,
/// and more than may stand in front of a file that was missed.
pub const OVERLAP: usize = 500;
/// So many keys at least are remembered to notice a record that stands in the list twice: not all, or
/// memory would grow with the list.
const REMEMBERED: usize = 1 << 16;

/// Of so many schedds at most a cursor knows how far they were read.
const SCHEDDS: usize = 16;

/// How far the histories were read, by the hash of the schedd's name, 16 hex digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    schedds: BTreeMap<String, Read>,
}

/// How far a history was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Read {
    /// When the round was that read it, in seconds since 1970.
    read_at: u64,
    /// The keys of the newest records, newest first.
    records: Keys,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    New,
    /// An earlier round read it, or it is too old for the first round.
    Known,
    /// The same job stands further in front.
    Twice,
}

impl Cursor {
    /// Whether the history of the schedd of this name was read.
    pub fn knows(&self, name: &str) -> bool {
        self.schedds.contains_key(&key_of(name))
    }

    /// How far that schedd was read, and no other.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        let entry = self.schedds.get_key_value(&key_of(name));
        let schedds = entry.map(|(name, read)| (name.clone(), read.clone()));
        Self {
            schedds: schedds.into_iter().collect(),
        }
    }

    /// Goes on where that schedd was read now.
    pub fn put(&mut self, name: &str, now: Self) {
        let newest = now.schedds.into_values().max_by_key(|read| read.read_at);
        self.schedds.extend(newest.map(|read| (key_of(name), read)));
    }
}

/// One reading of the history.
#[derive(Debug)]
pub struct Reading<'a> {
    before: &'a Cursor,
    goes_on: bool,
    /// When the round began, in seconds since 1970.
    now: u64,
    /// The schedd of the newest record; `None`: no record was met.
    schedd: Option<String>,
    /// The schedd in the cursor from where it goes on.
    from: Option<&'a str>,
    /// `None`: nobody has read a record before.
    known: Option<Known>,
    /// From when on a record is news where nobody has read one before, in seconds since 1970.
    since: u64,
    /// Records in a row that are too old for that.
    old: usize,
    recent: Recent,
    newest: Vec<u64>,
}

/// What an earlier round has read.
#[derive(Debug)]
struct Known {
    /// The place of each key in the cursor.
    places: HashMap<u64, usize>,
    /// By place, whether it was met.
    met: Vec<bool>,
    /// How many were not.
    missing: usize,
    /// The place of the one met last.
    last: Option<usize>,
    /// Whether a record of the same schedd, and whether one of another was met.
    same: bool,
    other: bool,
}

/// The schedd that a key names, short; the key is `NAME#CLUSTER.PROC#TIME`.
fn schedd(key: &str) -> String {
    key_of(key.split_once('#').map_or("", |(name, _)| name))
}

/// HTCondor does not tell large letters from small ones in such names.
fn key_of(schedd: &str) -> String {
    format!("{:016x}", hash(&schedd.to_ascii_lowercase()))
}

impl Known {
    fn new(records: &[u64]) -> Self {
        let places: HashMap<_, _> = records.iter().copied().zip(0..).collect();
        Self {
            met: vec![false; records.len()],
            // A key that is there twice counts once.
            missing: places.len(),
            places,
            last: None,
            same: false,
            other: false,
        }
    }
}

impl<'a> Reading<'a> {
    /// Goes on where the cursor says, or begins.
    pub fn new(before: &'a Cursor, now: u64) -> Self {
        Self {
            before,
            goes_on: true,
            now,
            schedd: None,
            from: None,
            known: None,
            since: now.saturating_sub(WINDOW.as_secs()),
            old: 0,
            recent: Recent::default(),
            newest: Vec::new(),
        }
    }

    /// Begins, though others have been read.
    pub fn anew(before: &'a Cursor, now: u64) -> Self {
        Self {
            goes_on: false,
            ..Self::new(before, now)
        }
    }

    /// With the first record it is known where to go on.
    fn begin(&mut self, schedd: &str) {
        self.schedd = Some(schedd.to_owned());
        if !self.goes_on {
            return;
        }
        let schedds = &self.before.schedds;
        let newest = || schedds.iter().max_by_key(|(_, read)| read.read_at);
        let Some((from, read)) = schedds.get_key_value(schedd).or_else(newest) else {
            return;
        };
        self.from = Some(from);
        if read.records.0.is_empty() {
            // There was nothing then, or it could not be seen. The clock may have been set back.
            let since = read.read_at.saturating_sub(WINDOW.as_secs());
            self.since = self.since.min(since);
        } else {
            self.known = Some(Known::new(&read.records.0));
        }
    }

    /// Takes the next record. `ended`: when the job did, in seconds since 1970; where nobody has read
    /// before, one of an unknown time is no news: a history is long.
    pub fn take(&mut self, key: &str, ended: Option<u64>) -> Record {
        let schedd = schedd(key);
        if self.schedd.is_none() {
            self.begin(&schedd);
        }
        let key = hash(key);
        if let Some(known) = &mut self.known {
            match self.from == Some(&schedd) {
                true => known.same = true,
                false => known.other = true,
            }
            if let Some(&place) = known.places.get(&key) {
                known.last = Some(place);
                if !known.met[place] {
                    known.met[place] = true;
                    known.missing -= 1;
                    self.keep(key);
                }
                return Record::Known;
            }
        }
        if !self.recent.insert(key) {
            return Record::Twice;
        }
        self.keep(key);
        if self.known.is_some() || ended.is_some_and(|at| at >= self.since) {
            self.old = 0;
            return Record::New;
        }
        self.old += 1;
        Record::Known
    }

    fn keep(&mut self, key: u64) {
        if self.newest.len() < OVERLAP {
            self.newest.push(key);
        }
    }

    /// Whether nothing new can follow. An empty history that was read says nothing about where it ends.
    pub fn is_done(&self) -> bool {
        match &self.known {
            Some(known) => known.missing == 0 && !known.met.is_empty(),
            None => self.old >= OVERLAP,
        }
    }

    /// At the end of the list: whether the newest known record was not met, so that a file was missed or
    /// is gone.
    pub fn misses_the_newest(&self) -> bool {
        match &self.known {
            Some(known) => known.met.first() == Some(&false),
            None => self.is_empty_for_once(),
        }
    }

    /// At the end of the list: whether there was no record, though there were some before.
    fn is_empty_for_once(&self) -> bool {
        let mut before = self.before.schedds.values();
        self.schedd.is_none() && before.any(|read| !read.records.0.is_empty())
    }

    /// At the end of the list: whether no known record was met, though there were some.
    pub fn misses_all(&self) -> bool {
        self.misses_the_newest() && self.known.as_ref().is_none_or(|known| known.last.is_none())
    }

    /// At the end of the list: whether it is that of another schedd than the cursor's, as where two share a
    /// state folder.
    pub fn is_of_another_schedd(&self) -> bool {
        self.misses_all()
            && self
                .known
                .as_ref()
                .is_some_and(|known| known.other && !known.same)
    }

    /// At the end of the list: whether the new records behind the last known one are none.
    pub fn ends_in_old_ones(&self) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.missing > 0
                && known
                    .last
                    .is_some_and(|last| known.met[last..].iter().all(|met| *met))
        })
    }

    /// The newest records that were met.
    pub fn newest(&self) -> &[u64] {
        &self.newest
    }

    /// Where the next round is to go on; `None`: where this one did.
    pub fn cursor(self) -> Option<Cursor> {
        let schedd = match self.schedd {
            Some(schedd) => schedd,
            None if self.before.schedds.is_empty() => schedd(""),
            None => return None,
        };
        let mut schedds = self.before.schedds.clone();
        if let Some(from) = self.from {
            // It may have another name now.
            schedds.remove(from);
        }
        schedds.remove(&schedd);
        while schedds.len() >= SCHEDDS {
            let oldest = schedds.iter().min_by_key(|(_, read)| read.read_at);
            let Some(oldest) = oldest.map(|(schedd, _)| schedd.clone()) else {
                break;
            };
            schedds.remove(&oldest);
        }
        let read = Read {
            read_at: self.now,
            records: Keys(self.newest),
        };
        schedds.insert(schedd, read);
        Some(Cursor { schedds })
    }
}

/// The last keys that were inserted, by their hashes: all of the last [`REMEMBERED`], at most twice as many.
#[derive(Debug, Default)]
struct Recent {
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl Recent {
    /// Whether it was not there.
    fn insert(&mut self, key: u64) -> bool {
        if self.before.contains(&key) || !self.now.insert(key) {
            return false;
        }
        if self.now.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Reads a list, newest first; the keys that are new, how many were read, and the reading.
    fn read<'a>(list: &[String], cursor: &'a Cursor) -> (Vec<String>, usize, Reading<'a>) {
        let mut reading = Reading::new(cursor, NOW);
        let mut new = Vec::new();
        let mut behind_last_known = 0;
        for (key, at) in list.iter().zip(1..) {
            match reading.take(key, Some(NOW)) {
                Record::New => new.push(key.clone()),
                Record::Known => behind_last_known = new.len(),
                Record::Twice => {}
            }
            if reading.is_done() {
                return (new, at, reading);
            }
        }
        if reading.ends_in_old_ones() {
            new.truncate(behind_last_known);
        }
        (new, list.len(), reading)
    }

    fn keys(range: impl Iterator<Item = u32>) -> Vec<String> {
        range.map(|job| format!("schedd#{job}.0#1")).collect()
    }

    fn hashes(keys: &[String]) -> Vec<u64> {
        keys.iter().map(|key| hash(key)).collect()
    }

    /// What was read of the schedd that these keys name.
    fn cursor(records: Vec<String>) -> Cursor {
        let name = schedd(records.first().map_or("", String::as_str));
        let read = Read {
            read_at: NOW - 1000,
            records: Keys(hashes(&records)),
        };
        Cursor {
            schedds: BTreeMap::from([(name, read)]),
        }
    }

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn reading_ends_at_the_last_known_record() {
        let before = cursor(keys((0..500).rev()));
        let list = keys((0..503).rev());
        let mut list_and_more = list.clone();
        list_and_more.extend(keys(10_000..20_000));
        let (new, read, reading) = read(&list_and_more, &before);
        assert_eq!(new, keys((500..503).rev()));
        assert_eq!(read, OVERLAP + 3);
        assert_eq!(reading.newest(), hashes(&list[..OVERLAP]));
    }

    #[test]
    fn the_first_reading_ends_behind_500_old_records_in_a_row() {
        let before = Cursor::default();
        let mut reading = Reading::new(&before, NOW);
        let ended = |job| NOW - if job == 0 || job == 400 { 360 } else { 361 };
        let list = keys(0..2000);
        let mut found = Vec::new();
        let mut last = 0;
        for (job, key) in (0..).zip(&list) {
            if reading.take(key, Some(ended(job))) == Record::New {
                found.push(job);
            }
            last = job;
            if reading.is_done() {
                break;
            }
        }
        assert_eq!(found, [0, 400]);
        assert_eq!(last, 900);
        assert_eq!(reading.newest(), hashes(&list[..OVERLAP]));
    }

    #[test]
    fn after_an_empty_history_is_new_what_ended_since() {
        let nothing = Cursor::default();
        let before = Reading::new(&nothing, NOW - 1000).cursor().unwrap();
        let mut reading = Reading::new(&before, NOW);
        for (key, ended, record) in [
            ("a#3.0#1", Some(NOW), Record::New),
            ("a#2.0#1", Some(NOW - 1360), Record::New),
            ("a#1.0#1", Some(NOW - 1361), Record::Known),
            ("a#0.0#1", None, Record::Known),
        ] {
            assert_eq!(reading.take(key, ended), record, "{key}");
        }
        assert!(!reading.misses_the_newest());
        assert!(!reading.misses_all());
        let names: Vec<_> = reading.cursor().unwrap().schedds.into_keys().collect();
        assert_eq!(names, [schedd("a#")]);
    }

    #[test]
    fn a_list_that_is_empty_for_once_changes_nothing() {
        for (before, is_known) in [(cursor(keys(0..3)), true), (cursor(Vec::new()), false)] {
            let reading = Reading::new(&before, NOW);
            assert_eq!(reading.misses_the_newest(), is_known);
            assert_eq!(reading.misses_all(), is_known);
            assert!(!reading.is_of_another_schedd());
            assert_eq!(reading.cursor(), None);
        }
    }

    /// Of one schedd, these jobs.
    fn jobs_of(schedd: &str, jobs: impl Iterator<Item = u32>) -> Vec<String> {
        jobs.map(|job| format!("{schedd}#{job}.0#1")).collect()
    }

    #[test]
    fn each_schedd_has_its_own_cursor_and_the_oldest_ones_are_forgotten() {
        let mut before = Cursor::default();
        for number in 0..SCHEDDS as u64 + 4 {
            let mut reading = Reading::anew(&before, NOW + number);
            for key in jobs_of(&format!("s{number}"), (0..3).rev()) {
                reading.take(&key, Some(NOW));
            }
            before = reading.cursor().unwrap();
        }
        assert_eq!(before.schedds.len(), SCHEDDS);
        for name in ["s4", "s19", "s5"] {
            let list = jobs_of(name, (0..5).rev());
            let (new, _, reading) = read(&list, &before);
            assert_eq!(new, list[..2], "{name}");
            assert!(!reading.misses_the_newest());
            assert_eq!(reading.cursor().unwrap().schedds.len(), SCHEDDS);
        }
        let list = jobs_of("s0", (0..5).rev());
        assert!(read(&list, &before).2.is_of_another_schedd());
    }

    #[test]
    fn a_schedd_that_is_renamed_goes_on_in_both_directions() {
        let mut before = cursor(keys((0..3).rev()));
        let mut list = keys((0..3).rev());
        for (name, jobs) in [("other", 3..5), ("schedd", 5..7)] {
            let new_ones = jobs_of(name, jobs.rev());
            list = [new_ones.clone(), list].concat();
            let (new, _, reading) = read(&list, &before);
            assert_eq!(new, new_ones);
            assert!(!reading.is_of_another_schedd());
            let after = reading.cursor().unwrap();
            assert_eq!(after.schedds.len(), 1);
            before = after;
        }
    }

    /// A cursor of rounds without `--schedd`, in a round with it.
    #[test]
    fn the_schedds_of_a_cursor_go_on_each_for_itself() {
        let mut whole = cursor(jobs_of("A.canary.example", 0..3));
        whole.schedds.extend(cursor(jobs_of("b", 0..3)).schedds);
        assert!(whole.knows("a.CANARY.example"));
        assert!(!whole.knows("a"));
        let before = whole.of("a.canary.example");
        let list = jobs_of("A.canary.example", (0..5).rev());
        let (new, _, reading) = read(&list, &before);
        assert_eq!(new, list[..2]);
        let b = whole.of("b");
        whole.put("a.canary.example", reading.cursor().unwrap());
        assert_eq!(whole.schedds.len(), 2);
        assert_eq!(whole.of("b"), b);
        assert_eq!(read(&list, &whole).0, [""; 0]);
    }

    #[test]
    fn a_cursor_names_no_host() {
        let text = serde_json::to_string(&cursor(jobs_of("canary-1.example", 0..2))).unwrap();
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn a_known_record_that_cannot_be_read_makes_no_old_one_new() {
        let known = keys(100..110);
        let before = cursor(known.clone());
        for missing in [0, 4, 8] {
            let mut list = keys(0..3);
            list.extend(known.iter().cloned());
            list.remove(3 + missing);
            list.extend(keys(200..300));
            let (new, _, reading) = read(&list, &before);
            assert_eq!(new, keys(0..3), "{missing}");
            assert_eq!(reading.misses_the_newest(), missing == 0);
            assert!(!reading.misses_all());
        }
    }

    #[test]
    fn the_history_of_another_schedd_is_noticed() {
        let before = cursor(keys(0..3));
        for (list, is_other) in [
            (vec!["other#0.0#1", "other#1.0#1"], true),
            (vec!["other#0.0#1", "schedd#7.0#1"], false),
            (vec!["other#0.0#1", "schedd#1.0#1"], false),
            (vec![], false),
        ] {
            let list: Vec<String> = list.into_iter().map(str::to_owned).collect();
            let (_, _, reading) = read(&list, &before);
            assert_eq!(reading.is_of_another_schedd(), is_other, "{list:?}");
        }
    }

    #[test]
    fn a_cursor_that_names_a_key_twice_is_met_all_the_same() {
        let before = cursor([keys(0..2), keys(0..2)].concat());
        let list = keys(0..50);
        let (new, read, _) = read(&list, &before);
        assert_eq!((new.len(), read), (0, 2));
    }

    #[test]
    fn memory_for_what_stands_twice_is_bounded() {
        let mut recent = Recent::default();
        let many = 5 * REMEMBERED as u64;
        for key in 0..many {
            assert!(recent.insert(key));
            assert!(!recent.insert(key.saturating_sub(REMEMBERED as u64 - 1)));
            assert!(recent.now.len() + recent.before.len() <= 2 * REMEMBERED);
        }
    }

    /// What happens to a history between two readings, and to a reading.
    #[derive(Debug, Clone)]
    enum Event {
        /// So many jobs leave the queue.
        Leave(u32),
        /// Of the newest records, this one is written once more.
        Rewrite(prop::sample::Index),
        /// A part of the records that have been read is removed, oldest first.
        Rotate(prop::sample::Index),
        Read,
        /// The list is empty for once.
        ReadNothing,
        /// Read, but neither documents nor cursor are kept.
        ReadInVain,
        /// Read, but a part of the records that nobody has read yet was missed.
        ReadPart(prop::sample::Index, prop::sample::Index),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (0_u32..40).prop_map(Event::Leave),
            1 => (0_u32..1500).prop_map(Event::Leave),
            2 => any::<prop::sample::Index>().prop_map(Event::Rewrite),
            2 => any::<prop::sample::Index>().prop_map(Event::Rotate),
            4 => Just(Event::Read),
            1 => Just(Event::ReadNothing),
            1 => Just(Event::ReadInVain),
            1 => (any::<prop::sample::Index>(), any::<prop::sample::Index>())
                .prop_map(|(from, to)| Event::ReadPart(from, to)),
        ]
    }

    /// A history, oldest first, and what was reported of it.
    #[derive(Debug, Default)]
    struct Model {
        list: Vec<String>,
        jobs: u32,
        cursor: Cursor,
        reported: BTreeMap<String, u32>,
    }

    impl Model {
        fn happens(&mut self, event: Event) {
            match event {
                Event::Leave(count) => {
                    self.list.extend(keys(self.jobs..self.jobs + count));
                    self.jobs += count;
                }
                Event::Rewrite(which) => {
                    // One of those that the cursor names, or that came after it.
                    let newest = self.list.len().saturating_sub(OVERLAP);
                    if let Some(key) = which_of(&which, &self.list[newest..])
                        && (!self.reported.contains_key(&key) || self.is_in_cursor(&key))
                    {
                        self.list.push(key);
                    }
                }
                Event::Rotate(how_many) => {
                    let read = |key: &&String| self.reported.contains_key(*key);
                    let read = self.list.iter().take_while(read).count();
                    self.list.drain(..how_many.index(read + 1));
                }
                Event::Read => self.read(0, 0),
                Event::ReadInVain => {
                    read(&self.newest_first(), &self.cursor);
                }
                Event::ReadNothing => self.read(0, self.list.len()),
                Event::ReadPart(from, to) => self.read_part(&from, &to),
            }
        }

        fn is_in_cursor(&self, key: &str) -> bool {
            let key = hash(key);
            let mut known = self.cursor.schedds.values();
            known.any(|read| read.records.0.contains(&key))
        }

        fn newest_first(&self) -> Vec<String> {
            self.list.iter().rev().cloned().collect()
        }

        /// A file of new records is missed, and a few newer ones are read: less than a cursor names, or
        /// the next reading would end before that file.
        fn read_part(&mut self, from: &prop::sample::Index, to: &prop::sample::Index) {
            let new = self.newest_first();
            let new = new
                .iter()
                .take_while(|key| !self.reported.contains_key(*key))
                .count();
            let is_known = self.list.len() > new && !self.cursor.schedds.is_empty();
            let (from, to) = (from.index(new + 1), to.index(new + 1));
            if is_known && from < to && from < OVERLAP / 2 {
                self.read(from, to);
            }
        }

        fn read(&mut self, from: usize, to: usize) {
            let mut list = self.newest_first();
            list.drain(from..to);
            let (new, _, reading) = read(&list, &self.cursor);
            let after = reading.cursor();
            for key in new {
                *self.reported.entry(key).or_default() += 1;
            }
            if let Some(after) = after {
                self.cursor = after;
            }
        }
    }

    fn which_of(which: &prop::sample::Index, keys: &[String]) -> Option<String> {
        (!keys.is_empty()).then(|| keys[which.index(keys.len())].clone())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_job_is_reported_once(events in prop::collection::vec(event(), 1..40)) {
            let mut model = Model::default();
            for event in events {
                model.happens(event);
                for (key, times) in &model.reported {
                    prop_assert_eq!(*times, 1, "{}", key);
                }
            }
            model.happens(Event::Read);
            prop_assert_eq!(model.reported.len(), model.jobs as usize);
            prop_assert!(model.reported.values().all(|times| *times == 1));
        }
    }
}
