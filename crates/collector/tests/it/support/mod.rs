//! What the tests have in common: a folder of one's own, the binary, an endpoint, a namespace.

pub mod authority;
pub mod endpoint;
pub mod namespace;
pub mod needs;
pub mod program;
