//! What the endpoint complained of: each complaint is logged when it is first heard, and counted.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info, warn};

use crate::counted::counted;

/// How many different complaints get a line of their own. What an endpoint says can be different
/// each time (a request's number); the status then still is one of a few.
const DIFFERENT: usize = 20;

/// Whether a person has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// ERROR: a document was refused.
    Act,
    /// ERROR, once, whatever the words: documents will be refused until somebody mends something.
    Mend,
    /// WARN: nothing is lost, and it may pass.
    Look,
}

#[derive(Default)]
pub struct Complaints {
    heard: BTreeMap<String, u64>,
    /// Of those that got no line of their own: how often each status came.
    others: BTreeMap<String, u64>,
    /// What somebody was asked to mend.
    to_mend: BTreeSet<String>,
}

impl Complaints {
    /// `refusal`: in our words; `said`: in the endpoint's.
    pub fn add(&mut self, weight: Weight, refusal: String, said: &str) {
        let text = match said {
            "" => refusal.clone(),
            said => format!("{refusal}: {said}"),
        };
        if let Some(times) = self.heard.get_mut(&text) {
            *times += 1;
            return;
        }
        let is_known = weight == Weight::Mend && !self.to_mend.insert(refusal.clone());
        if !is_known && self.heard.len() < DIFFERENT {
            match weight {
                Weight::Act | Weight::Mend => error!("{text}"),
                Weight::Look => warn!("{text}"),
            }
            self.heard.insert(text, 1);
        } else {
            *self.others.entry(refusal).or_default() += 1;
        }
    }

    /// Logs how often complaints were repeated.
    pub fn sum_up(&self) {
        for (text, times) in &self.heard {
            if *times > 1 {
                info!("{}: {text}", counted(times - 1, "more time"));
            }
        }
        for (refusal, times) in &self.others {
            let times = counted(*times, "more time");
            info!("{times}, with other words each: {refusal}");
        }
    }
}
