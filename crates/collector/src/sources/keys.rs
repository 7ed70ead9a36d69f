//! What names jobs in a cursor: hashes, as there may be a million and what names one can name a host.

use std::fmt;

use ring::digest;
use serde::de::{Deserializer, Error, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// The first 8 bytes of a key's SHA-256: of a million jobs no two share them.
pub fn hash(key: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Keys as hashes, written as one string of 16 hex digits each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(pub Vec<u64>);

const DIGITS: usize = 16;

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(f, "{key:016x}"))
    }
}

impl Serialize for Keys {
    /// Not by way of a string of its own, which would be as large as the cursor.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::invalid_value(Unexpected::Str("keys"), &"16 hex digits a key");
        if !text.len().is_multiple_of(DIGITS) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        (0..text.len())
            .step_by(DIGITS)
            .map(|at| u64::from_str_radix(&text[at..at + DIGITS], 16).map_err(|_| wrong()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
