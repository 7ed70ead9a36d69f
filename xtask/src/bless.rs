//! `cargo xtask bless`: the tests write what they see where they would compare it.

use anyhow::Result;

use crate::test::{ends_well, workspace_tests};

pub fn run(words: &[String]) -> Result<()> {
    ends_well(workspace_tests().args(words).env("AFMETRICS_BLESS", "1"))
}
