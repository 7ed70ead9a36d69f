//! `afmetrics_collector spool`: what a person sees of the spool, and can do with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::needs;
use crate::support::program::{Run, TOKEN, World, jobs};

/// A number of a batch as UUIDv7 has them: they all begin alike.
fn id(number: u64) -> String {
    format!("0198c3f0-0000-7000-8000-{number:012x}")
}

/// A batch as the program writes it, of these users, one hour after the other.
struct Batch<'a> {
    number: u64,
    cluster: &'a str,
    endpoint: &'a str,
    names: &'a str,
    users: &'a [&'a str],
}

impl Batch<'_> {
    fn header(&self) -> Value {
        json!({
            "afmetrics_batch": 1,
            "id": id(self.number),
            "collected": format!("2026-10-{:02}T{:02}:00:00Z", 1 + self.number / 24 % 28, self.number % 24),
            "cluster": self.cluster,
            "endpoint": self.endpoint,
            "users": self.names,
            "hosts": self.names,
            "documents": self.users.len(),
            "kinds": {"condorjob": self.users.len()},
        })
    }

    fn documents(&self) -> Vec<Value> {
        let documents = self.users.iter().enumerate();
        documents
            .map(|(index, user)| {
                json!({"cluster": self.cluster, "kind": "condorjob", "users": user,
                    "state": "idle", "Id": format!("{}.{index}", self.number), "Runtime": 0})
            })
            .collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let frame = |lines: Vec<Value>| {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        [frame(vec![self.header()]), frame(self.documents())].concat()
    }

    /// Writes it where it waits; returns its file.
    fn waits(&self, world: &World) -> PathBuf {
        let folder = world.path(&format!("state/spool/pending/{:08}", self.number));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("127.0.0.1.ndjson.zst");
        fs::write(&file, self.bytes()).unwrap();
        file
    }

    /// Writes it where it was set aside; returns its file's name.
    fn is_damaged(&self, world: &World, bytes: &[u8], why: &str) -> String {
        let folder = world.path("state/spool/damaged");
        fs::create_dir_all(&folder).unwrap();
        let stem = format!("{:08}-127.0.0.1", self.number);
        fs::write(folder.join(format!("{stem}.ndjson.zst")), bytes).unwrap();
        fs::write(
            folder.join(format!("{stem}.reason.txt")),
            format!("{why}\n"),
        )
        .unwrap();
        format!("{stem}.ndjson.zst")
    }

    /// Writes all of it as rejected with this answer.
    fn is_rejected(&self, world: &World, answer: &str) {
        let folder = world.path("state/spool/rejected");
        fs::create_dir_all(&folder).unwrap();
        let mut text = format!("{}\n", self.header());
        for (index, document) in self.documents().iter().enumerate() {
            let line = json!({"index": index, "answer": answer, "document": document});
            text.push_str(&format!("{line}\n"));
        }
        fs::write(folder.join(format!("{}.ndjson", id(self.number))), text).unwrap();
    }
}

const FAR: &str = "https://collector.example.org/";

/// A batch of two jobs of hidden users.
fn batch(number: u64) -> Batch<'static> {
    Batch {
        number,
        cluster: "CANARY-AF",
        endpoint: FAR,
        names: "hashed",
        users: &["canary-1", "canary-2"],
    }
}

/// A world with an empty spool.
fn world() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("state/spool/pending")).unwrap();
    world
}

fn list(world: &World) -> Vec<Value> {
    world.spool(&["list", "--json"]).exits(0).documents()
}

fn ids(world: &World) -> Vec<String> {
    let text = |entry: &Value| entry["id"].as_str().unwrap().to_owned();
    list(world).iter().map(text).collect()
}

/// Delivers what waits for this endpoint, with a token.
fn deliver(world: &World, endpoint: &Endpoint, args: &[&str]) -> Run {
    let ca = endpoint.ca.path().to_str().unwrap();
    let to = [
        "deliver",
        "-t",
        TOKEN,
        "-u",
        &endpoint.url,
        "--ca-file",
        ca,
        "-v",
    ];
    world.spool(&[&to, args].concat())
}

/// All below a folder: what it is, when it was changed, what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (i64, i64, u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let facts = fs::metadata(&path).unwrap();
        let content = match facts.is_dir() {
            true => {
                all.extend(tree(&path));
                Vec::new()
            }
            false => fs::read(&path).unwrap(),
        };
        all.insert(
            path,
            (facts.mtime(), facts.mtime_nsec(), facts.mode(), content),
        );
    }
    all
}

