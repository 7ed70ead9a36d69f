//! What happens to a machine: full and read-only disks, foreign folders, clocks that jump, damaged files,
//! endpoints that are not what they should be, rounds that run at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::state::as_somebody_else;
use crate::support::authority::{Authority, Identity};
use crate::support::endpoint::{Endpoint, Protocol, Received, Reply};
use crate::support::namespace::{Namespace, plain, within};
use crate::support::needs;
use crate::support::program::{Run, Started, TOKEN, World, names};
use crate::support::proxy::Proxy;

const NOTHING: [&str; 0] = [];
/// One request a batch: so one that is refused is refused at once.
const ARRAYS: [&str; 2] = ["--batch-size", "500"];

/// An endpoint that a test can close and open.
struct Gate {
    endpoint: Endpoint,
    status: Arc<AtomicU16>,
    /// So many requests get an answer.
    most: Arc<AtomicUsize>,
    accepted: Arc<Mutex<Vec<Received>>>,
}

impl Gate {
    fn open() -> Self {
        Self::slow(Duration::ZERO)
    }

    /// Each answer takes so long.
    fn slow(time: Duration) -> Self {
        Self::replying(move || Reply::After(time))
    }

    /// No answer before the sender says so.
    fn held() -> (Self, watch::Sender<bool>) {
        let (lets_go, is_time) = watch::channel(false);
        (
            Self::replying(move || Reply::When(is_time.clone())),
            lets_go,
        )
    }

    fn replying(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let most = Arc::new(AtomicUsize::new(usize::MAX));
        let (now, book) = (Arc::clone(&status), Arc::clone(&accepted));
        let until = Arc::clone(&most);
        let endpoint = Endpoint::start(Protocol::PlainHttp, move |number, request| {
            match now.load(Ordering::SeqCst) {
                200 if number >= until.load(Ordering::SeqCst) => Reply::Hang,
                200 => {
                    book.lock().unwrap().push(request.clone());
                    reply()
                }
                status => Reply::Status(status, "closed".to_owned()),
            }
        });
        Self {
            endpoint,
            status,
            most,
            accepted,
        }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The first so many requests get an answer, and the others none.
    fn answers_only(&self, most: usize) {
        self.most.store(most, Ordering::SeqCst);
    }

    /// Documents that it took, in the order in which they came.
    fn documents(&self) -> Vec<Value> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().flat_map(Received::documents).collect()
    }

    /// The same as an endpoint has them that knows the key: each once.
    fn each_once(&self) -> Vec<Value> {
        let mut known = BTreeMap::new();
        for request in self.accepted.lock().unwrap().iter() {
            let (id, range) = key(request);
            for (index, document) in range.zip(request.documents()) {
                known.entry((id.clone(), index)).or_insert(document);
            }
        }
        known.into_values().collect()
    }

    fn networks(&self) -> Vec<Value> {
        let documents = self.documents();
        let networks = documents.iter().filter(|d| d["kind"] == "NETWORK");
        networks.map(|d| d["network"].clone()).collect()
    }

    fn to(&self) -> [&str; 4] {
        ["-t", TOKEN, "-u", &self.endpoint.url]
    }
}

/// The batch, and the indices of the documents in it.
fn key(request: &Received) -> (String, std::ops::Range<u64>) {
    let key = request.header("idempotency-key").unwrap();
    let (id, range) = key.split_once('/').unwrap();
    let (first, count) = range.split_once('-').unwrap();
    let (first, count): (u64, u64) = (first.parse().unwrap(), count.parse().unwrap());
    (id.to_owned(), first..first + count)
}

/// So many jobs: `CLUSTER.0`, `CLUSTER.1` and so on.
fn queue(cluster: u32, count: usize) -> String {
    crate::support::program::jobs(count, "canary-1")
        .replace("\"ClusterId\": 1,", &format!("\"ClusterId\": {cluster},"))
}

fn node(cluster: u32, count: usize) -> World {
    let mut world = World::new();
    world.batch_node(&queue(cluster, count));
    world
}

fn host(world: &mut World, uptime: u32, bytes: u64) {
    world
        .healthy_host()
        .file("/proc/uptime", format!("{uptime}.00 1.00\n"))
        .file(
            "/proc/1/net/dev",
            format!("Inter-|\n face |\nlo: {bytes} 1 0 0 0 0 0 0 {bytes} 1 0 0 0 0 0 0\n"),
        );
}

fn ids(documents: &[Value]) -> Vec<String> {
    let ids = documents.iter().filter_map(|d| d["Id"].as_str());
    ids.map(str::to_owned).collect()
}

/// Asserts that of each of these clusters so many jobs are there, each once.
#[track_caller]
fn assert_jobs(documents: &[Value], clusters: &[u32], count: usize) {
    let mut found = ids(documents);
    found.sort();
    let mut expected: Vec<String> = clusters
        .iter()
        .flat_map(|cluster| (0..count).map(move |job| format!("{cluster}.{job}")))
        .collect();
    expected.sort();
    assert!(
        found == expected,
        "{} jobs of {}; the first that differ: {:?}",
        found.len(),
        expected.len(),
        found.iter().zip(&expected).find(|(a, b)| a != b)
    );
}

/// Stores a round of this cluster's jobs that the endpoint does not take now.
#[track_caller]
fn stored(world: &mut World, gate: &Gate, cluster: u32, count: usize) {
    world.batch_node(&queue(cluster, count));
    gate.answers(403);
    let args = [&gate.to()[..], &ARRAYS, &["-b"]].concat();
    world.run(&args).exits(1).says("wait in the spool");
    gate.answers(200);
}

/// Delivers what waits, and a round without documents.
#[track_caller]
fn delivered(world: &mut World, gate: &Gate, status: i32) -> Run {
    world.batch_node("");
    let args = [&gate.to()[..], &ARRAYS, &["-b", "-v"]].concat();
    world.run(&args).exits(status)
}

