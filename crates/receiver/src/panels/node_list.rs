//! Every node, and when it was last heard of.

use super::Panel;
use crate::api::nodes;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Long, Show, Table, column};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-list",
    page: &NODES,
    title: "Nodes",
    about: "Nodes that sent anything within the time that documents are kept, as they are now, whatever the span; silent is one of which nothing was heard for more than 15 minutes.",
    is_wide: true,
    question: &nodes::QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("node", "Node", Show::Node),
            column("facility", "Facility", Show::Text),
            column("state", "State", Show::State),
            column("last", "Last heard of", Show::Ago),
            column("load", "Load", Show::Number(Unit::Number)),
            column("memory", "Memory used", Show::Bar(Unit::Share)),
            column("fullest", "Fullest disk", Show::Bar(Unit::Share)),
            column("sent", "Sent", Show::Number(Unit::Rate)),
            column("received", "Received", Show::Number(Unit::Rate)),
        ],
        long: Some(Long {
            sort: "last",
            search: "node",
            rows: 100,
        }),
        none: "No such node has sent anything within the time that documents are kept.",
    }),
};
