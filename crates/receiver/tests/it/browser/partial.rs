//! What is there in part: a stack in which one is missing, charts and tables that have not all, a page whose reader
//! is not logged in any more.

use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::json;

use super::gaps::load;
use super::site::{Site, at};
use super::tab::browse;

/// Steps of five minutes in the span, those in which AF-2 is heard, and those in which AF-1 is not.
const STEPS: usize = 144;
const SECOND: std::ops::Range<usize> = 0..72;
const WITHOUT_FIRST: std::ops::Range<usize> = 20..30;

#[test]
fn a_gap_in_a_stack_is_no_zero_and_is_said() {
    let site = Site::empty();
    let hour = Timestamp::now().round(Unit::Hour).unwrap();
    let from = hour - SignedDuration::from_hours(14);
    let to = hour - SignedDuration::from_hours(2);
    let minutes = |step: usize| SignedDuration::from_mins(5 * i64::try_from(step).unwrap() + 1);
    let of = |step| {
        at(
            from + minutes(step),
            vec![load("node-1.canary.example", 0.5)],
        )
    };
    let first = (0..STEPS).filter(|step| !WITHOUT_FIRST.contains(step));
    site.send("AF-1", first.flat_map(of));
    site.send("AF-2", SECOND.flat_map(of));
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go(&format!("/quality?from={from}&to={to}"));
        tab.wait_for_charts();
        let said = tab.text("#intake-by-facility");
        let note = "Not heard of where others were: AF-2 in 72, AF-1 in 10 of 144 steps.";
        assert!(said.contains(note), "{said}");
        assert!(!said.contains("Gaps:"), "{said}");
        // The first series is the lowest, and drawn last.
        let drawn = "const own = charts.find(one => one.box.closest('#intake-by-facility'));
            return [0, 25, 100].map(at => [own.plot.data[2][at], own.plot.data[1][at]])";
        assert_eq!(tab.run(drawn), json!([[1, 2], [null, 1], [1, null]]));
        let legend = "const own = charts.find(one => one.box.closest('#intake-by-facility'));
            own.point(100); return own.rows.map(row => [row.one.name, row.cell.textContent])";
        assert_eq!(tab.run(legend), json!([["AF-1", "1"], ["AF-2", "–"]]));
        // One that is heard of whenever anything is says nothing.
        let said = tab.text("#intake");
        assert!(!said.contains("Not heard of"), "{said}");
    });
}

#[test]
fn what_a_limit_leaves_out_is_said() {
    let site = Site::empty();
    let before = Timestamp::now() - SignedDuration::from_hours(2);
    let nodes = (0..201).map(|number| load(&format!("node-{number}.canary.example"), 0.5));
    site.send("AF-1", at(before, nodes.collect()));
    let job = |number: i32| json!({"kind": "condorjob", "users": format!("canary-{number}"), "Id": format!("{number}.0"), "Runtime": 60, "state": "running"});
    let newest = (0..12)
        .map(job)
        .chain([load("node-201.canary.example", 0.5)])
        .collect();
    site.send("AF-1", at(Timestamp::now(), newest));
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        for (page, panel, said) in [
            (
                "/nodes",
                "#node-load",
                "2 more are not drawn: pick a facility or a node.",
            ),
            (
                "/nodes",
                "#heat",
                "2 more are not drawn: pick a facility or a node.",
            ),
            ("/batch", "#jobs-by-user", "2 more are not shown by name."),
            // Each node that fell silent, and the kind that did for a while.
            ("/quality", "#gaps", "102 more are not shown."),
        ] {
            tab.go(&format!("{page}?from=-6h"));
            tab.wait_for_charts();
            let found = tab.text(panel);
            assert!(found.contains(said), "{panel}: {found}");
        }
        tab.go("/quality?from=-1h");
        let found = tab.text("#refused-reasons");
        assert!(!found.contains("more"), "{found}");
    });
}

#[test]
fn the_overview_is_gone_when_nobody_is_logged_in_any_more() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/");
        tab.wait_for_charts();
        // As from another window.
        tab.run_until_done("fetch('/logout', {method: 'POST'}).then(() => done(null))");
        assert!(tab.count("table") > 0);
        tab.run("refresh()");
        tab.wait("the form", "document.getElementById('token')");
        assert_eq!(tab.count("table"), 0);
    });
}
