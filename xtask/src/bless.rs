//! `cargo xtask bless`: the tests write what they see where they would compare it.

use anyhow::Result;

use crate::programs::ends_well;
use crate::test::workspace_tests;

pub fn run(words: &[String]) -> Result<()> {
    // The collector's tests look at what the receiver's rewrite, and come first.
    let mut tests = workspace_tests();
    tests.arg("--no-fail-fast").args(words);
    ends_well(tests.env("AFMETRICS_BLESS", "1"))
}
