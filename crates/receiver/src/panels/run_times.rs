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
    about: "Jobs that ended in the span, by how long they ran: each row is of up to twice the run time of the row above. Rows without a job are left out.",
    is_wide: false,
    question: &runtime::QUESTION,
    fixed: &[("by", "length")],
    draw: Draw::Table(Table {
        columns: &[
            column("below", "Run time", Show::Doubled),
            column("jobs", "Jobs", Show::Bar(Unit::Count)),
            column("seconds", "Together", Show::Number(Unit::Seconds)),
        ],
        long: None,
        none: "No job was reported to have ended.",
    }),
};
