//! A few numbers that are read at a glance: a row of the answer is one of them.

use super::cell::Unit;
use super::{number, value};
use crate::api::Question;
use crate::api::reply::{Datum, Rows};

/// Which field is what.
#[derive(Debug)]
pub struct Tiles {
    /// What the number is called.
    pub title: &'static str,
    /// The number; null: not known.
    pub value: &'static str,
    /// The same of the span before, to compare with; null: not known.
    pub before: Option<&'static str>,
    /// A sentence about it, or null.
    pub note: Option<&'static str>,
    /// Of all; a question with a field `unit` says there what a row's is.
    pub unit: Unit,
}

/// One of them, as it is shown.
#[derive(Debug, PartialEq)]
pub struct Tile {
    pub title: String,
    /// `None`: nothing is known.
    pub value: Option<String>,
    /// How it went, as words.
    pub trend: Option<String>,
    pub note: Option<String>,
}

impl Tiles {
    pub fn fields(&self) -> Vec<&'static str> {
        let mut all = vec![self.title, self.value];
        all.extend(self.before.into_iter().chain(self.note));
        all
    }

    pub fn show(&self, question: &Question, rows: &Rows) -> Vec<Tile> {
        let text = |datum: &Datum| match datum {
            Datum::Text(text) => Some(text.clone()),
            _ => None,
        };
        let tile = |row: &Vec<Datum>| {
            let unit = text(value(question, row, "unit"));
            let unit = unit.and_then(|word| Unit::of(&word)).unwrap_or(self.unit);
            let now = number(value(question, row, self.value));
            let before = self
                .before
                .and_then(|field| number(value(question, row, field)));
            Tile {
                title: text(value(question, row, self.title)).unwrap_or_default(),
                value: now.map(|now| unit.text(now)),
                trend: now
                    .zip(before)
                    .map(|(now, before)| trend(unit, now, before)),
                note: self
                    .note
                    .and_then(|field| text(value(question, row, field))),
            }
        };
        rows.list().iter().map(tile).collect()
    }
}

fn trend(unit: Unit, now: f64, before: f64) -> String {
    let was = unit.text(before);
    if now == before {
        return format!("as before ({was})");
    }
    let sign = if now > before { "▲" } else { "▼" };
    match now / before {
        _ if before == 0.0 => format!("{sign} from {was} before"),
        times if times >= 10.0 => format!("{sign} {times:.0} times the {was} before"),
        _ => format!(
            "{sign} {:.0} % from {was} before",
            ((now - before) / before * 100.0).abs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_found_by_its_word() {
        for unit in [Unit::Count, Unit::Seconds, Unit::Share] {
            assert_eq!(Unit::of(unit.word()), Some(unit));
        }
        assert_eq!(Unit::of("furlong"), None);
    }

    #[test]
    fn a_trend_says_which_way_and_from_where() {
        let trend = |now, before| trend(Unit::Count, now, before);
        assert_eq!(trend(15.0, 10.0), "▲ 50 % from 10 before");
        assert_eq!(trend(5.0, 10.0), "▼ 50 % from 10 before");
        assert_eq!(trend(500.0, 10.0), "▲ 50 times the 10 before");
        assert_eq!(trend(5.0, 0.0), "▲ from 0 before");
        assert_eq!(trend(5.0, 5.0), "as before (5)");
    }
}
