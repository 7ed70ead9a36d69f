//! Tests of what the two ends agree on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kinds;
