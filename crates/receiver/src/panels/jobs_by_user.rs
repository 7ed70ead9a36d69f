//! Batch jobs by user.

use super::Panel;
use crate::api::jobs;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "jobs-by-user",
    page: &BATCH,
    title: "Jobs by user",
    about: "The ten users with most jobs in the span, and the rest; jobs of all states together, those that wait included. Batch systems and facilities are added up: one whose queue was not read in a step is not in it.",
    is_wide: true,
    question: &jobs::QUESTION,
    fixed: &[("by", "user"), ("limit", "10")],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["user"],
        values: &[("jobs", "jobs")],
        steps: 300,
    }),
};
