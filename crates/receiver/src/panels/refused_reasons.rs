//! What was turned away, why, and whose it was.

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, TO};
use crate::api::facilities::count;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field, numbers};
use crate::documents::Metric;
use crate::documents::metric::NOBODY;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "refused-reasons",
    page: &QUALITY,
    title: "Refused requests by reason",
    about: "Whose token it was, where that is known and documents of its facility are stored.",
    is_wide: false,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("reason", "Answer and reason", Show::Text),
            column("facility", "Facility", Show::Text),
            column("requests", "Requests", Show::Bar(Unit::Count)),
            column("last", "Last", Show::Ago),
        ],
        long: None,
        none: "No request was refused in this span.",
    }),
};

const QUESTION: Question = Question {
    path: "reasons",
    summary: "Why requests were refused",
    about: "By answer, reason and the facility of the token; most requests first. Requests with a token of a facility of which nothing is stored are of none.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("reason", Ty::Text, "The answer and why."),
        field(
            "facility",
            Ty::MaybeText,
            "The token's facility; null where none is known.",
        ),
        field("requests", Ty::Int, "Requests."),
        field("last", Ty::Time, "The last five minutes with one of them."),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut all = Vec::new();
    for facility in asked.facilities_of(store, Metric::Refused)? {
        let name = (facility.id != NOBODY).then_some(facility.name);
        for series in numbers::series(store, facility.id, Metric::Refused)? {
            let total = numbers::total(store, series.id, asked.span)?;
            let last = numbers::last(store, series.id, asked.span)?;
            if let (Some(total), Some(last)) = (total, last) {
                all.push((total.sum, last, series.label, name.clone()));
            }
        }
    }
    all.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
    let mut rows = Rows::default();
    for (requests, last, reason, facility) in all {
        rows.push(vec![
            reason.into(),
            facility.into(),
            count(requests),
            Datum::Time(last),
        ])?;
    }
    Ok(rows)
}
