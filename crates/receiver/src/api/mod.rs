//! `/api/v1`: questions and their answers, as JSON or CSV. A file for each question.

mod facilities;
pub mod viewer;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/facilities", get(facilities::answer))
}
