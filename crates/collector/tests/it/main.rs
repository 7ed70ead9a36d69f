//! Tests of the program as a whole: the real binary, against real services on loopback and
//! recorded ones. One executable, as each costs a build.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be; clippy knows only #[test] functions as tests"
)]

mod answers;
mod cases;
mod check;
mod cli;
mod crash;
mod daemon;
mod delivery;
mod docs_commands;
mod docs_configuration;
mod docs_install;
mod docs_log_lines;
mod documentation;
mod endpoints;
mod faults;
mod groups;
mod heartbeat;
mod history;
mod kubernetes;
mod manifests;
mod metrics;
mod output;
mod power_cut;
mod programs;
mod recording;
mod recording_settings;
mod recording_stranger;
mod schedd;
mod schedds;
mod settings;
mod slurm;
mod slurm_tools;
mod spool_commands;
mod sshd;
mod state;
mod support;
mod units;
