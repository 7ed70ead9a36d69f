//! A table: rows under headings, sorted, searched and cut into parts by links and a form, so that it works
//! without a script and each view of it has a URL.

use std::cmp::Ordering;

use super::cell::{self, Unit};
use super::{number, value};
use crate::api::Question;
use crate::api::reply::{Datum, Rows};
use crate::pages::view::View;
use crate::pages::{NODES, QUALITY, USER};

/// Which columns a table has.
#[derive(Debug)]
pub struct Table {
    pub columns: &'static [Column],
    /// For a long table, one on a page: it can be sorted and searched, and comes in parts.
    pub long: Option<Long>,
    /// What is said in place of a table without rows.
    pub none: &'static str,
}

#[derive(Debug)]
pub struct Long {
    /// How it is sorted at first: a field, with `-` in front for the largest first.
    pub sort: &'static str,
    /// The field that is searched.
    pub search: &'static str,
    /// Rows in a part.
    pub rows: usize,
}

#[derive(Debug)]
pub struct Column {
    pub field: &'static str,
    pub title: &'static str,
    pub show: Show,
}

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Text,
    Number(Unit),
    /// Seconds, as the lengths from half of them up to them.
    Doubled,
    /// A number as a bar, of the largest in the column (of a share, of the whole), with the number beside.
    Bar(Unit),
    Time,
    /// A time as its day.
    Date,
    /// A time as how long ago it is.
    Ago,
    /// A user's name, with a link to the page.
    User,
    /// A node's name, with a link to the page.
    Node,
    /// A facility's name, with a link to the same page of it.
    Facility,
    /// A text with a link to the page of data quality.
    Quality,
    /// Bad news, whatever it says.
    Bad,
    /// A word that says how something is: `silent`, `full` and `late` are bad news, `ok` is good.
    State,
}

impl Show {
    fn is_number(self) -> bool {
        matches!(self, Show::Number(_) | Show::Bar(_))
    }
}

pub const fn column(field: &'static str, title: &'static str, show: Show) -> Column {
    Column { field, title, show }
}

/// The columns of an answer's first row, with their headings.
pub fn facts(
    columns: &'static [Column],
    question: &Question,
    rows: &Rows,
    view: &View,
) -> Vec<(&'static str, Cell)> {
    let row = rows.list().iter().take(1);
    row.flat_map(|row| {
        columns.iter().map(|column| {
            let datum = value(question, row, column.field);
            (column.title, column.cell(datum, row, 0.0, question, view))
        })
    })
    .collect()
}

/// A table as it stands on the page.
#[derive(Debug)]
pub struct Shown {
    pub headings: Vec<Heading>,
    pub rows: Vec<Vec<Cell>>,
    /// What to say where there are no rows.
    pub none: String,
    pub parts: Option<Parts>,
    /// A sentence about the rows that the question's limit left out.
    pub more: Option<String>,
}

#[derive(Debug)]
pub struct Heading {
    pub title: &'static str,
    pub is_number: bool,
    /// Where it can be sorted by this column: the link.
    pub link: Option<String>,
    /// As a screen reader is told: ascending or descending.
    pub sorted: Option<&'static str>,
}

#[derive(Debug, Default)]
pub struct Cell {
    pub text: String,
    pub class: &'static str,
    pub link: Option<String>,
    /// A time, as a machine reads it.
    pub time: Option<String>,
    /// Of a bar: the number and the largest one.
    pub bar: Option<(f64, f64)>,
}

/// Which part of a long table is shown.
#[derive(Debug)]
pub struct Parts {
    pub search: String,
    /// Rows that fit the search, and of those the first and the last that are shown, from 1.
    pub all: usize,
    pub first: usize,
    pub last: usize,
    pub before: Option<String>,
    pub after: Option<String>,
    /// The part of the URL that a search keeps: name and value.
    pub kept: Vec<(&'static str, String)>,
}

impl Table {
    pub fn fields(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = self.columns.iter().map(|column| column.field).collect();
        if let Some(long) = &self.long {
            all.extend([long.search, long.sort.trim_start_matches('-')]);
        }
        all
    }

