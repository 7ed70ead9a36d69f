//! Whatever comes in whichever groups, and wherever the power goes: the tables say what the documents say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::maintenance::Keep;
use super::ranges::Key;
use super::slots::{Cell, Day};
use super::writer::Writer;
use super::{Kept, Received, Refusal, Store, schema};
use crate::documents::time::{DAY_MS, HOUR_MS, SLOT_MS, SLOTS, text};
use crate::documents::{Form, Taking};

/// 2026-11-22, an hour before the day ends.
const BEGIN: i64 = 20_779 * DAY_MS + 23 * HOUR_MS;

#[derive(Debug, Clone)]
enum Step {
    /// Requests that are stored as one group.
    Group(Vec<Vec<Document>>),
    Settle,
    Crash,
    /// Some of the last group could not be added up.
    Behind,
}

#[derive(Debug, Clone)]
struct Document {
    facility: u8,
    minute: u8,
    says: Says,
}

#[derive(Debug, Clone)]
enum Says {
    Job {
        user: u8,
        id: u8,
        state: u8,
        runtime: u8,
        of: Of,
    },
    Users {
        node: u8,
        users: BTreeSet<u8>,
    },
    Load {
        node: u8,
        load: u8,
    },
}

/// The batch system of a job, and of how many tasks it is where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    HtCondor,
    Slurm,
    Array(u8),
}

impl Of {
    fn kind(self) -> &'static str {
        match self {
            Of::HtCondor => "condorjob",
            Of::Slurm | Of::Array(_) => "slurmjob",
        }
    }

    /// An Id that both systems may have at a time, or that of an array of which some tasks wait.
    fn id(self, id: u8) -> String {
        match self {
            Of::HtCondor | Of::Slurm => format!("{id}"),
            Of::Array(tasks) => format!("{id}_[1-{tasks}]"),
        }
    }

    /// How many jobs it is.
    fn tasks(self) -> u8 {
        match self {
            Of::HtCondor | Of::Slurm => 1,
            Of::Array(tasks) => tasks,
        }
    }

    /// As a series has it.
    fn part(self, state: u8) -> String {
        let state = STATES[usize::from(state)];
        match self {
            Of::HtCondor => state.to_owned(),
            Of::Slurm | Of::Array(_) => format!("slurm/{state}"),
        }
    }
}

const STATES: [&str; 6] = ["idle", "running", "held", "removed", "finished", "timeout"];

impl Document {
    /// Around midnight.
    fn time(&self) -> i64 {
        BEGIN + i64::from(self.minute) * 60_000
    }

    fn facility(&self) -> String {
        format!("facility-{}", self.facility)
    }

    fn json(&self) -> Value {
        let mut document = match &self.says {
            Says::Job {
                user,
                id,
                state,
                runtime,
                of,
            } => {
                let state = STATES[usize::from(*state)];
                let mut job = json!({"kind": of.kind(), "users": name(*user), "Id": of.id(*id),
                    "Runtime": runtime, "state": state, "partition": "all", "cores": 1});
                if let Of::Array(tasks) = of {
                    job["tasks"] = (*tasks).into();
                }
                job
            }
            Says::Users { node, users } => {
                let users: Vec<String> = users.iter().map(|user| name(*user)).collect();
                json!({"kind": "ssh", "login_node": format!("login{node}"), "ssh_user_count": users.len(),
                    "users": users})
            }
            Says::Load { node, load } => {
                json!({"kind": "CPU", "login_node": format!("login{node}"), "load": load})
            }
        };
        document["cluster"] = self.facility().into();
        document["timestamp"] = text(self.time()).into();
        document
    }
}

fn name(user: u8) -> String {
    format!("canary-{user}")
}

