//! `record` and `replay`: what a round read comes out of a folder again, with other names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::case::{self, Case};
use crate::support::cluster::{Cluster, json_reply};
use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::program::{Run, World, names};

const AT_A_TIME: usize = 4;
/// What names are made of in the cases, and what is put there, as long: a recording has names like the former.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("canary", "zzyzxq"),
    (".example", ".qqsites"),
    ("192.0.2.", "10.99.8."),
    ("2001:db8:", "fd99:db8:"),
];

/// `record`, in this world.
pub fn record(world: &World, dir: &Path, args: &[&str]) -> Run {
    let (root, state) = (world.path("root"), world.path("state"));
    let place = [
        "--root",
        root.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let dir = dir.to_str().unwrap();
    Run::of(world.bare_command(&[&["record", dir], args, &place].concat()))
}

/// `replay`, where nothing else is: no programs, no files.
pub fn replay(dir: &Path) -> Run {
    let world = World::new();
    let run = world.replay(dir);
    for folder in ["bin", "home", "cwd", "state"] {
        assert!(world.names(folder).is_empty(), "{folder} is not empty");
    }
    run
}

/// All files below a folder, with what is in them.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files
}

/// A document without what may be called otherwise, and without what this machine measures.
fn nameless(line: &str) -> Value {
    let mut document: Value = serde_json::from_str(line).unwrap();
    for field in [
        "login_node",
        "queue",
        "partition",
        "account",
        "schedd",
        "mount",
        "device",
    ] {
        if let Some(value) = document.get_mut(field) {
            *value = json!("somebody");
        }
    }
    if let Some(users) = document.get_mut("users") {
        *users = match users {
            Value::Array(users) => users.len().into(),
            _ => json!("somebody"),
        };
    }
    if document["kind"] == "DISK" {
        for field in ["total", "used", "free", "utilization"] {
            assert!(document[field].is_number(), "{line}");
            document[field] = json!("measured");
        }
    }
    if document["network"]["interval"]
        .as_f64()
        .is_some_and(|it| it < 30.0)
    {
        document["network"]["interval"] = json!("measured");
    }
    document
}

