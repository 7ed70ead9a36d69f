//! Who comes in, and what they see then.

use serde_json::json;

use super::axe::assert_accessible;
use super::site::Site;
use super::tab::browse;
use super::{PAGES, asked};

#[test]
fn a_wrong_token_is_told_a_right_one_opens_until_one_logs_out() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.go("/");
        assert_accessible(tab, "the form");
        tab.expect_refusal(401);
        tab.log_in("afv_wrong");
        assert!(tab.text("p.bad").contains("unknown"));
        assert_eq!(tab.count("table"), 0);

        tab.log_in(&site.viewer);
        assert_eq!(tab.path(), "/");
        assert_eq!(tab.text("h1"), "Overview");
        tab.click(".logout button");
        assert_eq!(tab.path(), "/");
        assert!(tab.is_seen("#token"));
        tab.go_refused("/users", 401);
        assert_eq!(tab.count("table"), 0);
    });
}

#[test]
fn after_logging_in_one_is_where_one_wanted_to_be() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        let wanted = "/batch?facility=AF-1&from=-2d";
        tab.go_refused(wanted, 401);
        tab.fill("#token", &site.viewer);
        tab.click("button[type=submit]");
        assert_eq!(tab.path(), wanted);
        assert_eq!(tab.text("h1"), "Batch");
    });
}

/// The cookie does not come along from elsewhere, as a mail in a browser: docs/dashboard.md says what to do then.
#[test]
fn a_link_from_elsewhere_asks_to_log_in_an_address_does_not() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        let wanted = "/batch?from=-2d";
        let mail = format!("data:text/html,<a href='{}{wanted}'>link</a>", tab.origin);
        tab.driver.post("/url", &json!({"url": mail}));
        tab.expect_refusal(401);
        tab.click("a");
        assert!(tab.is_seen("#token"));
        assert_eq!(tab.path(), wanted);
        // As by the Enter key in the address bar.
        tab.go(wanted);
        assert_eq!(tab.text("h1"), "Batch");
    });
}

/// Somebody who may see one facility does not see another: not by links, not by URLs, not in numbers.
#[test]
fn a_viewer_of_one_facility_sees_no_other() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.bound);
        for page in PAGES {
            tab.go(page);
            tab.wait_for_charts();
            let all = tab.run("return document.documentElement.outerHTML");
            let all = all.as_str().unwrap();
            for hidden in ["AF-2", "node-7", "canary-21", "canary-22"] {
                assert!(!all.contains(hidden), "{page}: {hidden}");
            }
            assert_eq!(tab.texts("#facility option"), ["AF-1"], "{page}");
            tab.go_refused(&asked(page, "facility=AF-2"), 403);
            assert!(tab.text("[role=alert]").contains("another facility"));
        }
        for path in [
            "/api/v1/jobs?facility=AF-2",
            "/api/v1/users?facility=AF-2&format=csv",
            "/panels/jobs-by-state?facility=AF-2",
        ] {
            let (status, said) = tab.fetch(path);
            assert_eq!(status, 403, "{path}: {said}");
            assert!(
                !said.contains("canary") && !said.contains("idle"),
                "{path}: {said}"
            );
        }
        tab.go("/users?search=canary-21");
        assert_eq!(tab.count("#user-list tbody tr"), 0);
    });
}
