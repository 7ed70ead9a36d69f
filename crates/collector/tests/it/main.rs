//! Tests of the program as a whole: the real binary, against real services on loopback and
//! recorded ones. One executable, as each costs a build.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

mod delivery;
mod kubernetes;
mod support;
