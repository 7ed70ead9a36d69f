//! The panels of the dashboard: a file each, and a row in [`ALL`]. A panel is one question and how its answer is
//! drawn. Page, numbers as JSON and CSV, gaps, spans and time zone: nothing to write.
//!
//! A question that the API has already is named; one that only a panel asks stands in the panel's file, and is
//! a question of the API then, too.

mod arrived;
mod gaps;
mod intake;
mod intake_by_facility;
mod jobs_by_state;
mod late;
mod node_list;
mod refused;
mod refused_reasons;
mod repeated;
mod run_times;
mod user_list;

use std::fmt::Write as _;

use crate::api::Question;
use crate::draw::Draw;
use crate::pages::{self, Page};

/// One part of a page.
pub struct Panel {
    /// What it is called in URLs: small letters and `-`.
    pub name: &'static str,
    pub page: &'static Page,
    pub title: &'static str,
    /// What the numbers mean, and what they do not.
    pub about: &'static str,
    /// Across the whole page.
    pub is_wide: bool,
    pub question: &'static Question,
    /// Parameters of the question beside those of the page.
    pub fixed: &'static [(&'static str, &'static str)],
    pub draw: Draw,
}

/// Every panel, in the order of the pages.
pub const ALL: &[&Panel] = &[
    &node_list::PANEL,
    &user_list::PANEL,
    &jobs_by_state::PANEL,
    &run_times::PANEL,
    &arrived::PANEL,
    &intake::PANEL,
    &intake_by_facility::PANEL,
    &late::PANEL,
    &repeated::PANEL,
    &refused_reasons::PANEL,
    &refused::PANEL,
    &gaps::PANEL,
];

/// What is on each page, as `docs/dashboard.md` has it.
pub fn markdown() -> String {
    let mut text = String::new();
    for page in pages::ALL {
        let _ = write!(
            text,
            "\n**{}** (`{}`): {}\n\n| panel | question | |\n| --- | --- | --- |\n",
            page.title, page.path, page.summary
        );
        for panel in page.panels() {
            let question = panel.question.path;
            let _ = writeln!(text, "| {} | `{question}` | {} |", panel.title, panel.about);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_panel_is_a_file_and_a_row() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/panels");
        let files = std::fs::read_dir(folder).unwrap().count() - 1;
        assert_eq!(files, ALL.len());
        let names: BTreeSet<&str> = ALL.iter().map(|panel| panel.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name stands twice");
        for panel in ALL {
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(panel.name.chars().all(is_plain), "{}", panel.name);
            let is_said = panel.about.ends_with('.') && panel.about.len() > 20;
            assert!(is_said, "{}: {}", panel.name, panel.about);
        }
    }

    #[test]
    fn panels_read_fields_and_say_parameters_that_their_question_has() {
        for panel in ALL {
            for field in panel.draw.fields() {
                let mut known = panel.question.fields.iter();
                assert!(
                    known.any(|one| one.name == field),
                    "{}: {field}",
                    panel.name
                );
            }
            for (name, _) in panel.fixed {
                assert!(panel.question.has(name), "{}: {name}", panel.name);
            }
        }
    }

    #[test]
    fn every_page_has_panels() {
        for page in crate::pages::ALL {
            assert!(page.panels().next().is_some(), "{}", page.path);
        }
    }
}
