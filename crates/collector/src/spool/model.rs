//! The spool beside a plain model of it, through anything that can happen: rounds stored and half stored,
//! documents handed out and answered in any order, programs killed, files damaged, too little room.
//!
//! Killed is: everything dropped, between two steps. What a kill or a power cut leaves in the middle of one
//! is for `tests/it/crash.rs` and `tests/it/power_cut.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BATCH, Bounds, Found, Header, Spool, entries};
use crate::delivery::{Answer, Answered, FromSpool, Parcel, Seen, Source as _, Wanted, Wrapping};
use crate::secret::Secret;

const NAME: &str = "canary.example.org";
const CURSOR: &str = "network@CANARY-AF";
const ROOMY: Bounds = Bounds {
    size: u64::MAX,
    age: Duration::MAX,
};

#[derive(Debug, Clone)]
enum Step {
    /// So many documents, so long each, with a cursor or not, at this time.
    Store(u64, usize, bool, i64),
    /// A program was killed while it stored.
    HalfStore,
    HandOut(usize),
    Answer(Vec<(Index, Heard)>),
    /// The round ends, whatever is still under way.
    End,
    Crash,
    Flip(Index, Index),
    Cut(Index, Index),
    /// Room for so many bytes.
    Bound(u64),
    Retry(Index),
}

#[derive(Debug, Clone, Copy)]
enum Heard {
    Accepted,
    Rejected,
    Later,
}

