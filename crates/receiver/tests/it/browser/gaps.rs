//! Little, nothing, and nothing any more: pages say what is missing, and no zero stands for it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::PAGES;
use super::axe::assert_accessible;
use super::site::{SILENT, Site, at};
use super::tab::{Tab, browse};

pub fn load(node: &str, load: f64) -> Value {
    json!({"kind": "CPU", "login_node": node, "load": load})
}

#[test]
fn an_empty_store_says_what_to_do() {
    let site = Site::empty();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go_refused("/user?user=canary-1", 404);
        assert!(tab.text("[role=alert]").contains("Nobody of the name"));
        for page in PAGES.into_iter().filter(|page| !page.contains('?')) {
            tab.go(page);
            tab.wait_for_charts();
            let said = tab.text("main");
            assert!(
                said.contains("No facility has sent anything yet"),
                "{page}: {said}"
            );
            assert!(
                said.contains("afmetrics_receiver token create"),
                "{page}: {said}"
            );
            assert_no_numbers(tab, page);
        }
        assert_accessible(tab, "an empty store");
    });
}

/// Tiles without a number, charts and tables without a row.
fn assert_no_numbers(tab: &Tab, page: &str) {
    let known = tab.texts(".tiles .value:not(.unknown)");
    assert_eq!(known, [""; 0], "{page}");
    assert_eq!(tab.count(".chart [role=img]"), 0, "{page}");
    assert_eq!(tab.count(".panel tbody tr"), 0, "{page}");
}

#[test]
fn one_document_is_shown_and_nothing_else() {
    let site = Site::empty();
    site.send("AF-1", [load("node-1.example.org", 1.25)]);
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/nodes");
        tab.wait_for_charts();
        assert_eq!(tab.texts("#node-list tbody td a"), ["node-1.example.org"]);
        assert_says(tab, "disks", "No file system was heard of.");
        assert_says(tab, "node-memory", NOTHING);
        for page in ["/users", "/batch", "/jupyter"] {
            tab.go(page);
            tab.wait_for_charts();
            assert_no_numbers(tab, page);
        }
        assert_eq!(tab.texts("#facility option"), ["All facilities", "AF-1"]);

        tab.go("/");
        tab.wait_for_charts();
        assert_says(
            tab,
            "silent-nodes",
            "The only node was heard of within 15 minutes.",
        );
        assert_says(tab, "overview-collectors", NO_ROUND);
        for tile in tab.texts(".tiles .value") {
            assert_eq!(tile, "not known");
        }
        assert_says(tab, "users-now", "nothing was heard of it");
        assert_says(tab, "users-present", NOTHING);
        assert_says(tab, "overview-jobs", NOTHING);

        tab.go("/quality");
        tab.wait_for_charts();
        assert_says(tab, "failed-collectors", NO_ROUND);
        assert_eq!(tab.texts("#arrived .value")[0], "1");
        assert_says(tab, "intake", "Gaps: nothing was heard in");
        assert_says(tab, "gaps", "Nothing that was heard fell silent");
    });
}

#[test]
fn of_one_list_of_users_a_users_page_says_what_is_not_known() {
    let site = Site::empty();
    let document = json!({"kind": "ssh", "login_node": "node-1.example.org", "ssh_user_count": 1, "users": ["canary-1"]});
    site.send("AF-1", [document]);
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/users");
        tab.click("#user-list tbody a");
        tab.wait_for_charts();
        assert!(tab.path().starts_with("/user?"), "{}", tab.path());
        assert_eq!(tab.text("h1 .subject"), "canary-1");
        let names = tab.texts("#user-facts dt");
        let facts = tab.texts("#user-facts .value");
        let facts: BTreeMap<_, _> = names.iter().map(String::as_str).zip(facts).collect();
        assert_eq!(facts["Doors"], "ssh");
        assert_eq!(facts["Jobs ended"], "–", "nobody spoke of jobs");
        assert_eq!(facts["Run time"], "–", "nobody spoke of jobs");
        assert_says(tab, "user-hours", "Gaps: nothing was heard in");
        for chart in ["user-jobs", "user-ended", "user-run-times"] {
            assert_says(tab, chart, NOTHING);
        }
    });
}

/// What a chart without numbers says.
const NOTHING: &str = "Nothing was heard in this span.";

/// What is said of collectors of which nobody says whether they failed.
const NO_ROUND: &str = "No round of the last 15 minutes is known, so nobody says what failed";

fn assert_says(tab: &Tab, panel: &str, words: &str) {
    let said = tab.text(&format!("#{panel}"));
    assert!(said.contains(words), "{} at {panel}: {said}", tab.path());
}

