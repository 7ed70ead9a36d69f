//! Whether a document has the fields that the table of kinds says, each of its type; and their values.

use std::borrow::Cow;

use afmetrics_document::kinds::{Field, Kind, Type};
use serde_json::Value as Json;

use super::fields::{Fields, Text};
use super::quoted;

/// Fields of every document, which are looked at elsewhere.
const COMMON: [&str; 4] = ["token", "kind", "cluster", "timestamp"];

/// The value of a field, of the type that the table of kinds gives it.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    Str(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Strs(Vec<Text<'a>>),
    /// In the order of the table's inner fields.
    Object(Vec<Option<Value<'a>>>),
    /// Objects by name, each in the order of the table's inner fields.
    Map(Vec<(String, Vec<Option<Value<'a>>>)>),
}

/// The values of a document of this kind, in the order of the kind's fields; `None` is an optional
/// field that is not there, or null. Fields beyond the table are allowed if they are sound JSON.
///
/// # Errors
/// The field, and what was expected of it.
pub fn values<'a>(kind: &Kind, fields: &Fields<'a>) -> Result<Vec<Option<Value<'a>>>, String> {
    of_table(kind.fields, fields, "")
}

/// Checks the fields of a document whose kind is not in the table.
///
/// # Errors
/// The field that is not sound.
pub fn anything(fields: &Fields<'_>) -> Result<(), String> {
    of_table(&[], fields, "").map(drop)
}

fn of_table<'a>(
    table: &[Field],
    fields: &Fields<'a>,
    inside: &str,
) -> Result<Vec<Option<Value<'a>>>, String> {
    let mut values: Vec<Option<Value<'a>>> = Vec::with_capacity(table.len());
    for field in table {
        let raw = fields.raw(field.name);
        if raw.is_none() && field.required {
            return Err(format!(
                "field `{inside}{}` is missing (expected {})",
                field.name,
                expected(field)
            ));
        }
        let raw = raw.filter(|raw| field.required || *raw != "null");
        values.push(
            raw.map(|raw| {
                of_type(field, raw, inside).map_err(|found| match found {
                    Found::Inside(why) => why,
                    Found::Other => format!(
                        "field `{inside}{}`: expected {}, found {}",
                        field.name,
                        expected(field),
                        shown(raw)
                    ),
                })
            })
            .transpose()?,
        );
    }
    let known = table
        .iter()
        .map(|field| field.name)
        .chain(COMMON)
        .filter(|name| fields.raw(name).is_some())
        .count();
    if known == fields.count() {
        return Ok(values);
    }
    for (name, raw) in fields.iter() {
        let is_known = COMMON.contains(&name) || table.iter().any(|field| field.name == name);
        if !is_known {
            // Half a surrogate pair, 1e999, or brackets without end: what others could not read.
            serde_json::from_str::<Json>(raw).map_err(|why| {
                format!("field `{inside}{}`: {}", quoted(name), without_place(&why))
            })?;
        }
    }
    Ok(values)
}

/// What is wrong with a value.
enum Found {
    /// It is of another type.
    Other,
    /// Something in it is.
    Inside(String),
}

fn of_type<'a>(field: &Field, raw: &'a str, inside: &str) -> Result<Value<'a>, Found> {
    let other = |_| Found::Other;
    match field.ty {
        Type::Str => string(raw).map(Value::Str).ok_or(Found::Other),
        Type::Int => raw.parse().map(Value::Int).map_err(|_| Found::Other),
        Type::Float => match raw.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(Found::Other),
        },
        Type::Strs => serde_json::from_str(raw).map(Value::Strs).map_err(other),
        Type::Object(table) => {
            let fields: Fields = serde_json::from_str(raw).map_err(other)?;
            let inside = format!("{inside}{}.", field.name);
            of_table(table, &fields, &inside)
                .map(Value::Object)
                .map_err(Found::Inside)
        }
        Type::Map(table) => {
            let entries: Fields = serde_json::from_str(raw).map_err(other)?;
            let mut values = Vec::new();
            for (name, raw) in entries.iter() {
                let inside = format!("{inside}{}.{}", field.name, quoted(name));
                let fields: Fields = serde_json::from_str(raw).map_err(|_| {
                    Found::Inside(format!(
                        "field `{inside}`: expected an object, found {}",
                        shown(raw)
                    ))
                })?;
                let entry = of_table(table, &fields, &format!("{inside}."));
                values.push((name.to_owned(), entry.map_err(Found::Inside)?));
            }
            Ok(Value::Map(values))
        }
    }
}

/// The text of a JSON string, if this value (which is sound JSON) is one.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    if let Some(inner) = inner
        && !inner.contains('\\')
    {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(|Text(text)| text)
}

fn expected(field: &Field) -> String {
    let what = match field.ty {
        Type::Str => "a string",
        Type::Int => "an integer",
        Type::Float => "a number",
        Type::Strs => "an array of strings",
        Type::Object(_) => "an object",
        Type::Map(_) => "an object of objects",
    };
    match field.unit {
        "" => what.to_owned(),
        unit => format!("{what} ({unit})"),
    }
}

/// A value in an error's text, cut short.
pub fn shown(raw: &str) -> String {
    const MOST: usize = 40;
    let what = match raw.as_bytes().first() {
        Some(b'"') => "the string ",
        Some(b'[') => "the array ",
        Some(b'{') => "the object ",
        _ => "",
    };
    let short: String = raw.chars().take(MOST).collect();
    let dots = if short.len() < raw.len() { "…" } else { "" };
    format!("{what}{}{dots}", quoted(&short))
}

/// What serde_json says, without its line and column, which count within the value.
pub fn without_place(why: &serde_json::Error) -> String {
    let text = why.to_string();
    match text.split_once(" at line ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}
