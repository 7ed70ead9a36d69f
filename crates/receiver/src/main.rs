//! `afmetrics_receiver`: hands the command line over, and ends with its exit status.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request takes some dozens of small pieces of memory, and what one thread has taken another gives back: that is
/// what the allocator of glibc is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    afmetrics_receiver::run(std::env::args_os())
}
