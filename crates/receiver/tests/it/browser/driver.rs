//! A browser of the test's own, by the WebDriver protocol: a chromedriver, and in it a headless Chromium
//! that can reach this machine alone. Each ends with what started it.

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

/// A browser with one tab.
pub struct Driver {
    chromedriver: Child,
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
        let (chromedriver, port) = chromedriver(&home, zone);
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .tls_certs_only([]);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut driver = Self {
            chromedriver,
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

    /// A command, or why it was refused.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.url));
        if method == "POST" {
            request = request.body(body.to_string());
        }
        let (status, text) = self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
        let answer: Value = serde_json::from_str(&text).unwrap();
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
        let _ = self.ask("DELETE", "", &Value::Null);
        let group = Pid::from_raw(i32::try_from(self.chromedriver.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.chromedriver.wait();
    }
}

/// A chromedriver in a process group of its own, which its browser joins; and its port.
#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn chromedriver(home: &TempDir, zone: &str) -> (Child, u16) {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("TZ", zone)
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
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
    (child, port)
}
