//! File systems, and when each will be full.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::Deserialize;

use super::Panel;
use crate::api::asked::{self, Asked, FACILITY, FORMAT};
use crate::api::newest::{self, Newest};
use crate::api::nodes::share;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::span::{Span, Step};
use crate::api::{How, Question, field, forecast, numbers};
use crate::documents::Metric;
use crate::documents::time::{self, DAY_MS, HOUR_MS};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::NODES;

pub const PANEL: Panel = Panel {
    name: "disks",
    page: &NODES,
    title: "Disks",
    about: "Now, whatever the span. The change is a straight line through the daily means of the last 14 days (three at least); where the use does not follow it, shrinks, or would need more than five years, nothing is said of when it will be full. Full: within 14 days, or more than 95 % used.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("node", "Node", Show::Node),
            column("facility", "Facility", Show::Text),
            column("mount", "Mount", Show::Text),
            column("state", "State", Show::State),
            column("share", "Share", Show::Bar(Unit::Share)),
            column("used", "Used", Show::Number(Unit::Bytes)),
            column("total", "Size", Show::Number(Unit::Bytes)),
            column("change", "Change a day", Show::Number(Unit::Bytes)),
            column("full", "Full on", Show::Date),
            column("time", "Reported", Show::Ago),
        ],
        long: None,
        none: "No file system was heard of.",
    }),
};

pub const QUESTION: Question = Question {
    path: "disks",
    summary: "File systems of nodes, and when each will be full",
    about: "The newest document of each file system, those first that will be full first. The forecast is a straight line through the daily means of the last 14 days, from what is used now. A file system whose newest document is older than `--keep-documents` days is forgotten.",
    params: &[
        FACILITY,
        asked::param_text("node", "Only this node."),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("facility", Ty::Text, "The node's facility."),
        field("node", Ty::Text, "The node."),
        field("mount", Ty::Text, "Where it is mounted."),
        field("time", Ty::Time, "When its newest document was collected."),
        field("total", Ty::Number, "Its size in bytes."),
        field("used", Ty::Number, "Bytes that are used."),
        field(
            "share",
            Ty::MaybeNumber,
            "The same as a share, from 0 to 1.",
        ),
        field(
            "change",
            Ty::MaybeNumber,
            "Bytes that come to it in a day; null where fewer than three days are known.",
        ),
        field(
            "full",
            Ty::MaybeTime,
            "When it will be full; null where it shrinks, goes up and down, or will not be within five years.",
        ),
        field(
            "state",
            Ty::Text,
            "full where it will be within 14 days or is to more than 95 %; else silent where nothing was heard for more than 15 minutes; else ok.",
        ),
    ],
    answer: How::Rows(answer),
};

/// Days that the forecast looks back, and those it warns of.
const DAYS: i64 = 14;
const FULL: f64 = 0.95;

#[derive(Deserialize)]
struct Document {
    mount: String,
    total: f64,
    used: f64,
}

struct Disk {
    facility: String,
    newest: Newest,
    document: Document,
    change: Option<f64>,
    full: Option<i64>,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut disks = Vec::new();
    for facility in asked.facilities(store)? {
        let series: BTreeMap<(String, String), i64> =
            numbers::series(store, facility.id, Metric::DiskUsed)?
                .into_iter()
                .map(|series| ((series.label, series.part), series.id))
                .collect();
        for newest in newest::of(store, facility.id, "DISK")? {
            if asked.word("node").is_some_and(|node| node != newest.node) {
                continue;
            }
            let used = series.get(&(newest.node.clone(), newest.part.clone()));
            disks.push(disk(store, asked.now, &facility.name, newest, used)?);
        }
    }
    disks.sort_by(|one, other| one.order(other, asked.now));
    let mut rows = Rows::default();
    for disk in disks {
        rows.push(disk.row(asked.now))?;
    }
    Ok(rows)
}

fn disk(
    store: &Connection,
    now: i64,
    facility: &str,
    newest: Newest,
    used: Option<&i64>,
) -> Result<Disk, Refused> {
    let document: Document = newest.read()?;
    let trend = match used {
        Some(series) => forecast::trend(&daily(store, *series, newest.time)?),
        None => None,
    };
    let days = trend.and_then(|trend| trend.days_until(document.total - document.used));
    Ok(Disk {
        facility: facility.to_owned(),
        change: trend.map(|trend| trend.by),
        full: days.map(|days| after(newest.time, days).max(now)),
        newest,
        document,
    })
}

/// The mean of each of the last days up to a time, with the mean of the hours that it is of, in days.
#[expect(clippy::cast_precision_loss, reason = "hours since 1970")]
fn daily(store: &Connection, series: i64, last: i64) -> Result<Vec<(f64, f64)>, Refused> {
    let span = Span {
        from: (time::day(last) - DAYS + 1) * DAY_MS,
        to: last + 1,
    };
    let mut days: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    for (time, cell) in numbers::steps(store, series, span, Step::Hour)? {
        let day = days.entry(time::day(time)).or_default();
        day.0 += 1.0;
        day.1 += (time / HOUR_MS) as f64 / 24.0;
        day.2 += cell.mean();
    }
    let mean = |(n, times, values): (f64, f64, f64)| (times / n, values / n);
    Ok(days.into_values().map(mean).collect())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "some years, in milliseconds"
)]
fn after(time: i64, days: f64) -> i64 {
    time + (days * DAY_MS as f64) as i64
}

impl Disk {
    fn share(&self) -> Option<f64> {
        share(self.document.used, self.document.total)
    }

    fn state(&self, now: i64) -> &'static str {
        let is_soon = self.full.is_some_and(|full| full <= now + DAYS * DAY_MS);
        match is_soon || self.share().is_some_and(|share| share > FULL) {
            true => "full",
            false => self.newest.state(now),
        }
    }

    /// What is full comes first, then what will be next, then what has least room.
    fn order(&self, other: &Self, now: i64) -> Ordering {
        let is_fine = |disk: &Self| disk.state(now) != "full";
        let full = |disk: &Self| disk.full.unwrap_or(i64::MAX);
        is_fine(self)
            .cmp(&is_fine(other))
            .then(full(self).cmp(&full(other)))
            .then(
                other
                    .share()
                    .partial_cmp(&self.share())
                    .unwrap_or(Ordering::Equal),
            )
    }

    fn row(self, now: i64) -> Vec<Datum> {
        let (state, share) = (self.state(now), self.share());
        vec![
            self.facility.into(),
            self.newest.node.as_str().into(),
            self.document.mount.into(),
            Datum::Time(self.newest.time),
            self.document.total.into(),
            self.document.used.into(),
            share.into(),
            self.change.into(),
            self.full.map(Datum::Time).into(),
            state.into(),
        ]
    }
}
