//! HTCondor and Slurm, alone and at one facility: known documents in, exact numbers out, each as its own.

use std::collections::BTreeMap;

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time::{self, DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::api::{at, midnight, of, send};
use crate::support::{FACILITY, Running, World, job};

const MINUTE: i64 = 60_000;
const OTHER: &str = "AF-2";

fn span(from: i64, to: i64) -> String {
    format!("from={}&to={}", time::text(from), time::text(to))
}

/// Some fields of each element of an answer's list.
fn rows(answer: &Value, list: &str, fields: &[&str]) -> Value {
    let all = answer[list].as_array().unwrap().iter();
    all.map(|row| json!(fields.iter().map(|field| &row[*field]).collect::<Vec<_>>()))
        .collect()
}

fn slurm(token: &str, user: &str, id: &str, state: &str, runtime: i64) -> Value {
    json!({"token": token, "kind": "slurmjob", "cluster": FACILITY, "users": user, "Id": id, "Runtime": runtime,
        "state": state, "partition": "batch", "account": "canary-account", "cores": 4})
}

/// Tasks of an array that wait.
fn waiting(token: &str, user: &str, id: &str, state: &str, tasks: i64) -> Value {
    let mut document = slurm(token, user, id, state, 0);
    document["tasks"] = json!(tasks);
    document
}

fn queue(token: &str, kind: &str, name: &str, running: i64) -> Value {
    json!({"token": token, "kind": kind, "cluster": FACILITY, "queue": name, "idle": 1, "running": running, "held": 0,
        "allocated_cores": running * 4, "allocated_mem": 2048})
}

/// A round of a collector of whose sources these were read.
fn round(token: &str, node: &str, read: &[&str]) -> Value {
    let ok = json!({"result": "ok", "documents": 0, "duration": 0.1});
    let collectors: BTreeMap<&str, &Value> = read.iter().map(|name| (*name, &ok)).collect();
    json!({"token": token, "kind": "round", "cluster": FACILITY, "login_node": node, "version": "1", "duration": 1.0,
        "collectors": collectors})
}

fn page(running: &Running, viewer: &str, path: &str) -> String {
    let (status, text) = running.get(path, viewer);
    assert_eq!(status, 200, "{path}: {text}");
    text
}

#[test]
fn queues_of_one_name_stay_two() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let other = world.token(OTHER);
    let running = world.serve(&[]);
    let now = clock::now();
    send(
        &running,
        &[
            queue(&token, "condorqueue", "all", 20),
            at(queue(&token, "slurmqueue", "all", 3), now - 20 * MINUTE),
            at(queue(&token, "slurmqueue", "gpu", 1), now - 20 * MINUTE),
        ],
    );
    let there = queue(&other, "slurmqueue", "all", 7);
    send(&running, &[of(there, OTHER, &other)]);

    let fields = ["facility", "system", "queue", "running", "state"];
    assert_eq!(
        rows(
            &running.json("/api/v1/summaries", &viewer),
            "summaries",
            &fields
        ),
        json!([
            [OTHER, "Slurm", "all", 7, "ok"],
            [FACILITY, "HTCondor", "all", 20, "ok"],
            [FACILITY, "Slurm", "all", 3, "silent"],
            [FACILITY, "Slurm", "gpu", 1, "silent"],
        ])
    );
    let fields = ["facility", "queue", "running", "cores", "system"];
    let asked = format!("/api/v1/queues?step=1d&from=-1h&facility={FACILITY}");
    let over_time = |more: &str| {
        let answer = running.json(&format!("{asked}{more}"), &viewer);
        rows(&answer, "queues", &fields)
    };
    // By name, not by day: an hour may begin on the day before.
    let all = over_time("&queue=all");
    for row in [
        json!([FACILITY, "all", 20.0, 80.0, "HTCondor"]),
        json!([FACILITY, "all", 3.0, 12.0, "Slurm"]),
    ] {
        assert!(all.as_array().unwrap().contains(&row), "{row} in {all}");
    }
    assert!(!all.to_string().contains("gpu"), "{all}");

    // A chart says whose a queue is where there are two systems, and only there.
    let names = |query: &str| -> Vec<String> {
        let drawn = running.json(&format!("/panels/queue-running?from=-1h&{query}"), &viewer);
        let all = drawn["series"].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&format!("facility={FACILITY}")),
        ["HTCondor all", "Slurm all", "Slurm gpu"]
    );
    assert_eq!(names(&format!("facility={OTHER}")), ["all"]);

    let facilities = running.json("/api/v1/facilities?from=-1h", &viewer);
    assert_eq!(
        rows(&facilities, "facilities", &["facility", "systems"]),
        json!([[OTHER, ["Slurm"]], [FACILITY, ["HTCondor", "Slurm"]]])
    );
    let text = page(&running, &viewer, "/");
    assert!(text.contains("<td>HTCondor, Slurm</td>"), "{text}");
    let text = page(&running, &viewer, &format!("/batch?facility={OTHER}"));
    let table = text.split("id=\"queues\"").nth(1).unwrap();
    let table = table.split("</table>").next().unwrap();
    assert!(table.contains("<td>Slurm</td>"), "{table}");
    assert!(!table.contains("<td>HTCondor</td>"), "{table}");
}

