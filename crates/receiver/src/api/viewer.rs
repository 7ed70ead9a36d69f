//! Who reads: a viewer's token by header or cookie, or anybody on this machine where that is allowed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::app::App;
use crate::tokens::View;
use crate::{answer, clock, ingest};

/// The cookie of a browser that has logged in: a viewer's token.
pub const COOKIE: &str = "afmetrics_viewer";

/// Somebody who may read, and what.
pub struct Viewer(pub View);

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let now = clock::now();
        let bearer = ingest::bearer(&head.headers);
        if let Some(token) = bearer.or_else(|| cookie(&head.headers)) {
            if let Some(view) = app.tokens.view(token, now) {
                note(app, &view, now);
                return Ok(Viewer(view));
            }
            // A cookie may be left over from another receiver here.
            if bearer.is_some() || !is_here(app, head) {
                return Err(refused(app.tokens.why_not(token, now)));
            }
        }
        if is_here(app, head) {
            return Ok(Viewer(View {
                token: None,
                facility: None,
            }));
        }
        Err(refused(
            "reading needs a viewer's token: Authorization: Bearer TOKEN (afmetrics_receiver token create --viewer)",
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
    app.trust_loopback && is_local && is_loopback_name(head) && !is_passed_on(&head.headers)
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

fn refused(why: &str) -> Response {
    let mut response = answer::error(StatusCode::UNAUTHORIZED, why);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// A viewer's token that a browser sends.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}
