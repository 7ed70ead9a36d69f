//! A chart: rows become series over one axis of times. A step of which the answer has no row is a gap, never a
//! zero.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cell::Unit;
use super::{number, place, states, value};
use crate::api::Question;
use crate::api::reply::{Datum, Rows};
use crate::api::span::{Span, Step};

/// What is left out of names where all rows are of one.
const PLACES: [&str; 2] = ["facility", "system"];
const STATE: &str = "state";
/// Steps that a chart of one node may have: it has few series.
const STEPS_OF_ONE: i64 = 300;

/// What a chart looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Lines,
    /// Areas on top of each other: together they are a whole.
    Stack,
    /// A bar for each step.
    Bars,
    /// Bars on top of each other.
    BarStack,
    /// A row for each series, darker where there is more.
    Heat,
}

impl Shape {
    /// As the script knows it.
    pub fn word(self) -> &'static str {
        match self {
            Shape::Lines => "lines",
            Shape::Stack => "stack",
            Shape::Bars => "bars",
            Shape::BarStack => "barstack",
            Shape::Heat => "heat",
        }
    }
}

/// Which field is what. Each row has the beginning of its step in the field `time`.
#[derive(Debug)]
pub struct Chart {
    pub shape: Shape,
    pub unit: Unit,
    /// The fields whose values together name a row's series; nulls are left out, and a row with nulls only is of
    /// the rest. Rows of the same series and step are added up. A facility or batch system is left out where all
    /// rows are of one, unless it is the only field. States come in an order of their own.
    pub split: &'static [&'static str],
    /// The fields that are drawn, and what a series of each is called.
    pub values: &'static [(&'static str, &'static str)],
    /// Steps in it, at most; more where it is of one node.
    pub steps: i64,
}

/// What is sent to the script.
#[derive(Debug, Serialize, PartialEq)]
pub struct Data {
    /// The span, seconds since 1970.
    pub from: i64,
    pub to: i64,
    /// The length of a step in seconds, where steps have one.
    pub step: Option<i64>,
    /// The beginning of each step, seconds since 1970.
    pub times: Vec<i64>,
    pub series: Vec<Series>,
    /// A sentence about the series that the question's limit left out.
    pub more: Option<String>,
    /// A sentence about the numbers.
    pub says: Option<String>,
}

#[derive(Debug, Serialize, PartialEq)]
pub struct Series {
    pub name: String,
    /// For each time, to five digits; null: nothing is known.
    pub values: Vec<Option<f64>>,
}

impl Chart {
    /// Steps in it at most, where it is of all or of one.
    pub fn steps(&self, is_of_one: bool) -> i64 {
        match is_of_one {
            true => self.steps.max(STEPS_OF_ONE),
            false => self.steps,
        }
    }

    pub fn fields(&self) -> Vec<&'static str> {
        let values = self.values.iter().map(|(field, _)| *field);
        ["time"]
            .into_iter()
            .chain(self.split.iter().copied())
            .chain(values)
            .collect()
    }

    /// The fields that tell series apart: not the facility or batch system, where all rows are of one.
    fn telling(&self, question: &Question, rows: &Rows) -> Vec<&'static str> {
        let is_one = |field: &str| {
            let all = rows.list().iter().map(|row| value(question, row, field));
            PLACES.contains(&field) && is_all_the_same(all)
        };
        let all = self.split.iter().copied();
        all.filter(|field| self.split.len() == 1 || !is_one(field))
            .collect()
    }

    /// What a series is called.
    fn name(&self, key: &Key, split: &[&str]) -> String {
        let (texts, at) = key;
        let said = split.iter().zip(texts).filter_map(|(field, text)| {
            let text = text.as_deref()?;
            Some(match *field {
                STATE => states::title(text),
                _ => text.to_owned(),
            })
        });
        let mut parts: Vec<String> = said.collect();
        if is_rest(texts) {
            parts.push("the rest".to_owned());
        }
        if texts.is_empty() || self.values.len() > 1 {
            parts.push(self.values[*at].1.to_owned());
        }
        parts.join(" ")
    }
}

/// What tells series apart: the text of each field of the split, and which of the chart's values it is. Names would
/// not do: those of two series may be the same.
type Key = (Vec<Option<String>>, usize);

/// The texts of the fields that tell a row's series apart.
fn texts(question: &Question, split: &[&'static str], row: &[Datum]) -> Vec<Option<String>> {
    let text = |field: &&'static str| match value(question, row, field) {
        Datum::Null => None,
        Datum::Text(text) => Some(text.clone()),
        other => number(other).map(|number| Unit::Count.text(number)),
    };
    split.iter().map(text).collect()
}

/// Whether a series is all that is of no name.
fn is_rest(texts: &[Option<String>]) -> bool {
    !texts.is_empty() && texts.iter().all(Option::is_none)
}

