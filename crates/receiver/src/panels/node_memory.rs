//! How much of each node's memory is used.

use super::Panel;
use crate::api::shares;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-memory",
    page: &NODES,
    title: "Used memory",
    about: "The share of each node's memory that is not available; longer steps have the mean.",
    is_wide: false,
    question: &shares::QUESTION,
    fixed: &[("of", "memory")],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Share,
        split: &["facility", "node"],
        values: &[("share", "used")],
        steps: 100,
    }),
};
