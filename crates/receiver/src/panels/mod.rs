//! The panels of the dashboard: a file each, and a row in [`ALL`]. A panel is one question and how its answer is
//! drawn. Page, numbers as JSON and CSV, gaps, spans and time zone: nothing to write.
//!
//! A question that the API has already is named; one that only a panel asks stands in the panel's file, and is
//! a question of the API then, too.

mod arrived;
mod disks;
mod facility_list;
mod failed_collectors;
mod finished;
mod finished_time;
mod gaps;
mod heat;
mod intake;
mod intake_by_facility;
mod jobs_by_state;
mod jobs_by_system;
mod jobs_by_user;
mod jobs_now;
mod late;
mod newcomers;
mod node_disks;
mod node_list;
mod node_load;
mod node_memory;
mod node_received;
mod node_sent;
mod notebooks;
mod overview_collectors;
mod overview_jobs;
mod owners;
mod queue_cores;
mod queue_idle;
mod queue_memory;
mod queue_running;
mod queues;
mod refused;
mod refused_reasons;
mod repeated;
mod run_times;
mod run_times_by_user;
mod silent_nodes;
mod stays;
mod unique_users;
mod user_ended;
mod user_facts;
mod user_hours;
mod user_jobs;
mod user_list;
mod user_run_times;
mod users_now;
mod users_present;

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
    &silent_nodes::PANEL,
    &overview_collectors::PANEL,
    &users_now::PANEL,
    &jobs_now::PANEL,
    &users_present::PANEL,
    &overview_jobs::PANEL,
    &facility_list::PANEL,
    &unique_users::PANEL,
    &newcomers::PANEL,
    &user_list::PANEL,
    &user_facts::PANEL,
    &user_hours::PANEL,
    &user_jobs::PANEL,
    &user_ended::PANEL,
    &user_run_times::PANEL,
    &jobs_by_state::PANEL,
    &jobs_by_user::PANEL,
    &jobs_by_system::PANEL,
    &finished::PANEL,
    &finished_time::PANEL,
    &run_times::PANEL,
    &run_times_by_user::PANEL,
    &queues::PANEL,
    &queue_running::PANEL,
    &queue_idle::PANEL,
    &queue_cores::PANEL,
    &queue_memory::PANEL,
    &owners::PANEL,
    &notebooks::PANEL,
    &stays::PANEL,
    &node_list::PANEL,
    &disks::PANEL,
    &node_load::PANEL,
    &node_memory::PANEL,
    &node_sent::PANEL,
    &node_received::PANEL,
    &node_disks::PANEL,
    &heat::PANEL,
    &failed_collectors::PANEL,
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
