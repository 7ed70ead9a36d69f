//! Whether collectors failed, on the page that is looked at first.

use super::{Panel, failed_collectors};
use crate::draw::Draw;
use crate::draw::table::{Show, Table, column};
use crate::pages::OVERVIEW;

pub const PANEL: Panel = Panel {
    name: "overview-collectors",
    page: &OVERVIEW,
    title: "Collectors that failed",
    about: "As of now, whatever the span: what the newest round of each node could not read, the ten worst; a collector's name leads to the page with all of them. Rounds are sent with `--heartbeat`; those older than 15 minutes say nothing.",
    is_wide: true,
    question: &failed_collectors::QUESTION,
    fixed: &[("limit", "10")],
    draw: Draw::Table(Table {
        columns: &[
            column("collector", "Collector", Show::Quality),
            column("means", "What it was to read", Show::Bad),
            column("node", "Node", Show::Node),
            column("facility", "Facility", Show::Facility),
            column("time", "Round", Show::Ago),
        ],
        long: None,
        none: failed_collectors::NO_ROUNDS,
    }),
};
