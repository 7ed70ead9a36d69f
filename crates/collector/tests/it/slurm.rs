//! A real Slurm: jobs of several users in all states, told by the collector as `scontrol` and `sacct` tell
//! them; daemons that are stopped, and that hang; jobs that are hidden.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::program::Run;
use crate::support::slurm::{Slurm, Unprivileged};
use told::{counted, ended_told, queue_told};

// Users that every Debian has.
const DAEMON: u32 = 1;
const GAMES: u32 = 5;
const MAIL: u32 = 8;
const WWW_DATA: u32 = 33;
const NOBODY: u32 = 65_534;
/// One that no system knows.
const NAMELESS: u32 = 61_042;

/// What Slurm calls the end of a run, and what a document calls it.
const ENDS: [(&str, &str); 5] = [
    ("COMPLETED", "finished"),
    ("FAILED", "failed"),
    ("CANCELLED", "removed"),
    ("TIMEOUT", "timeout"),
    ("REQUEUED", "requeued"),
];

/// One after the other, each with an empty queue.
const PARTS: &[(&str, Part)] = &[
    ("the queue", the_queue),
    ("an empty queue", an_empty_queue),
    ("the accounts", the_accounts),
    ("hidden jobs", hidden_jobs),
    ("slurmctld hangs", slurmctld_hangs),
    ("slurmctld is down", slurmctld_is_down),
    ("slurmdbd is down", slurmdbd_is_down),
];
type Part = fn(&Slurm);

/// One test, as there is one queue, and as more would wait for each other in threads that other tests need.
#[test]
fn slurm_is_told_as_it_is() {
    let Some(slurm) = Slurm::there() else {
        return;
    };
    let mut failed = None;
    for (name, part) in PARTS {
        let begun = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| {
            slurm.is_cleared();
            part(&slurm);
        }));
        println!("{name}: {} s", begun.elapsed().as_secs());
        if let Err(why) = done {
            println!("{name} FAILED");
            failed.get_or_insert(why);
        }
    }
    if let Some(why) = failed {
        resume_unwind(why);
    }
}

/// Jobs that wait for all kinds of reasons, run, or are suspended.
fn fill_queue(slurm: &Slurm) {
    let sleep = "sleep 600";
    let first = slurm.submit(GAMES, &["-n2", "--mem=300M"], sleep);
    let charged = ["--account=physics", "--job-name=a | b, c = d \u{1f} e"];
    let second = slurm.submit(WWW_DATA, &charged, sleep);
    let third = slurm.submit(NOBODY, &["--partition=long"], sleep);
    let array = slurm.submit(DAEMON, &["--array=1-3%1"], sleep);
    let suspended = slurm.submit(GAMES, &[], sleep);
    for running in [&first, &second, &third, &format!("{array}_1"), &suspended] {
        slurm.reaches(running, "RUNNING");
    }
    slurm.says("scontrol", &["suspend", &suspended]);
    slurm.reaches(&suspended, "SUSPENDED");
    slurm.submit(GAMES, &["--hold"], "true");
    slurm.submit(GAMES, &["--hold", "--array=1-9:2"], "true");
    slurm.submit(NAMELESS, &["--hold"], "true");
    let by_admin = slurm.submit(MAIL, &["--begin=now+1hour"], "true");
    slurm.says("scontrol", &["hold", &by_admin]);
    slurm.submit(
        MAIL,
        &["--begin=now+1hour", "--partition=batch,long"],
        "true",
    );
    let after = format!("--dependency=afterok:{first}");
    slurm.submit(DAEMON, &[&after], "true");
    // There is not room for it.
    slurm.submit(NOBODY, &["--partition=long", "-n64"], "true");
}

