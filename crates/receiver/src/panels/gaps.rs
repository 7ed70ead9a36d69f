//! When a source fell silent.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Panel;
use crate::api::asked::{self, Asked, FACILITY, FORMAT, FROM, TO};
use crate::api::numbers::{self, Series};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::span::Span;
use crate::api::{How, Question, field};
use crate::documents::Metric;
use crate::documents::metric::Grain;
use crate::documents::time::{DAY_MS, SLOT_MS, SLOTS, day};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::QUALITY;
use crate::store::slots::{self, Day};

/// Shorter ones are a late round.
const LEAST_MS: i64 = 15 * 60_000;
/// What fell silent for good, longer than this before the span, is gone and no gap.
const GONE_MS: i64 = 31 * DAY_MS;
/// Nodes are looked at one by one in spans up to this (a week, and a day that has begun), as there are many.
const NODES_MS: i64 = 8 * DAY_MS;

pub const PANEL: Panel = Panel {
    name: "gaps",
    page: &QUALITY,
    title: "Gaps",
    about: "15 minutes or more in which nothing was heard that had been heard before: by kind, and, in spans of up to 8 days, by node for ssh and CPU where its gap is not that of all. Longest first. A kind with nothing to report, such as no job in the queue, is silent, too; one of jobs is not while jobs that end are reported, even if the queue is not read.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[("limit", "100")],
    draw: Draw::Table(Table {
        columns: &[
            column("facility", "Facility", Show::Text),
            column("kinds", "Kinds", Show::Text),
            column("node", "Node", Show::Node),
            column("state", "Now", Show::State),
            column("from", "From", Show::Time),
            column("to", "To", Show::Time),
            column("seconds", "Length", Show::Number(Unit::Seconds)),
        ],
        long: None,
        none: "Nothing that was heard fell silent for 15 minutes in this span.",
    }),
};

const QUESTION: Question = Question {
    path: "gaps",
    summary: "When a kind or a node fell silent",
    about: "Gaps of 15 minutes or more that touch the span, longest first; they are counted in full five minutes and may begin before the span and end after it. A source that was last heard more than 31 days before the span is gone, and no gap. Nodes (of ssh and CPU) are looked at in spans of up to 8 days; a gap that is that of the whole kind is not said of each of them.",
    params: &[
        FACILITY,
        FROM,
        TO,
        asked::limit(100, 1_000, "At most so many, the longest."),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("facility", Ty::Text, "The facility."),
        field(
            "kinds",
            Ty::Texts,
            "The kinds of which nothing came; in CSV with `;` between them.",
        ),
        field(
            "node",
            Ty::MaybeText,
            "The node from which nothing came; null: from none of the facility.",
        ),
        field("state", Ty::Text, "`silent` until now, or `over`."),
        field("from", Ty::Time, "The end of the last five minutes before."),
        field(
            "to",
            Ty::MaybeTime,
            "The beginning of the first five minutes after; null: nothing came until now.",
        ),
        field("seconds", Ty::Int, "How long it was, until now at most."),
    ],
    answer: How::Rows(answer),
};

/// What is heard of every few minutes.
struct Source {
    kind: String,
    node: Option<String>,
    series: Series,
    /// Whether a cell of it counts as one, so that a day of 288 has no gap.
    is_count: bool,
}

/// A time in which nothing was heard; `to` is `None` where it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gap {
    from: i64,
    to: Option<i64>,
}

/// The kinds that were silent together, by facility, node and gap.
type Gaps = BTreeMap<(String, Option<String>, Gap), Vec<String>>;

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let length = |gap: &Gap| gap.to.unwrap_or(asked.now) - gap.from;
    let mut all: Vec<_> = all_gaps(store, asked)?.into_iter().collect();
    all.retain(|((.., gap), _)| length(gap) >= LEAST_MS);
    all.sort_by_key(|((.., gap), _)| -length(gap));
    let mut rows = Rows::default();
    rows.cut = all.len().saturating_sub(asked.limit());
    for ((facility, node, gap), kinds) in all.into_iter().take(asked.limit()) {
        rows.push(vec![
            facility.into(),
            Datum::Texts(kinds),
            node.into(),
            if gap.to.is_none() { "silent" } else { "over" }.into(),
            Datum::Time(gap.from),
            gap.to.map(Datum::Time).into(),
            (length(&gap) / 1000).into(),
        ])?;
    }
    Ok(rows)
}

fn all_gaps(store: &Connection, asked: &Asked) -> Result<Gaps, Refused> {
    let mut all = Gaps::new();
    for facility in asked.facilities(store)? {
        let place = |node, gap| (facility.name.clone(), node, gap);
        for source in sources(store, facility.id, asked.span)? {
            for gap in gaps(store, &source, asked.span)? {
                let is_gone = gap.to.is_none() && gap.from < asked.span.from - GONE_MS;
                // Those of all nodes come first.
                let of_all = all.get(&place(None, gap));
                let is_said = of_all.is_some_and(|kinds| kinds.contains(&source.kind));
                if !is_gone && !is_said {
                    let kinds = all.entry(place(source.node.clone(), gap)).or_default();
                    kinds.push(source.kind.clone());
                }
            }
        }
    }
    Ok(all)
}

