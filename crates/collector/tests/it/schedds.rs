//! Rounds that ask several schedds: each stands or falls alone, goes on where it was, and none is named where
//! names are hidden.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, TOKEN, World};

/// By what `-name` says, a tool does what the script of that schedd says; without it that of `local`.
const BY_NAME: &str = r#"
schedd=local
[ "$1" != -name ] || schedd="$2"
. "./$TOOL@$schedd"
"#;

/// A node with three schedds, whose queues and histories are empty.
fn node() -> World {
    let mut world = World::new();
    for tool in ["condor_q", "condor_history"] {
        world.program(tool, &BY_NAME.replace("$TOOL", tool));
    }
    for schedd in [
        "local",
        "a1.canary.example",
        "b2.canary.example",
        "canary-1@c3.canary.example",
    ] {
        does(&world, "condor_q", schedd, ":");
        does(&world, "condor_history", schedd, "echo '['; echo ']'");
    }
    world
}

fn does(world: &World, tool: &str, schedd: &str, script: &str) {
    fs::write(world.path(&format!("cwd/{tool}@{schedd}")), script).unwrap();
}

/// What a tool lists; `jobs`: the number, and the status.
fn lists(world: &World, tool: &str, schedd: &str, jobs: &[(u64, u64)]) {
    does(world, tool, schedd, &list(schedd, jobs, 0));
}

/// The same of jobs that name this schedd and were done so many seconds ago.
fn list(schedd: &str, jobs: &[(u64, u64)], ago: u64) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        - ago;
    let ads: Vec<String> = jobs
        .iter()
        .map(|(job, status)| {
            format!(
                "{{\n  \"ClusterId\": {job},\n  \"CompletionDate\": {now},\n  \"GlobalJobId\": \"{schedd}#{job}.0#7\",\n  \
                 \"JobStatus\": {status},\n  \"Owner\": \"canary-2\",\n  \"ProcId\": 0\n}}\n"
            )
        })
        .collect();
    let list = format!("[\n{}]\n", ads.join(",\n"));
    format!("/usr/bin/cat <<'LIST'\n{list}LIST\n")
}

const A: &str = "a1.canary.example";
const B: &str = "b2.canary.example";
const C: &str = "canary-1@c3.canary.example";
const BOTH: [&str; 5] = ["-b", "--schedd", A, "--schedd", B];

fn ids(run: &Run) -> Vec<String> {
    let documents = run.documents();
    let id = |document: &Value| document["Id"].as_str().unwrap().to_owned();
    documents.iter().map(id).collect()
}

#[test]
fn a_schedd_that_hangs_costs_its_own_jobs_and_its_share_of_the_time() {
    let world = node();
    for tool in ["condor_q", "condor_history"] {
        does(&world, tool, A, "exec /usr/bin/sleep 60");
        lists(
            &world,
            tool,
            B,
            &[(if tool == "condor_q" { 1 } else { 2 }, 4)],
        );
    }
    let begun = Instant::now();
    let run = world.print(&[&BOTH[..], &["--deadline", "4"]].concat());
    let run = run.exits(1);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let why = "schedd a1.canary.example: not done within 1.9 s, its share of --deadline; given up";
    for collector in ["condor_jobs", "condor_history"] {
        assert_eq!(
            run.lines_with(&format!("ERROR {collector}: {why}")),
            1,
            "{}",
            run.stderr
        );
    }
    assert_eq!(ids(&run), ["1.0", "2.0"]);
}

/// Many queues of a schedd that is slow at first, and another that waits for its turn.
#[test]
fn the_queues_of_a_schedd_share_its_time() {
    let world = node();
    for schedd in [A, B] {
        let slow = match schedd {
            A => "[ -e slept ] || { : > slept; /usr/bin/sleep 1.5; }; ",
            _ => "",
        };
        let totals = r#"*totals*) echo '[{"Idle": 1, "Running": 0, "Held": 0}]';;"#;
        let script = format!("{slow}case \"$*\" in {totals} esac");
        does(&world, "condor_q", schedd, &script);
    }
    let queues = [
        "-q", "a:", "-q", "b:", "-q", "c:", "-q", "d:", "-q", "e:", "-q", "f:",
    ];
    let args = [
        &BOTH[..],
        &queues,
        &["--deadline", "12", "--no-queued-jobs"],
    ]
    .concat();
    let run = world.print(&args).exits(0);
    assert_eq!(run.documents().len(), 12);
}

