//! `cargo xtask soak`: the crash test of the tests, with 500 kills instead of 30. It takes some ten minutes.

use anyhow::Result;

use crate::programs::{ends_well, program};

/// How many rounds are killed, where `AFMETRICS_KILLS` says nothing else.
const KILLS: &str = "500";

pub fn run(words: &[String]) -> Result<()> {
    let mut test = program("cargo");
    test.args(["test", "-p", "afmetrics-collector", "--test", "it", "crash"]);
    test.args(["--", "--nocapture"]).args(words);
    if !is_set("AFMETRICS_KILLS") {
        test.env("AFMETRICS_KILLS", KILLS);
    }
    ends_well(&mut test)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is said in the environment"
)]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
