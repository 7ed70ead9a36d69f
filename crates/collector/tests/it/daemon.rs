//! `afmetrics_collector run`: rounds, signals, what systemd is told, and what the listener shows.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, Started, TOKEN, World};

/// A node whose daemon does a round every five seconds, as this file says.
struct Node {
    world: World,
    config: PathBuf,
    endpoint: Endpoint,
    port: u16,
}

impl Node {
    fn new(endpoint: Endpoint) -> Self {
        let mut world = World::new();
        world.healthy_host();
        let config = world.path("collector.toml");
        let mut node = Self {
            world,
            config,
            endpoint,
            port: free_port(),
        };
        node.configure("CANARY-AF", "");
        node
    }

    fn configure(&mut self, facility: &str, more: &str) {
        self.configure_with(facility, more, "info");
    }

    fn configure_with(&mut self, facility: &str, more: &str, level: &str) {
        let folder = self.world.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        fs::write(self.world.path("token"), TOKEN).unwrap();
        let file = format!(
            "facility = \"{facility}\"\nlogin_node = \"login01.canary.example\"\n{more}\n\
             [daemon]\ninterval_secs = 5\nlisten = \"127.0.0.1:{}\"\n\
             [host]\nenabled = true\nroot = \"{folder}/root\"\nmounts = [\"/\"]\n\
             [delivery]\nurl = \"{}\"\nca_file = \"{}\"\ntoken_file = \"{folder}/token\"\n\
             [spool]\nstate_dir = \"{folder}/state\"\n\
             [log]\nlevel = \"{level}\"\n",
            self.port,
            self.endpoint.url,
            self.endpoint.ca.path().display(),
        );
        fs::write(&self.config, file).unwrap();
    }

    fn start(&self) -> Daemon {
        let config = self.config.to_str().unwrap();
        let mut command = self.world.bare_command(&["run", "--config", config]);
        let log = self.world.path("log");
        command
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Daemon {
            started: Started::of(&mut command),
            log,
        }
    }

