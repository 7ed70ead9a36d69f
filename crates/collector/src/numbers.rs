//! The numbers of a round, for those who hear nothing else: endpoints of the OpenTelemetry protocol, the
//! daemon's listener, and the textfile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use afmetrics_document::CollectorReport;
use jiff::Timestamp;
use serde::Serialize;

use crate::collectors::ALL;
use crate::config::Config;
use crate::context::Context;
use crate::delivery::Outcome;
use crate::documents::{Documents, Stored};
use crate::error::CollectError;
use crate::heartbeat;
use crate::measures::own::{Delivered, Own, Round};
use crate::measures::{Measures, Sample};
use crate::round::{self, Collected};

/// What they are called among what was collected; no collector of [`crate::collectors::ALL`] is.
pub const NAME: &str = "metrics";

/// The numbers of a round.
pub struct Numbers {
    /// When the last collector had ended.
    ended: Timestamp,
    /// What collecting took.
    duration: Duration,
    reports: Vec<(&'static str, CollectorReport)>,
    kinds: Vec<(&'static str, u64)>,
    /// By audience, of those that hear nothing else.
    measures: BTreeMap<usize, Measures>,
    /// What became of the documents, by the endpoint's name.
    pub delivered: Vec<(String, Outcome)>,
}

/// A sample as it waits in the spool.
#[derive(Serialize)]
struct Measured<'a> {
    kind: &'static str,
    login_node: &'a str,
    #[serde(flatten)]
    sample: &'a Sample,
}

impl Numbers {
    /// Of what was collected, and takes the numbers out of it. `duration`: of collecting.
    pub fn of(config: &Config, collected: &mut [Collected], duration: Duration) -> Self {
        let mut kinds = BTreeMap::new();
        let mut measures: BTreeMap<usize, Measures> = BTreeMap::new();
        for (audience, about) in config.audiences.iter().enumerate() {
            if about.measures_only {
                measures.insert(audience, Measures::default());
            }
        }
        for collected in &mut *collected {
            let Some(documents) = &mut collected.documents else {
                continue;
            };
            for (kind, count) in documents.kinds_of_all() {
                *kinds.entry(kind).or_insert(0) += count;
            }
            let spec = ALL.iter().find(|spec| spec.name == collected.name);
            for (audience, sum) in &mut measures {
                // Who is not to hear of jobs does not hear that there are none.
                let hears = |kind: &&str| config.audiences[*audience].hears_of(kind);
                let hears_all = spec.is_none_or(|spec| spec.kinds.iter().all(hears));
                if let Some(mut own) = documents.measures(*audience) {
                    if documents.is_whole_for(*audience) && hears_all {
                        own.ended_well();
                    }
                    sum.merge(own);
                }
            }
        }
        Self {
            ended: Timestamp::try_from(crate::now()).unwrap_or(Timestamp::UNIX_EPOCH),
            duration,
            reports: collected
                .iter()
                .map(|collected| (collected.name, heartbeat::report(collected, None)))
                .collect(),
            kinds: kinds.into_iter().collect(),
            measures,
            delivered: Vec::new(),
        }
    }

    /// Puts them behind all documents, for the endpoints that take them.
    pub fn join(
        &self,
        config: &Config,
        cx: &Context,
        collected: &mut Vec<Collected>,
        folder: &Path,
    ) {
        let wanted = self
            .measures
            .keys()
            .any(|audience| *audience < config.endpoints());
        if wanted {
            let written = self.written(config, cx, folder);
            collected.push(round::judged(NAME, "", written, Duration::ZERO));
        }
    }

    fn written(
        &self,
        config: &Config,
        cx: &Context,
        folder: &Path,
    ) -> Result<Stored, CollectError> {
        let mut out = Documents::new(NAME, &config.cluster, &config.audiences, folder);
        let mut own = Own::new(self.ended);
        self.tell(&mut own);
        for (audience, measures) in &self.measures {
            let login_node = cx.login_node.heard_by(*audience).unwrap_or_default();
            let samples = measures.samples(&config.cluster);
            for sample in samples.iter().chain(&own.of_one_round(&config.cluster)) {
                let line = Measured {
                    kind: NAME,
                    login_node,
                    sample,
                };
                out.push_line(*audience, NAME, &line)?;
            }
        }
        out.close(Ok(()))?;
        out.finish()
    }

    /// The jobs that ended will be read again, as nothing of them could be kept.
    pub fn forget_ended(&mut self) {
        self.measures.values_mut().for_each(Measures::forget_ended);
    }

    /// For whoever asks at this node; `None`: nobody can.
    pub fn local(&self, config: &Config) -> Option<&Measures> {
        let audience = config.local_audience?;
        self.measures.get(&audience)
    }

    /// Tells what the round came to.
    pub fn tell(&self, own: &mut Own) {
        // Of the audience that is there for it: the sums that go on over rounds.
        let none = Measures::default();
        let measures = self.measures.values().next_back().unwrap_or(&none);
        own.round(&Round {
            ended: self.ended,
            duration: self.duration.as_secs_f64(),
            collectors: &self.reports,
            kinds: &self.kinds,
            measures,
        });
        for (name, outcome) in &self.delivered {
            own.delivered(
                name,
                Delivered {
                    accepted: outcome.accepted,
                    late: outcome.late,
                    rejected: outcome.rejected,
                    lost: outcome.left.lost + outcome.left.given_up,
                },
            );
            for (answer, count) in outcome.answers() {
                own.answered(name, answer, count);
            }
            let waits = outcome.left.waits().filter(|_| !outcome.is_unknown);
            own.waits(name, waits);
        }
    }
}
