//! The history itself: facilities that live through it round by round, and a store that takes their documents.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers that are made up may be cut"
)]

mod batch;
mod chance;
mod disks;
mod facility;
mod filling;
mod nodes;
mod people;
mod plan;
mod request;

use afmetrics_document::names::{HostRule, Publisher, UserRule};
use afmetrics_receiver::documents::time::{DAY_MS, HOUR_MS};

pub use filling::{Filled, fill};

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub days: i64,
    /// Its end, in milliseconds since 1970.
    pub until: i64,
    pub seed: u64,
    pub grain: Grain,
}

/// How often rounds come: up to this age (milliseconds before the end) every so many times five minutes.
pub type Grain = &'static [(i64, i64)];

/// As dashboards show it: five minutes for two days, an hour for two months.
const USUAL: Grain = &[(49 * HOUR_MS, 1), (8 * DAY_MS, 3), (i64::MAX, 12)];

impl Wish {
    pub fn up_to(until: i64) -> Self {
        Self {
            days: 90,
            until,
            seed: 1,
            grain: USUAL,
        }
    }

    fn begin(&self) -> i64 {
        self.until - self.days * DAY_MS
    }
}

/// Names as they are: they are nobody's.
fn names() -> Publisher {
    Publisher::new(UserRule::Clear, HostRule::Clear)
}
