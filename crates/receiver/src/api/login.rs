//! Logging in and out of a browser: a viewer's token becomes a cookie, and goes again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Form, FromRequest as _, Request, State};
use axum::handler::Handler as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;

use super::viewer;
use super::wrong_tokens::{SAID, TOO_MANY};
use crate::app::App;
use crate::pages::{front, guards};
use crate::refusals::Refusal;
use crate::tokens::View;
use crate::{answer, clock};

/// A form with a token is not longer.
const LONGEST: usize = 4 * 1024;
/// And arrives within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a browser keeps the cookie, in seconds: 30 days, or until its token ends.
const KEPT: i64 = 30 * 86_400;

#[derive(Deserialize)]
struct Login {
    token: String,
    /// Where to go then.
    #[serde(default)]
    next: String,
}

/// `POST /login` with the form field `token`: 303 to `/` and the cookie, or 401, or 429 after too many wrong
/// ones (a browser: the front page again).
pub fn login() -> MethodRouter<Arc<App>> {
    post(enter.layer(DefaultBodyLimit::max(LONGEST))).layer(map_response(guards::add))
}

/// `POST /logout`: 303 to `/`, and the cookie is gone.
pub fn logout() -> MethodRouter<Arc<App>> {
    post(leave).layer(map_response(guards::add))
}

async fn enter(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Some(refused) = foreign(request.uri(), request.headers()) {
        return refused;
    }
    let is_browser = is_browser(request.headers());
    let extensions = request.extensions().clone();
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
            home(&app, here(&login.next), token, kept(&view, now))
        }
        None => {
            let tried = viewer::tried(&app, &extensions, now);
            let why = app.tokens.why_not(token, now);
            let next = is_browser.then(|| here(&login.next));
            wrong(&app, tried, why, next).await
        }
    }
}

/// The answer to a wrong token; a browser gets the page again, and then goes to `next`.
async fn wrong(app: &App, tried: Result<(), u64>, why: &str, next: Option<&str>) -> Response {
    let (status, shown, why, said) = match tried {
        Ok(()) => (
            StatusCode::UNAUTHORIZED,
            front::REFUSED,
            why,
            "a login with a wrong token",
        ),
        Err(_) => (StatusCode::TOO_MANY_REQUESTS, TOO_MANY, TOO_MANY, SAID),
    };
    let mut response = match next {
        Some(next) => front::refused(app, status, shown, next).await,
        None => answer::error(status, why),
    };
    if let Err(seconds) = tried {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Refusal::of_nobody(said).on(response)
}

/// For how many seconds a browser keeps the cookie of this view.
fn kept(view: &View, now: i64) -> i64 {
    let left = view.expires.map(|end| (end - now) / 1000);
    left.map_or(KEPT, |left| left.clamp(0, KEPT))
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
fn home(app: &App, next: &str, token: &str, seconds: i64) -> Response {
    let secure = if app.is_https { "; Secure" } else { "" };
    let name = viewer::cookie_name(app);
    let cookie =
        format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let (Ok(cookie), Ok(next)) = (HeaderValue::try_from(cookie), HeaderValue::try_from(next))
    else {
        return answer::error(StatusCode::BAD_REQUEST, "this is no token");
    };
    let headers = [(header::LOCATION, next), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The answer to a request that another site's page made a browser send. `Sec-Fetch-Site` decides where it is there,
/// as no page can forge it; else `Origin`, which is `null` where a browser hides it, and then no place of ours.
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
        false => {
            let why = "another site's page may not log in or out here";
            let response = answer::error(StatusCode::FORBIDDEN, why);
            Some(Refusal::of_nobody("a login or logout from another site's page").on(response))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_this_server_are_gone_to() {
        for next in [
            "/",
            "/batch?from=-7d&facility=A%26F",
            "/a//b",
            "/%2f%2fexample.org",
            "/%0d%0aSet-Cookie:%20a=b",
            "/@example.org",
            "/.//example.org",
        ] {
            assert_eq!(here(next), next);
        }
        for next in [
            "",
            "batch",
            "//example.org",
            "///example.org",
            "/\\example.org",
            "\\\\example.org",
            "/\t/example.org",
            " /batch",
            "/a b",
            "/\r\nSet-Cookie: a=b",
            "https://example.org/",
            "https:example.org",
            "javascript:alert(1)",
            "data:text/html,x",
            "/\u{e9}",
        ] {
            assert_eq!(here(next), "/", "{next:?}");
        }
    }

    #[test]
    fn another_sites_page_is_told_by_what_browsers_say() {
        let is_foreign = |given: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                let name = header::HeaderName::try_from(*name).unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            foreign(&Uri::from_static("/login"), &headers).is_some()
        };
        let host = ("host", "af.example.org:8443");
        for own in [
            &[host][..],
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("origin", "https://af.example.org:8443")],
        ] {
            assert!(!is_foreign(own), "{own:?}");
        }
        for other in [
            &[host, ("sec-fetch-site", "cross-site")][..],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "")],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[host, ("origin", "https://af.example.org")],
            &[host, ("origin", "https://example.org:8443")],
            &[host, ("origin", "https://af.example.org:8443.example.org")],
            &[("origin", "https://af.example.org:8443")],
            &[
                host,
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://af.example.org:8443"),
            ],
        ] {
            assert!(is_foreign(other), "{other:?}");
        }
    }

    #[test]
    fn a_cookie_does_not_outlive_its_token() {
        let view = |expires| View {
            token: Some(1),
            facility: None,
            expires,
        };
        assert_eq!(kept(&view(None), 0), KEPT);
        assert_eq!(kept(&view(Some(90_999)), 1_000), 89);
        assert_eq!(kept(&view(Some(KEPT * 2_000)), 0), KEPT);
    }
}
