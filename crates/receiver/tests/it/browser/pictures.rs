//! Pictures of pages: PNG, as a person sees them.

use std::fs;
use std::path::{Path, PathBuf};

use super::site::Site;
use super::tab::{Tab, browse};

/// How a page is looked at: what the file's name says, the scheme, width and height of the screen.
type Look = (&'static str, &'static str, u32, u32);

const LOOKS: [Look; 4] = [
    ("light", "light", 1440, 900),
    ("dark", "dark", 1440, 900),
    ("phone-light", "light", 390, 844),
    ("phone-dark", "dark", 390, 844),
];

/// The pages that the menu leads to.
const MENU: [(&str, &str); 6] = [
    ("overview", "/"),
    ("users", "/users"),
    ("batch", "/batch"),
    ("jupyter", "/jupyter"),
    ("nodes", "/nodes"),
    ("quality", "/quality"),
];

#[test]
fn a_picture_shows_a_page_down_to_its_foot() {
    let site = Site::filled();
    browse(site.url(), |tab| {
        tab.log_in(&site.viewer);
        let taken = picture(tab, "/users", LOOKS[2]);
        assert!(taken.starts_with(b"\x89PNG\r\n\x1a\n"));
        let number = |at: usize| u32::from_be_bytes(taken[at..at + 4].try_into().unwrap());
        assert_eq!(number(16), 390);
        assert!(number(20) > 844, "{}", number(20));
    });
}

/// `cargo xtask screenshots`: every page in every look, and what is shown to
/// strangers and in place of a page, into the folder `AFMETRICS_PICTURES`, of the store
/// `AFMETRICS_PICTURED`.
#[test]
#[ignore = "it makes files for a person; cargo xtask screenshots runs it"]
fn every_page() {
    let folder = PathBuf::from(said("AFMETRICS_PICTURES"));
    let site = Site::of(Path::new(&said("AFMETRICS_PICTURED")));
    fs::create_dir_all(&folder).unwrap();
    browse(site.url(), |tab| {
        for look in LOOKS {
            keep(&folder, "login", look, &picture(tab, "/", look));
        }
        tab.log_in(&site.viewer);
        for look in LOOKS {
            tab.expect_refusal(404);
            let taken = picture(tab, "/user?user=canary-unknown", look);
            keep(&folder, "refused", look, &taken);
        }
        let mut pages = MENU.map(|(name, page)| (name, page.to_owned())).to_vec();
        tab.go("/users?sort=-days");
        pages.push(("user", tab.attribute("#user-list tbody a", "href").unwrap()));
        tab.go("/nodes?sort=-load");
        pages.push(("node", tab.attribute("#node-list tbody a", "href").unwrap()));
        for look in LOOKS {
            for (name, page) in &pages {
                keep(&folder, name, look, &picture(tab, page, look));
            }
        }
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is said in the environment"
)]
fn said(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says nothing"))
}

fn keep(folder: &Path, name: &str, look: Look, taken: &[u8]) {
    let file = folder.join(format!("{name}-{}.png", look.0));
    fs::write(&file, taken).unwrap();
    println!("{}", file.display());
}

fn picture(tab: &Tab, page: &str, (_, scheme, width, height): Look) -> Vec<u8> {
    let is_phone = width < 500;
    tab.prefer(scheme);
    tab.screen(width, height, is_phone);
    tab.go(page);
    tab.wait_for_charts();
    // The page is taller than the screen; its picture is not to be.
    let whole = tab.run("return document.scrollingElement.scrollHeight");
    let whole = u32::try_from(whole.as_u64().unwrap()).unwrap();
    tab.screen(width, whole.max(height), is_phone);
    tab.wait_for_charts();
    tab.picture()
}
