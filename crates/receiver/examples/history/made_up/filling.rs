//! From the history to the store, on the path that documents take: what arrives at one time is stored together,
//! so that nothing is late but what is meant to be.

use std::sync::mpsc::{SyncSender, sync_channel};

use afmetrics_receiver::documents::time::{DAY_MS, SLOT_MS};
use afmetrics_receiver::store::{Received, Store};
use anyhow::{Result, anyhow};
use fastrand::Rng;
use futures_util::future::join_all;

use super::facility::Facility;
use super::people::people;
use super::plan::PLANS;
use super::{Grain, Wish};

/// Before the history begins, facilities live for so long, so that it begins with jobs that run.
const BEFORE: i64 = 3 * DAY_MS;
/// Times that are made ahead of the store.
const AHEAD: usize = 8;

/// Documents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    pub stored: usize,
    /// Of them, those that came late.
    pub late: usize,
    pub repeated: usize,
}

/// What arrives at one time.
struct Arrival {
    /// Of the history, from 0.
    day: i64,
    late: usize,
    received: Vec<Received>,
}

/// Fills a store; says on which day it is, from 0.
///
/// # Errors
/// The store cannot be written.
pub async fn fill(store: &Store, wish: &Wish, mut say: impl FnMut(i64)) -> Result<Filled> {
    let (made, arrivals) = sync_channel(AHEAD);
    let maker = {
        let wish = *wish;
        std::thread::spawn(move || make(&wish, &made))
    };
    let mut filled = Filled::default();
    let mut today = -1;
    for arrival in arrivals {
        if today != arrival.day {
            today = arrival.day;
            say(today);
        }
        filled.late += arrival.late;
        for kept in join_all(arrival.received.into_iter().map(|one| store.keep(one))).await {
            let kept = kept.map_err(|why| anyhow!("the store does not take it: {why:?}"))?;
            filled.stored += kept.stored;
            filled.repeated += kept.repeated;
        }
    }
    maker
        .join()
        .map_err(|_| anyhow!("the maker has failed"))??;
    Ok(filled)
}

fn make(wish: &Wish, made: &SyncSender<Arrival>) -> Result<()> {
    let mut rng = Rng::with_seed(wish.seed);
    let people = people(&mut rng, wish.begin(), wish.until);
    let mut facilities: Vec<Facility> = (0..PLANS.len())
        .map(|number| Facility::new(number, wish, &people, rng.fork()))
        .collect();
    for age in (0..=(wish.days * DAY_MS + BEFORE) / SLOT_MS).rev() {
        let time = wish.until - age * SLOT_MS;
        let is_sent = time >= wish.begin() && age % every(wish.grain, age * SLOT_MS) == 0;
        let mut arrival = Arrival {
            day: (time - wish.begin()) / DAY_MS,
            late: 0,
            received: Vec::new(),
        };
        for facility in &mut facilities {
            facility.pass(time);
            for request in if is_sent {
                facility.round(time)?
            } else {
                Vec::new()
            } {
                arrival.late += if request.is_late {
                    request.documents as usize
                } else {
                    0
                };
                arrival.received.push(request.received()?);
            }
        }
        // Nobody waits for it any more where the store has failed.
        if is_sent && made.send(arrival).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Every so many times five minutes at this age.
fn every(grain: Grain, age: i64) -> i64 {
    let step = grain.iter().find(|(until, _)| age <= *until);
    step.map_or(1, |(_, every)| *every)
}
