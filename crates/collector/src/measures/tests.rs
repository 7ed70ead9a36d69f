use afmetrics_document::Traffic;
use afmetrics_document::names::{HostRule, Publisher, UserRule};
use proptest::prelude::*;

use super::own::{Delivered, Own, Round, Waiting};
use super::*;
use crate::collectors;

const NODE: &str = "login01.canary.example";

fn publisher() -> Publisher {
    Publisher::new(UserRule::Clear, HostRule::Clear)
}

fn condor_job(state: &'static str, runtime: i64) -> Document {
    Document::CondorJob {
        users: publisher().user("canary-1"),
        id: "1.0".into(),
        runtime,
        state,
        schedd: Some(publisher().host("schedd01.canary.example")),
        cores: None,
        memory: None,
        hold_reason_code: None,
    }
}

fn slurm_job(state: &str, tasks: Option<u64>) -> Document {
    Document::SlurmJob {
        users: publisher().user("canary-2"),
        id: "1".into(),
        runtime: 5,
        state: state.to_owned().into(),
        partition: "batch".into(),
        account: Some(publisher().user("canary-3")),
        cores: 1,
        tasks,
    }
}

fn network(interval: f64) -> Document {
    Document::Network {
        login_node: publisher().host(NODE),
        network: Traffic {
            interval,
            sent: 600,
            received: 150,
        },
    }
}

fn disk(mount: &str, device: Option<&str>) -> Document {
    Document::Disk {
        login_node: publisher().host(NODE),
        mount: mount.into(),
        total: 100,
        used: 40,
        free: 55,
        utilization: 0.4,
        device: device.map(|name| publisher().device(name, false)),
    }
}

/// One of each kind that is not of jobs.
fn others() -> Vec<Document> {
    let host = || publisher().host(NODE);
    let users = || vec![publisher().user("canary-4")];
    vec![
        Document::Ssh {
            login_node: host(),
            ssh_user_count: 1,
            users: users(),
        },
        Document::JupyterMl {
            jupyter_user_count: 1,
            users: users(),
        },
        Document::JupyterCoffea {
            jupyter_user_count: 0,
            users: Vec::new(),
        },
        Document::CondorQueue {
            queue: "all".into(),
            schedd: None,
            idle: 1995,
            running: 1022,
            held: 3,
            allocated_cores: 966,
            allocated_mem: 2,
        },
        Document::SlurmQueue {
            queue: "batch".into(),
            idle: 0,
            running: 1,
            held: 0,
            allocated_cores: 4,
            allocated_mem: 0,
        },
        Document::Cpu {
            login_node: host(),
            load: 0.01,
        },
        Document::Mem {
            login_node: host(),
            total: 269_903_060_992,
            available: 265_041_854_464,
        },
        network(300.0),
        disk("/home", Some("sda1")),
        disk("/data", None),
        Document::Round {
            login_node: host(),
            version: "0",
            duration: 1.0,
            collectors: BTreeMap::new(),
        },
    ]
}

fn of(collector: &'static str, documents: &[Document]) -> Measures {
    let mut measures = Measures::of(collector);
    for document in documents {
        measures.add(&document.heard_by(0).unwrap());
    }
    measures
}

fn well(collector: &'static str, documents: &[Document]) -> Measures {
    let mut measures = of(collector, documents);
    measures.ended_well();
    measures
}

/// A sample a line: name, values of the labels in order, number.
fn lines(measures: &Measures) -> Vec<String> {
    let samples = measures.samples("UC-AF").into_iter();
    let lines = samples.map(|sample| {
        assert_eq!(sample.labels["cluster"], "UC-AF");
        let metric = table::find(&sample.name).unwrap();
        let mut line = metric.name.trim_start_matches("afmetrics_").to_owned();
        for label in metric.labels {
            line.push(' ');
            line.push_str(sample.labels.get(*label).map_or("-", String::as_str));
        }
        format!("{line} {}", sample.value)
    });
    lines.collect()
}

#[test]
fn every_document_but_jobs_gives_its_numbers() {
    let wanted = [
        "jupyter_users jupyter-coffea 0",
        "jupyter_users jupyter-ml 1",
        "load1 login01.canary.example 0.01",
        "memory_available_bytes login01.canary.example 265041854464",
        "memory_total_bytes login01.canary.example 269903060992",
        "mount_free_bytes login01.canary.example /data - 55",
        "mount_free_bytes login01.canary.example /home sda1 55",
        "mount_size_bytes login01.canary.example /data - 100",
        "mount_size_bytes login01.canary.example /home sda1 100",
        "mount_used_bytes login01.canary.example /data - 40",
        "mount_used_bytes login01.canary.example /home sda1 40",
        "network_receive_bytes_per_second login01.canary.example 0.5",
        "network_transmit_bytes_per_second login01.canary.example 2",
        "queue_allocated_cores htcondor all 966",
        "queue_allocated_cores slurm batch 4",
        "queue_allocated_memory_bytes htcondor all 2097152",
        "queue_allocated_memory_bytes slurm batch 0",
        "queue_jobs htcondor all held 3",
        "queue_jobs htcondor all idle 1995",
        "queue_jobs htcondor all running 1022",
        "queue_jobs slurm batch held 0",
        "queue_jobs slurm batch idle 0",
        "queue_jobs slurm batch running 1",
        "ssh_users login01.canary.example 1",
    ];
    assert_eq!(lines(&of("ssh", &others())), wanted);
}

