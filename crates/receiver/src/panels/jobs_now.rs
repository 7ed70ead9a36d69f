//! How many jobs there are: by state now, and ended in the span.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::Connection;

use super::{Panel, users_now};
use crate::api::asked::{Asked, FACILITY, FORMAT, FROM, Facility, TO};
use crate::api::newest::SILENT_MS;
use crate::api::refused::Refused;
use crate::api::reply::{Datum, Rows, Ty};
use crate::api::seen::BATCH;
use crate::api::span::{Span, Step};
use crate::api::{How, Question, field, heard, numbers, systems};
use crate::documents::time::{DAY_MS, SLOT_MS};
use crate::documents::{Metric, System};
use crate::draw::cell::{self, Unit};
use crate::draw::tiles::Tiles;
use crate::draw::{Draw, states};
use crate::pages::OVERVIEW;
use crate::store::slots::Cell;

const FAILED: &str = "Failed in the span";

/// States that are shown, and how a title calls them.
const STATES: [(&str, &str); 3] = [("running", "Running"), ("idle", "Idle"), ("held", "Held")];

pub const PANEL: Panel = Panel {
    name: "jobs-now",
    page: &OVERVIEW,
    title: "Batch jobs",
    about: "Now: the last five minutes in which the queue was heard of, by a job in it or a round that read it, if that is not longer ago than 15 minutes; those that are not over yet only if the ones before are missing; each batch system for itself. Failed are all that ended otherwise than finished or removed, where any such is known: Slurm tells them apart, HTCondor does not. The span is compared with the one before, of the same length, if the store knows that. Run time is of jobs that ended in the span, by wall clock, however many cores they had.",
    is_wide: true,
    question: &QUESTION,
    fixed: &[],
    draw: Draw::Tiles(Tiles {
        title: "number",
        value: "value",
        before: Some("before"),
        note: Some("note"),
        unit: Unit::Count,
    }),
};

pub const QUESTION: Question = Question {
    path: "workloads",
    summary: "How many jobs there are now, and ended in a span",
    about: "What was not heard of is null, not 0.",
    params: &[FACILITY, FROM, TO, FORMAT],
    head: &[],
    fields: &[
        field("number", Ty::Text, "What is counted."),
        field("value", Ty::MaybeNumber, "How much; null: not heard of."),
        field(
            "before",
            Ty::MaybeNumber,
            "The same in the span before, of the same length; null where that is not known.",
        ),
        field("unit", Ty::Text, "count or seconds."),
        field(
            "note",
            Ty::MaybeText,
            "Of when it is, and what is not in it.",
        ),
    ],
    answer: How::Rows(answer),
};

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    let facilities = asked.facilities(store)?;
    let mut rows = Rows::default();
    now(store, asked.now, &facilities, &mut rows)?;
    let earlier = users_now::before(asked.span);
    let is_older = heard::since(store, &facilities, BATCH, earlier)?;
    let others = others(store, &facilities)?;
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    for (title, unit, states) in [
        ("Finished in the span", Unit::Count, Some(&["finished"][..])),
        ("Removed in the span", Unit::Count, Some(&["removed"])),
        (FAILED, Unit::Count, Some(&others)),
        ("Run time of ended jobs", Unit::Seconds, None),
    ] {
        if states.is_some_and(<[_]>::is_empty) {
            continue;
        }
        let of = |span| -> Result<Option<f64>, Refused> {
            let ended = ended(store, &facilities, states, span)?;
            Ok(ended.map(|ended| match unit {
                Unit::Count => f64::from(ended.n),
                _ => ended.sum,
            }))
        };
        let before = if is_older { of(earlier)? } else { None };
        let note = match title {
            FAILED => how(store, &facilities, &others, asked.span)?,
            _ => None,
        };
        rows.push(vec![
            title.into(),
            of(asked.span)?.into(),
            before.into(),
            unit.word().into(),
            note.into(),
        ])?;
    }
    Ok(rows)
}

/// How many ended in each of these states, most first; `None`: none did.
fn how(
    store: &Connection,
    facilities: &[Facility],
    states: &[&str],
    span: Span,
) -> Result<Option<String>, Refused> {
    let mut all = Vec::new();
    for state in states {
        let jobs = ended(store, facilities, Some(&[state]), span)?.map_or(0, |ended| ended.n);
        if jobs > 0 {
            all.push((jobs, states::title(state)));
        }
    }
    all.sort_by_key(|(jobs, _)| Reverse(*jobs));
    let said: Vec<String> = all
        .into_iter()
        .map(|(jobs, title)| format!("{} {title}", Unit::Count.text(f64::from(jobs))))
        .collect();
    Ok((!said.is_empty()).then(|| said.join(", ")))
}

/// The states besides finished and removed in which any job is known to have ended.
fn others(store: &Connection, facilities: &[Facility]) -> Result<BTreeSet<String>, Refused> {
    let mut others = BTreeSet::new();
    for facility in facilities {
        for series in numbers::series(store, facility.id, Metric::Ended)? {
            let (_, state) = System::of_part(&series.part);
            if !["finished", "removed"].contains(&state) {
                others.insert(state.to_owned());
            }
        }
    }
    Ok(others)
}