/// All files and folders below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// The batch of a round.
fn batch(world: &World, round: u32) -> PathBuf {
    let folder = world.path(&format!("state/spool/pending/{round:08}"));
    let mut found = below(&folder)
        .into_iter()
        .filter(|path| path.to_str().unwrap().ends_with(".ndjson.zst"));
    let batch = found.next().unwrap();
    assert_eq!(found.next(), None);
    batch
}

#[test]
fn a_full_disk_costs_nothing_but_time_for_what_goes_with_a_cursor() {
    if !needs::root_and(&[]) {
        return;
    }
    // Without any room, and with some: then it ends in the middle of a file.
    for (size, fill) in [("64k", true), ("64k", false), ("96k", false), ("1m", true)] {
        let namespace = Namespace::new(
            &[],
            "",
            &format!(
                "mkdir $1/full; mount -t tmpfs -o size={size} none $1/full; chmod 700 $1/full"
            ),
        );
        let full = namespace.path("full");
        let gate = Gate::open();
        let mut world = World::new();
        world.batch_node(&realistic(10_000));
        host(&mut world, 5000, 100);
        let state = [
            "--state-dir",
            full.to_str().unwrap(),
            "--host",
            "--mount",
            "/",
        ];
        let args = [&gate.to()[..], &ARRAYS, &state].concat();
        let run = |world: &World, more: &[&str]| {
            Run::of(namespace.inside(&world.command(&[&args[..], more].concat())))
        };
        run(&world, &[]).exits(0);
        if fill {
            namespace.sh("cat /dev/zero > $1/full/file || true");
        }
        host(&mut world, 5300, 400);
        let said = run(&world, &["-b", "-v"])
            .exits(1)
            .says("WARN the round cannot be stored in ")
            .says("No space left on device")
            .says("10003 accepted, 1 left to the next round");
        assert_eq!(said.lines_with("ERROR"), 0, "{size}: {}", said.stderr);
        let jobs: BTreeSet<String> = ids(&gate.documents()).into_iter().collect();
        assert_eq!(
            (jobs.len(), gate.documents().len()),
            (10_000, 10_007),
            "{size}"
        );
        assert_eq!(gate.networks().len(), 1, "{size}");
        let left =
            namespace.sh("ls -A $1/full/spool/pending $1/full/spool/damaged | grep . || true");
        assert!(!left.contains(".new"), "{size}: {left}");
        assert_eq!(
            left.lines().filter(|line| !line.ends_with(':')).count(),
            0,
            "{left}"
        );

        namespace.sh("rm -f $1/full/file; mount -o remount,size=16m $1/full");
        for (uptime, bytes) in [(5600, 1000), (5900, 1001)] {
            host(&mut world, uptime, bytes);
            let said = run(&world, &[]).exits(0);
            assert_eq!(said.lines_with("WARN"), 0, "{size}: {}", said.stderr);
        }
        let networks = gate.networks();
        assert_eq!(
            networks[1..],
            [
                json!({"interval": 600.0, "sent": 900, "received": 900}),
                json!({"interval": 300.0, "sent": 1, "received": 1})
            ],
            "{size}"
        );
    }
}

#[test]
fn a_disk_that_gets_full_while_documents_are_sent_costs_nothing() {
    if !needs::root_and(&[]) {
        return;
    }
    let namespace = Namespace::new(
        &[],
        "",
        "mkdir $1/full; mount -t tmpfs -o size=256k none $1/full; chmod 700 $1/full",
    );
    let full = namespace.path("full");
    let endpoint = Endpoint::start(Protocol::PlainHttp, |number, request| {
        match (number, request.json()["Id"] == "1.7") {
            (0, _) => Reply::After(Duration::from_secs(2)),
            (_, true) => Reply::Status(422, "never".to_owned()),
            _ => Reply::ok(),
        }
    });
    let to = ["-b", "-v", "-t", TOKEN, "-u", &endpoint.url];
    let args = [&to[..], &["--state-dir", full.to_str().unwrap()]].concat();
    let world = node(1, 20);
    let mut command = namespace.inside(&world.command(&args));
    let first = Started::of(command.stderr(Stdio::piped()));
    assert!(within(Duration::from_secs(20), || !endpoint
        .requests()
        .is_empty()));
    namespace.sh("cat /dev/zero > $1/full/file || true");
    first
        .ends()
        .exits(1)
        .says("No space left on device")
        .says("; 19 accepted, 20 wait");
    assert_jobs(&endpoint.documents(), &[1], 20);

    // The refused one could not be kept, so it waits, and all of its batch with it as far as the disk knows.
    namespace.sh("rm $1/full/file");
    let empty = World::new();
    let mut empty = empty;
    empty.batch_node("");
    let last = Run::of(namespace.inside(&empty.command(&args))).exits(1);
    let last = last.says(" 1 rejected");
    let rejected = namespace.sh("cat $1/full/spool/rejected/*; ls -A $1/full/spool/pending >&2");
    assert_eq!(rejected.lines().count(), 2, "{rejected}\n{}", last.stderr);
    assert!(rejected.contains("\"Id\":\"1.7\""), "{rejected}");
    let pending = namespace.sh("ls -A $1/full/spool/pending");
    assert_eq!(pending, "");
    let documents = endpoint.documents();
    let all: BTreeSet<String> = ids(&documents).into_iter().collect();
    assert_eq!(all.len(), 20);
}

