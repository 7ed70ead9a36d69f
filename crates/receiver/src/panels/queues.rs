//! The newest summary of each queue.

use rusqlite::Connection;
use serde::Deserialize;

use super::Panel;
use crate::api::asked::{Asked, FACILITY, FORMAT};
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::{How, Question, field, newest};
use crate::documents::System;
use crate::draw::Draw;
use crate::draw::cell::Unit;
use crate::draw::table::{Show, Table, column};
use crate::pages::BATCH;

pub const PANEL: Panel = Panel {
    name: "queues",
    page: &BATCH,
    title: "Queues",
    about: "The newest summary of each queue, whatever the span; of Slurm, each partition is one, and all of it is the one named all. One that is older than 15 minutes is silent: its numbers are the last that were heard.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Table(Table {
        columns: &[
            column("queue", "Queue", Show::Text),
            column("system", "System", Show::Text),
            column("facility", "Facility", Show::Text),
            column("state", "State", Show::State),
            column("idle", "Idle", Show::Number(Unit::Count)),
            column("running", "Running", Show::Number(Unit::Count)),
            column("held", "Held", Show::Number(Unit::Count)),
            column("cores", "Cores", Show::Number(Unit::Count)),
            column("memory", "Memory", Show::Number(Unit::Mebibytes)),
            column("time", "Reported", Show::Ago),
        ],
        long: None,
        none: "No queue was heard of. The collector's `-q` makes summaries of HTCondor's; those of Slurm's partitions come without.",
    }),
};

pub const QUESTION: Question = Question {
    path: "summaries",
    summary: "The newest summary of each batch queue",
    about: "A queue whose newest summary is older than `--keep-documents` days is forgotten.",
    params: &[FACILITY, FORMAT],
    head: &[],
    fields: &[
        field("facility", Ty::Text, "The queue's facility."),
        field("queue", Ty::Text, "The queue."),
        field("time", Ty::Time, "When the summary was collected."),
        field(
            "state",
            Ty::Text,
            "ok, or silent where that is more than 15 minutes ago.",
        ),
        field("idle", Ty::Int, "Idle jobs."),
        field("running", Ty::Int, "Running jobs."),
        field("held", Ty::Int, "Held jobs."),
        field("cores", Ty::Int, "Cores of the running jobs."),
        field("memory", Ty::Int, "Memory of the running jobs, in MiB."),
        field(
            "system",
            Ty::Text,
            "The queue's batch system: HTCondor or Slurm.",
        ),
    ],
    answer: How::Rows(answer),
};

#[derive(Deserialize)]
struct Summary {
    idle: i64,
    running: i64,
    held: i64,
    allocated_cores: i64,
    allocated_mem: i64,
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let mut rows = Rows::default();
    for facility in asked.facilities(store)? {
        for system in System::ALL {
            for newest in newest::of(store, facility.id, system.queue_kind())? {
                let summary: Summary = newest.read()?;
                rows.push(vec![
                    facility.name.as_str().into(),
                    System::of_part(&newest.part).1.into(),
                    Datum::Time(newest.time),
                    newest.state(asked.now).into(),
                    summary.idle.into(),
                    summary.running.into(),
                    summary.held.into(),
                    summary.allocated_cores.into(),
                    summary.allocated_mem.into(),
                    system.name().into(),
                ])?;
            }
        }
    }
    Ok(rows)
}
