//! How many documents a second each token may send.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

pub struct Rates {
    quota: Option<Quota>,
    by_token: Mutex<HashMap<i64, DefaultDirectRateLimiter>>,
}

impl Rates {
    /// So many a second, and what was not used of ten seconds at once; 0: as many as may come.
    pub fn new(rate: u32) -> Self {
        let quota = NonZeroU32::new(rate).map(|rate| {
            let ten = NonZeroU32::MIN.saturating_add(9);
            Quota::per_second(rate).allow_burst(rate.saturating_mul(ten))
        });
        Self {
            quota,
            by_token: Mutex::default(),
        }
    }

    /// # Errors
    /// The token has sent more than it may; when it may send these.
    pub fn take(&self, token: i64, documents: usize) -> Result<(), Duration> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let documents = u32::try_from(documents).unwrap_or(u32::MAX);
        let Some(documents) = NonZeroU32::new(documents.min(quota.burst_size().get())) else {
            return Ok(());
        };
        let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = by_token
            .entry(token)
            .or_insert_with(|| RateLimiter::direct(quota));
        match limiter.check_n(documents) {
            Ok(Err(until)) => Err(until.wait_time_from(DefaultClock::default().now())),
            // More than the burst cannot be: it was cut to that.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}
