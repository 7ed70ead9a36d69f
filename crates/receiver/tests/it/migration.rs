//! Stores of yesterday, and files that are none.

use std::path::Path;

use rusqlite::Connection;

use crate::support::{FACILITY, World, load, receiver, text};

/// Made by the program when 1 was the version, with 611 documents of all kinds.
const VERSION_1: &[u8] = include_bytes!("../stores/version-1.db.zst");
const DOCUMENTS: usize = 611;

fn old_store(world: &World) -> std::path::PathBuf {
    std::fs::create_dir(world.store()).unwrap();
    let file = world.store().join("afmetrics.db");
    std::fs::write(&file, zstd::decode_all(VERSION_1).unwrap()).unwrap();
    file
}

/// All that questions are answered from.
fn answers(file: &Path) -> Vec<Vec<rusqlite::types::Value>> {
    let store = Connection::open(file).unwrap();
    let mut all = Vec::new();
    let days = match version(file) {
        1 => "days",
        _ => "days JOIN slots USING(id)",
    };
    for table in [
        "facilities",
        "kinds",
        "users",
        "blocks",
        "batches",
        "seen",
        "(SELECT facility, day, job FROM ended)",
        "series",
        days,
        "latest",
    ] {
        let mut read = store
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))
            .unwrap();
        let columns = read.column_count();
        let rows = read.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
        all.extend(rows.unwrap().map(Result::unwrap));
    }
    all
}

fn version(file: &Path) -> i64 {
    let store = Connection::open(file).unwrap();
    store
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_store_of_version_1_is_brought_up_to_date_and_a_copy_left() {
    let world = World::new();
    let file = old_store(&world);
    let before = answers(&file);
    let running = world.serve(&[]);
    running.kill();
    assert_eq!(version(&file), afmetrics_receiver::store::schema::version());
    assert_eq!(world.done(&["export"]).lines().count(), DOCUMENTS);
    world.done(&["check", "--deep"]);
    assert_eq!(answers(&file), before);
    let copy = world.store().join("afmetrics.version-1.db");
    assert_eq!((version(&copy), answers(&copy)), (1, before));
    // And the copy can be restored.
    world.done(&["restore", "--replace", "--yes", copy.to_str().unwrap()]);
    assert_eq!(version(&file), 1);
}

#[test]
fn without_room_for_the_copy_the_old_store_stays_as_it_is() {
    let world = World::new();
    let file = old_store(&world);
    let before = answers(&file);
    let program = receiver(&[]).get_program().to_owned();
    // No file may have more than 64 kB.
    #[expect(clippy::disallowed_methods, reason = "a test runs programs")]
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"])
        .arg(program)
        .args(["prune", "--yes", "--store"])
        .arg(world.store())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be copied to"), "{said}");
    assert_eq!((version(&file), answers(&file)), (1, before));
    let names: Vec<_> = std::fs::read_dir(world.store())
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name == "afmetrics.db" || name == "receiver.lock"),
        "{names:?}"
    );
}

#[test]
fn a_store_of_tomorrow_is_left_alone() {
    let world = World::new();
    world.token(FACILITY);
    let file = world.store().join("afmetrics.db");
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 999)
        .unwrap();
    let output = world.run(&["prune", "--yes"]);
    let said = text(&output.stderr);
    assert!(said.contains("newer than this program knows"), "{said}");
    let output = world.run(&["check"]);
    assert!(text(&output.stderr).contains("of version 999"));
}

#[test]
fn a_file_that_is_no_store_or_damaged_is_said_to_be() {
    let world = World::new();
    std::fs::create_dir(world.store()).unwrap();
    let file = world.store().join("afmetrics.db");
    std::fs::write(&file, "this is a letter\n".repeat(1000)).unwrap();
    for words in [
        &["prune", "--yes"][..],
        &["check"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let said = text(&world.run(words).stderr);
        assert!(
            said.contains("it is no store: move the file away"),
            "{said}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    world.token(FACILITY);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8192 + 100..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    for words in [
        &["prune", "--yes"][..],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let output = world.run(words);
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains("restore --replace"),
            "{said}"
        );
    }
    let output = world.run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn what_was_answered_is_there_after_kill_9() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    for _ in 0..20 {
        assert_eq!(running.post(load(&token, "a", 1.0).to_string()).0, 200);
    }
    running.kill();
    assert!(world.store().join("afmetrics.db-wal").exists());
    // To read what a log holds takes no receiver.
    assert_eq!(world.done(&["export"]).lines().count(), 20);
    world.done(&["check", "--deep"]);
    world.serve(&[]).terminate();
    world.done(&["check", "--deep"]);
}

#[test]
fn a_folder_of_another_user_is_not_written() {
    let world = World::new();
    world.token(FACILITY);
    // Only root can give files away.
    if std::os::unix::fs::chown(world.store(), Some(12_345), None).is_err() {
        return;
    }
    let said = text(&world.run(&["prune", "--yes"]).stderr);
    assert!(said.contains("belongs to user 12345"), "{said}");
}

#[test]
fn a_migration_that_fails_leaves_the_old_store() {
    let world = World::new();
    let file = old_store(&world);
    // What the step from 1 to 2 makes is there already.
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE gone(x)")
        .unwrap();
    let before = answers(&file);
    for _ in 0..2 {
        let output = world.run(&["prune", "--yes"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot bring the store up to date"), "{said}");
        assert_eq!((version(&file), answers(&file)), (1, before.clone()));
    }
    let said = text(&world.run(&["check"]).stderr);
    assert!(
        said.contains("`afmetrics_receiver serve` brings it up to date"),
        "{said}"
    );
}
