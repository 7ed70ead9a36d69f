//! Batch jobs by state.

use super::Panel;
use crate::api::jobs;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "jobs-by-state",
    page: &BATCH,
    title: "Jobs by state",
    about: "Each job counts once in five minutes, in the state it was last reported in; longer steps have the mean. Batch systems and facilities are added up: one whose queue was not read in a step is not in it.",
    is_wide: true,
    question: &jobs::QUESTION,
    fixed: &[("by", "state")],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["state"],
        values: &[("jobs", "jobs")],
        steps: 350,
    }),
};
