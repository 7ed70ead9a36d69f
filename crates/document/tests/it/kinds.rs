//! The table of kinds, held against what documents serialize to and against its own print.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use afmetrics_document::kinds::{
    self, COMMON, END_STATES, Field, JOB_STATES, KINDS, RESULTS, SLURM_STATES, Type,
};
use afmetrics_document::names::{HostRule, UserRule};
use afmetrics_document::{
    CollectorReport, CollectorResult, Document, PublishedHost, PublishedUser, Publisher, Traffic,
};
use serde_json::{Map, Value};

fn publisher() -> Publisher {
    Publisher::new(UserRule::Clear, HostRule::Clear)
}

fn user(name: &str) -> PublishedUser {
    publisher().user(name)
}

fn host() -> PublishedHost {
    publisher().host("login01.canary.example")
}

fn disk(device: Option<&str>) -> Document {
    Document::Disk {
        login_node: host(),
        mount: "/data".to_owned(),
        total: 3,
        used: 1,
        free: 2,
        utilization: 1.0,
        device: device.map(|name| publisher().device(name, false)),
    }
}

fn round(collectors: &[(&'static str, CollectorReport)]) -> Document {
    Document::Round {
        login_node: host(),
        version: "0.1.0",
        duration: 1.0,
        collectors: collectors.iter().copied().collect(),
    }
}

fn report(result: CollectorResult, documents: u64) -> CollectorReport {
    CollectorReport {
        result,
        documents,
        duration: 0.0,
    }
}

/// One of each variant; of the one with an optional field, both.
fn slurm_job(account: Option<&str>, tasks: Option<u64>) -> Document {
    Document::SlurmJob {
        users: user("canary-1"),
        id: "6_[2-20%1]".to_owned(),
        runtime: 0,
        state: "idle".into(),
        partition: "batch,long".to_owned(),
        account: account.map(user),
        cores: 1,
        tasks,
    }
}

fn condor_job(has_details: bool) -> Document {
    Document::CondorJob {
        users: user("canary-1"),
        id: "174100.63".to_owned(),
        runtime: 177,
        state: JOB_STATES[4],
        schedd: has_details.then(host),
        cores: has_details.then_some(8),
        memory: has_details.then_some(4096),
        hold_reason_code: has_details.then_some(1),
    }
}

fn samples() -> Vec<Document> {
    let users = vec![user("canary-1"), user("canary-2")];
    vec![
        Document::Ssh {
            login_node: host(),
            ssh_user_count: 2,
            users: users.clone(),
        },
        Document::JupyterMl {
            jupyter_user_count: 2,
            users: users.clone(),
        },
        Document::JupyterCoffea {
            jupyter_user_count: 2,
            users,
        },
        condor_job(true),
        condor_job(false),
        Document::CondorQueue {
            queue: "all".to_owned(),
            schedd: None,
            idle: 1,
            running: 2,
            held: 3,
            allocated_cores: 4,
            allocated_mem: 5,
        },
        slurm_job(Some("canary-account"), Some(19)),
        slurm_job(None, None),
        Document::SlurmQueue {
            queue: "batch".to_owned(),
            idle: 1,
            running: 2,
            held: 3,
            allocated_cores: 4,
            allocated_mem: 5,
        },
        Document::Cpu {
            login_node: host(),
            load: 0.0,
        },
        Document::Mem {
            login_node: host(),
            total: u64::MAX,
            available: 0,
        },
        Document::Network {
            login_node: host(),
            network: Traffic {
                interval: 300.0,
                sent: 1,
                received: 2,
            },
        },
        disk(Some("vdb")),
        disk(None),
        round(&[
            ("ssh", report(CollectorResult::Ok, 1)),
            ("condor_jobs", report(CollectorResult::Failed, 0)),
        ]),
        // The heartbeat alone.
        round(&[]),
    ]
}

/// The kind of a variant, written here once more: what is on the wire is not to follow a change of
/// the code. A new variant does not compile until it is here, and wants a sample.
fn kind(document: &Document) -> &'static str {
    match document {
        Document::Ssh { .. } => "ssh",
        Document::JupyterMl { .. } => "jupyter-ml",
        Document::JupyterCoffea { .. } => "jupyter-coffea",
        Document::CondorJob { .. } => "condorjob",
        Document::CondorQueue { .. } => "condorqueue",
        Document::SlurmJob { .. } => "slurmjob",
        Document::SlurmQueue { .. } => "slurmqueue",
        Document::Cpu { .. } => "CPU",
        Document::Mem { .. } => "MEM",
        Document::Network { .. } => "NETWORK",
        Document::Disk { .. } => "DISK",
        Document::Round { .. } => "round",
    }
}

#[test]
fn documents_have_exactly_the_fields_and_types_of_the_table() {
    let mut sampled = BTreeSet::new();
    for document in samples() {
        let value = serde_json::to_value(document.heard_by(0).unwrap()).unwrap();
        let mut object = value.as_object().unwrap().clone();
        assert_eq!(object.remove("kind"), Some(Value::from(kind(&document))));
        let row = kinds::find(kind(&document)).unwrap();
        assert_fields(&object, row.fields, row.name);
        sampled.insert(row.name);
    }
    let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(sampled, all, "every kind, and no other");
}

fn assert_fields(object: &Map<String, Value>, fields: &[Field], of: &str) {
    for name in object.keys() {
        assert!(
            fields.iter().any(|field| field.name == name),
            "{of}.{name} is not in the table"
        );
    }
    for field in fields {
        match object.get(field.name) {
            Some(value) => assert_type(value, field, of),
            None => assert!(!field.required, "{of}.{} is missing", field.name),
        }
    }
}

fn assert_type(value: &Value, field: &Field, of: &str) {
    let is_right = match field.ty {
        Type::Str => value.is_string(),
        Type::Int => value.is_u64() || value.is_i64(),
        Type::Float => value.is_f64(),
        Type::Strs => value
            .as_array()
            .is_some_and(|values| values.iter().all(Value::is_string)),
        Type::Object(inner) => {
            let object = value.as_object().unwrap();
            assert_fields(object, inner, field.name);
            true
        }
        Type::Map(inner) => {
            for (name, value) in value.as_object().unwrap() {
                assert_fields(value.as_object().unwrap(), inner, name);
            }
            true
        }
    };
    assert!(is_right, "{of}.{} is {value}", field.name);
}

fn field_of(kind: &str, name: &str) -> &'static Field {
    let fields = kinds::find(kind).unwrap().fields;
    fields.iter().find(|field| field.name == name).unwrap()
}

