//! How long a user's jobs ran.

use super::{Panel, user_ended};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::chart::{Chart, Shape};
use crate::pages::USER;

pub const PANEL: Panel = Panel {
    name: "user-run-times",
    page: &USER,
    title: "Run time of ended jobs",
    about: "By wall clock, all of it when the job ended: a job of ten days counts on its last.",
    is_wide: false,
    question: &user_ended::QUESTION,
    fixed: &[],
    draw: Draw::Chart(Chart {
        shape: Shape::Bars,
        unit: Unit::Seconds,
        split: &[],
        values: &[("seconds", "run time")],
        steps: 60,
    }),
};
