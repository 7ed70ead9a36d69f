//! Batch jobs by batch system.

use super::Panel;
use crate::api::jobs;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "jobs-by-system",
    page: &BATCH,
    title: "Jobs by batch system",
    about: "Jobs of all states together, those that wait included, by whose they are: HTCondor's or Slurm's. A system whose queue was not read is not there; it is no zero.",
    is_wide: true,
    question: &jobs::QUESTION,
    fixed: &[("by", "system")],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["system"],
        values: &[("jobs", "jobs")],
        steps: 300,
    }),
};