/// Dashboards hang on these: they are written here once more.
#[test]
fn words_of_job_states_are_those_of_the_contract() {
    let words =
        "unexpanded, idle, running, removed, finished, held, transferring_output, suspended";
    assert_eq!(JOB_STATES.join(", "), words);
    assert_eq!(kinds::UNKNOWN_STATE, "unknown");
    let state = field_of("condorjob", "state");
    assert!(state.meaning.contains(words), "{}", state.meaning);
}

#[test]
fn a_job_ends_in_a_state_that_there_is() {
    assert_eq!(END_STATES[..2], ["finished", "removed"]);
    for state in &END_STATES[..2] {
        assert!(JOB_STATES.contains(state), "{state}");
    }
    let words = SLURM_STATES.map(|(_, word)| word);
    let meaning = field_of("slurmjob", "state").meaning;
    for (slurm, word) in SLURM_STATES {
        assert!(JOB_STATES.contains(&word), "{word}");
        assert!(meaning.contains(word) && meaning.contains(slurm), "{slurm}");
    }
    for state in &END_STATES[2..] {
        assert!(!words.contains(state) && !JOB_STATES.contains(state));
    }
}

/// So does the receiver. What is on the wire is written here once more.
#[test]
fn words_of_results_are_those_of_the_table() {
    let written = [
        (CollectorResult::Ok, "ok"),
        (CollectorResult::NotHere, "not_here"),
        (CollectorResult::Failed, "failed"),
        (CollectorResult::TimedOut, "timed_out"),
        (CollectorResult::Malformed, "malformed"),
        (CollectorResult::Busy, "busy"),
    ];
    assert_eq!(written.map(|(_, word)| word), RESULTS);
    let Type::Map(fields) = field_of("round", "collectors").ty else {
        panic!("collectors is a map");
    };
    let meaning = fields[0].meaning;
    for (result, word) in written {
        assert_eq!(serde_json::to_value(result).unwrap(), word);
        assert!(meaning.contains(word), "{word}: {meaning}");
    }
}

#[test]
fn a_round_is_written_as_the_receiver_reads_it() {
    let document = round(&[("ssh", report(CollectorResult::Ok, 1))]);
    assert_eq!(
        serde_json::to_string(&document.heard_by(0).unwrap()).unwrap(),
        r#"{"kind":"round","login_node":"login01.canary.example","version":"0.1.0","duration":1.0,"collectors":{"ssh":{"result":"ok","documents":1,"duration":0.0}}}"#
    );
}

/// Dashboards know it: what was added changes nothing where nobody asked for it.
#[test]
fn a_job_without_details_is_written_as_ever() {
    assert_eq!(
        serde_json::to_string(&condor_job(false).heard_by(0).unwrap()).unwrap(),
        r#"{"kind":"condorjob","users":"canary-1","Id":"174100.63","Runtime":177,"state":"finished"}"#
    );
    assert_eq!(
        serde_json::to_string(&condor_job(true).heard_by(0).unwrap()).unwrap(),
        r#"{"kind":"condorjob","users":"canary-1","Id":"174100.63","Runtime":177,"state":"finished","schedd":"login01.canary.example","cores":8,"memory":4096,"hold_reason_code":1}"#
    );
}

#[test]
fn every_kind_and_field_is_described() {
    for kind in KINDS {
        assert!(!kind.meaning.is_empty(), "{}", kind.name);
        assert!(!kind.source.is_empty(), "{}", kind.name);
        assert_described(kind.fields, kind.name);
        let names: BTreeSet<&str> = kind.fields.iter().map(|field| field.name).collect();
        assert_eq!(
            names.len(),
            kind.fields.len(),
            "{}: a field twice",
            kind.name
        );
        for common in COMMON {
            assert!(
                !names.contains(common.name),
                "{}.{}",
                kind.name,
                common.name
            );
        }
        // The endpoint writes its own over these.
        assert!(!names.contains("host") && !names.contains("headers"));
    }
    assert_described(COMMON, "every kind");
}

fn assert_described(fields: &[Field], of: &str) {
    for field in fields {
        assert!(!field.meaning.is_empty(), "{of}.{}", field.name);
        let is_number = matches!(field.ty, Type::Int);
        assert!(!is_number || !field.unit.is_empty(), "{of}.{}", field.name);
        if let Type::Object(inner) | Type::Map(inner) = field.ty {
            assert_described(inner, field.name);
        }
    }
}

#[test]
fn the_reference_is_the_print_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kinds.md");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads its own environment"
    )]
    let bless = std::env::var_os("AFMETRICS_BLESS");
    if bless.is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, kinds::markdown()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        kinds::markdown(),
        "cargo xtask bless writes docs/kinds.md"
    );
}
