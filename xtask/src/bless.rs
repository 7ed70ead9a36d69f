//! `cargo xtask bless`: the tests write what they see where they would compare it.

use anyhow::Result;

use crate::programs::ends_well;
use crate::test::workspace_tests;

pub fn run(words: &[String]) -> Result<()> {
    ends_well(workspace_tests().args(words).env("AFMETRICS_BLESS", "1"))
}
