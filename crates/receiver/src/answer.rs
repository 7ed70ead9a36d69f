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

/// Adds that nobody between may keep an answer, unless it says otherwise (files of pages do): names stand in most, and
/// what is refused to one may be shown to another. So it need not say that answers vary by cookie.
pub async fn kept_by_nobody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let no = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no);
    response
}
