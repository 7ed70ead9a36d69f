//! The sample file: every option with its sentence and its default, and nothing that is not so by default.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::layers::variable;
use crate::{Layout, Row, Shown, Table, Takes, arg};

/// Prose is no wider.
const WIDTH: usize = 100;

/// The sample. What begins with `# ` is prose; an option that is as by default begins with `#`. `prefix`: of
/// the environment's variables.
pub(crate) fn sample(layout: Layout, command: &Command, prefix: &str) -> String {
    let mut text = String::new();
    prose(&mut text, layout.about);
    for table in layout
        .tables
        .iter()
        .filter(|table| !table.options.is_empty())
    {
        let own = table.command.map(|own| own());
        write_table(&mut text, table, own.as_ref().unwrap_or(command), prefix);
    }
    text
}

fn write_table(text: &mut String, table: &Table, command: &Command, prefix: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    if table.about.is_empty() && table.name.is_empty() {
        return write_options(text, table, command, prefix);
    }
    let brackets = match (table.name, table.is_list) {
        ("", _) => String::new(),
        (name, true) => format!("#[[{name}]]\n"),
        (name, false) => format!("[{name}]\n"),
    };
    prose(text, table.about);
    text.push_str(&brackets);
    write_options(text, table, command, prefix);
}

fn write_options(text: &mut String, table: &Table, command: &Command, prefix: &str) {
    let known = |row: &Row| Some((*row, arg(command, row.flag)?));
    for (number, (row, arg)) in table.options.iter().filter_map(known).enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let is_own = table.command.is_some();
        prose(text, &sentence(arg, &row, (!is_own).then_some(prefix)));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#{} = {}", row.option, value(arg, &row));
    }
}

/// The flag's sentence, and how else it can be said.
fn sentence(arg: &Arg, row: &Row, prefix: Option<&str>) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // In a table it need not be said with what it goes.
    let help = match help.split_once(": ") {
        Some((with, rest)) if with.starts_with("With ") => capitalized(rest),
        _ => help,
    };
    let default = help
        .split_once(" [default: ")
        .map(|(_, default)| default.trim_end_matches(']').to_owned());
    let help = help
        .split(" [default")
        .next()
        .unwrap_or_default()
        .split(" [or the environment")
        .next()
        .unwrap_or_default()
        .replace("; repeatable", "");
    let mut also = Vec::new();
    if let Some(prefix) = prefix {
        also.extend(arg.get_short().map(|short| format!("-{short}")));
        if let Some(long) = arg.get_long().filter(|_| !arg.is_hide_set()) {
            also.push(format!("--{long}"));
            also.push(variable(prefix, long));
        }
    }
    let also = match also.is_empty() {
        true => String::new(),
        false => format!(" ({})", also.join(", ")),
    };
    let unset = match (row.shown, default) {
        (Shown::Example(_), Some(default)) => format!(" By default {default}:"),
        (Shown::Example(_), None) => " By default none, as here:".to_owned(),
        _ => String::new(),
    };
    format!("{help}{also}.{unset}")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn value(arg: &Arg, row: &Row) -> String {
    let known = || {
        arg.get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
    };
    match row.shown {
        Shown::DefaultIs(toml) | Shown::Example(toml) => toml.to_owned(),
        Shown::Default => match Takes::of(arg) {
            Takes::Switch => "false".to_owned(),
            Takes::Number => known().collect(),
            Takes::Text => format!("{:?}", known().collect::<String>()),
            Takes::Texts => format!("{:?}", known().collect::<Vec<_>>()),
        },
    }
}

/// Lines of prose, none too wide, as comments.
fn prose(text: &mut String, prose: &str) {
    for paragraph in prose.lines() {
        let mut line = "#".to_owned();
        for word in paragraph.split(' ') {
            let width = line.chars().count() + 1 + word.chars().count();
            if width > WIDTH && line.len() > 1 {
                text.push_str(line.trim_end());
                text.push('\n');
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
