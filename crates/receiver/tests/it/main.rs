//! Tests of the program as a whole: the real binary on loopback. One executable, as each costs a build.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be; clippy knows only #[test] functions as tests"
)]

mod documentation;
mod documents;
mod metrics;
mod page;
mod support;