#[test]
fn from_a_read_only_folder_nothing_is_sent_twice_and_all_leaves_from_memory() {
    if !needs::root_and(&[]) {
        return;
    }
    let namespace = Namespace::new(
        &[],
        "",
        "mkdir $1/state; mount -t tmpfs -o size=1m none $1/state; chmod 700 $1/state",
    );
    let state = namespace.path("state");
    let gate = Gate::open();
    let mut world = node(1, 3);
    let round = |world: &World, status: i32, named: bool| {
        let args = [&gate.to()[..], &ARRAYS, &["-b", "-v"]].concat();
        let mut command = match named {
            true => {
                let state = ["--state-dir", state.to_str().unwrap()];
                world.command_without_state_dir(&[&args[..], &state].concat())
            }
            false => world.command_without_state_dir(&args),
        };
        command.env("STATE_DIRECTORY", &state);
        Run::of(namespace.inside(&command)).exits(status)
    };
    // No other folder is to be had.
    for other in ["root/var/lib/afmetrics", "home/.local"] {
        let other = world.path(other);
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        symlink("/proc/self/nowhere", other).unwrap();
    }
    gate.answers(403);
    round(&world, 1, true);
    gate.answers(200);
    namespace.sh("mount -o remount,ro $1/state");
    for (cluster, named) in [(2, false), (3, true)] {
        world.batch_node(&queue(cluster, 3));
        let level = if named { "ERROR" } else { "WARN" };
        round(&world, i32::from(named), named)
            .says(&format!("{level} no state folder can be written"))
            .says("Read-only file system")
            .says("; 3 accepted");
    }
    assert_jobs(&gate.documents(), &[2, 3], 3);
    namespace.sh("mount -o remount,rw $1/state");
    world.batch_node("");
    round(&world, 0, false).says("; 3 accepted (3 of earlier rounds)");
    assert_jobs(&gate.documents(), &[1, 2, 3], 3);
}

