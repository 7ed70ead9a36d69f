//! A page that stays open: it renews itself, says when it cannot, and lets be what somebody is at. And on paper.

use serde_json::{Value, json};

use super::site::Site;
use super::tab::{Tab, browse};

/// In place of the network: what the page is answered.
const BROKEN: &str =
    "window.ask = window.fetch; window.fetch = () => Promise.reject(new TypeError('no network'))";
const FULL: &str = "window.fetch = () => Promise.resolve(new Response('<p role=alert>Too much.</p>', {status: 503}))";
const MENDED: &str = "window.fetch = window.ask";

/// Waits until the page has been renewed, or not.
fn renew(tab: &Tab) {
    tab.run_until_done("refresh().then(() => done(null))");
}

#[test]
fn a_page_that_cannot_be_renewed_says_so_until_it_can() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        let said = || tab.texts("#stale p");
        renew(tab);
        assert_eq!(said(), [""; 0]);
        tab.run(BROKEN);
        renew(tab);
        renew(tab);
        let lines = said();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("Not renewed since 20"), "{lines:?}");
        assert!(
            lines[0].ends_with(" UTC: the receiver does not answer."),
            "{lines:?}"
        );
        tab.run(FULL);
        renew(tab);
        assert!(said()[0].ends_with(": Too much."), "{:?}", said());
        assert!(tab.count(".chart canvas") > 0, "what was drawn stays");
        tab.run(MENDED);
        renew(tab);
        assert_eq!(said(), [""; 0]);
    });
}

#[test]
fn a_legend_keeps_the_focus_when_its_chart_is_drawn_anew() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        let focused =
            |act: &str| tab.run(&format!("{act}; return document.activeElement.textContent"));
        let before = focused(
            "document.querySelector('#jobs-by-state .legend tr:nth-child(2) button').focus()",
        );
        tab.run("document.activeElement.dataset.old = ''");
        renew(tab);
        assert_eq!(focused(""), before);
        assert_eq!(tab.count("[data-old]"), 0, "it was not drawn anew");
    });
}

#[test]
fn no_two_series_of_a_chart_look_the_same() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/batch");
        tab.wait_for_charts();
        let names = json!([
            "canary-1",
            "ssh",
            "CPU",
            "the rest",
            "constructor",
            "canary-2",
            "canary-3",
            "running"
        ]);
        let all = tab.run(&format!("return [...colours({names}).values()]"));
        let all: Vec<Value> = all.as_array().unwrap().clone();
        let mut different = all.clone();
        different.sort_by_key(Value::to_string);
        different.dedup();
        assert_eq!(different.len(), 8, "{all:?}");
        assert!(all.iter().all(|one| one != ""), "{all:?}");
        assert_eq!(
            tab.run("return [count(2e9), count(2.5e6), count(12345)]"),
            json!(["2 G", "2.5 M", "12,345"])
        );
    });
}

#[test]
fn paper_has_whole_charts_in_light_colours_and_says_of_what() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.prefer("dark");
        tab.log_in(&site.viewer);
        tab.go("/batch?facility=AF-1");
        tab.wait_for_charts();
        let widths = "return Math.max(...charts.map(one => one.plot?.width ?? 0))";
        let wide = tab.run(widths);
        assert!(wide.as_u64() > Some(1000), "{wide}");
        tab.run("dispatchEvent(new Event('beforeprint'))");
        assert_eq!(tab.run(widths), 680);
        assert_eq!(tab.run("return style('--card')"), "#ffffff");
        tab.run("dispatchEvent(new Event('afterprint'))");
        assert_eq!(tab.run(widths), wide);
        assert!(!tab.is_seen("#sheet"));
        let said = tab.texts("#sheet").join("");
        assert!(
            said.starts_with("AF-1, 20") && said.contains(" UTC; made 20"),
            "{said}"
        );
    });
}

#[test]
fn arrow_keys_choose_and_enter_sends() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/user?user=canary-1");
        tab.run("document.getElementById('tz').focus()");
        tab.press("\u{E015}");
        assert_eq!(tab.value("#tz"), "local");
        assert_eq!(tab.path(), "/user?user=canary-1");
        assert!(tab.is_seen("#tz ~ .apply"));
        tab.press("\u{E007}");
        tab.wait("local time", "location.search.includes('tz=local')");
        assert!(tab.path().contains("user=canary-1"), "{}", tab.path());
        // A user of one facility is not known at another.
        tab.pick("#facility", "AF-2");
        tab.wait("the users of AF-2", "location.pathname === '/users'");
        assert!(
            tab.path().contains("facility=AF-2") && tab.path().contains("tz=local"),
            "{}",
            tab.path()
        );
        assert!(!tab.path().contains("user="), "{}", tab.path());
    });
}