/// The jobs are listed before all histories have been read, where that takes longer than `--silence`.
#[test]
fn a_job_that_leaves_between_the_two_lists_is_reported_once() {
    let world = node();
    let queue = list(B, &[(5, 4)], 0);
    does(&world, "condor_q", B, &format!("{queue}\n: > listed"));
    let waits = "for _ in 1 2 3 4 5 6 7 8 9; do [ -e listed ] || /usr/bin/sleep 1; done; /usr/bin/sleep 0.5; echo '['; echo ']'";
    does(&world, "condor_history", A, waits);
    lists(&world, "condor_history", B, &[(6, 4), (5, 4)]);
    let run = world.print(&[&BOTH[..], &["--silence", "1"]].concat());
    assert!(world.path("cwd/listed").exists());
    let mut ids = ids(&run.exits(0));
    ids.sort();
    assert_eq!(ids, ["5.0", "6.0"]);
}

#[test]
fn lines_of_the_log_name_the_schedd() {
    let world = node();
    let broken = list(A, &[(1, 2), (2, 2)], 0).replacen("Owner", "Nobody", 1);
    for tool in ["condor_q", "condor_history"] {
        does(&world, tool, A, &broken);
    }
    let run = world.print(&[&BOTH[..], &["-vv"]].concat()).exits(0);
    run.says("WARN schedd a1.canary.example: 1 of 2 ads in the output of condor_q")
        .says("WARN schedd a1.canary.example: 1 of 2 ads in the output of condor_history")
        .says("DEBUG condor_q: schedd a1.canary.example: 1 jobs have no RemoteWallClockTime")
        .says("INFO several --schedd without --job-details: jobs of two schedds with the same");
    let run = world.print(&[&BOTH[..], &["-v", "--job-details"]].concat());
    assert_eq!(run.lines_with("several --schedd"), 0, "{}", run.stderr);
}

#[test]
fn a_history_that_ends_too_early_names_what_the_schedd_goes_by() {
    let world = node();
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    for job in [1, 2] {
        lists(&world, "condor_history", A, &[(job, 4)]);
        let run = world.deliver(&endpoint, &["-b", "--schedd", A]).exits(0);
        if job == 2 {
            run.says("others may have been left unread, as the schedd looks at no more than HISTORY_HELPER_MAX_HISTORY");
        }
    }
}

/// A node of Slurm, and a cron line of HTCondor.
#[test]
fn what_is_of_htcondor_alone_does_not_become_slurm_in_silence() {
    let mut world = World::new();
    world.program("squeue", "echo asked >> asked; exit 97");
    let run = world.print(&["-b", "--schedd", A]).exits(1);
    run.says("condor_q");
    assert!(!world.path("cwd/asked").exists());
    for flags in [
        &["--job-details"][..],
        &["--no-queued-jobs"],
        &["--runtime", "live"],
    ] {
        let run = world.print(&[&["-b"], flags].concat()).exits(1);
        run.says("WARN --no-queued-jobs, --runtime and --job-details have no effect here: -b means Slurm on this node");
    }
    let run = world.print(&["-b"]).exits(1);
    assert_eq!(run.lines_with("have no effect here"), 0, "{}", run.stderr);
    assert!(world.path("cwd/asked").exists());
}

#[test]
fn schedds_are_asked_one_after_the_other() {
    let world = node();
    let alone = "/usr/bin/mkdir running || echo $1 >> together; /usr/bin/sleep 0.1; /usr/bin/rmdir running; echo \"$2\" >> asked; echo '['; echo ']'";
    for tool in ["condor_q", "condor_history"] {
        for schedd in [A, B, C] {
            does(&world, tool, schedd, alone);
        }
    }
    world
        .print(&[&BOTH[..], &["--schedd", C]].concat())
        .exits(0);
    assert!(!world.path("cwd/together").exists());
    let asked = fs::read_to_string(world.path("cwd/asked")).unwrap();
    assert_eq!(asked.lines().collect::<Vec<_>>(), [A, B, C, A, B, C]);
}

