//! Documents of one kind as rows of CSV.

use std::borrow::Cow;

use afmetrics_document::kinds::{self, Type};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// The columns of a kind: name, and the way to its value.
pub struct Table(Vec<Column>);

struct Column {
    name: String,
    path: Vec<&'static str>,
}

impl Table {
    /// Of a kind that is not known, only what all kinds have.
    pub fn of(kind: &str) -> Self {
        let mut columns: Vec<Column> = ["timestamp", "cluster", "kind"].map(column).into();
        for field in kinds::find(kind).map_or(&[][..], |kind| kind.fields) {
            match field.ty {
                Type::Object(inner) => columns.extend(inner.iter().map(|inner| Column {
                    name: format!("{}.{}", field.name, inner.name),
                    path: vec![field.name, inner.name],
                })),
                _ => columns.push(column(field.name)),
            }
        }
        Self(columns)
    }

    /// The names of the columns.
    pub fn header(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(|column| column.name.as_str())
            .chain(["other"])
    }

    /// The cells of a stored line.
    ///
    /// # Errors
    /// It is no document.
    pub fn row(&self, line: &str) -> Result<Vec<String>> {
        let mut document: Map<String, Value> =
            serde_json::from_str(line).context("a stored document is no JSON")?;
        let mut row: Vec<String> = self
            .0
            .iter()
            .map(|column| match column.path.as_slice() {
                [name] => cell(document.remove(*name)),
                [name, inner] => cell(
                    document
                        .get_mut(*name)
                        .and_then(Value::as_object_mut)
                        .and_then(|fields| fields.remove(*inner)),
                ),
                _ => String::new(),
            })
            .collect();
        document.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
        row.push(match document.is_empty() {
            true => String::new(),
            false => Value::from(document).to_string(),
        });
        Ok(row)
    }
}

fn column(name: &'static str) -> Column {
    Column {
        name: name.to_owned(),
        path: vec![name],
    }
}

fn cell(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => guarded(&text).into_owned(),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            guarded(&words.join(" ")).into_owned()
        }
        Some(other) => other.to_string(),
    }
}

/// A spreadsheet takes text that begins so for a formula, and a user may choose a name.
fn guarded(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_all_of_a_document() {
        let table = Table::of("NETWORK");
        let header: Vec<&str> = table.header().collect();
        assert_eq!(
            header,
            [
                "timestamp",
                "cluster",
                "kind",
                "login_node",
                "network.interval",
                "network.sent",
                "network.received",
                "other"
            ]
        );
        let line = r#"{"timestamp":"T","kind":"NETWORK","cluster":"=A","login_node":"n","network":{"interval":-1.5,"sent":2,"received":3,"x":4},"y":null}"#;
        assert_eq!(
            table.row(line).unwrap(),
            [
                "T",
                "'=A",
                "NETWORK",
                "n",
                "-1.5",
                "2",
                "3",
                r#"{"network":{"x":4},"y":null}"#
            ]
        );
    }
}
