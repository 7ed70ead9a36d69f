//! How to talk to what two or more collectors read.

pub mod htcondor;
