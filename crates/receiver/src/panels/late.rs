//! What arrives late.

use super::Panel;
use crate::api::intake;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "late",
    page: &QUALITY,
    title: "Late documents",
    about: "Documents that came more than five minutes after they were collected, by the time at which they were collected.",
    is_wide: false,
    question: &intake::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::BarStack,
        unit: Unit::Count,
        split: &["kind"],
        values: &[("late", "late")],
        steps: 150,
    }),
};
