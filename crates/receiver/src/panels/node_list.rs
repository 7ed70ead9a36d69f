//! Every node, and when it was last heard of.

use super::Panel;
use crate::api::nodes;
use crate::draw::Draw;
use crate::draw::table::{Long, Show, Table, column};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "node-list",
    page: &NODES,
    title: "Nodes",
    about: "Nodes that sent anything within the time that documents are kept.",
    is_wide: true,
    question: &nodes::QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("node", "Node", Show::Node),
            column("facility", "Facility", Show::Text),
            column("last", "Last heard of", Show::Ago),
            column("kinds", "Documents", Show::Text),
        ],
        long: Some(Long {
            sort: "last",
            search: "node",
            rows: 100,
        }),
        none: "No node has sent anything yet.",
    }),
};
