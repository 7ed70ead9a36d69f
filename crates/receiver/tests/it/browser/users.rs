//! The table of users: sorted, searched, and from there to one user.

use super::site::Site;
use super::tab::{Tab, browse};

#[test]
fn users_are_sorted_and_searched() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/users?facility=AF-1");
        tab.click("#user-list th a[href*='sort=user']");
        assert!(tab.path().contains("facility=AF-1"), "{}", tab.path());
        let up = names(tab);
        let mut sorted = up.clone();
        sorted.sort_by_key(|name| name.to_lowercase());
        assert!(up.len() > 5);
        assert_eq!(up, sorted);
        assert_eq!(
            tab.attribute("th[aria-sort]", "aria-sort").unwrap(),
            "ascending"
        );
        tab.click("th[aria-sort] a");
        sorted.reverse();
        assert_eq!(names(tab), sorted);

        tab.fill("#user-list-search", "CANARY-1");
        tab.click(".search button");
        let path = tab.path();
        assert!(
            path.contains("search=CANARY-1") && path.contains("sort=-user"),
            "{path}"
        );
        let found = names(tab);
        let fits: Vec<String> = sorted
            .into_iter()
            .filter(|name| name.contains("canary-1"))
            .collect();
        assert_eq!(found, fits);
        tab.fill("#user-list-search", "nobody");
        tab.click(".search button");
        assert!(tab.text("#user-list .none").contains("\"nobody\""));
    });
}

#[test]
fn a_users_name_leads_to_the_users_page() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        tab.go("/users?from=-7d&search=canary-4");
        tab.click("#user-list tbody a");
        let path = tab.path();
        assert!(
            path.starts_with("/user?") && path.contains("user=canary-4"),
            "{path}"
        );
        assert!(path.contains("from=-7d"), "{path}");
        assert_eq!(tab.text("h1"), "User canary-4");
        tab.wait_for_charts();
    });
}

fn names(tab: &Tab) -> Vec<String> {
    tab.path();
    tab.texts("#user-list tbody td:first-child")
}
