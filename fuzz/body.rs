//! What has to hold for any bytes that come as a body.

use afmetrics_receiver::documents::taking::Gate;
use afmetrics_receiver::documents::{Documents, Form, Taking, read_again};
use afmetrics_receiver::tokens::Pass;
use serde_json::Value;

/// The token that opens; it is in the corpus.
pub const TOKEN: &str = "afs_the-token-of-the-tests";
/// 2026-11-23T04:05:06.789Z.
pub const NOW: i64 = 1_795_406_706_789;

/// Takes the bytes in every form. It must not panic; what is refused says why in few words; what is taken
/// is stored as it came, without its token, and reads back to the same.
pub fn probe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for form in [Form::Json, Form::Lines] {
        for (is_open, accept_unknown_kinds) in [(false, false), (true, false), (true, true)] {
            take(text, form, is_open, accept_unknown_kinds);
        }
    }
}

fn take(text: &str, form: Form, is_open: bool, accept_unknown_kinds: bool) {
    let pass = || Pass {
        token: 1,
        facility: "UC-AF".into(),
    };
    let taking = Taking {
        now: NOW,
        accept_unknown_kinds,
        gate: Some(Gate {
            pass: &|token| (token == TOKEN).then(pass).ok_or("unknown"),
            bearer: is_open.then(pass),
        }),
    };
    match taking.documents(text, form, &mut Vec::new()) {
        Ok(documents) => {
            assert!(!documents.list.is_empty());
            let sent = sent(text, form);
            assert_eq!(sent.len(), documents.list.len());
            for (at, sent) in sent.into_iter().enumerate() {
                check(&documents, at, sent);
            }
        }
        Err(fault) => assert!(fault.to_string().len() < 1_000, "{fault}"),
    }
}

/// The documents as they came.
fn sent(text: &str, form: Form) -> Vec<Value> {
    let read = |text: &str| serde_json::from_str(text).expect("it was taken");
    match form {
        Form::Lines => {
            let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
            lines.map(read).collect()
        }
        Form::Json => match read(text) {
            Value::Array(all) => all,
            one => vec![one],
        },
    }
}

fn check(documents: &Documents, at: usize, mut sent: Value) {
    let document = &documents.list[at];
    let line = &documents.lines[document.line.clone()];
    assert!(line.len() <= 64 * 1024);
    let (line, rest) = line.split_once('\n').expect("a line ends");
    assert!(rest.is_empty(), "{rest}");
    let mut names = documents.names.clone();
    let (kind, time, facts) = read_again(line, &mut names).expect("it was sound");
    assert_eq!(kind, names.text(document.kind));
    assert_eq!((time, &facts), (document.time, &document.facts));
    let mut stored: Value = serde_json::from_str(line).expect("it is JSON");
    let fields = stored.as_object_mut().expect("it is an object");
    assert!(!fields.contains_key("token"));
    fields.remove("timestamp").expect("it has a time");
    for field in ["token", "timestamp"] {
        sent.as_object_mut()
            .expect("it was an object")
            .remove(field);
    }
    assert_eq!(stored, sent);
}
