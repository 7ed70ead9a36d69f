//! Batch jobs by state over time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;

use super::asked::{self, Asked, FACILITY, FORMAT, FROM, Facility, Form, Param, STEP, TO};
use super::numbers::{self, Series, Steps};
use super::refused::Refused;
use super::reply::{self, Datum, Rows, Ty};
use super::span::Span;
use super::{How, Question, field, systems};
use crate::documents::{Metric, System};

pub const QUESTION: Question = Question {
    path: "jobs",
    summary: "Batch jobs by state over time",
    about: "A job counts once in five minutes, in the state it was last reported in. What stands for the waiting tasks of an array counts as so many jobs. A step of an hour or a day has the mean over those of its five minutes in which a batch system's queue at a facility was heard of: by a job in it that has not ended, or a `round` that read it. A state that was not reported then is 0. A step in which no queue was heard of is left out, also where jobs are known to have ended in it: those are in `finished`. Batch systems and facilities are added up.",
    params: &[
        FACILITY,
        FROM,
        TO,
        STEP,
        Param {
            name: "by",
            form: Form::OneOf(&["state", "user", "facility", "system"]),
            about: "What else to split by.",
        },
        asked::param_text("user", "Only this user's jobs: `by` does not count."),
        asked::limit(
            20,
            200,
            "With `by=user`: so many users, those with most jobs; the rest, if there are any, are one, whose `user` is null.",
        ),
        FORMAT,
    ],
    head: &[],
    fields: &[
        field("time", Ty::Time, "The beginning of the step."),
        field(
            "facility",
            Ty::MaybeText,
            "The facility, with `by=facility`.",
        ),
        field(
            "user",
            Ty::MaybeText,
            "The user, with `by=user`; null for the rest.",
        ),
        field("state", Ty::Text, "The state (`state` in documents)."),
        field("jobs", Ty::Number, "Jobs in that state, a mean."),
        field(
            "system",
            Ty::MaybeText,
            "The batch system, with `by=system`: HTCondor or Slurm.",
        ),
    ],
    answer: How::Rows(answer),
};

