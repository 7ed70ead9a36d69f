//! The load of all nodes for a day.

use rusqlite::{Connection, params};

use super::Panel;
use crate::api::asked::{self, Asked, FACILITY, FORMAT, TO};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::span::{Span, Step};
use crate::api::{How, Question, field, numbers};
use crate::documents::Metric;
use crate::documents::time::DAY_MS;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::NODES;

const STEP: Step = Step::QuarterHour;

pub const PANEL: Panel = Panel {
    name: "heat",
    page: &NODES,
    title: "Load of all nodes",
    about: "The last 24 hours of the span, whatever node is shown: a row for each node, a quarter of an hour wide each step. Striped where nothing was heard.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Heat,
        unit: Unit::Number,
        split: &["facility", "node"],
        values: &[("load", "load")],
        steps: 96,
    }),
};

pub const QUESTION: Question = Question {
    path: "loads",
    summary: "The load of all nodes for a day",
    about: "Each quarter of an hour of the 24 hours before `to`, for each node that anything was heard of in them, or that is known now.",
    params: &[
        FACILITY,
        TO,
        asked::limit(
            200,
            1000,
            "At most so many nodes, in the order of facility and name.",
        ),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the quarter of an hour."),
        field("facility", Ty::Text, "The node's facility."),
        field("node", Ty::Text, "The node."),
        field(
            "load",
            Ty::MaybeNumber,
            "The mean 1-minute load average; null where nothing was heard.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let to = asked.span.to;
    let span = Span {
        from: STEP.begin(to - DAY_MS + STEP.ms() - 1),
        to,
    };
    let mut rows = Rows::default();
    let mut places = asked.limit();
    let mut known = store.prepare_cached("SELECT 1 FROM latest WHERE facility = ? AND kind = (SELECT id FROM kinds WHERE name = 'CPU') AND node = ?")?;
    for facility in asked.facilities(store)? {
        for series in numbers::series(store, facility.id, Metric::Load)? {
            let steps = numbers::steps(store, series.id, span, STEP)?;
            // A silent node is what is looked for.
            if steps.is_empty() && !known.exists(params![facility.id, series.label])? {
                continue;
            }
            if places == 0 {
                rows.cut += 1;
                continue;
            }
            places -= 1;
            let mut time = span.from;
            while time < to {
                rows.push(vec![
                    Datum::Time(time),
                    facility.name.as_str().into(),
                    series.label.as_str().into(),
                    steps.get(&time).map(|cell| cell.mean()).into(),
                ])?;
                time += STEP.ms();
            }
        }
    }
    Ok(rows)
}
