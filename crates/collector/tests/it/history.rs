//! Rounds in a row at a node whose jobs leave the queue, whose history is rotated and rewritten, and
//! whose endpoint is not always there: each job that finished is reported once.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::schedd::ends;
use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, TOKEN, World};

/// A schedd, the collector beside it, and an endpoint.
struct Pool {
    world: World,
    endpoint: Endpoint,
    /// Documents that the endpoint has taken.
    accepted: Arc<Mutex<Vec<Value>>>,
    is_away: Arc<AtomicBool>,
    /// The records, oldest first.
    history: Vec<Value>,
    queue: Vec<Value>,
    /// How many jobs there were.
    jobs: u64,
    /// Ids of those that have to be reported as what.
    wanted: BTreeMap<String, &'static str>,
    args: Vec<&'static str>,
}

pub fn now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

const HOUR: u64 = 3600;

/// As HTCondor prints a list.
fn print<'a>(ads: impl Iterator<Item = &'a Value>) -> String {
    let ads: Vec<String> = ads
        .map(|ad| {
            let lines: Vec<String> = ad
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| format!("  \"{name}\": {value}"))
                .collect();
            format!("{{\n{}\n}}\n", lines.join(",\n"))
        })
        .collect();
    format!("[\n{}]\n", ads.join(",\n"))
}

impl Pool {
    fn new() -> Self {
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let is_away = Arc::new(AtomicBool::new(false));
        let (book, away) = (Arc::clone(&accepted), Arc::clone(&is_away));
        let endpoint = Endpoint::start(Protocol::Http1, move |_, request| {
            if away.load(Ordering::Relaxed) {
                return Reply::Status(503, "away".to_owned());
            }
            book.lock().unwrap().extend(request.documents());
            Reply::ok()
        });
        let mut world = World::new();
        // What `missed` holds is what one reading finds while files are rotated.
        world
            .program("condor_q", "exec /usr/bin/cat queue")
            .program(
                "condor_history",
                "[ ! -e missed ] || { /usr/bin/mv missed once; exec /usr/bin/cat once; }\nexec /usr/bin/cat history",
            );
        Self {
            world,
            endpoint,
            accepted,
            is_away,
            history: Vec::new(),
            queue: Vec::new(),
            jobs: 0,
            wanted: BTreeMap::new(),
            args: Vec::new(),
        }
    }

    /// The record of a job, no other's, that did what it was to do, so long ago.
    fn job(&mut self, age: u64) -> Value {
        self.jobs += 1;
        let (job, at) = (self.jobs, now() - age);
        json!({
            "ClusterId": job,
            "CompletionDate": at,
            "EnteredCurrentStatus": at,
            "GlobalJobId": format!("login01.canary.example#{job}.0#1700000000"),
            "JobFinishedHookDone": at,
            "JobStatus": 4,
            "Owner": "canary-1",
            "ProcId": 0,
            "RemoteWallClockTime": 38.0,
        })
    }

    /// So many jobs finish and leave the queue.
    fn finish(&mut self, count: usize) {
        self.finish_ago(count, 0);
    }

    fn finish_ago(&mut self, count: usize, age: u64) {
        for _ in 0..count {
            let job = self.job(age);
            self.want(&job, "finished");
            self.history.push(job);
        }
    }

    fn want(&mut self, job: &Value, state: &'static str) {
        self.wanted.insert(format!("{}.0", job["ClusterId"]), state);
    }

    fn write(&self) {
        let newest_first = self.history.iter().rev();
        fs::write(self.world.path("cwd/history"), print(newest_first)).unwrap();
        fs::write(self.world.path("cwd/queue"), print(self.queue.iter())).unwrap();
    }

    /// What the next reading of the history finds, once: it misses these records.
    fn misses(&self, records: std::ops::Range<usize>) {
        let mut history = self.history.clone();
        history.drain(records);
        let missed = print(history.iter().rev());
        fs::write(self.world.path("cwd/missed"), missed).unwrap();
    }

    fn args(&self) -> Vec<&str> {
        let ca = self.endpoint.ca.path().to_str().unwrap();
        let to = ["-t", TOKEN, "-u", &self.endpoint.url, "--ca-file", ca];
        [&to[..], &["-b", "--batch-size", "500"], &self.args].concat()
    }

    fn round(&self) -> Run {
        self.write();
        self.world.run(&self.args())
    }

    /// A round in which all is well.
    #[track_caller]
    fn good_round(&self) -> Run {
        let run = self.round();
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
        run
    }