fn the_queue(slurm: &Slurm) {
    fill_queue(slurm);
    let before = slurm.told();
    let world = slurm.world();
    let run = world.print(&["--slurm"]).exits(0);
    let after = slurm.told();
    assert_eq!(queue_of(&run), counted(&before));
    let documents = jobs_of(&run);
    let (shortest, longest) = (queue_told(&before), queue_told(&after));
    assert_eq!(shortest.len(), 13);
    assert_eq!(
        documents.keys().collect::<Vec<_>>(),
        shortest.keys().collect::<Vec<_>>()
    );
    for (id, document) in &documents {
        let mut document = document.clone();
        let runtime = document["Runtime"].take().as_i64().unwrap();
        let (mut least, mut most) = (shortest[id].clone(), longest[id].clone());
        let least_runtime = least["Runtime"].take().as_i64().unwrap();
        let most_runtime = most["Runtime"].take().as_i64().unwrap();
        assert_eq!((&document, &document), (&least, &most));
        assert!(
            (least_runtime..=most_runtime).contains(&runtime),
            "{id}: {least_runtime} {runtime} {most_runtime}"
        );
    }
    for state in ["idle", "held", "running", "suspended"] {
        assert!(
            documents.values().any(|job| job["state"] == state),
            "{state}"
        );
    }
    with_traps(slurm, &run);
}

/// What a user's environment may say to Slurm's tools changes nothing.
fn with_traps(slurm: &Slurm, plain: &Run) {
    let mut world = slurm.world();
    for (name, value) in [
        ("SQUEUE_STATES", "R"),
        ("SQUEUE_PARTITION", "spare"),
        ("SQUEUE_USERS", "mail"),
        ("SQUEUE_FORMAT", "%i"),
        ("SQUEUE_FORMAT2", "JobID"),
        ("SQUEUE_ARRAY", "1"),
        ("SQUEUE_SORT", "i"),
        ("SINFO_FORMAT", "%t"),
        ("SINFO_PARTITION", "spare"),
        ("SACCT_FORMAT", "JobName"),
        ("SLURM_TIME_FORMAT", "relative"),
        ("SLURM_BITSTR_LEN", "4"),
        ("SLURM_CLUSTERS", "nowhere"),
        ("SQUEUE_CLUSTERS", "nowhere"),
        ("TZ", "America/New_York"),
        ("LC_ALL", "de_DE.UTF-8"),
    ] {
        world.env(name, value);
    }
    let run = world.print(&["--slurm"]).exits(0);
    assert_eq!(queue_of(&run), queue_of(plain));
    let without_times = |run: &Run| {
        let mut jobs = jobs_of(run);
        for job in jobs.values_mut() {
            job["Runtime"].take();
        }
        jobs
    };
    assert_eq!(without_times(&run), without_times(plain));
}

fn an_empty_queue(slurm: &Slurm) {
    let mut world = slurm.world();
    let mut zeros = counted(&[]);
    assert_eq!(zeros.len(), 4);
    // There is no condor_q here, so this is Slurm as well.
    for flag in ["--slurm", "-b"] {
        let run = world.print(&[flag]).exits(0);
        assert_eq!(queue_of(&run), zeros);
        assert_eq!(jobs_of(&run), BTreeMap::new());
    }
    // Slurm's tools are there, and no Slurm.
    world.env("SLURM_CONF", "/nowhere/slurm.conf");
    let run = world.print(&["--slurm", "--silence", "2"]).exits(1);
    zeros.clear();
    assert_eq!(queue_of(&run), zeros);
}

