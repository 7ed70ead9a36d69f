//! Who reads: a viewer's token by header or cookie, or anybody on this machine where that is allowed.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::app::App;
use crate::tokens::View;
use crate::{answer, clock, ingest};

/// The cookie of a browser that has logged in: a viewer's token.
pub const COOKIE: &str = "afmetrics_viewer";

/// Somebody who may read, and what.
pub struct Viewer(pub View);

impl Viewer {
    /// Whether this facility may be seen.
    pub fn sees(&self, facility: &str) -> bool {
        self.0.facility.as_deref().is_none_or(|own| own == facility)
    }
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let given = ingest::bearer(&head.headers).or_else(|| cookie(&head.headers));
        if let Some(token) = given {
            return match app.tokens.view(token, clock::now()) {
                Some(view) => Ok(Viewer(view)),
                None => Err(refused(
                    "unknown, expired or revoked token, or not a viewer's",
                )),
            };
        }
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        if app.trust_loopback && peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback()) {
            return Ok(Viewer(View { facility: None }));
        }
        Err(refused(
            "reading needs a viewer's token: Authorization: Bearer TOKEN (afmetrics_receiver token create --viewer)",
        ))
    }
}

fn refused(why: &str) -> Response {
    let mut response = answer::error(StatusCode::UNAUTHORIZED, why);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}