#[test]
fn a_spool_of_another_user_is_left_alone_and_documents_leave_from_memory() {
    let mut world = node(1, 3);
    host(&mut world, 5000, 100);
    if !nix::unistd::geteuid().is_root() {
        needs::left_out("it needs root, to be somebody else");
        return;
    }
    let gate = Gate::open();
    let state = world.path("state");
    let args = [
        &gate.to()[..],
        &ARRAYS,
        &["-v", "--state-dir", state.to_str().unwrap()],
    ];
    let args = args.concat();
    let round = |world: &World, more: &[&str]| {
        as_somebody_else(world, &[&args[..], more].concat()).unwrap()
    };
    // Root has run it by hand, once.
    gate.answers(403);
    world.run(&[&args[..], &["-b"]].concat()).exits(1);
    gate.answers(200);
    for name in ["", "root", "cwd", "home", "bin", "state"] {
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    world.batch_node(&queue(2, 3));
    fs::set_permissions(world.path("queue.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let host = ["--host", "--mount", "/"];
    let said = round(&world, &[&host[..], &["-b"]].concat())
        .exits(1)
        .says("ERROR no state folder can be written")
        .says("Permission denied")
        .says("; 7 accepted\n");
    assert_eq!(said.lines_with("ERROR"), 1, "{}", said.stderr);
    assert_jobs(&gate.documents(), &[2], 3);

    let nobody = nix::unistd::Uid::from_raw(65534);
    for path in below(&state) {
        nix::unistd::chown(&path, Some(nobody), None).unwrap();
    }
    world.batch_node("");
    round(&world, &["-b"])
        .exits(0)
        .says("; 3 accepted (3 of earlier rounds)");
    assert_jobs(&gate.documents(), &[1, 2], 3);
}

#[test]
fn where_the_spool_is_no_folder_documents_leave_from_memory() {
    for place in ["spool", "spool/pending", "cursors"] {
        let mut world = node(1, 3);
        host(&mut world, 5000, 100);
        let path = world.path("state").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "a file").unwrap();
        let gate = Gate::open();
        let args = [&gate.to()[..], &["-b", "-v", "--host", "--mount", "/"]].concat();
        world
            .run(&args)
            .exits(1)
            .says("ERROR no state folder can be written")
            .says("; 7 accepted\n");
        assert_eq!(gate.networks().len(), 1, "{place}");
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        fs::remove_file(&path).unwrap();
        world.run(&args).exits(0);
        assert_eq!(gate.networks().len(), 2, "{place}");
    }
}

#[test]
fn a_state_folder_that_was_removed_is_made_again() {
    let mut world = node(1, 3);
    let gate = Gate::open();
    let state = world.path("state");
    stored(&mut world, &gate, 1, 3);
    for cluster in [2, 3] {
        fs::remove_dir_all(&state).unwrap();
        world.batch_node(&queue(cluster, 3));
        world.run(&[&gate.to()[..], &["-b"]].concat()).exits(0);
    }
    assert_jobs(&gate.documents(), &[2, 3], 3);
    assert_eq!(world.names("state/spool/pending"), NOTHING);
}

/// The program in a world whose clock shows another time.
fn at_another_time(command: &Command, offset: &str) -> Command {
    let mut faked = plain(&needs::path_of("faketime").unwrap());
    faked
        .args(["-f", offset])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::null());
    faked
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_changes_no_order() {
    if needs::path_of("faketime").is_none() {
        needs::left_out("it needs faketime, which is not there");
        return;
    }
    let gate = Gate::open();
    let mut world = World::new();
    let args = [
        &gate.to()[..],
        &ARRAYS,
        &["-b", "--host", "--mount", "/", "--max-connections", "1"],
    ];
    let args = args.concat();
    gate.answers(403);
    // The uptime knows nothing of it.
    let offsets = ["+0", "-3d", "+5d", "-400d", "-1h", "+0"];
    for (number, offset) in (1..).zip(offsets) {
        host(&mut world, 5000 + 300 * number, u64::from(number) * 1000);
        world.batch_node(&queue(number, 3));
        if number == 6 {
            gate.answers(200);
        }
        let status = i32::from(number != 6);
        let command = at_another_time(&world.command(&args), offset);
        let run = Run::of(command).exits(status);
        assert_eq!(run.lines_with("dropped"), 0, "{}", run.stderr);
        if number != 6 {
            let names = world.names("state/spool/pending");
            let expected: Vec<_> = (1..=number).map(|n| format!("{n:08}")).collect();
            assert_eq!(names, expected);
        }
    }
    let documents = gate.documents();
    assert_jobs(&documents, &[1, 2, 3, 4, 5, 6], 3);
    let order: Vec<String> = ids(&documents)
        .iter()
        .map(|id| id.split('.').next().unwrap().to_owned())
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    let networks = gate.networks();
    assert_eq!(networks.len(), 6);
    for network in &networks[1..] {
        assert_eq!(
            *network,
            json!({"interval": 300.0, "sent": 1000, "received": 1000})
        );
    }
    let time = |cluster: u32| {
        let id = format!("{cluster}.0");
        let document = documents.iter().find(|d| d["Id"] == id.as_str()).unwrap();
        document
            .get("timestamp")
            .map(|time| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
    };
    let days = |a: u32, b: u32| {
        let seconds = time(b).unwrap().as_second() - time(a).unwrap().as_second();
        (seconds + 43_200).div_euclid(86_400)
    };
    assert_eq!((days(1, 2), days(1, 3), days(1, 4)), (-3, 5, -400));
    assert_eq!(time(6), None);
    assert_eq!(world.names("state/spool/pending"), NOTHING);
}

#[test]
fn rounds_at_once_deliver_every_document_once() {
    let gate = Gate::slow(Duration::from_millis(300));
    let mut world = World::new();
    // Each round has jobs of its own, by its process's number.
    let queue = world.path("queue.json");
    world.batch_node(&queue_of_placeholders());
    world.program(
        "condor_q",
        &format!("exec /usr/bin/sed s/424242/$PPID/ {}", queue.display()),
    );
    let args = [&gate.to()[..], &["-b", "-v", "--max-connections", "4"]].concat();
    let start = || Started::of(world.command(&args).stderr(Stdio::piped()));
    // The number of the last one that was stored.
    let last = || -> u64 {
        // Empty for the moment in which it is written anew: that is no other round.
        let text = fs::read_to_string(world.path("state/spool/storing.lock")).unwrap_or_default();
        text.trim_end().parse().unwrap_or(0)
    };
    let mut rounds = Vec::new();
    let mut seen = 0;
    for _ in 0..4 {
        // Two at a time, until one is stored: not all in the first collector's lock. On a busy machine
        // both may meet the lock of one that is still storing; then they bring nothing, and others are to.
        let stored = (0..10).any(|_| {
            rounds.extend([start(), start()]);
            within(Duration::from_secs(10), || last() > seen)
        });
        assert!(stored);
        seen = last().max(seen + 1);
    }
    let mut collected = 0;
    for round in rounds {
        let Run { status, stderr, .. } = round.ends();
        let said = stderr;
        let count = said.split("collected ").nth(1).unwrap();
        let count: usize = count.split(' ').next().unwrap().parse().unwrap();
        collected += count;
        match status {
            0 => {}
            1 => assert!(
                said.contains("WARN another round is delivering just now")
                    || said.contains("WARN left to another round"),
                "{said}"
            ),
            _ => panic!("{said}"),
        }
    }
    assert!(collected >= 20, "{collected}");
    // All that was stored was delivered by those that were there.
    assert_eq!(world.names("state/spool/pending"), NOTHING);
    let documents = gate.documents();
    let found: BTreeSet<String> = ids(&documents).into_iter().collect();
    assert_eq!((documents.len(), found.len()), (collected, collected));
    let locks = ["spool/storing.lock", "spool/delivering.lock"];
    let locks = locks.map(|lock| world.path("state").join(lock));
    for lock in locks.into_iter().chain(below(&world.path("state/locks"))) {
        let file = File::options().write(true).open(&lock).unwrap();
        assert!(file.try_lock().is_ok(), "{}", lock.display());
    }
}

fn queue_of_placeholders() -> String {
    queue(424_242, 5)
}

#[test]
fn what_is_stored_while_the_last_answer_is_awaited_is_delivered_too() {
    let (gate, lets_go) = Gate::held();
    let mut world = node(1, 1);
    let args = [&gate.to()[..], &["-b", "-v"]].concat();
    let first = Started::of(world.command(&args).stderr(Stdio::piped()));
    assert!(within(Duration::from_secs(20), || !gate
        .documents()
        .is_empty()));
    // The first has looked for more by now, and found nothing.
    thread::sleep(Duration::from_millis(500));
    world.batch_node(&queue(2, 1));
    world
        .run(&args)
        .exits(1)
        .says("WARN another round is delivering just now")
        .says("; 0 accepted, 1 waits in the spool");
    lets_go.send(true).unwrap();
    first
        .ends()
        .exits(0)
        .says("2 accepted (1 of earlier rounds)");
    assert_jobs(&gate.documents(), &[1, 2], 1);
    assert_eq!(world.names("state/spool/pending"), NOTHING);
}

/// A round that gives up storing must not store after all: its documents left from memory.
#[test]
fn a_round_that_cannot_wait_to_be_stored_is_not_stored_later() {
    let gate = Gate::slow(Duration::from_secs(4));
    let mut world = node(1, 1);
    fs::create_dir(world.path("state/spool")).unwrap();
    let lock = File::create(world.path("state/spool/storing.lock")).unwrap();
    lock.lock().unwrap();
    let args = [&gate.to()[..], &["-b", "-v", "--silence", "2"]].concat();
    let round = Started::of(world.command(&args).stderr(Stdio::piped()));
    assert!(within(Duration::from_secs(20), || !gate
        .documents()
        .is_empty()));
    lock.unlock().unwrap();
    round.ends().exits(0).says("no answer within 2 s");
    delivered(&mut world, &gate, 0);
    assert_jobs(&gate.documents(), &[1], 1);
}

#[test]
fn documents_are_kept_until_the_way_to_the_endpoint_is_mended() {
    let authority = Authority::new();
    // Nowhere is there such a name.
    let name = "collector.invalid";
    let start = |identity| {
        Endpoint::of(&authority, identity, Protocol::Http1, None, |_, _| {
            Reply::ok()
        })
    };
    let good = start(authority.sign(&[name]));
    let bad = [
        ("expired", start(authority.sign_expired(&[name]))),
        (
            "not valid for name",
            start(authority.sign(&["other.invalid"])),
        ),
        ("UnknownIssuer", start(self_signed(name))),
    ];
    let ca = good.ca.path().to_str().unwrap();
    let url = format!("https://{name}/in");
    let args = ["-b", "-v", "-t", TOKEN, "-u", &url, "--ca-file", ca];
    let args = [&args[..], &ARRAYS, &["--deliver-for", "2"]].concat();
    let mut world = World::new();
    let mut round = |cluster: u32, proxy: Option<&Proxy>| {
        world.batch_node(&queue(cluster, 3));
        // Without one there is no such name.
        let proxy = proxy.map_or(String::new(), |proxy| format!("http://{}", proxy.address));
        world.env("https_proxy", proxy);
        world.run(&args)
    };
    let mut cluster = 0;
    let mut clusters = Vec::new();
    let mut failed = |proxy: Option<&Proxy>, says: &str| {
        cluster += 1;
        clusters.push(cluster);
        let run = round(cluster, proxy).exits(1).says(says);
        assert_eq!(run.lines_with(" lost"), 0, "{}", run.stderr);
        let waits = format!("; 0 accepted, {} wait in the spool since ", 3 * cluster);
        run.says(&waits);
    };
    for (says, endpoint) in &bad {
        failed(Some(&Proxy::to(endpoint.address())), says);
        assert_eq!(endpoint.requests().len(), 0);
    }
    failed(None, "dns error");
    failed(Some(&Proxy::refusing()), "tunnel");
    let closed = Endpoint::ok(Protocol::PlainHttp);
    let proxy = Proxy::to(closed.address());
    drop(closed);
    failed(Some(&proxy), "no answer");
    let run = round(7, Some(&Proxy::to(good.address()))).exits(0);
    run.says("; 21 accepted (18 of earlier rounds)");
    clusters.push(7);
    let documents = good.documents();
    assert_jobs(&documents, &clusters, 3);
    assert!(
        documents
            .iter()
            .all(|d| d.get("timestamp").is_some() != d["Id"].as_str().unwrap().starts_with('7'))
    );
    assert_eq!(world.names("state/spool/pending"), NOTHING);
}

/// A certificate that nobody else vouches for.
fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    Identity {
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

/// A file of zstd with a checksum, as batches are made of.
fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What can become of a batch's file.
fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut damages = vec![
        ("emptied".to_owned(), Vec::new()),
        ("replaced by garbage".to_owned(), b"garbage\0".repeat(99)),
        (
            "followed by garbage".to_owned(),
            [whole, b"garbage"].concat(),
        ),
    ];
    let length = whole.len();
    for cut in [1, 5, length / 4, length / 2, length - 1] {
        damages.push((format!("cut at {cut}"), whole[..cut].to_vec()));
    }
    for flip in [0, 20, length / 2, length - 2] {
        let mut flipped = whole.to_vec();
        flipped[flip] ^= 4;
        damages.push((format!("flipped at {flip}"), flipped));
    }
    let text = String::from_utf8(zstd::decode_all(whole).unwrap()).unwrap();
    let (header, documents) = text.split_once('\n').unwrap();
    let header: Value = serde_json::from_str(header).unwrap();
    for (field, value) in [
        ("afmetrics_batch", json!(2)),
        ("documents", json!(2)),
        ("documents", json!(4)),
        ("documents", json!(0)),
        ("documents", json!(u64::MAX)),
        ("documents", json!(1_u64 << 40)),
        ("documents", json!(-1)),
        ("id", json!("canary")),
    ] {
        let mut header = header.clone();
        header[field] = value.clone();
        let content = [
            packed(format!("{header}\n").as_bytes()),
            packed(documents.as_bytes()),
        ];
        damages.push((format!("{field} is {value}"), content.concat()));
    }
    damages.push((
        "header only".to_owned(),
        packed(format!("{header}\n").as_bytes()),
    ));
    damages
}

#[test]
fn a_damaged_batch_is_set_aside_and_later_ones_are_delivered() {
    let mut world = World::new();
    let gate = Gate::open();
    stored(&mut world, &gate, 1, 3);
    for (damage, content) in damages(&fs::read(batch(&world, 1)).unwrap()) {
        let mut world = World::new();
        gate.accepted.lock().unwrap().clear();
        stored(&mut world, &gate, 1, 3);
        stored(&mut world, &gate, 2, 3);
        let path = batch(&world, 1);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::write(&path, &content).unwrap();
        let run = delivered(&mut world, &gate, 1);
        assert_eq!(run.lines_with("ERROR"), 1, "{damage}: {}", run.stderr);
        assert_eq!(
            run.lines_with("ERROR batch 1 of the spool is damaged ("),
            1,
            "{damage}: {}",
            run.stderr
        );
        let whole = name.strip_suffix(".ndjson.zst").unwrap();
        // And what was delivered of it, if that was anything.
        let mut names = world.names("state/spool/damaged");
        names.retain(|name| !name.ends_with(".done"));
        assert_eq!(
            names,
            [
                format!("00000001-{name}"),
                format!("00000001-{whole}.reason.txt")
            ],
            "{damage}"
        );
        let damaged = world.path("state/spool/damaged");
        let kept = fs::read(damaged.join(format!("00000001-{name}"))).unwrap();
        assert!(kept == content, "{damage}");
        let reason = fs::read_to_string(damaged.join(format!("00000001-{whole}.reason.txt")));
        assert!(reason.unwrap().trim().len() > 10, "{damage}");
        let documents = gate.documents();
        let (first, second): (Vec<Value>, Vec<Value>) = documents
            .into_iter()
            .partition(|d| d["Id"].as_str().unwrap().starts_with("1."));
        assert_jobs(&second, &[2], 3);
        assert!(matches!(first.len(), 0 | 3), "{damage}: {first:?}");
        assert_eq!(world.names("state/spool/pending"), NOTHING, "{damage}");
        // And that was that.
        let run = delivered(&mut world, &gate, 0);
        assert_eq!(run.lines_with("damaged"), 0, "{damage}: {}", run.stderr);
    }
}

#[test]
fn what_was_set_aside_stays() {
    let mut world = World::new();
    let gate = Gate::open();
    for count in 1..=3 {
        stored(&mut world, &gate, 1, 3);
        let round = world.names("state/spool/pending").pop().unwrap();
        fs::write(
            batch(&world, round.parse().unwrap()),
            format!("garbage {count}"),
        )
        .unwrap();
        delivered(&mut world, &gate, 1);
        assert_eq!(world.names("state/spool/damaged").len(), 2 * count);
        // As a power cut can leave it: numbers come again.
        fs::remove_dir_all(world.path("state/cursors")).unwrap();
        fs::remove_file(world.path("state/spool/storing.lock")).unwrap();
    }
}

#[test]
fn what_is_left_of_a_damaged_batch_waits_while_the_endpoint_is_away() {
    let mut world = World::new();
    let gate = Gate::open();
    stored(&mut world, &gate, 1, 6000);
    let path = batch(&world, 1);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    gate.answers(403);
    let run = delivered(&mut world, &gate, 1);
    assert_eq!(gate.documents(), NOTHING, "{}", run.stderr);
    gate.answers(200);
    delivered(&mut world, &gate, 1).says("set aside in spool/damaged");
    let count = gate.documents().len();
    assert!((1000..6000).contains(&count), "{count}");
    assert_eq!(world.names("state/spool/pending"), NOTHING);
    assert_eq!(
        world.names("state/spool/damaged").len(),
        2 + 1,
        "with .done"
    );
}

#[test]
fn what_is_beside_a_batch_can_be_anything() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("no .done", |batch| {
            drop(fs::remove_file(beside(batch, "done")))
        }),
        (".done is emptied", |batch| {
            fs::write(beside(batch, "done"), "").unwrap();
        }),
        (".done is too long", |batch| {
            fs::write(beside(batch, "done"), [0xff; 100]).unwrap();
        }),
        (".done has bits beyond", |batch| {
            fs::write(beside(batch, "done"), [0xff]).unwrap();
        }),
        (".done is a folder", |batch| {
            fs::remove_file(beside(batch, "done")).unwrap();
            fs::create_dir_all(beside(batch, "done").join("with/something")).unwrap();
        }),
        (".tried.json is garbage", |batch| {
            fs::write(beside(batch, "tried.json"), b"\xff{").unwrap();
        }),
        (".tried.json is a folder", |batch| {
            let _ = fs::remove_file(beside(batch, "tried.json"));
            fs::create_dir_all(beside(batch, "tried.json").join("with/something")).unwrap();
        }),
        ("something else", |batch| {
            fs::write(batch.with_file_name("canary"), "canary").unwrap();
        }),
    ];
    for (what, change) in changes {
        // Of five one is accepted, and the last answer is one to wait for.
        let number = Arc::new(Mutex::new(0));
        let count = Arc::clone(&number);
        let first = Endpoint::start(Protocol::PlainHttp, move |_, _| {
            let mut number = count.lock().unwrap();
            *number += 1;
            match *number {
                1 => Reply::ok(),
                2..=5 => Reply::Status(403, "closed".to_owned()),
                _ => Reply::ok(),
            }
        });
        let mut world = node(1, 5);
        let args = ["-b", "-v", "-t", TOKEN, "-u", &first.url];
        world.run(&args).exits(1).says("; 1 accepted, 4 wait");
        let path = batch(&world, 1);
        assert!(beside(&path, "done").is_file());
        change(&path);
        let before = first.requests().len();
        world.batch_node("");
        let run = world.run(&args).exits(0);
        assert_eq!(run.lines_with("ERROR"), 0, "{what}: {}", run.stderr);
        let sent = first.requests().len() - before;
        assert!(matches!(sent, 4 | 5), "{what}: {sent}");
        let keys: BTreeSet<_> = first.requests().iter().map(|r| key(r).1.start).collect();
        assert_eq!(keys.len(), 5, "{what}");
        let names: BTreeSet<_> = first.requests().iter().map(|r| key(r).0).collect();
        assert_eq!(names.len(), 1, "{what}: the same batch for the endpoint");
        assert_eq!(world.names("state/spool/pending"), NOTHING, "{what}");
    }
}

fn beside(batch: &Path, extension: &str) -> PathBuf {
    let name = batch.file_name().unwrap().to_str().unwrap();
    let name = name.strip_suffix("ndjson.zst").unwrap();
    batch.with_file_name(format!("{name}{extension}"))
}

#[test]
fn what_a_crash_left_is_removed() {
    let mut world = World::new();
    let gate = Gate::open();
    stored(&mut world, &gate, 1, 3);
    let pending = world.path("state/spool/pending");
    for name in [".new-0198c3f0", ".old-00000001", ".old-00000007"] {
        fs::create_dir(pending.join(name)).unwrap();
        fs::write(pending.join(name).join("half.ndjson.zst"), "half").unwrap();
    }
    world.batch_node(&queue(2, 3));
    let args = [&gate.to()[..], &["-b", "-v"]].concat();
    let run = world.run(&args).exits(0);
    assert_eq!(run.lines_with("ERROR"), 0, "{}", run.stderr);
    assert_eq!(world.names("state/spool/pending"), NOTHING);
    assert_jobs(&gate.documents(), &[1, 2], 3);
}

#[test]
fn junk_in_the_spool_is_left_alone_and_in_nobodys_way() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut world = World::new();
    let gate = Gate::open();
    let pending = world.path("state/spool/pending");
    fs::create_dir_all(&pending).unwrap();
    fs::create_dir(world.path("state/spool/damaged")).unwrap();
    fs::create_dir(world.path("state/spool/rejected")).unwrap();
    let mut junk = Vec::new();
    for file in [
        "note.txt", "7", "+8", "00000001", "00000003", "99999999", ".hidden",
    ] {
        junk.push(pending.join(file));
        fs::write(pending.join(file), "canary").unwrap();
    }
    for folder in [
        "5",
        "+6",
        "1e3",
        "000000012",
        "18446744073709551615",
        "99999999999999999999",
    ] {
        junk.push(pending.join(folder).join("canary"));
        fs::create_dir(pending.join(folder)).unwrap();
        fs::write(pending.join(folder).join("canary"), "canary").unwrap();
    }
    symlink("/proc/self/nowhere", pending.join("00000002")).unwrap();
    let odd = pending.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    fs::write(&odd, "canary").unwrap();
    junk.push(odd);
    for folder in ["damaged/folder", "rejected/folder"] {
        let folder = world.path("state/spool").join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("canary"), "canary").unwrap();
        junk.push(folder.join("canary"));
    }
    let begin = below(&pending).len();
    for cluster in [1, 2] {
        stored(&mut world, &gate, cluster, 3);
    }
    let run = delivered(&mut world, &gate, 0).says("; 6 accepted");
    assert_eq!(run.lines_with("WARN"), 0, "{}", run.stderr);
    assert_eq!(run.lines_with("ERROR"), 0, "{}", run.stderr);
    assert_jobs(&gate.documents(), &[1, 2], 3);
    for path in junk {
        assert_eq!(fs::read(&path).unwrap(), b"canary", "{}", path.display());
    }
    assert_eq!(below(&pending).len(), begin);
}

