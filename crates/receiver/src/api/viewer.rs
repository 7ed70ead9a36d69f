//! Who reads: a viewer's token by header or cookie, or anybody on this machine where that is allowed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::wrong_tokens::{SAID, TOO_MANY};
use crate::app::App;
use crate::refusals::Refusal;
use crate::tokens::View;
use crate::{answer, clock, ingest};

/// The cookie of a browser that has logged in: a viewer's token.
pub const COOKIE: &str = "afmetrics_viewer";
/// The same where browsers speak TLS: they take one of this name only over TLS, and only for this very host, so
/// that no neighbour can put one in its place.
pub const COOKIE_OF_HTTPS: &str = "__Host-afmetrics_viewer";

/// Somebody who may read, and what.
pub struct Viewer(pub View);

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let now = clock::now();
        let bearer = ingest::bearer(&head.headers);
        if let Some(token) = bearer.or_else(|| cookie(app, &head.headers)) {
            if let Some(view) = app.tokens.view(token, now) {
                note(app, &view, now);
                return Ok(Viewer(view));
            }
            // A cookie may be left over from another receiver here.
            if bearer.is_some() || !is_here(app, head) {
                return Err(wrong(app, head, app.tokens.why_not(token, now), now));
            }
        }
        if is_here(app, head) {
            return Ok(Viewer(View {
                token: None,
                facility: None,
                expires: None,
            }));
        }
        Err(refused(
            "reading needs a viewer's token: Authorization: Bearer TOKEN (afmetrics_receiver token create --viewer)",
            "reading without a token",
        ))
    }
}

/// Notes that a viewer's token was used.
pub fn note(app: &App, view: &View, now: i64) {
    if let Some(token) = view.token {
        app.store.used(token, now);
    }
}

/// Whether this comes from this machine, which is trusted, and was meant for it: a page whose name
/// points here (DNS rebinding) gets nothing.
fn is_here(app: &App, head: &Parts) -> bool {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let is_local = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    is_local && app.now().trust_loopback && is_loopback_name(head) && !is_passed_on(&head.headers)
}

/// Whether a proxy on this machine says that it asks for somebody else.
fn is_passed_on(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || ["forwarded", "via", "x-real-ip"].contains(&name)
    })
}

fn is_loopback_name(head: &Parts) -> bool {
    let given = head.headers.get(header::HOST);
    let host = match (given, head.uri.host()) {
        (Some(host), _) => host
            .to_str()
            .ok()
            .and_then(|host| host.parse::<Authority>().ok()),
        (None, Some(host)) => host.parse().ok(),
        (None, None) => None,
    };
    host.is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

/// 401, or 429 where too many wrong tokens came from there.
fn wrong(app: &App, head: &Parts, why: &str, now: i64) -> Response {
    match tried(app, &head.extensions, now) {
        Ok(()) => refused(why, "reading with a wrong token"),
        Err(seconds) => {
            let why = format!("{why}. {TOO_MANY}");
            let response = answer::later(StatusCode::TOO_MANY_REQUESTS, why, seconds);
            Refusal::of_nobody(SAID).on(response)
        }
    }
}

/// Notes that a wrong token came.
///
/// # Errors
/// Too many did from there: for how many more seconds.
pub fn tried(app: &App, request: &Extensions, now: i64) -> Result<(), u64> {
    match request.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => app.wrong_tokens.note(peer.ip(), now),
        None => Ok(()),
    }
}

fn refused(why: &str, said: &'static str) -> Response {
    let mut response = answer::error(StatusCode::UNAUTHORIZED, why);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Refusal::of_nobody(said).on(response)
}

/// What the cookie is called here.
pub fn cookie_name(app: &App) -> &'static str {
    match app.is_https {
        true => COOKIE_OF_HTTPS,
        false => COOKIE,
    }
}

/// A viewer's token that a browser sends.
pub fn cookie<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h str> {
    let wanted = cookie_name(app);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}
