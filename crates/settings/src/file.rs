//! Reading a file: every table and option in it has to be one of the layout.

use std::path::{Path, PathBuf};

use clap::Command;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Given, Layout, Row, Table, Takes, Wrong, arg, meant};

const EMPTY: &str = "may not be empty: without it the default holds";
pub(crate) const BEYOND_ALL_BOUNDS: &str = "is a number beyond all bounds";

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Outside of lists.
    pub given: Vec<Given>,
    /// Items of lists, in the file's order.
    pub items: Vec<Item>,
}

/// An item of a list: one `[[name]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The name of the list.
    pub list: &'static str,
    /// Where it stands, for messages.
    pub place: String,
    pub given: Vec<Given>,
}

impl Settings {
    /// Reads a file's text. `path`: for messages; `command`: has the flags that the options are.
    pub(crate) fn read(
        path: &Path,
        text: &str,
        layout: Layout,
        command: &Command,
    ) -> Result<Self, Wrong> {
        let file = File {
            path: path.to_owned(),
            text,
            layout,
            command,
        };
        let top = DeTable::parse(text).map_err(|why| {
            let at = why.span().map_or(0, |span| span.start);
            Wrong::at(file.place(at, ""), why.message())
        })?;
        let mut settings = Self::default();
        file.read_table("", top.get_ref(), &mut settings)?;
        Ok(settings)
    }

    /// The items of a list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.list == name)
    }
}

struct File<'a> {
    path: PathBuf,
    text: &'a str,
    layout: Layout,
    command: &'a Command,
}

