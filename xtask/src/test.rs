//! `cargo xtask test`: every test there is, with what they need installed first.

use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Result;

use crate::install;
use crate::programs::{ends_well, program};
use crate::slurm::{self, Slurm};

pub fn run(words: &[String]) -> Result<()> {
    let all_is_there = install::needed()?;
    let mut test = workspace_tests();
    test.args(words);
    // As root with everything there, a test that is left out is a failure.
    if all_is_there && install::is_root() {
        test.env("AFMETRICS_TEST_ALL", "1");
    }
    let slurm = slurm::for_tests()?;
    if let Some(slurm) = &slurm {
        test.env(slurm::VARIABLE, slurm.folder());
    }
    let tested = ends_well(&mut test);
    let stopped = slurm.map_or(Ok(()), Slurm::stop);
    tested.and(stopped)
}

/// `cargo test` of the whole workspace, with more threads than cores: most tests wait.
pub fn workspace_tests() -> Command {
    const THREADS: &str = "RUST_TEST_THREADS";
    #[expect(
        clippy::disallowed_methods,
        reason = "how the tests are run is said in the environment"
    )]
    let is_said = std::env::var_os(THREADS).is_some();
    let mut test = program("cargo");
    test.args(["test", "--workspace"]);
    if !is_said {
        let cores = available_parallelism().map_or(1, usize::from);
        test.env(THREADS, (2 * cores).max(4).to_string());
    }
    test
}
