//! The commands of whoever operates a receiver.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{FACILITY, World, bytes_of, job, load, text};

/// The lines, as values, in an order of their own.
fn values(lines: &str) -> Vec<String> {
    let mut values: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
        .collect();
    values.sort();
    values
}

/// Runs a command that must fail; what it says.
fn fails(world: &World, words: &[&str]) -> String {
    let output = world.run(words);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
    said
}

fn some_documents() -> Vec<Value> {
    let at = |mut document: Value, minute: u32| {
        document.as_object_mut().unwrap().remove("token");
        document["timestamp"] = json!(format!(
            "2026-03-01T{:02}:{:02}:00.000Z",
            minute / 60,
            minute % 60
        ));
        document
    };
    let mut documents = Vec::new();
    for minute in 0..200 {
        documents.push(at(
            job("", "canary-1", &format!("{minute}.0"), "finished", 60),
            minute,
        ));
        documents.push(at(job("", "canary-2", "7.0", "running", 0), minute));
        documents.push(at(load("", "login01.canary.example", 0.5), minute));
        let ssh = json!({"kind": "ssh", "cluster": FACILITY, "login_node": "login01.canary.example",
            "ssh_user_count": 2, "users": ["canary-1", "canary-2"]});
        documents.push(at(ssh, minute));
    }
    documents
}

fn lines_of(documents: &[Value]) -> String {
    documents.iter().map(|one| format!("{one}\n")).collect()
}

#[test]
fn what_was_imported_is_exported_and_no_second_time() {
    let world = World::new();
    let lines = lines_of(&some_documents());
    std::fs::write(world.path().join("in"), &lines).unwrap();
    world.done(&["import", "in"]);
    assert_eq!(values(&world.done(&["export", "--ndjson"])), values(&lines));
    let again = world.run(&["import", "in"]);
    assert!(text(&again.stderr).contains("in: 0 documents stored, 800 repeated"));
    assert_eq!(values(&world.done(&["export"])).len(), 800);
    world.done(&["export", "-o", "out"]);
    let other = World::new();
    std::fs::copy(world.path().join("out"), other.path().join("out")).unwrap();
    other.done(&["import", "out"]);
    assert_eq!(values(&other.done(&["export"])), values(&lines));
    other.done(&["check", "--deep"]);
    assert!(fails(&world, &["export", "-o", "out"]).contains("out is there already"));
    let some = world.done(&[
        "export",
        "--kind",
        "CPU",
        "--facility",
        FACILITY,
        "--from",
        "2026-03-01T00:30:00Z",
        "--to",
        "2026-03-01T02:00:00Z",
    ]);
    assert_eq!(some.lines().count(), 90);
}

#[test]
fn what_the_collector_writes_with_d_is_imported() {
    let world = World::new();
    let mut document = load("secret-token", "login01.canary.example", 1.5);
    let mut pretty = Vec::new();
    for load in [1.5, 2.5] {
        document["load"] = json!(load);
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut pretty, indent);
        serde::Serialize::serialize(&document, &mut writer).unwrap();
        pretty.push(b'\n');
    }
    std::fs::write(world.path().join("host.json"), &pretty).unwrap();
    world.done(&["import", "--time", "2026-03-01T04:05:06Z", "host.json"]);
    let expected = json!({"timestamp": "2026-03-01T04:05:06.000Z", "kind": "CPU", "cluster": FACILITY,
        "login_node": "login01.canary.example", "load": 1.5});
    let mut other = expected.clone();
    other["load"] = json!(2.5);
    assert_eq!(
        values(&world.done(&["export"])),
        values(&lines_of(&[expected, other]))
    );
    assert!(!text(&bytes_of(&world.store())).contains("secret-token"));
}

