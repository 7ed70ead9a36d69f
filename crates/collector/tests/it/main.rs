//! Tests of the program as a whole: the real binary, against real services on loopback and
//! recorded ones. One executable, as each costs a build.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot do is a failed test, in the functions that tests share, too"
)]

mod delivery;
mod groups;
mod programs;
mod sshd;
mod support;
