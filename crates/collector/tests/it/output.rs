//! What is written instead of sent (`-d`, `--print`), and the log's own file.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::needs;
use crate::support::program::{Run, World, jobs, names};

/// A node with something of every kind that needs no cluster.
fn full_node() -> World {
    let mut world = World::new();
    world
        .healthy_host()
        .batch_node(&jobs(3, "canary-1"))
        .program(
            "who",
            "echo 'canary-1 pts/0        Nov 22 20:11 (127.0.0.1)'",
        );
    world
}

const ALL: [&str; 4] = ["-sb", "--host", "--mount", "/"];

/// The documents in a file that `-d` wrote.
fn stream(world: &World, name: &str) -> Vec<Value> {
    let text = fs::read(world.path("cwd").join(name)).unwrap();
    serde_json::Deserializer::from_slice(&text)
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn debug_appends_to_a_file_of_each_kind_of_source() {
    let mut world = full_node();
    world.env("AFMETRICS_TOKEN", "t0ken-s3cret");
    for round in 1..=2 {
        world
            .run(&[&["-d", "-v"], &ALL[..]].concat())
            .exits(0)
            .says("8 written to condor.json, host.json, ssh.json\n");
        assert_eq!(world.names("cwd"), ["condor.json", "host.json", "ssh.json"]);
        for (name, count) in [("condor.json", 3), ("host.json", 4), ("ssh.json", 1)] {
            assert_eq!(stream(&world, name).len(), round * count, "{name}");
            let path = world.path("cwd").join(name);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name} holds names");
            let text = fs::read_to_string(path).unwrap();
            assert!(text.starts_with("{\n    \""), "{text}");
            assert!(text.ends_with("\n}\n"), "{text}");
            assert!(
                !text.contains("token") && !text.contains("s3cret"),
                "{text}"
            );
        }
    }
    assert_eq!(
        stream(&world, "ssh.json")[0]["users"],
        serde_json::json!(["canary-1"])
    );
}

#[test]
fn debug_writes_what_was_there_before_on() {
    let world = full_node();
    fs::write(world.path("cwd/ssh.json"), "{\"kind\":\"old\"}").unwrap();
    world.run(&["-d", "-s"]).exits(0);
    let kinds: Vec<Value> = stream(&world, "ssh.json")
        .iter()
        .map(|d| d["kind"].clone())
        .collect();
    assert_eq!(kinds, ["old", "ssh"]);
}

#[test]
fn jq_reads_what_debug_writes() {
    const JQ: &str = "/usr/bin/jq";
    let world = full_node();
    for _ in 0..2 {
        world.run(&[&["-d"], &ALL[..]].concat()).exits(0);
    }
    if !fs::exists(JQ).unwrap() {
        needs::left_out(&format!("it needs {JQ} (package jq), which is not there"));
        return;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads with a foreign program"
    )]
    let mut jq = std::process::Command::new(JQ);
    jq.args(["-r", ".kind", "condor.json", "host.json", "ssh.json"])
        .current_dir(world.path("cwd"));
    let run = Run::of(jq).exits(0);
    assert_eq!(run.stdout.lines().count(), 16);
    assert_eq!(run.stdout.matches("condorjob").count(), 6);
}