fn of() -> impl Strategy<Value = Of> {
    prop_oneof![
        2 => Just(Of::HtCondor),
        1 => Just(Of::Slurm),
        1 => (1..9_u8).prop_map(Of::Array),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let says = prop_oneof![
        6 => (0..3_u8, 0..3_u8, 0..6_u8, 0..2_u8, of())
            .prop_map(|(user, id, state, runtime, of)| {
                // A removed one counts once, with the run time of the first that is settled: here all say the same.
                let runtime = if is_removed(of, state) { 7 } else { runtime };
                Says::Job { user, id, state, runtime, of }
            }),
        1 => (0..2_u8, prop::collection::btree_set(0..3_u8, 0..3))
            .prop_map(|(node, users)| Says::Users { node, users }),
        1 => (0..2_u8, 0..9_u8).prop_map(|(node, load)| Says::Load { node, load }),
    ];
    let document =
        (0..2_u8, prop_oneof![0..6_u8, 55..65_u8], says).prop_map(|(facility, minute, says)| {
            Document {
                facility,
                minute,
                says,
            }
        });
    let request = prop::collection::vec(document, 1..12);
    let step = prop_oneof![
        4 => prop::collection::vec(request, 1..4).prop_map(Step::Group),
        2 => Just(Step::Settle),
        1 => Just(Step::Crash),
        1 => Just(Step::Behind),
    ];
    prop::collection::vec(step, 1..14)
}

/// By facility, metric, label, part and slot.
type Cells = BTreeMap<(String, String, String, String, i64), (u32, f64, f64, f64)>;
/// By facility, day, kind and user: hours, first, last, documents.
type Seen = BTreeMap<(String, i64, String, String), (i64, i64, i64, i64)>;
/// Whether it is one of HTCondor's that was removed: one end, whatever its run time.
fn is_removed(of: Of, state: u8) -> bool {
    of == Of::HtCondor && STATES[usize::from(state)] == "removed"
}

/// By facility: how many jobs ended, and their seconds.
type Ended = BTreeMap<String, (u32, f64)>;

#[derive(Debug, Default, PartialEq)]
struct Tables {
    cells: Cells,
    seen: Seen,
    ended: Ended,
}

impl Tables {
    /// What these documents, in the order in which they came, have to add up to.
    fn of(documents: &[&Document]) -> Self {
        let mut tables = Self::default();
        // Which state counts for which job: by facility, slot, kind, user and id the last one; of an array's
        // waiting tasks the last of each state.
        let mut jobs = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for document in documents {
            let (facility, slot) = (document.facility(), document.time() / SLOT_MS);
            let kind = document.json()["kind"].as_str().unwrap().to_owned();
            tables.count(&facility, "documents", &kind, "", slot);
            match &document.says {
                Says::Job {
                    user,
                    id,
                    state,
                    runtime,
                    of,
                } => {
                    tables.saw(document, &kind, *user);
                    let waiting = matches!(of, Of::Array(_)).then_some(*state);
                    let job = (facility.clone(), slot, of.kind(), *user, *id, waiting);
                    jobs.insert(job, (*of, *state));
                    let is_by_state = *of != Of::HtCondor || is_removed(*of, *state);
                    let how = is_by_state.then_some(*state);
                    let end = (facility.clone(), *user, (*of, *id), *runtime, how);
                    if *state >= 3 && ended.insert(end) {
                        let of_facility = tables.ended.entry(facility).or_default();
                        of_facility.0 += u32::from(of.tasks());
                        of_facility.1 += f64::from(*runtime) * f64::from(of.tasks());
                    }
                }
                Says::Users { node, users } => {
                    for user in users {
                        tables.saw(document, &kind, *user);
                    }
                    let n = f64::from(u8::try_from(users.len()).unwrap());
                    tables.sample(
                        &facility,
                        "users_present",
                        &kind,
                        &format!("login{node}"),
                        slot,
                        n,
                    );
                }
                Says::Load { node, load } => {
                    tables.sample(
                        &facility,
                        "load",
                        &format!("login{node}"),
                        "",
                        slot,
                        f64::from(*load),
                    );
                }
            }
        }
        for ((facility, slot, _, user, ..), (of, state)) in jobs {
            let part = of.part(state);
            for _ in 0..of.tasks() {
                tables.count(&facility, "jobs", "", &part, slot);
                tables.count(&facility, "jobs_of_user", &name(user), &part, slot);
            }
        }
        tables
    }

    fn count(&mut self, facility: &str, metric: &str, label: &str, part: &str, slot: i64) {
        let key = (
            facility.into(),
            metric.into(),
            label.into(),
            part.into(),
            slot,
        );
        let cell = self.cells.entry(key).or_insert((1, 0.0, 0.0, 0.0));
        *cell = (1, cell.1 + 1.0, cell.1 + 1.0, cell.1 + 1.0);
    }

    fn sample(&mut self, facility: &str, metric: &str, label: &str, part: &str, slot: i64, n: f64) {
        let key = (
            facility.into(),
            metric.into(),
            label.into(),
            part.into(),
            slot,
        );
        let cell = self.cells.entry(key).or_insert((0, 0.0, n, n));
        *cell = (cell.0 + 1, cell.1 + n, cell.2.min(n), cell.3.max(n));
    }

    fn saw(&mut self, document: &Document, kind: &str, user: u8) {
        let time = document.time();
        let key = (
            document.facility(),
            time / DAY_MS,
            kind.to_owned(),
            name(user),
        );
        let seen = self.seen.entry(key).or_insert((0, time, time, 0));
        seen.0 |= 1 << (time / HOUR_MS % 24);
        seen.1 = seen.1.min(time);
        seen.2 = seen.2.max(time);
        seen.3 += 1;
    }

    /// What the store's tables say. A count that came back to zero is as good as none.
    fn stored(store: &rusqlite::Connection) -> Self {
        let mut tables = Self::default();
        let mut rows = store
            .prepare(
                "SELECT facilities.name, metric, label, part, days.id % 65536, cells
                 FROM days JOIN slots USING(id) JOIN series ON series.id = days.id / 65536 JOIN facilities ON facilities.id = facility",
            )
            .unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let facility: String = row.get(0).unwrap();
            let (metric, label): (String, String) = (row.get(1).unwrap(), row.get(2).unwrap());
            let (part, day): (String, i64) = (row.get(3).unwrap(), row.get(4).unwrap());
            let slots: Vec<u8> = row.get(5).unwrap();
            for (slot, cell) in Day::unpack(&slots).unwrap().cells() {
                let slot = day * i64::from(SLOTS) + i64::from(slot);
                tables.add(&facility, &metric, &label, &part, slot, cell);
            }
        }
        let mut rows = store
            .prepare(
                "SELECT facilities.name, day, kinds.name, users.name, hours, first, last, documents
                 FROM seen JOIN facilities ON facilities.id = facility JOIN kinds ON kinds.id = kind
                 JOIN users ON users.id = user",
            )
            .unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = (
                row.get(0).unwrap(),
                row.get(1).unwrap(),
                row.get(2).unwrap(),
                row.get(3).unwrap(),
            );
            let seen = (
                row.get(4).unwrap(),
                row.get(5).unwrap(),
                row.get(6).unwrap(),
                row.get(7).unwrap(),
            );
            tables.seen.insert(key, seen);
        }
        tables
    }

    fn add(
        &mut self,
        facility: &str,
        metric: &str,
        label: &str,
        part: &str,
        slot: i64,
        cell: Cell,
    ) {
        match metric {
            "jobs" | "jobs_of_user" if cell.sum == 0.0 => {}
            // When it ended is what the first report that is settled says.
            "ended" => {
                let ended = self.ended.entry(facility.into()).or_default();
                ended.0 += cell.n;
                ended.1 += cell.sum;
            }
            "ended_of_user" | "ended_by_length" | "late" => {}
            _ => {
                let key = (
                    facility.into(),
                    metric.into(),
                    label.into(),
                    part.into(),
                    slot,
                );
                self.cells
                    .insert(key, (cell.n, cell.sum, cell.min, cell.max));
            }
        }
    }
}