#[test]
fn where_there_is_no_spool_it_says_so() {
    let world = World::new();
    for command in [
        &["list"][..],
        &["show", "1"],
        &["retry"],
        &["drop", "1"],
        &["deliver", "-t", TOKEN],
    ] {
        world
            .spool(command)
            .exits(2)
            .says("there is no spool to look at")
            .says("state: no round has stored anything in it")
            .lacks(TOKEN);
    }
    assert!(world.names("state").is_empty());
    let nowhere = world.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    Run::of(world.bare_command(&["spool", "list", "--state-dir", nowhere]))
        .exits(2)
        .says("nowhere: there is no such folder");
    assert!(!Path::new(nowhere).exists());
}

#[test]
fn an_empty_spool_is_no_failure() {
    let world = world();
    for args in [&[][..], &["list"], &["list", "--json"], &["--json"]] {
        let run = world.spool(args).exits(0).says("nothing is in the spool");
        assert_eq!(run.stdout, "", "{args:?}");
    }
    world
        .spool(&["retry"])
        .exits(0)
        .says("nothing was rejected");
}

#[test]
fn the_first_folder_with_a_spool_is_meant_where_none_is_named() {
    let world = World::new();
    let root = world.path("root");
    let root = ["--root", root.to_str().unwrap()];
    fs::create_dir_all(world.path("root/var/lib/afmetrics")).unwrap();
    let home = world.path("home/.local/state/afmetrics");
    let run = Run::of(world.bare_command(&[&["spool", "list"], &root[..]].concat()));
    run.exits(2)
        .says("/var/lib/afmetrics: no round has stored anything in it")
        .says("/.local/state/afmetrics: there is no such folder");
    fs::create_dir_all(home.join("spool/pending")).unwrap();
    let run = Run::of(world.bare_command(&[&["spool", "list"], &root[..]].concat()));
    run.exits(0).says(home.to_str().unwrap());
    // Flags of the round go nowhere before the command, nor flags of collecting behind it.
    let run = Run::of(world.bare_command(&[&root[..], &["spool", "list"]].concat()));
    run.exits(2).says("no flag goes before `spool`");
    for flag in ["-s", "--host", "-b", "--print", "-d", "--mount=/"] {
        let run = Run::of(world.bare_command(&["spool", "deliver", flag]));
        run.exits(2).says("error: unexpected argument");
        let run = Run::of(world.bare_command(&[flag, "spool", "deliver"]));
        run.exits(2).says("no flag goes before `spool`");
    }
    for args in [
        &["spool", TOKEN][..],
        &["spool", "list", TOKEN],
        &["spool", "--json", TOKEN],
        &["spool", "show", "1", TOKEN],
        &["spool", "help"],
        &["help"],
    ] {
        let run = Run::of(world.bare_command(args)).exits(2).lacks(TOKEN);
        assert!(run.stderr.contains("belongs to no flag"), "{}", run.stderr);
    }
}

