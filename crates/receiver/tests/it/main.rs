//! Tests of the program as a whole: the real binary on loopback. One executable, as each costs a build.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be; clippy knows only #[test] functions as tests"
)]

mod answers;
mod api;
mod api_access;
mod browser;
mod commands;
mod configuration;
mod connections;
mod crash;
mod disk_full;
mod docs_commands;
mod documentation;
mod documents;
mod history;
mod keys;
mod maintenance;
mod manifests;
mod metrics;
mod migration;
mod page;
mod panels_batch;
mod panels_people;
mod panels_quality;
mod panels_systems;
mod parser;
mod siege;
mod support;
mod tls;
mod tokens;
mod viewing;