fn the_accounts(slurm: &Slurm) {
    let (world, endpoint) = (slurm.world(), Endpoint::ok(Protocol::PlainHttp));
    let round = || world.deliver(&endpoint, &["--slurm"]).exits(0);
    round();
    let mut ids = BTreeSet::new();
    let mut submit = |uid: u32, options: &[&str], script: &str| {
        let id = slurm.submit(uid, options, script);
        ids.insert(id.clone());
        id
    };
    let requeued = submit(GAMES, &["--requeue", "--account=physics"], "sleep 600");
    let too_long = submit(WWW_DATA, &["--time=1"], "sleep 600");
    let cancelled = submit(MAIL, &["-n3"], "sleep 600");
    submit(NOBODY, &["--partition=long"], "exit 7");
    submit(DAEMON, &["--array=1-3"], "sleep 1");
    let waiting = submit(DAEMON, &["--hold", "-n4"], "true");
    let later = submit(DAEMON, &["--begin=now+1hour"], "true");
    for running in [&requeued, &too_long, &cancelled] {
        slurm.reaches(running, "RUNNING");
    }
    slurm.says("scontrol", &["requeue", &requeued]);
    slurm.says(
        "scontrol",
        &["update", &format!("jobid={too_long}"), "endtime=now"],
    );
    slurm.says("scancel", &[&cancelled, &waiting, &later]);
    // Records are not whole at once: rounds while they arrive.
    for _ in 0..3 {
        let short: Vec<String> = (0..5).map(|_| submit(GAMES, &[], "true")).collect();
        for id in short {
            slurm.reaches(&id, "COMPLETED");
        }
        round();
    }
    slurm.reaches(&requeued, "RUNNING");
    round();
    slurm.says("scancel", &[&requeued]);
    slurm.reaches(&too_long, "TIMEOUT");
    slurm.accounts_have_ends(&ids, 25);
    round();
    let documents = ended_of(&endpoint.documents(), &ids);
    assert_eq!(documents, ended_told(slurm, &ids));
    for (_, state) in ENDS {
        let is_in = |document: &Value| document["state"] == state;
        assert!(documents.iter().any(is_in), "{state}: {documents:#?}");
    }
    let runs = documents
        .iter()
        .filter(|job| job["Id"] == requeued.as_str());
    assert_eq!(runs.count(), 2);
    round();
    assert_eq!(ended_of(&endpoint.documents(), &ids), documents, "again");
}

/// `PrivateData=jobs`: a list that shows no jobs of others is not believed, except of who would see them.
fn hidden_jobs(slurm: &Slurm) {
    let world = slurm.world();
    let games = Unprivileged::new(GAMES);
    slurm.submit(WWW_DATA, &[], "sleep 600");
    let ended = slurm.submit(WWW_DATA, &[], "true");
    slurm.reaches(&ended, "COMPLETED");
    let ids = BTreeSet::from([ended]);
    slurm.accounts_have_ends(&ids, 1);
    let all = games.print(&world, &["--slurm"]).exits(0);
    assert_eq!(
        queue_of(&all),
        queue_of(&world.print(&["--slurm"]).exits(0))
    );
    {
        let _hidden = slurm.with_private_jobs("slurm.conf");
        let run = games
            .print(&world, &["--slurm"])
            .exits(1)
            .says("PrivateData in slurm.conf");
        assert!(queue_of(&run).is_empty(), "no zeros: {}", run.stdout);
        let run = world.print(&["--slurm"]).exits(0);
        assert_eq!(queue_of(&run), queue_of(&all), "root sees all");
    }
    let _hidden = slurm.with_private_jobs("slurmdbd.conf");
    let run = games
        .print(&world, &["--slurm"])
        .exits(1)
        .says("PrivateData in slurmdbd.conf");
    assert_eq!(queue_of(&run), queue_of(&all), "that is not hidden");
    world.print(&["--slurm"]).exits(0);
    let _hidden = slurm.with_private_jobs("slurm.conf");
    let _operator = slurm.with_operator("games");
    let run = games.print(&world, &["--slurm"]).exits(0);
    assert_eq!(queue_of(&run), queue_of(&all), "an operator sees all");
    assert_eq!(ended_of(&run.documents(), &ids).len(), 1);
}

fn slurmctld_hangs(slurm: &Slurm) {
    let world = slurm.world();
    let run = {
        let _hung = slurm.with_hung("slurmctld");
        let begun = Instant::now();
        let run = world
            .print(&["--slurm", "--host", "--silence", "2"])
            .exits(1);
        assert!(begun.elapsed() < Duration::from_secs(9), "{begun:?}");
        run
    };
    let run = run.says("slurm_jobs: squeue gave no output for 2 s");
    assert!(queue_of(&run).is_empty());
    assert!(
        run.documents()
            .iter()
            .any(|document| document["kind"] == "CPU")
    );
}

