//! The metrics: their table in `docs/metrics.md`, and what Prometheus' own tool says of the text.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use afmetrics_collector::measures::own::{Answer, Delivered, Own, Round, Waiting};
use afmetrics_collector::measures::table;
use afmetrics_collector::measures::text::{Format, encode};
use afmetrics_collector::measures::{Measures, Sample};
use afmetrics_document::names::{HostRule, UserRule};
use afmetrics_document::{CollectorReport, CollectorResult, Document, Publisher, Traffic};
use jiff::Timestamp;

use crate::documentation::{assert_is, root, with_block};
use crate::support::needs;

#[test]
fn the_page_of_metrics_has_every_metric() {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let text = with_block(&text, "metrics", &table::markdown());
    assert_is("docs/metrics.md", &text);
}

/// An alert on a metric that does not exist never fires.
#[test]
fn documents_name_only_metrics_that_exist() {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = text.split(|c: char| !is_of_name(c)).filter(|word| {
        // The programs are called like that, too.
        word.starts_with("afmetrics_")
            && !["afmetrics_collector", "afmetrics_receiver"].contains(word)
    });
    let mut count = 0;
    for name in names {
        assert!(table::find(name).is_some(), "{name} is no metric");
        count += 1;
    }
    assert!(count > table::METRICS.len());
}

/// All metrics, with labels that have to be escaped.
fn samples() -> Vec<Sample> {
    let publisher = Publisher::new(UserRule::Clear, HostRule::Clear);
    let login_node = publisher.host("login01.canary.example");
    let mut round = Measures::default();
    for collector in [
        "condor_jobs",
        "condor_history",
        "slurm_jobs",
        "slurm_history",
    ] {
        let mut measures = Measures::of(collector);
        measures.ended_well();
        round.merge(measures);
    }
    for document in [
        Document::Ssh {
            login_node: login_node.clone(),
            ssh_user_count: 1,
            users: vec![publisher.user("canary-1")],
        },
        Document::JupyterMl {
            jupyter_user_count: 0,
            users: Vec::new(),
        },
        Document::Cpu {
            login_node: login_node.clone(),
            load: 1e-9,
        },
        Document::Mem {
            login_node: login_node.clone(),
            total: u64::MAX,
            available: 0,
        },
        Document::Network {
            login_node: login_node.clone(),
            network: Traffic {
                interval: 300.064,
                sent: 6_606_414,
                received: 11_383_868,
            },
        },
        Document::Disk {
            login_node,
            mount: "/a \"b\"\\\n#{c},\u{e9}\r\t".to_owned(),
            total: 3,
            used: 1,
            free: 2,
            utilization: 0.3,
            device: Some(publisher.device("/dev/mapper/x", false)),
        },
        Document::SlurmQueue {
            queue: "all".to_owned(),
            idle: 1,
            running: 2,
            held: 3,
            allocated_cores: 4,
            allocated_mem: 5,
        },
    ] {
        round.add(&document.heard_by(0).unwrap());
    }
    let mut samples = round.samples("UC-AF");
    samples.extend(own(&round).samples("UC-AF", Some(12 << 20)));
    samples
}

fn own(measures: &Measures) -> Own {
    let mut own = Own::new(Timestamp::UNIX_EPOCH);
    let report = CollectorReport {
        result: CollectorResult::Failed,
        documents: 0,
        duration: 0.125,
    };
    own.round(&Round {
        ended: "2026-11-23T14:00:00.25Z".parse().unwrap(),
        duration: 1.5,
        collectors: &[("ssh", report)],
        kinds: &[("ssh", 1)],
        measures,
    });
    own.delivered("shared", Delivered::default());
    own.answered("shared", Answer::None, 2);
    own.waits(
        "shared",
        Some(Waiting {
            batches: 1,
            bytes: 4096,
            documents: 12,
            oldest: Some(Timestamp::UNIX_EPOCH),
        }),
    );
    own
}

/// The block of this language in the page.
fn block(language: &str) -> String {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut blocks = text.split("```");
    let block = blocks.find_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    block.unwrap().to_owned()
}

/// `promtool check rules` understands the alerts, and their expressions.
#[test]
fn prometheus_understands_the_alerts() {
    let Some(promtool) = needs::path_of("promtool") else {
        needs::left_out("it needs promtool, which is not there");
        return;
    };
    let rules = block("yaml");
    let count = rules.matches("- alert:").count();
    let folder = tempfile::tempdir().unwrap();
    let of = |rules: &str| {
        let file = folder.path().join("rules.yml");
        fs::write(&file, rules).unwrap();
        check(&promtool, &["rules", file.to_str().unwrap()], "")
    };
    let (is_well, said) = of(&rules);
    let all = format!("{count} rules found");
    assert!(is_well && said.contains(&all), "{said}");
    // So does it read the expressions?
    let (is_well, said) = of(&rules.replacen("time()", "time(", 1));
    assert!(!is_well && said.contains("could not parse"), "{said}");
}

/// `promtool check metrics`: understands the text, and finds nothing in names, units and help to
/// complain of.
#[test]
fn prometheus_has_nothing_against_the_text() {
    let Some(promtool) = needs::path_of("promtool") else {
        needs::left_out("it needs promtool, which is not there");
        return;
    };
    let samples = samples();
    let text = encode(&samples, Format::Prometheus);
    for metric in table::METRICS {
        assert!(text.contains(metric.name), "{}", metric.name);
    }
    let (is_well, said) = check(&promtool, &["metrics"], &text);
    assert!(is_well && said.is_empty(), "{said}");
    // So does it find something at all?
    let broken = format!("{text}afmetrics_jobs{{x=\"y\"}} z\n");
    let (is_well, said) = check(&promtool, &["metrics"], &broken);
    assert!(!is_well && said.contains("error while linting"), "{said}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks another program what it thinks"
)]
fn check(promtool: &str, what: &[&str], text: &str) -> (bool, String) {
    let mut program = Command::new(promtool)
        .arg("check")
        .args(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    // Of an error it has not read all.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = program.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// What a round by cron writes is OpenMetrics, and what node_exporter reads, at once.
#[test]
fn without_counters_both_formats_have_the_same_lines() {
    let mut samples = samples();
    samples.retain(|sample| sample.since.is_none());
    let openmetrics = encode(&samples, Format::OpenMetrics);
    let lines = openmetrics.split_inclusive('\n');
    let lines = lines.filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF\n");
    let lines: String = lines.collect();
    assert_eq!(lines, encode(&samples, Format::Prometheus));
}