#[test]
fn what_an_endpoint_could_not_take_is_listed_shown_and_delivered() {
    let mut world = World::new();
    world.batch_node(&jobs(3, "canary-1"));
    let down = Endpoint::start(Protocol::PlainHttp, |number, _| match number {
        0 => Reply::ok(),
        _ => Reply::Status(401, "who are you?".to_owned()),
    });
    world
        .deliver(&down, &["-b", "-c", "CANARY-AF"])
        .exits(1)
        .says("2 documents wait in the spool");
    let run = world.spool(&["list"]).exits(0);
    let rows: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (heading, cell) in [
        ("ID", "1 "),
        ("STATE", "waiting "),
        ("FACILITY", "CANARY-AF "),
        ("ENDPOINT", down.url.as_str()),
        ("DOCUMENTS", "2 of 3 "),
        ("KINDS", "condorjob 3 "),
        ("USERS", "clear "),
        ("HOSTS", "clear "),
        ("TRIES", "1 "),
        ("LAST ANSWER", "401 Unauthorized: who are you?"),
    ] {
        let at = rows[0].find(heading).unwrap();
        assert!(rows[1][at..].starts_with(cell), "{heading}: {rows:?}");
    }
    let [entry] = &list(&world)[..] else {
        panic!("not one line");
    };
    assert_eq!(entry["id"], "1");
    assert_eq!(
        (&entry["left"], &entry["documents"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(entry["kinds"], json!({"condorjob": 3}));
    assert_eq!(entry["facility"], "CANARY-AF");

    let batch = entry["batch"].as_str().unwrap();
    for word in ["1", "00000001", batch, &batch[..20]] {
        let shown = world.spool(&["show", word]).exits(0).documents();
        assert_eq!(shown.len(), 3, "{word}");
        assert_eq!(shown[0]["id"], batch);
        assert_eq!(shown[1]["kind"], "condorjob");
        assert_eq!(shown[1].get("token"), None);
    }

    let up = Endpoint::ok(Protocol::PlainHttp);
    deliver(&world, &up, &["-c", "CANARY-AF"])
        .exits(1)
        .says("nothing waits of CANARY-AF for http")
        .says("0 accepted");
    deliver(&world, &up, &["--any-endpoint"])
        .exits(1)
        .says("nothing waits of UC-AF");
    assert_eq!(up.requests().len(), 0);
    deliver(&world, &up, &["-c", "CANARY-AF", "--any-endpoint"])
        .exits(0)
        .says("INFO delivered what waited in")
        .says("2 accepted (2 of earlier rounds)");
    let documents = up.documents();
    assert_eq!(documents.len(), 2);
    for document in documents {
        assert_eq!(document["token"], TOKEN);
        assert!(document["timestamp"].is_string(), "{document}");
    }
    assert!(list(&world).is_empty());
    deliver(&world, &up, &["-c", "CANARY-AF"])
        .exits(0)
        .says("0 accepted");
}

#[test]
fn batches_with_clear_names_are_told_from_the_others() {
    const SAID: &str = "a round with -o does not send it";
    let world = world();
    batch(1).waits(&world);
    batch(2).is_damaged(&world, b"no batch", "it is cut");
    world.spool(&["list"]).exits(0).lacks(SAID);
    let clear = Batch {
        names: "clear",
        ..batch(3)
    };
    clear.waits(&world);
    let run = world.spool(&["list"]).exits(0).says(SAID);
    let rows: Vec<&str> = run.stdout.lines().collect();
    for heading in ["USERS", "HOSTS"] {
        let at = rows[0].find(heading).unwrap();
        let cells: Vec<&str> = rows[1..]
            .iter()
            .map(|row| row[at..].split(' ').next().unwrap())
            .collect();
        assert_eq!(cells, ["hashed", "clear", "?"], "{heading}: {rows:?}");
    }
    let said: Vec<Value> = list(&world).iter().map(|it| it["users"].clone()).collect();
    assert_eq!(said, [json!("hashed"), json!("clear"), Value::Null]);
    world.spool(&["list", "--json"]).exits(0).lacks(SAID);
}

#[test]
fn what_still_cannot_be_delivered_goes_on_waiting() {
    let world = world();
    let down = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(403, "not you".to_owned())
    });
    let mut batch = batch(7);
    batch.endpoint = &down.url;
    batch.waits(&world);
    deliver(&world, &down, &["-c", "CANARY-AF"])
        .exits(1)
        .says("2 documents wait in the spool since 2026-10-01T07:00:00.000Z");
    assert_eq!(ids(&world), ["7"]);
    assert_eq!(list(&world)[0]["tries"], 1);
}

#[test]
fn delivering_by_hand_drops_only_what_it_is_told_to() {
    let world = world();
    let down = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::Status(403, "not you".to_owned())
    });
    for number in 1..=3 {
        let file = batch(number).waits(&world);
        let file = fs::File::options().write(true).open(file).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        let long_ago = modified - Duration::from_secs(40 * 86_400);
        file.set_modified(long_ago).unwrap();
    }
    let args = ["-c", "CANARY-AF", "--any-endpoint"];
    deliver(&world, &down, &args).exits(1).lacks("dropped");
    assert_eq!(list(&world).len(), 3);
    deliver(
        &world,
        &down,
        &[&args[..], &["--spool-max-age", "30"]].concat(),
    )
    .says("older than 30 days (--spool-max-age)");
    assert!(list(&world).is_empty());
}

#[test]
fn what_was_rejected_waits_again_when_a_person_says_so() {
    let mut world = World::new();
    world.batch_node(&jobs(4, "canary-1"));
    let picky = Endpoint::start(Protocol::PlainHttp, |_, request| {
        match request.json()["Id"] == "1.2" {
            true => Reply::Status(422, "no such state".to_owned()),
            false => Reply::ok(),
        }
    });
    world
        .deliver(&picky, &["-b"])
        .exits(1)
        .lacks("documents wait in the spool");
    let [entry] = &list(&world)[..] else {
        panic!("not one line");
    };
    assert_eq!(
        (&entry["state"], &entry["left"]),
        (&json!("rejected"), &json!(1))
    );
    assert_eq!(entry["documents"], 4);
    assert!(entry["last"].as_str().unwrap().contains("422"), "{entry}");
    let id = entry["id"].as_str().unwrap();
    let shown = world.spool(&["show", id]).exits(0).documents();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["id"], id);
    assert_eq!(shown[1]["document"]["Id"], "1.2");
    assert!(shown[1]["index"].is_u64());
    assert!(
        shown[1]["answer"]
            .as_str()
            .unwrap()
            .contains("no such state")
    );

    let run = world.spool(&["retry", &id[..30]]).exits(0);
    assert_eq!(run.stdout, format!("{id}: 1 document waits again\n"));
    let [entry] = &list(&world)[..] else {
        panic!("not one line");
    };
    assert_eq!(
        (&entry["state"], &entry["left"]),
        (&json!("waiting"), &json!(1))
    );
    let up = Endpoint::ok(Protocol::PlainHttp);
    deliver(&world, &up, &["--any-endpoint"])
        .exits(0)
        .says("1 accepted");
    assert_eq!(up.documents()[0]["Id"], "1.2");
    assert!(list(&world).is_empty());
}

