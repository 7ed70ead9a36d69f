//! What some tests need of the machine. A test that cannot have it says so and is left out; where
//! all tests are wanted (`AFMETRICS_TEST_ALL=1`, as `.ci/run` sets it) that is a failure.

use std::path::Path;

/// Whether these programs are there. If not, the test is left out: `if !needs::programs(&["jq"]) { return; }`
#[must_use]
pub fn programs(names: &[&str]) -> bool {
    let missing = names.iter().find(|name| {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        !folders
            .iter()
            .any(|folder| Path::new(folder).join(name).exists())
    });
    if let Some(missing) = missing {
        left_out(&format!("it needs {missing}, which is not there"));
    }
    missing.is_none()
}

/// Says that this test is left out and why, or fails it where all tests are wanted.
pub fn left_out(lack: &str) {
    assert!(!all_are_wanted(), "{lack}");
    println!("LEFT OUT: {lack} (cargo xtask test, as root, installs what it may)");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no business of the program's"
)]
fn all_are_wanted() -> bool {
    std::env::var("AFMETRICS_TEST_ALL").is_ok_and(|value| value == "1")
}