/// Makes a round take so much room on the disk.
fn pad(world: &World, round: u32, kib: usize) {
    let path = batch(world, round).with_file_name("padding");
    fs::write(path, vec![b'x'; kib << 10]).unwrap();
}

#[test]
fn what_is_too_much_for_the_spool_is_dropped_oldest_first_and_counted() {
    let mut world = World::new();
    let gate = Gate::open();
    for round in 1..=3 {
        stored(&mut world, &gate, round, 3);
        pad(&world, round, 450);
    }
    gate.answers(403);
    world.batch_node(&queue(4, 3));
    let args = [
        &gate.to()[..],
        &ARRAYS,
        &["-b", "-v", "--spool-max-size", "1"],
    ];
    let run = world.run(&args.concat()).exits(1);
    let run = run
        .says("ERROR dropped 3 documents of ")
        .says("(condorjob 3), not delivered: the spool was larger than 1 MiB (--spool-max-size)")
        .says("; 0 accepted, 9 wait in the spool since ");
    assert_eq!(run.lines_with("dropped"), 1, "{}", run.stderr);
    assert_eq!(
        world.names("state/spool/pending"),
        ["00000002", "00000003", "00000004"]
    );
    gate.answers(200);
    delivered(&mut world, &gate, 0);
    assert_jobs(&gate.documents(), &[2, 3, 4], 3);
}

