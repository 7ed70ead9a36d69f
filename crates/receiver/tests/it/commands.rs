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
            serde_json::to_string(&documents[..2])
                .unwrap()
                .replace(']', ","),
            "the array has no end",
        ),
        (
            format!("{{\"kind\": {}", " ".repeat(2 << 20)),
            "more than 1 MiB",
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
    document["rack"] = json!(7);
    std::fs::write(world.path().join("in"), document.to_string()).unwrap();
    world.done(&["import", "in"]);
    let csv = world.done(&["export", "--csv", "--kind", "condorjob"]);
    assert_eq!(
        csv,
        "timestamp,cluster,kind,users,Id,Runtime,state,schedd,cores,memory,hold_reason_code,other\n\
         2026-03-01T00:00:00.000Z,UC-AF,condorjob,'=canary-1,1.0,5,running,schedd01,,,,\"{\"\"rack\"\":7}\"\n"
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
    let unsure = world.run(&["restore", "--replace", "copy"]);
    assert_eq!(unsure.status.code(), Some(2));
    assert!(text(&unsure.stderr).contains("give --yes"));
    // As if it had not ended well: its log is beside it.
    leave_a_log(&world);
    world.done(&["restore", "--replace", "--yes", "copy"]);
    assert!(!world.store().join("afmetrics.db-wal").exists());
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
    assert_eq!(notes(&aside), ["in the log"]);
    world.done(&["restore", "--replace", "--yes", aside.to_str().unwrap()]);
    assert_eq!(notes(&world.store().join("afmetrics.db")), ["in the log"]);
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
        let nowhere = world.path().join("new");
        fails(
            &world,
            &["restore", "--store", nowhere.to_str().unwrap(), name],
        );
        assert!(!nowhere.exists(), "{name}");
    }
    // A store that cannot be opened is kept aside, with its log.
    world.done(&["backup", "copy"]);
    std::fs::write(&store, vec![7; 9000]).unwrap();
    std::fs::write(world.store().join("afmetrics.db-wal"), "log").unwrap();
    world.done(&["restore", "--replace", "--yes", "copy"]);
    world.done(&["check"]);
    let kept = |end: &str| {
        std::fs::read_dir(world.store())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                let name = path.to_string_lossy();
                name.contains(".replaced-") && name.ends_with(end)
            })
            .unwrap()
    };
    assert_eq!(std::fs::read(kept(".db")).unwrap(), vec![7; 9000]);
    assert_eq!(std::fs::read(kept(".db-wal")).unwrap(), b"log");
}

/// The notes of a store's tokens.
fn notes(file: &std::path::Path) -> Vec<String> {
    let store = rusqlite::Connection::open(file).unwrap();
    let mut notes = store
        .prepare("SELECT note FROM tokens WHERE note <> ''")
        .unwrap();
    let notes = notes.query_map([], |row| row.get(0)).unwrap();
    notes.map(Result::unwrap).collect()
}

/// A change that is in the store's log only, and nobody who has it open.
fn leave_a_log(world: &World) {
    let file = world.store().join("afmetrics.db");
    let log = world.store().join("afmetrics.db-wal");
    let store = rusqlite::Connection::open(&file).unwrap();
    store
        .execute("UPDATE tokens SET note = 'in the log'", [])
        .unwrap();
    let (bytes, logged) = (std::fs::read(&file).unwrap(), std::fs::read(&log).unwrap());
    drop(store);
    assert!(!logged.is_empty());
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(&log, logged).unwrap();
}

