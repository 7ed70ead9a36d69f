//! An answer: rows under names, written as JSON or CSV.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::asked::Asked;
use super::refused::Refused;
use super::{Field, Question};
use crate::documents::time;

/// Rows in an answer.
const MOST_ROWS: usize = 200_000;

/// The type of a field. All but `Time`, `Text`, `Int` and `Bool` may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    Text,
    MaybeText,
    Texts,
    MaybeTexts,
    Int,
    MaybeInt,
    Number,
    MaybeNumber,
    Bool,
    Time,
    MaybeTime,
}

/// A value in an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    Null,
    Text(String),
    Texts(Vec<String>),
    Int(i64),
    Number(f64),
    Bool(bool),
    /// Milliseconds since 1970.
    Time(i64),
}

impl From<i64> for Datum {
    fn from(number: i64) -> Self {
        Datum::Int(number)
    }
}

impl From<usize> for Datum {
    fn from(number: usize) -> Self {
        Datum::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Datum {
    fn from(number: f64) -> Self {
        match number.is_finite() {
            true => Datum::Number(number),
            false => Datum::Null,
        }
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Datum::Text(text.to_owned())
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Datum::Text(text)
    }
}

impl From<Vec<String>> for Datum {
    fn from(texts: Vec<String>) -> Self {
        Datum::Texts(texts)
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Datum::Null, Into::into)
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Null => to.serialize_none(),
            Datum::Text(text) => to.serialize_str(text),
            Datum::Texts(texts) => texts.serialize(to),
            Datum::Int(number) => to.serialize_i64(*number),
            Datum::Number(number) => to.serialize_f64(*number),
            Datum::Bool(is_so) => to.serialize_bool(*is_so),
            Datum::Time(ms) => to.serialize_str(&time::text(*ms)),
        }
    }
}

/// The answer to a question.
#[derive(Debug, Default)]
pub struct Rows {
    /// What stands beside the list.
    pub head: Vec<(&'static str, Datum)>,
    rows: Vec<Vec<Datum>>,
    /// Series or rows that the limit left out.
    pub cut: usize,
}

impl Rows {
    /// Adds a row, whose values are in the order of the question's fields.
    ///
    /// # Errors
    /// 400: there are too many.
    pub fn push(&mut self, row: Vec<Datum>) -> Result<(), Refused> {
        fits(self.rows.len() + 1)?;
        self.rows.push(row);
        Ok(())
    }

    /// The rows, each with its values in the order of the question's fields.
    pub fn list(&self) -> &[Vec<Datum>] {
        &self.rows
    }

    /// Adds to the head what follows from the question's parameters.
    pub fn finish(&mut self, question: &Question, asked: &Asked) {
        let mut head = Vec::new();
        if question.has("from") {
            head.push(("from", Datum::Time(asked.span.from)));
            head.push(("to", Datum::Time(asked.span.to)));
        }
        if question.has("step") {
            head.push(("step", asked.step.word().into()));
        }
        if question.has("limit") {
            head.push(("cut", self.cut.into()));
        }
        head.append(&mut self.head);
        self.head = head;
    }
}

/// Whether an answer may have so many rows.
///
/// # Errors
/// 400: these are too many.
pub fn fits(rows: usize) -> Result<(), Refused> {
    match rows <= MOST_ROWS {
        true => Ok(()),
        false => Err(Refused::Parameter(format!(
            "the answer would have more than {MOST_ROWS} rows: expected a longer `step`, a shorter span or a smaller `limit`"
        ))),
    }
}

/// Fields of an answer that follow from the question's parameters.
pub const FOLLOWING: &[(&str, Field)] = &[
    (
        "from",
        super::field(
            "from",
            Ty::Time,
            "The beginning of the span, in full five minutes.",
        ),
    ),
    (
        "from",
        super::field("to", Ty::Time, "The end of the span, in full five minutes."),
    ),
    (
        "step",
        super::field(
            "step",
            Ty::Text,
            "The length of a step: 5m, 15m, 1h, 6h or 1d.",
        ),
    ),
    (
        "limit",
        super::field(
            "cut",
            Ty::Int,
            "How many `limit` left out (or put together as the rest); in CSV the header `X-Afmetrics-Cut`.",
        ),
    ),
];

struct Object<'a>(&'a Question, &'a Rows);
struct List<'a>(&'a Question, &'a Rows);
struct Element<'a>(&'a [Field], &'a [Datum]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        for (name, value) in &self.1.head {
            object.serialize_entry(name, value)?;
        }
        object.serialize_entry(self.0.path, &List(self.0, self.1))?;
        object.end()
    }
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.1.rows.len()))?;
        for row in &self.1.rows {
            list.serialize_element(&Element(self.0.fields, row))?;
        }
        list.end()
    }
}

impl Serialize for Element<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|field| field.name).zip(self.1))
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Json,
    Csv,
}

/// As the parameter says, else the header.
pub fn form(word: Option<&str>, headers: &HeaderMap) -> Written {
    let accepted = || headers.get(header::ACCEPT)?.to_str().ok();
    match word {
        Some("csv") => Written::Csv,
        Some(_) => Written::Json,
        None if accepted().is_some_and(|accept| accept.trim_start().starts_with("text/csv")) => {
            Written::Csv
        }
        None => Written::Json,
    }
}

impl Written {
    /// The answer's bytes, and how many were left out.
    pub fn body(self, question: &Question, rows: &Rows) -> Result<(Vec<u8>, usize), Refused> {
        let bytes = match self {
            Written::Json => {
                let mut bytes = serde_json::to_vec(&Object(question, rows))
                    .map_err(|why| Refused::Failed(why.into()))?;
                bytes.push(b'\n');
                bytes
            }
            Written::Csv => csv(question, rows).map_err(|why| Refused::Failed(why.into()))?,
        };
        Ok((bytes, rows.cut))
    }

    pub fn response(self, question: &Question, (body, cut): (Vec<u8>, usize)) -> Response {
        let kind = match self {
            Written::Json => "application/json",
            Written::Csv => "text/csv; charset=utf-8; header=present",
        };
        let mut response = Bytes::from(body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if self == Written::Csv {
            let name = format!("attachment; filename=\"afmetrics-{}.csv\"", question.path);
            if let Ok(name) = HeaderValue::try_from(name) {
                headers.insert(header::CONTENT_DISPOSITION, name);
            }
            headers.insert("x-afmetrics-cut", HeaderValue::from(cut));
        }
        response
    }
}

fn csv(question: &Question, rows: &Rows) -> std::io::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(question.fields.iter().map(|field| field.name))?;
    for row in &rows.rows {
        table.write_record(row.iter().map(cell))?;
    }
    table
        .into_inner()
        .map_err(|why| std::io::Error::other(why.to_string()))
}

/// A value as it stands in CSV. Names come from outside: one that a spreadsheet would take for a formula
/// gets a quote mark in front.
fn cell(value: &Datum) -> String {
    let mut cell = String::new();
    match value {
        Datum::Null => {}
        Datum::Text(text) => cell.push_str(text),
        Datum::Texts(texts) => cell = texts.join(";"),
        Datum::Int(number) => {
            let _ = write!(cell, "{number}");
            return cell;
        }
        Datum::Number(number) => {
            let _ = write!(cell, "{number}");
            return cell;
        }
        Datum::Bool(is_so) => cell = is_so.to_string(),
        Datum::Time(ms) => cell = time::text(*ms),
    }
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        cell.insert(0, '\'');
    }
    cell
}
