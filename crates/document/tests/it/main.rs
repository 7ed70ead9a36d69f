//! Tests of what the two ends agree on.

mod kinds;