#[test]
fn tasks_that_wait_count_as_many_jobs_once_however_often_they_are_reported() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[
            // Two collectors in five minutes: one task has begun meanwhile.
            at(waiting(&token, "canary-1", "9_[1-50]", "idle", 50), day),
            at(
                waiting(&token, "canary-1", "9_[2-50]", "idle", 49),
                day + MINUTE,
            ),
            at(slurm(&token, "canary-1", "9_1", "running", 5), day + MINUTE),
            at(waiting(&token, "canary-1", "9_[60-62]", "held", 3), day),
            // The same Ids in the other system.
            at(job(&token, "canary-1", "9_1", "running", 5), day),
            at(job(&token, "canary-2", "1.0", "idle", 0), day),
        ],
    );
    let asked = span(day, day + HOUR_MS);
    let ask = |by: &str, fields: &[&str]| {
        let path = format!("/api/v1/jobs?step=5m&{by}&{asked}");
        rows(&running.json(&path, &viewer), "jobs", fields)
    };
    assert_eq!(
        ask("by=state", &["state", "jobs", "system"]),
        json!([
            ["held", 3.0, null],
            ["idle", 50.0, null],
            ["running", 2.0, null]
        ])
    );
    assert_eq!(
        ask("by=system", &["system", "state", "jobs"]),
        json!([
            ["HTCondor", "idle", 1.0],
            ["HTCondor", "running", 1.0],
            ["Slurm", "held", 3.0],
            ["Slurm", "idle", 49.0],
            ["Slurm", "running", 1.0],
        ])
    );
    assert_eq!(
        ask("by=user&limit=1", &["user", "state", "jobs"]),
        json!([
            ["canary-1", "held", 3.0],
            ["canary-1", "idle", 49.0],
            ["canary-1", "running", 2.0],
            [null, "held", 0.0],
            [null, "idle", 1.0],
            [null, "running", 0.0],
        ])
    );
    assert_eq!(
        ask("user=canary-1", &["state", "jobs"]),
        json!([["held", 3.0], ["idle", 49.0], ["running", 2.0]])
    );
    let drawn = running.json(&format!("/panels/jobs-by-user?{asked}"), &viewer);
    assert_eq!(drawn["series"][0]["name"], "canary-1");
    assert_eq!(drawn["series"][0]["values"][0], 54.0);

    // Who comes through both systems comes through one door.
    let people = running.json(&format!("/api/v1/people?{asked}"), &viewer);
    let people = rows(&people, "people", &["number", "users"]);
    let in_span = json!(["Batch in the span", 2]);
    assert!(people.as_array().unwrap().contains(&in_span), "{people}");
    let profile = format!("/api/v1/profiles?user=canary-1&{asked}");
    let profile = running.json(&profile, &viewer);
    assert_eq!(profile["profiles"][0]["doors"], json!(["batch"]));
}

