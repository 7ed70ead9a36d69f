//! How much of memory and file systems is used, over time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Form, Param, STEP, TO};
use super::nodes::share;
use super::numbers::{self, Series};
use super::refused::Refused;
use super::reply::{Datum, Rows, Ty};
use super::{How, Question, field};
use crate::documents::Metric;
use crate::store::slots::Cell;

pub const QUESTION: Question = Question {
    path: "shares",
    summary: "The used share of each node's memory or file systems over time",
    about: "Of the means of a step: of memory, 1 - available / total; of a file system, as `df` has it, used / (used + free). A step in which nothing was heard is left out.",
    params: &[
        Param {
            name: "of",
            form: Form::OneOf(&["memory", "disks"]),
            about: "Memory, or file systems.",
        },
        FACILITY,
        FROM,
        TO,
        STEP,
        asked::param_text("node", "Only this node."),
        asked::limit(
            200,
            1000,
            "At most so many series that have something in the span, in the order of facility, node and mount.",
        ),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field("facility", Ty::Text, "The node's facility."),
        field("node", Ty::Text, "The node."),
        field("mount", Ty::MaybeText, "The mount, of a file system."),
        field("share", Ty::Number, "The used share, from 0 to 1."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let is_memory = asked.word("of") != Some("disks");
    let (part, other) = match is_memory {
        true => (Metric::MemoryAvailable, Metric::MemoryTotal),
        false => (Metric::DiskUsed, Metric::DiskFree),
    };
    let mut rows = Rows::default();
    let mut places = asked.limit();
    for facility in asked.facilities(store)? {
        for (parts, others) in pairs(store, facility.id, part, other)? {
            if asked.word("node").is_some_and(|node| node != parts.label) {
                continue;
            }
            if places == 0 {
                rows.cut += usize::from(numbers::has_any(store, parts.id, asked.span)?);
                continue;
            }
            let others = numbers::steps(store, others, asked.span, asked.step)?;
            let parts_of = numbers::steps(store, parts.id, asked.span, asked.step)?;
            places -= usize::from(!parts_of.is_empty());
            let mount = (!parts.part.is_empty()).then_some(parts.part);
            for (time, cell) in parts_of {
                let other = others.get(&time).map(Cell::mean);
                let used = match is_memory {
                    true => other.and_then(|total| share(total - cell.mean(), total)),
                    false => other.and_then(|free| share(cell.mean(), cell.mean() + free)),
                };
                let Some(used) = used else {
                    continue;
                };
                rows.push(vec![
                    Datum::Time(time),
                    facility.name.as_str().into(),
                    parts.label.as_str().into(),
                    mount.clone().into(),
                    used.into(),
                ])?;
            }
        }
    }
    Ok(rows)
}

/// The series of a metric, each with the other metric's of the same node and mount.
fn pairs(
    store: &Connection,
    facility: i64,
    part: Metric,
    other: Metric,
) -> rusqlite::Result<Vec<(Series, i64)>> {
    let name = |series: &Series| (series.label.clone(), series.part.clone());
    let others: BTreeMap<_, i64> = numbers::series(store, facility, other)?
        .iter()
        .map(|series| (name(series), series.id))
        .collect();
    let parts = numbers::series(store, facility, part)?;
    let with_other = |series: Series| Some((others.get(&name(&series)).copied()?, series));
    Ok(parts
        .into_iter()
        .filter_map(with_other)
        .map(|(other, series)| (series, other))
        .collect())
}