#[test]
fn a_facility_that_fell_silent_is_seen_to_be() {
    let site = Site::empty();
    let now = Timestamp::now();
    let since = |hours| now - SignedDuration::from_hours(hours);
    let of = |hours| at(since(hours), round());
    site.send("AF-1", (20..40).flat_map(of));
    site.send("AF-2", [load("node-7.example.org", 0.5)]);
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/");
        let silent = tab.text("#silent-nodes tbody tr");
        assert!(
            silent.contains("silent") && silent.contains("AF-1"),
            "{silent}"
        );
        tab.go("/nodes?facility=AF-1&from=-7d");
        assert_says(tab, "node-list", "20 h ago");
        tab.go("/nodes?facility=AF-1&from=-1h");
        tab.wait_for_charts();
        // Days of weeks that began before are shown whole.
        assert_eq!(
            tab.count(".chart:not([data-shape=heat]) [role=img]"),
            0,
            "an hour without a document has no line"
        );
        assert_silence_is_told(tab);
    });
}

/// By the pages that have other numbers of it: of its last day, and of an hour in which it said nothing.
fn assert_silence_is_told(tab: &Tab) {
    tab.go("/batch?facility=AF-1");
    tab.wait_for_charts();
    let queue = tab.text("#queues tbody tr");
    assert!(
        queue.contains("silent") && queue.contains("20 h ago"),
        "{queue}"
    );
    assert_says(tab, "jobs-by-state", "Gaps: nothing was heard in");
    tab.go("/batch?facility=AF-1&from=-1h");
    tab.wait_for_charts();
    assert_eq!(tab.count(".chart [role=img]"), 0, "an hour without a job");
    assert_says(tab, "jobs-by-state", NOTHING);

    tab.go("/users?facility=AF-1");
    tab.wait_for_charts();
    assert_says(tab, "user-list", "20 h ago");
    assert_says(tab, "unique-users", "Gaps: nothing was heard in");
    tab.go("/users?facility=AF-1&from=-1h");
    assert_says(tab, "user-list", "Nobody was seen in this span.");

    tab.go("/quality?facility=AF-1");
    tab.wait_for_charts();
    // What is longest stands first.
    let gap = tab.text("#gaps tbody tr");
    assert!(gap.contains("silent") && gap.contains("AF-1"), "{gap}");
    tab.go("/quality?facility=AF-1&from=-1h");
    tab.wait_for_charts();
    assert_says(tab, "intake", NOTHING);
}

/// What a node and a queue say, and who is there.
fn round() -> Vec<Value> {
    vec![
        load("node-1.example.org", 0.5),
        json!({"kind": "ssh", "login_node": "node-1.example.org", "ssh_user_count": 1, "users": ["canary-1"]}),
        json!({"kind": "condorjob", "users": "canary-1", "Id": "1.0", "Runtime": 60, "state": "running"}),
        json!({"kind": "condorqueue", "queue": "all", "idle": 0, "running": 1, "held": 0, "allocated_cores": 4, "allocated_mem": 8192}),
    ]
}

#[test]
fn a_silent_node_is_named() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/nodes?facility=AF-1&from=-2d");
        let row = tab.run(&format!(
            "return [...document.querySelectorAll('#node-list tbody tr')].find(row => row.textContent.includes({})).innerText",
            json!(SILENT)
        ));
        let row = row.as_str().unwrap();
        assert!(row.contains("20 h ago"), "{row}");
        tab.go("/batch?from=-12h");
        tab.wait_for_charts();
        // Rounds are half an hour apart here, steps five minutes.
        let said = tab.text("#jobs-by-state");
        assert!(said.contains("Gaps: nothing was heard in"), "{said}");
    });
}

#[test]
fn steps_with_something_in_them_are_no_gaps_however_new_they_are() {
    let site = Site::empty();
    let job = |state: &str| json!({"kind": "condorjob", "users": "canary-1", "Id": "1.0", "Runtime": 60, "state": state});
    site.send("AF-1", [job("running")]);
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch?from=-1h");
        tab.wait_for_charts();
        let said = tab.text("#jobs-by-state");
        let (_, rest) = said
            .split_once("Gaps: nothing was heard in ")
            .unwrap_or_else(|| panic!("{said}"));
        let counts = rest.split_once(" steps").unwrap().0;
        let (gaps, all) = counts.split_once(" of ").unwrap();
        let number = |text: &str| text.parse::<u32>().unwrap();
        // The one of the job is on the chart, and not over yet.
        assert_eq!(number(gaps) + 1, number(all), "{said}");
    });
}
