use afmetrics_document::Document;
use afmetrics_document::names::{HostRule, Publisher, UserRule};
use proptest::prelude::*;

use super::*;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn report(result: CollectorResult, duration: f64) -> CollectorReport {
    CollectorReport {
        result,
        documents: 0,
        duration,
    }
}

fn round(own: &mut Own, collectors: &[(&'static str, CollectorReport)], measures: &Measures) {
    own.round(&Round {
        ended: time(1_000_300),
        duration: 1.25,
        collectors,
        kinds: &[("ssh", 1), ("condorjob", 40)],
        measures,
    });
}

/// By name and values of labels, without the facility.
fn value(own: &Own, wanted: &str) -> Option<f64> {
    let mut found = own.samples("UC-AF", None).into_iter().filter(|sample| {
        assert_eq!(sample.labels["cluster"], "UC-AF");
        let others = sample
            .labels
            .iter()
            .filter(|(label, _)| *label != "cluster");
        let mut words = vec![sample.name.trim_start_matches("afmetrics_").to_owned()];
        words.extend(others.map(|(_, value)| value.clone()));
        words.join(" ") == wanted
    });
    let first = found.next().map(|sample| sample.value);
    assert!(found.next().is_none(), "{wanted} twice");
    first
}

#[test]
fn rounds_add_up() {
    let mut own = Own::new(time(1_000_000));
    assert_eq!(value(&own, "collector_rounds_total"), Some(0.0));
    assert_eq!(value(&own, "collector_last_round_timestamp_seconds"), None);
    let well = [("ssh", report(CollectorResult::Ok, 0.5))];
    let ill = [("ssh", report(CollectorResult::TimedOut, 30.0))];
    for collectors in [&well, &well, &ill] {
        round(&mut own, collectors, &Measures::default());
    }
    for (wanted, number) in [
        ("collector_rounds_total", 3.0),
        ("collector_start_time_seconds", 1_000_000.0),
        ("collector_last_round_timestamp_seconds", 1_000_300.0),
        ("collector_last_round_duration_seconds", 1.25),
        ("collector_success ssh", 0.0),
        ("collector_duration_seconds ssh", 30.0),
        ("collector_results_total ssh ok", 2.0),
        ("collector_results_total ssh timed_out", 1.0),
        // There from the beginning, for an increase to be seen.
        ("collector_results_total ssh failed", 0.0),
        ("collector_documents_total condorjob", 120.0),
    ] {
        assert_eq!(value(&own, wanted), Some(number), "{wanted}");
    }
    assert_eq!(own.last_round(), Some(time(1_000_300)));
}

#[test]
fn every_result_is_a_word_of_the_round_document() {
    use CollectorResult::{Busy, Failed, Malformed, NotHere, Ok, TimedOut};
    let words = [Ok, NotHere, Failed, TimedOut, Malformed, Busy].map(word);
    assert_eq!(words, RESULTS);
}

#[test]
fn jobs_that_ended_are_counted_over_rounds() {
    let publisher = Publisher::new(UserRule::Clear, HostRule::Clear);
    let mut own = Own::new(time(0));
    for (state, runtime) in [("finished", 60), ("finished", 30), ("failed", 7)] {
        let mut measures = Measures::of("slurm_history");
        let job = Document::SlurmJob {
            users: publisher.user("canary-1"),
            id: "1".into(),
            runtime,
            state: state.into(),
            partition: "batch".into(),
            account: None,
            cores: 1,
            tasks: None,
        };
        measures.add(&job.heard_by(0).unwrap());
        measures.ended_well();
        round(&mut own, &[], &measures);
    }
    for (wanted, number) in [
        ("ended_jobs_total finished slurm", 2.0),
        ("ended_jobs_total failed slurm", 1.0),
        ("ended_jobs_total timeout slurm", 0.0),
        ("ended_jobs_runtime_seconds_total finished slurm", 90.0),
    ] {
        assert_eq!(value(&own, wanted), Some(number), "{wanted}");
    }
    assert_eq!(value(&own, "ended_jobs_total finished htcondor"), None);
}

#[test]
fn delivery_is_counted_for_each_endpoint() {
    let mut own = Own::new(time(0));
    own.delivered("shared", Delivered::default());
    let what = Delivered {
        accepted: 10,
        late: 4,
        rejected: 2,
        lost: 1,
    };
    own.delivered("own", what);
    own.delivered("own", what);
    own.answered("own", Answer::Busy, 3);
    own.answered("own", Answer::Accepted, 1);
    for (wanted, number) in [
        ("collector_delivered_documents_total shared accepted", 0.0),
        ("collector_delivered_documents_total own accepted", 20.0),
        ("collector_delivered_documents_total own rejected", 4.0),
        ("collector_delivered_documents_total own lost", 2.0),
        ("collector_late_documents_total own", 8.0),
        ("collector_answers_total own busy", 3.0),
        ("collector_answers_total own accepted", 1.0),
        ("collector_answers_total own none", 0.0),
        ("collector_answers_total shared busy", 0.0),
    ] {
        assert_eq!(value(&own, wanted), Some(number), "{wanted}");
    }
    own.keep(|name| name != "own");
    assert_eq!(value(&own, "collector_late_documents_total own"), None);
}

#[test]
fn a_spool_that_was_not_read_has_no_numbers() {
    let mut own = Own::new(time(0));
    own.waits("own", Some(Waiting::default()));
    assert_eq!(value(&own, "collector_spool_documents own"), Some(0.0));
    let oldest = "collector_spool_oldest_timestamp_seconds own";
    assert_eq!(value(&own, oldest), None);
    own.waits(
        "own",
        Some(Waiting {
            batches: 2,
            bytes: 4096,
            documents: 70,
            oldest: Some(time(500)),
        }),
    );
    assert_eq!(value(&own, "collector_spool_batches own"), Some(2.0));
    assert_eq!(value(&own, "collector_spool_bytes own"), Some(4096.0));
    assert_eq!(value(&own, oldest), Some(500.0));
    own.waits("own", None);
    assert_eq!(value(&own, "collector_spool_documents own"), None);
}

#[test]
fn a_program_of_one_round_has_no_counters() {
    let mut own = Own::new(time(7));
    let collectors = [("ssh", report(CollectorResult::Ok, 0.5))];
    round(&mut own, &collectors, &Measures::default());
    own.waits("own", Some(Waiting::default()));
    let samples = own.of_one_round("UC-AF");
    let names: Vec<&str> = samples.iter().map(|sample| sample.name.as_ref()).collect();
    assert_eq!(
        names,
        [
            "afmetrics_collector_build_info",
            "afmetrics_collector_last_round_timestamp_seconds",
            "afmetrics_collector_last_round_duration_seconds",
            "afmetrics_collector_success",
            "afmetrics_collector_duration_seconds",
            "afmetrics_collector_spool_batches",
            "afmetrics_collector_spool_bytes",
            "afmetrics_collector_spool_documents",
        ]
    );
    let counters = own.samples("UC-AF", None).into_iter();
    for counter in counters.filter(|sample| sample.name.ends_with("_total")) {
        assert_eq!(counter.since, Some(time(7)));
    }
}

#[test]
fn memory_is_what_the_system_says() {
    let status = "Name:\tafmetrics\nVmHWM:\t   20000 kB\nVmRSS:\t   12345 kB\n";
    assert_eq!(resident(status), Some(12345 * 1024));
    for other in [
        "",
        "VmRSS:",
        "VmRSS:\tmuch kB",
        "VmRSS:\t18446744073709551615 kB",
    ] {
        assert_eq!(resident(other), None, "{other}");
    }
    let own = Own::new(time(0));
    let name = "afmetrics_collector_resident_memory_bytes";
    let of = |bytes| own.samples("UC-AF", bytes);
    assert!(of(Some(5)).iter().any(|s| s.name == name && s.value == 5.0));
    assert!(of(None).iter().all(|s| s.name != name));
}

proptest! {
    #[test]
    fn any_status_is_read_or_not(status: String, rest in "VmRSS:.*") {
        resident(&status);
        resident(&rest);
    }
}