/// Where a round with one schedd is followed by one with two, of which one fails in every other round.
#[test]
fn each_schedd_goes_on_where_it_was_whatever_becomes_of_the_others() {
    let world = node();
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    let round = |args: &[&str]| {
        let ca = endpoint.ca.path().to_str().unwrap();
        let to = ["-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
        world.run(&[&to[..], args].concat())
    };
    // The local one is A, and has a job that is done and stays.
    lists(&world, "condor_q", "local", &[(9, 4)]);
    lists(&world, "condor_history", "local", &[(1, 4)]);
    // Its keys name A.
    for tool in ["condor_q", "condor_history"] {
        let path = world.path(&format!("cwd/{tool}@local"));
        let list = fs::read_to_string(&path)
            .unwrap()
            .replace("local#", &format!("{A}#"));
        fs::write(path, list).unwrap();
    }
    round(&["-b"]).exits(0);
    let mut left = vec![(1, 4)];
    for number in 0..4 {
        left.insert(0, (10 + number, 4));
        lists(&world, "condor_q", A, &[(9, 4)]);
        lists(&world, "condor_history", A, &left);
        match number % 2 {
            0 => lists(&world, "condor_history", B, &left),
            _ => does(&world, "condor_history", B, "echo '['; exit 1"),
        }
        let run = round(&BOTH).exits(i32::from(number % 2 == 1));
        assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    }
    // The one that stayed leaves.
    left.insert(0, (9, 4));
    lists(&world, "condor_q", A, &[]);
    for schedd in [A, B] {
        lists(&world, "condor_history", schedd, &left);
    }
    round(&BOTH).exits(0);
    // Once of A and once of B, whose history has the same numbers.
    let wanted = [1, 9, 10, 11, 12, 13].map(|job| (format!("{job}.0"), 2));
    assert_eq!(times(&endpoint), BTreeMap::from(wanted));
    for file in world.names("state/cursors") {
        assert!(!file.contains("canary"), "{file}");
    }
}

/// How often each job was delivered.
fn times(endpoint: &Endpoint) -> BTreeMap<String, usize> {
    let requests = endpoint.requests();
    let documents = requests.iter().flat_map(|request| request.documents());
    documents.fold(BTreeMap::new(), |mut times, document| {
        let id = document["Id"].as_str().unwrap().to_owned();
        *times.entry(id).or_default() += 1;
        times
    })
}

/// Rounds without `--schedd` of two nodes that share a state folder, rounds with it, and with a pool, in turn.
#[test]
fn a_schedd_goes_on_where_it_was_with_a_name_a_pool_or_none() {
    let world = node();
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    let ca = endpoint.ca.path().to_str().unwrap();
    let to = ["-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
    let pool = [&BOTH[..], &["--pool", "cm.canary.example"]].concat();
    let rounds: [(&[&str], &str); 8] = [
        (&["-b"], A),
        (&["-b"], B),
        (&BOTH, A),
        (&pool, A),
        (&["-b"], A),
        (&["-b"], B),
        (&pool[..], B),
        (&["-b"], A),
    ];
    let mut wanted = BTreeMap::new();
    let mut of: BTreeMap<_, (Vec<_>, Vec<_>)> = BTreeMap::new();
    for (number, (args, local)) in (0..).zip(rounds) {
        for (schedd, first) in [(A, 100), (B, 300)] {
            let (left, stay) = of.entry(schedd).or_default();
            left.insert(0, (first + number, 4));
            stay.push((first + 100 + number, 4));
            lists(&world, "condor_history", schedd, left);
            lists(&world, "condor_q", schedd, stay);
            if local == schedd {
                does(&world, "condor_history", "local", &list(schedd, left, 0));
                does(&world, "condor_q", "local", &list(schedd, stay, 0));
            }
            let ids = [first + number, first + 100 + number];
            wanted.extend(ids.map(|job| (format!("{job}.0"), 1)));
        }
        world.run(&[&to[..], args].concat()).exits(0);
    }
    // Those that stayed leave.
    for (schedd, (mut left, stay)) in of {
        left.splice(0..0, stay);
        lists(&world, "condor_history", schedd, &left);
        lists(&world, "condor_q", schedd, &[]);
    }
    world.run(&[&to[..], &pool].concat()).exits(0);
    assert_eq!(times(&endpoint), wanted);
}

/// The first round with `--schedd` comes after a pause: the schedd is not new for that.
#[test]
fn a_job_that_was_done_in_a_pause_is_reported_though_its_schedd_has_a_name_now() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::ok());
    let ca = endpoint.ca.path().to_str().unwrap();
    let to = ["-t", TOKEN, "-u", &endpoint.url, "--ca-file", ca];
    let mut wanted = BTreeMap::new();
    // The cursor of the jobs is there, or that of the history only.
    for (number, flags) in [(0, &["-b"][..]), (10, &["-b", "--no-queued-jobs"])] {
        let world = node();
        let left = [(number + 1, 4)];
        does(&world, "condor_history", "local", &list(A, &left, 0));
        world.run(&[&to[..], flags].concat()).exits(0);
        lists(&world, "condor_history", A, &left);
        does(&world, "condor_q", A, &list(A, &[(number + 2, 4)], 900));
        world.run(&[&to[..], &BOTH].concat()).exits(0);
        wanted.extend([1, 2].map(|job| (format!("{}.0", number + job), 1)));
    }
    assert_eq!(times(&endpoint), wanted);
}

