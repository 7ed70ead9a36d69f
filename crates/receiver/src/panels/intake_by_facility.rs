//! Who sends how much.

use super::Panel;
use crate::api::intake;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "intake-by-facility",
    page: &QUALITY,
    title: "Documents by facility",
    about: "The same by who sent them: a facility without a document in a step has a gap there.",
    is_wide: false,
    question: &intake::QUESTION,
    fixed: &[("by", "facility")],
    draw: Draw::Chart(Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["facility"],
        values: &[("documents", "documents")],
        steps: 200,
    }),
};
