//! Logging in and out of a browser: a viewer's token becomes a cookie, and goes again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Form, FromRequest as _, Request, State};
use axum::handler::Handler as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;

use super::viewer::{self, COOKIE};
use crate::app::App;
use crate::pages::front;
use crate::{answer, clock};

/// A form with a token is not longer.
const LONGEST: usize = 4 * 1024;
/// And arrives within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a browser keeps the cookie, in seconds: 30 days. Its token may end before.
const KEPT: u32 = 30 * 86_400;

#[derive(Deserialize)]
struct Login {
    token: String,
    /// Where to go then.
    #[serde(default)]
    next: String,
}

/// `POST /login` with the form field `token`: 303 to `/` and the cookie, or 401 (a browser: the front page again).
pub fn login() -> MethodRouter<Arc<App>> {
    post(enter.layer(DefaultBodyLimit::max(LONGEST)))
}

/// `POST /logout`: 303 to `/`, and the cookie is gone.
pub fn logout() -> MethodRouter<Arc<App>> {
    post(leave)
}

async fn enter(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Some(refused) = foreign(request.uri(), request.headers()) {
        return refused;
    }
    let is_browser = is_browser(request.headers());
    let form = Form::<Login>::from_request(request, &app);
    let Ok(form) = tokio::time::timeout(PATIENCE, form).await else {
        return answer::error(
            StatusCode::REQUEST_TIMEOUT,
            "the form did not arrive in time",
        );
    };
    let Ok(Form(login)) = form else {
        return answer::error(
            StatusCode::BAD_REQUEST,
            "expected a form (application/x-www-form-urlencoded) with the field `token`",
        );
    };
    let (token, now) = (login.token.trim(), clock::now());
    match app.tokens.view(token, now) {
        Some(view) => {
            viewer::note(&app, &view, now);
            home(&app, here(&login.next), token, KEPT)
        }
        None if is_browser => {
            front::refused(
                &app,
                StatusCode::UNAUTHORIZED,
                front::REFUSED,
                here(&login.next),
            )
            .await
        }
        None => answer::error(StatusCode::UNAUTHORIZED, app.tokens.why_not(token, now)),
    }
}

/// Whether a person waits for a page.
fn is_browser(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT);
    accepted
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

async fn leave(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    foreign(&uri, &headers).unwrap_or_else(|| home(&app, "/", "", 0))
}

/// A place on this server, or the front page.
fn here(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain { next } else { "/" }
}

/// To a page, with this cookie for so many seconds.
fn home(app: &App, next: &str, token: &str, seconds: u32) -> Response {
    let secure = if app.is_https { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let (Ok(cookie), Ok(next)) = (HeaderValue::try_from(cookie), HeaderValue::try_from(next))
    else {
        return answer::error(StatusCode::BAD_REQUEST, "this is no token");
    };
    let headers = [
        (header::LOCATION, next),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::SET_COOKIE, cookie),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The answer to a request that another site's page made a browser send.
fn foreign(uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    let text = |name: header::HeaderName| headers.get(name)?.to_str().ok();
    let site = headers
        .get("sec-fetch-site")
        .map(|site| site == "same-origin" || site == "none");
    // HTTP/2 has it in the URI.
    let host = text(header::HOST).or_else(|| Some(uri.authority()?.as_str()));
    let origin = headers.get(header::ORIGIN).map(|_| {
        let place = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
        place.is_some_and(|(_, place)| Some(place) == host)
    });
    // A client that is no browser sends neither.
    match site.or(origin).unwrap_or(true) {
        true => None,
        false => Some(answer::error(
            StatusCode::FORBIDDEN,
            "another site's page may not log in or out here",
        )),
    }
}
