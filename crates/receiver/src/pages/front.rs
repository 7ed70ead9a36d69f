//! What a stranger sees: whether the receiver is ready, and the form to log in. No name, no number.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::assets::Assets;
use super::{Page, frame, has_tried};
use crate::api::wrong_tokens::TOO_MANY;
use crate::app::App;
use crate::refusals::Refusal;

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    assets: &'a Assets,
    is_ready: bool,
    /// What is wrong with the token that somebody tried.
    refused: Option<&'a str>,
    /// Where they wanted to go.
    next: &'a str,
}

/// What is said to whom a token is refused.
pub const REFUSED: &str = "This token is unknown, has expired, was revoked, or is not for reading.";

/// Answers with the page: 200 at `/`, 401 in place of any other page, which is shown after logging in; 429 where too
/// many wrong tokens came. `refused` is what a program would be answered.
pub async fn stranger(
    app: &Arc<App>,
    page: &Page,
    headers: &HeaderMap,
    query: Option<&str>,
    mut refused: Response,
) -> Response {
    let (status, why) = match (page.path, refused.status()) {
        (_, StatusCode::TOO_MANY_REQUESTS) => (refused.status(), Some(TOO_MANY)),
        ("/", _) => (StatusCode::OK, has_tried(app, headers).then_some(REFUSED)),
        (_, status) => (status, has_tried(app, headers).then_some(REFUSED)),
    };
    let next = match query {
        Some(query) => format!("{}?{query}", page.path),
        None => page.path.to_owned(),
    };
    let mut response = show(app, status, why, &next).await;
    let retry = refused.headers_mut().remove(header::RETRY_AFTER);
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    match refused.extensions_mut().remove::<Refusal>() {
        Some(said) => said.on(response),
        None => response,
    }
}

/// The page for a person whose login is refused.
pub async fn refused(app: &App, status: StatusCode, why: &str, next: &str) -> Response {
    show(app, status, Some(why), next).await
}

async fn show(app: &App, status: StatusCode, refused: Option<&str>, next: &str) -> Response {
    let standing = app.standings.now(app).await;
    let page = Front {
        assets: &app.assets,
        is_ready: standing.ready.is_ok() && !app.is_stopping(),
        refused,
        next,
    };
    frame::html(status, page.render())
}
