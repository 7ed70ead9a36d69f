//! Cores that queues have, over time.

use super::Panel;
use crate::api::queues;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "queue-cores",
    page: &BATCH,
    title: "Allocated cores",
    about: "Cores of the running jobs of each queue. Queues may overlap, so they are not added up.",
    is_wide: false,
    question: &queues::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Cores,
        split: &["facility", "system", "queue"],
        values: &[("cores", "cores")],
        steps: 200,
    }),
};