#[test]
fn the_clock_decides_nothing_about_which_round_is_the_oldest() {
    let mut world = World::new();
    let gate = Gate::open();
    for round in 1..=3 {
        stored(&mut world, &gate, round, 3);
        pad(&world, round, 450);
        // It was set back each time.
        written(
            &batch(&world, round),
            Duration::from_secs(u64::from(round) * 3600),
        );
    }
    gate.answers(403);
    world.batch_node("");
    let args = [&gate.to()[..], &ARRAYS, &["-b", "--spool-max-size", "1"]];
    world.run(&args.concat()).exits(1).says("ERROR dropped 3");
    assert_eq!(world.names("state/spool/pending"), ["00000002", "00000003"]);
}

/// Makes a file look as if it was written so long ago.
fn written(path: &Path, ago: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test makes a file older than it is"
    )]
    let then = SystemTime::now() - ago;
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

#[test]
fn what_is_too_old_is_dropped_and_its_cursor_is_not() {
    let mut world = World::new();
    let gate = Gate::open();
    host(&mut world, 5000, 100);
    gate.answers(403);
    let to = [&gate.to()[..], &ARRAYS, &["-v", "--spool-max-age", "1"]].concat();
    let with_host = [&to[..], &["--host", "--mount", "/"]].concat();
    world.run(&with_host).exits(1);
    // What else there is: refused and damaged ones.
    let spool = world.path("state/spool");
    for (folder, name) in [
        ("rejected", "0198c3f0-0000-7000-8000-000000000000.ndjson"),
        ("damaged", "00000001-canary.ndjson.zst"),
    ] {
        let path = spool.join(folder).join(name);
        fs::write(&path, "canary").unwrap();
        written(&path, Duration::from_secs(2 * 86_400));
    }
    written(&batch(&world, 1), Duration::from_secs(2 * 86_400));
    world.batch_node(&queue(2, 3));
    let run = world.run(&[&to[..], &["-b"]].concat()).exits(1);
    let run = run
        .says("ERROR dropped 4 documents of ")
        .says(
            "(CPU 1, DISK 1, MEM 1, NETWORK 1), not delivered: older than 1 day (--spool-max-age)",
        )
        .says("; 0 accepted, 3 wait in the spool since ");
    assert_eq!(run.lines_with("ERROR dropped"), 3, "{}", run.stderr);
    assert_eq!(world.names("state/spool/pending"), ["00000002"]);
    assert_eq!(world.names("state/spool/damaged"), NOTHING);
    assert_eq!(world.names("state/cursors"), ["network@UC-AF.json"]);
    gate.answers(200);
    host(&mut world, 5600, 700);
    world.run(&with_host).exits(0);
    assert_eq!(
        gate.networks(),
        [json!({"interval": 600.0, "sent": 600, "received": 600})]
    );
    assert_jobs(&gate.documents(), &[2], 3);
}

