//! Any bytes as a body: no panic, and what is taken reads back. The same function is fuzzed (`fuzz/`).

use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "../../../../fuzz/body.rs"]
mod body;

#[test]
fn the_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/body");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        body::probe(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 10);
}

/// Any JSON, not deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z0-9. -]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A sound document of some kind.
fn sound() -> impl Strategy<Value = Value> {
    let texts = || prop::collection::vec(any::<String>(), 0..4);
    prop_oneof![
        (any::<String>(), any::<i64>(), texts())
            .prop_map(|(node, n, users)| json!({"kind": "ssh", "login_node": node, "ssh_user_count": n, "users": users})),
        (any::<String>(), any::<i64>(), any::<String>(), any::<i64>()).prop_map(|(user, id, schedd, time)| {
            json!({"kind": "condorjob", "users": user, "Id": format!("{id}"), "Runtime": time, "state": "finished", "schedd": schedd})
        }),
        (any::<String>(), any::<String>(), any::<i64>(), any::<String>(), any::<i64>()).prop_map(|(user, id, time, state, tasks)| {
            json!({"kind": "slurmjob", "users": user, "Id": id, "Runtime": time, "state": state, "partition": "a", "cores": time, "tasks": tasks})
        }),
        (any::<String>(), any::<f64>()).prop_map(|(node, load)| json!({"kind": "CPU", "login_node": node, "load": load})),
        (any::<f64>(), any::<i64>(), any::<i64>()).prop_map(|(time, sent, received)| {
            json!({"kind": "NETWORK", "login_node": "a", "network": {"interval": time, "sent": sent, "received": received}})
        }),
        any::<String>().prop_map(|kind| json!({"kind": kind})),
    ]
}

/// A document, with a field more or another value in one of its own.
fn document() -> impl Strategy<Value = Value> {
    let times = prop_oneof![
        Just("2026-11-23T04:00:00Z".to_owned()),
        Just("2026-11-20T23:59:60.5+01:00".to_owned()),
        any::<String>(),
    ];
    let token = prop_oneof![9 => Just(body::TOKEN.to_owned()), 1 => any::<String>()];
    (
        sound(),
        token,
        prop::option::of(times),
        prop::option::of((any::<prop::sample::Index>(), any_json())),
        any::<String>(),
        any_json(),
    )
        .prop_map(|(mut document, token, time, other, name, more)| {
            let fields = document.as_object_mut().unwrap();
            fields.insert("token".into(), token.into());
            fields.insert("cluster".into(), "UC-AF".into());
            if let Some(time) = time {
                fields.insert("timestamp".into(), time.into());
            }
            fields.entry(name).or_insert(more);
            if let Some((which, other)) = other {
                let names: Vec<String> = fields.keys().cloned().collect();
                fields.insert(names[which.index(names.len())].clone(), other);
            }
            document
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes_are_documents_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        body::probe(&bytes);
    }

    #[test]
    fn any_text_of_the_right_letters(text in r#"[\[\]{}":,\\ \n0-9eE+.\-tnuld8a]{0,60}"#) {
        body::probe(text.as_bytes());
    }

    #[test]
    fn what_is_taken_reads_back(documents in prop::collection::vec(document(), 1..4), is_pretty: bool) {
        let array = Value::from(documents.clone());
        let text = if is_pretty { format!("{array:#}") } else { array.to_string() };
        body::probe(text.as_bytes());
        let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
        body::probe(lines.join("\n").as_bytes());
    }

    /// Cut off, and with bytes in it that were not sent.
    #[test]
    fn what_was_damaged_on_its_way(document in document(), at: prop::sample::Index, byte: u8, is_cut: bool) {
        let mut bytes = document.to_string().into_bytes();
        let at = at.index(bytes.len());
        match is_cut {
            true => bytes.truncate(at),
            false => bytes[at] = byte,
        }
        body::probe(&bytes);
    }
}