#[test]
fn all_that_was_rejected_can_wait_again_and_nothing_twice() {
    let world = world();
    for number in 1..=5 {
        batch(number).is_rejected(&world, "answered 400 Bad Request");
    }
    // A crash came between storing and removing: this is stored once more already.
    let rejected = world.path("state/spool/rejected");
    let retrying = format!(".retrying-{}.ndjson", id(900));
    fs::rename(
        rejected.join(format!("{}.ndjson", id(3))),
        rejected.join(retrying),
    )
    .unwrap();
    let mut again = batch(900).header();
    again["retry_of"] = json!(id(3));
    let file = batch(900).waits(&world);
    let lines: String = std::iter::once(again)
        .chain(batch(3).documents())
        .map(|line| format!("{line}\n"))
        .collect();
    let (header, documents) = lines.split_once('\n').unwrap();
    let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    fs::write(
        &file,
        [frame(&format!("{header}\n")), frame(documents)].concat(),
    )
    .unwrap();

    let run = world.spool(&["retry"]).exits(0);
    assert_eq!(run.stdout.lines().count(), 4, "{}", run.stdout);
    assert!(world.names("state/spool/rejected").is_empty());
    assert_eq!(list(&world).len(), 5);
    let up = Endpoint::ok(Protocol::PlainHttp);
    deliver(&world, &up, &["-c", "CANARY-AF", "--any-endpoint"])
        .exits(0)
        .says("10 accepted");
    let mut jobs: Vec<String> = up.documents().iter().map(|d| d["Id"].to_string()).collect();
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), 10);
}

#[test]
fn what_is_dropped_is_said_and_gone() {
    let world = world();
    let file = batch(1).waits(&world);
    // The first document is done with.
    fs::write(file.with_file_name("127.0.0.1.done"), [0b01]).unwrap();
    batch(2).waits(&world);
    batch(3).waits(&world);
    batch(4).is_rejected(&world, "answered 422");
    let damaged = batch(5).is_damaged(&world, b"no batch", "it is cut");
    let run = world
        .spool(&["drop", "1", "00000001", &id(2), &id(4), &damaged])
        .exits(0);
    assert_eq!(
        run.stdout,
        format!(
            "1: dropped 1 document (condorjob 1) of 2026-10-01T01:00:00.000Z\n\
             2: dropped 2 documents (condorjob 2) of 2026-10-01T02:00:00.000Z\n\
             {}: dropped 2 documents (condorjob 2) of 2026-10-01T04:00:00.000Z\n\
             {damaged}: dropped something that cannot be read\n",
            id(4)
        )
    );
    assert_eq!(ids(&world), ["3"]);
    assert_eq!(world.names("state/spool/pending"), ["00000003"]);
    assert!(world.names("state/spool/rejected").is_empty());
    assert!(world.names("state/spool/damaged").is_empty());
}

#[test]
fn a_dropped_batch_leaves_its_cursors() {
    let world = world();
    let file = batch(6).waits(&world);
    fs::create_dir_all(world.path("state/cursors")).unwrap();
    let cursor = r#"{"round":6,"cursor":{"n":1}}"#;
    fs::write(file.with_file_name("cursor-network@CANARY-AF.json"), cursor).unwrap();
    world.spool(&["drop", "6"]).exits(0);
    let kept = world.path("state/cursors/network@CANARY-AF.json");
    assert_eq!(fs::read_to_string(kept).unwrap(), cursor);
}

#[test]
fn an_id_that_names_nothing_or_several_changes_nothing() {
    let world = world();
    batch(1).waits(&world);
    batch(2).waits(&world);
    batch(3).is_rejected(&world, "answered 422");
    let before = ids(&world);
    for command in ["show", "drop"] {
        for word in [
            "9",
            "",
            "01",
            "00000009",
            "nonsense",
            "\u{1b}[31m",
            "../../x",
            &id(7),
        ] {
            let run = world.spool(&[command, word]).exits(2).lacks("\u{1b}");
            let says = "names nothing in the spool";
            assert_eq!(run.lines_with(says), 1, "{command} {word}: {}", run.stderr);
        }
        let run = world.spool(&[command, "0198c3f0"]).exits(2);
        run.says("names more than one thing: 1 (batch");
    }
    world
        .spool(&["drop", "1", "nonsense"])
        .exits(2)
        .says("\"nonsense\" names nothing");
    world
        .spool(&["retry", "1"])
        .exits(2)
        .says("names nothing that was rejected");
    assert_eq!(ids(&world), before);
    world.spool(&["drop"]).exits(2);
    world.spool(&["show"]).exits(2);
    world.spool(&["show", "1", "2"]).exits(2);
}

