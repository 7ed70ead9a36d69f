//! What is kept, and for whom.

use afmetrics_document::names::{HostRule, Rules, UserRule};
use afmetrics_document::{PublishedUser, Publisher};

use super::*;
use crate::measures::table::{self, Metric};

#[test]
fn the_cursor_of_a_source_that_failed_is_dropped_with_its_documents() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Documents::new("load", "UC-AF", &[Audience::EVERYBODY], folder.path());
    let failed = || Err(CollectError::Failed("cut short".to_owned()));
    out.advance("a", &1).unwrap();
    out.close(Ok(())).unwrap();
    out.advance("b", &2).unwrap();
    out.close(failed()).unwrap();
    out.advance("c", &3).unwrap();
    out.close(Ok(())).unwrap();
    out.advance("d", &4).unwrap();
    let stored = out.finish().unwrap();
    let names: Vec<_> = stored
        .cursors
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a", "c"]);
}

fn load(value: f64) -> Document {
    let publisher = Publisher::new(UserRule::Clear, HostRule::Clear);
    Document::Cpu {
        login_node: publisher.host("login01.canary.example"),
        load: value,
    }
}

#[test]
fn what_is_behind_a_mark_is_taken_back_and_nothing_else() {
    let mut out = Documents::new(
        "load",
        "UC-AF",
        &[Audience::EVERYBODY],
        &std::env::temp_dir(),
    );
    for _ in 0..2 {
        out.push(&load(1.0)).unwrap();
        out.push_once(&load(2.0)).unwrap();
        let mark = out.mark();
        for _ in 0..5000 {
            out.push(&load(3.0)).unwrap();
            out.push_once(&load(4.0)).unwrap();
        }
        out.take_back(mark).unwrap();
    }
    out.push_once(&load(5.0)).unwrap();
    out.close(Ok(())).unwrap();
    let stored = out.finish().unwrap();
    assert_eq!(stored.kinds(0), [("CPU", 5)]);
    let loads: Vec<f64> = stored
        .read(0)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["load"].as_f64())
        .map(Option::unwrap)
        .collect();
    assert_eq!(loads, [1.0, 1.0, 2.0, 2.0, 5.0]);
}

#[test]
fn a_source_that_fails_moves_no_cursor() {
    let mut out = Documents::new(
        "load",
        "UC-AF",
        &[Audience::EVERYBODY],
        &std::env::temp_dir(),
    );
    out.advance("well", &1).unwrap();
    out.close(Ok(())).unwrap();
    out.advance("failed", &2).unwrap();
    out.close(Err(CollectError::Failed("why".to_owned())))
        .unwrap();
    out.advance("given up", &3).unwrap();
    let stored = out.finish().unwrap();
    assert_eq!(stored.cursors, [("well".to_owned(), Value::from(1))]);
}

fn job(user: &PublishedUser, state: &'static str) -> Document {
    Document::CondorJob {
        users: user.clone(),
        id: "1.0".to_owned(),
        runtime: 1,
        state,
        schedd: None,
        cores: None,
        memory: None,
        hold_reason_code: None,
    }
}

/// Of three audiences the second one has a group that nobody knows of, and the third hears numbers.
fn audiences() -> (Publisher, Vec<Audience>) {
    let clear = || Rules {
        users: UserRule::Clear,
        hosts: HostRule::Clear,
    };
    let numbers = Audience {
        measures_only: true,
        ..Audience::EVERYBODY
    };
    let group = Audience {
        group: Some("canaries".to_owned()),
        ..Audience::EVERYBODY
    };
    (
        Publisher::of(vec![clear(), clear(), clear()]),
        vec![Audience::EVERYBODY, group, numbers],
    )
}

#[test]
fn what_may_not_be_for_an_audience_is_left_out_for_it_and_moves_no_cursor() {
    let (publisher, audiences) = audiences();
    let known = publisher.user("canary-1");
    let unknown = publisher.user_for("canary-2", |audience| (audience != 1).then_some(true));
    let folder = tempfile::tempdir().unwrap();
    let mut out = Documents::new("condor_jobs", "UC-AF", &audiences, folder.path());
    // A schedd whose jobs are all known, then one of which one is not.
    out.push(&job(&known, "running")).unwrap();
    out.push_once(&job(&known, "finished")).unwrap();
    out.advance("one", &1).unwrap();
    out.close(Ok(())).unwrap();
    out.push(&job(&known, "running")).unwrap();
    out.push_once(&job(&known, "finished")).unwrap();
    out.push(&job(&unknown, "running")).unwrap();
    assert!(out.is_incomplete());
    assert!(out.advance("other", &1).is_err());
    out.close(Ok(())).unwrap();
    assert!(!out.is_incomplete());
    let stored = out.finish().unwrap();
    let states = |audience| -> Vec<String> {
        let lines = stored.read(audience).unwrap().lines();
        let text =
            |line: String| serde_json::from_str::<Value>(&line).unwrap()["state"].to_string();
        lines.map(|line| text(line.unwrap())).collect()
    };
    let (running, finished) = (r#""running""#, r#""finished""#);
    assert_eq!(states(0), [running, running, running, finished]);
    assert_eq!(states(1), [running, finished]);
    assert_eq!(stored.cursors.len(), 1);
    assert_eq!(stored.problems.len(), 1);
    assert_eq!(
        [0, 1, 2].map(|audience| stored.is_whole_for(audience)),
        [true, false, true]
    );
    let mut measures = stored.measures(2).unwrap();
    measures.ended_well();
    let samples = measures.samples("UC-AF");
    let value = |metric: &Metric, state: &str| -> f64 {
        let mut found = samples
            .iter()
            .filter(|it| it.name == metric.name && it.labels.values().any(|label| label == state));
        found.next().unwrap().value
    };
    assert!((value(&table::JOBS, "running") - 3.0).abs() < 0.1);
    let ended = value(&table::ROUND_ENDED_JOBS, "finished");
    assert!(
        (ended - 1.0).abs() < 0.1,
        "the other is read again: {ended}"
    );
}

#[test]
fn what_is_unknown_behind_a_mark_is_taken_back_too() {
    let (publisher, audiences) = audiences();
    let unknown = publisher.user_for("canary-2", |audience| (audience != 1).then_some(true));
    let folder = tempfile::tempdir().unwrap();
    let mut out = Documents::new("condor_history", "UC-AF", &audiences, folder.path());
    let mark = out.mark();
    out.push_once(&job(&unknown, "finished")).unwrap();
    assert!(out.is_incomplete());
    out.take_back(mark).unwrap();
    assert!(!out.is_incomplete());
    out.advance("one", &1).unwrap();
}
