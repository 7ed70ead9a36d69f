//! Jobs that wait in queues, over time.

use super::Panel;
use crate::api::queues;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "queue-idle",
    page: &BATCH,
    title: "Waiting jobs by queue",
    about: "Jobs that wait and are not held, of each queue; of Slurm, each task of an array counts, and a job that waits in several partitions counts in each. Queues may overlap, so they are not added up.",
    is_wide: false,
    question: &queues::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Count,
        split: &["facility", "system", "queue"],
        values: &[("idle", "idle")],
        steps: 200,
    }),
};
