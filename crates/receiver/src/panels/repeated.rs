//! What arrives more than once.

use super::Panel;
use crate::api::intake;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "repeated",
    page: &QUALITY,
    title: "Repeated documents",
    about: "Documents that came again, known by their Idempotency-Key, and were not stored again; by the time at which they came. Some are no harm: an answer was lost on its way.",
    is_wide: false,
    question: &intake::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Count,
        split: &["kind"],
        values: &[("repeated", "repeated")],
        steps: 150,
    }),
};