fn received(documents: &[Document]) -> Received {
    let lines: Vec<String> = documents
        .iter()
        .map(|document| document.json().to_string())
        .collect();
    let now = BEGIN + DAY_MS;
    let taking = Taking {
        now,
        accept_unknown_kinds: false,
        gate: None,
    };
    Received {
        documents: taking
            .documents(&lines.join("\n"), Form::Lines, &mut Vec::new())
            .unwrap(),
        key: None,
        now,
        room: None,
    }
}

fn open(folder: &std::path::Path) -> Writer {
    Writer::new(
        schema::open(folder).unwrap(),
        Default::default(),
        Default::default(),
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn tables_say_what_the_documents_say(steps in steps(), most_jobs in prop_oneof![Just(0), Just(3), Just(1_000)]) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path());
        writer.most_jobs = most_jobs;
        let mut documents = Vec::new();
        for step in &steps {
            match step {
                Step::Group(requests) => {
                    let (mut group, mut kept) = (Vec::new(), Vec::new());
                    for request in requests {
                        let (reply, answer) = oneshot::channel();
                        group.push((received(request), reply));
                        kept.push(answer);
                        documents.extend(request);
                    }
                    writer.keep(group);
                    for (mut kept, request) in kept.into_iter().zip(requests) {
                        prop_assert_eq!(kept.try_recv().unwrap().unwrap().stored, request.len());
                    }
                }
                Step::Settle => writer.settle().unwrap(),
                Step::Crash => {
                    drop(writer);
                    writer = open(folder.path());
                    writer.most_jobs = most_jobs;
                }
                Step::Behind => writer.lose(),
            }
        }
        writer.settle().unwrap();
        prop_assert_eq!(Tables::stored(&writer.store), Tables::of(&documents));
        let mut findings = Vec::new();
        super::check::check(&mut writer.store, true, &mut |line| findings.push(line)).unwrap();
        prop_assert_eq!(findings, [""; 0]);
    }
}