impl File<'_> {
    /// `FILE, line N, [table] option`
    fn place(&self, at: usize, what: &str) -> String {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let blank = if what.is_empty() { "" } else { ", " };
        format!("{}, line {line}{blank}{what}", self.path.display())
    }

    fn table(&self, name: &str) -> Option<&'static Table> {
        self.layout.tables.iter().find(|table| table.name == name)
    }

    /// Whether it is a table, or others are called after it.
    fn is_known(&self, name: &str) -> bool {
        let mut names = self.layout.tables.iter().map(|table| table.name);
        names.any(|known| {
            known == name
                || known
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    fn has_option(&self, table: &str, option: &str) -> bool {
        let rows = self.table(table).map_or(&[][..], |table| table.options);
        rows.iter().any(|row| row.option == option)
    }

    /// How a table's name is written in the file.
    fn written(&self, name: &str) -> String {
        match self.table(name) {
            Some(table) => written(table),
            None => format!("[{name}]"),
        }
    }

    fn read_table(
        &self,
        name: &str,
        table: &DeTable<'_>,
        settings: &mut Settings,
    ) -> Result<(), Wrong> {
        for (key, value) in table {
            let full = match name {
                "" => key.get_ref().to_string(),
                name => format!("{name}.{}", key.get_ref()),
            };
            let at = key.span().start;
            let is_option = self.has_option(name, key.get_ref());
            let list = self.table(&full).filter(|table| table.is_list);
            match (value.get_ref(), list) {
                _ if is_option => {
                    let given = self.read_option(self.table(name), name, key, value)?;
                    settings.given.push(given);
                }
                (DeValue::Table(_), Some(_)) => {
                    let what = format!("there can be several: write [[{full}]]");
                    return Err(Wrong::at(self.place(at, ""), what));
                }
                (DeValue::Table(inner), None) if self.is_known(&full) => {
                    self.read_table(&full, inner, settings)?;
                }
                (DeValue::Array(items), Some(_)) if items.is_empty() => {
                    return Err(Wrong::at(self.place(at, &full), EMPTY));
                }
                (DeValue::Array(items), Some(list)) => {
                    for item in items.iter() {
                        settings.items.push(self.read_item(list, item)?);
                    }
                }
                _ if self.is_known(&full) => {
                    let written = self.written(&full);
                    let what = format!("{full} is a table: write {written}");
                    return Err(Wrong::at(self.place(at, ""), what));
                }
                (DeValue::Table(_), _) => return Err(self.unknown_table(at, &full)),
                (DeValue::Array(items), _) if is_of_tables(items) => {
                    return Err(self.unknown_table(at, &full));
                }
                _ => return Err(self.unknown_option(at, name, key.get_ref())),
            }
        }
        Ok(())
    }

    fn read_item(&self, list: &'static Table, item: &Spanned<DeValue<'_>>) -> Result<Item, Wrong> {
        let place = self.place(item.span().start, &format!("[[{}]]", list.name));
        let DeValue::Table(table) = item.get_ref() else {
            return Err(Wrong::at(place, "is no table"));
        };
        let given = table
            .iter()
            .map(|(key, value)| self.read_option(Some(list), list.name, key, value))
            .collect::<Result<_, _>>()?;
        Ok(Item {
            list: list.name,
            place,
            given,
        })
    }

    fn read_option(
        &self,
        table: Option<&'static Table>,
        name: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Given, Wrong> {
        let option = key.get_ref().as_ref();
        let at = key.span().start;
        let rows = table.map_or(&[][..], |table| table.options);
        let Some(row) = rows.iter().find(|row| row.option == option) else {
            return Err(self.unknown_option(at, name, option));
        };
        let what = match name {
            "" => option.to_owned(),
            name => format!("{} {option}", self.written(name)),
        };
        let place = self.place(at, &what);
        let own = table.and_then(|table| table.command).map(|own| own());
        let values = self
            .values(own.as_ref().unwrap_or(self.command), row, value.get_ref())
            .map_err(|what| Wrong::at(&place, what))?;
        Ok(Given {
            flag: row.flag.to_owned(),
            values,
            place,
        })
    }

    fn values(
        &self,
        command: &Command,
        row: &Row,
        value: &DeValue<'_>,
    ) -> Result<Vec<String>, String> {
        let takes = arg(command, row.flag).map_or(Takes::Text, Takes::of);
        let wrong = || {
            Err(format!(
                "takes {}, and this is {}",
                takes.described(),
                described(value)
            ))
        };
        Ok(match (takes, value) {
            (Takes::Switch, DeValue::Boolean(is_on)) => vec![is_on.to_string()],
            (Takes::Number, DeValue::Integer(number)) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => vec![number.to_string()],
                    Err(_) => return Err(BEYOND_ALL_BOUNDS.to_owned()),
                }
            }
            (Takes::Text, DeValue::String(text)) => vec![text.to_string()],
            // Whoever empties a list wants none, and not all that there is.
            (Takes::Texts, DeValue::Array(texts)) if texts.is_empty() => {
                return Err(EMPTY.to_owned());
            }
            (Takes::Texts, DeValue::Array(texts)) => {
                let mut values = Vec::new();
                for text in texts.iter() {
                    match text.get_ref() {
                        DeValue::String(text) => values.push(text.to_string()),
                        other => {
                            return Err(format!(
                                "takes {}, and one of these is {}",
                                takes.described(),
                                described(other)
                            ));
                        }
                    }
                }
                values
            }
            _ => return wrong(),
        })
    }

    fn unknown_table(&self, at: usize, name: &str) -> Wrong {
        let names = self.layout.tables.iter().map(|table| table.name);
        let hint = meant(name, names).map_or_else(
            || "the sample has all there are".to_owned(),
            |known| format!("did you mean {}?", self.written(known)),
        );
        Wrong::at(
            self.place(at, ""),
            format!("there is no table [{}]: {hint}", name.escape_debug()),
        )
    }

    fn unknown_option(&self, at: usize, table: &str, option: &str) -> Wrong {
        let here = self.table(table).map_or(&[][..], |table| table.options);
        let elsewhere: Vec<String> = self
            .layout
            .tables
            .iter()
            .filter(|table| table.options.iter().any(|row| row.option == option))
            .map(|table| match table.name {
                "" => "the lines above the first table".to_owned(),
                _ => written(table),
            })
            .collect();
        // Whoever knows the flag.
        let by_flag = here.iter().find(|row| row.flag == option);
        let hint = match by_flag
            .map(|row| row.option)
            .or_else(|| meant(option, here.iter().map(|row| row.option)))
        {
            _ if !elsewhere.is_empty() => format!("it belongs into {}", elsewhere.join(" or ")),
            Some(known) => format!("did you mean {known}?"),
            None => "the sample has all there are".to_owned(),
        };
        let of = match table {
            "" => "there is no option".to_owned(),
            table => format!("{} has no option", self.written(table)),
        };
        let what = format!("{of} {}: {hint}", option.escape_debug());
        Wrong::at(self.place(at, ""), what)
    }
}

/// A table's name as it is written in the file.
fn written(table: &Table) -> String {
    match table.is_list {
        true => format!("[[{}]]", table.name),
        false => format!("[{}]", table.name),
    }
}

fn is_of_tables(items: &toml::de::DeArray<'_>) -> bool {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    !items.is_empty() && items.iter().all(is_table)
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
