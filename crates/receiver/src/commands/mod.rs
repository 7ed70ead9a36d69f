//! The commands beside `serve`: each opens the store, does one thing, and says what it did.

pub mod token;