/// Stores documents as one group; returns what became of each request.
fn keep(writer: &mut Writer, requests: Vec<Received>) -> Vec<Result<Kept, Refusal>> {
    let (group, answers): (Vec<_>, Vec<_>) = requests
        .into_iter()
        .map(|request| {
            let (reply, answer) = oneshot::channel();
            ((request, reply), answer)
        })
        .unzip();
    writer.keep(group);
    let answers = answers.into_iter();
    answers
        .map(|mut answer| answer.try_recv().unwrap())
        .collect()
}

fn job(minute: u8, state: u8) -> Document {
    Document {
        facility: 0,
        minute,
        says: Says::Job {
            user: 0,
            id: 0,
            state,
            runtime: 1,
            of: Of::HtCondor,
        },
    }
}

fn number(writer: &Writer, sql: &str) -> i64 {
    writer.store.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_damaged_day_begins_anew_and_others_are_settled() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    keep(&mut writer, vec![received(&[job(0, 1)])]);
    writer.settle().unwrap();
    writer
        .store
        .execute("UPDATE slots SET cells = x'00'", [])
        .unwrap();
    keep(&mut writer, vec![received(&[job(0, 2)])]);
    drop(writer);
    let mut writer = open(folder.path());
    let again = received(&[job(1, 2)]);
    keep(&mut writer, vec![again]);
    writer.settle().unwrap();
    let settled = number(&writer, "SELECT block FROM summarised");
    assert_eq!(settled, number(&writer, "SELECT max(id) FROM blocks"));
    assert_eq!(Tables::stored(&writer.store).seen.len(), 1);
}

#[test]
fn only_the_request_whose_batch_is_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    let with_key = |n: u128, minute: u8| Received {
        key: Some(Key {
            batch: uuid::Uuid::from_u128(n),
            first: 0,
            count: 1,
        }),
        ..received(&[job(minute, 1)])
    };
    keep(&mut writer, vec![with_key(1, 0), with_key(2, 1)]);
    writer
        .store
        .execute(
            "UPDATE batches SET ranges = x'01' WHERE batch = ?",
            [uuid::Uuid::from_u128(1).as_bytes()],
        )
        .unwrap();
    let kept = keep(
        &mut writer,
        vec![
            with_key(1, 0),
            with_key(2, 1),
            with_key(3, 2),
            received(&[job(3, 1)]),
        ],
    );
    assert!(
        matches!(&kept[0], Err(Refusal::NotStored(why)) if why.contains("damaged")),
        "{kept:?}"
    );
    let kept: Vec<(usize, usize)> = kept[1..]
        .iter()
        .map(|kept| {
            kept.clone()
                .map(|kept| (kept.stored, kept.repeated))
                .unwrap()
        })
        .collect();
    assert_eq!(kept, [(0, 1), (1, 0), (1, 0)]);
}

#[test]
fn a_job_reported_on_three_days_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    for day in 0..3 {
        let mut document = job(0, 4).json();
        document["timestamp"] = text(BEGIN + day * DAY_MS).into();
        let mut one = received(&[job(0, 4)]);
        one.now = BEGIN + 3 * DAY_MS;
        let taking = Taking {
            now: one.now,
            accept_unknown_kinds: false,
            gate: None,
        };
        one.documents = taking
            .documents(&document.to_string(), Form::Lines, &mut Vec::new())
            .unwrap();
        keep(&mut writer, vec![one]);
        writer.settle().unwrap();
    }
    assert_eq!(number(&writer, "SELECT count(*) FROM ended"), 3);
    assert_eq!(number(&writer, "SELECT sum(is_counted) FROM ended"), 1);
    assert_eq!(Tables::stored(&writer.store).ended["facility-0"], (1, 1.0));
}

