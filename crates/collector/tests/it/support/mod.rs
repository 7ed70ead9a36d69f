//! What the tests have in common: a world of one's own, an endpoint, a proxy, a cluster, a namespace.

pub mod authority;
pub mod case;
pub mod cluster;
pub mod disk;
pub mod endpoint;
pub mod ledger;
pub mod namespace;
pub mod needs;
pub mod pages;
pub mod program;
pub mod proxy;
pub mod slurm;