#[test]
fn an_hour_s_mean_is_over_what_was_heard_of_each_system() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    // HTCondor is heard of twice in the hour, Slurm once.
    send(
        &running,
        &[
            at(job(&token, "canary-1", "1.0", "running", 0), day),
            at(
                job(&token, "canary-1", "1.0", "running", 0),
                day + 5 * MINUTE,
            ),
            at(waiting(&token, "canary-1", "1_[1-8]", "running", 8), day),
        ],
    );
    let asked = span(day, day + HOUR_MS);
    for by in ["by=state", "by=user", "user=canary-1"] {
        let path = format!("/api/v1/jobs?step=1h&{by}&{asked}");
        let answer = running.json(&path, &viewer);
        let all = answer["jobs"].as_array().unwrap().iter();
        let jobs = all.filter(|row| row["state"] == "running");
        let jobs: f64 = jobs.map(|row| row["jobs"].as_f64().unwrap()).sum();
        assert_eq!(jobs, 9.0, "{by}: {answer}");
    }
}

#[test]
fn every_end_of_a_job_counts_once_and_by_how() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    // As the contract names them: Slurm's and those of both.
    let ends = [
        "boot_fail",
        "deadline",
        "failed",
        "finished",
        "node_fail",
        "out_of_memory",
        "preempted",
        "removed",
        "revoked",
        "timeout",
    ];
    let mut documents = Vec::new();
    for (at_, end) in ends.iter().enumerate() {
        let id = format!("{at_}");
        documents.push(at(slurm(&token, "canary-1", &id, end, 10), day));
        // Somebody else reports it, too, later.
        documents.push(at(
            slurm(&token, "canary-1", &id, end, 10),
            day + 7 * MINUTE,
        ));
    }
    // A job that was requeued has two runs, of which the first ended by no end, and another that failed with its node.
    for (state, seconds) in [("requeued", 30), ("node_fail", 20), ("finished", 20)] {
        documents.push(at(slurm(&token, "canary-2", "77", state, seconds), day));
    }
    // The same job of the other system, with the same run time.
    documents.push(at(job(&token, "canary-1", "3", "finished", 10), day));
    send(&running, &documents);

    let asked = span(day, day + HOUR_MS);
    let by = |by: &str| {
        let path = format!("/api/v1/runtime?by={by}&{asked}");
        rows(
            &running.json(&path, &viewer),
            "runtime",
            &[by, "jobs", "seconds"],
        )
    };
    assert_eq!(
        by("state"),
        json!([
            ["boot_fail", 1, 10.0],
            ["deadline", 1, 10.0],
            ["failed", 1, 10.0],
            ["finished", 3, 40.0],
            ["node_fail", 2, 30.0],
            ["out_of_memory", 1, 10.0],
            ["preempted", 1, 10.0],
            ["removed", 1, 10.0],
            ["revoked", 1, 10.0],
            ["timeout", 1, 10.0],
        ])
    );
    assert_eq!(
        by("system"),
        json!([["HTCondor", 1, 10.0], ["Slurm", 12, 140.0]])
    );
    assert_eq!(
        by("user"),
        json!([["canary-1", 11, 110.0], ["canary-2", 2, 40.0]])
    );
    let finished = running.json(&format!("/api/v1/finished?step=1h&{asked}"), &viewer);
    let finished = rows(&finished, "finished", &["state", "jobs"]);
    assert_eq!(finished.as_array().unwrap().len(), ends.len());
    assert_eq!(finished[4], json!(["node_fail", 2]));

    // In words, finished ones first, and removed ones after those that failed.
    let drawn = running.json(&format!("/panels/finished?{asked}"), &viewer);
    let names: Vec<&Value> = drawn["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        json!(names),
        json!([
            "finished",
            "failed",
            "timed out",
            "out of memory",
            "node failed",
            "boot failed",
            "past deadline",
            "preempted",
            "revoked",
            "removed"
        ])
    );
    let tiles = running.json(&format!("/api/v1/workloads?{asked}"), &viewer);
    let tiles = rows(&tiles, "workloads", &["number", "value"]);
    for tile in [
        json!(["Finished in the span", 3.0]),
        json!(["Removed in the span", 1.0]),
        json!(["Failed in the span", 9.0]),
        json!(["Run time of ended jobs", 150.0]),
    ] {
        assert!(
            tiles.as_array().unwrap().contains(&tile),
            "{tile} in {tiles}"
        );
    }
    let tiles = running.json(&format!("/api/v1/workloads?{asked}"), &viewer);
    let note = tiles["workloads"][5]["note"].as_str().unwrap();
    assert!(
        note.starts_with("2 node failed, 1 boot failed, 1 past deadline"),
        "{note}"
    );
    let batch = page(&running, &viewer, &format!("/batch?{asked}"));
    assert!(batch.contains("Jobs that ended"), "{batch}");
    let user = page(&running, &viewer, &format!("/user?user=canary-2&{asked}"));
    assert!(
        user.contains("<dd class=\"value fact\">2</dd>"),
        "two runs: {user}"
    );
}

