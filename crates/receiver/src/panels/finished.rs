//! How many jobs ended, and how.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, STEP, TO};
use crate::api::numbers::{self, Steps};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field};
use crate::documents::{Metric, System};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;
use crate::store::slots::Cell;

pub const PANEL: Panel = Panel {
    name: "finished",
    page: &BATCH,
    title: "Jobs that ended",
    about: "How many ended in each step, by how; a step is an hour where a day is shown. A job counts once, when it was first reported as ended. Of one that Slurm put back into its queue, each run counts that ended in another way than `requeued`, which is no end.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Count,
        split: &["state"],
        values: &[("jobs", "jobs")],
        steps: 60,
    }),
};

pub const QUESTION: Question = Question {
    path: "finished",
    summary: "Jobs that ended, step by step",
    about: "A job that ended counts once, when it was first reported as ended; of one of Slurm, each run, but for those that were `requeued`, which is no end. In a step in which jobs were heard of and none ended, 0 ended; a step in which no jobs were heard of is left out. Batch systems and facilities are added up.",
    params: &[FACILITY, FROM, TO, STEP, FORMAT],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field(
            "state",
            Ty::Text,
            "How they ended: finished or removed; of Slurm also failed, timeout, out_of_memory and the like.",
        ),
        field("jobs", Ty::Int, "Jobs that ended."),
        field(
            "seconds",
            Ty::Number,
            "Their run time together, in seconds.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut heard: BTreeSet<i64> = BTreeSet::new();
    // Finished ones have a row even where none ever was.
    let mut states: BTreeMap<String, Steps> = [("finished".to_owned(), Steps::new())].into();
    for facility in asked.facilities(store)? {
        let jobs = numbers::series(store, facility.id, Metric::Jobs)?;
        heard.extend(numbers::heard(store, &jobs, asked.span, asked.step)?.keys());
        for series in numbers::series(store, facility.id, Metric::Ended)? {
            let steps = numbers::steps(store, series.id, asked.span, asked.step)?;
            heard.extend(steps.keys());
            let (_, state) = System::of_part(&series.part);
            let state = states.entry(state.to_owned()).or_default();
            for (time, cell) in steps {
                numbers::add(state, time, cell);
            }
        }
    }
    let mut rows = Rows::default();
    for time in heard {
        for (state, steps) in &states {
            let cell = steps.get(&time);
            rows.push(vec![
                Datum::Time(time),
                state.as_str().into(),
                cell.map_or(0, |cell| i64::from(cell.n)).into(),
                cell.map_or(0.0, |Cell { sum, .. }| *sum).into(),
            ])?;
        }
    }
    Ok(rows)
}
