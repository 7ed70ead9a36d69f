//! What Slurm's own tools say, as the documents that should come of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{ENDS, NOBODY};
use crate::support::slurm::{Slurm, Told, id};

/// The documents of those of these jobs that have ended, by what `sacct` says; sorted.
pub fn ended_told(slurm: &Slurm, ids: &BTreeSet<String>) -> Vec<Value> {
    let columns = "JobID,User,State,Partition,Account,AllocCPUS,ElapsedRaw,Start";
    let mut told: Vec<Value> = slurm
        .accounts(ids, columns)
        .iter()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('|').collect();
            let number = |at: usize| columns[at].parse::<i64>().unwrap();
            let state = columns[2].split(' ').next().unwrap();
            let (_, state) = ENDS.iter().find(|(end, _)| *end == state)?;
            let mut document = json!({
                "kind": "slurmjob",
                "cluster": "UC-AF",
                "Id": columns[0],
                "users": columns[1],
                "state": state,
                "partition": columns[3],
                "cores": if columns[7] == "None" { 0 } else { number(5) },
                "Runtime": number(6),
            });
            if !columns[4].is_empty() {
                document["account"] = columns[4].into();
            }
            Some(document)
        })
        .collect();
    told.sort_by_key(Value::to_string);
    told
}

/// What scontrol tells of jobs that have not ended, as documents, by Id.
pub fn queue_told(jobs: &[Told]) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    for job in jobs {
        if let Some(state) = state(job) {
            told.insert(id(job), document_told(job, state));
        }
    }
    told
}

fn document_told(job: &Told, state: &str) -> Value {
    // `games(5)`; who has no name is the number.
    let (name, uid) = job["UserId"].trim_end_matches(')').split_once('(').unwrap();
    let is_known = name != "nobody" || uid == NOBODY.to_string();
    let mut document = json!({
        "kind": "slurmjob",
        "cluster": "UC-AF",
        "Id": id(job),
        "users": if is_known { name } else { uid },
        "state": state,
        "partition": job["Partition"],
        "cores": job["NumCPUs"].parse::<i64>().unwrap(),
        "Runtime": seconds(&job["RunTime"]),
    });
    if job["Account"] != "(null)" {
        document["account"] = job["Account"].as_str().into();
    }
    if id(job).contains('[') {
        document["tasks"] = tasks(job).into();
    }
    document
}

/// The word for its state, if it has not ended.
fn state(job: &Told) -> Option<&'static str> {
    match job["JobState"].as_str() {
        "PENDING" if job["Priority"] == "0" => Some("held"),
        "PENDING" => Some("idle"),
        "RUNNING" => Some("running"),
        "SUSPENDED" => Some("suspended"),
        _ => None,
    }
}

/// What the counts should be, of each partition and in all.
pub fn counted(jobs: &[Told]) -> BTreeMap<String, Value> {
    let mut queues: BTreeMap<String, [i64; 5]> = ["all", "batch", "long", "spare"]
        .map(|name| (name.to_owned(), [0; 5]))
        .into();
    for job in jobs {
        for queue in job["Partition"].split(',').chain(["all"]) {
            let [idle, held, running, cores, memory] = queues.get_mut(queue).unwrap();
            match state(job) {
                Some("idle") => *idle += tasks(job),
                Some("held") => *held += tasks(job),
                Some("running") => {
                    *running += 1;
                    *cores += job["NumCPUs"].parse::<i64>().unwrap();
                    *memory += megabytes(&job["TRES"]);
                }
                _ => {}
            }
        }
    }
    let document = |(name, [idle, held, running, cores, memory]): (String, [i64; 5])| {
        let document = json!({
            "kind": "slurmqueue",
            "cluster": "UC-AF",
            "queue": name,
            "idle": idle,
            "held": held,
            "running": running,
            "allocated_cores": cores,
            "allocated_mem": memory,
        });
        (name, document)
    };
    queues.into_iter().map(document).collect()
}

/// How many tasks of an array it is.
fn tasks(job: &Told) -> i64 {
    match job.get("ArrayTaskId").map(String::as_str) {
        Some("2-3%1") => 2,
        Some("1,3,5,7,9" | "1-9:2") => 5,
        Some(more) if !more.bytes().all(|b| b.is_ascii_digit()) => panic!("which are {more}?"),
        _ => 1,
    }
}

/// `cpu=1,mem=64M,node=1,billing=1`.
fn megabytes(tres: &str) -> i64 {
    let memory = tres.split(',').find_map(|pair| pair.strip_prefix("mem="));
    memory.unwrap().trim_end_matches('M').parse().unwrap()
}

/// `00:01:30`, as long as no job is a day old.
fn seconds(time: &str) -> i64 {
    time.split(':')
        .fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap())
}