    pub fn show(&self, question: &Question, rows: &Rows, view: &View) -> Shown {
        let mut chosen: Vec<&[Datum]> = rows.list().iter().map(Vec::as_slice).collect();
        let more = self.more(question, rows);
        let most = self.most(question, &chosen);
        let mut headings = self.headings();
        let mut parts = None;
        let mut none = self.none.to_owned();
        if let Some(long) = &self.long {
            let search = view.get("search").unwrap_or_default().trim().to_owned();
            chosen.retain(|row| has(value(question, row, long.search), &search));
            if !search.is_empty() {
                none = format!("Nothing here has \"{search}\" in it.");
            }
            let sort = self.sorting(view, long);
            let (field, is_down) = (sort.trim_start_matches('-'), sort.starts_with('-'));
            chosen.sort_by(|one, other| {
                let (one, other) = (value(question, one, field), value(question, other, field));
                let order = compare(one, other);
                // What is not known comes last either way.
                (*one == Datum::Null)
                    .cmp(&(*other == Datum::Null))
                    .then(if is_down { order.reverse() } else { order })
            });
            self.link(&mut headings, view, field, is_down);
            let part = Parts::of(view, long.rows, chosen.len(), search);
            chosen = chosen[part.first.saturating_sub(1)..part.last].to_vec();
            parts = Some(part);
        }
        let rows = chosen.iter().map(|row| {
            let cells = self.columns.iter().zip(&most);
            cells
                .map(|(column, most)| {
                    column.cell(
                        value(question, row, column.field),
                        row,
                        *most,
                        question,
                        view,
                    )
                })
                .collect()
        });
        Shown {
            more,
            rows: rows.collect(),
            headings,
            none,
            parts,
        }
    }

    /// What is said of rows that were left out: where there is one of the rest, they are in it.
    fn more(&self, question: &Question, rows: &Rows) -> Option<String> {
        let mut users = self.columns.iter().filter(|one| one.show == Show::User);
        let is_null = |row: &[Datum], one: &Column| *value(question, row, one.field) == Datum::Null;
        let has_rest = users.any(|one| rows.list().iter().any(|row| is_null(row, one)));
        super::left_out(rows.cut, if has_rest { "shown by name" } else { "shown" })
    }

    /// The largest number of each column.
    fn most(&self, question: &Question, rows: &[&[Datum]]) -> Vec<f64> {
        let largest = |column: &Column| {
            let numbers = rows
                .iter()
                .filter_map(|row| number(value(question, row, column.field)));
            let least = match column.show {
                Show::Bar(Unit::Share) => 1.0,
                _ => 0.0,
            };
            numbers.fold(least, f64::max)
        };
        self.columns.iter().map(largest).collect()
    }

    fn headings(&self) -> Vec<Heading> {
        let heading = |column: &Column| Heading {
            title: column.title,
            is_number: column.show.is_number(),
            link: None,
            sorted: None,
        };
        self.columns.iter().map(heading).collect()
    }

    /// How the view wants it sorted, if that is a column.
    fn sorting<'a>(&self, view: &'a View, long: &Long) -> &'a str
    where
        'static: 'a,
    {
        let asked = view.get("sort").filter(|sort| {
            let field = sort.strip_prefix('-').unwrap_or(sort);
            self.columns.iter().any(|column| column.field == field)
        });
        asked.unwrap_or(long.sort)
    }

    fn link(&self, headings: &mut [Heading], view: &View, field: &str, is_down: bool) {
        for (heading, column) in headings.iter_mut().zip(self.columns) {
            let is_this = column.field == field;
            heading.sorted = is_this.then_some(if is_down { "descending" } else { "ascending" });
            // Numbers and times: the largest first; a second time, the other way round.
            let down = match is_this {
                true => !is_down,
                false => !matches!(
                    column.show,
                    Show::Text
                        | Show::User
                        | Show::Node
                        | Show::Facility
                        | Show::Quality
                        | Show::Bad
                        | Show::State
                ),
            };
            let sort = format!("{}{}", if down { "-" } else { "" }, column.field);
            heading.link = Some(view.with(&[("sort", &sort)]));
        }
    }
}