/// What is added up: a facility (`None`: all) and a batch system (`None`: both).
type Group = (Option<String>, Option<&'static str>);
/// A line of the chart: group, user, state. The rest, as nobody, is the last.
type Line = (Group, (bool, Option<String>), String);

/// Lines over time, and when anything was heard, by group.
#[derive(Default)]
struct Chart {
    lines: BTreeMap<Line, BTreeMap<i64, f64>>,
    times: BTreeMap<Group, BTreeSet<i64>>,
    /// Rows that this will be, at least.
    rows: usize,
}

/// The jobs of a batch system at a facility: what is heard of together.
struct Source {
    group: Group,
    system: System,
    all: Vec<Series>,
    /// In how many five minutes of each step its queue was heard of.
    heard: BTreeMap<i64, u32>,
    /// And in how many its jobs, in the queue or ended: ends are a mean over these.
    heard_any: BTreeMap<i64, u32>,
}

impl Source {
    /// The five minutes that a state is a mean over.
    fn heard_of(&self, state: &str) -> &BTreeMap<i64, u32> {
        match System::is_of_queue(state) {
            true => &self.heard,
            false => &self.heard_any,
        }
    }
}

fn answer(store: &Connection, asked: &Asked) -> Result<Rows, Refused> {
    if let Some(user) = asked.word("user") {
        return of_user(store, asked, user);
    }
    let by = asked.word("by").unwrap_or("state");
    let facilities = asked.facilities(store)?;
    let ids: Vec<i64> = facilities.iter().map(|facility| facility.id).collect();
    let (top, cut) = match by {
        "user" => top(store, asked, &ids)?,
        _ => Default::default(),
    };
    let mut chart = Chart::default();
    for facility in &facilities {
        let own = top.get(&facility.id).map_or(&[][..], Vec::as_slice);
        for source in sources(store, asked, facility, by)? {
            chart.heard(&source);
            let rest = of_top(store, asked, &source, own, &mut chart)?;
            for (state, steps) in rest {
                // Counts are whole numbers.
                let is_some = steps.values().any(|cell| cell.sum >= 0.5);
                if is_some || cut > 0 || by != "user" {
                    let line = (source.group.clone(), (true, None), state);
                    chart.add(line, &steps, &source)?;
                }
            }
        }
    }
    let mut rows = rows(&chart)?;
    rows.cut = cut;
    Ok(rows)
}

/// A facility's batch systems of which jobs were ever heard.
fn sources(
    store: &Connection,
    asked: &Asked,
    facility: &Facility,
    by: &str,
) -> Result<Vec<Source>, Refused> {
    let mut sources = Vec::new();
    for system in System::ALL {
        let all = systems::series(store, facility.id, Metric::Jobs, system)?;
        if all.is_empty() {
            continue;
        }
        let queue = systems::of_queue(&all);
        let heard = numbers::heard(store, &queue, asked.span, asked.step)?;
        let heard_any = numbers::heard(store, &all, asked.span, asked.step)?;
        sources.push(Source {
            group: (
                (by == "facility").then(|| facility.name.clone()),
                (by == "system").then(|| system.name()),
            ),
            system,
            all,
            heard,
            heard_any,
        });
    }
    Ok(sources)
}

/// Adds the lines of the users with most jobs; what is left, by state, are the others'.
fn of_top(
    store: &Connection,
    asked: &Asked,
    source: &Source,
    top: &[Series],
    chart: &mut Chart,
) -> Result<BTreeMap<String, Steps>, Refused> {
    let mut rest: BTreeMap<String, Steps> = BTreeMap::new();
    for series in &source.all {
        rest.insert(
            series.part.clone(),
            numbers::steps(store, series.id, asked.span, asked.step)?,
        );
    }
    for series in systems::of_system(top.to_vec(), source.system) {
        let steps = numbers::steps(store, series.id, asked.span, asked.step)?;
        subtract(rest.get_mut(&series.part), &steps);
        let line = (
            source.group.clone(),
            (false, Some(series.label)),
            series.part,
        );
        chart.add(line, &steps, source)?;
    }
    Ok(rest)
}

/// One user's jobs by state: where the queue was heard of, none of a state is 0.
fn of_user(store: &Connection, asked: &Asked, user: &str) -> Result<Rows, Refused> {
    let mut chart = Chart::default();
    let line = |state: &str| {
        let group = (None, None);
        (group, (false, Some(user.to_owned())), state.to_owned())
    };
    // A user without jobs has these.
    for state in ["idle", "running"] {
        chart.lines.entry(line(state)).or_default();
    }
    for facility in asked.facilities(store)? {
        let own = numbers::of_label(store, facility.id, Metric::JobsOfUser, user)?;
        for source in sources(store, asked, &facility, "user")? {
            chart.heard(&source);
            for series in systems::of_system(own.clone(), source.system) {
                let steps = numbers::steps(store, series.id, asked.span, asked.step)?;
                chart.add(line(&series.part), &steps, &source)?;
            }
        }
    }
    rows(&chart)
}

impl Chart {
    fn heard(&mut self, source: &Source) {
        let times = self.times.entry(source.group.clone()).or_default();
        times.extend(source.heard.keys());
    }

    /// Adds a source's sums to a line, as means.
    ///
    /// # Errors
    /// 400: the answer gets too long.
    fn add(&mut self, line: Line, steps: &Steps, source: &Source) -> Result<(), Refused> {
        if steps.is_empty() {
            return Ok(());
        }
        // Each line has a row for each time.
        let times = self.times.get(&line.0).map_or(0, BTreeSet::len);
        if !self.lines.contains_key(&line) {
            self.rows += times;
        }
        reply::fits(self.rows)?;
        let heard = source.heard_of(&line.2);
        let line = self.lines.entry(line).or_default();
        for (time, cell) in steps {
            if let Some(slots) = heard.get(time) {
                *line.entry(*time).or_insert(0.0) += cell.sum / f64::from(*slots);
            }
        }
        Ok(())
    }
}

/// The series of the users with most jobs, by facility, and how many other users there are.
fn top(
    store: &Connection,
    asked: &Asked,
    facilities: &[i64],
) -> Result<(HashMap<i64, Vec<Series>>, usize), Refused> {
    let mut jobs: HashMap<String, f64> = HashMap::new();
    let mut users = Vec::new();
    for facility in facilities {
        let own = sums(store, *facility, asked.span)?;
        for (user, sum) in &own {
            *jobs.entry(user.clone()).or_insert(0.0) += sum;
        }
        users.push((*facility, own));
    }
    let (chosen, cut) = most(jobs, asked.limit());
    let mut all: HashMap<i64, Vec<Series>> = HashMap::new();
    for (facility, own) in users {
        for (user, _) in own.iter().filter(|(user, _)| chosen.contains(user)) {
            let series = numbers::of_label(store, facility, Metric::JobsOfUser, user)?;
            all.entry(facility).or_default().extend(series);
        }
    }
    Ok((all, cut))
}

/// A facility's jobs by user.
fn sums(store: &Connection, facility: i64, span: Span) -> Result<Vec<(String, f64)>, Refused> {
    if is_long(span) {
        return Ok(numbers::by_label(
            store,
            facility,
            Metric::JobsOfUser,
            span,
        )?);
    }
    let totals = numbers::totals(store, facility, Metric::JobsOfUser, span)?;
    let sums = totals.into_iter().map(|(user, cell)| (user, cell.sum));
    Ok(sums.collect())
}

/// Whether parts of its first and last day are too little to tell who has most jobs.
fn is_long(span: Span) -> bool {
    let (first, last) = span.days();
    last - first > 14
}

/// The names with the highest numbers, and how many others there are.
pub fn most(numbers: HashMap<String, f64>, limit: usize) -> (BTreeSet<String>, usize) {
    let mut all: Vec<(String, f64)> = numbers.into_iter().collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let cut = all.len().saturating_sub(limit);
    let chosen = all.into_iter().take(limit).map(|(name, _)| name);
    (chosen.collect(), cut)
}

/// Takes what was counted elsewhere out of a total.
pub fn subtract(from: Option<&mut Steps>, steps: &Steps) {
    let Some(from) = from else { return };
    for (time, cell) in steps {
        if let Some(total) = from.get_mut(time) {
            total.sum -= cell.sum;
            total.n = total.n.saturating_sub(cell.n);
        }
    }
}

fn rows(chart: &Chart) -> Result<Rows, Refused> {
    let all: BTreeSet<i64> = chart.times.values().flatten().copied().collect();
    let mut rows = Rows::default();
    for time in all {
        for ((group, (_, user), state), line) in &chart.lines {
            if chart
                .times
                .get(group)
                .is_some_and(|times| times.contains(&time))
            {
                let (facility, system) = group;
                rows.push(vec![
                    Datum::Time(time),
                    facility.clone().into(),
                    user.clone().into(),
                    state.as_str().into(),
                    line.get(&time).copied().unwrap_or(0.0).into(),
                    system.map(str::to_owned).into(),
                ])?;
            }
        }
    }
    Ok(rows)
}
