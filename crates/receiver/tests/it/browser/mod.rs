//! The pages in a real browser: Debian's Chromium, by its own chromedriver.

mod axe;
mod driver;
mod fresh;
mod gaps;
mod hostile;
mod keyboard;
mod login;
mod looks;
mod numbers;
mod paper;
mod partial;
mod pictures;
mod site;
mod span;
mod summer_time;
mod systems;
mod tab;
mod users;
mod watch;

/// A page of each kind, of a store that `Site::filled` has filled.
const PAGES: [&str; 8] = [
    "/",
    "/users",
    "/user?user=canary-1",
    "/batch",
    "/jupyter",
    "/nodes",
    "/nodes?node=node-1.example.org",
    "/quality",
];

/// A page's path with more in its query.
fn asked(page: &str, more: &str) -> String {
    let join = if page.contains('?') { '&' } else { '?' };
    format!("{page}{join}{more}")
}