/// Jobs that ended in a span, in one of these states or any. `None`: nothing was heard of jobs.
fn ended(
    store: &Connection,
    facilities: &[Facility],
    states: Option<&[&str]>,
    span: Span,
) -> Result<Option<Cell>, Refused> {
    if !heard::any(store, facilities, BATCH, span)? {
        return Ok(None);
    }
    let mut ended = Cell {
        n: 0,
        ..Cell::one(0.0)
    };
    for facility in facilities {
        for series in numbers::series(store, facility.id, Metric::Ended)? {
            let (_, state) = System::of_part(&series.part);
            if states.is_none_or(|states| states.contains(&state))
                && let Some(total) = numbers::total(store, series.id, span)?
            {
                ended.n += total.n;
                ended.sum += total.sum;
            }
        }
    }
    Ok(Some(ended))
}

/// The last five minutes that were heard of. While they are not over, some sources may still be missing: then
/// those before, if they were heard of as well.
fn newest(heard: &BTreeMap<i64, u32>, now: i64) -> Option<i64> {
    let (last, _) = heard.last_key_value()?;
    let is_over = last + SLOT_MS <= now;
    let before = last - SLOT_MS;
    match !is_over && heard.contains_key(&before) {
        true => Some(before),
        false => Some(*last),
    }
}

/// What is known of now: the jobs of each batch system by state, of when they are, and who is silent.
#[derive(Default)]
struct Now {
    sums: BTreeMap<System, [f64; STATES.len()]>,
    oldest: Option<i64>,
    silent: Vec<String>,
    /// Of which jobs that ended were heard of, and the queue was not.
    unread: Vec<String>,
}

impl Now {
    /// Adds a facility's batch systems.
    fn add(&mut self, store: &Connection, now: i64, facility: &Facility) -> Result<(), Refused> {
        let recent = Span {
            from: (now - SILENT_MS).div_euclid(SLOT_MS) * SLOT_MS,
            // A document may be some minutes ahead.
            to: now + DAY_MS,
        };
        let (mut silent, mut unread) = (Vec::new(), Vec::new());
        let mut known = 0;
        for system in System::ALL {
            let all = systems::series(store, facility.id, Metric::Jobs, system)?;
            if all.is_empty() {
                continue;
            }
            known += 1;
            let queue = systems::of_queue(&all);
            let heard = numbers::heard(store, &queue, recent, Step::FiveMinutes)?;
            let Some(last) = newest(&heard, now) else {
                match heard::is_any(store, &all, recent)? {
                    true => unread.push(system),
                    false => silent.push(system),
                }
                continue;
            };
            self.oldest = Some(self.oldest.map_or(last, |oldest| oldest.min(last)));
            let sums = self.sums.entry(system).or_default();
            for ((state, _), sum) in STATES.iter().zip(sums) {
                for series in queue.iter().filter(|series| series.part == *state) {
                    let steps = numbers::steps(store, series.id, recent, Step::FiveMinutes)?;
                    *sum += steps.get(&last).map_or(0.0, |cell| cell.sum);
                }
            }
        }
        for (all, systems) in [(&mut self.silent, silent), (&mut self.unread, unread)] {
            match systems.len() == known {
                true if known == 0 => {}
                true => all.push(facility.name.clone()),
                false => all.extend(
                    systems
                        .iter()
                        .map(|system| format!("{} of {}", system.name(), facility.name)),
                ),
            }
        }
        Ok(())
    }

    /// Of when the numbers are, what is not in them, and of two batch systems how many each has.
    fn note(&self, state: usize) -> Option<String> {
        let Some(oldest) = self.oldest else {
            return (!self.unread.is_empty()).then(|| "the queue was not read".into());
        };
        let mut note = format!("{} UTC", cell::minute(oldest));
        for (all, why) in [(&self.silent, "silent"), (&self.unread, "queue not read")] {
            if !all.is_empty() {
                let _ = write!(note, ", without {} ({why})", all.join(" and "));
            }
        }
        if self.sums.len() > 1 {
            for (at, (system, sums)) in self.sums.iter().enumerate() {
                let before = if at == 0 { "; " } else { ", " };
                let jobs = Unit::Count.text(sums[state]);
                let _ = write!(note, "{before}{} {jobs}", system.name());
            }
        }
        Some(note)
    }
}

/// Adds a row for each state, of what was heard of.
fn now(
    store: &Connection,
    now: i64,
    facilities: &[Facility],
    rows: &mut Rows,
) -> Result<(), Refused> {
    let mut found = Now::default();
    for facility in facilities {
        found.add(store, now, facility)?;
    }
    let is_heard = !found.sums.is_empty();
    for (at, (_, title)) in STATES.iter().enumerate() {
        let jobs: f64 = found.sums.values().map(|sums| sums[at]).sum();
        rows.push(vec![
            format!("{title} now").into(),
            is_heard.then_some(jobs).into(),
            Datum::Null,
            Unit::Count.word().into(),
            found.note(at).into(),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_only_begun_is_not_now_where_there_is_something_before_it() {
        let of = |slots: &[i64], now| {
            let heard = slots.iter().map(|slot| (slot * SLOT_MS, 1)).collect();
            newest(&heard, now).map(|time| time / SLOT_MS)
        };
        assert_eq!(of(&[7, 8, 9], 10 * SLOT_MS - 1), Some(8));
        assert_eq!(of(&[7, 8, 9], 10 * SLOT_MS), Some(9));
        assert_eq!(of(&[7, 9], 10 * SLOT_MS - 1), Some(9));
        assert_eq!(of(&[], 0), None);
    }
}