#[test]
fn of_a_file_with_a_mistake_nothing_is_imported() {
    let world = World::new();
    let mut documents = some_documents();
    documents[799]["ssh_user_count"] = json!("many");
    let cases = [
        (
            lines_of(&documents),
            "element 799 (line 800): field `ssh_user_count`: expected an integer",
        ),
        (
            serde_json::to_string_pretty(&documents[..2]).unwrap() + "x",
            "something follows the array",
        ),
        (
            lines_of(&documents[..3]) + "{\"kind\":",
            "element 3 (line 4)",
        ),
        (
            "17".to_owned(),
            "element 0 (line 1): expected a JSON object",
        ),
    ];
    for (lines, expected) in cases {
        std::fs::write(world.path().join("in"), lines).unwrap();
        let said = fails(&world, &["import", "in"]);
        assert!(said.contains(expected), "{said}");
        assert_eq!(world.done(&["export"]), "");
    }
}

#[test]
fn csv_has_columns_by_kind_and_no_formulas() {
    let world = World::new();
    let mut document = job("", "=canary-1", "1.0", "running", 5);
    document["timestamp"] = json!("2026-03-01T00:00:00.000Z");
    document["schedd"] = json!("schedd01");
    std::fs::write(world.path().join("in"), document.to_string()).unwrap();
    world.done(&["import", "in"]);
    let csv = world.done(&["export", "--csv", "--kind", "condorjob"]);
    assert_eq!(
        csv,
        "timestamp,cluster,kind,users,Id,Runtime,state,other\n\
         2026-03-01T00:00:00.000Z,UC-AF,condorjob,'=canary-1,1.0,5,running,\"{\"\"schedd\"\":\"\"schedd01\"\"}\"\n"
    );
    assert_eq!(world.run(&["export", "--csv"]).status.code(), Some(2));
}

#[test]
fn a_backup_of_a_running_store_is_restored() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    assert_eq!(running.post(load(&token, "a", 1.0).to_string()).0, 200);
    world.done(&["backup", "copy"]);
    let mode = std::fs::metadata(world.path().join("copy"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fails(&world, &["backup", "copy"]).contains("copy is there already"));
    assert_eq!(running.post(load(&token, "a", 2.0).to_string()).0, 200);
    assert!(
        fails(&world, &["restore", "--replace", "--yes", "copy"]).contains("in use by another")
    );
    running.terminate();
    assert!(fails(&world, &["restore", "copy"]).contains("give --replace"));
    world.done(&["restore", "--replace", "copy"]);
    world.done(&["check", "--deep"]);
    assert_eq!(world.done(&["export"]).lines().count(), 1);
    // The other one is kept, and can be put back.
    let aside = std::fs::read_dir(world.store())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            // An empty log may lie beside it.
            let path = path.to_string_lossy();
            path.contains(".replaced-") && path.ends_with(".db")
        })
        .unwrap();
    world.done(&["restore", "--replace", aside.to_str().unwrap()]);
    assert_eq!(world.done(&["export"]).lines().count(), 2);
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let world = World::new();
    world.token(FACILITY);
    let store = world.store().join("afmetrics.db");
    let before = std::fs::read(&store).unwrap();
    std::fs::write(world.path().join("garbage"), vec![7; 9000]).unwrap();
    std::fs::write(world.path().join("empty"), "").unwrap();
    let mut damaged = before.clone();
    damaged[8192 * 3..8192 * 4].fill(0xff);
    std::fs::write(world.path().join("damaged"), damaged).unwrap();
    for name in ["garbage", "empty", "damaged", "nowhere"] {
        let said = fails(&world, &["restore", "--replace", "--yes", name]);
        assert!(
            said.contains(&format!("{name} cannot be restored")),
            "{said}"
        );
        assert!(std::fs::read(&store).unwrap() == before, "{name}");
    }
}

