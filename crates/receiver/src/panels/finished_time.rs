//! How long the jobs ran that ended.

use super::{Panel, finished};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "finished-time",
    page: &BATCH,
    title: "Run time of jobs that ended",
    about: "The run time of all jobs together that ended in each step, by how; all of a job's time counts when it ends.",
    is_wide: false,
    question: &finished::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Seconds,
        split: &["state"],
        values: &[("seconds", "run time")],
        steps: 60,
    }),
};