#[test]
fn an_empty_queue_that_was_read_is_0() {
    assert_eq!(
        lines(&well("condor_jobs", &[])),
        [
            "jobs htcondor held 0",
            "jobs htcondor idle 0",
            "jobs htcondor removed 0",
            "jobs htcondor running 0",
            "jobs htcondor suspended 0",
            "jobs htcondor transferring_output 0",
        ]
    );
    let ended = lines(&well("condor_history", &[]));
    assert_eq!(
        ended,
        [
            "round_ended_jobs htcondor finished 0",
            "round_ended_jobs_runtime_seconds htcondor finished 0",
        ]
    );
    assert_eq!(lines(&well("slurm_jobs", &[])).len(), 5);
    assert_eq!(lines(&well("slurm_history", &[])).len(), 12);
}

/// Of several schedds one may have failed: what is there is no sum.
#[test]
fn a_queue_that_was_not_read_to_its_end_has_no_number() {
    let jobs = [condor_job("running", 0), condor_job("idle", 0)];
    assert!(lines(&of("condor_jobs", &jobs)).is_empty());
    let mut round = of("condor_jobs", &jobs);
    round.merge(well("slurm_jobs", &[]));
    round.merge(well("condor_history", &[]));
    let jobs = lines(&round).into_iter();
    let mut of_condor = jobs.filter(|line| line.starts_with("jobs htcondor"));
    assert_eq!(of_condor.next(), None);
}

#[test]
fn jobs_are_counted_by_state() {
    let mut round = Measures::default();
    let queue = [
        condor_job("running", 7),
        condor_job("running", 8),
        condor_job("unknown", 0),
        // In the queue until it can be cleaned up, in each round until then.
        condor_job("removed", 0),
        // Stays in the queue, and is told once.
        condor_job("finished", 100),
    ];
    round.merge(well("condor_jobs", &queue));
    let history = [
        condor_job("finished", 20),
        condor_job("removed", 5),
        condor_job("finished", -1),
    ];
    round.merge(well("condor_history", &history));
    let slurm = [
        slurm_job("idle", Some(1000)),
        slurm_job("idle", None),
        slurm_job("a state of the year 2040", None),
        slurm_job("another one", None),
    ];
    round.merge(well("slurm_jobs", &slurm));
    round.merge(of("slurm_history", &[slurm_job("node_fail", None)]));
    let lines = lines(&round);
    let of = |name: &str| -> Vec<&str> {
        let with_number = lines.iter().filter(|line| !line.ends_with(" 0"));
        let named = with_number.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        named.collect()
    };
    assert_eq!(
        of("jobs"),
        [
            "htcondor removed 1",
            "htcondor running 2",
            "htcondor unknown 1",
            "slurm idle 1001",
            "slurm other 2",
        ]
    );
    // What ended is known of a list that broke off, too, and the rest comes later.
    assert_eq!(
        of("round_ended_jobs"),
        [
            "htcondor finished 3",
            "htcondor removed 1",
            "slurm node_fail 1"
        ]
    );
    assert_eq!(
        of("round_ended_jobs_runtime_seconds"),
        [
            "htcondor finished 120",
            "htcondor removed 5",
            "slurm node_fail 5"
        ]
    );
    round.forget_ended();
    let jobs = super::tests::lines(&round);
    assert!(
        jobs.iter().all(|line| line.starts_with("jobs ")),
        "{jobs:?}"
    );
}

#[test]
fn without_a_time_there_is_no_rate() {
    assert!(lines(&of("network", &[network(0.0)])).is_empty());
}

#[test]
fn the_collectors_of_jobs_are_collectors() {
    for system in System::ALL {
        for name in [system.queue(), system.history()] {
            assert!(collectors::ALL.iter().any(|spec| spec.name == name));
        }
        for state in system.usual().iter().chain(system.usual_ends()) {
            assert_eq!(known(state), *state);
        }
    }
}

