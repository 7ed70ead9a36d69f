//! Whose jobs ran for how long.

use super::Panel;
use crate::api::runtime;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "run-times-by-user",
    page: &BATCH,
    title: "Run time by user",
    about: "Jobs that ended in the span: the twenty users with most run time, and the rest.",
    is_wide: false,
    question: &runtime::QUESTION,
    fixed: &[("by", "user"), ("limit", "20")],
    draw: Draw::Table(Table {
        columns: &[
            column("user", "User", Show::User),
            column("seconds", "Run time", Show::Bar(Unit::Seconds)),
            column("jobs", "Jobs", Show::Number(Unit::Count)),
        ],
        long: None,
        none: "No job was reported to have ended.",
    }),
};