/// What is said of series that were left out: they are part of the rest where there is one, else they are missing.
fn more(question: &Question, cut: usize, has_rest: bool) -> Option<String> {
    let what = match has_rest {
        true => "shown by name",
        false if place(question, "node").is_some() => "drawn: pick a facility or a node",
        false => "drawn: pick a facility",
    };
    super::left_out(cut, what)
}

fn is_all_the_same<'a>(mut all: impl Iterator<Item = &'a Datum>) -> bool {
    let first = all.next();
    all.all(|other| Some(other) == first)
}

/// Brings an answer's rows into the form that is drawn.
pub fn data(chart: &Chart, question: &Question, rows: &Rows, span: Span, step: Step) -> Data {
    let mut series: BTreeMap<Key, BTreeMap<i64, f64>> = BTreeMap::new();
    // In the order in which they first come, which is the question's.
    let mut order: Vec<Key> = Vec::new();
    let mut times: BTreeSet<i64> = BTreeSet::new();
    let at = place(question, "time");
    let split = chart.telling(question, rows);
    for row in rows.list() {
        let Some(Datum::Time(time)) = at.and_then(|at| row.get(at)) else {
            continue;
        };
        times.insert(*time);
        let texts = texts(question, &split, row);
        for (at, (field, _)) in chart.values.iter().enumerate() {
            let number = number(value(question, row, field));
            // In a heat map a row in which nothing is known is what is looked for.
            if number.is_none() && chart.shape != Shape::Heat {
                continue;
            }
            let key = (texts.clone(), at);
            if !series.contains_key(&key) {
                order.push(key.clone());
            }
            let values = series.entry(key).or_default();
            if let Some(number) = number {
                *values.entry(*time).or_insert(0.0) += number;
            }
        }
    }
    if let Some(state) = split.iter().position(|field| *field == STATE) {
        order.sort_by_key(|(texts, _)| texts[state].as_deref().map(states::rank));
    }
    let has_step = question.has("step");
    if has_step {
        times.extend(steps(span, step));
    }
    let times: Vec<i64> = times.into_iter().collect();
    let has_rest = order.iter().any(|(texts, _)| is_rest(texts));
    let series = order.into_iter().map(|key| {
        let values = series.remove(&key).unwrap_or_default();
        Series {
            values: times
                .iter()
                .map(|time| values.get(time).copied().map(rounded))
                .collect(),
            name: chart.name(&key, &split),
        }
    });
    Data {
        // Days and weeks are whole, also those in which the span begins and ends.
        from: match times.first() {
            Some(first) if !has_step => span.from.min(*first) / 1000,
            _ => span.from / 1000,
        },
        to: match times[..] {
            [.., before, last] if !has_step => span.to.max(2 * last - before) / 1000,
            _ => span.to / 1000,
        },
        step: has_step.then_some(step.ms() / 1000),
        series: series.collect(),
        times: times.iter().map(|time| time / 1000).collect(),
        more: more(question, rows.cut, has_rest),
        says: super::says(rows),
    }
}

/// The beginnings of all steps that a span touches.
fn steps(span: Span, step: Step) -> impl Iterator<Item = i64> {
    let mut next = step.begin(span.from);
    std::iter::from_fn(move || {
        let time = next;
        next += step.ms();
        (time < span.to).then_some(time)
    })
}