#[test]
fn a_sample_is_a_line_of_json() {
    let mut sample = Sample::new(&table::LOAD, "UC-AF", &[NODE], 0.25);
    let line = r#"{"name":"afmetrics_load1","labels":{"cluster":"UC-AF","login_node":"login01.canary.example"},"value":0.25}"#;
    assert_eq!(serde_json::to_string(&sample).unwrap(), line);
    assert_eq!(serde_json::from_str::<Sample>(line).unwrap(), sample);
    sample.since = Some(Timestamp::UNIX_EPOCH);
    let line = serde_json::to_string(&sample).unwrap();
    assert!(line.ends_with(r#","since":"1970-01-01T00:00:00Z"}"#));
    assert_eq!(serde_json::from_str::<Sample>(&line).unwrap(), sample);
}

/// A row of the table that nothing makes would be a promise.
#[test]
fn every_metric_of_the_table_is_made() {
    let mut round = of("disk", &others());
    round.merge(well("condor_jobs", &[]));
    round.merge(well("condor_history", &[]));
    let mut own = Own::new(Timestamp::UNIX_EPOCH);
    own.round(&Round {
        ended: Timestamp::UNIX_EPOCH,
        duration: 0.0,
        collectors: &[(
            "ssh",
            afmetrics_document::CollectorReport {
                result: afmetrics_document::CollectorResult::Ok,
                documents: 1,
                duration: 0.1,
            },
        )],
        kinds: &[("ssh", 1)],
        measures: &round,
    });
    own.delivered("own", Delivered::default());
    own.waits(
        "own",
        Some(Waiting {
            oldest: Some(Timestamp::UNIX_EPOCH),
            ..Waiting::default()
        }),
    );
    let mut samples = round.samples("UC-AF");
    samples.extend(own.samples("UC-AF", Some(1)));
    let made: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_ref()).collect();
    let promised: BTreeSet<&str> = table::METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(made, promised);
    for sample in &samples {
        let metric = table::find(&sample.name).unwrap();
        let is_counter = metric.ty == table::Type::Counter;
        assert_eq!(sample.since.is_some(), is_counter, "{}", metric.name);
        for label in sample.labels.keys().filter(|label| *label != "cluster") {
            assert!(metric.labels.contains(&label.as_ref()), "{label}");
        }
    }
}

fn any_document() -> impl Strategy<Value = Document> {
    let states = prop::sample::select(&JOB_STATES[..]);
    prop_oneof![
        (states, any::<i64>()).prop_map(|(state, runtime)| condor_job(state, runtime)),
        ("[a-z]{1,9}", any::<Option<u32>>())
            .prop_map(|(state, tasks)| slurm_job(&state, tasks.map(u64::from))),
        any::<f64>().prop_map(network),
        (any::<String>(), any::<Option<String>>())
            .prop_map(|(mount, device)| disk(&mount, device.as_deref())),
        prop::sample::select(others()),
    ]
}

proptest! {
    #[test]
    fn whatever_is_added_names_nobody_and_no_series_twice(
        documents in prop::collection::vec(any_document(), 0..40),
        collector in prop::sample::select(vec!["condor_jobs", "condor_history", "slurm_jobs", "disk"]),
    ) {
        let mut series = BTreeSet::new();
        for sample in well(collector, &documents).samples("UC-AF") {
            prop_assert!(sample.value.is_finite());
            prop_assert!(sample.labels.values().all(|value| !value.starts_with("canary-")));
            prop_assert!(series.insert((sample.name, sample.labels)));
        }
    }

    /// Those of a list in parts are those of the whole list, in whatever order they are merged.
    #[test]
    fn merging_adds_up(
        documents in prop::collection::vec(any_document(), 0..40), at in 0..40_usize,
    ) {
        let levels = |document: &Document| !matches!(document, Document::CondorJob { .. } | Document::SlurmJob { .. });
        let (others, jobs): (Vec<_>, Vec<_>) = documents.into_iter().partition(levels);
        let (first, second) = jobs.split_at(at.min(jobs.len()));
        let whole = lines(&well("condor_jobs", &jobs));
        for parts in [[first, second], [second, first]] {
            let mut round = Measures::default();
            parts.iter().for_each(|part| round.merge(well("condor_jobs", part)));
            prop_assert_eq!(lines(&round), &whole[..]);
        }
        let mut round = of("disk", &others);
        let alone = lines(&round);
        round.merge(of("disk", &others));
        prop_assert_eq!(lines(&round), alone);
    }
}

/// A queue of a hundred thousand jobs takes no more than one of a few.
#[test]
fn memory_does_not_grow_with_the_queue() {
    let mut measures = Measures::of("slurm_jobs");
    for number in 0..100_000 {
        let job = slurm_job(&format!("state {number}"), None);
        measures.add(&job.heard_by(0).unwrap());
    }
    assert_eq!(measures.queued.len(), 1);
}
