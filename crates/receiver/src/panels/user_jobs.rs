//! A user's batch jobs by state.

use super::Panel;
use crate::api::jobs;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USER;

pub const PANEL: Panel = Panel {
    name: "user-jobs",
    page: &USER,
    title: "Jobs by state",
    about: "The user's jobs: each counts once in five minutes, in the state it was last reported in; longer steps have the mean. A gap: no queue was read.",
    is_wide: true,
    question: &jobs::QUESTION,
    fixed: &[("by", "state")],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["state"],
        values: &[("jobs", "jobs")],
        steps: 400,
    }),
};