#[test]
fn a_short_word_and_a_number_are_never_the_beginning_of_something() {
    let world = world();
    batch(1).waits(&world);
    let damaged = batch(2).is_damaged(&world, b"no batch", "it is cut");
    // An id that begins with digits alone.
    let mut text = batch(3).header();
    text["id"] = json!("01980000-0000-7000-8000-000000000003");
    let rejected = world.path("state/spool/rejected");
    fs::create_dir(&rejected).unwrap();
    fs::write(
        rejected.join("01980000-0000-7000-8000-000000000003.ndjson"),
        format!("{text}\n"),
    )
    .unwrap();
    for word in ["0", "00", "0198c3f", "00000002", "01980000", "0000000"] {
        for command in ["drop", "show"] {
            world
                .spool(&[command, word])
                .exits(2)
                .says("names nothing in the spool");
        }
        world.spool(&["retry", word]).exits(2);
    }
    assert_eq!(list(&world).len(), 3);
    world
        .spool(&["drop", &damaged[..10], "0198c3f0", "01980000-"])
        .exits(0);
    assert!(list(&world).is_empty());
}

#[test]
fn a_spool_that_cannot_be_read_is_a_failure_and_no_wrong_usage() {
    let world = world();
    batch(1).waits(&world);
    batch(2).is_rejected(&world, "answered 422");
    let pending = world.path("state/spool/pending");
    fs::rename(&pending, world.path("state/spool/away")).unwrap();
    // A folder that is no folder: as wrong as one on a broken disk.
    fs::write(&pending, "canary").unwrap();
    let up = Endpoint::ok(Protocol::PlainHttp);
    for run in [
        world.spool(&["list"]),
        world.spool(&["show", "1"]),
        world.spool(&["retry"]),
        world.spool(&["retry", &id(1)]),
        world.spool(&["drop", "1"]),
        deliver(&world, &up, &[]),
    ] {
        run.exits(1).says("ERROR the spool in ");
    }
    // Nor is a state folder that is a link to itself.
    let round = world.path("round");
    std::os::unix::fs::symlink(&round, &round).unwrap();
    let place = ["spool", "list", "--state-dir", round.to_str().unwrap()];
    let run = Run::of(world.bare_command(&place)).exits(1);
    run.says("cannot be read: ");
}

#[test]
fn no_path_is_shown_where_names_are_hidden() {
    let mut world = World::new();
    let home = world.path("home/canary-1");
    fs::create_dir(&home).unwrap();
    world.env("HOME", &home);
    let root = world.path("root");
    for hidden in [&["-o"][..], &["-O", "example.org"]] {
        let place = ["--root", root.to_str().unwrap(), "-t", TOKEN];
        let args = [&["spool", "deliver"], hidden, &place].concat();
        Run::of(world.bare_command(&args))
            .exits(2)
            .says("~/.local/state/afmetrics: there is no such folder")
            .lacks("canary-1");
    }
}

#[test]
fn of_a_batch_that_was_rejected_in_part_each_half_has_its_name() {
    let world = world();
    batch(5).waits(&world);
    batch(5).is_rejected(&world, "answered 422");
    world
        .spool(&["show", &id(5)[..35]])
        .exits(2)
        .says("more than one thing");
    let whole = world.spool(&["show", &id(5)]).exits(0).documents();
    assert_eq!(whole[1]["answer"], "answered 422");
    let waiting = world.spool(&["show", "5"]).exits(0).documents();
    assert_eq!(waiting[1]["kind"], "condorjob");
    world.spool(&["drop", &id(5)]).exits(0);
    assert_eq!(ids(&world), ["5"]);
}

#[test]
fn while_another_round_delivers_nothing_is_changed() {
    let world = world();
    batch(1).waits(&world);
    batch(2).is_rejected(&world, "answered 422");
    let lock = fs::File::create(world.path("state/spool/delivering.lock")).unwrap();
    lock.lock().unwrap();
    for command in [&["retry"][..], &["drop", "1"], &["drop", "nonsense"]] {
        let run = world.spool(command).exits(1);
        assert_eq!(run.stdout, "");
        run.says("another round is delivering just now");
    }
    let up = Endpoint::ok(Protocol::PlainHttp);
    deliver(&world, &up, &["-c", "CANARY-AF", "--any-endpoint"])
        .exits(1)
        .says("another round is delivering just now");
    assert_eq!(up.requests().len(), 0);
    assert_eq!(list(&world).len(), 2);
    drop(lock);
    world.spool(&["drop", "1"]).exits(0);
}

