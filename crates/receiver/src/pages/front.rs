//! What a stranger sees: whether the receiver is ready, and the form to log in. No name, no number.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::assets::Assets;
use super::{Page, frame, has_tried};
use crate::app::App;

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    assets: Assets,
    is_ready: bool,
    /// What is wrong with the token that somebody tried.
    refused: Option<&'a str>,
    /// Where they wanted to go.
    next: &'a str,
}

/// What is said to whom a token is refused.
pub const REFUSED: &str = "This token is unknown, has expired, was revoked, or is not for reading.";

/// Answers with the page: 200 at `/`, 401 in place of any other page, which is shown after logging in.
pub async fn stranger(
    app: &Arc<App>,
    page: &Page,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Response {
    let refused = has_tried(headers).then_some(REFUSED);
    let next = match query {
        Some(query) => format!("{}?{query}", page.path),
        None => page.path.to_owned(),
    };
    let status = match page.path {
        "/" => StatusCode::OK,
        _ => StatusCode::UNAUTHORIZED,
    };
    show(app, status, refused, &next).await
}

/// The page for a person whose login is refused.
pub async fn refused(app: &App, status: StatusCode, why: &str, next: &str) -> Response {
    super::guards::add(show(app, status, Some(why), next).await).await
}

async fn show(app: &App, status: StatusCode, refused: Option<&str>, next: &str) -> Response {
    let standing = app.standings.now(app).await;
    let page = Front {
        assets: Assets::default(),
        is_ready: standing.ready.is_ok() && !app.is_stopping(),
        refused,
        next,
    };
    frame::html(status, page.render())
}
