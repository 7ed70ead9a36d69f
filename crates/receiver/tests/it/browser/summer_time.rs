//! The days on which clocks are set, in a browser in Berlin: the one of 25 hours and the one of 23.

use serde_json::{Value, json};

use super::site::{Site, at};
use super::tab::browse_in;
use crate::support::needs;

/// A day in local time: its first and last minute and the next day's first in UTC, hours in it, and a moment at
/// which all of it is past.
struct Day {
    local: [&'static str; 2],
    utc: [&'static str; 2],
    hours: i32,
    now: &'static str,
}

const DAYS: [Day; 2] = [
    Day {
        local: ["2026-10-25T00:00", "2026-10-26T00:00"],
        utc: ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
        hours: 25,
        now: "2026-10-26 12:00:00",
    },
    Day {
        local: ["2027-03-28T00:00", "2027-03-29T00:00"],
        utc: ["2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"],
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
            at(time, vec![job(hour)])
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
            // The form has again what was typed.
            assert_eq!([tab.value("#from"), tab.value("#to")], day.local);
            tab.wait_for_charts();
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
        });
    }
}

/// A job that waits, reported once.
fn job(hour: i32) -> Value {
    json!({"kind": "condorjob", "users": "canary-1", "Id": format!("{hour}.0"), "Runtime": 0, "state": "idle"})
}
