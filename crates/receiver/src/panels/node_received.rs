//! What each node receives.

use super::Panel;
use crate::api::hosts;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-received",
    page: &NODES,
    title: "Network: received",
    about: "All interfaces of each node together, loopback included; longer steps have the mean.",
    is_wide: false,
    question: &hosts::QUESTION,
    fixed: &[("metric", "network_received")],
    draw: Draw::Chart(Chart {
        shape: Shape::Lines,
        unit: Unit::Rate,
        split: &["facility", "node"],
        values: &[("mean", "received")],
        steps: 100,
    }),
};
