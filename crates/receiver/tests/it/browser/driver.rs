//! A browser of the test's own, by the WebDriver protocol: a chromedriver, and in it a headless Chromium
//! that can reach this machine alone. Both end with who started them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long one command may take: on a busy machine a browser needs some seconds to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an element is waited for, and a page, in ms.
const TIMEOUTS: [(&str, u32); 3] = [
    ("implicit", 5_000),
    ("pageLoad", 30_000),
    ("script", 30_000),
];

/// No graphics card, no sandbox (which root has not), no other host, and none of what a browser does for itself.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1440,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// What the name of an element is called on the wire.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Who runs a chromedriver, and ends all of the process group when nobody holds its standard input any more: also
/// when we were killed. It keeps no standard output, so that it is heard when the chromedriver has ended.
const KEEPER: &str = "chromedriver --port=0 & exec >&-; read end; kill -KILL 0";

/// A browser with one tab.
pub struct Driver {
    group: Group,
    /// Of the session, once there is one.
    url: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    /// The home of both, with the browser's profile.
    home: TempDir,
}

impl Driver {
    /// Starts one in this time zone.
    pub fn start(zone: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (group, port) = chromedriver(&home, zone);
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .tls_certs_only([]);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut driver = Self {
            group,
            url: format!("http://127.0.0.1:{port}/session"),
            runtime: crate::support::runtime(),
            client: client.build().unwrap(),
            home,
        };
        driver.begin();
        driver
    }

    fn begin(&mut self) {
        let profile = self.home.path().join("profile");
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let wanted = json!({
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": flags},
            "timeouts": TIMEOUTS.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let session = self.post("", &json!({"capabilities": {"alwaysMatch": wanted}}));
        let name = session["sessionId"].as_str().unwrap();
        self.url = format!("{}/{name}", self.url);
    }

    /// A command, or why it was refused, or not answered.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.url));
        if method == "POST" {
            request = request.body(body.to_string());
        }
        let answered = self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.text().await?))
        });
        let (status, text) = answered
            .map_err(|why: reqwest::Error| format!("{method} {path}: no answer: {why:?}"))?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|why| format!("{method} {path}: {why} in {text}"))?;
        let value = answer["value"].clone();
        match status.is_success() {
            true => Ok(value),
            false => Err(format!(
                "{method} {path} {body}: {}",
                value["message"].as_str().unwrap_or(&text)
            )),
        }
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body).unwrap()
    }

    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).unwrap()
    }

    /// A command of Chrome's own protocol.
    pub fn chrome(&self, command: &str, words: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": words}),
        )
    }

    /// What has come to this log since it was last asked for: `browser` (its console), `performance` (its network).
    pub fn log(&self, name: &str) -> Vec<Value> {
        let lines = self.post("/se/log", &json!({"type": name}));
        lines.as_array().unwrap().clone()
    }

    /// The first element of a selector; it is waited for.
    pub fn find(&self, css: &str) -> String {
        let wanted = json!({"using": "css selector", "value": css});
        let found = self.post("/element", &wanted);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// The value of a script's `return`.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What a script gives to the function that is its last argument.
    pub fn run_until_told(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whether it is there still or not: the group ends with us.
        let _ = self.ask("DELETE", "", &Value::Null);
    }
}

/// A chromedriver and its browser, in a process group of their own.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// A chromedriver, and its port.
#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn chromedriver(home: &TempDir, zone: &str) -> (Group, u16) {
    let keeper = Command::new("sh")
        .args(["-c", KEEPER])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("TZ", zone)
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut group = Group(keeper.unwrap());
    let mut lines = BufReader::new(group.0.stdout.take().unwrap());
    let mut said = String::new();
    let port = loop {
        let before = said.len();
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        if let Some((_, port)) = said[before..].split_once("successfully on port ") {
            break port.trim().trim_end_matches('.').parse().unwrap();
        }
    };
    // It must not wait for somebody who reads.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    (group, port)
}

/// What is closed here is closed as well when the tests are ended by Ctrl-C, or killed.
#[test]
fn a_browser_ends_with_who_started_it() {
    if !crate::support::needs::programs(&["chromium", "chromedriver"]) {
        return;
    }
    let mut driver = Driver::start("UTC");
    let home = driver.home.path().to_string_lossy().into_owned();
    let is_there = || {
        let mut all = std::fs::read_dir("/proc").unwrap();
        all.any(|process| {
            let line = std::fs::read(process.unwrap().path().join("cmdline"));
            String::from_utf8_lossy(&line.unwrap_or_default()).contains(&home)
        })
    };
    assert!(is_there());
    drop(driver.group.0.stdin.take());
    crate::support::wait_until("no browser", || !is_there());
    // Nobody is there to be told that it is over.
    assert!(driver.ask("DELETE", "", &Value::Null).is_err());
}