/// Three days of a round every five minutes.
const ROUNDS: u64 = 3 * 24 * 12;

#[test]
fn three_days_of_ten_thousand_jobs_fit() {
    let mut world = World::new();
    world.batch_node(&realistic(10_000));
    let gate = Gate::open();
    gate.answers(403);
    let args = [&gate.to()[..], &ARRAYS, &["-b", "--deliver-for", "1"]].concat();
    world.run(&args).exits(1).says("10000 documents wait");
    let pending = world.path("state/spool/pending");
    let blocks: u64 = below(&pending)
        .iter()
        .map(|path| fs::symlink_metadata(path).unwrap().blocks())
        .sum();
    let (takes, may_take) = (blocks * 512, (256 << 20) / ROUNDS);
    println!("{takes} bytes, {may_take} are allowed");
    assert!(takes <= may_take, "{takes} bytes, {may_take} are allowed");
}

/// A queue of so many jobs of different users, ids, states and times.
fn realistic(count: usize) -> String {
    let random = || fastrand::f64() * fastrand::f64();
    let mut cluster = 4_000_000_u64;
    let jobs: Vec<String> = (0..count)
        .map(|_| {
            cluster += fastrand::u64(1..9);
            let owner = fastrand::u32(0..300) * fastrand::u32(0..100) / 100;
            let state = [1, 2, 2, 2, 5][fastrand::usize(0..5)];
            format!(
                "{{\n  \"ClusterId\": {cluster},\n  \"JobStatus\": {state},\n  \"Owner\": \"canary-{owner}\",\n  \"ProcId\": {},\n  \"RemoteWallClockTime\": {:.1}\n}}\n",
                fastrand::u32(0..20),
                (random() * 300_000.0).floor(),
            )
        })
        .collect();
    format!("[\n{}]\n", jobs.join(",\n"))
}