#[test]
fn a_spool_that_cannot_be_locked_is_a_failure() {
    let world = world();
    batch(1).waits(&world);
    fs::create_dir(world.path("state/spool/delivering.lock")).unwrap();
    let up = Endpoint::ok(Protocol::PlainHttp);
    let args = ["-c", "CANARY-AF", "--any-endpoint"];
    for run in [
        deliver(&world, &up, &args),
        world.spool(&["retry"]),
        world.spool(&["drop", "1"]),
    ] {
        let run = run.exits(1);
        assert_eq!(run.lines_with("cannot be used: "), 1, "{}", run.stderr);
    }
    assert_eq!(ids(&world), ["1"]);
    assert_eq!(up.requests().len(), 0);
}

#[test]
fn list_and_show_write_nothing() {
    let world = world();
    batch(1).waits(&world);
    batch(2).is_rejected(&world, "answered 422");
    let damaged = batch(3).is_damaged(&world, b"no batch", "it is cut");
    // What a crash left is for others to tidy up.
    fs::create_dir(world.path("state/spool/pending/.new-1")).unwrap();
    fs::create_dir(world.path("state/spool/pending/00000009")).unwrap();
    let log = world.path("root/var/log/afmetrics");
    fs::create_dir_all(&log).unwrap();
    let before = tree(&world.path("state"));
    let pending = world.path("state/spool/pending");
    let mode = fs::metadata(&pending).unwrap().permissions();
    fs::set_permissions(&pending, fs::Permissions::from_mode(0o500)).unwrap();
    for args in [
        &["list"][..],
        &["list", "--json", "-vv"],
        &["show", "1"],
        &["show", &id(2)],
        &["show", &damaged],
        &["show", "nonsense"],
    ] {
        world.spool(args);
    }
    fs::set_permissions(&pending, mode).unwrap();
    assert_eq!(tree(&world.path("state")), before);
    assert!(tree(&log).is_empty());
}

