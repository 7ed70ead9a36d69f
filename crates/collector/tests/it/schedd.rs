//! HTCondor's tools where they misbehave in ways that no recording shows.

use std::time::{Duration, Instant};

use crate::support::program::World;

/// A node with a user, `condor_q` as given, and an empty history.
fn node(condor_q: &str) -> World {
    let mut world = World::new();
    world
        .file("/run/utmp", "")
        .program(
            "who",
            "echo 'canary-1 pts/0        Nov 22 20:11 (192.0.2.1)'",
        )
        .program("condor_q", condor_q)
        .program("condor_history", "echo '['; echo ']'");
    world
}

/// The user is there, and no job.
#[track_caller]
fn only_the_user(world: &World, args: &[&str], why: &str) {
    let run = world.print(&[&["-s", "-b"], args].concat()).exits(1);
    let run = run.says(why);
    let documents = run.documents();
    assert_eq!(documents.len(), 1, "{}", run.stdout);
    assert_eq!(documents[0]["kind"], "ssh");
}

#[test]
fn an_object_without_end_is_given_up_and_the_tool_ended() {
    let begun = Instant::now();
    let world = node(
        "echo $$ > pid; echo '['; echo '{'; exec /usr/bin/yes '  \"Environment\": \"canary-1\",'",
    );
    only_the_user(
        &world,
        &[],
        "ERROR condor_jobs: the output of condor_q has an object of more than 1048576 bytes",
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
    let pid = std::fs::read_to_string(world.path("cwd/pid")).unwrap();
    assert!(ends(pid.trim()), "condor_q still runs");
}

/// Whether a process is gone, or a zombie that nobody has collected yet, within a few seconds.
pub fn ends(pid: &str) -> bool {
    let runs = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    let begun = Instant::now();
    while runs() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    !runs()
}

#[test]
fn a_large_object_is_taken() {
    // 900 kB of what nobody asked for.
    let world = node(
        "echo '['; echo '{'; echo '  \"ClusterId\": 1,'; echo '  \"Owner\": \"canary-1\",'; \
         echo '  \"ProcId\": 0,'; printf '  \"Environment\": \"'; \
         /usr/bin/head -c 900000 /dev/zero | /usr/bin/tr '\\0' x; echo '\"'; echo '}'; echo ']'",
    );
    let run = world.print(&["-b"]).exits(0);
    assert_eq!(run.documents().len(), 1, "{}", run.stdout);
}

/// The queue is asked when the history is done, or has been waited for.
#[test]
fn a_history_that_hangs_or_is_missing_costs_no_job_of_the_queue() {
    let mut world = World::new();
    let queue = "[\n{\n  \"ClusterId\": 1,\n  \"JobStatus\": 1,\n  \"Owner\": \"canary-1\",\n  \"ProcId\": 0\n}\n]\n";
    world.batch_node(queue);
    std::fs::remove_file(world.path("bin/condor_history")).unwrap();
    for (history, why) in [
        (
            None,
            "ERROR condor_history: condor_history is not on this node",
        ),
        (
            Some("echo [; exit 1"),
            "ERROR condor_history: condor_history ended with exit status 1",
        ),
        (
            Some("exec /usr/bin/sleep 600"),
            "ERROR condor_history: not done within 3 s; given up",
        ),
    ] {
        if let Some(history) = history {
            world.program("condor_history", history);
        }
        let begun = Instant::now();
        let run = world.print(&["-b", "--silence", "1", "--deadline", "3"]);
        let run = run.exits(1).says(why);
        assert_eq!(run.documents().len(), 1, "{}", run.stdout);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_hung_schedd_costs_the_jobs_and_nothing_else() {
    let world = node("exec /usr/bin/sleep 60");
    let begun = Instant::now();
    only_the_user(
        &world,
        &["--silence", "1"],
        "ERROR condor_jobs: condor_q gave no output for 1 s and was ended",
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_schedd_that_hangs_in_mid_list_sends_no_part_of_it() {
    let world = node(
        "echo '['; echo '{'; echo '  \"ClusterId\": 1,'; echo '  \"Owner\": \"canary-1\",'; \
         echo '  \"ProcId\": 0'; echo '}'; echo ,; exec /usr/bin/sleep 60",
    );
    only_the_user(
        &world,
        &["--silence", "1"],
        "ERROR condor_jobs: condor_q gave no output for 1 s and was ended",
    );
}

#[test]
fn a_tool_that_is_killed_half_way_sends_no_part_of_its_list() {
    let world = node(
        "echo '['; echo '{'; echo '  \"ClusterId\": 1,'; echo '  \"Owner\": \"canary-1\",'; \
         echo '  \"ProcId\": 0'; echo '}'; echo ']'; kill -9 $$",
    );
    only_the_user(
        &world,
        &[],
        "ERROR condor_jobs: condor_q ended with signal 9",
    );
}

#[test]
fn a_queue_without_colon_or_name_is_one_clear_sentence() {
    let world = node("exit 97");
    for (queue, why) in [
        (
            "all",
            "ERROR -q \"all\" has no colon: it takes NAME:CONSTRAINT, or all: for all jobs",
        ),
        (":x", "ERROR -q \":x\" has no name before the colon"),
    ] {
        let run = world.print(&["-s", "-b", "-q", queue]).exits(2).says(why);
        assert_eq!(run.stdout, "");
    }
}
