//! `cargo xtask soak`: the crash tests of the tests, with many more kills. It takes some twenty minutes.

use anyhow::Result;

use crate::programs::{ends_well, program};

/// By package: how many rounds are killed, where `AFMETRICS_KILLS` says nothing else. In the receiver's,
/// collector, receiver or both are.
const KILLS: [(&str, &str); 2] = [
    ("afmetrics-collector", "500"),
    ("afmetrics-receiver", "300"),
];

pub fn run(words: &[String]) -> Result<()> {
    // The receiver's test runs the collector.
    ends_well(program("cargo").args(["build", "-p", "afmetrics-collector"]))?;
    for (package, kills) in KILLS {
        let mut test = program("cargo");
        test.args(["test", "-p", package, "--test", "it", "crash"]);
        test.args(["--", "--nocapture"]).args(words);
        if !is_set("AFMETRICS_KILLS") {
            test.env("AFMETRICS_KILLS", kills);
        }
        ends_well(&mut test)?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is said in the environment"
)]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
