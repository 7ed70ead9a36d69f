//! Jobs that run in queues, over time.

use super::Panel;
use crate::api::queues;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "queue-running",
    page: &BATCH,
    title: "Running jobs by queue",
    about: "Running jobs of each queue; of Slurm, a queue is a partition, and all of it the one named all. Queues may overlap, so they are not added up.",
    is_wide: false,
    question: &queues::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Count,
        split: &["facility", "system", "queue"],
        values: &[("running", "running")],
        steps: 200,
    }),
};