#[test]
fn damaged_and_foreign_content_hides_nothing() {
    let world = world();
    batch(1).waits(&world);
    let whole = batch(2).bytes();
    let file = batch(2).waits(&world);
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    let file = batch(3).waits(&world);
    fs::write(file, b"\x1b[31m no batch at all").unwrap();
    let mut strange = batch(4);
    strange.cluster = "\u{1b}[31mC\u{202e}\nAF";
    let file = strange.waits(&world);
    fs::write(
        file.with_file_name("127.0.0.1.tried.json"),
        r#"{"times":3,"last":"\u001b[2Jsaid\nagain"}"#,
    )
    .unwrap();
    batch(5).waits(&world);
    fs::write(
        world.path("state/spool/pending/00000005/127.0.0.1.tried.json"),
        b"{{{",
    )
    .unwrap();
    let cut = batch(6).is_damaged(&world, &whole[..whole.len() - 5], "it is cut \u{1b}[31m");
    let nothing = batch(7).is_damaged(&world, b"", "it is empty");
    batch(8).is_rejected(&world, "answered 422\u{1b}[31m");
    let rejected = world.path("state/spool/rejected");
    let mut text = fs::read(rejected.join(format!("{}.ndjson", id(8)))).unwrap();
    text.extend(b"\xff\xfe\n{\"index\": 7, \"answ");
    fs::write(rejected.join(format!("{}.ndjson", id(8))), text).unwrap();
    fs::write(rejected.join(format!("{}.ndjson", id(9))), b"\xff\n").unwrap();
    // Others' files.
    let pending = world.path("state/spool/pending");
    fs::write(rejected.join("notes.txt"), b"mine").unwrap();
    fs::write(pending.join("notes"), b"mine").unwrap();
    fs::create_dir(pending.join("00000043")).unwrap();
    fs::write(pending.join("00000043/notes"), b"mine").unwrap();
    fs::write(world.path("state/spool/damaged/notes"), b"mine").unwrap();

    let run = world.spool(&["list"]).exits(0).lacks("\u{1b}");
    assert!(!run.stdout.contains('\u{202e}'));
    // A heading, five that wait, two that were rejected, two damaged ones, a note.
    assert_eq!(run.stdout.lines().count(), 11, "{}", run.stdout);
    let states: BTreeMap<String, String> = list(&world)
        .iter()
        .map(|e| {
            (
                e["id"].as_str().unwrap().to_owned(),
                e["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    for (id, state) in [
        ("1", "waiting"),
        ("2", "waiting"),
        ("3", "damaged"),
        ("4", "waiting"),
        ("5", "waiting"),
        (&cut, "damaged"),
        (&nothing, "damaged"),
        (&id(8), "rejected"),
        (&id(9), "rejected"),
        ("notes", "damaged"),
    ] {
        assert_eq!(states.get(id).map(String::as_str), Some(state), "{id}");
    }
    // What can be read is shown, and that it is not all.
    let run = world
        .spool(&["show", "2"])
        .exits(1)
        .says("the rest of 2 cannot be read");
    assert_eq!(run.documents().len(), 1);
    let run = world
        .spool(&["show", &cut])
        .exits(1)
        .says("it is cut")
        .lacks("\u{1b}");
    assert_eq!(run.documents().len(), 1);
    world
        .spool(&["show", "3"])
        .exits(1)
        .says("cannot be read")
        .lacks("\u{1b}");
    world
        .spool(&["show", &nothing])
        .exits(1)
        .says("it is empty");
    assert_eq!(world.spool(&["show", &id(8)]).exits(0).documents().len(), 3);
    world
        .spool(&["show", &id(9)])
        .exits(1)
        .says("cannot be read");
    // One that cannot be read is in nobody's way.
    let run = world
        .spool(&["retry"])
        .exits(1)
        .says("cannot be stored once more");
    assert_eq!(run.stdout, format!("{}: 2 documents wait again\n", id(8)));
    world
        .spool(&["drop", "3", "2", &cut, &nothing, "notes", &id(9)])
        .exits(0);
    let up = Endpoint::ok(Protocol::PlainHttp);
    deliver(&world, &up, &["-c", "CANARY-AF", "--any-endpoint"])
        .exits(0)
        .says("6 accepted");
    assert_eq!(world.names("state/spool/rejected"), ["notes.txt"]);
}

#[test]
fn a_header_that_promises_too_much_is_damaged() {
    let world = world();
    let mut header = batch(1).header();
    header["documents"] = json!(u64::MAX);
    let file = batch(1).waits(&world);
    let frame = zstd::encode_all(format!("{header}\n").as_bytes(), 1).unwrap();
    fs::write(file, frame).unwrap();
    let entry = list(&world).remove(0);
    assert_eq!(entry["state"], "damaged");
    assert!(
        entry["last"]
            .as_str()
            .unwrap()
            .contains("its header promises")
    );
}

#[test]
fn thousands_of_batches_are_a_list_oldest_first() {
    let world = world();
    for number in 1..=600 {
        batch(number).waits(&world);
    }
    for number in 601..=2000 {
        let mut header = batch(number).header();
        header["collected"] = json!(format!(
            "2026-11-01T00:00:{:02}.{:03}Z",
            number / 100,
            number % 100
        ));
        let folder = world.path(&format!("state/spool/pending/{number:08}"));
        fs::create_dir(&folder).unwrap();
        let frame = |text: String| zstd::encode_all(text.as_bytes(), 1).unwrap();
        let documents: String = batch(number)
            .documents()
            .iter()
            .map(|d| format!("{d}\n"))
            .collect();
        let bytes = [frame(format!("{header}\n")), frame(documents)].concat();
        fs::write(folder.join("127.0.0.1.ndjson.zst"), bytes).unwrap();
    }
    let run = world.spool(&["list"]).exits(0);
    let rows: Vec<&str> = run.stdout.lines().skip(1).collect();
    assert_eq!(rows.len(), 2000);
    let numbers: Vec<u64> = rows
        .iter()
        .map(|row| row.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let run = world.spool(&["drop", "0198c3f0"]).exits(2);
    run.says(" and 1997 more");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let world = world();
    let names = vec!["canary-1"; 20_000];
    let mut long = batch(1);
    long.users = &names;
    long.waits(&world);
    for args in [&["show", "1"][..], &["list"], &["list", "--json"]] {
        let mut child = world
            .spool_command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = world.spool_command(&["show", "1"]);
    command.stdout(full);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write to standard output"), "{said}");
}

#[test]
fn clear_names_from_before_o_are_not_delivered_under_it() {
    let world = world();
    let up = Endpoint::ok(Protocol::PlainHttp);
    let mut clear = batch(1);
    (clear.names, clear.endpoint) = ("clear", &up.url);
    clear.waits(&world);
    for flags in [&["-o"][..], &["-O", "example.org"]] {
        deliver(&world, &up, &[&["-c", "CANARY-AF"], flags].concat())
            .exits(1)
            .says("1 batch in the spool holds clear names");
    }
    assert_eq!(up.requests().len(), 0);
    deliver(&world, &up, &["-c", "CANARY-AF"]).exits(0);
    assert_eq!(up.documents().len(), 2);
}

#[test]
fn no_clear_name_and_no_token_is_shown_where_names_are_hidden() {
    let mut world = World::new();
    world.batch_node(&jobs(3, "canary-1"));
    let path = world.path("who");
    fs::write(&path, "canary-2 pts/0        Nov 22 20:11 (127.0.0.1)\n").unwrap();
    world
        .program("who", &format!("/usr/bin/cat {}", path.display()))
        .file("/run/utmp", "");
    let echo = |_: usize, request: &crate::support::endpoint::Received| {
        let said = String::from_utf8_lossy(&request.body).into_owned();
        match request.json()["kind"] == "ssh" {
            true => Reply::Status(422, said),
            false => Reply::Status(403, said),
        }
    };
    let down = Endpoint::start(Protocol::PlainHttp, echo);
    let url = down.url.replace("http://", "http://canary-3:pa55-s3cret@");
    let flags = [
        "-bs",
        "-o",
        "--hash",
        "hmac-sha256",
        "-z",
        "s4lt-s3cret",
        "-O",
        "example.org",
        "--login-node",
        "canary-4.example.org",
        "-t",
        TOKEN,
        "-u",
        &url,
    ];
    world.run(&flags).exits(1);
    let mut words = ids(&world);
    assert_eq!(words.len(), 2, "{words:?}");
    let mut runs = vec![
        world.spool(&["list"]),
        world.spool(&["list", "--json", "-vv"]),
    ];
    runs.extend(words.iter().map(|word| world.spool(&["show", word])));
    let deliver = [
        "deliver",
        "-vv",
        "-o",
        "-O",
        "example.org",
        "-t",
        TOKEN,
        "-u",
        &url,
    ];
    runs.push(world.spool(&deliver));
    runs.push(world.spool(&["retry"]));
    words = ids(&world);
    for word in &words {
        runs.push(world.spool(&["drop", word]));
    }
    assert!(list(&world).is_empty());
    for run in runs {
        for secret in ["canary-", TOKEN, "s3cret"] {
            assert!(
                !run.stdout.contains(secret) && !run.stderr.contains(secret),
                "{secret}: {run:?}"
            );
        }
    }
}

#[test]
fn the_spool_of_another_user_can_be_looked_at_and_not_changed() {
    if !needs::root_and(&[]) {
        return;
    }
    let world = world();
    let file = batch(1).waits(&world);
    chown(world.path("state/spool"), Some(65_534), Some(65_534)).unwrap();
    assert_eq!(ids(&world), ["1"]);
    world.spool(&["show", "1"]).exits(0);
    for command in [&["retry"][..], &["drop", "1"], &["deliver", "-t", TOKEN]] {
        world
            .spool(command)
            .exits(2)
            .says("belongs to another user")
            .says("sudo -u '#65534'");
    }
    assert!(file.exists());
    assert!(!world.path("state/spool/delivering.lock").exists());
}

/// What `docs/spool.md` tells to type for looking at the spool.
#[test]
fn the_commands_of_the_page_about_the_spool_work() {
    for program in ["jq", "zstd", "zstdcat"] {
        if needs::path_of(program).is_none() {
            needs::left_out(&format!("it needs {program}, which is not there"));
            return;
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spool.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## Looking at it\n").unwrap();
    let (section, _) = section.split_once("\nA header:\n").unwrap();
    let lines: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(lines.len() > 8, "{lines:?}");
    // The batch whose id is on the page.
    let mut world = world();
    batch(42).waits(&world);
    batch(42).is_rejected(&world, "422 Unprocessable Entity");
    let rejected = world.path("state/spool/rejected");
    let text = fs::read_to_string(rejected.join(format!("{}.ndjson", id(42)))).unwrap();
    let named = "01a20621-7623-7310-a7ad-f3b43b8e6695";
    fs::remove_file(rejected.join(format!("{}.ndjson", id(42)))).unwrap();
    fs::write(
        rejected.join(format!("{named}.ndjson")),
        text.replace(&id(42), named),
    )
    .unwrap();
    let state = world.path("state");
    world.env("STATE_DIRECTORY", &state);
    let program = Path::new(env!("CARGO_BIN_EXE_afmetrics_collector"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    world.env("PATH", path);
    for line in lines {
        let run = Run::of(world.shell(line, &state)).exits(0);
        assert!(
            !run.stdout.is_empty() || line.starts_with("zstd -t"),
            "{line}"
        );
        assert!(
            run.stderr.is_empty() || line.starts_with("zstd -t"),
            "{line}: {run:?}"
        );
    }
}