fn sources(store: &Connection, facility: i64, span: Span) -> Result<Vec<Source>, Refused> {
    let metrics: &[Metric] = match span.to - span.from <= NODES_MS {
        true => &[Metric::Documents, Metric::UsersPresent, Metric::Load],
        false => &[Metric::Documents],
    };
    let mut all = Vec::new();
    for metric in metrics {
        for series in numbers::series(store, facility, *metric)? {
            let (label, part) = (series.label.clone(), series.part.clone());
            let (kind, node) = match metric {
                Metric::Documents => (label, None),
                Metric::Load => ("CPU".to_owned(), Some(label)),
                // Notebooks are of no node: the kind says it already.
                _ if part.is_empty() => continue,
                _ => (label, Some(part)),
            };
            all.push(Source {
                kind,
                node,
                series,
                is_count: metric.grain() == Grain::Count,
            });
        }
    }
    Ok(all)
}

/// The gaps of a source that touch a span, however short; the last one may last.
fn gaps(store: &Connection, source: &Source, span: Span) -> Result<Vec<Gap>, Refused> {
    let (first, last) = days_around(store, source.series.id, span)?;
    let id = slots::row(source.series.id, 0);
    let mut read =
        store.prepare_cached("SELECT id - ?1, n FROM days WHERE id BETWEEN ?1 + ?2 AND ?1 + ?3")?;
    let mut rows = read.query(params![id, first, last])?;
    let mut between = Between::new(span);
    while let Some(row) = rows.next()? {
        let (today, n): (i64, i64) = (row.get(0)?, row.get(1)?);
        let begin = today * DAY_MS;
        match source.is_count && n == i64::from(SLOTS) {
            true => between.heard(begin, begin + DAY_MS),
            false => {
                for (slot, _) in Day::read(store, id + today)?.cells() {
                    let time = begin + i64::from(slot) * SLOT_MS;
                    between.heard(time, time + SLOT_MS);
                }
            }
        }
    }
    Ok(between.end())
}

/// The last day before a span on which a series has anything, and the first one after it; the span's own where
/// there is none.
fn days_around(store: &Connection, series: i64, span: Span) -> Result<(i64, i64), Refused> {
    let (first, last) = (day(span.from), day(span.to - 1));
    let id = slots::row(series, 0);
    let around: (Option<i64>, Option<i64>) = store
        .prepare_cached(
            "SELECT (SELECT max(id) FROM days WHERE id BETWEEN ?1 AND ?2 - 1),
             (SELECT min(id) FROM days WHERE id BETWEEN ?3 + 1 AND ?4)",
        )?
        .query_row(
            params![id, id + first, id + last, slots::rows(series, 0)[1]],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    let day_of = |row: i64| slots::series_and_day(row).1;
    Ok((
        around.0.map_or(first, day_of),
        around.1.map_or(last, day_of),
    ))
}

/// Makes gaps out of when something was heard, told in order.
struct Between {
    span: Span,
    heard_until: Option<i64>,
    gaps: Vec<Gap>,
}

impl Between {
    fn new(span: Span) -> Self {
        Self {
            span,
            heard_until: None,
            gaps: Vec::new(),
        }
    }

    fn heard(&mut self, from: i64, to: i64) {
        if let Some(until) = self.heard_until.replace(to)
            && until < from
            && until < self.span.to
            && from > self.span.from
        {
            self.gaps.push(Gap {
                from: until,
                to: Some(from),
            });
        }
    }

    fn end(mut self) -> Vec<Gap> {
        if let Some(until) = self.heard_until.filter(|until| *until < self.span.to) {
            self.gaps.push(Gap {
                from: until,
                to: None,
            });
        }
        self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_what_was_heard_and_touch_the_span() {
        let all = |span: (i64, i64), heard: &[i64]| {
            let (from, to) = span;
            let mut between = Between::new(Span { from, to });
            heard.iter().for_each(|time| between.heard(*time, time + 5));
            let gaps = between.end().into_iter();
            gaps.map(|gap| (gap.from, gap.to)).collect::<Vec<_>>()
        };
        // Before it, over its beginning, in it, until now.
        assert_eq!(
            all((100, 200), &[0, 50, 110, 115, 180]),
            [(55, Some(110)), (120, Some(180)), (185, None)]
        );
        // Over its end; one that comes after it is of another span.
        assert_eq!(all((100, 200), &[95, 100, 250, 300]), [(105, Some(250))]);
        // From before it until after it; never heard before; never at all.
        assert_eq!(all((100, 200), &[0, 300]), [(5, Some(300))]);
        assert_eq!(all((100, 200), &[150, 155, 195]), [(160, Some(195))]);
        assert_eq!(all((100, 200), &[]), []);
    }
}