#[test]
fn a_forgotten_user_is_in_no_byte() {
    let world = World::new();
    let unknown = json!({"kind": "other", "cluster": FACILITY, "timestamp": "2026-03-01T00:00:00.000Z",
        "deep": {"owner": "canary-1"}});
    let escaped = json!({"kind": "other", "cluster": FACILITY, "timestamp": "2026-03-01T00:00:00.000Z", "a": 1});
    let mut lines = lines_of(&some_documents());
    lines.push_str(&format!("{unknown}\n{escaped}\n"));
    lines.push_str(
        r#"{"kind":"condorjob","cluster":"UC-AF","users":"can\u0061ry-1","Id":"9.9","Runtime":1,"state":"running","timestamp":"2026-03-01T00:00:00.000Z"}"#,
    );
    std::fs::write(world.path().join("in"), lines).unwrap();
    world.done(&["import", "--accept-unknown-kinds", "in"]);
    let running = world.serve(&[]);
    assert!(
        fails(&world, &["forget", "--user", "canary-1", "--yes"]).contains("in use by another")
    );
    running.kill();
    world.done(&["backup", "store/a-backup"]);
    let output = world.run(&["forget", "--user", "canary-1", "--yes"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("erased: 202 documents of the user, the name in 200 lists"),
        "{said}"
    );
    assert!(
        said.contains("store/a-backup: it was not touched"),
        "{said}"
    );
    std::fs::remove_file(world.store().join("a-backup")).unwrap();
    let bytes = bytes_of(&world.store());
    let is_in = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    assert!(!is_in(b"canary-1") && is_in(b"canary-2"));
    let left = world.done(&["export"]);
    assert!(!left.contains("canary-1") && !left.contains("ry-1"));
    assert_eq!(left.lines().count(), 601);
    let ssh = world.done(&["export", "--kind", "ssh"]);
    let ssh: Value = serde_json::from_str(ssh.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&ssh["users"], &ssh["ssh_user_count"]),
        (&json!(["canary-2"]), &json!(1))
    );
    world.done(&["check", "--deep"]);
    let again = world.run(&["forget", "--user", "canary-1", "--yes"]);
    assert!(text(&again.stderr).contains("there is nothing of user \"canary-1\""));
}

#[test]
fn check_finds_what_is_wrong() {
    let world = World::new();
    std::fs::write(world.path().join("in"), lines_of(&some_documents())).unwrap();
    world.done(&["import", "in"]);
    world.done(&["check", "--deep"]);
    let good = std::fs::read(world.store().join("afmetrics.db")).unwrap();
    let cases = [
        (
            "UPDATE blocks SET documents = documents + 1 WHERE id = 2",
            "block 2: it has",
        ),
        (
            "UPDATE blocks SET hour = hour + 1 WHERE id = 1",
            "block 1: document 1 is of another hour",
        ),
        (
            "UPDATE blocks SET data = x'00' WHERE id = 1",
            "block 1: a block is damaged",
        ),
        (
            "UPDATE days SET sum = sum + 1",
            "its totals are not those of its slots",
        ),
        ("UPDATE slots SET cells = x'00'", "not a day's bytes"),
        (
            "DELETE FROM ended WHERE day = (SELECT min(day) FROM ended)",
            "200 jobs, of which 0 are known",
        ),
        (
            "DELETE FROM series WHERE metric = 'load'",
            "there is no such series",
        ),
        (
            "UPDATE batches SET ranges = x'00'",
            "its ranges are damaged",
        ),
        (
            "UPDATE seen SET documents = 7",
            "not what the raw documents say",
        ),
        (
            "UPDATE latest SET time = time - 1",
            "not the newest raw one",
        ),
        (
            "DELETE FROM blocks WHERE id = 1",
            "not what the raw documents add up to",
        ),
    ];
    for (change, expected) in cases {
        std::fs::write(world.store().join("afmetrics.db"), &good).unwrap();
        let store = rusqlite::Connection::open(world.store().join("afmetrics.db")).unwrap();
        store.execute_batch(change).unwrap();
        drop(store);
        let said = fails(&world, &["check", "--deep"]);
        assert!(said.contains(expected), "{change}: {said}");
    }
}

#[test]
fn commands_say_where_there_is_no_store() {
    let world = World::new();
    for words in [
        &["backup", "file"][..],
        &["check"],
        &["prune", "--yes"],
        &["forget", "--user", "canary-1", "--yes"],
        &["export"],
    ] {
        assert!(fails(&world, words).contains("there is no store in"));
    }
}
