//! Every facility, and a way to look at it alone.

use super::Panel;
use crate::api::facilities;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::OVERVIEW;

pub const PANEL: Panel = Panel {
    name: "facility-list",
    page: &OVERVIEW,
    title: "Facilities",
    about: "What each sent in the span, and its batch systems, if they were heard of in it or in the 31 days before. A name leads to the same page of that facility alone.",
    is_wide: true,
    question: &facilities::QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("facility", "Facility", Show::Facility),
            column("last", "Last heard of", Show::Ago),
            column("first", "First heard of", Show::Time),
            column("systems", "Batch", Show::Text),
            column("nodes", "Nodes", Show::Number(Unit::Count)),
            column("documents", "Documents in the span", Show::Bar(Unit::Count)),
        ],
        long: None,
        none: "No facility has sent anything yet.",
    }),
};
