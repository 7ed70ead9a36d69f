//! What is looked at: span, facility, zone. The URL says it, so that a view can be shared and kept.

use jiff::{ToSpan as _, civil::DateTime};

use super::site::Site;
use super::tab::{Tab, browse, browse_in};

#[test]
fn a_quick_range_is_in_the_url_and_goes_along() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        assert!(!tab.is_seen(".picker ul a"));
        tab.click(".picker summary");
        tab.click(".picker a[href*='from=-7d']");
        assert!(tab.path().contains("from=-7d"), "{}", tab.path());
        let span = || {
            tab.text(".picker summary")
                .replace("Span:", "")
                .trim()
                .to_owned()
        };
        assert_eq!(span(), "Last 7 days");
        tab.reload();
        assert_eq!(span(), "Last 7 days");
        tab.click("nav a[href^='/nodes']");
        assert!(tab.path().starts_with("/nodes?from=-7d"), "{}", tab.path());
        assert_eq!(span(), "Last 7 days");
    });
}

#[test]
fn from_and_to_are_the_ones_that_were_typed() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        span(tab, ["2026-11-02T06:30", "2026-11-03T18:00"]);
        let path = tab.path();
        let parts = ["from=2026-11-02T06%3A30", "to=2026-11-03T18%3A00"];
        assert!(parts.iter().all(|part| path.contains(part)), "{path}");
        assert!(
            tab.text(".picker summary")
                .contains("2026-11-02 06:30 – 2026-11-03 18:00")
        );
        // The span before is as long, and ends where this one begins.
        tab.click("[aria-label='The span before']");
        assert!(
            tab.text(".picker summary")
                .contains("2026-10-31 19:00 – 2026-11-02 06:30")
        );
        // A form of the wrong order is told so.
        span(tab, ["2026-11-03T00:00", "2026-11-02T00:00"]);
        tab.expect_refusal(400);
        assert!(
            tab.text("[role=alert]")
                .contains("expected `from` before `to`")
        );
    });
}

/// Opens the picker, and sends its form with these times.
fn span(tab: &Tab, times: [&str; 2]) {
    tab.click(".picker summary");
    for (field, time) in ["#from", "#to"].iter().zip(times) {
        tab.set(field, time);
    }
    tab.click(".picker button[type=submit]");
    tab.path();
}

#[test]
fn another_facility_is_picked_and_kept() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/users?from=-7d");
        let all = tab.texts("tbody td:first-child");
        assert!(all.iter().any(|user| user == "canary-1"), "{all:?}");
        tab.pick("#facility", "AF-2");
        tab.wait(
            "the page of AF-2",
            "location.search.includes('facility=AF-2')",
        );
        assert!(tab.path().contains("from=-7d"), "{}", tab.path());
        let own = tab.texts("tbody td:first-child");
        assert!(own.iter().any(|user| user == "canary-21"), "{own:?}");
        assert!(!own.iter().any(|user| user == "canary-1"), "{own:?}");
        tab.click("nav a[href^='/nodes']");
        assert!(tab.path().contains("facility=AF-2"), "{}", tab.path());
        assert_eq!(tab.texts("#node-list tbody td a"), ["node-7.example.org"]);
        tab.go_refused("/users?facility=AF-9", 404);
        assert!(tab.text("[role=alert]").contains("Nothing was heard of"));
    });
}

#[test]
fn times_are_shown_in_the_zone_that_is_picked() {
    let site = Site::filled();
    browse_in("Asia/Tokyo", site.url(), |tab| {
        tab.log_in(&site.viewer);
        let day = "from=2026-11-02T00%3A00&to=2026-11-03T00%3A00";
        tab.go(&format!("/batch?{day}"));
        assert_eq!(tab.value("#from"), "2026-11-02T00:00");
        tab.pick("#tz", "local");
        tab.wait("local time", "location.search.includes('tz=local')");
        assert_eq!(tab.value("#from"), "2026-11-02T09:00");
        assert_eq!(tab.texts(".picker .zone"), ["Asia/Tokyo"]);
        // What is typed is of that zone, too, and sent as what it is.
        span(tab, ["2026-11-02T00:00", "2026-11-03T00:00"]);
        let path = tab.path();
        assert!(path.contains("from=2026-11-01T15%3A00"), "{path}");
        assert!(path.contains("tz=local"), "{path}");
        assert_eq!(tab.value("#from"), "2026-11-02T00:00");

        // The first fact is when the user was first seen, to the second.
        let seen = |tz| {
            tab.go(&format!("/user?user=canary-1&from=-7d&tz={tz}"));
            let shown = tab.texts("#user-facts time").remove(0);
            shown.parse::<DateTime>().unwrap()
        };
        assert_eq!(seen("utc") + 9.hours(), seen("local"));
    });
}
