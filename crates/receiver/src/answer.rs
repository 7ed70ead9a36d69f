//! Answers that are errors: a status, and JSON that says why.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error, said in one sentence.
pub fn error(status: StatusCode, why: impl Into<String>) -> Response {
    (status, Json(json!({"error": why.into()}))).into_response()
}

/// An error that may pass: try again after so many seconds.
pub fn later(status: StatusCode, why: impl Into<String>, seconds: u64) -> Response {
    let mut response = error(status, why);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