/// What came late is late by the same clock when it is added up again.
#[test]
fn after_a_crash_as_many_are_late() {
    let late = |writer: &Writer| {
        number(
            writer,
            "SELECT CAST(sum(sum) AS INTEGER) FROM days JOIN series ON series.id = days.id / 65536 WHERE metric = 'late'",
        )
    };
    let group = || {
        let (mut early, mut later) = (received(&[job(0, 1)]), received(&[job(0, 2)]));
        (early.now, later.now) = (BEGIN + 5 * 60_000, BEGIN + 5 * 60_000 + 1);
        vec![early, later]
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut live = open(folders[0].path());
    keep(&mut live, group());
    live.settle().unwrap();
    let mut crashed = open(folders[1].path());
    keep(&mut crashed, group());
    drop(crashed);
    assert_eq!(late(&live), late(&open(folders[1].path())));
}

#[tokio::test]
async fn the_end_of_the_writer_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writing) = Store::open(folder.path()).unwrap();
    store.settle().await.unwrap();
    let asked = store
        .on_writer(|_| -> () { panic!("as a test wants it") })
        .await;
    assert!(asked.is_err());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), store.writer_ended());
    ended.await.unwrap();
    assert!(store.settle().await.is_err(), "nothing is due, and yet");
    assert_eq!(
        store.keep(received(&[job(0, 1)])).await,
        Err(Refusal::Stopping)
    );
    assert!(store.settle().await.is_err());
    drop(store);
    assert!(writing.end().is_err());
}

#[tokio::test]
async fn many_questions_at_once_see_what_was_stored_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writing) = Store::open(folder.path()).unwrap();
    for n in 1..20_i64 {
        store.keep(received(&[job(0, 1)])).await.unwrap();
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.settle().await.unwrap();
                    let sum = "SELECT sum(documents) FROM seen";
                    store
                        .read(
                            move |store| Ok(store.query_row(sum, [], |row| row.get::<_, i64>(0))?),
                        )
                        .await
                })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap().unwrap(), n);
        }
    }
    drop(store);
    writing.end().unwrap();
    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["afmetrics.db", "receiver.lock"]);
}

#[test]
fn the_deep_check_finds_what_is_not_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    keep(&mut writer, vec![received(&[job(0, 1), job(1, 4)])]);
    writer.settle().unwrap();
    let findings = |writer: &mut Writer| {
        let mut findings = Vec::new();
        super::check::check(&mut writer.store, true, &mut |line| findings.push(line)).unwrap();
        findings
    };
    assert_eq!(findings(&mut writer), [""; 0]);
    let change = |writer: &Writer, sql: &str| writer.store.execute(sql, []).unwrap();
    change(&writer, "UPDATE seen SET documents = documents + 1");
    assert_eq!(findings(&mut writer).len(), 1);
    change(&writer, "DELETE FROM seen");
    assert_eq!(findings(&mut writer).len(), 1);
    keep(&mut writer, vec![received(&[job(2, 1)])]);
    writer.settle().unwrap();
    change(&writer, "UPDATE seen SET documents = 3");
    assert!(
        findings(&mut writer)
            .iter()
            .all(|line| line.contains("seen on day"))
    );
    change(
        &writer,
        "INSERT INTO slots SELECT id + 1, cells FROM slots LIMIT 1",
    );
    let found = findings(&mut writer);
    assert!(
        found
            .iter()
            .any(|line| line.contains("slots and no totals")),
        "{found:?}"
    );
    change(&writer, "UPDATE ended SET is_counted = 0");
    let found = findings(&mut writer);
    let of_ended = found.iter().filter(|line| line.contains("are known"));
    assert_eq!(of_ended.count(), 3, "one for each metric: {found:?}");
}

