//! Whether the receiver is alive and ready.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::answer;
use crate::app::App;

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: documents are taken and the store can be written, some seconds ago at most.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_stopping() {
        return answer::error(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    match app.standings.now(&app).await.ready {
        Ok(()) if !app.store.tally().is_failing() => "ready\n".into_response(),
        // Anybody may ask; why is for the administrator.
        _ => answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the store cannot be written: the log says why",
        ),
    }
}
