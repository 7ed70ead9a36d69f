//! `afmetrics_collector`: hands the command line and the environment over, and ends with the
//! round's exit status.

use std::process::ExitCode;

use afmetrics_collector::environment::Environment;

fn main() -> ExitCode {
    afmetrics_collector::run(std::env::args_os(), Environment::of_process())
}
