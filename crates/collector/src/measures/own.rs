//! The collector in numbers: its rounds, what became of its documents, and what waits.
//!
//! A daemon keeps one [`Own`] and tells it what happened. A round by cron makes one, too, for its
//! textfile: it leaves out the counters ([`Own::of_one_round`]), which would be 1 for ever.

use std::collections::BTreeMap;

use afmetrics_document::kinds::RESULTS;
use afmetrics_document::{CollectorReport, CollectorResult};
use jiff::Timestamp;

use super::table::{self, Metric, Type};
use super::{Counted, Ended, Measures, Sample, real};

/// What the collector knows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    started: Timestamp,
    rounds: u64,
    last: Option<Last>,
    results: BTreeMap<(&'static str, &'static str), u64>,
    documents: BTreeMap<&'static str, u64>,
    ended: BTreeMap<Counted, Ended>,
    endpoints: BTreeMap<String, Endpoint>,
}

/// What a round says of itself when it has collected.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// When the last collector had ended.
    pub ended: Timestamp,
    /// Seconds that collecting took.
    pub duration: f64,
    /// Each collector that was to run, by its name in [`crate::collectors::ALL`].
    pub collectors: &'a [(&'static str, CollectorReport)],
    /// How many documents of which kind.
    pub kinds: &'a [(&'static str, u64)],
    /// Of all collectors.
    pub measures: &'a Measures,
}

/// What became of documents. Sums are kept of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    pub accepted: u64,
    /// Of the accepted ones, those of earlier rounds.
    pub late: u64,
    /// Put aside for a person.
    pub rejected: u64,
    /// Given up, as they could not be kept any longer or anywhere.
    pub lost: u64,
}

/// What the answer to a request means, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Rejected,
    Mend,
    Busy,
    None,
}

impl Answer {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Rejected,
        Self::Mend,
        Self::Busy,
        Self::None,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Mend => "mend",
            Self::Busy => "busy",
            Self::None => "none",
        }
    }
}

/// What waits on disk for an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub batches: u64,
    pub bytes: u64,
    pub documents: u64,
    /// When the oldest of the batches was collected. A time and no age: it is true between two rounds, too.
    pub oldest: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
struct Last {
    ended: Timestamp,
    duration: f64,
    /// Whether it ended well, and the seconds that it took.
    collectors: BTreeMap<&'static str, (bool, f64)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Endpoint {
    delivered: Delivered,
    answers: [u64; Answer::ALL.len()],
    /// `None`: the spool was not asked, or did not answer.
    waiting: Option<Waiting>,
}

