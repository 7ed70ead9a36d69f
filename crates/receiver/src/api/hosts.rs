//! Numbers of nodes over time.

use rusqlite::Connection;

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Form, Param, STEP, TO};
use super::numbers;
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::Metric;

const METRICS: [Metric; 8] = [
    Metric::Load,
    Metric::MemoryTotal,
    Metric::MemoryAvailable,
    Metric::NetworkSent,
    Metric::NetworkReceived,
    Metric::DiskTotal,
    Metric::DiskUsed,
    Metric::DiskFree,
];

pub const QUESTION: Question = Question {
    path: "hosts",
    summary: "A number of each node over time",
    about: "Least, mean and most of what was reported in a step. A step in which nothing was heard of a node is left out.",
    params: &[
        Param {
            name: "metric",
            form: Form::Needed(&[
                "load",
                "memory_total",
                "memory_available",
                "network_sent",
                "network_received",
                "disk_total",
                "disk_used",
                "disk_free",
            ]),
            about: "The number: the 1-minute load average, bytes of memory or of a file system, or bytes a second. It must be given.",
        },
        FACILITY,
        FROM,
        TO,
        STEP,
        asked::param_text("node", "Only this node."),
        asked::param_text("mount", "Only this mount."),
        asked::limit(
            100,
            1000,
            "At most so many series that have something in the span, in the order of facility, node and mount.",
        ),
        FORMAT,
    ],
    head: &[field("metric", Ty::Text, "The number.")],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("facility", Ty::Text, "The node's facility."),
        field("node", Ty::Text, "The node."),
        field("mount", Ty::MaybeText, "The mount, of a file system."),
        field("min", Ty::Number, "The least."),
        field("mean", Ty::Number, "The mean of all that was reported."),
        field("max", Ty::Number, "The most."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let word = asked.word("metric").unwrap_or_default();
    let Some(metric) = METRICS.into_iter().find(|metric| metric.name() == word) else {
        return Err(Refused::value("metric", word, "a number of hosts"));
    };
    let is_asked = |name, value: &str| asked.word(name).is_none_or(|word| word == value);
    let mut rows = Rows::default();
    rows.head.push(("metric", word.into()));
    let mut places = asked.limit();
    for facility in asked.facilities(store)? {
        for series in numbers::series(store, facility.id, metric)? {
            if !is_asked("node", &series.label) || !is_asked("mount", &series.part) {
                continue;
            }
            if places == 0 {
                rows.cut += usize::from(numbers::has_any(store, series.id, asked.span)?);
                continue;
            }
            let steps = numbers::steps(store, series.id, asked.span, asked.step)?;
            places -= usize::from(!steps.is_empty());
            let mount = (!series.part.is_empty()).then_some(series.part);
            for (time, cell) in steps {
                rows.push(vec![
                    Datum::Time(time),
                    facility.name.as_str().into(),
                    series.label.as_str().into(),
                    mount.clone().into(),
                    cell.min.into(),
                    cell.mean().into(),
                    cell.max.into(),
                ])?;
            }
        }
    }
    Ok(rows)
}
