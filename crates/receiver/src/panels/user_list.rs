//! Who was active.

use super::Panel;
use crate::api::users;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Long, Show, Table, column};
use crate::pages::USERS;

pub const PANEL: Panel = Panel {
    name: "user-list",
    page: &USERS,
    title: "Users",
    about: "Everybody who was seen in the span, by published name; jobs that ended in it, and how long those ran by wall clock.",
    is_wide: true,
    question: &users::QUESTION,
    fixed: &[("limit", "100000")],
    draw: Draw::Table(Table {
        columns: &[
            column("user", "User", Show::User),
            column("doors", "Doors", Show::Text),
            column("last", "Last seen", Show::Ago),
            column("days", "Days", Show::Bar(Unit::Count)),
            column("jobs", "Jobs ended", Show::Bar(Unit::Count)),
            column("seconds", "Run time", Show::Bar(Unit::Seconds)),
        ],
        long: Some(Long {
            sort: "-last",
            search: "user",
            rows: 50,
        }),
        none: "Nobody was seen in this span.",
    }),
};
