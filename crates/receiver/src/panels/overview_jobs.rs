//! Batch jobs by state, at a glance.

use super::{Panel, jobs_by_state};
use crate::pages::OVERVIEW;

pub const PANEL: Panel = Panel {
    name: "overview-jobs",
    page: &OVERVIEW,
    is_wide: false,
    ..jobs_by_state::PANEL
};
