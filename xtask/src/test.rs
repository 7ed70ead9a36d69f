//! `cargo xtask test`: every test there is, with what they need installed first.

use std::process::Command;

use anyhow::Result;

use crate::install;
use crate::programs::{ends_well, program};

pub fn run(words: &[String]) -> Result<()> {
    let all_is_there = install::needed()?;
    let mut test = workspace_tests();
    test.args(words);
    // As root with everything there, a test that is left out is a failure.
    if all_is_there && install::is_root() {
        test.env("AFMETRICS_TEST_ALL", "1");
    }
    ends_well(&mut test)
}

/// `cargo test` of the whole workspace.
pub fn workspace_tests() -> Command {
    let mut test = program("cargo");
    test.args(["test", "--workspace"]);
    test
}
