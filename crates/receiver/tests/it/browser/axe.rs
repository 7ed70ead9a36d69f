//! What axe-core finds on a page (axe/: its release 4.14.1 as it is, under its own licence).

use serde_json::Value;

use super::PAGES;
use super::site::Site;
use super::tab::{Tab, browse};

const AXE: &str = include_str!("axe/axe.min.js");

const RUN: &str = "axe.run(document, {resultTypes: ['violations']})\
    .then(found => done({found: found.violations, rules: found.passes.length}), why => done({failed: String(why)}))";

/// Nothing serious stands between this page and a person, whatever they see or use.
pub fn assert_accessible(tab: &Tab, how: &str) {
    tab.run(&format!("{AXE}; window.axe = axe"));
    let answer = tab.run_until_done(RUN);
    assert!(answer["rules"].as_u64() > Some(5), "{how}: {answer}");
    let found = answer["found"].as_array().unwrap();
    let serious: Vec<String> = found.iter().filter_map(said).collect();
    assert!(
        serious.is_empty(),
        "{}, {how}:\n{}",
        tab.path(),
        serious.join("\n")
    );
}

/// A finding that counts, and where it is.
fn said(finding: &Value) -> Option<String> {
    let impact = finding["impact"].as_str()?;
    let places: Vec<String> = finding["nodes"]
        .as_array()?
        .iter()
        .map(|node| format!("  {}: {}", node["html"], node["failureSummary"]))
        .take(5)
        .collect();
    ["serious", "critical"].contains(&impact).then(|| {
        format!(
            "{impact}: {} ({} times)\n{}",
            finding["help"],
            finding["nodes"].as_array().map_or(0, Vec::len),
            places.join("\n")
        )
    })
}

/// As most look who are called at night. Each look for itself is in `looks`.
#[test]
fn by_night_in_a_hand() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.prefer("dark");
        tab.screen(390, 844, true);
        tab.log_in(&site.viewer);
        for page in PAGES {
            tab.go(page);
            tab.wait_for_charts();
            assert_accessible(tab, "dark phone");
        }
        assert_picker_is_accessible(tab, "dark phone");
    });
}

#[test]
fn the_span_picker_open() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        for scheme in ["light", "dark"] {
            tab.prefer(scheme);
            assert_picker_is_accessible(tab, scheme);
        }
    });
}

fn assert_picker_is_accessible(tab: &Tab, how: &str) {
    tab.go("/batch");
    tab.wait_for_charts();
    tab.click(".picker summary");
    assert!(tab.is_seen("#span"));
    assert_accessible(tab, &format!("{how}, the span picker open"));
}
