//! What a person does in a browser, and sees.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::driver::Driver;
use crate::support::needs;

/// How long a page may take to become what is expected.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser's tab that shows pages of one receiver.
pub struct Tab {
    pub(super) driver: Driver,
    /// `http://127.0.0.1:PORT`
    pub(super) origin: String,
    /// Answers that the test asked for, which the console reports as errors.
    pub(super) refusals: RefCell<Vec<u16>>,
}

/// Runs a test in a browser of its own, in this time zone; left out where there is no browser.
pub fn browse_in(zone: &str, origin: &str, test: impl FnOnce(&Tab)) {
    if !needs::programs(&["chromium", "chromedriver"]) {
        return;
    }
    let tab = Tab {
        driver: Driver::start(zone),
        origin: origin.to_owned(),
        refusals: RefCell::default(),
    };
    tab.prefer("light");
    test(&tab);
    let complaints = tab.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The same, in UTC.
pub fn browse(origin: &str, test: impl FnOnce(&Tab)) {
    browse_in("UTC", origin, test);
}

impl Tab {
    /// Opens a page by its path and query.
    pub fn go(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.driver.post("/url", &json!({"url": url}));
    }

    /// The test asks for something that is answered with this status.
    pub fn expect_refusal(&self, status: u16) {
        self.refusals.borrow_mut().push(status);
    }

    /// Opens a page that must be answered with this status.
    pub fn go_refused(&self, path: &str, status: u16) {
        self.expect_refusal(status);
        self.go(path);
        let found = self.run("return performance.getEntriesByType('navigation')[0].responseStatus");
        assert_eq!(found, status, "{path}");
    }

    /// Asks for something as a script of the page would; a refusal is no complaint then.
    pub fn fetch(&self, path: &str) -> (u16, String) {
        let script = format!(
            "fetch({}).then(async answer => done([answer.status, await answer.text()]))",
            json!(path)
        );
        let answer: (u16, String) = serde_json::from_value(self.run_until_done(&script)).unwrap();
        self.expect_refusal(answer.0);
        answer
    }

    pub fn reload(&self) {
        self.driver.post("/refresh", &json!({}));
    }

    /// Path and query of the page.
    pub fn path(&self) -> String {
        let url = self.driver.get("/url");
        let url = url.as_str().unwrap();
        let path = url.strip_prefix(&self.origin);
        path.unwrap_or_else(|| panic!("elsewhere: {url}"))
            .to_owned()
    }

    /// Logs in by the form of the front page.
    pub fn log_in(&self, token: &str) {
        self.go("/");
        self.fill("#token", token);
        self.click("button[type=submit]");
        // The answer is there when the next command is taken.
        self.path();
    }

    pub fn click(&self, css: &str) {
        let element = self.driver.find(css);
        let path = format!("/element/{element}/click");
        self.driver.post(&path, &json!({}));
    }

    /// Puts text into a field, in place of what was there.
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.driver.find(css);
        self.driver
            .post(&format!("/element/{element}/clear"), &json!({}));
        self.driver
            .post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Sets a field that is not typed letter by letter, as one for a time.
    pub fn set(&self, css: &str, value: &str) {
        assert!(self.is_seen(css), "{css}");
        self.run(&format!(
            "const field = document.querySelector({}); field.value = {};
            field.dispatchEvent(new Event('change', {{bubbles: true}}))",
            json!(css),
            json!(value)
        ));
    }

    /// What is in a field.
    pub fn value(&self, css: &str) -> String {
        let element = self.driver.find(css);
        let value = self
            .driver
            .get(&format!("/element/{element}/property/value"));
        value.as_str().unwrap().to_owned()
    }

    /// Picks an option of a list by its value.
    pub fn pick(&self, css: &str, value: &str) {
        self.click(&format!("{css} option[value='{value}']"));
    }

    /// What a person can read of an element.
    pub fn text(&self, css: &str) -> String {
        let element = self.driver.find(css);
        let text = self.driver.get(&format!("/element/{element}/text"));
        text.as_str().unwrap().to_owned()
    }

    /// The text of all elements of a selector, also of those out of sight.
    pub fn texts(&self, css: &str) -> Vec<String> {
        let found = self.run(&format!(
            "return [...document.querySelectorAll({})].map(one => one.textContent.trim())",
            json!(css)
        ));
        serde_json::from_value(found).unwrap()
    }

    /// How many elements there are of a selector, now.
    pub fn count(&self, css: &str) -> usize {
        self.texts(css).len()
    }

    /// An attribute of the first element.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let element = self.driver.find(css);
        let path = format!("/element/{element}/attribute/{name}");
        self.driver.get(&path).as_str().map(str::to_owned)
    }

    /// Whether a person sees it.
    pub fn is_seen(&self, css: &str) -> bool {
        let element = self.driver.find(css);
        let path = format!("/element/{element}/displayed");
        self.driver.get(&path) == true
    }

    /// The value of a script's `return`.
    pub fn run(&self, script: &str) -> Value {
        self.driver.run(script)
    }

    /// What a script gives to `done`.
    pub fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1];\n{script}");
        self.driver.run_until_told(&script)
    }

    /// Waits until an expression of the page is true.
    pub fn wait(&self, what: &str, expression: &str) {
        let began = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            assert!(
                began.elapsed() < PATIENCE,
                "in vain: {what}, at {}",
                self.path()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every chart of the page is drawn, or says why it is not.
    pub fn wait_for_charts(&self) {
        let busy = "document.querySelector('.chart[aria-busy], .chart:not(:has([role]))')";
        self.wait("charts that are drawn", &format!("!{busy}"));
    }

    /// Follows a link to a file, and gives what is in it.
    pub fn download(&self, css: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let words =
            json!({"behavior": "allow", "downloadPath": folder.path(), "eventsEnabled": false});
        self.driver.chrome("Browser.setDownloadBehavior", words);
        self.click(css);
        let mut file = None;
        crate::support::wait_until("a file that was downloaded", || {
            let mut files = std::fs::read_dir(folder.path()).unwrap();
            file = files
                .next()
                .map(|file| file.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "csv"));
            file.is_some()
        });
        std::fs::read_to_string(file.unwrap()).unwrap()
    }

    /// Presses a key: a letter, or one of WebDriver's names for others ([`TAB`], [`ESCAPE`]).
    pub fn press(&self, key: &str) {
        let strokes: Vec<Value> = ["keyDown", "keyUp"]
            .map(|kind| json!({"type": kind, "value": key}))
            .into();
        let keys = json!({"type": "key", "id": "keys", "actions": strokes});
        self.driver.post("/actions", &json!({"actions": [keys]}));
    }

    /// As a person who prefers `dark` or `light` pages.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let words = json!({"features": features});
        self.driver.chrome("Emulation.setEmulatedMedia", words);
    }

    /// A screen of this size, in points of CSS.
    pub fn screen(&self, width: u32, height: u32, is_phone: bool) {
        let words =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.driver
            .chrome("Emulation.setDeviceMetricsOverride", words);
    }

    /// What is on the screen, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let words = json!({"format": "png"});
        let taken = self.driver.chrome("Page.captureScreenshot", words);
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }
}

pub const TAB: &str = "\u{E004}";
pub const ESCAPE: &str = "\u{E00C}";