#[test]
fn a_schedd_is_named_as_other_hosts_and_users_are() {
    let world = node();
    lists(&world, "condor_q", A, &[(1, 1)]);
    lists(&world, "condor_q", C, &[(2, 1)]);
    does(
        &world,
        "condor_q",
        B,
        "echo 'canary-1 at b2.canary.example' >&2; exit 1",
    );
    let args = [&BOTH[..], &["--schedd", C, "--job-details"]].concat();
    for (hidden, a, b, c) in [
        (&[][..], A, B, C),
        (&["-o"], A, B, "6495518e@c3.canary.example"),
        (
            &["-O", "x.invalid"],
            "atlas1.x.invalid",
            "atlas2.x.invalid",
            "atlas13.x.invalid",
        ),
        (
            &["-o", "-O", "x.invalid"],
            "atlas1.x.invalid",
            "atlas2.x.invalid",
            "atlas13.x.invalid",
        ),
    ] {
        let run = world.print(&[&args[..], hidden].concat()).exits(1);
        let named: Vec<_> = run
            .documents()
            .iter()
            .map(|document| document["schedd"].clone())
            .collect();
        assert_eq!(named, [a, c]);
        let why = format!("ERROR condor_jobs: schedd {b}: condor_q ended with exit status 1");
        assert_eq!(run.lines_with(&why), 1, "{}", run.stderr);
        if hidden.contains(&"-O") {
            assert!(!(run.stdout + &run.stderr).contains(".canary.example"));
        }
    }
}

/// A queue of any length, counted: its schedd is not asked at all.
#[test]
fn a_queue_can_be_counted_without_asking_its_schedd() {
    let mut world = node();
    world.program("condor_q", "echo asked >> asked; exit 97");
    world.program(
        "condor_status",
        "[ \"$1\" = -schedd ] || exit 0\n/usr/bin/cat <<LIST\n[\n{\n  \"LastHeardFrom\": $(/usr/bin/date +%s),\n  \"Name\": \"a1.canary.example\",\n  \
         \"TotalFlockedJobs\": 0,\n  \"TotalHeldJobs\": 7,\n  \"TotalIdleJobs\": 500000,\n  \"TotalRunningJobs\": 0\n}\n]\nLIST",
    );
    lists(&world, "condor_history", A, &[(1, 4)]);
    let args = [
        "-b",
        "-q",
        "all:",
        "--schedd",
        A,
        "--queue-totals",
        "schedd-ad",
        "--no-queued-jobs",
    ];
    let run = world.print(&args).exits(0);
    let [queue, job] = &run.documents()[..] else {
        panic!("{}", run.stdout);
    };
    let (idle, held) = (&queue["idle"], &queue["held"]);
    assert_eq!((idle.as_u64(), held.as_u64()), (Some(500_000), Some(7)));
    assert_eq!(job["state"], "finished");
    assert!(!world.path("cwd/asked").exists());
}

#[test]
fn what_cannot_be_meant_is_one_sentence_and_names_no_host() {
    let world = node();
    for (args, why) in [
        (
            &["--schedd", A, "--schedd", "A1.canary.example"][..],
            "the same name is there twice",
        ),
        (&["--schedd", ""], "--schedd and --pool need a name"),
        (&["--pool", A], "--pool needs --schedd NAME"),
        (
            &["--queue-totals", "schedd-ad", "-q", "all:"],
            "--queue-totals schedd-ad needs --schedd NAME",
        ),
        (
            &[
                "--schedd",
                A,
                "--queue-totals",
                "schedd-ad",
                "-q",
                "all:",
                "-q",
                "short:x",
            ],
            "-q short: has a constraint",
        ),
        (
            &[
                "--schedd",
                A,
                "--schedd",
                "b1.canary.example",
                "-q",
                "all:",
                "-O",
                "x.invalid",
            ],
            "two of the schedds have one name under -O",
        ),
        (
            &[
                "--schedd",
                A,
                "--schedd",
                "b1.canary.example",
                "--job-details",
                "-O",
                "x.invalid",
            ],
            "with its own -q and its own --state-dir",
        ),
    ] {
        let run = world.print(&[&["-b"], args].concat()).exits(2);
        assert_eq!(run.stdout, "");
        let run = run.says(why);
        assert!(
            !run.stderr.to_ascii_lowercase().contains(".canary.example"),
            "{}",
            run.stderr
        );
    }
    let run = world.print(&["--heartbeat", "--job-details"]).exits(0);
    run.says("WARN --schedd, --pool, --queue-totals, --no-queued-jobs, --runtime and --job-details have no effect without -b");
}
