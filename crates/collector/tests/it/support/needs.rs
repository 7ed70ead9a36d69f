//! What some tests need of the machine. A test that cannot have it says so and is left out; where
//! all tests are wanted (`AFMETRICS_TEST_ALL=1`, as `.ci/run` sets it) that is a failure.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether this is root, who may make namespaces, and has these programs (or files, by path). If not, the test is left
/// out: `if !needs::root_and(&["sshd"]) { return; }`
#[must_use]
pub fn root_and(programs: &[&str]) -> bool {
    let lack = if nix::unistd::geteuid().is_root() {
        ["unshare", "nsenter", "mount"]
            .iter()
            .chain(programs)
            .find(|program| path_of(program).is_none())
            .map(|program| format!("it needs {program}, which is not there"))
            .or_else(no_namespaces)
    } else {
        Some("it needs root, for a mount namespace of its own".to_owned())
    };
    match lack {
        None => true,
        Some(lack) => {
            left_out(&lack);
            false
        }
    }
}

/// Says that this test is left out and why, or fails it where all tests are wanted.
pub fn left_out(lack: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(!all_are_wanted(), "{test} cannot be run: {lack}");
    let said =
        format!("LEFT OUT: {test}: {lack} (cargo xtask test, as root, installs what it may)\n");
    // Not by eprintln, which is kept back for tests that pass; in one piece, as others write, too.
    let _ = std::io::stderr().write_all(said.as_bytes());
}

/// Where a program is. System programs are found, too, where the `PATH` of a user lacks them.
pub fn path_of(program: &str) -> Option<String> {
    if program.starts_with('/') {
        return Path::new(program).exists().then(|| program.to_owned());
    }
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| format!("{folder}/{program}"))
        .find(|path| Path::new(path).exists())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks the machine what it may do"
)]
fn no_namespaces() -> Option<String> {
    let made = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "true"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    (!made).then(|| "it needs namespaces, which this machine refuses".to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no business of the program's"
)]
fn all_are_wanted() -> bool {
    std::env::var("AFMETRICS_TEST_ALL").is_ok_and(|value| value == "1")
}
