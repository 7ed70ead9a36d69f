//! What no page may do, and is looked for when a test is done: an error or a warning in the console, a request to
//! another host.

use serde_json::Value;

use super::tab::{Tab, browse};
use crate::support::World;

impl Tab {
    /// What no page may do, since this was last asked: a complaint in the console that was not asked for, a
    /// request to anybody else.
    pub fn complaints(&self) -> Vec<String> {
        let refusals = self.refusals.borrow();
        let is_asked_for = |said: &String| {
            let mut all = refusals.iter();
            all.any(|status| said.contains(&format!("status of {status}")))
        };
        let lines = self.driver.log("browser");
        let said = lines
            .iter()
            .filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING")
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .filter(|said| !is_asked_for(said));
        let requests = self.requests();
        let foreign = requests.iter().filter(|url| !self.is_own(url));
        said.chain(foreign.map(|url| format!("a request to {url}")))
            .collect()
    }

    fn is_own(&self, url: &str) -> bool {
        let rest = url.strip_prefix(&self.origin);
        rest.is_some_and(|rest| rest.starts_with('/'))
            // The last one is the browser's own first page.
            || ["data:", "blob:", "chrome://"].iter().any(|kind| url.starts_with(kind))
    }

    /// The URLs of all requests since this was last asked.
    fn requests(&self) -> Vec<String> {
        let lines = self.driver.log("performance");
        let url = |line: &Value| {
            let text = line["message"].as_str().unwrap();
            let event: Value = serde_json::from_str(text).unwrap();
            let event = &event["message"];
            let is_request = event["method"] == "Network.requestWillBeSent";
            is_request.then(|| {
                event["params"]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
        };
        lines.iter().filter_map(url).collect()
    }
}

#[test]
fn what_no_page_may_do_is_noticed() {
    let world = World::new();
    let running = world.serve(&[]);
    browse(&running.url, |tab| {
        tab.go("/");
        tab.run("console.error('an error of the page')");
        tab.run("location = 'http://node-1.example.org/'");
        tab.wait("another page", "location.protocol === 'chrome-error:'");
        let complaints = tab.complaints().join("\n");
        for said in [
            "an error of the page",
            "a request to http://node-1.example.org/",
        ] {
            assert!(complaints.contains(said), "{said}: {complaints}");
        }
        // What was asked for is no complaint.
        tab.expect_refusal(404);
        tab.go("/nothing");
        assert_eq!(tab.complaints(), [""; 0]);
    });
}
