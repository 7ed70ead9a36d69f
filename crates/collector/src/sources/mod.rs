//! How to talk to what collectors read, where that is a subject of its own.

pub mod htcondor;
pub mod keys;
pub mod kubernetes;
pub mod slurm;
