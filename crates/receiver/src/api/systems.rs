//! Series of batch jobs and queues, by batch system: each is heard of for itself, and they are added up, as
//! facilities are.

use rusqlite::Connection;

use super::numbers::{self, Series};
use super::refused::Refused;
use super::span::Span;
use crate::documents::{Metric, System};

/// The series of a facility's metric that are of this system; their part is the state or queue alone.
pub fn series(
    store: &Connection,
    facility: i64,
    metric: Metric,
    system: System,
) -> rusqlite::Result<Vec<Series>> {
    Ok(of_system(numbers::series(store, facility, metric)?, system))
}

/// Those of these series that are of this system; the same.
pub fn of_system(all: Vec<Series>, system: System) -> Vec<Series> {
    let own = |series: Series| match System::of_part(&series.part) {
        (of, name) if of == system => Some(Series {
            part: name.to_owned(),
            ..series
        }),
        _ => None,
    };
    all.into_iter().filter_map(own).collect()
}

/// Those of these series of jobs that have something whenever a queue was read: a job in it, or a round's zeros.
/// Jobs that ended are known from the history, too, while the queue is not: they make no other state a zero.
pub fn of_queue(all: &[Series]) -> Vec<Series> {
    let is_of_queue = |series: &&Series| System::is_of_queue(System::of_part(&series.part).1);
    all.iter().filter(is_of_queue).cloned().collect()
}

/// The systems of which a facility's documents, or that a queue was empty, were heard of in a span.
pub fn heard(store: &Connection, facility: i64, span: Span) -> Result<Vec<&'static str>, Refused> {
    let documents = numbers::series(store, facility, Metric::Documents)?;
    let jobs = numbers::series(store, facility, Metric::Jobs)?;
    let mut names = Vec::new();
    for system in System::ALL {
        let kinds = [system.job_kind(), system.queue_kind()];
        let own = documents
            .iter()
            .filter(|series| kinds.contains(&series.label.as_str()));
        let states = jobs
            .iter()
            .filter(|series| System::of_part(&series.part).0 == system);
        for series in own.chain(states) {
            if numbers::has_any(store, series.id, span)? {
                names.push(system.name());
                break;
            }
        }
    }
    Ok(names)
}
