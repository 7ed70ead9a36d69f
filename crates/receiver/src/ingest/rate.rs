//! How many documents a second each token may send.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

pub struct Rates(Mutex<State>);

struct State {
    rate: u32,
    /// `None`: as many as may come.
    quota: Option<Quota>,
    by_token: HashMap<i64, DefaultDirectRateLimiter>,
}

impl State {
    fn new(rate: u32) -> Self {
        let quota = NonZeroU32::new(rate).map(|rate| {
            let ten = NonZeroU32::MIN.saturating_add(9);
            Quota::per_second(rate).allow_burst(rate.saturating_mul(ten))
        });
        Self {
            rate,
            quota,
            by_token: HashMap::new(),
        }
    }
}

impl Rates {
    /// So many a second, and what was not used of ten seconds at once; 0: as many as may come.
    pub fn new(rate: u32) -> Self {
        Self(Mutex::new(State::new(rate)))
    }

    /// From now on so many. What each token has sent until now no longer counts if it is another rate.
    pub fn change(&self, rate: u32) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.rate != rate {
            *state = State::new(rate);
        }
    }

    /// # Errors
    /// The token has sent more than it may; when it may send these.
    pub fn take(&self, token: i64, documents: usize) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(quota) = state.quota else {
            return Ok(());
        };
        let documents = u32::try_from(documents).unwrap_or(u32::MAX);
        let Some(documents) = NonZeroU32::new(documents.min(quota.burst_size().get())) else {
            return Ok(());
        };
        let limiter = state
            .by_token
            .entry(token)
            .or_insert_with(|| RateLimiter::direct(quota));
        match limiter.check_n(documents) {
            Ok(Err(until)) => Err(until.wait_time_from(DefaultClock::default().now())),
            // More than the burst cannot be: it was cut to that.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}