    /// Waits until so many requests have come.
    fn waits_for(&self, requests: usize) {
        eventually("requests", || self.endpoint.requests().len() >= requests);
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

struct Daemon {
    started: Started,
    log: PathBuf,
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.started.id().try_into().unwrap()), signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    fn says(&self, text: &str) {
        eventually(text, || self.log().contains(text));
    }

    #[track_caller]
    fn ends(&mut self, status: i32) {
        let mut ended = None;
        eventually("its end", || {
            ended = self.started.ended();
            ended.is_some()
        });
        assert_eq!(ended, Some(status), "{}", self.log());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_does_rounds_shows_them_and_ends_when_asked() {
    let node = Node::new(Endpoint::ok(Protocol::Http2));
    let mut daemon = node.start();
    daemon.says("the first round is at ");
    daemon.says(&format!(
        "listening at http://127.0.0.1:{}/metrics",
        node.port
    ));
    assert!(node.get("/healthz").starts_with("HTTP/1.1 200"));
    daemon.says("collected 4 documents from 4 of 4 collectors");
    let metrics = node.get("/metrics");
    for line in [
        "afmetrics_load1{cluster=\"CANARY-AF\",login_node=\"login01.canary.example\"} 2.34",
        "afmetrics_collector_rounds_total{cluster=\"CANARY-AF\"} 1",
        "afmetrics_collector_success{cluster=\"CANARY-AF\",collector=\"load\"} 1",
        "result=\"accepted\"} 4",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains(TOKEN));
    assert!(node.get("/").starts_with("HTTP/1.1 200"));
    assert!(node.get("/nowhere").starts_with("HTTP/1.1 404"));
    node.waits_for(8);
    let times: Vec<Instant> = node.endpoint.requests().iter().map(|it| it.at).collect();
    let between = times[7].duration_since(times[0]);
    assert!(
        between > Duration::from_secs(3),
        "{between:?} between two rounds"
    );
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
    assert!(
        daemon.log().contains("ended by SIGTERM"),
        "{}",
        daemon.log()
    );
}

#[test]
fn hangup_reads_the_file_again_and_a_bad_one_changes_nothing() {
    let mut node = Node::new(Endpoint::ok(Protocol::Http2));
    let mut daemon = node.start();
    node.waits_for(4);
    node.configure("CANARY-AF", "silence_sec = 3");
    daemon.signal(Signal::SIGHUP);
    daemon.says("the configuration stays as it was: ");
    daemon.says("did you mean silence_secs?");
    let before = node.endpoint.requests().len();
    node.waits_for(before + 4);
    assert!(
        node.endpoint
            .documents()
            .iter()
            .all(|it| it["cluster"] == "CANARY-AF")
    );
    node.port = free_port();
    node.configure("ANOTHER-AF", "");
    daemon.signal(Signal::SIGHUP);
    daemon.says("read the configuration again; it counts from the next round on, at 2");
    daemon.says(&format!(
        "listening at http://127.0.0.1:{}/metrics",
        node.port
    ));
    eventually("the new name", || {
        node.endpoint
            .documents()
            .iter()
            .any(|it| it["cluster"] == "ANOTHER-AF")
    });
    assert!(node.get("/healthz").contains("200"));
    daemon.signal(Signal::SIGINT);
    daemon.ends(0);
}

#[test]
fn hangup_takes_another_level_of_the_log() {
    let mut node = Node::new(Endpoint::ok(Protocol::Http2));
    node.configure_with("CANARY-AF", "", "error");
    let mut daemon = node.start();
    node.waits_for(4);
    assert_eq!(daemon.log(), "");
    node.configure("CANARY-AF", "");
    daemon.signal(Signal::SIGHUP);
    daemon.says("read the configuration again");
    daemon.says("collected 4 documents from 4 of 4 collectors");
    node.configure_with("CANARY-AF", "", "error");
    daemon.signal(Signal::SIGHUP);
    eventually("two reloads", || {
        daemon.log().matches("read the configuration again").count() == 2
    });
    let (before, said) = (node.endpoint.requests().len(), daemon.log());
    // Those of the round that may go on, and of the next one.
    node.waits_for(before + 8);
    assert_eq!(daemon.log(), said);
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

#[test]
fn a_name_without_digits_is_said_once_and_after_a_reload() {
    const SAID: &str = "the name that --login-node gives has no digits: under -O this node is atlas.canary.example, as is";
    let mut node = Node::new(Endpoint::ok(Protocol::Http2));
    let more = "[privacy]\nobfuscate_hosts = \"canary.example\"";
    node.configure("CANARY-AF", more);
    let file = fs::read_to_string(&node.config).unwrap();
    fs::write(&node.config, file.replace("login01.", "gateway.")).unwrap();
    let mut daemon = node.start();
    node.waits_for(12);
    assert_eq!(daemon.log().matches(SAID).count(), 1, "{}", daemon.log());
    daemon.signal(Signal::SIGHUP);
    daemon.says("read the configuration again");
    assert_eq!(daemon.log().matches(SAID).count(), 2, "{}", daemon.log());
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

#[test]
fn systemd_is_told() {
    let mut node = Node::new(Endpoint::ok(Protocol::Http2));
    let path = node.world.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    node.world.env("NOTIFY_SOCKET", &path);
    node.world.env("WATCHDOG_USEC", "2000000");
    let mut daemon = node.start();
    let mut told = String::new();
    let mut until = |what: &str| {
        while !told.contains(what) {
            let mut buffer = [0; 4096];
            let count = socket.recv(&mut buffer).unwrap();
            told.push_str(&String::from_utf8_lossy(&buffer[..count]));
            told.push('\n');
        }
        std::mem::take(&mut told)
    };
    let first = until("STATUS=next round at ");
    assert!(first.contains("READY=1"), "{first}");
    until("WATCHDOG=1");
    until("STATUS=a round is going on");
    until("the last one collected 4 documents from 4 of 4 collectors");
    daemon.signal(Signal::SIGHUP);
    let reload = until("RELOADING=1") + &until("READY=1");
    assert!(reload.contains("MONOTONIC_USEC="), "{reload}");
    daemon.signal(Signal::SIGTERM);
    until("STOPPING=1");
    daemon.ends(0);
}

#[test]
fn the_end_keeps_what_is_stored() {
    let node = Node::new(Endpoint::start(Protocol::Http2, |_, _| Reply::Hang));
    let mut daemon = node.start();
    node.waits_for(1);
    let begun = Instant::now();
    daemon.signal(Signal::SIGTERM);
    daemon.says("SIGTERM: the round has ");
    daemon.ends(0);
    // It does not wait for the end of the delivery, nor for as long as a round may take that is not stored.
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{}",
        daemon.log()
    );
    let config = node.config.to_str().unwrap();
    let list = Run::of(node.world.bare_command(&["spool", "--config", config])).exits(0);
    assert!(list.stdout.contains("4 of 4"), "{}", list.stdout);
    let key = |number: usize| {
        let requests = node.endpoint.requests();
        requests[number]
            .header("idempotency-key")
            .unwrap()
            .to_owned()
    };
    let (first, before) = (key(0), node.endpoint.requests().len());
    node.endpoint.answers(|_, _| Reply::ok());
    let mut daemon = node.start();
    node.waits_for(before + 4);
    assert!((before..before + 4).any(|number| key(number) == first));
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

#[test]
fn at_the_end_an_answer_is_heard_and_nothing_more_is_sent() {
    let (say_yes, is_time) = watch::channel(false);
    let node = Node::new(Endpoint::start(Protocol::Http2, move |_, _| {
        Reply::When(is_time.clone())
    }));
    let mut daemon = node.start();
    node.waits_for(1);
    daemon.signal(Signal::SIGTERM);
    daemon.says("SIGTERM: the round has ");
    say_yes.send_replace(true);
    daemon.ends(0);
    daemon.says("; 1 accepted, 3 wait in the spool");
    assert_eq!(node.endpoint.requests().len(), 1);
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let world = World::new();
    let run = |address: &str| {
        let args = ["run", "--host", "-t", "x", "--listen", address];
        Run::of(world.bare_command(&args)).exits(2)
    };
    run("0.0.0.0:0").says("that is no loopback address");
    run("[::]:0").says("that is no loopback address");
    Run::of(world.bare_command(&["run", "-t", "x"]))
        .exits(2)
        .says("nothing to collect");
}

#[test]
fn rounds_go_on_where_the_address_is_taken() {
    let node = Node::new(Endpoint::ok(Protocol::Http2));
    let taken = TcpListener::bind(("127.0.0.1", node.port)).unwrap();
    let mut daemon = node.start();
    daemon.says("cannot listen at 127.0.0.1:");
    node.waits_for(4);
    drop(taken);
    daemon.says(&format!(
        "listening at http://127.0.0.1:{}/metrics",
        node.port
    ));
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

#[test]
fn a_configuration_that_is_gone_changes_nothing() {
    let node = Node::new(Endpoint::ok(Protocol::Http2));
    let mut daemon = node.start();
    node.waits_for(4);
    fs::remove_file(&node.config).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.says("the configuration stays as it was: ");
    let before = node.endpoint.requests().len();
    node.waits_for(before + 4);
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

#[test]
fn a_round_that_cannot_begin_is_no_health_and_leaves_no_numbers() {
    let mut node = Node::new(Endpoint::ok(Protocol::Http2));
    let mut daemon = node.start();
    node.waits_for(4);
    eventually("numbers", || {
        node.get("/metrics").contains("afmetrics_load1{")
    });
    // As if the group had gone from the directory.
    node.configure("CANARY-AF", "");
    let file = fs::read_to_string(&node.config).unwrap();
    fs::write(
        &node.config,
        format!("{file}[privacy]\ngroup = \"no-such-group-here\"\n"),
    )
    .unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.says("this system knows no group");
    let metrics = node.get("/metrics");
    assert!(!metrics.contains("afmetrics_load1{"), "{metrics}");
    assert!(
        !metrics.contains("afmetrics_collector_success{"),
        "{metrics}"
    );
    eventually("bad health", || node.get("/healthz").contains("503"));
    daemon.signal(Signal::SIGTERM);
    daemon.ends(0);
}

/// In documents they may be, as the old script's cron lines had it.
#[test]
fn two_queues_of_one_name_are_refused_where_they_would_be_one_number() {
    const SAID: &str = "two queues (-q) have the name \"all\"";
    let mut world = World::new();
    world.batch_node("[\n]\n");
    let queues = ["-b", "-q", "all:", "-q", "other:", "-q", "all:x"];
    let file = world.path("afmetrics.prom");
    let textfile = ["--print", "--textfile", file.to_str().unwrap()];
    let args = [&queues[..], &textfile].concat();
    world.run(&args).exits(2).says(SAID);
    let listen = ["run", "-t", TOKEN, "--listen", "127.0.0.1:0"];
    let args = [&listen[..], &queues].concat();
    Run::of(world.bare_command(&args)).exits(2).says(SAID);
    world.print(&queues).lacks(SAID).says("condor_queue: ");
}

#[test]
fn a_round_writes_a_textfile() {
    let mut world = World::new();
    world.healthy_host();
    let file = world.path("afmetrics.prom");
    let path = file.to_str().unwrap();
    let endpoint = Endpoint::ok(Protocol::Http2);
    let node = ["--login-node", "login01.canary.example"];
    let args = [&["--host", "--mount", "/", "--textfile", path], &node[..]].concat();
    world
        .deliver(&endpoint, &[&args[..], &["-O", "example.org"]].concat())
        .exits(0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "afmetrics_load1{cluster=\"UC-AF\",login_node=\"atlas01.example.org\"} 2.34",
        "afmetrics_collector_success{cluster=\"UC-AF\",collector=\"disk\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(
        !text.contains("login01") && !text.contains("_total{"),
        "{text}"
    );
    assert!(
        endpoint
            .documents()
            .iter()
            .all(|it| it["kind"] != "metrics")
    );
    let nowhere = world.path("no/afmetrics.prom");
    let args = ["--host", "--textfile", nowhere.to_str().unwrap()];
    world
        .deliver(&endpoint, &args)
        .exits(1)
        .says("cannot be written");
}