/// As it was before there was another system: nothing more is shown.
#[test]
fn a_facility_with_htcondor_alone_has_what_it_had() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let now = clock::now();
    send(
        &running,
        &[
            at(job(&token, "canary-1", "1.0", "running", 0), now),
            at(job(&token, "canary-1", "2.0", "finished", 9), now),
        ],
    );
    let tiles = running.json("/api/v1/workloads?from=-1h", &viewer);
    assert_eq!(
        rows(&tiles, "workloads", &["number", "value"]),
        json!([
            ["Running now", 1.0],
            ["Idle now", 0.0],
            ["Held now", 0.0],
            ["Finished in the span", 1.0],
            ["Removed in the span", 0.0],
            ["Run time of ended jobs", 9.0],
        ])
    );
    let note = tiles["workloads"][0]["note"].as_str().unwrap();
    assert!(!note.contains("HTCondor"), "{note}");
    let drawn = running.json("/panels/jobs-by-system?from=-1h", &viewer);
    assert_eq!(drawn["series"].as_array().unwrap().len(), 1);
    assert_eq!(drawn["series"][0]["name"], "HTCondor");
}

#[test]
fn a_round_of_one_system_says_nothing_of_the_other_s_queue() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let now = clock::now();
    let long_ago = now - 2 * HOUR_MS;
    send(
        &running,
        &[
            at(slurm(&token, "canary-1", "1", "running", 60), long_ago),
            at(
                round(&token, "node-1.canary.example", &["condor_jobs"]),
                now,
            ),
        ],
    );
    let by_system = |from: &str| {
        let path = format!("/api/v1/jobs?step=5m&by=system&from={from}");
        rows(
            &running.json(&path, &viewer),
            "jobs",
            &["system", "state", "jobs"],
        )
    };
    // HTCondor's queue is empty, of Slurm's nothing is known.
    assert_eq!(
        by_system("-1h"),
        json!([
            ["HTCondor", "held", 0.0],
            ["HTCondor", "idle", 0.0],
            ["HTCondor", "running", 0.0],
        ])
    );
    let tile = |at: usize| {
        let tiles = running.json("/api/v1/workloads?from=-1h", &viewer);
        let tile = &tiles["workloads"][at];
        (
            tile["value"].clone(),
            tile["note"].as_str().unwrap().to_owned(),
        )
    };
    let (jobs, note) = tile(0);
    assert_eq!(jobs, 0.0);
    assert!(
        note.ends_with(", without Slurm of UC-AF (silent)"),
        "{note}"
    );
    let people = running.json("/api/v1/people?from=-1h", &viewer);
    let batch = &people["people"][2];
    assert_eq!(
        (&batch["number"], &batch["users"], &batch["note"]),
        (
            &json!("Batch now"),
            &json!(0),
            &json!("1 of 2 sources are silent")
        )
    );

    // Now the other one's is known, too.
    send(
        &running,
        &[
            at(slurm(&token, "canary-1", "1", "running", 7_260), now),
            at(round(&token, "node-2.canary.example", &["slurm_jobs"]), now),
        ],
    );
    let all = by_system("-1h");
    let all = all.as_array().unwrap();
    for row in [
        json!(["HTCondor", "running", 0.0]),
        json!(["Slurm", "idle", 0.0]),
        json!(["Slurm", "running", 1.0]),
    ] {
        assert!(all.contains(&row), "{row} in {all:?}");
    }
    let (jobs, note) = tile(0);
    assert_eq!(jobs, 1.0);
    assert!(note.ends_with(" UTC; HTCondor 0, Slurm 1"), "{note}");
    let people = running.json("/api/v1/people?from=-1h", &viewer);
    assert_eq!(people["people"][2]["users"], 1);
    assert_eq!(people["people"][2]["note"], Value::Null);
}

