//! `afmetrics_receiver`: hands the command line over, and ends with its exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    afmetrics_receiver::run(std::env::args_os())
}