fn slurmctld_is_down(slurm: &Slurm) {
    let ended = slurm.submit(GAMES, &[], "exit 7");
    slurm.reaches(&ended, "FAILED");
    let ids = BTreeSet::from([ended]);
    slurm.accounts_have_ends(&ids, 1);
    let world = slurm.world();
    let run = {
        let _down = slurm.without("slurmctld");
        world.print(&["--slurm", "--host"]).exits(1)
    };
    let why = "slurm_jobs: ";
    assert!(
        run.stderr
            .lines()
            .any(|line| line.contains(why) && line.contains("slurmctld is down")),
        "{}",
        run.stderr
    );
    assert!(queue_of(&run).is_empty());
    assert_eq!(ended_of(&run.documents(), &ids), ended_told(slurm, &ids));
    assert!(
        run.documents()
            .iter()
            .any(|document| document["kind"] == "CPU")
    );
    world.print(&["--slurm"]).exits(0);
}

fn slurmdbd_is_down(slurm: &Slurm) {
    let (world, endpoint) = (slurm.world(), Endpoint::ok(Protocol::PlainHttp));
    let round = || world.deliver(&endpoint, &["--slurm"]);
    let before = slurm.submit(GAMES, &[], "sleep 600");
    slurm.reaches(&before, "RUNNING");
    round().exits(0);
    let meanwhile = {
        let _down = slurm.without("slurmdbd");
        slurm.says("scancel", &[&before]);
        let meanwhile = slurm.submit(MAIL, &[], "exit 7");
        slurm.reaches(&meanwhile, "FAILED");
        let seen = endpoint.documents().len();
        let run = round().exits(1);
        let is_it =
            |line: &str| line.contains("slurm_history: ") && line.contains("slurmdbd is down");
        assert!(run.stderr.lines().any(is_it), "{}", run.stderr);
        let news = &endpoint.documents()[seen..];
        assert!(news.iter().any(|document| document["queue"] == "all"));
        meanwhile
    };
    // slurmctld finds it again in its own time: what has ended comes late.
    let ids = BTreeSet::from([before, meanwhile]);
    round().exits(0);
    slurm.accounts_have_ends(&ids, 2);
    round().exits(0);
    round().exits(0);
    assert_eq!(
        ended_of(&endpoint.documents(), &ids),
        ended_told(slurm, &ids),
        "nothing is lost, and nothing comes twice"
    );
}

/// The documents of the queue's counts, by its name.
fn queue_of(run: &Run) -> BTreeMap<String, Value> {
    let documents = run.documents().into_iter();
    documents
        .filter(|document| document["kind"] == "slurmqueue")
        .map(|document| (document["queue"].as_str().unwrap().to_owned(), document))
        .collect()
}

/// The documents of jobs that have not ended, by Id.
fn jobs_of(run: &Run) -> BTreeMap<String, Value> {
    let mut jobs = BTreeMap::new();
    for document in run.documents() {
        if document["kind"] == "slurmjob" && !is_end(&document) {
            let id = document["Id"].as_str().unwrap().to_owned();
            assert!(jobs.insert(id, document).is_none(), "one document a job");
        }
    }
    jobs
}

fn is_end(document: &Value) -> bool {
    ENDS.iter().any(|(_, state)| document["state"] == *state)
}

/// The documents of those of these jobs that have ended, as each should be; sorted.
fn ended_of(documents: &[Value], ids: &BTreeSet<String>) -> Vec<Value> {
    let is_one = |document: &&Value| {
        let id = document["Id"].as_str().unwrap_or_default();
        is_end(document) && ids.contains(id.split('_').next().unwrap_or_default())
    };
    let mut found: Vec<Value> = documents.iter().filter(is_one).cloned().collect();
    for document in &mut found {
        // Added when it leaves.
        document.as_object_mut().unwrap().remove("token");
    }
    found.sort_by_key(Value::to_string);
    found
}
