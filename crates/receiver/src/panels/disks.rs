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
use crate::documents::time::{DAY_MS, HOUR_MS, day};
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::NODES;
use crate::store::slots::Cell;

pub const PANEL: Panel = Panel {
    name: "disks",
    page: &NODES,
    title: "Disks",
    about: "Now, whatever the span. The share is, as df has it, of what users may fill: used / (used + free), without what is kept back for root. The change is a straight line through the daily means of what was free in the last 14 days (three at least); where the free space does not follow it, grows, or would last more than five years, nothing is said of when it will be full. Full: within 14 days, or more than 95 % used.",
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
            column("free", "Free", Show::Number(Unit::Bytes)),
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
    about: "The newest document of each file system, those first that will be full first. The forecast is a straight line through the daily means of what was free in the last 14 days, from what is free now. A file system whose newest document is older than `--keep-documents` days is forgotten.",
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
            "free",
            Ty::Number,
            "Bytes that users may still write: without those kept back for root.",
        ),
        field(
            "share",
            Ty::MaybeNumber,
            "What is used of what users may fill, as `df` has it: used / (used + free), from 0 to 1.",
        ),
        field(
            "change",
            Ty::MaybeNumber,
            "By how many bytes its free space becomes less in a day; null where fewer than three days are known.",
        ),
        field(
            "full",
            Ty::MaybeTime,
            "When nothing will be free; null where its free space grows, goes up and down, or lasts for more than five years.",
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
/// Three quarters of a day's five minutes: the mean of so many is of the day's middle.
const MOST_OF_A_DAY: u32 = 216;
const FULL: f64 = 0.95;

#[derive(Deserialize)]
struct Document {
    mount: String,
    total: f64,
    used: f64,
    /// What users may still write.
    free: f64,
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
            numbers::series(store, facility.id, Metric::DiskFree)?
                .into_iter()
                .map(|series| ((series.label, series.part), series.id))
                .collect();
        for newest in newest::of(store, facility.id, "DISK")? {
            if asked.word("node").is_some_and(|node| node != newest.node) {
                continue;
            }
            let free = series.get(&(newest.node.clone(), newest.part.clone()));
            disks.push(disk(store, asked.now, &facility.name, newest, free)?);
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
    free: Option<&i64>,
) -> Result<Disk, Refused> {
    let document: Document = newest.read()?;
    let trend = match free {
        Some(series) => forecast::trend(&taken(store, *series, newest.time)?),
        None => None,
    };
    let days = trend.and_then(|trend| trend.days_until(document.free));
    Ok(Disk {
        facility: facility.to_owned(),
        change: trend.map(|trend| trend.by),
        full: days.map(|days| after(newest.time, days).max(now)),
        newest,
        document,
    })
}

/// What a file system's free space became less by until each of the last days: the negative of the day's mean,
/// with the time that it is of, in days.
fn taken(store: &Connection, series: i64, last: i64) -> Result<Vec<(f64, f64)>, Refused> {
    let span = Span {
        from: (day(last) - DAYS + 1) * DAY_MS,
        to: last + 1,
    };
    let mut taken = Vec::new();
    for (begin, free) in numbers::steps(store, series, span, Step::Day)? {
        let of = Span {
            from: begin,
            to: span.to.min(begin + DAY_MS),
        };
        // Mostly the total of a day is enough, which is not packed.
        let is_whole = span.has_day(day(begin)) && free.n >= MOST_OF_A_DAY;
        let (time, mean) = match is_whole {
            true => (in_days(begin) + 0.5, free.mean()),
            false => by_hours(&numbers::steps(store, series, of, Step::Hour)?),
        };
        taken.push((time, -mean));
    }
    Ok(taken)
}

/// The mean of the hours' middles in days, and the mean of what they have.
#[expect(clippy::cast_precision_loss, reason = "at most 24")]
fn by_hours(hours: &numbers::Steps) -> (f64, f64) {
    let n = hours.len().max(1) as f64;
    let times: f64 = hours.keys().map(|begin| in_days(*begin) + 0.5 / 24.0).sum();
    let means: f64 = hours.values().map(Cell::mean).sum();
    (times / n, means / n)
}

#[expect(clippy::cast_precision_loss, reason = "hours since 1970")]
fn in_days(time: i64) -> f64 {
    (time / HOUR_MS) as f64 / 24.0
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
        share(self.document.used, self.document.used + self.document.free)
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
            self.document.free.into(),
            share.into(),
            self.change.into(),
            self.full.map(Datum::Time).into(),
            state.into(),
        ]
    }
}
