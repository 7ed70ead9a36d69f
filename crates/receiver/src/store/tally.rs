//! What the writer has done since it started, as counters for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use afmetrics_document::kinds;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Received;
use super::summaries::LATE_MS;
use crate::clock;
use crate::documents::{Document, Name};

/// Bounds of the commits' times, in seconds: a fast disk needs one or two ms, a slow one a hundred.
const BOUNDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// What a kind is called that the table of kinds does not have: anybody may make up one, and the
/// number of time series must not grow with that.
const OTHER: &str = "other";

/// Documents are counted by facility, kind and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Became {
    pub facility: Arc<str>,
    pub kind: &'static str,
    /// `stored` or `repeated`.
    pub result: &'static str,
}

/// Late ones by facility and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Of {
    pub facility: Arc<str>,
    pub kind: &'static str,
}

/// Clones count together.
#[derive(Debug, Clone)]
pub struct Tally {
    pub documents: Family<Became, Counter>,
    /// Those of the stored ones that came more than 5 minutes after their time.
    pub late: Family<Of, Counter>,
    /// Seconds.
    pub commits: Histogram,
    /// When the last one was done, in seconds since 1970.
    pub last_commit: Gauge,
    /// When one failed and none was done since, in seconds since 1970; 0: the last one was done.
    pub failed: Gauge,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            documents: Family::default(),
            late: Family::default(),
            commits: Histogram::new(BOUNDS),
            last_commit: Gauge::default(),
            failed: Gauge::default(),
        }
    }
}

impl Tally {
    /// Whether the last commit failed, within the last minute: where senders are kept away from who is not
    /// ready, another has to be tried some time.
    pub fn is_failing(&self) -> bool {
        clock::now() / 1000 - self.failed.get() < 60
    }

    /// Counts what was committed: the requests, and which of their documents (request and its
    /// document, ascending) were new.
    pub(super) fn count(
        &self,
        received: &[Received],
        fresh: impl Iterator<Item = (usize, usize)>,
        took: Duration,
    ) {
        self.commits.observe(took.as_secs_f64());
        self.last_commit.set(clock::now() / 1000);
        self.failed.set(0);
        let mut fresh = fresh.peekable();
        for (request, one) in received.iter().enumerate() {
            let mut sum: Option<Sum> = None;
            for (at, document) in one.documents.list.iter().enumerate() {
                let is_new = fresh.next_if_eq(&(request, at)).is_some();
                let which = (document.facility, document.kind);
                match &mut sum {
                    Some(sum) if sum.which == which => sum.add(document, is_new, one.now),
                    other => {
                        if let Some(done) = other.take() {
                            self.add(one, &done);
                        }
                        other.insert(Sum::of(which)).add(document, is_new, one.now);
                    }
                }
            }
            if let Some(done) = sum {
                self.add(one, &done);
            }
        }
    }

    fn add(&self, one: &Received, sum: &Sum) {
        let facility: Arc<str> = one.documents.names.text(sum.which.0).into();
        let kind =
            kinds::find(one.documents.names.text(sum.which.1)).map_or(OTHER, |kind| kind.name);
        for (result, documents) in [("stored", sum.stored), ("repeated", sum.repeated)] {
            if documents > 0 {
                let became = Became {
                    facility: Arc::clone(&facility),
                    kind,
                    result,
                };
                self.documents.get_or_create(&became).inc_by(documents);
            }
        }
        if sum.late > 0 {
            self.late
                .get_or_create(&Of { facility, kind })
                .inc_by(sum.late);
        }
    }
}

/// Documents of a facility and kind in a row.
struct Sum {
    which: (Name, Name),
    stored: u64,
    repeated: u64,
    late: u64,
}

impl Sum {
    fn of(which: (Name, Name)) -> Self {
        Self {
            which,
            stored: 0,
            repeated: 0,
            late: 0,
        }
    }

    fn add(&mut self, document: &Document, is_new: bool, arrived: i64) {
        match is_new {
            true => self.stored += 1,
            false => self.repeated += 1,
        }
        self.late += u64::from(is_new && document.time + LATE_MS < arrived);
    }
}