/// A span cannot be compared with one in which a system was not there yet.
#[test]
fn a_system_that_is_new_is_not_compared_with_before() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let condor = |ms| at(job(&token, "canary-1", "1.0", "running", 0), ms);
    send(
        &running,
        &[
            condor(day - 2 * DAY_MS),
            condor(day - DAY_MS),
            condor(day + HOUR_MS),
        ],
    );
    let before = || {
        let path = format!("/api/v1/workloads?{}", span(day, day + DAY_MS));
        running.json(&path, &viewer)["workloads"][3]["before"].clone()
    };
    let systems = || {
        let answer = running.json("/api/v1/facilities?from=-1h", &viewer);
        answer["facilities"][0]["systems"].clone()
    };
    assert_eq!((before(), systems()), (json!(0.0), json!(["HTCondor"])));
    let new = slurm(&token, "canary-1", "1", "finished", 60);
    send(&running, &[at(new, day + HOUR_MS)]);
    // What a facility has, it has also where it is silent.
    let both = json!(["HTCondor", "Slurm"]);
    assert_eq!((before(), systems()), (Value::Null, both));
}

#[test]
fn numbers_of_tasks_that_cannot_be_are_taken_for_the_nearest_that_can() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    for (slot, (says, counts)) in [
        (json!(0), 1.0),
        (json!(-5), 1.0),
        (json!(i64::MAX), 4_000_001.0),
        (json!(null), 1.0),
    ]
    .into_iter()
    .enumerate()
    {
        let time = day + i64::try_from(slot).unwrap() * 5 * MINUTE;
        let mut document = at(waiting(&token, "canary-1", "1_[1]", "idle", 1), time);
        document["tasks"] = says.clone();
        send(&running, &[document]);
        let path = format!("/api/v1/jobs?step=5m&{}", span(time, time + 5 * MINUTE));
        let answer = running.json(&path, &viewer);
        assert_eq!(answer["jobs"][0]["jobs"], counts, "{says}: {answer}");
    }
    for (field, wrong) in [
        ("tasks", json!(1.5)),
        ("tasks", json!("5")),
        ("tasks", json!([])),
        ("cores", json!(null)),
        ("partition", json!(7)),
        ("account", json!(7)),
    ] {
        let mut document = waiting(&token, "canary-1", "1_[1]", "idle", 1);
        document[field] = wrong;
        let (status, answer) = running.post(document.to_string());
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains(field), "{answer}");
    }
    let mut document = slurm(&token, "canary-1", "1", "idle", 0);
    document.as_object_mut().unwrap().remove("partition");
    assert_eq!(running.post(document.to_string()).0, 400);
}

