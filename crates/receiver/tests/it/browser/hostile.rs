//! Names that are made to do harm are text, wherever they stand.

use super::site::{HOSTILE, Site};
use super::tab::browse;

#[test]
fn a_name_is_text_wherever_it_stands() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        for name in HOSTILE {
            // A dialogue would make the next command fail.
            tab.go("/users?sort=user");
            let row = tab.texts("#user-list tbody a");
            let at = row.iter().position(|other| other == name).unwrap();
            tab.click(&format!("#user-list tbody tr:nth-child({}) a", at + 1));
            assert_eq!(tab.text("h1"), format!("User {name}"));
            tab.wait_for_charts();
            tab.click("nav a[href^='/users']");
            tab.fill("#user-list-search", name);
            tab.click(".search button");
            assert_eq!(tab.texts("#user-list tbody a"), [name]);
            assert_eq!(tab.value("#user-list-search"), name);
        }
        for page in super::PAGES {
            tab.go(page);
            tab.wait_for_charts();
            assert_eq!(tab.count("img"), 0, "{page}");
        }
        // Everybody is still there.
        tab.go("/users?search=canary");
        assert!(tab.count("#user-list tbody tr") > 5);
    });
}

#[test]
fn a_url_is_text_too() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        let name = "<script>alert(1)</script>\"onmouseover=alert(1)";
        let sent = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22onmouseover%3Dalert(1)";
        tab.go_refused(&format!("/user?user={sent}"), 404);
        assert!(
            tab.text("[role=alert]")
                .contains("<script>alert(1)</script>")
        );
        tab.go(&format!("/users?search={sent}"));
        assert_eq!(tab.value("#user-list-search"), name);
        tab.go_refused(&format!("/users?from={sent}"), 400);
        assert!(tab.text("[role=alert]").contains("<script>"));
        assert_eq!(tab.count("body script"), 0);
    });
}
