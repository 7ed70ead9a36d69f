//! What was refused, in the log: by answer, reason and facility, a line at once and then at most one a
//! minute that says how many more there were. No token, no name of a user: the full reason is in the answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;

use crate::app::App;
use crate::clock;

/// Milliseconds between two lines about the same.
const QUIET_MS: i64 = 60_000;
/// As reasons and facilities are few, this is never reached; nobody shall make it grow.
const MOST: usize = 1_000;

/// Why a request was refused, and whose token it had: added to the answer by whoever refuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    pub why: &'static str,
    /// Of a token that is known; `None`: there was none.
    pub facility: Option<Arc<str>>,
}

impl Refusal {
    /// Of a request without a token that is known.
    pub fn of_nobody(why: &'static str) -> Self {
        Self {
            why,
            facility: None,
        }
    }

    /// An answer that says it to the log.
    pub fn on(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Debug, Default)]
struct Heard {
    /// When the last line was written, in milliseconds since 1970.
    told: i64,
    /// Since then.
    times: u64,
    last_from: Option<IpAddr>,
}

/// All that was refused.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<(u16, Refusal), Heard>>);

impl Refusals {
    /// Notes a refused request, and logs it if the same was not logged within the last minute.
    pub fn note(&self, status: u16, refusal: Refusal, from: Option<IpAddr>, now: i64) {
        if let Some(line) = self.noted(status, refusal, from, now) {
            tracing::warn!("{line}");
        }
    }

    /// Logs what was counted, where the last line is a minute ago.
    pub fn tell(&self, now: i64) {
        for line in self.due(now) {
            tracing::warn!("{line}");
        }
    }

    fn noted(
        &self,
        status: u16,
        refusal: Refusal,
        from: Option<IpAddr>,
        now: i64,
    ) -> Option<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = all.get_mut(&(status, refusal.clone())) {
            heard.times += 1;
            heard.last_from = from;
            return None;
        }
        if all.len() >= MOST {
            return None;
        }
        let line = format!("refused: {}{}", said(status, &refusal), source(from));
        let heard = Heard {
            told: now,
            ..Heard::default()
        };
        all.insert((status, refusal), heard);
        Some(line)
    }

    /// The lines of what was refused again; what was not is forgotten.
    fn due(&self, now: i64) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        all.retain(|(status, refusal), heard| {
            // A clock that was set back must not silence anything.
            if (0..QUIET_MS).contains(&(now - heard.told)) {
                return true;
            }
            if heard.times == 0 {
                return false;
            }
            lines.push(format!(
                "refused {} more in the last minute: {}{}",
                heard.times,
                said(*status, refusal),
                source(heard.last_from)
            ));
            *heard = Heard {
                told: now,
                ..Heard::default()
            };
            true
        });
        lines.sort();
        lines
    }
}

/// Logs what was counted, as long as the receiver runs.
pub async fn tell_on(app: Arc<App>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        app.refusals.tell(clock::now());
    }
}

fn said(status: u16, refusal: &Refusal) -> String {
    let why = refusal.why;
    match &refusal.facility {
        Some(facility) => format!(
            "{status} {why} (token of {})",
            crate::documents::quoted(facility)
        ),
        None => format!("{status} {why}"),
    }
}

fn source(from: Option<IpAddr>) -> String {
    from.map_or_else(String::new, |address| format!(", last from {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(why: &'static str, facility: Option<&str>) -> Refusal {
        Refusal {
            why,
            facility: facility.map(Into::into),
        }
    }

    #[test]
    fn the_same_is_logged_once_a_minute_with_a_count() {
        let refusals = Refusals::default();
        let from = Some(IpAddr::from([127, 0, 0, 1]));
        let note = |why, facility, now| refusals.noted(401, refusal(why, facility), from, now);
        assert_eq!(
            note("bad token", None, 1_000).unwrap(),
            "refused: 401 bad token, last from 127.0.0.1"
        );
        for now in 1_001..1_101 {
            assert_eq!(note("bad token", None, now), None);
        }
        assert!(note("bad token", Some("UC-AF"), 1_200).is_some());
        assert!(refusals.due(60_999).is_empty());
        assert_eq!(
            refusals.due(61_000),
            ["refused 100 more in the last minute: 401 bad token, last from 127.0.0.1"]
        );
        // Quiet for a minute: forgotten, and news again.
        assert!(refusals.due(121_000).is_empty());
        assert!(note("bad token", None, 121_001).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let refusals = Refusals::default();
        let note = |now| refusals.noted(400, refusal("no document", None), None, now);
        assert!(note(1_000_000).is_some() && note(1_000_001).is_none());
        assert_eq!(refusals.due(5_000).len(), 1);
    }

    #[test]
    fn a_facility_cannot_write_lines_of_its_own() {
        let line = said(403, &refusal("no", Some("X\nERROR all is lost\x1b[2J")));
        assert!(!line.contains('\n') && !line.contains('\x1b'), "{line}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let refusals = Refusals::default();
        for n in 0..2 * MOST {
            refusals.noted(403, refusal("no", Some(&n.to_string())), None, 0);
        }
        assert_eq!(refusals.0.lock().unwrap().len(), MOST);
    }
}
