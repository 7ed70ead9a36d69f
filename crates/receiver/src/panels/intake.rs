//! What arrives.

use super::Panel;
use crate::api::intake;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "intake",
    page: &QUALITY,
    title: "Documents by kind",
    about: "Documents that were stored, by the time at which they were collected.",
    is_wide: true,
    question: &intake::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["kind"],
        values: &[("documents", "documents")],
        steps: 200,
    }),
};
