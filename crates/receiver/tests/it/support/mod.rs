//! A receiver with a folder of its own, and somebody who asks it.

pub mod needs;
pub mod tls;
pub mod wire;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The facility in the tests.
pub const FACILITY: &str = "UC-AF";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The binary with these words.
#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
pub fn receiver(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afmetrics_receiver"));
    command
        .args(words)
        .env_remove("AFMETRICS_STORE")
        .env_remove("STATE_DIRECTORY")
        // Not what this machine's receiver goes by.
        .env("AFMETRICS_RECEIVER_CONFIG", "/dev/null")
        .stdin(Stdio::null());
    command
}

/// A folder for a store.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The folder of the test, in which `store` is the store's.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Runs a command on the store to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        receiver(words)
            .env("AFMETRICS_STORE", self.store())
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// Runs a command that must do well; what it printed.
    pub fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words:?}: {out}{err}");
        out
    }

    /// A token to send documents of a facility with.
    pub fn token(&self, facility: &str) -> String {
        self.done(&["token", "create", "--facility", facility])
            .trim()
            .to_owned()
    }

    /// A token to read everything with.
    pub fn viewer(&self) -> String {
        self.done(&["token", "create", "--viewer"])
            .trim()
            .to_owned()
    }

    /// A receiver on a port of its own.
    pub fn serve(&self, words: &[&str]) -> Running {
        let all = [&["serve", "--listen", "127.0.0.1:0"], words].concat();
        let mut command = receiver(&all);
        command.env("AFMETRICS_STORE", self.store());
        Running::start(command)
    }

    /// The same, with a clock that goes from this time on (UTC); it needs the program `faketime`.
    pub fn serve_at(&self, now: &str) -> Running {
        let mut command = receiver(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .envs(faked(now))
            .env("AFMETRICS_STORE", self.store());
        Running::start(command)
    }
}

/// What `faketime` says to a program whose clock is to go from this time on. It would stand between us and the
/// program, and not end it.
fn faked(now: &str) -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "a test runs programs")]
    let said = Command::new("faketime")
        .args(["-m", "-f", &format!("@{now}"), "env"])
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let said = text(&said.stdout);
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    let mut wanted: Vec<(String, String)> = pairs
        .filter(|(name, _)| ["TZ", "LD_PRELOAD", "FAKETIME"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Waits go on as they were.
    wanted.push(("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()));
    wanted
}

/// A receiver that runs; it is killed when this goes.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// `http://127.0.0.1:PORT` or `https://…`, without a slash at the end.
    pub url: String,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Starts it, and waits until it listens.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let url = loop {
            let before = log.len();
            if lines.read_line(&mut log).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("it did not start ({status}): {log}");
            }
            let said = log[before..].split_once(" listens on ");
            if let Some((_, rest)) = said {
                break rest.split_once("/,").unwrap().0.to_owned();
            }
        };
        let log = Arc::new(Mutex::new(log));
        let more = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                more.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { child, url, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged until now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// `POST /` of JSON: status and body.
    pub fn post(&self, body: impl Into<Vec<u8>>) -> (u16, Value) {
        self.post_with(&[("content-type", "application/json")], body)
    }

    /// `POST /` with these headers.
    pub fn post_with(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> (u16, Value) {
        let (status, text) = self.ask("POST", "/", headers, body.into());
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// `GET` with a viewer's token: status and text.
    pub fn get(&self, path: &str, viewer: &str) -> (u16, String) {
        let bearer = format!("Bearer {viewer}");
        self.ask("GET", path, &[("authorization", &bearer)], Vec::new())
    }

    /// `GET` that must be answered 200 with JSON.
    pub fn json(&self, path: &str, viewer: &str) -> Value {
        let (status, text) = self.get(path, viewer);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// One request on a connection of its own, plain HTTP.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let method = method.to_owned();
        runtime().block_on(async move {
            let mut request = client().request(method.parse().unwrap(), url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = request.body(body).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// One request, without following a redirection: status and headers.
    pub fn headers(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, reqwest::header::HeaderMap) {
        let mut request = client().request(method.parse().unwrap(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = runtime()
            .block_on(async { request.body(body).send().await })
            .unwrap();
        (answer.status().as_u16(), answer.headers().clone())
    }

    /// Tells it to end, and waits for that.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        signal(self.pid(), nix::sys::signal::Signal::SIGTERM);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        (status, self.log())
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A client without a proxy, for plain HTTP.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .tls_certs_only([])
        .build()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running job's document.
pub fn job(token: &str, user: &str, id: &str, state: &str, runtime: i64) -> Value {
    json!({"token": token, "kind": "condorjob", "cluster": FACILITY, "users": user, "Id": id, "Runtime": runtime, "state": state})
}

/// A document of one number: the load of a node.
pub fn load(token: &str, node: &str, load: f64) -> Value {
    json!({"token": token, "kind": "CPU", "cluster": FACILITY, "login_node": node, "load": load})
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All bytes of all files of a store.
pub fn bytes_of(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::File::open(path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
        }
    }
    bytes
}