#[test]
fn the_command_line_is_wrong_by_exit_status_2() {
    let world = World::new();
    world.token(FACILITY);
    for words in [
        &["token", "create", "--facility", ""][..],
        &["token", "create", "--viewer", "--expires", "0"],
        &["token", "create", "--viewer", "--expires", "36501"],
        &["export", "--from", "yesterday"],
        &["export", "--to", "-3y"],
        &["import", "--time", "foo", "in"],
        &["serve", "--listen", "192.0.2.1:0"],
        &["serve", "--listen", "localhost:0"],
        &["prune"],
        &["forget", "--user", "canary-1"],
    ] {
        let output = world.run(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
    }
}

#[test]
fn a_store_is_made_only_where_that_is_meant_and_it_is_said() {
    let world = World::new();
    for words in [&["token", "revoke", "1"][..], &["token", "list"]] {
        assert!(fails(&world, words).contains("there is no store in"));
    }
    assert!(!world.store().exists());
    let made = world.run(&["token", "create", "--viewer"]);
    assert!(text(&made.stderr).contains("made a new store in"));
    let known = world.run(&["token", "create", "--viewer"]);
    assert!(!text(&known.stderr).contains("made a new store"));
    std::fs::write(world.store().join("afmetrics.db"), "").unwrap();
    assert!(fails(&world, &["check"]).contains("is empty"));
}

#[test]
fn prune_keeps_what_serve_keeps() {
    let world = World::new();
    let document = json!({"kind": "CPU", "cluster": FACILITY, "login_node": "a", "load": 1.0,
        "timestamp": "2020-03-01T00:00:00.000Z"});
    std::fs::write(world.path().join("in"), document.to_string()).unwrap();
    world.done(&["import", "in"]);
    world.done(&["prune", "--yes"]);
    assert_eq!(world.done(&["export"]).lines().count(), 1);
    let running = world.serve(&["--keep-documents", "36500"]);
    running.terminate();
    world.done(&["prune", "--yes"]);
    assert_eq!(world.done(&["export"]).lines().count(), 1);
    world.done(&["prune", "--yes", "--keep-documents", "90"]);
    assert_eq!(world.done(&["export"]), "");
}

#[test]
fn an_import_that_was_interrupted_goes_on() {
    let world = World::new();
    let lines: String = (0..60_000)
        .map(|n| {
            format!(
                "{{\"kind\":\"CPU\",\"cluster\":\"{FACILITY}\",\"login_node\":\"a\",\"load\":{n},\"timestamp\":\"2026-03-01T00:00:00.000Z\"}}\n"
            )
        })
        .collect();
    std::fs::write(world.path().join("in"), lines).unwrap();
    let file = world.store().join("afmetrics.db");
    let mut import = crate::support::receiver(&["import", "in"])
        .env("AFMETRICS_STORE", world.store())
        .current_dir(world.path())
        .spawn()
        .unwrap();
    crate::support::wait_until("the first piece is stored", || {
        let store = rusqlite::Connection::open_with_flags(
            &file,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
        );
        store.is_ok_and(|store| {
            store
                .query_row("SELECT count(*) FROM blocks", [], |row| {
                    row.get::<_, i64>(0)
                })
                .is_ok_and(|blocks| blocks > 0)
        })
    });
    import.kill().unwrap();
    import.wait().unwrap();
    let before = world.done(&["export"]).lines().count();
    assert!(before > 0);
    let again = text(&world.run(&["import", "in"]).stderr);
    let expected = format!("{} documents stored, {before} repeated", 60_000 - before);
    assert!(again.contains(&expected), "{again}");
    assert_eq!(world.done(&["export"]).lines().count(), 60_000);
    world.done(&["check", "--deep"]);
}

#[test]
fn what_is_stored_can_be_imported_whatever_it_has() {
    let world = World::new();
    let mut document = json!({"kind": "other", "cluster": FACILITY, "timestamp": null});
    for n in 0..254 {
        document[format!("field{n}")] = json!(n);
    }
    std::fs::write(world.path().join("in"), document.to_string()).unwrap();
    world.done(&[
        "import",
        "--accept-unknown-kinds",
        "--time",
        "2026-03-01",
        "in",
    ]);
    let out = world.done(&["export"]);
    assert!(out.starts_with("{\"timestamp\":\"2026-03-01T00:00:00.000Z\""));
    let other = World::new();
    std::fs::write(other.path().join("in"), &out).unwrap();
    other.done(&["import", "--accept-unknown-kinds", "in"]);
    assert_eq!(other.done(&["export"]), out);
}

#[test]
fn a_damaged_block_is_left_out_if_that_is_wanted() {
    let world = World::new();
    std::fs::write(world.path().join("in"), lines_of(&some_documents())).unwrap();
    world.done(&["import", "in"]);
    let store = rusqlite::Connection::open(world.store().join("afmetrics.db")).unwrap();
    let lost: usize = store
        .query_row("SELECT documents FROM blocks WHERE id = 1", [], |row| {
            row.get::<_, u32>(0).map(|n| n as usize)
        })
        .unwrap();
    store
        .execute("UPDATE blocks SET data = x'00' WHERE id = 1", [])
        .unwrap();
    drop(store);
    assert!(fails(&world, &["export", "-o", "out"]).contains("--skip-damaged"));
    assert!(!world.path().join("out").exists());
    let said = fails(&world, &["export", "--skip-damaged", "-o", "out"]);
    assert!(
        said.contains("1 damaged blocks were left out") && said.contains("block 1"),
        "{said}"
    );
    let out = std::fs::read_to_string(world.path().join("out")).unwrap();
    assert_eq!(out.lines().count(), 800 - lost);
}

#[test]
fn a_user_who_is_called_like_a_word_takes_no_others_documents() {
    let world = World::new();
    let round = json!({"kind": "round", "cluster": FACILITY, "timestamp": "2026-03-01T00:00:00.000Z",
        "login_node": "a", "version": "1", "duration": 1.0,
        "collectors": {"ssh": {"result": "ok", "documents": 1, "duration": 0.5}}});
    let own = |user: &str| {
        let mut one = job("", user, "1.0", "running", 1);
        one.as_object_mut().unwrap().remove("token");
        one["timestamp"] = json!("2026-03-01T00:00:00.000Z");
        one
    };
    let mut noted = round.clone();
    noted["note"] = json!("ssh");
    let documents = [round.clone(), own("ssh"), own("ok"), noted];
    std::fs::write(world.path().join("in"), lines_of(&documents)).unwrap();
    world.done(&["import", "in"]);
    world.done(&["forget", "--user", "ssh", "--yes"]);
    world.done(&["forget", "--user", "ok", "--yes"]);
    assert_eq!(
        values(&world.done(&["export"])),
        values(&lines_of(&[round]))
    );
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
    let store = rusqlite::Connection::open(world.store().join("afmetrics.db")).unwrap();
    let mut blocks = store.prepare("SELECT data FROM blocks").unwrap();
    let blocks: Vec<Vec<u8>> = blocks
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let lines = text(&zstd::bulk::decompress(&block, 64 << 20).unwrap());
        assert!(!lines.contains("canary-1") && !lines.contains("ry-1"));
    }
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
    let again = fails(&world, &["forget", "--user", "canary-1", "--yes"]);
    assert!(again.contains("there is nothing of user \"canary-1\""));
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
