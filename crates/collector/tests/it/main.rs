//! Tests of the program as a whole: the real binary, against real services on loopback and
//! recorded ones. One executable, as each costs a build.

mod delivery;
mod groups;
mod programs;
mod sshd;
mod support;
