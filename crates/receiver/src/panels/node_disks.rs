//! How much of each file system is used.

use super::Panel;
use crate::api::shares;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-disks",
    page: &NODES,
    title: "Used disk space",
    about: "The share of each file system that is used; longer steps have the mean.",
    is_wide: true,
    question: &shares::QUESTION,
    fixed: &[("of", "disks")],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Share,
        split: &["facility", "node", "mount"],
        values: &[("share", "used")],
        // There are several of each node, and they change slowly.
        steps: 50,
    }),
};
