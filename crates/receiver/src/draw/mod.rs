//! How rows are shown to a person: as a few numbers, as a table, or as a chart. The rows are an answer of the API;
//! what is here only says which field goes where.

pub mod cell;
pub mod chart;
pub mod states;
pub mod table;
pub mod tiles;

use crate::api::Question;
use crate::api::reply::{Datum, Rows};

/// How a panel shows its rows.
#[derive(Debug)]
pub enum Draw {
    /// A few numbers, each with what it was in the span before.
    Tiles(tiles::Tiles),
    Table(table::Table),
    /// The columns of the first row, as tiles.
    Facts(&'static [table::Column]),
    /// Drawn by the page's script.
    Chart(chart::Chart),
}

impl Draw {
    /// The fields of the question that it reads: a test holds them against the question's own.
    pub fn fields(&self) -> Vec<&'static str> {
        match self {
            Draw::Tiles(tiles) => tiles.fields(),
            Draw::Table(table) => table.fields(),
            Draw::Facts(columns) => columns.iter().map(|column| column.field).collect(),
            Draw::Chart(chart) => chart.fields(),
        }
    }
}

/// A sentence about the numbers: the field `says` of an answer's head.
pub fn says(rows: &Rows) -> Option<String> {
    let (_, said) = rows.head.iter().find(|(name, _)| *name == "says")?;
    match said {
        Datum::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// How many are not there, if any, and in which way: `3 more are not shown.`
fn left_out(cut: usize, what: &str) -> Option<String> {
    match cut {
        0 => None,
        1 => Some(format!("1 more is not {what}.")),
        cut => Some(format!("{cut} more are not {what}.")),
    }
}

/// Where a question's rows have a field.
fn place(question: &Question, field: &str) -> Option<usize> {
    question.fields.iter().position(|known| known.name == field)
}

/// A row's value of a field; null where there is none.
fn value<'r>(question: &Question, row: &'r [Datum], field: &str) -> &'r Datum {
    place(question, field)
        .and_then(|at| row.get(at))
        .unwrap_or(&Datum::Null)
}

/// A value as a number.
#[expect(clippy::cast_precision_loss, reason = "shown rounded")]
fn number(value: &Datum) -> Option<f64> {
    match value {
        Datum::Int(number) | Datum::Time(number) => Some(*number as f64),
        Datum::Number(number) => Some(*number),
        Datum::Bool(is_so) => Some(f64::from(u8::from(*is_so))),
        _ => None,
    }
}
