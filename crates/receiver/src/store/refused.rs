//! Requests that were refused, counted in memory until the writer settles: whatever comes, and however much of it,
//! costs a number here and a few rows every five seconds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use super::locked;
use crate::documents::time::{SLOT_MS, slot};

/// Reasons and facilities are few, so this is reached only where nothing can be written for hours. Then what is
/// new is not counted.
const MOST: usize = 10_000;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct What {
    status: u16,
    why: &'static str,
    /// Of a token that is known.
    pub facility: Option<Arc<str>>,
    /// Five minutes since 1970.
    slot: i64,
}

impl What {
    /// The answer and why, such as `403 a document of another facility`.
    pub fn label(&self) -> String {
        format!("{} {}", self.status, self.why)
    }

    /// The beginning of its five minutes, in milliseconds since 1970.
    pub fn time(&self) -> i64 {
        self.slot * SLOT_MS
    }
}

/// How often what was refused since the last settling.
#[derive(Debug, Default)]
pub struct Refused(Mutex<HashMap<What, u32>>);

impl Refused {
    pub fn note(&self, status: u16, why: &'static str, facility: Option<Arc<str>>, now: i64) {
        let what = What {
            status,
            why,
            facility,
            slot: slot(now),
        };
        let mut all = locked(&self.0);
        let is_full = all.len() >= MOST;
        match all.entry(what) {
            Entry::Occupied(mut times) => *times.get_mut() = times.get().saturating_add(1),
            Entry::Vacant(new) if !is_full => {
                new.insert(1);
            }
            Entry::Vacant(_) => {}
        }
    }

    pub fn take(&self) -> HashMap<What, u32> {
        std::mem::take(&mut locked(&self.0))
    }

    /// What was taken and could not be counted.
    pub fn put_back(&self, taken: impl Iterator<Item = (What, u32)>) {
        let mut all = locked(&self.0);
        for (what, times) in taken {
            let now = all.entry(what).or_default();
            *now = now.saturating_add(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_number_and_what_is_counted_is_bounded() {
        let refused = Refused::default();
        for time in 0..1_000 {
            refused.note(401, "no token", None, time);
        }
        let all = refused.take();
        let all: Vec<_> = all.iter().map(|(what, n)| (what.label(), *n)).collect();
        assert_eq!(all, [("401 no token".to_owned(), 1_000)]);
        for n in 0..2 * MOST as i64 {
            refused.note(401, "no token", Some("AF-1".into()), n * SLOT_MS);
        }
        refused.note(401, "no token", Some("AF-1".into()), 0);
        let all = refused.take();
        assert_eq!(all.len(), MOST);
        assert_eq!(all.values().max(), Some(&2), "the known ones go on");
    }
}