#[test]
fn documents_of_slurm_are_counted_by_kind_and_exported_whole() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[
            at(waiting(&token, "canary-1", "9_[1-50]", "idle", 50), day),
            at(slurm(&token, "canary-1", "8", "out_of_memory", 60), day),
            at(queue(&token, "slurmqueue", "all", 3), day),
        ],
    );
    let (status, numbers) = running.get("/metrics", &viewer);
    assert_eq!(status, 200);
    for (kind, documents) in [("slurmjob", 2), ("slurmqueue", 1)] {
        let line = format!(
            "afmetrics_receiver_documents_total{{facility=\"UC-AF\",kind=\"{kind}\",result=\"stored\"}} {documents}\n"
        );
        assert!(numbers.contains(&line), "{line} in {numbers}");
    }
    running.terminate();
    let csv = world.done(&["export", "--csv", "--kind", "slurmjob"]);
    let time = time::text(day);
    assert_eq!(
        csv,
        format!(
            "timestamp,cluster,kind,users,Id,Runtime,state,partition,account,cores,tasks,other\n\
             {time},UC-AF,slurmjob,canary-1,9_[1-50],0,idle,batch,canary-account,4,50,\n\
             {time},UC-AF,slurmjob,canary-1,8,60,out_of_memory,batch,canary-account,4,,\n"
        )
    );
}

/// An account is often one user's own, and has the user's name.
#[test]
fn a_user_is_forgotten_in_accounts_too() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let mut shared = slurm(&token, "canary-2", "2", "running", 5);
    shared["account"] = json!("canary-1");
    send(
        &running,
        &[
            at(slurm(&token, "canary-1", "1", "finished", 5), day),
            at(shared, day),
        ],
    );
    running.json("/api/v1/jobs", &viewer);
    running.terminate();
    world.done(&["forget", "--user", "canary-1", "--yes"]);
    let left = world.done(&["export"]);
    assert!(!left.contains("canary-1"), "{left}");
    let job: Value = serde_json::from_str(left.trim()).unwrap();
    assert_eq!(
        (&job["users"], &job["Id"], &job["account"]),
        (&json!("canary-2"), &json!("2"), &Value::Null)
    );
    assert_eq!(job["partition"], "batch");
}

/// Jobs that ended are known from the history, also while nobody can read the queue.
#[test]
fn a_queue_that_was_not_read_is_not_empty() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let five = |slots: i64| day + slots * 5 * MINUTE;
    send(
        &running,
        &[
            at(job(&token, "canary-1", "1.0", "running", 0), five(0)),
            at(job(&token, "canary-1", "2.0", "finished", 9), five(0)),
            // `condor_q` fails.
            at(job(&token, "canary-1", "3.0", "finished", 9), five(1)),
            at(slurm(&token, "canary-2", "7", "requeued", 9), five(1)),
            at(slurm(&token, "canary-2", "8", "timeout", 9), five(1)),
            // It is read again, and empty.
            at(
                round(&token, "node-1.canary.example", &["condor_jobs"]),
                five(2),
            ),
            at(job(&token, "canary-1", "1.0", "finished", 9), five(2)),
        ],
    );
    let ask = |step: &str, by: &str| {
        let path = format!("/api/v1/jobs?step={step}&{by}&{}", span(day, day + HOUR_MS));
        let fields = ["time", "state", "jobs"];
        rows(&running.json(&path, &viewer), "jobs", &fields)
    };
    let time = |slot| time::text(five(slot));
    assert_eq!(
        ask("5m", "user=canary-1"),
        json!([
            [time(0), "finished", 1.0],
            [time(0), "idle", 0.0],
            [time(0), "running", 1.0],
            [time(2), "finished", 1.0],
            [time(2), "idle", 0.0],
            [time(2), "running", 0.0],
        ])
    );
    for by in ["by=state", "by=user", "by=system", "by=facility"] {
        let all = ask("5m", by).to_string();
        assert!(all.contains(&time(2)) && !all.contains(&time(1)), "{all}");
    }
    // What runs is a mean over two of the five minutes, what ended over all three.
    let hour = ask("1h", "user=canary-1");
    assert_eq!(hour[0], json!([time(0), "finished", 1.0]));
    assert_eq!(hour[2], json!([time(0), "running", 0.5]));
    // No end is lost.
    let path = format!("/api/v1/finished?step=5m&{}", span(day, day + HOUR_MS));
    let ended = rows(
        &running.json(&path, &viewer),
        "finished",
        &["state", "jobs"],
    );
    let ended = ended.as_array().unwrap();
    let finished = ended.iter().filter(|row| row[0] == "finished");
    assert_eq!(finished.map(|row| &row[1]).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(ended.contains(&json!(["timeout", 1])), "{ended:?}");
}

