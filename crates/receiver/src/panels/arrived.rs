//! How much arrived and how well, beside the span before.

use rusqlite::Connection;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, TO};
use crate::api::facilities::count;
use crate::api::refused::Refused;
use crate::api::reply::{Rows, Ty};
use crate::api::span::Span;
use crate::api::{How, Question, field, heard, numbers};
use crate::documents::Metric;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::tiles::Tiles;
use crate::pages::QUALITY;

pub const PANEL: Panel = Panel {
    name: "arrived",
    page: &QUALITY,
    title: "In this span",
    about: "Documents of the span; those that came more than five minutes after they were collected; those that came again and were not stored again; requests that were refused. Beside each is the span before, of the same length, if the store knows that.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Tiles(Tiles {
        title: "what",
        value: "number",
        before: Some("before"),
        note: Some("note"),
        unit: Unit::Count,
    }),
};

const QUESTION: Question = Question {
    path: "arrivals",
    summary: "How much arrived, late, again, or was refused",
    about: "Sums over the span, and over the span of the same length before it. Requests that were refused without a known token are in them only where all facilities are asked about.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field(
            "what",
            Ty::Text,
            "Documents, late or repeated ones, or refused requests.",
        ),
        field(
            "number",
            Ty::MaybeInt,
            "How many; null where nothing was heard in the span.",
        ),
        field(
            "before",
            Ty::MaybeInt,
            "The same of the span before; null where a facility was not heard of before that, or where nothing repeated or refused was counted until then.",
        ),
        field("note", Ty::MaybeText, "How large a part that is."),
    ],
    answer: How::Rows(answer),
};

const ALL: [(&str, Metric); 4] = [
    ("Documents", Metric::Documents),
    ("Late", Metric::Late),
    ("Repeated", Metric::Repeated),
    ("Refused requests", Metric::Refused),
];

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let Span { from, to } = asked.span;
    let before = Span {
        from: from - (to - from),
        to: from,
    };
    let now = sums(store, asked, asked.span)?;
    let earlier = sums(store, asked, before)?;
    let is_whole = is_whole(store, asked, before)?;
    let known = [
        is_whole,
        is_whole,
        is_counted(store, asked, Metric::Repeated, before)?,
        is_counted(store, asked, Metric::Refused, before)?,
    ];
    let mut rows = Rows::default();
    for (at, (what, metric)) in ALL.into_iter().enumerate() {
        rows.push(vec![
            what.into(),
            now.map(|all| count(all[at])).into(),
            earlier
                .filter(|_| known[at])
                .map(|all| count(all[at]))
                .into(),
            now.and_then(|all| part(metric, all[at], all[0])).into(),
        ])?;
    }
    Ok(rows)
}

/// Whether the documents of all facilities were known before a span.
fn is_whole(store: &Connection, asked: &Asked, span: Span) -> Result<bool, Refused> {
    for facility in asked.facilities(store)? {
        let all = numbers::series(store, facility.id, Metric::Documents)?;
        if !heard::is_known_before(store, &all, span)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether any of a metric was counted before a span: older receivers did not count what came again or was refused.
fn is_counted(
    store: &Connection,
    asked: &Asked,
    metric: Metric,
    span: Span,
) -> Result<bool, Refused> {
    let mut all = Vec::new();
    for facility in asked.facilities_of(store, metric)? {
        all.append(&mut numbers::series(store, facility.id, metric)?);
    }
    heard::goes_back(store, &all, span, span.days().0)
}

fn part(metric: Metric, number: f64, documents: f64) -> Option<String> {
    let is_known = metric == Metric::Late && documents > 0.0;
    is_known.then(|| format!("{} of them", Unit::Share.text(number / documents)))
}

/// The sum of each metric; `None`: nothing was heard at all.
fn sums(store: &Connection, asked: &Asked, span: Span) -> Result<Option<[f64; 4]>, Refused> {
    let mut sums = None;
    for (at, (_, metric)) in ALL.into_iter().enumerate() {
        for facility in asked.facilities_of(store, metric)? {
            for series in numbers::series(store, facility.id, metric)? {
                if let Some(total) = numbers::total(store, series.id, span)? {
                    sums.get_or_insert([0.0; 4])[at] += total.sum;
                }
            }
        }
    }
    Ok(sums)
}