/// On a full disk it could not be opened otherwise.
#[test]
fn a_store_that_is_up_to_date_is_opened_without_a_write() {
    let folder = tempfile::tempdir().unwrap();
    let first = schema::open(folder.path()).unwrap();
    let version = || -> i64 {
        let sql = "PRAGMA data_version";
        first.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = version();
    drop(open(folder.path()));
    assert_eq!(version(), before);
}

/// What came again and what was refused is in no document: neither a check, nor erasing, nor growing old trips
/// over it, also where it is of no facility.
#[test]
fn what_no_document_says_is_counted_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    let batch = || Received {
        key: Some(Key {
            batch: uuid::Uuid::from_u128(1),
            first: 0,
            count: 2,
        }),
        ..received(&[job(0, 1), job(1, 4)])
    };
    let arrived = batch().now;
    for _ in 0..3 {
        keep(&mut writer, vec![batch()]);
    }
    let refused = writer.refused();
    for facility in [None, Some("facility-0"), Some("never-heard-of"), None] {
        refused.note(401, "no token", facility.map(Into::into), arrived);
    }
    writer.settle().unwrap();
    let counted = |writer: &Writer| -> Vec<(i64, String, String, i64, f64)> {
        let mut read = writer
            .store
            .prepare(
                "SELECT facility, metric, label, days.id % 65536, sum FROM series JOIN days ON days.id / 65536 = series.id
                 WHERE metric IN ('repeated', 'refused') ORDER BY facility, metric",
            )
            .unwrap();
        let rows = read.query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let day = arrived / DAY_MS;
    let label = || "401 no token".to_owned();
    let all = [
        (0, "refused".to_owned(), label(), day, 3.0),
        (1, "refused".to_owned(), label(), day, 1.0),
        (1, "repeated".to_owned(), "condorjob".to_owned(), day, 4.0),
    ];
    assert_eq!(counted(&writer), all);
    assert_eq!(number(&writer, "SELECT count(*) FROM facilities"), 1);
    let sound = |writer: &mut Writer| {
        let mut findings = Vec::new();
        super::check::check(&mut writer.store, true, &mut |line| findings.push(line)).unwrap();
        assert_eq!(findings, [""; 0]);
    };
    sound(&mut writer);
    writer.forget("canary-0", None, arrived).unwrap();
    assert_eq!(counted(&writer), all);
    sound(&mut writer);
    // A crash: what was settled stays, and counts once.
    drop(writer);
    let mut writer = open(folder.path());
    assert_eq!(counted(&writer), all);
    let keep = Keep {
        documents: 40,
        summaries: 40,
    };
    writer.prune(keep, arrived + 41 * DAY_MS).unwrap();
    assert_eq!(counted(&writer), []);
    sound(&mut writer);
}

/// What cannot be added up again is not lost where the documents beside it are, nor where the store cannot be read.
#[test]
fn what_no_document_says_outlives_what_could_not_be_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    let batch = || Received {
        key: Some(Key {
            batch: uuid::Uuid::from_u128(1),
            first: 0,
            count: 1,
        }),
        ..received(&[job(0, 1)])
    };
    let refused = writer.refused();
    refused.note(401, "no token", None, BEGIN);
    writer.settle().unwrap();
    for name in ["facility-0", "facility-1", "facility-2"] {
        refused.note(403, "not yours", Some(name.into()), BEGIN);
    }
    writer
        .store
        .execute_batch("ALTER TABLE facilities RENAME TO away")
        .unwrap();
    assert!(writer.settle().is_err());
    writer
        .store
        .execute_batch("ALTER TABLE away RENAME TO facilities")
        .unwrap();
    keep(&mut writer, vec![batch(), batch()]);
    writer.lose();
    keep(&mut writer, vec![batch()]);
    writer.settle().unwrap();
    let sum = |metric: &str| {
        let sum = format!(
            "SELECT CAST(sum(sum) AS INTEGER) FROM days JOIN series ON series.id = days.id / 65536 WHERE metric = '{metric}'"
        );
        number(&writer, &sum)
    };
    assert_eq!(sum("repeated"), 2);
    assert_eq!(sum("refused"), 4);
    assert_eq!(sum("documents"), 1);
}

#[tokio::test]
async fn one_reader_is_left_where_all_others_are_busy() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writing) = Store::open(folder.path()).unwrap();
    let (end, _) = tokio::sync::broadcast::channel::<()>(1);
    let mut long = Vec::new();
    for _ in 0..super::READERS {
        let (began, begins) = oneshot::channel();
        let (store, mut ended) = (store.clone(), end.subscribe());
        long.push(tokio::spawn(async move {
            let wait = move |_: &mut rusqlite::Connection| {
                let _ = began.send(());
                Ok(ended.blocking_recv()?)
            };
            store.read(wait).await
        }));
        begins.await.unwrap();
    }
    let patience = std::time::Duration::from_secs(10);
    let apart = tokio::time::timeout(patience, store.read_apart(|_| Ok(())));
    apart.await.unwrap().unwrap();
    end.send(()).unwrap();
    for one in long {
        one.await.unwrap().unwrap();
    }
    drop(store);
    writing.end().unwrap();
}