#[test]
fn a_number_of_now_is_null_where_only_ends_are_heard_of() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let now = clock::now();
    let ended = [
        at(slurm(&token, "canary-1", "1", "finished", 9), now),
        at(slurm(&token, "canary-1", "2", "requeued", 9), now),
    ];
    send(&running, &ended);
    let jobs = || {
        let tiles = running.json("/api/v1/workloads?from=-1h", &viewer);
        rows(&tiles, "workloads", &["number", "value", "note"])
    };
    let not_read = "the queue was not read";
    let tiles = jobs();
    for (at_, number) in ["Running now", "Idle now", "Held now"].iter().enumerate() {
        assert_eq!(tiles[at_], json!([number, null, not_read]));
    }
    assert_eq!(tiles[3][1], 1.0, "{tiles}");
    let people = || {
        let people = running.json("/api/v1/people?from=-1h", &viewer);
        rows(&people, "people", &["number", "users", "note"])
    };
    let of_now = json!(["Batch now", null, "its queue was not read"]);
    assert_eq!(people()[2], of_now);
    // Who had a job that ended was there in the span.
    let in_span = people();
    assert!(
        in_span.to_string().contains("[\"Batch in the span\",1,"),
        "{in_span}"
    );
    let text = page(&running, &viewer, "/?from=-1h");
    assert!(text.contains(not_read), "{text}");
    let drawn = running.json("/panels/jobs-by-state?from=-1h", &viewer);
    assert!(
        drawn["series"].as_array().is_none_or(Vec::is_empty),
        "{drawn}"
    );

    // The other system's queue is read: of that one its jobs are known, and whose are not.
    send(
        &running,
        &[at(job(&token, "canary-2", "1.0", "running", 0), now)],
    );
    let running_now = &jobs()[0];
    assert_eq!(running_now[1], 1.0);
    let note = running_now[2].as_str().unwrap();
    let without = ", without Slurm of UC-AF (queue not read)";
    assert!(note.ends_with(without), "{note}");
    assert_eq!(people()[2][1], 1);
    // And a round read Slurm's: it is empty.
    let both = round(&token, "node-1.canary.example", &["slurm_jobs"]);
    send(&running, &[at(both, now)]);
    let note = jobs()[0][2].as_str().unwrap().to_owned();
    assert!(note.ends_with("; HTCondor 1, Slurm 0"), "{note}");
}

/// `condor_q` says of it how long its runs before took, `condor_history` how long all did.
#[test]
fn a_job_that_was_removed_counts_once() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let removed = |seconds, ms| at(job(&token, "canary-1", "1.0", "removed", seconds), ms);
    send(&running, &[removed(0, day)]);
    send(&running, &[removed(500, day + 5 * MINUTE)]);
    let path = format!("/api/v1/runtime?by=state&{}", span(day, day + HOUR_MS));
    assert_eq!(
        rows(
            &running.json(&path, &viewer),
            "runtime",
            &["state", "jobs", "seconds"]
        ),
        json!([["removed", 1, 0.0]])
    );
}