fn for_each_case(check: impl Fn(&Case) -> Result<(), String> + Sync) {
    let cases = case::all();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(case) {
                        let why = format!("{}: {why}", case.title());
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

fn complaints(log: &str) -> usize {
    let is_one = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    log.lines().filter(is_one).count()
}

/// Whatever a round reads, a replay of its recording makes the same of it, and leaves the recording as it is.
#[test]
fn a_replay_of_every_case_gives_what_the_round_gave() {
    for_each_case(|case| {
        let world = case.world();
        let args = case.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let round = world.print(&args);
        let state = files(&world.path("state"));
        let dir = world.path("recording");
        let recorded = record(&world, &dir, &args).exits(0);
        if files(&world.path("state")) != state {
            return Err("the state folder is another".to_owned());
        }
        let before = files(&dir);
        let replayed = replay(&dir);
        let [wanted, found] =
            [&round, &replayed].map(|run| run.stdout.lines().map(nameless).collect::<Vec<_>>());
        if wanted != found
            || round.status != replayed.status
            || complaints(&round.stderr) != complaints(&replayed.stderr)
        {
            return Err(format!(
                "exit {} instead of {}\n{}instead of\n{}log:\n{}instead of\n{}recording:\n{}",
                replayed.status,
                round.status,
                replayed.stdout,
                round.stdout,
                replayed.stderr,
                round.stderr,
                recorded.stderr
            ));
        }
        let expected = fs::read_to_string(dir.join("expected.json")).unwrap();
        if expected != replayed.stdout || before != files(&dir) {
            return Err("the folder says otherwise, or is another after the replay".to_owned());
        }
        Ok(())
    });
}

/// Puts other names into all files of a world, and into these arguments.
fn renamed(world: &World, args: &[String]) -> Vec<String> {
    let other = |text: &str| {
        OTHER_NAMES
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    for (path, bytes) in files(&world.path("")) {
        if let Ok(text) = String::from_utf8(bytes) {
            fs::write(path, other(&text)).unwrap();
        }
    }
    args.iter().map(|arg| other(arg)).collect()
}

fn assert_nameless(dir: &Path) -> Result<(), String> {
    for (path, bytes) in files(dir) {
        let path = path.strip_prefix(dir).unwrap();
        let text = format!("{} {}", path.display(), String::from_utf8_lossy(&bytes));
        for (_, name) in OTHER_NAMES {
            // The domain alone is a dotted word's end.
            if text.contains(name.trim_matches('.')) {
                return Err(format!("{name} is in it: {text}"));
            }
        }
    }
    Ok(())
}

#[test]
fn no_byte_of_a_recording_has_a_name_of_the_site() {
    let had_names = AtomicUsize::new(0);
    for_each_case(|case| {
        let world = case.world();
        let args = renamed(&world, &case.args());
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend([
            "-t",
            "s3cret-t0ken",
            "-z",
            "s3cret-s4lt",
            "-c",
            "zzyzxq-site",
            "-u",
            "https://zzyzxq.invalid/",
        ]);
        let round = world.print(&args[..args.len() - 8]);
        had_names.fetch_add(
            usize::from(round.stdout.contains("zzyzxq")),
            Ordering::Relaxed,
        );
        let dir = world.path("recording");
        record(&world, &dir, &args).exits(0);
        assert_nameless(&dir)?;
        for (path, bytes) in files(&dir) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.contains("s3cret") {
                return Err(format!("{} has a secret in it", path.display()));
            }
        }
        Ok(())
    });
    let had_names = had_names.into_inner();
    assert!(
        had_names > 50,
        "the cases had names to leak in {had_names} cases"
    );
}

const CANARIES: [&str; 2] = ["zz-secret-user-7", "zz_mark"];

/// Two users in a session and a job each, and much else that names them.
fn world_of_names() -> World {
    let mut world = World::new();
    world.healthy_host();
    let [one, other] = CANARIES;
    world
        .program(
            "who",
            &format!(
                "echo '{one} pts/0        Nov 22 20:11 (laptop-of-{other}.zz-home.qq)'\necho '{other} pts/1        Nov 22 20:11 (10.99.8.7)'"
            ),
        )
        .program(
            "condor_q",
            &format!(
                "/usr/bin/cat <<'E'\n[\n{{\"GlobalJobId\": \"zz-schedd.zz-home.qq#1.0#1795378484\", \"ClusterId\": 1, \"ProcId\": 0, \"JobStatus\": 2, \"Owner\": \"{one}\",\n \"Cmd\": \"/home/{one}/zz-secret-analysis.sh\", \"Env\": \"TOKEN=zz-secret-token\"}}\n]\nE\necho 'zz-secret warning of {other}' >&2"
            ),
        )
        .program("condor_history", "echo [; echo ]");
    world
}

#[test]
fn a_folder_has_no_name_is_for_its_owner_and_says_what_to_do() {
    let world = world_of_names();
    let dir = world.path("new/recording");
    let args = [
        "-sb",
        "--host",
        "--mount",
        "/",
        "-o",
        "-vv",
        "--exclude-owner",
        "zz-other",
    ];
    let run = record(&world, &dir, &args).exits(0);
    for said in [
        &format!("recorded in {}: 3 runs of programs", dir.display()),
        "look through it before you send it",
        "grep -ri NAME",
        "other names stand there for 3 users",
    ] {
        assert!(run.stderr.contains(said), "no {said:?} in:\n{}", run.stderr);
    }
    for (path, bytes) in files(&dir) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for secret in ["zz", "secret", "10.99.8.7", "analysis"] {
            assert!(
                !text.contains(secret),
                "{}: {secret} in\n{text}",
                path.display()
            );
        }
    }
    let mode = fs::metadata(dir.join("commands"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o700);
    let args = fs::read_to_string(dir.join("args")).unwrap();
    assert!(
        args.contains("--obfuscate-users\n") && args.contains("--exclude-owner=canary-"),
        "{args}"
    );
    let replayed = replay(&dir).exits(0);
    let kinds: Vec<Value> = replayed
        .documents()
        .iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert_eq!(kinds, ["ssh", "condorjob", "CPU", "MEM", "NETWORK", "DISK"]);
    assert_eq!(replayed.documents()[0]["ssh_user_count"], 2);
    assert_eq!(
        replayed.documents()[1]["users"].as_str().unwrap().len(),
        8,
        "a hash"
    );
}

#[test]
fn flags_go_before_the_folder_or_behind_it() {
    let mut world = World::new();
    world.healthy_host();
    let root = world.path("root");
    let root = root.to_str().unwrap();
    let place = ["--root", root, "--mount", "/"];
    for (number, split) in [0, 1, 2, 3].into_iter().enumerate() {
        let name = format!("host{number}");
        let dir = world.path(&format!("cwd/{name}"));
        let flags = ["--host", "-vv", "--cluster=CANARY-AF"];
        let (before, behind) = flags.split_at(split);
        let words = [&["record"], before, &[&name], behind, &place].concat();
        let run = Run::of(world.bare_command(&words)).exits(0);
        // It has no commands.
        let hint = format!("find {} -type f -exec less {{}} +;", dir.display());
        run.says(&hint).lacks("/commands/");
        let documents = replay(&dir).exits(0).documents();
        assert_eq!(documents.len(), 4, "{words:?}");
    }
    // The value of a flag may be called as the folder is.
    for words in [
        &["record", "--host", "-c", "same", "same"][..],
        &["record", "-n", "other", "again", "--host", "-c", "again"],
    ] {
        Run::of(world.bare_command(&[words, &place].concat())).exits(0);
    }
    for (words, said) in [
        (&["record", "--host"][..], "<DIR>"),
        (&["record", "a", "--host", "b"], "belongs to no flag"),
        (&["record", "--hots", "a"], "--host"),
    ] {
        Run::of(world.bare_command(words)).exits(2).says(said);
    }
}

/// As a round with `-O canary.example` calls a node `login01`, whatever this site's domain is.
#[test]
fn the_node_is_called_as_in_a_round_that_hides_it() {
    let mut world = World::new();
    world.healthy_host();
    let dir = world.path("recording");
    let args = ["--host", "--mount", "/", "-O", "zz-home.qq"];
    record(&world, &dir, &args).exits(0);
    let args = ["--host", "--mount", "/", "-O", "canary.example"];
    let node = ["--login-node", "login01.canary.example"];
    let round = world.print(&[&args[..], &node].concat()).exits(0);
    let replayed = replay(&dir).exits(0).lacks("zz-home");
    for (of_round, of_replay) in round.documents().iter().zip(replayed.documents()) {
        assert_eq!(of_round["login_node"], "atlas01.canary.example");
        assert_eq!(of_round["login_node"], of_replay["login_node"]);
    }
}

/// The mapping is one: who is here is the same one there.
#[test]
fn somebody_is_called_the_same_in_all_sources() {
    let world = world_of_names();
    let dir = world.path("recording");
    record(&world, &dir, &["-sb"]).exits(0);
    let documents = replay(&dir).exits(0).documents();
    let users = documents[0]["users"].as_array().unwrap();
    assert!(users.contains(&documents[1]["users"]), "{documents:?}");
}

/// A cursor names jobs and schedds by hashes: they are the same ones in the folder, under their other names.
#[test]
fn what_the_last_round_read_is_known_in_the_replay() {
    let mut world = world_of_names();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let history = |jobs: &[u64]| {
        let ads: Vec<Value> = jobs
            .iter()
            .map(|job| {
                json!({"GlobalJobId": format!("zz-schedd.zz-home.qq#{job}.0#7"), "ClusterId": job, "ProcId": 0,
                    "Owner": CANARIES[0], "JobStatus": 4, "CompletionDate": now - 9, "EnteredCurrentStatus": now - 9})
            })
            .collect();
        format!("/usr/bin/cat <<'E'\n{}\nE", json!(ads))
    };
    let args = ["-b", "--schedd", "ZZ-schedd.zz-home.qq"];
    world.program("condor_history", &history(&[2, 1]));
    let endpoint = Endpoint::ok(Protocol::Http1);
    world.deliver(&endpoint, &args).exits(0);
    world.program("condor_history", &history(&[3, 2, 1]));
    let round = world.print(&args).exits(0);
    assert_eq!(
        round.documents().len(),
        2,
        "one that runs, and one that is new: {}",
        round.stdout
    );
    let dir = world.path("recording");
    record(&world, &dir, &args).exits(0);
    assert!(!names(&dir.join("state/cursors")).is_empty());
    let replayed = replay(&dir).exits(0);
    let [wanted, found] =
        [&round, &replayed].map(|run| run.stdout.lines().map(nameless).collect::<Vec<_>>());
    assert_eq!(wanted, found);
    let cursor = |folder: &Path| {
        let cursors = folder.join("cursors");
        let is_one = |name: &String| name.starts_with("condor_history");
        let name = names(&cursors).into_iter().find(is_one).unwrap();
        (fs::read_to_string(cursors.join(&name)).unwrap(), name)
    };
    let (old, old_name) = cursor(&world.path("state"));
    let (new, new_name) = cursor(&dir.join("state"));
    assert!(old.len() == new.len() && old != new, "{old} {new}");
    assert_ne!(old_name, new_name, "a hash of a host's name is in it");
}

/// Who is in a group is no matter of the host that replays it.
#[test]
fn the_group_is_that_of_the_recorded_node() {
    let mut world = world_of_names();
    world.program(
        "who",
        "echo 'root pts/0 Nov 22 20:11'; echo 'zz-bob pts/1 Nov 22 20:12'",
    );
    let args = ["-s", "-g", "root"];
    let round = world.print(&args).exits(0);
    assert_eq!(round.documents()[0]["ssh_user_count"], 1);
    let dir = world.path("recording");
    record(&world, &dir, &args).exits(0);
    assert_eq!(
        replay(&dir).exits(0).documents()[0]["users"],
        json!(["root"])
    );
}

#[test]
fn kubernetes_is_answered_from_the_folder() {
    let cluster = Cluster::start(|ask| {
        (ask.namespace == "coffea-casa").then(|| {
            let why = r#"{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"zz-robot may not on zz.qq.example"}"#;
            json_reply(403, why.to_owned())
        })
    });
    let mut world = World::new();
    let kubeconfig = world.path("home/af.conf");
    let user = json!({"token": "t0ken-of-the-cluster"});
    fs::write(&kubeconfig, cluster.kubeconfig(&user).to_string()).unwrap();
    world.env("KUBECONFIG", kubeconfig);
    let round = world.print(&["-j"]).exits(0);
    let dir = world.path("recording");
    let run = record(&world, &dir, &["-j"]).exits(0);
    assert!(
        run.stderr.contains("6 requests to Kubernetes"),
        "{}",
        run.stderr
    );
    drop(cluster);
    let replayed = replay(&dir).exits(0);
    let [wanted, found] =
        [&round, &replayed].map(|run| run.stdout.lines().map(nameless).collect::<Vec<_>>());
    assert_eq!(wanted, found);
    assert_eq!(wanted.len(), 1);
    for (path, bytes) in files(&dir) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for name in ["t0ken", "zz", "O_Neil", "127.0.0.1", "localhost"] {
            assert!(
                !text.contains(name),
                "{}: {name} in\n{text}",
                path.display()
            );
        }
    }
}

#[test]
fn without_a_cluster_the_reason_is_what_is_replayed() {
    let world = World::new();
    let dir = world.path("recording");
    record(&world, &dir, &["-j"]).exits(0);
    replay(&dir).exits(1).says("there is no kubeconfig");
}

#[test]
fn a_folder_that_is_not_empty_or_cannot_be_made_is_refused() {
    let world = world_of_names();
    let dir = world.path("cwd");
    fs::write(dir.join("mine"), "").unwrap();
    record(&world, &dir, &["-s"]).exits(2).says("is not empty");
    assert_eq!(names(&dir), ["mine"]);
    let file = world.path("cwd/mine");
    record(&world, &file, &["-s"])
        .exits(2)
        .says("cannot be used");
    record(&world, &file.join("below"), &["-s"]).exits(2);
    record(&world, &world.path("new"), &[])
        .exits(2)
        .says("nothing to collect");
    assert!(!world.path("new").exists());
    record(&world, &world.path("new"), &["spool", "list"]).exits(2);
}

#[test]
fn a_damaged_recording_is_named_and_not_half_replayed() {
    let world = world_of_names();
    let dir = world.path("recording");
    record(&world, &dir, &["-s"]).exits(0);
    replay(&world.path("nowhere"))
        .exits(2)
        .says("is no recording");
    let damaged = |file: &str, text: &str, why: &str| {
        let path = dir.join(file);
        let whole = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        let run = replay(&dir).exits(2).says(why);
        assert_eq!(run.stdout, "");
        match whole {
            Some(whole) => fs::write(path, whole).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    };
    damaged("round.json", "{", "is not what `record` writes");
    let round = fs::read_to_string(dir.join("round.json")).unwrap();
    let other = round.replace("\"version\": 1", "\"version\": 9");
    damaged("round.json", &other, "another version");
    damaged("args", "--nonsense\n", "is not what `record` writes");
    damaged("args", "", "nothing to collect");
    damaged(
        "commands/who.1.rc",
        "x\n",
        "says nothing that `record` writes",
    );
    fs::create_dir(dir.join("kubernetes")).unwrap();
    damaged(
        "kubernetes/1.request",
        "x",
        "says nothing that `record` writes",
    );
    replay(&dir).exits(0);
    fs::remove_file(dir.join("commands/who.1.out")).unwrap();
    replay(&dir).exits(1).says("cannot be read");
    fs::remove_file(dir.join("commands/who.1.args")).unwrap();
    replay(&dir)
        .exits(1)
        .says("is not on the node of the recording");
}

/// What ended a program is what ends it in the replay, at once.
#[test]
fn programs_that_hang_or_die_do_so_again() {
    for (script, why) in [
        (
            "echo 'zz-bob pts/0 Nov 22 20:11'; exec /usr/bin/sleep 60",
            "gave no output for 1 s",
        ),
        ("kill -9 $$", "signal 9"),
        ("echo 'zz-bob was here' >&2; exit 3", "exit status 3"),
    ] {
        let mut world = World::new();
        world.program("who", script);
        let dir = world.path("recording");
        record(&world, &dir, &["-s", "--silence", "1"])
            .exits(0)
            .says(why);
        let begun = std::time::Instant::now();
        replay(&dir).exits(1).says(why).lacks("zz-bob");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    }
}

/// Where a login is the number of a person, and behind which letters an address stands.
#[test]
fn numbers_that_are_names_and_addresses_behind_colons_go() {
    let mut world = World::new();
    world.healthy_host();
    world
        .file(
            "/proc/1/mounts",
            "10.99.8.1@o2ib:10.99.8.2@o2ib:/scratch / lustre rw 0 0\n/dev/vdb /home/20231234 ext4 rw 0 0\n",
        )
        .program("who", "echo '20231234 pts/0        Nov 22 20:11 (vpn-10-99-8-7)'")
        .program(
            "condor_q",
            "/usr/bin/cat <<'E'\n[\n{\"GlobalJobId\": \"zz-schedd.zz-home.qq#20231234.0#1795378484\", \"ClusterId\": 20231234, \"ProcId\": 0, \"JobStatus\": 2, \"Owner\": \"20231234\",\n \"Cmd\": \"/home/20231234/run.sh\"}\n]\nE\necho 'Failed to fetch ads from <10.99.8.1:9618?addrs=10.99.8.1-9618+[fd99-db8-201-64--100-5]-9618> for jupyter-20231234' >&2",
        )
        .program("condor_history", "echo [; echo ]");
    let dir = world.path("recording");
    let args = ["-sb", "--host", "--mount", "/"];
    let round = world.print(&args);
    record(&world, &dir, &args).exits(0);
    let replayed = replay(&dir);
    let [wanted, found] = [&round, &replayed].map(|run| run.stdout.lines().count());
    assert_eq!(wanted, found, "{}", replayed.stderr);
    // As the number of a job it stays.
    const OF_JOB: [&str; 2] = ["\"ClusterId\": 20231234", "\"Id\":\"20231234.0\""];
    let mut found = 0;
    for (path, bytes) in files(&dir) {
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        for number in OF_JOB {
            found += text.matches(number).count();
            text = text.replace(number, "");
        }
        for name in ["20231234", "99.8", "99-8", "201-64", "100-5", "fd99"] {
            assert!(
                !text.contains(name),
                "{}: {name} in\n{text}",
                path.display()
            );
        }
    }
    assert_eq!(found, OF_JOB.len());
    let documents = replayed.documents();
    let [ssh, job] = ["ssh", "condorjob"].map(|kind| {
        let document = documents.iter().find(|document| document["kind"] == kind);
        document.unwrap_or_else(|| panic!("no {kind}: {}", replayed.stderr))
    });
    assert_eq!(ssh["users"][0], job["users"]);
}
