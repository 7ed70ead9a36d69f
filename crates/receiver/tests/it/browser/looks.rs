//! How pages look: by day and by night, on a desk and in a hand. What is on them is there for everybody.

use super::PAGES;
use super::axe::assert_accessible;
use super::site::Site;
use super::tab::{Tab, browse};

#[test]
fn by_day() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        each_page(tab, "light", |page| {
            assert!(brightness(tab) > 200, "{page}");
        });
    });
}

#[test]
fn by_night() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.prefer("dark");
        tab.log_in(&site.viewer);
        each_page(tab, "dark", |page| {
            assert!(brightness(tab) < 60, "{page}");
        });
    });
}

#[test]
fn in_a_hand() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.screen(390, 844, true);
        tab.log_in(&site.viewer);
        each_page(tab, "phone", |page| {
            let widths = tab.run("return [document.scrollingElement.scrollWidth, innerWidth]");
            assert_eq!(widths[0], 390, "{page} is to be scrolled sideways");
            assert_eq!(widths[1], 390, "{page} is wider than the screen");
        });
    });
}

/// Whoever changes the scheme while a page is open sees it change.
#[test]
fn at_dusk() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        assert!(brightness(tab) > 200);
        let by_day = tab.run(PIXELS);
        tab.prefer("dark");
        assert!(brightness(tab) < 60);
        tab.wait(
            "a chart in other colours",
            &format!("(() => {{{PIXELS}}})() !== {by_day}"),
        );
    });
}

/// What the first chart's canvas shows.
const PIXELS: &str = "return document.querySelector('.chart canvas').toDataURL()";

fn each_page(tab: &Tab, how: &str, check: impl Fn(&str)) {
    for page in PAGES {
        tab.go(page);
        tab.wait_for_charts();
        assert_accessible(tab, how);
        assert_charts_are_told(tab, page);
        check(page);
    }
}

/// Each chart has its numbers as words, or says why it has none.
fn assert_charts_are_told(tab: &Tab, page: &str) {
    let untold = tab.run(
        "return [...document.querySelectorAll('.chart')]
            .filter(chart => !chart.querySelector('[role=img][aria-label*=\" to \"], [role=status]'))
            .map(chart => chart.outerHTML.slice(0, 200))",
    );
    assert_eq!(untold, serde_json::json!([]), "{page}");
}

/// Of the page's ground, from 0 to 255.
fn brightness(tab: &Tab) -> u64 {
    let sum = tab.run(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)
            .reduce((sum, part) => sum + Number(part), 0)",
    );
    sum.as_u64().unwrap() / 3
}
