//! The tests' own eyes: what no page may do is seen.

use super::tab::browse;
use crate::support::World;

#[test]
fn what_no_page_may_do_is_noticed() {
    let world = World::new();
    let running = world.serve(&[]);
    browse(&running.url, |tab| {
        tab.go("/");
        tab.run("console.error('an error of the page')");
        tab.run("location = 'http://node-1.example.org/'");
        tab.wait("another page", "location.protocol === 'chrome-error:'");
        let complaints = tab.complaints().join("\n");
        for said in [
            "an error of the page",
            "a request to http://node-1.example.org/",
        ] {
            assert!(complaints.contains(said), "{said}: {complaints}");
        }
        // What was asked for is no complaint.
        tab.expect_refusal(404);
        tab.go("/nothing");
        assert_eq!(tab.complaints(), [""; 0]);
    });
}
