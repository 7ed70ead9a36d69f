//! The load of each node over time.

use super::Panel;
use crate::api::hosts;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-load",
    page: &NODES,
    title: "Load",
    about: "The 1-minute load average of each node; longer steps have the mean.",
    is_wide: false,
    question: &hosts::QUESTION,
    fixed: &[("metric", "load")],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Number,
        split: &["facility", "node"],
        values: &[("mean", "load")],
        steps: 100,
    }),
};