    /// Every job that is wanted was reported once, and none else.
    #[track_caller]
    fn reports_each_once(&self) {
        let mut reported: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for document in self.accepted.lock().unwrap().iter() {
            let [id, state] = [&document["Id"], &document["state"]].map(|v| v.as_str().unwrap());
            if !["running", "idle"].contains(&state) {
                let states = reported.entry(id.to_owned()).or_default();
                states.push(state.to_owned());
            }
        }
        let wrong: Vec<_> = reported
            .iter()
            .filter(|(id, states)| {
                let wanted = self.wanted.get(*id);
                wanted.is_none_or(|wanted| **states != [*wanted])
            })
            .collect();
        let some = wrong.iter().take(9).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{} too much: {some:?}", wrong.len());
        let missing: Vec<_> = self
            .wanted
            .keys()
            .filter(|id| !reported.contains_key(*id))
            .collect();
        let some = missing.iter().take(9).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{} missing: {some:?}", missing.len());
    }
}

#[test]
fn each_job_is_reported_once_in_rounds_that_follow_each_other_and_in_skipped_ones() {
    let mut pool = Pool::new();
    pool.good_round();
    for count in [1, 0, 3, 60, 0, 2] {
        pool.finish(count);
        pool.good_round();
        pool.reports_each_once();
        pool.good_round();
        pool.reports_each_once();
    }
    // The node was down, and the collector before that.
    pool.finish_ago(700, 30 * HOUR);
    pool.finish(1);
    pool.good_round();
    pool.reports_each_once();
    pool.finish_ago(2000, HOUR);
    pool.good_round();
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn the_first_round_reports_six_minutes() {
    let mut pool = Pool::new();
    pool.finish_ago(800, 2 * HOUR);
    pool.finish_ago(1, 400);
    pool.wanted.clear();
    pool.finish_ago(2, 300);
    // One that left late stands in front.
    pool.finish_ago(1, HOUR);
    pool.wanted.remove("804.0");
    pool.finish_ago(2, 0);
    pool.good_round();
    pool.reports_each_once();
    pool.finish(1);
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn rounds_at_once_report_each_job_once() {
    let mut pool = Pool::new();
    pool.good_round();
    for _ in 0..5 {
        pool.finish(7);
        let job = pool.job(0);
        pool.want(&job, "finished");
        pool.queue.push(job);
        pool.write();
        let rounds: Vec<_> = (0..3)
            .map(|_| {
                let mut command = pool.world.command(&pool.args());
                command.stdout(Stdio::null()).stderr(Stdio::null());
                command.spawn().unwrap()
            })
            .collect();
        for mut round in rounds {
            let status = round.wait().unwrap();
            assert!(matches!(status.code(), Some(0 | 1)), "{status}");
        }
    }
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn while_the_endpoint_is_away_nothing_is_lost_or_reported_twice() {
    let mut pool = Pool::new();
    pool.args = vec!["--deliver-for", "1"];
    pool.good_round();
    pool.is_away.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        pool.finish(4);
        let job = pool.job(0);
        pool.want(&job, "finished");
        pool.queue.push(job);
        assert_eq!(pool.round().status, 1);
    }
    assert_eq!(pool.accepted.lock().unwrap().len(), 0);
    // Meanwhile one that was in the queue has left it.
    let left = pool.queue.remove(0);
    pool.history.push(left);
    pool.is_away.store(false, Ordering::Relaxed);
    pool.args.clear();
    pool.good_round();
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn a_rotated_history_costs_no_job() {
    let mut pool = Pool::new();
    pool.finish(600);
    pool.good_round();
    // The oldest known ones are gone, then all but one.
    for left in [200, 1] {
        pool.history.drain(..pool.history.len() - left);
        pool.finish(50);
        pool.good_round();
        pool.reports_each_once();
    }
    // All are, and perhaps others that nobody has read.
    pool.history.clear();
    pool.finish(50);
    let run = pool.round();
    let run = run.exits(0).says("WARN condor_history: no record that the last round read is there any more: others may have been rotated away unread");
    assert_eq!(run.lines_with("WARN"), 1, "{}", run.stderr);
    pool.finish(1);
    pool.good_round();
    pool.reports_each_once();
}

/// Another round has one of the two lists: the other one is its, too.
#[test]
fn history_and_queue_are_read_by_the_same_round() {
    let mut pool = Pool::new();
    pool.good_round();
    for busy in ["condor_history", "condor_jobs"] {
        pool.finish(1);
        let path = pool.world.path(&format!("state/locks/{busy}@UC-AF"));
        let lock = fs::File::options().write(true).open(path).unwrap();
        lock.lock().unwrap();
        let run = pool.round().exits(0).says("WARN left to another round");
        for collector in ["condor_history", "condor_jobs"] {
            assert_eq!(run.lines_with(collector), 1, "{}", run.stderr);
        }
        drop(lock);
        pool.good_round();
        pool.reports_each_once();
    }
}

/// As where its folder is away for a moment.
#[test]
fn a_history_that_is_empty_for_once_makes_no_old_job_new() {
    let mut pool = Pool::new();
    // In the first round, too.
    pool.good_round();
    pool.finish_ago(40, HOUR);
    pool.wanted.clear();
    pool.finish(3);
    pool.good_round();
    pool.reports_each_once();
    let history = std::mem::take(&mut pool.history);
    for _ in 0..2 {
        pool.round().exits(0).says("WARN condor_history: no record");
    }
    pool.history = history;
    pool.finish_ago(2, HOUR);
    pool.finish(2);
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn a_job_that_is_in_the_queue_again_after_a_crash_is_not_reported_once_more() {
    let mut pool = Pool::new();
    pool.good_round();
    pool.finish(2);
    pool.good_round();
    pool.finish(1);
    pool.queue.extend(pool.history.clone());
    for _ in 0..2 {
        pool.good_round();
        pool.reports_each_once();
    }
    let queue = std::mem::take(&mut pool.queue);
    pool.history.extend(queue);
    for _ in 0..2 {
        pool.good_round();
        pool.reports_each_once();
    }
}

/// A file that nobody writes to: it is there, and cannot be read now.
#[test]
fn a_cursor_that_cannot_be_read_for_once_costs_no_job() {
    let mut pool = Pool::new();
    pool.finish(2);
    pool.good_round();
    for collector in ["condor_history", "condor_jobs"] {
        pool.finish_ago(2, HOUR);
        let job = pool.job(HOUR);
        pool.want(&job, "finished");
        pool.queue.push(job);
        let file = cursor_file(&pool, collector);
        let content = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&file, mode).unwrap();
        pool.args = vec!["--silence", "2"];
        let why = format!("ERROR {collector}: cannot read the cursor ");
        pool.round().exits(1).says(&why);
        pool.args.clear();
        fs::remove_file(&file).unwrap();
        fs::write(&file, content).unwrap();
        pool.good_round();
        pool.reports_each_once();
    }
}

/// Files are rotated between the tool's look at their names and its opening of them: one is missed.
#[test]
fn a_file_that_one_reading_misses_costs_no_job_and_makes_no_old_one_new() {
    let mut pool = Pool::new();
    pool.finish_ago(3000, HOUR);
    pool.wanted.clear();
    pool.finish(600);
    pool.good_round();
    pool.reports_each_once();
    // With all that is known in it: it is noticed, and the next reading finds it.
    pool.finish(40);
    pool.misses(3000..3630);
    pool.good_round();
    assert!(!pool.world.path("cwd/missed").exists());
    pool.reports_each_once();
    // With new ones only: the next round finds them, between known ones.
    pool.finish(900);
    pool.misses(3700..4500);
    pool.good_round();
    assert_eq!(
        pool.accepted.lock().unwrap().len(),
        640 + 100,
        "those that were missed are not there"
    );
    pool.finish(900);
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn a_job_that_is_written_once_more_after_a_crash_is_not_reported_once_more() {
    let mut pool = Pool::new();
    pool.finish(5);
    pool.good_round();
    // A known one between new ones, a new one twice, and the last known one in front of all.
    let mut known = pool.history[2].clone();
    known["RemoteWallClockTime"] = json!(0.0);
    pool.finish(3);
    pool.history.push(known);
    pool.finish(3);
    let twice = pool.history[pool.history.len() - 2].clone();
    pool.history.push(twice);
    let last_known = pool.history[0].clone();
    pool.history.push(last_known);
    pool.good_round();
    pool.reports_each_once();
    pool.finish(2);
    pool.good_round();
    pool.reports_each_once();
}

#[test]
fn late_leavers_equal_times_and_a_clock_that_was_set_back_make_no_difference() {
    let mut pool = Pool::new();
    pool.good_round();
    pool.finish(2);
    pool.good_round();
    pool.finish(1);
    // Left only now, done long ago, in front of others.
    pool.finish_ago(1, 400 * HOUR);
    pool.good_round();
    pool.reports_each_once();
    // 60 at one time, of which a round sees the first 20.
    for count in [20, 40] {
        for _ in 0..count {
            let mut job = pool.job(0);
            for time in [
                "CompletionDate",
                "EnteredCurrentStatus",
                "JobFinishedHookDone",
            ] {
                job[time] = json!(1_700_000_000);
            }
            pool.want(&job, "finished");
            pool.history.push(job);
        }
        pool.good_round();
        pool.reports_each_once();
    }
    // The clock was hours ahead, and then was not.
    for offset in [now() - 5 * HOUR, 0, 9 * HOUR, 3] {
        pool.finish_ago(2, offset);
        pool.good_round();
        pool.reports_each_once();
    }
}

#[test]
fn removed_jobs_are_reported_once_if_they_are_wanted() {
    let mut pool = Pool::new();
    pool.good_round();
    let removed = |pool: &mut Pool, is_wanted: bool| {
        let mut job = pool.job(0);
        job["JobStatus"] = json!(3);
        job.as_object_mut().unwrap().remove("CompletionDate");
        if is_wanted {
            pool.want(&job, "removed");
        }
        pool.history.push(job);
    };
    removed(&mut pool, false);
    pool.finish(1);
    pool.good_round();
    pool.reports_each_once();
    pool.args = vec!["--removed-jobs"];
    for _ in 0..3 {
        removed(&mut pool, true);
        pool.finish(1);
        removed(&mut pool, true);
        pool.good_round();
        pool.reports_each_once();
    }
}

#[test]
fn a_completed_job_that_stays_in_the_queue_is_reported_when_it_is_first_seen() {
    let mut pool = Pool::new();
    pool.good_round();
    // Completed while nobody looked, too.
    for age in [0, 0, 0, 9 * HOUR] {
        let job = pool.job(age);
        pool.want(&job, "finished");
        pool.queue.push(job);
    }
    for _ in 0..3 {
        pool.good_round();
        pool.reports_each_once();
        pool.finish(1);
    }
    // They leave as they are, and removed; with one that came and left between two rounds.
    let mut unseen = pool.job(HOUR);
    pool.want(&unseen, "finished");
    unseen["JobStatus"] = json!(3);
    let mut left: Vec<Value> = pool.queue.drain(..3).collect();
    left[1]["JobStatus"] = json!(3);
    left.push(unseen);
    pool.history.extend(left);
    pool.finish(1);
    for _ in 0..2 {
        pool.good_round();
        pool.reports_each_once();
    }
    // The last one is in no list for some rounds, then in the history.
    let last = pool.queue.remove(0);
    pool.good_round();
    pool.good_round();
    pool.history.push(last);
    pool.good_round();
    pool.good_round();
    pool.reports_each_once();
    let cursor = cursor(&pool, "condor_jobs");
    assert_eq!(cursor, json!({"finished": "", "left": {}}));
}

/// The cursor of a collector, when all rounds are delivered.
fn cursor(pool: &Pool, collector: &str) -> Value {
    let bytes = fs::read(cursor_file(pool, collector)).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["cursor"].clone()
}

fn cursor_file(pool: &Pool, collector: &str) -> std::path::PathBuf {
    let file = format!("state/cursors/{collector}@UC-AF.json");
    pool.world.path(&file)
}

#[test]
fn a_tool_that_fails_in_one_round_costs_no_job() {
    let mut pool = Pool::new();
    pool.finish(3);
    pool.good_round();
    for tool in ["condor_history", "condor_q"] {
        let job = pool.job(0);
        pool.want(&job, "finished");
        pool.queue.push(job);
        pool.good_round();
        // It leaves in a round in which one of the tools breaks off.
        let left = pool.queue.remove(0);
        pool.history.push(left);
        pool.finish(4);
        let path = pool.world.path(&format!("bin/{tool}"));
        let good = fs::read(&path).unwrap();
        let file = if tool == "condor_q" {
            "queue"
        } else {
            "history"
        };
        let broken = format!("/usr/bin/head -c 700 {file}; exit 1");
        pool.world.program(tool, &broken);
        let run = pool.round().exits(1);
        assert!(
            run.stderr
                .contains(&format!("{tool} ended with exit status 1"))
        );
        fs::write(&path, good).unwrap();
        pool.finish(1);
        pool.good_round();
        pool.good_round();
        pool.reports_each_once();
    }
}

#[test]
fn a_cursor_that_is_damaged_costs_no_job_of_six_minutes_and_repeats_no_older_one() {
    let mut pool = Pool::new();
    pool.finish_ago(1, HOUR);
    pool.wanted.clear();
    pool.good_round();
    for (collector, damage) in [
        ("condor_history", "{\"round\": 1, \"curs"),
        ("condor_jobs", "\u{0}\u{0}"),
        (
            "condor_history",
            "{\"round\": 99, \"cursor\": {\"schedds\": {\"a\": {\"read_at\": 7, \"records\": \"1\"}}}}",
        ),
        (
            "condor_jobs",
            "{\"round\": 99, \"cursor\": {\"finished\": \"12\", \"left\": {}}}",
        ),
    ] {
        pool.finish_ago(3, HOUR);
        let job = pool.job(HOUR);
        pool.want(&job, "finished");
        pool.queue.push(job);
        pool.good_round();
        fs::write(cursor_file(&pool, collector), damage).unwrap();
        pool.finish(2);
        let run = pool.round().exits(0).says("is damaged");
        assert_eq!(run.lines_with("ERROR"), 0, "{}", run.stderr);
        pool.finish_ago(2, HOUR);
        pool.good_round();
        pool.reports_each_once();
        // What was recent is old by now.
        for record in &mut pool.history {
            record["JobFinishedHookDone"] = json!(now() - HOUR);
        }
    }
}

/// As where the state folder is in a home that two nodes share.
#[test]
fn the_history_of_another_schedd_is_not_new_as_a_whole() {
    let mut pool = Pool::new();
    pool.finish(3);
    pool.good_round();
    pool.finish_ago(700, HOUR);
    for job in 4..=703 {
        pool.wanted.remove(&format!("{job}.0"));
    }
    pool.finish(2);
    let own: Vec<Value> = pool.history.drain(..3).collect();
    for record in &mut pool.history {
        let key = record["GlobalJobId"].as_str().unwrap();
        record["GlobalJobId"] = json!(key.replace("login01", "login02"));
    }
    let why = "WARN condor_history: the last round with this state folder read the history of another schedd";
    pool.round().exits(0).says(why);
    pool.good_round();
    pool.reports_each_once();
    // From now on each goes on where it was.
    let other = std::mem::replace(&mut pool.history, own);
    pool.finish_ago(2, HOUR);
    pool.good_round();
    pool.reports_each_once();
    pool.history = other;
    pool.good_round();
    pool.reports_each_once();
    let text = fs::read_to_string(cursor_file(&pool, "condor_history")).unwrap();
    assert!(!text.contains("login"), "{text}");
}

/// Reading ends where all is known, and so does the tool.
#[test]
fn a_history_without_end_is_not_read_to_its_end() {
    let mut pool = Pool::new();
    pool.finish_ago(520, HOUR);
    pool.wanted.clear();
    let endless = "echo $$ > pid; /usr/bin/head -n -1 history; echo ,; exec /usr/bin/yes \"$(/usr/bin/cat old)\"";
    pool.world.program("condor_history", endless);
    let old = pool.job(2 * HOUR);
    let old = print([&old].into_iter()).replace(['[', ']'], "");
    fs::write(pool.world.path("cwd/old"), format!("{},", old.trim())).unwrap();
    let begun = Instant::now();
    for new in [0, 2, 40] {
        pool.finish(new);
        pool.good_round();
        let pid = fs::read_to_string(pool.world.path("cwd/pid")).unwrap();
        assert!(ends(pid.trim()), "condor_history still runs");
        pool.reports_each_once();
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// Without a state folder every round is the first.
#[test]
fn without_a_state_folder_six_minutes_are_reported_in_every_round() {
    let mut pool = Pool::new();
    pool.finish_ago(2, HOUR);
    pool.finish(2);
    let recent = pool.job(0);
    let old = pool.job(HOUR);
    pool.queue.extend([recent, old]);
    pool.write();
    for _ in 0..2 {
        let ca = pool.endpoint.ca.path().to_str().unwrap();
        let run = Run::of(pool.world.command_without_state_dir(&[
            "-t",
            TOKEN,
            "-u",
            &pool.endpoint.url,
            "--ca-file",
            ca,
            "-b",
            "--state-dir",
            "/dev/null/no",
        ]));
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
        let mut accepted = pool.accepted.lock().unwrap();
        let mut ids: Vec<Value> = accepted.drain(..).map(|d| d["Id"].clone()).collect();
        ids.sort_by_key(Value::to_string);
        assert_eq!(ids, ["3.0", "4.0", "5.0"]);
    }
}