#[test]
fn numbers_are_written_as_they_were_read() {
    let mut world = full_node();
    world.file(
        "/proc/loadavg",
        "0.30000000000000004 3.47 4.72 2/194 29805\n",
    );
    let printed = world.print(&["--host", "--mount", "/"]).exits(0);
    assert!(
        printed.stdout.contains("\"load\":0.30000000000000004"),
        "{}",
        printed.stdout
    );
    world.run(&["-d", "--host", "--mount", "/"]).exits(0);
    let text = fs::read_to_string(world.path("cwd/host.json")).unwrap();
    assert!(text.contains("\"load\": 0.30000000000000004"), "{text}");
    let disk = |documents: &[Value]| {
        let disk = documents.iter().find(|d| d["kind"] == "DISK").unwrap();
        (disk["total"].clone(), disk["total"].is_u64())
    };
    assert_eq!(
        disk(&printed.documents()),
        disk(&stream(&world, "host.json"))
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_exit_1_and_costs_its_file_only() {
    let world = full_node();
    // Not even root can write a file where a folder is.
    fs::create_dir(world.path("cwd/condor.json")).unwrap();
    world
        .run(&[&["-d", "-v"], &ALL[..]].concat())
        .exits(1)
        .says("ERROR cannot write condor.json: ")
        .says("5 written to host.json, ssh.json\n");
    let mut command = world.command(&["-d", "-s"]);
    // Nor make one here.
    command.current_dir("/proc");
    Run::of(command)
        .exits(1)
        .says("ERROR cannot write ssh.json: ");
}

#[test]
fn print_is_one_document_a_line_without_token() {
    let mut world = full_node();
    world.env("AFMETRICS_TOKEN", "t0ken-s3cret");
    let run = world.print(&[&["-v"], &ALL[..]].concat()).exits(0);
    let run = run.says("8 written to standard output\n").lacks("s3cret");
    let documents = run.documents();
    assert_eq!(documents.len(), 8);
    assert!(
        documents
            .iter()
            .all(|d| d.get("token").is_none() && d["cluster"] == "UC-AF")
    );
    assert_eq!(world.names("cwd"), Vec::<String>::new());
}

#[test]
fn a_round_without_documents_prints_nothing() {
    let mut world = World::new();
    world.batch_node("");
    let run = world
        .print(&["-b", "-v"])
        .exits(0)
        .says("; nothing written\n");
    assert_eq!(run.stdout, "");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let mut world = World::new();
    world.batch_node(&jobs(5000, "canary-1"));
    let mut child = world
        .command(&["--print", "-b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_full_disk_behind_standard_output_is_exit_1() {
    let world = full_node();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = world
        .command(&["--print", "-s"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("ERROR cannot write to standard output: "),
        "{said}"
    );
}

/// Every file and folder below a folder, with what is in it and when that was written.
fn tree(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let content = about.is_file().then(|| fs::read(&path).unwrap());
        if about.is_dir() {
            found.extend(tree(&path));
        }
        found.push((path, content, about.modified().unwrap()));
    }
    found.sort();
    found
}

#[test]
fn neither_debug_nor_print_changes_the_state_folder() {
    for flag in ["-d", "--print"] {
        let world = full_node();
        world.run(&[&[flag], &ALL[..]].concat()).exits(0);
        assert_eq!(world.names("state"), Vec::<String>::new(), "{flag}");
        fs::create_dir(world.path("state/cursors")).unwrap();
        fs::write(world.path("state/cursors/network@UC-AF.json"), "damaged").unwrap();
        world
            .run(&[&[flag], &ALL[..]].concat())
            .exits(0)
            .says("is damaged")
            .lacks("set aside");
        assert_eq!(world.names("state"), ["cursors"], "{flag}");
        assert_eq!(
            world.names("state/cursors"),
            ["network@UC-AF.json"],
            "{flag}"
        );
        // Nor do they make one.
        let new = world.path("new");
        let args = [
            flag,
            "--host",
            "--mount",
            "/",
            "--state-dir",
            new.to_str().unwrap(),
        ];
        world.run(&args).exits(0);
        assert!(!new.exists(), "{flag}");
    }
}

#[test]
fn debug_and_print_leave_what_waits_byte_for_byte() {
    let world = full_node();
    let busy = Endpoint::start(Protocol::PlainHttp, |number, _| match number {
        0 | 1 => Reply::ok(),
        2 => Reply::Status(422, "no".to_owned()),
        _ => Reply::Status(503, "busy".to_owned()),
    });
    let args = [&ALL[..], &["--deliver-for", "1"]].concat();
    world.deliver(&busy, &args).exits(1);
    // As a crash leaves it.
    fs::create_dir(world.path("state/spool/pending/.new-canary")).unwrap();
    let before = tree(&world.path("state"));
    let has = |end: &str| {
        let mut paths = before.iter().map(|(path, ..)| path.to_str().unwrap());
        paths.any(|path| path.ends_with(end))
    };
    for end in [".ndjson.zst", ".done", ".tried.json", ".ndjson"] {
        assert!(has(end), "{end}: {before:?}");
    }
    for flag in ["-d", "--print"] {
        world.run(&[&[flag], &ALL[..]].concat()).exits(0);
        assert!(tree(&world.path("state")) == before, "{flag}");
    }
}

/// A world where the log has a folder of its own.
fn with_log_folder() -> World {
    let mut world = full_node();
    world.file("/var/log/afmetrics/.keep", "");
    world
}

fn log_of(world: &World) -> String {
    fs::read_to_string(world.path("root/var/log/afmetrics/afmetrics.log")).unwrap()
}

#[test]
fn the_log_goes_to_its_own_file_too() {
    let world = with_log_folder();
    for rounds in 1..=2 {
        let run = world
            .print(&["-s", "-v"])
            .exits(0)
            .says("collected 1 document from");
        let log = log_of(&world);
        assert!(log.ends_with(&run.stderr), "{log}");
        assert_eq!(log.matches("collected 1 document from").count(), rounds);
    }
    let without = full_node();
    without.print(&["-s", "-v"]).exits(0);
    assert_eq!(names(&without.path("root")), ["proc", "run"]);
}

#[test]
fn in_the_journal_lines_have_no_times_of_their_own() {
    let mut world = full_node();
    let path = world.path("journal");
    let journal = File::create(&path).unwrap();
    let about = journal.metadata().unwrap();
    world.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    let mut command = world.command(&["--print", "-s", "-v"]);
    let status = command.stdout(Stdio::null()).stderr(journal).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let log = fs::read_to_string(path).unwrap();
    assert!(
        log.trim_start()
            .starts_with("INFO collected 1 document from"),
        "{log}"
    );
}

#[test]
fn the_log_is_not_written_twice_where_it_goes_already() {
    for (out, err) in [(false, true), (true, true)] {
        let world = with_log_folder();
        let open = || {
            let path = world.path("root/var/log/afmetrics/afmetrics.log");
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .unwrap()
        };
        let mut command = world.command(&["-d", "-s", "-v"]);
        if out {
            command.stdout(open());
        }
        if err {
            command.stderr(open());
        }
        assert_eq!(command.status().unwrap().code(), Some(0));
        assert_eq!(
            log_of(&world).matches("collected 1 document from").count(),
            1
        );
    }
}

#[test]
fn a_log_that_cannot_be_written_is_no_failure() {
    let mut world = full_node();
    world.file("/var/log/afmetrics/afmetrics.log/is/a/folder", "");
    world
        .print(&["-s", "-v"])
        .exits(0)
        .says("collected 1 document from");
    let mut world = full_node();
    world.file("/var/log/afmetrics", "is a file");
    world
        .print(&["-s", "-v"])
        .exits(0)
        .says("collected 1 document from");
    let world = with_log_folder();
    std::os::unix::fs::symlink(
        "/dev/full",
        world.path("root/var/log/afmetrics/afmetrics.log"),
    )
    .unwrap();
    let run = world
        .print(&["-s", "-v"])
        .exits(0)
        .says("collected 1 document from");
    assert_eq!(run.documents().len(), 1);
}

#[test]
fn a_closed_standard_error_does_not_end_the_round() {
    let world = full_node();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = world
        .command(&[&["--print", "-vv"], &ALL[..]].concat())
        .stderr(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 8);
}
