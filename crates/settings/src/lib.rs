//! Configuration files whose options are a command's flags.
//!
//! A flag is described once, by clap: its type, its limits, its default and its sentence. A [`Layout`] says
//! under which name, in which table of a TOML file, it stands there. From that follow what a file may
//! hold ([`Settings::read`]), that each value is checked as the flag's would be ([`check`]), that flags win over
//! the environment over the file over defaults ([`with_defaults`]: what a lower layer says becomes the flag's
//! default), and the sample file ([`sample`]).
//!
//! ```text
//! facility = "UC-AF"          -> --cluster=UC-AF
//! [delivery]
//! batch_size = 500            -> --batch-size=500
//! [[endpoints]]               -> a list of its own, each item read the same way
//! url = "https://af.example.org/"
//! ```

mod file;
mod layers;
mod program;
mod sample;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::fmt;

use clap::{Arg, ArgAction, Command};

pub use crate::file::{Item, Settings};
pub use crate::layers::{check, parse_item, with_defaults};
pub use crate::program::{Program, Unusable, explicit};

/// What a file may hold.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Above everything in the sample: what the file is, in a few lines.
    pub about: &'static str,
    pub tables: &'static [Table],
}

/// A table of the file, and what stands in it.
#[derive(Debug)]
pub struct Table {
    /// As it is written between brackets, `jupyter.sources`; empty: what stands before the first table.
    pub name: &'static str,
    /// It is written `[[name]]`, once for each item.
    pub is_list: bool,
    /// Above it in the sample.
    pub about: &'static str,
    /// What its options are flags of, if not of the program.
    pub command: Option<fn() -> Command>,
    pub options: &'static [Row],
}

/// An option of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name in the file.
    pub option: &'static str,
    /// clap's name of the flag.
    pub flag: &'static str,
    pub shown: Shown,
}

/// A row of a table.
pub const fn row(option: &'static str, flag: &'static str, shown: Shown) -> Row {
    Row {
        option,
        flag,
        shown,
    }
}

/// The value in the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The default that clap knows.
    Default,
    /// The default, which only the program knows, as TOML.
    DefaultIs(&'static str),
    /// There is no default: a value as TOML that makes sense.
    Example(&'static str),
}

/// A flag's value that the file or the environment gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// clap's name of the flag.
    pub flag: String,
    /// One; any number where the flag is repeatable.
    pub values: Vec<String>,
    /// Where it stands, for messages.
    pub place: String,
}

/// Without the values: some are secret.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given({} by {})", self.flag, self.place)
    }
}

/// What is wrong with a file or a variable: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Wrong {
    /// Something that a program finds wrong with a value that it was given.
    pub fn at(place: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self(format!("{place}: {what}"))
    }
}

/// What kind of value a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// The flag takes none: it is there or not.
    Switch,
    Number,
    Text,
    /// The flag is repeatable.
    Texts,
}

impl Takes {
    fn of(arg: &Arg) -> Self {
        let number = [
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<i64>(),
        ];
        match arg.get_action() {
            ArgAction::SetTrue => Self::Switch,
            ArgAction::Append => Self::Texts,
            // How often it is said.
            ArgAction::Count => Self::Number,
            _ if number
                .iter()
                .any(|number| arg.get_value_parser().type_id() == *number) =>
            {
                Self::Number
            }
            _ => Self::Text,
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Number => "a whole number",
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts ([\"...\", \"...\"])",
        }
    }
}

/// A flag, by clap's name for it.
fn arg<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_id() == flag)
}

/// Of these words, the one that was most likely meant.
fn meant<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    words
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&word, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
