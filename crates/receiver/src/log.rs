//! The log: to standard error, where journald or a file takes it.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Opens the log for this process; only the first call does.
pub fn open(is_verbose: bool) {
    let level = match is_verbose {
        true => LevelFilter::DEBUG,
        false => LevelFilter::INFO,
    };
    let lines = fmt::layer()
        .with_ansi(false)
        .with_target(false)
        // A line that cannot be written must not end the receiver.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        // Libraries do not know what must not be logged.
        .with_filter(Targets::new().with_target("afmetrics_receiver", level));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}