/// A world with something of everything below its state folder.
fn everything(umask: &str) -> World {
    let mut world = node(1, 5);
    host(&mut world, 5000, 100);
    fs::write(world.path("token"), TOKEN).unwrap();
    fs::write(world.path("salt"), "s4lt-of-the-tests").unwrap();
    let (token, salt) = (world.path("token"), world.path("salt"));
    for file in [&token, &salt] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let state = world.path("made/state");
    let umasked = |world: &World, url: &str| {
        let args = [
            "-b",
            "-o",
            "--host",
            "--mount",
            "/",
            "--deliver-for",
            "1",
            "-u",
            url,
        ];
        let files = [
            "--token-file",
            token.to_str().unwrap(),
            "--salt-file",
            salt.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
        ];
        let command = world.command_without_state_dir(&[&args[..], &files].concat());
        let mut shell = plain("/bin/sh");
        shell
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(world.path("cwd"));
        Run::of(shell)
    };
    // Accepted, refused and left.
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, request| {
        let document = request.json();
        // It says what it got, token and all.
        let said = String::from_utf8_lossy(&request.body).into_owned();
        match document["kind"].as_str() {
            Some("CPU") => Reply::ok(),
            Some("MEM") => Reply::Status(422, said),
            _ => Reply::Status(403, said),
        }
    });
    let url = endpoint.url.replace("://", "://canary-9:passw0rd@");
    umasked(&world, &url).exits(1);
    umasked(&world, &url).exits(1);
    let pending = state.join("spool/pending");
    let round = below(&pending)
        .into_iter()
        .find(|path| path.to_str().unwrap().ends_with(".zst"))
        .unwrap();
    let whole = fs::read(&round).unwrap();
    fs::write(&round, &whole[..whole.len() - 3]).unwrap();
    umasked(&world, &url).exits(1).says("is damaged");
    world
}

#[test]
fn what_is_below_the_state_folder_is_its_users_alone() {
    for umask in ["0", "077"] {
        let world = everything(umask);
        let state = world.path("made/state");
        let mut kinds = BTreeSet::new();
        for path in below(&state).iter().chain([&state]) {
            let about = fs::symlink_metadata(path).unwrap();
            let expected = if about.is_dir() { 0o700 } else { 0o600 };
            let mode = about.permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{}: {mode:o}", path.display());
            let name = path.file_name().unwrap().to_str().unwrap();
            kinds.insert(name.rsplit('.').next().unwrap().to_owned());
        }
        for kind in ["zst", "done", "json", "ndjson", "txt", "lock"] {
            assert!(kinds.contains(kind), "{kind}: {kinds:?}");
        }
    }
}

#[test]
fn no_secret_is_below_the_state_folder() {
    let world = everything("022");
    let mut whole = 0;
    for path in below(&world.path("made/state")) {
        assert!(!path.to_str().unwrap().contains("passw0rd"));
        if !path.is_file() {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        if let Ok(text) = zstd::decode_all(&bytes[..]) {
            bytes.extend(text);
            whole += 1;
        }
        let text = String::from_utf8_lossy(&bytes);
        for secret in [TOKEN, "s4lt-of-the-tests", "passw0rd", "canary-1\""] {
            assert!(!text.contains(secret), "{secret} is in {}", path.display());
        }
    }
    assert!(whole > 0);
}

#[test]
fn zstdcat_and_jq_read_a_batch() {
    let mut world = World::new();
    let gate = Gate::open();
    stored(&mut world, &gate, 1, 3);
    for program in ["zstdcat", "jq"] {
        if needs::path_of(program).is_none() {
            needs::left_out(&format!("it needs {program}, which is not there"));
            return;
        }
    }
    let mut shell = plain("/bin/sh");
    shell
        .args(["-ec", "zstdcat \"$0\" | jq -r '.kind // .cluster'"])
        .arg(batch(&world, 1));
    let run = Run::of(shell).exits(0);
    assert_eq!(run.stdout, "UC-AF\ncondorjob\ncondorjob\ncondorjob\n");
}

#[test]
fn sigterm_in_the_middle_of_delivery_loses_nothing() {
    let gate = Gate::open();
    // However fast or slow the machine is: it is not done when the signal comes.
    gate.answers_only(60);
    let mut world = node(1, 200);
    let args = [&gate.to()[..], &["-b", "-v"]].concat();
    let round = Started::of(world.command(&args).stderr(Stdio::piped()));
    assert!(within(Duration::from_secs(20), || gate.documents().len() == 60));
    let pid = Pid::from_raw(i32::try_from(round.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    round.ends().exits(1).says("ended by SIGTERM");
    gate.answers_only(usize::MAX);
    delivered(&mut world, &gate, 0).says("of earlier rounds)");
    assert_jobs(&gate.each_once(), &[1], 200);
    let twice = gate.documents().len() - 200;
    assert!(twice <= 16, "{twice} came twice");
    assert_eq!(world.names("state/spool/pending"), NOTHING);
    assert!(names(&world.path("state/spool/damaged")).is_empty());
}