impl Own {
    /// Of a program that started then: all counters count since.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            rounds: 0,
            last: None,
            results: BTreeMap::new(),
            documents: BTreeMap::new(),
            ended: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        }
    }

    /// A round has collected.
    pub fn round(&mut self, round: &Round<'_>) {
        self.rounds += 1;
        let mut collectors = BTreeMap::new();
        for (name, report) in round.collectors {
            let is_ok = report.result == CollectorResult::Ok;
            collectors.insert(*name, (is_ok, report.duration));
            // All of them from the beginning: of the first failure there would be no increase otherwise.
            for result in RESULTS {
                self.results.entry((*name, result)).or_default();
            }
            *self
                .results
                .entry((*name, word(report.result)))
                .or_default() += 1;
        }
        self.last = Some(Last {
            ended: round.ended,
            duration: round.duration,
            collectors,
        });
        for (kind, count) in round.kinds {
            *self.documents.entry(*kind).or_default() += count;
        }
        for (counted, ended) in round.measures.ended() {
            self.ended.entry(counted).or_default().add(ended);
        }
    }

    /// Documents for this endpoint are done with. To be called once for each endpoint at the start, with
    /// the default, so that its counters begin at 0.
    pub fn delivered(&mut self, endpoint: &str, what: Delivered) {
        let sum = &mut self.endpoint(endpoint).delivered;
        sum.accepted += what.accepted;
        sum.late += what.late;
        sum.rejected += what.rejected;
        sum.lost += what.lost;
    }

    /// The endpoint answered `count` requests so.
    pub fn answered(&mut self, endpoint: &str, answer: Answer, count: u64) {
        let answers = &mut self.endpoint(endpoint).answers;
        let all = Answer::ALL.iter().zip(answers);
        all.filter(|(known, _)| **known == answer)
            .for_each(|(_, sum)| *sum += count);
    }

    /// What waits for the endpoint now; `None`: that is not known, and there is no number.
    pub fn waits(&mut self, endpoint: &str, waiting: Option<Waiting>) {
        self.endpoint(endpoint).waiting = waiting;
    }

    /// A round could not even begin: nothing is known of any collector.
    pub fn no_round(&mut self) {
        self.last = None;
    }

    /// Only these endpoints are there still.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.endpoints.retain(|name, _| is_there(name));
    }

    /// When the last round ended collecting; `None`: there was none yet.
    pub fn last_round(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|last| last.ended)
    }

    /// All samples, each series once. `cluster`: the facility; `resident`: bytes of memory in use now
    /// ([`resident`]).
    pub fn samples(&self, cluster: &str, resident: Option<u64>) -> Vec<Sample> {
        let mut to = Samples {
            cluster,
            since: self.started,
            samples: Vec::new(),
        };
        to.put(&table::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
        to.put(&table::START_TIME, &[], seconds(self.started));
        if let Some(bytes) = resident {
            to.put(&table::RESIDENT, &[], real(bytes));
        }
        self.put_rounds(&mut to);
        for (name, endpoint) in &self.endpoints {
            endpoint.put(name, &mut to);
        }
        to.samples
    }

    /// The same of a program that ends with its round: no counters, and nothing of the process.
    pub fn of_one_round(&self, cluster: &str) -> Vec<Sample> {
        let mut samples = self.samples(cluster, None);
        samples.retain(|sample| sample.since.is_none() && sample.name != table::START_TIME.name);
        samples
    }

    fn put_rounds(&self, to: &mut Samples<'_>) {
        to.put(&table::ROUNDS, &[], real(self.rounds));
        if let Some(last) = &self.last {
            to.put(&table::LAST_ROUND, &[], seconds(last.ended));
            to.put(&table::ROUND_DURATION, &[], last.duration);
            for (name, (is_ok, duration)) in &last.collectors {
                to.put(&table::SUCCESS, &[name], f64::from(u8::from(*is_ok)));
                to.put(&table::DURATION, &[name], *duration);
            }
        }
        for ((name, result), count) in &self.results {
            to.put(&table::RESULTS, &[name, result], real(*count));
        }
        for (kind, count) in &self.documents {
            to.put(&table::DOCUMENTS, &[kind], real(*count));
        }
        for ((system, state), ended) in &self.ended {
            to.put(
                &table::ENDED_JOBS,
                &[system.name(), state],
                real(ended.jobs),
            );
            to.put(
                &table::ENDED_RUNTIME,
                &[system.name(), state],
                real(ended.runtime),
            );
        }
    }

    fn endpoint(&mut self, name: &str) -> &mut Endpoint {
        self.endpoints.entry(name.to_owned()).or_default()
    }
}

impl Endpoint {
    fn put(&self, name: &str, to: &mut Samples<'_>) {
        let Delivered {
            accepted,
            late,
            rejected,
            lost,
        } = self.delivered;
        for (result, count) in [
            ("accepted", accepted),
            ("rejected", rejected),
            ("lost", lost),
        ] {
            to.put(&table::DELIVERED, &[name, result], real(count));
        }
        to.put(&table::LATE, &[name], real(late));
        for (answer, count) in Answer::ALL.iter().zip(self.answers) {
            to.put(&table::ANSWERS, &[name, answer.word()], real(count));
        }
        if let Some(waiting) = &self.waiting {
            to.put(&table::SPOOL_BATCHES, &[name], real(waiting.batches));
            to.put(&table::SPOOL_BYTES, &[name], real(waiting.bytes));
            to.put(&table::SPOOL_DOCUMENTS, &[name], real(waiting.documents));
            if let Some(oldest) = waiting.oldest {
                to.put(&table::SPOOL_OLDEST, &[name], seconds(oldest));
            }
        }
    }
}

struct Samples<'a> {
    cluster: &'a str,
    since: Timestamp,
    samples: Vec<Sample>,
}

impl Samples<'_> {
    fn put(&mut self, metric: &Metric, values: &[&str], value: f64) {
        let mut sample = Sample::new(metric, self.cluster, values, value);
        sample.since = (metric.ty == Type::Counter).then_some(self.since);
        self.samples.push(sample);
    }
}

/// As the `round` document says it.
const fn word(result: CollectorResult) -> &'static str {
    match result {
        CollectorResult::Ok => "ok",
        CollectorResult::NotHere => "not_here",
        CollectorResult::Failed => "failed",
        CollectorResult::TimedOut => "timed_out",
        CollectorResult::Malformed => "malformed",
        CollectorResult::Busy => "busy",
    }
}

/// Since 1970.
fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Bytes of memory in use, by `/proc/self/status`: a line such as `VmRSS:     12345 kB`.
pub fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kb: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kb.checked_mul(1024)
}

#[cfg(test)]
mod tests;
