//! What the tests have in common: a folder of one's own, the binary, an endpoint, a proxy.

pub mod authority;
pub mod case;
pub mod cluster;
pub mod endpoint;
pub mod program;
pub mod proxy;