/// To five digits: a chart shows no more, and they are most of what is sent.
fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(4.0 - number.abs().log10().floor());
    let rounded = (number * scale).round() / scale;
    if rounded.is_finite() { rounded } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::jobs::QUESTION;

    const STATES: Chart = Chart {
        shape: Shape::Stack,
        unit: Unit::Count,
        split: &["state"],
        values: &[("jobs", "jobs")],
        steps: 300,
    };
    const HOUR: i64 = 3_600_000;

    fn row(time: i64, user: Option<&str>, state: &str, jobs: f64) -> Vec<Datum> {
        let user = user.map(str::to_owned).into();
        vec![
            Datum::Time(time),
            Datum::Null,
            user,
            state.into(),
            jobs.into(),
            Datum::Null,
        ]
    }

    #[test]
    fn a_step_without_rows_is_a_gap() {
        let mut rows = Rows::default();
        rows.push(row(0, None, "running", 3.0)).unwrap();
        rows.push(row(2 * HOUR, None, "running", 1.0 / 3.0))
            .unwrap();
        rows.push(row(2 * HOUR, None, "idle", 0.0)).unwrap();
        let span = Span {
            from: 1,
            to: 3 * HOUR,
        };
        let data = data(&STATES, &QUESTION, &rows, span, Step::Hour);
        assert_eq!(data.times, [0, 3_600, 7_200]);
        assert_eq!(data.step, Some(3_600));
        assert_eq!(data.series[0].values, [None, None, Some(0.0)]);
        assert_eq!(data.series[1].name, "running");
        assert_eq!(data.series[1].values, [Some(3.0), None, Some(0.33333)]);
    }

    #[test]
    fn a_heat_map_has_a_row_for_who_is_silent() {
        let mut rows = Rows::default();
        let mut silent = row(0, Some("canary-1"), "idle", 0.0);
        silent[4] = Datum::Null;
        rows.push(silent).unwrap();
        let span = Span { from: 0, to: HOUR };
        let of = |shape| {
            let chart = Chart { shape, ..STATES };
            data(&chart, &QUESTION, &rows, span, Step::Hour).series
        };
        assert_eq!(of(Shape::Heat)[0].values, [None]);
        assert_eq!(of(Shape::Stack), []);
    }

    #[test]
    fn rows_of_one_series_and_step_are_added_up() {
        let mut rows = Rows::default();
        for (user, state) in [
            (Some("canary-1"), "idle"),
            (Some("canary-1"), "held"),
            (None, "idle"),
            // Who is called so is not the rest.
            (Some("the rest"), "idle"),
        ] {
            rows.push(row(0, user, state, 2.0)).unwrap();
        }
        let by_user = Chart {
            split: &["user"],
            ..STATES
        };
        let span = Span { from: 0, to: HOUR };
        let data = data(&by_user, &QUESTION, &rows, span, Step::Hour);
        let all: Vec<_> = data
            .series
            .iter()
            .map(|one| (&*one.name, &*one.values))
            .collect();
        assert_eq!(
            all,
            [
                ("canary-1", &[Some(4.0)][..]),
                ("the rest", &[Some(2.0)]),
                ("the rest", &[Some(2.0)]),
            ]
        );
    }

    #[test]
    fn who_is_left_out_is_of_the_rest_or_not_drawn() {
        let by_user = Chart {
            split: &["user"],
            ..STATES
        };
        let says = |user, cut| {
            let mut rows = Rows::default();
            rows.push(row(0, user, "idle", 2.0)).unwrap();
            rows.cut = cut;
            let span = Span { from: 0, to: HOUR };
            data(&by_user, &QUESTION, &rows, span, Step::Hour).more
        };
        assert_eq!(says(None, 0), None);
        let text = |said: &str| Some(said.to_owned());
        assert_eq!(says(None, 1), text("1 more is not shown by name."));
        assert_eq!(
            says(Some("the rest"), 2),
            text("2 more are not drawn: pick a facility.")
        );
    }

    #[test]
    fn states_have_names_and_an_order() {
        let mut rows = Rows::default();
        for state in ["idle", "node_fail", "odd_one", "running", "finished"] {
            rows.push(row(0, None, state, 1.0)).unwrap();
        }
        let span = Span { from: 0, to: HOUR };
        let data = data(&STATES, &QUESTION, &rows, span, Step::Hour);
        let names: Vec<&str> = data.series.iter().map(|one| &*one.name).collect();
        assert_eq!(
            names,
            ["finished", "node failed", "odd one", "idle", "running"]
        );
    }

    #[test]
    fn a_system_is_named_where_there_are_two() {
        let by = Chart {
            split: &["facility", "system", "user"],
            ..STATES
        };
        let names = |systems: [&str; 2]| -> Vec<String> {
            let mut rows = Rows::default();
            for system in systems {
                let mut row = row(0, Some("canary-1"), "idle", 1.0);
                row[5] = system.into();
                rows.push(row).unwrap();
            }
            let span = Span { from: 0, to: HOUR };
            let data = data(&by, &QUESTION, &rows, span, Step::Hour);
            data.series.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names(["Slurm", "Slurm"]), ["canary-1"]);
        assert_eq!(
            names(["HTCondor", "Slurm"]),
            ["HTCondor canary-1", "Slurm canary-1"]
        );
    }

    #[test]
    fn whole_days_are_shown_whole_and_an_unknown_one_is_a_gap() {
        let question = crate::api::Question {
            params: &[],
            ..QUESTION
        };
        let mut rows = Rows::default();
        rows.head.push(("says", "So it is.".into()));
        let day = 24 * HOUR;
        for (time, jobs) in [(0, Datum::Int(3)), (day, Datum::Null)] {
            let mut row = row(time, None, "idle", 0.0);
            row[4] = jobs;
            rows.push(row).unwrap();
        }
        let span = Span {
            from: HOUR,
            to: day + HOUR,
        };
        let data = data(&STATES, &question, &rows, span, Step::Hour);
        assert_eq!((data.from, data.to), (0, 2 * day / 1000));
        assert_eq!(data.series[0].values, [Some(3.0), None]);
        assert_eq!((data.step, data.says.as_deref()), (None, Some("So it is.")));
    }

    #[test]
    fn numbers_keep_five_digits() {
        assert_eq!(rounded(123_456_789.0), 123_460_000.0);
        assert_eq!(rounded(-0.000_123_456), -0.000_123_46);
        assert_eq!(rounded(0.0), 0.0);
        assert_eq!(rounded(f64::MIN_POSITIVE), f64::MIN_POSITIVE);
    }
}
