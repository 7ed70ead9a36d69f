//! How long jobs ran.

use super::Panel;
use crate::api::runtime;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "run-times",
    page: &BATCH,
    title: "Run time of ended jobs",
    about: "Jobs that ended in the span, by how long they ran: each row up to twice as long as the one above.",
    is_wide: false,
    question: &runtime::QUESTION,
    fixed: &[("by", "length")],
    draw: Draw::Table(Table {
        columns: &[
            column("below", "Shorter than", Show::Number(Unit::Seconds)),
            column("jobs", "Jobs", Show::Bar(Unit::Count)),
            column("seconds", "Run time together", Show::Number(Unit::Seconds)),
        ],
        long: None,
        none: "No job was reported to have ended.",
    }),
};
