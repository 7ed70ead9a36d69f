//! Batch queues over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, STEP, TO};
use super::numbers;
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::{Metric, System};

pub const QUESTION: Question = Question {
    path: "queues",
    summary: "Batch queues over time",
    about: "Means of what was reported in a step. Two batch systems of a facility may have queues of the same name: each is one of its own. A step in which nothing was heard of a queue is left out.",
    params: &[
        FACILITY,
        FROM,
        TO,
        STEP,
        asked::param_text("queue", "Only queues of this name."),
        asked::limit(
            100,
            1000,
            "At most so many queues of which something was heard in the span, in the order of facility, name and batch system.",
        ),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("facility", Ty::Text, "The queue's facility."),
        field("queue", Ty::Text, "The queue."),
        field("idle", Ty::MaybeNumber, "Idle jobs."),
        field("running", Ty::MaybeNumber, "Running jobs."),
        field("held", Ty::MaybeNumber, "Held jobs."),
        field("cores", Ty::MaybeNumber, "Cores of the running jobs."),
        field(
            "memory",
            Ty::MaybeNumber,
            "Memory of the running jobs, in MiB.",
        ),
        field(
            "system",
            Ty::Text,
            "The queue's batch system: HTCondor or Slurm, whose queues are its partitions, and one named all.",
        ),
    ],
    answer: How::Rows(answer),
};

const METRICS: [Metric; 5] = [
    Metric::QueueIdle,
    Metric::QueueRunning,
    Metric::QueueHeld,
    Metric::QueueCores,
    Metric::QueueMemory,
];

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut queues: BTreeMap<(String, String, System), Vec<(usize, i64)>> = BTreeMap::new();
    for facility in asked.facilities(store)? {
        for (at, metric) in METRICS.into_iter().enumerate() {
            for series in numbers::series(store, facility.id, metric)? {
                let (system, name) = System::of_part(&series.part);
                if asked.word("queue").is_none_or(|queue| queue == name) {
                    let queue = (facility.name.clone(), name.to_owned(), system);
                    queues.entry(queue).or_default().push((at, series.id));
                }
            }
        }
    }
    let mut rows = Rows::default();
    let mut places = asked.limit();
    for ((facility, queue, system), all) in queues {
        if places == 0 {
            rows.cut += usize::from(any(store, asked, &all)?);
            continue;
        }
        let mut steps: BTreeMap<i64, [Option<f64>; METRICS.len()]> = BTreeMap::new();
        for (at, series) in all {
            for (time, cell) in numbers::steps(store, series, asked.span, asked.step)? {
                steps.entry(time).or_default()[at] = Some(cell.mean());
            }
        }
        places -= usize::from(!steps.is_empty());
        for (time, means) in steps {
            let names = [
                Datum::Time(time),
                facility.as_str().into(),
                queue.as_str().into(),
            ];
            let system = [system.name().into()];
            let means = means.map(Datum::from);
            rows.push(names.into_iter().chain(means).chain(system).collect())?;
        }
    }
    Ok(rows)
}

/// Whether any of a queue's series has something in the span.
fn any(store: &Connection, asked: &Asked, all: &[(usize, i64)]) -> Result<bool, Refused> {
    for (_, series) in all {
        if numbers::has_any(store, *series, asked.span)? {
            return Ok(true);
        }
    }
    Ok(false)
}