impl Parts {
    fn of(view: &View, rows: usize, all: usize, search: String) -> Self {
        let last_part = all.div_ceil(rows).max(1);
        let part = view.get("part").and_then(|part| part.parse().ok());
        let part: usize = part.unwrap_or(1).clamp(1, last_part);
        let link = |part: usize| view.with(&[("part", &part.to_string())]);
        let kept = ["facility", "from", "to", "tz", "refresh", "sort"];
        let kept = kept.iter().chain(view.page.params).copied();
        Self {
            search,
            all,
            first: ((part - 1) * rows + 1).min(all),
            last: (part * rows).min(all),
            before: (part > 1).then(|| link(part - 1)),
            after: (part < last_part).then(|| link(part + 1)),
            kept: kept
                .filter_map(|name| Some((name, view.get(name)?.to_owned())))
                .collect(),
        }
    }
}

impl Column {
    fn cell(
        &self,
        datum: &Datum,
        row: &[Datum],
        most: f64,
        question: &Question,
        view: &View,
    ) -> Cell {
        let mut shown = Cell {
            text: text(datum),
            ..Cell::default()
        };
        match (self.show, datum) {
            (Show::User, Datum::Null) => shown.text = "the rest".into(),
            (_, Datum::Null) => {
                shown.text = "–".into();
                shown.class = match self.show.is_number() {
                    true => "number unknown",
                    false => "unknown",
                };
            }
            (Show::Text, _) => {}
            (Show::Doubled, datum) => {
                if let Some(number) = number(datum) {
                    shown.text = cell::doubled(number);
                }
            }
            (Show::Number(unit) | Show::Bar(unit), datum) => {
                shown.class = "number";
                if let Some(number) = number(datum) {
                    shown.text = unit.text(number);
                    shown.bar = matches!(self.show, Show::Bar(_)).then_some((number, most));
                }
            }
            (Show::Time, Datum::Time(ms)) => {
                shown.time = Some(text(&Datum::Time(*ms))).inspect(|_| {
                    shown.text = cell::minute(*ms);
                })
            }
            (Show::Date, Datum::Time(ms)) => {
                shown.time = Some(text(datum));
                shown.text = cell::minute(*ms)[..10].to_owned();
            }
            (Show::Ago, Datum::Time(ms)) => {
                shown.text = cell::ago(*ms, view.now);
                shown.time = Some(text(datum));
            }
            (Show::User, _) => shown.link = Some(view.to(&USER, &[("user", &shown.text)])),
            (Show::Node, _) => {
                let facility = text(value(question, row, "facility"));
                let node = [("node", &*shown.text), ("facility", &*facility)];
                shown.link = Some(view.to(&NODES, &node));
                shown.class = "name";
            }
            (Show::Facility, _) => {
                shown.link = Some(view.with(&[("facility", &shown.text)]));
            }
            (Show::Quality, _) => shown.link = Some(view.to(&QUALITY, &[])),
            (Show::Bad, _) => shown.class = "bad",
            (Show::State, _) => {
                shown.class = match &*shown.text {
                    "silent" | "full" | "late" => "bad",
                    "ok" => "good",
                    _ => "",
                };
            }
            _ => {}
        }
        shown
    }
}

/// A value as plain text.
fn text(datum: &Datum) -> String {
    match datum {
        Datum::Null => String::new(),
        Datum::Text(text) => text.clone(),
        Datum::Texts(texts) => texts.join(", "),
        Datum::Int(number) => number.to_string(),
        Datum::Number(number) => number.to_string(),
        Datum::Bool(is_so) => if *is_so { "yes" } else { "no" }.into(),
        Datum::Time(ms) => crate::documents::time::text(*ms),
    }
}

fn has(datum: &Datum, search: &str) -> bool {
    search.is_empty() || text(datum).to_lowercase().contains(&search.to_lowercase())
}

/// Numbers by size, texts by their letters.
fn compare(one: &Datum, other: &Datum) -> Ordering {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (one_number, other_number) => (one_number.is_some(), text(one).to_lowercase())
            .cmp(&(other_number.is_some(), text(other).to_lowercase())),
    }
}
