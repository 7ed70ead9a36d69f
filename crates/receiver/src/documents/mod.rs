//! From a body's text to documents: JSON, fields, types, facility, time; and the line that is stored.
//!
//! Nothing here opens anything. Any text in, documents or a [`Fault`] out; a property test says so.

pub mod facts;
pub mod fields;
pub mod metric;
pub mod shape;
pub mod system;
pub mod taking;
pub mod time;

use std::fmt;
use std::ops::Range;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use facts::Facts;
pub use metric::Metric;
pub use system::System;
pub use taking::{Form, Taking, read_again};

/// A document that is longer than this is refused: 64 kB, as stored.
pub const LONGEST: usize = 64 * 1024;

/// What came in one body: the lines that are stored, and what is added up of each.
#[derive(Debug, Default)]
pub struct Documents {
    /// One JSON object a line, without its token, with its `timestamp`.
    pub lines: String,
    pub list: Vec<Document>,
    pub names: Names,
}

impl Documents {
    /// The memory that they take, in bytes, more or less.
    pub fn weight(&self) -> usize {
        // A Vec beside each, and its place in a group of the writer's.
        const BESIDE: usize = 96;
        2 * self.lines.len() + self.list.len() * (size_of::<Document>() + BESIDE)
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub facility: Name,
    pub kind: Name,
    /// Where it is in [`Documents::lines`], with its newline.
    pub line: Range<usize>,
    /// Milliseconds since 1970: its `timestamp`, or when it came.
    pub time: i64,
    pub facts: Facts,
}

/// A name by its number in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub u32);

/// The names in a body, each once.
#[derive(Debug, Default, Clone)]
pub struct Names {
    names: IndexSet<Box<str>, RandomState>,
    bytes: usize,
}

impl Names {
    /// The number of a name.
    pub fn of(&mut self, name: &str) -> Name {
        let at = match self.names.get_index_of(name) {
            Some(at) => at,
            None => {
                self.bytes += name.len();
                self.names.insert_full(name.into()).0
            }
        };
        Name(u32::try_from(at).expect("a body of 16 MiB does not hold 4 billion names"))
    }

    pub fn text(&self, name: Name) -> &str {
        self.names
            .get_index(name.0 as usize)
            .map_or("", |text| text)
    }

    /// How long they are together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|text| &**text)
    }
}

/// Why a body is not taken. Its text never holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub answer: Answer,
    /// Which document of the body, from 0; `None`: the body as a whole.
    pub element: Option<usize>,
    pub why: String,
}

/// The answers that a body can deserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 400: this is no document.
    Malformed,
    /// 401: no token, or none that is known.
    Unauthorized,
    /// 403: another facility's token.
    Forbidden,
    /// 413: a document is too long.
    TooLarge,
    /// 422: a document, but of an unknown kind or an impossible time.
    Unprocessable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Some(element) => write!(f, "element {element}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Foreign text in an error: short, and without what could move a terminal's cursor.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    let mut clean: String = text
        .chars()
        .take(MOST)
        .map(|char| {
            if char.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        clean.push('…');
    }
    clean
}
