//! Two batch systems: whose is whose, and states that are told apart by day and by night.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::axe::assert_accessible;
use super::site::{Site, at};
use super::tab::{Tab, browse};

/// As many as there are colours; one of them is a word that nobody knows.
const TWELVE: [&str; 12] = [
    "completing",
    "configuring",
    "failed",
    "finished",
    "held",
    "idle",
    "out_of_memory",
    "removed",
    "running",
    "special_exit",
    "suspended",
    "timeout",
];
const MORE: [&str; 6] = [
    "boot_fail",
    "deadline",
    "node_fail",
    "preempted",
    "requeued",
    "revoked",
];

fn slurm(state: &str) -> Value {
    json!({"kind": "slurmjob", "users": "canary-1", "Id": state, "Runtime": 60, "state": state, "partition": "batch", "cores": 4})
}

fn queue(kind: &str, running: i32) -> Value {
    json!({"kind": kind, "queue": "all", "idle": 3, "running": running, "held": 0, "allocated_cores": running, "allocated_mem": 2_048})
}

/// The names and colours of a chart's series.
fn swatches(tab: &Tab, panel: &str) -> Vec<(String, String)> {
    let script = format!(
        "return [...document.querySelectorAll('#{panel} .legend button')]
            .map(button => [button.textContent, getComputedStyle(button.querySelector('i')).backgroundColor])"
    );
    serde_json::from_value(tab.run(&script)).unwrap()
}

fn assert_each_has_a_colour(all: &[(String, String)]) {
    for (name, colour) in all {
        assert!(
            colour.starts_with("rgb(") && !name.contains('_'),
            "{name}: {colour}"
        );
    }
}

#[test]
fn a_facility_with_both_says_whose_a_queue_is_and_tells_states_apart() {
    let site = Site::empty();
    let now = Timestamp::now();
    for round in 0..4 {
        let time = now - SignedDuration::from_mins(5 * round);
        let mut first: Vec<Value> = TWELVE.into_iter().map(slurm).collect();
        first.push(json!({"kind": "condorjob", "users": "canary-2", "Id": "1.0", "Runtime": 0, "state": "running"}));
        first.extend([queue("condorqueue", 20), queue("slurmqueue", 7)]);
        site.send("AF-1", at(time, first));
        let second = TWELVE.into_iter().chain(MORE).map(slurm).collect();
        site.send("AF-2", at(time, second));
    }
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        for scheme in ["light", "dark"] {
            tab.prefer(scheme);
            tab.go("/batch?facility=AF-1&from=-1h");
            tab.wait_for_charts();
            let all = swatches(tab, "jobs-by-state");
            assert_eq!(all.len(), TWELVE.len(), "{all:?}");
            assert_each_has_a_colour(&all);
            let mut colours: Vec<&String> = all.iter().map(|(_, colour)| colour).collect();
            colours.sort();
            colours.dedup();
            assert_eq!(colours.len(), TWELVE.len(), "{scheme}: {all:?}");
            assert_accessible(tab, scheme);
        }
        assert_eq!(
            tab.texts("#queues tbody td:nth-child(2)"),
            ["HTCondor", "Slurm"]
        );
        let queues = swatches(tab, "queue-running").into_iter();
        let queues: Vec<String> = queues.map(|(name, _)| name).collect();
        assert_eq!(queues, ["HTCondor all", "Slurm all"]);
        let systems = swatches(tab, "jobs-by-system").into_iter();
        let systems: Vec<String> = systems.map(|(name, _)| name).collect();
        assert_eq!(systems, ["HTCondor", "Slurm"]);

        // More states than colours: some share one, none is without.
        tab.go("/batch?facility=AF-2&from=-1h");
        tab.wait_for_charts();
        let all = swatches(tab, "jobs-by-state");
        assert_eq!(all.len(), TWELVE.len() + MORE.len(), "{all:?}");
        assert_each_has_a_colour(&all);

        tab.go("/?from=-1h");
        tab.wait_for_charts();
        let tiles = tab.text("#jobs-now");
        for said in ["Failed in the span", "HTCondor 1, Slurm 2"] {
            assert!(tiles.contains(said), "{said}: {tiles}");
        }
        let facilities = tab.text("#facility-list");
        assert!(facilities.contains("HTCondor, Slurm"), "{facilities}");
    });
}
