//! The days on which clocks are set, in a browser in Berlin: the one of 25 hours and the one of 23.

use serde_json::{Value, json};

use super::site::{Site, at};
use super::tab::{Tab, browse_in};
use super::{PAGES, asked};
use crate::support::needs;

/// A day in local time: its first and last minute and the next day's first in UTC, hours in it, and a moment at
/// which all of it is past.
struct Day {
    local: [&'static str; 2],
    utc: [&'static str; 2],
    /// The whole days of UTC that it is part of, in local time.
    whole: [&'static str; 2],
    hours: i32,
    now: &'static str,
}

const DAYS: [Day; 2] = [
    Day {
        local: ["2026-10-25T00:00", "2026-10-26T00:00"],
        utc: ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
        whole: ["2026-10-24 02:00", "2026-10-26 01:00"],
        hours: 25,
        now: "2026-10-26 12:00:00",
    },
    Day {
        local: ["2027-03-28T00:00", "2027-03-29T00:00"],
        utc: ["2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"],
        whole: ["2027-03-27 01:00", "2027-03-29 02:00"],
        hours: 23,
        now: "2027-03-29 12:00:00",
    },
];

#[test]
fn a_day_has_all_its_hours_once() {
    if !needs::programs(&["faketime"]) {
        return;
    }
    for day in &DAYS {
        let site = Site::empty_at(day.now);
        let begin: jiff::Timestamp = day.utc[0].parse().unwrap();
        let of = |hour: i32| {
            let time = begin + jiff::SignedDuration::from_mins(i64::from(hour) * 60 + 5);
            at(time, round(hour))
        };
        site.send("AF-1", (0..day.hours).flat_map(of));
        browse_in("Europe/Berlin", site.url(), |tab| {
            tab.log_in(&site.viewer);
            tab.go("/batch?tz=local&from=-2d");
            tab.click(".picker summary");
            tab.set("#from", day.local[0]);
            tab.set("#to", day.local[1]);
            tab.click(".picker button[type=submit]");
            let path = tab.path();
            for time in day.utc {
                assert!(path.contains(&time[..13]), "{time}: {path}");
            }
            assert_shows(tab, day);
            let told = tab
                .attribute("#jobs-by-state [role=img]", "aria-label")
                .unwrap();
            let span = day.local.map(|time| time.replace('T', " ")).join(" to ");
            assert!(told.contains(&span), "{told}");
            let url = tab.attribute("#jobs-by-state .chart", "data-url").unwrap();
            let data = site.running.json(&url, &site.viewer);
            let known = data["series"][0]["values"].as_array().unwrap();
            let heard = known.iter().filter(|value| !value.is_null()).count();
            assert_eq!(heard, usize::try_from(day.hours).unwrap(), "{data}");
            for page in PAGES {
                let [from, to] = day.utc;
                tab.go(&asked(page, &format!("tz=local&from={from}&to={to}")));
                assert_shows(tab, day);
            }
        });
    }
}

/// The page's form, its words and its charts have the day in local time.
fn assert_shows(tab: &Tab, day: &Day) {
    let path = tab.path();
    let typed = [tab.value("#from"), tab.value("#to")];
    assert_eq!(typed, day.local, "{path}");
    tab.wait_for_charts();
    let local = day.local.map(|time| time.replace('T', " "));
    let said = tab.text(".picker summary");
    for time in &local {
        assert!(said.contains(time), "{path}: {said}");
    }
    let span = match path.starts_with("/users?") {
        true => day.whole.join(" to "),
        false => local.join(" to "),
    };
    let told = tab.run(LABELS);
    let told: Vec<String> = serde_json::from_value(told).unwrap();
    assert!(!told.is_empty(), "{path} has no chart");
    for label in told {
        assert!(label.contains(&span), "{path}: {label}");
    }
}

/// What charts are called but for those that have 24 hours, however long the day is.
const LABELS: &str =
    "return [...document.querySelectorAll('.chart:not([data-shape=heat]) [role=img]')]
    .map(one => one.getAttribute('aria-label'))";

/// A job that waits, a node and somebody with a notebook, reported once.
fn round(hour: i32) -> Vec<Value> {
    vec![
        json!({"kind": "condorjob", "users": "canary-1", "Id": format!("{hour}.0"), "Runtime": 0, "state": "idle"}),
        json!({"kind": "CPU", "login_node": "node-1.example.org", "load": hour}),
        json!({"kind": "jupyter-ml", "jupyter_user_count": 1, "users": ["canary-1"]}),
    ]
}
