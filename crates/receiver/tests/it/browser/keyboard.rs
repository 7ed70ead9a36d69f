//! Without a mouse.

use super::site::Site;
use super::tab::{ESCAPE, TAB, Tab, browse};

/// What can be used and seen, in order, each with a mark; the count of them.
const MARK: &str = "
    const all = [...document.querySelectorAll('a[href], button, select, summary, input:not([type=hidden]), [tabindex=\"0\"]')];
    const seen = all.filter(one => one.checkVisibility({visibilityProperty: true}));
    seen.forEach((one, at) => one.dataset.at = at);
    return seen.length";

/// The mark of what has the focus, or what it is; and whether that is drawn.
const FOCUS: &str = "
    const one = document.activeElement, style = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    const isDrawn = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 && box.right > 0 && box.bottom > 0;
    return {at: one.dataset.at ?? null, isDrawn, what: one.outerHTML.slice(0, 100)}";

#[test]
fn tab_reaches_all_that_can_be_used_and_shows_where_it_is() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        for page in ["/", "/users?search=canary-1", "/batch", "/nodes"] {
            tab.go(page);
            tab.wait_for_charts();
            walk(tab, page);
        }
    });
}

/// Presses Tab through the whole page.
fn walk(tab: &Tab, page: &str) {
    let count = tab.run(MARK).as_u64().unwrap();
    assert!(count > 15, "{page}: {count}");
    let mut reached = std::collections::BTreeSet::new();
    // A field for a time has several stops.
    for _ in 0..count + 30 {
        tab.press(TAB);
        let focus = tab.run(FOCUS);
        if let Some(at) = focus["at"].as_str() {
            assert_eq!(focus["isDrawn"], true, "{page}: {}", focus["what"]);
            reached.insert(at.parse::<u64>().unwrap());
        }
    }
    let missed: Vec<u64> = (0..count).filter(|at| !reached.contains(at)).collect();
    let what = tab.run(&format!(
        "return {missed:?}.map(at => document.querySelector(`[data-at=\"${{at}}\"]`).outerHTML.slice(0, 100))"
    ));
    assert!(missed.is_empty(), "{page}: {what}");
}

#[test]
fn escape_closes_the_picker() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.click(".picker summary");
        assert!(tab.is_seen("#from"));
        tab.press(TAB);
        tab.press(ESCAPE);
        assert!(!tab.is_seen("#from"));
        let focus = tab.run("return document.activeElement.localName");
        assert_eq!(focus, "summary");
    });
}
