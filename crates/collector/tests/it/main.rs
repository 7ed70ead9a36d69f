//! Tests of the program as a whole: the real binary, against real services on loopback and
//! recorded ones. One executable, as each costs a build.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
mod counters;
mod delivery;
mod documentation;
mod kubernetes;
mod schedd;
mod support;