fn step() -> impl Strategy<Value = Step> {
    let heard = prop_oneof![
        4 => Just(Heard::Accepted),
        2 => Just(Heard::Rejected),
        1 => Just(Heard::Later),
    ];
    prop_oneof![
        5 => (0..12_u64, prop_oneof![3 => Just(10_usize), 1 => Just(60_000)], any::<bool>(), 0..2_000_000_000_i64)
            .prop_map(|(count, long, cursor, at)| Step::Store(count, long, cursor, at)),
        1 => Just(Step::HalfStore),
        6 => (1..20_usize).prop_map(Step::HandOut),
        8 => prop::collection::vec((any::<Index>(), heard), 1..12).prop_map(Step::Answer),
        2 => Just(Step::End),
        2 => Just(Step::Crash),
        1 => any::<(Index, Index)>().prop_map(|(batch, at)| Step::Flip(batch, at)),
        1 => any::<(Index, Index)>().prop_map(|(batch, at)| Step::Cut(batch, at)),
        1 => prop_oneof![Just(0), 0..60_000_u64, Just(u64::MAX)].prop_map(Step::Bound),
        1 => any::<Index>().prop_map(Step::Retry),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

/// A batch as it was stored.
struct Stored {
    round: u64,
    lines: Vec<String>,
}

/// The program that delivers just now.
struct Delivery {
    source: FromSpool,
    out: Vec<Parcel>,
    /// Round and index behind the last document that was handed out.
    last: (u64, u64),
}

/// The spool, and what should be true of it.
struct Model {
    _dir: TempDir,
    spool: Spool,
    delivery: Option<Delivery>,
    deliveries: usize,
    batches: BTreeMap<uuid::Uuid, Stored>,
    /// All documents that were ever stored, by their lines.
    all: BTreeSet<String>,
    accepted: BTreeSet<String>,
    given_up: BTreeSet<String>,
    /// Of batches that were damaged: they may be anywhere, or nowhere but in `damaged`.
    damaged: BTreeSet<String>,
    /// How far the last stored round had read.
    cursor: Option<u64>,
}

impl Model {
    fn new() -> Self {
        // What a disk makes of it in a power cut is for another test; waiting for one is no use here.
        let dir = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm"),
            false => tempfile::tempdir(),
        }
        .unwrap();
        let spool = Spool::below(dir.path());
        spool.make().unwrap();
        Self {
            _dir: dir,
            spool,
            delivery: None,
            deliveries: 0,
            batches: BTreeMap::new(),
            all: BTreeSet::new(),
            accepted: BTreeSet::new(),
            given_up: BTreeSet::new(),
            damaged: BTreeSet::new(),
            cursor: None,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Store(count, long, has_cursor, at) => self.store(*count, *long, *has_cursor, *at),
            Step::HalfStore => self.half_store(),
            Step::HandOut(about) => self.hand_out(*about),
            Step::Answer(answers) => self.answer(answers),
            Step::End => {
                if let Some(mut delivery) = self.delivery.take() {
                    delivery.source.end();
                }
            }
            Step::Crash => self.crash(),
            Step::Flip(batch, at) => self.damage(*batch, |bytes| {
                let at = at.index(bytes.len());
                bytes[at] ^= 1;
            }),
            Step::Cut(batch, at) => {
                self.damage(*batch, |bytes| bytes.truncate(at.index(bytes.len())))
            }
            Step::Bound(size) => self.bound(*size),
            Step::Retry(which) => self.retry(*which),
        }
    }

    fn crash(&mut self) {
        self.delivery = None;
        self.spool = Spool::below(self._dir.path());
    }

    fn store(&mut self, count: u64, long: usize, has_cursor: bool, at: i64) {
        let lines: Vec<String> = (0..count)
            .map(|_| {
                let number = self.all.len();
                // Of the kind that no compression makes small.
                let filling: String =
                    std::iter::repeat_with(|| char::from(b'a' + fastrand::u8(..26)))
                        .take(long)
                        .collect();
                let line = format!(
                    r#"{{"cluster":"CANARY-AF","kind":"canary","n":{number},"x":"{filling}"}}"#
                );
                self.all.insert(line.clone());
                line
            })
            .collect();
        let mut header = Header::new(Timestamp::from_second(at).unwrap());
        header.cluster = "CANARY-AF".to_owned();
        header.endpoint = "https://canary.example.org/".to_owned();
        header.documents = count;
        header.kinds.insert("canary".to_owned(), count);
        let cursor = has_cursor.then(|| self.cursor.unwrap_or(0) + 1);
        let cursors: BTreeMap<String, Value> = cursor
            .iter()
            .map(|cursor| (CURSOR.to_owned(), json!(cursor)))
            .collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let before = self.spool.rounds().unwrap().last().copied();
        let round = self
            .spool
            .store(NAME, &header, &mut text.as_bytes(), &cursors)
            .unwrap();
        assert!(Some(round) > before, "{before:?} {round}");
        self.cursor = cursor.or(self.cursor);
        if count > 0 {
            self.batches.insert(header.id, Stored { round, lines });
        }
    }

    fn half_store(&self) {
        let new = self.spool.pending.join(".new-half");
        if fs::create_dir(&new).is_ok() {
            fs::write(new.join(format!("{NAME}{BATCH}")), b"half").unwrap();
            let cursor = json!({"round": u64::MAX, "cursor": u64::MAX}).to_string();
            fs::write(new.join(format!("cursor-{CURSOR}.json")), cursor).unwrap();
        }
    }

    fn hand_out(&mut self, about: usize) {
        if self.delivery.is_none() {
            self.deliveries += 1;
            let batch_size = [None, Some(3), Some(50)][self.deliveries % 3];
            let source = FromSpool::new(
                self.spool.clone(),
                Arc::new(self.spool.take_turn().unwrap().unwrap()),
                Wanted {
                    cluster: "CANARY-AF".to_owned(),
                    endpoint: None,
                    own: String::new(),
                    takes_metrics: false,
                    others: Vec::new(),
                    hides_users: false,
                    hides_hosts: false,
                    seen: Seen::default(),
                },
                Wrapping::documents(&Secret::new("t0ken"), batch_size),
                ROOMY,
                SystemTime::UNIX_EPOCH,
                None,
            );
            self.delivery = Some(Delivery {
                source,
                out: Vec::new(),
                last: (0, 0),
            });
        }
        let Some(delivery) = &mut self.delivery else {
            return;
        };
        for parcel in delivery.source.next(about) {
            let stored = &self.batches[&parcel.origin.id];
            let begin = (stored.round, parcel.first);
            assert!(
                begin >= delivery.last,
                "{begin:?} behind {:?}",
                delivery.last
            );
            delivery.last = (stored.round, parcel.first + parcel.count);
            let first = usize::try_from(parcel.first).unwrap();
            for (index, line) in lines(&parcel).into_iter().enumerate() {
                assert_eq!(line, stored.lines[first + index], "other than was stored");
                assert!(!self.accepted.contains(&line), "once more: {line}");
            }
            delivery.out.push(parcel);
        }
    }

    fn answer(&mut self, answers: &[(Index, Heard)]) {
        let Some(delivery) = &mut self.delivery else {
            return;
        };
        let mut answered = Vec::new();
        for (which, heard) in answers {
            if delivery.out.is_empty() {
                break;
            }
            let parcel = delivery.out.swap_remove(which.index(delivery.out.len()));
            let answer = match heard {
                Heard::Accepted => Answer::Accepted,
                Heard::Rejected => Answer::Rejected("400: no".to_owned()),
                Heard::Later => Answer::Later("503: busy".to_owned()),
            };
            if answer == Answer::Accepted {
                self.accepted.extend(lines(&parcel));
            }
            answered.push(Answered { parcel, answer });
        }
        delivery.source.answered(answered);
    }

    fn damage(&mut self, which: Index, change: impl FnOnce(&mut Vec<u8>)) {
        let waiting = self.spool.waiting().unwrap();
        if waiting.is_empty() {
            return;
        }
        let batch = which.get(&waiting);
        if let Ok((reader, _)) = self.spool.open(batch) {
            let lines = self.batches[&reader.header.id].lines.iter().cloned();
            self.damaged.extend(lines);
        }
        let path = self.spool.file(batch, BATCH);
        let mut bytes = fs::read(&path).unwrap();
        if !bytes.is_empty() {
            // What a disk forgets does not make a file newer.
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(written).unwrap();
        }
    }

    fn bound(&mut self, size: u64) {
        self.delivery = None;
        let before = self.held();
        let rounds = self.spool.waiting().unwrap();
        let _turn = self.spool.take_turn().unwrap().unwrap();
        let bounds = Bounds {
            size,
            age: Duration::MAX,
        };
        let given_up = self
            .spool
            .keep_within(bounds, SystemTime::UNIX_EPOCH)
            .unwrap();
        let after = self.held();
        let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
        let counted: u64 = given_up.iter().map(|gone| gone.documents).sum();
        // What was damaged cannot be counted.
        if self.damaged.is_empty() {
            assert_eq!(counted, gone.len() as u64, "{given_up:?}");
        }
        self.given_up.extend(gone);
        let left = self.spool.waiting().unwrap();
        assert!(rounds.ends_with(&left), "{left:?} of {rounds:?}");
    }

    fn retry(&mut self, which: Index) {
        let rejected = self.spool.rejected().unwrap();
        if rejected.is_empty() {
            return;
        }
        self.delivery = None;
        let _turn = self.spool.take_turn().unwrap().unwrap();
        let id = *which.get(&rejected);
        let count = self.spool.retry(id).unwrap();
        let waiting = self.spool.waiting().unwrap();
        let (mut reader, _) = self.spool.open(waiting.last().unwrap()).unwrap();
        assert_eq!(reader.header.documents, count);
        let mut lines = Vec::new();
        while let Ok(Some(frame)) = reader.next() {
            lines.extend(text(&frame.lines));
        }
        let round = waiting.last().unwrap().round;
        self.batches
            .insert(reader.header.id, Stored { round, lines });
    }

    /// Documents that wait.
    fn waiting(&self) -> BTreeSet<String> {
        let mut waiting = BTreeSet::new();
        for batch in self.spool.waiting().unwrap() {
            let Ok((mut reader, done)) = self.spool.open(&batch) else {
                continue;
            };
            while let Ok(Some(frame)) = reader.next() {
                for (index, line) in (frame.first..).zip(text(&frame.lines)) {
                    if !done.is_done(index) {
                        waiting.insert(line);
                    }
                }
            }
        }
        waiting
    }

    fn rejected(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for id in self.spool.rejected().unwrap() {
            let mut reader = self.spool.open_rejected(id).unwrap();
            while let Some(refused) = reader.next().unwrap() {
                all.insert(refused.document.get().to_owned());
            }
        }
        all
    }

    fn held(&self) -> BTreeSet<String> {
        self.waiting().union(&self.rejected()).cloned().collect()
    }

    fn rounds_are_whole(&self) {
        for batch in self.spool.waiting().unwrap() {
            let Ok((mut reader, _)) = self.spool.open(&batch) else {
                continue;
            };
            let stored = &self.batches[&reader.header.id].lines;
            if stored.iter().any(|line| self.damaged.contains(line)) {
                continue;
            }
            let mut found = Vec::new();
            while let Some(frame) = reader.next().unwrap() {
                found.extend(text(&frame.lines));
            }
            assert_eq!(found, *stored);
        }
    }

    fn each_document_is_somewhere_once(&self) {
        let (waiting, rejected) = (self.waiting(), self.rejected());
        for line in self.all.difference(&self.damaged) {
            let places = [&waiting, &rejected, &self.accepted, &self.given_up];
            let count = places.iter().filter(|place| place.contains(line)).count();
            let shown: String = line.chars().take(60).collect();
            assert_eq!(count, 1, "{shown}");
        }
    }

    fn the_cursor_is_the_last_one(&self) {
        let found = self.spool.cursor(CURSOR).unwrap();
        let expected = match self.cursor {
            None => Found::Nothing,
            Some(cursor) => Found::Cursor(json!(cursor)),
        };
        assert_eq!(found, expected);
    }

    /// All is well at last, and nothing stays.
    fn finish(&mut self) {
        self.crash();
        loop {
            self.hand_out(100);
            let Some(delivery) = &self.delivery else {
                break;
            };
            if delivery.out.is_empty() {
                break;
            }
            let all = vec![(first(), Heard::Accepted); delivery.out.len()];
            self.answer(&all);
        }
        self.take(&Step::End);
        self.store(1, 10, true, 0);
        self.hand_out(1);
        self.answer(&[(first(), Heard::Accepted)]);
        self.take(&Step::End);
        assert_eq!(entries(&self.spool.pending).unwrap(), [""; 0]);
    }
}

fn text(lines: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(lines).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn lines(parcel: &Parcel) -> Vec<String> {
    text(&parcel.lines)
}

/// Takes all steps, with a look behind each.
fn run(steps: &[Step], look: impl Fn(&Model)) {
    let mut model = Model::new();
    for step in steps {
        model.take(step);
        look(&model);
    }
    model.finish();
    look(&model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_round_is_there_as_a_whole_or_not_at_all(steps in steps()) {
        run(&steps, Model::rounds_are_whole);
    }

    #[test]
    fn a_batch_goes_only_when_each_document_was_answered(steps in steps()) {
        run(&steps, Model::each_document_is_somewhere_once);
    }

    #[test]
    fn a_cursor_never_goes_back(steps in steps()) {
        run(&steps, Model::the_cursor_is_the_last_one);
    }

    /// [`Model::store`] looks, and it gives any time.
    #[test]
    fn numbers_grow_whatever_the_clock_says(
        steps in prop::collection::vec(prop_oneof![3 => (0..3_u64, any::<bool>(), 0..2_000_000_000_i64)
            .prop_map(|(count, cursor, at)| Step::Store(count, 10, cursor, at)), 2 => step()], 1..40)
    ) {
        run(&steps, Model::the_cursor_is_the_last_one);
    }

    /// [`Model::hand_out`] looks.
    #[test]
    fn oldest_first(steps in prop::collection::vec(step(), 20..60)) {
        run(&steps, |_| {});
    }
}

/// Of those that are there.
fn first() -> Index {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let tree = any::<Index>().new_tree(&mut TestRunner::deterministic());
    tree.unwrap().current()
}

/// Hands all out and answers it.
fn deliver(model: &mut Model, heard: Heard) {
    model.hand_out(1000);
    model.answer(&vec![(first(), heard); 1000]);
    model.take(&Step::End);
}

#[test]
fn what_can_be_read_of_a_damaged_batch_is_answered_before_it_is_set_aside() {
    let mut model = Model::new();
    model.store(8, 90_000, false, 0);
    model.damage(first(), |bytes| bytes.truncate(bytes.len() - 1));
    deliver(&mut model, Heard::Later);
    assert_eq!(model.spool.waiting().unwrap().len(), 1);
    deliver(&mut model, Heard::Accepted);
    assert!(model.accepted.len() >= 3, "{}", model.accepted.len());
    assert_eq!(model.spool.waiting().unwrap(), []);
    assert_eq!(
        entries(&model.spool.damaged).unwrap().len(),
        3,
        "with .done and the reason"
    );
}

#[test]
fn what_was_set_aside_stays_when_a_rounds_number_comes_again() {
    let mut model = Model::new();
    for _ in 0..2 {
        model.store(1, 10, false, 0);
        model.damage(first(), |bytes| bytes.truncate(bytes.len() - 1));
        deliver(&mut model, Heard::Accepted);
    }
    let batches = entries(&model.spool.damaged).unwrap();
    let batches = batches.iter().filter(|name| name.ends_with(BATCH));
    assert_eq!(batches.count(), 2);
}

#[test]
fn rejected_documents_are_kept_behind_a_first_line_that_was_cut() {
    for left in ["", "{\"afmetrics_b", "\0\0\0\0\0"] {
        let mut model = Model::new();
        model.store(2, 10, false, 0);
        let id = *model.batches.keys().next().unwrap();
        fs::write(model.spool.rejected_file(id), left).unwrap();
        deliver(&mut model, Heard::Rejected);
        assert_eq!(model.rejected(), model.all, "behind {left:?}");
        model.each_document_is_somewhere_once();
    }
    // What was never synced behind lines that were.
    let mut model = Model::new();
    model.store(2, 10, false, 0);
    deliver(&mut model, Heard::Rejected);
    let file = model
        .spool
        .rejected_file(*model.batches.keys().next().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend(b"{\"index\":\xff\0\n\0\0");
    fs::write(file, bytes).unwrap();
    assert_eq!(model.rejected(), model.all);
}

#[test]
fn a_cursor_that_makes_no_sense_does_not_take_the_place_of_one_that_does() {
    let mut model = Model::new();
    model.store(1, 10, true, 0);
    deliver(&mut model, Heard::Accepted);
    model.store(1, 10, true, 0);
    model.store(1, 10, true, 0);
    let rounds = model.spool.rounds().unwrap();
    let newest = model.spool.round(*rounds.last().unwrap());
    fs::write(newest.join(format!("cursor-{CURSOR}.json")), "{").unwrap();
    assert!(matches!(model.spool.cursor(CURSOR), Ok(Found::Damaged(..))));
    model.cursor = Some(2);
    deliver(&mut model, Heard::Accepted);
    model.the_cursor_is_the_last_one();
}
