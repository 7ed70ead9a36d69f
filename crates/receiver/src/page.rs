//! `GET /`: the front page, for a person. HTML from a template that is compiled in; no script.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::answer;
use crate::api::viewer::{self, Viewer};
use crate::app::App;
use crate::clock;
use crate::documents::time;
use crate::standing::Standing;

/// Nothing is loaded but our own style, nothing is run, no other page may frame this one.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("../assets/style.css");

#[derive(Template)]
#[template(path = "front.html")]
struct Front {
    is_ready: bool,
    /// Of somebody who may read.
    seen: Option<Seen>,
    /// Somebody tried, with a token that is no good.
    is_refused: bool,
}

/// What a reader sees.
struct Seen {
    version: &'static str,
    /// Of whom may see all facilities.
    whole: Option<Whole>,
    newest: String,
    facilities: Vec<Row>,
}

/// What is of all facilities together.
struct Whole {
    waiting: usize,
    store: String,
}

struct Row {
    name: String,
    newest: String,
    last_hour: i64,
}

/// Answers with the page; what it says depends on who asks.
pub async fn front(
    viewer: Result<Viewer, Response>,
    headers: HeaderMap,
    State(app): State<Arc<App>>,
) -> Response {
    let tried = headers.contains_key(header::AUTHORIZATION) || viewer::cookie(&headers).is_some();
    let is_refused = viewer.is_err() && tried;
    show(&app, viewer.ok(), is_refused).await
}

/// The page again, 401, for a person whose token is no good.
pub async fn refused(app: &App) -> Response {
    let mut page = show(app, None, true).await;
    *page.status_mut() = StatusCode::UNAUTHORIZED;
    page
}

async fn show(app: &App, viewer: Option<Viewer>, is_refused: bool) -> Response {
    let standing = app.standings.now(app).await;
    let page = Front {
        is_ready: standing.ready.is_ok() && !app.is_stopping(),
        is_refused,
        seen: viewer.map(|viewer| seen(&viewer, &standing, app.store.waiting(), clock::now())),
    };
    match page.render() {
        Ok(page) => (guards(), Html(page)).into_response(),
        Err(why) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
    }
}

/// `GET /style.css`.
pub async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, STYLE)
}

/// The headers of every page.
pub fn guards() -> [(HeaderName, &'static str); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // Names stand in it.
        (header::CACHE_CONTROL, "no-store"),
    ]
}

fn seen(viewer: &Viewer, standing: &Standing, waiting: usize, now: i64) -> Seen {
    let visible = || {
        let all = standing.facilities.iter();
        all.filter(|facility| {
            viewer
                .0
                .facility
                .as_ref()
                .is_none_or(|own| *own == facility.name)
        })
    };
    let row = |facility: &crate::standing::Facility| Row {
        name: facility.name.clone(),
        newest: ago(facility.newest, now),
        last_hour: facility.last_hour,
    };
    Seen {
        version: env!("CARGO_PKG_VERSION"),
        whole: viewer.0.facility.is_none().then(|| Whole {
            waiting,
            store: size(standing.store + standing.log),
        }),
        newest: ago(visible().filter_map(|facility| facility.newest).max(), now),
        facilities: visible().map(row).collect(),
    }
}

/// A time, and how long ago that is.
fn ago(time: Option<i64>, now: i64) -> String {
    let Some(time) = time else {
        return "never".into();
    };
    let seconds = (now - time).max(0) / 1000;
    let ago = match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{ago} ago ({})", time::text(time))
}

/// Bytes, for a person.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 10_000 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_reads_is_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(9_999), "9999 B");
        assert_eq!(size(u64::MAX), "16777215 TiB");
        assert_eq!(ago(None, 0), "never");
        assert_eq!(ago(Some(0), 90_000), "90 s ago (1970-01-01T00:00:00.000Z)");
        // A document may be some minutes ahead.
        assert!(ago(Some(60_000), 0).starts_with("0 s ago"));
    }

    #[test]
    fn the_style_loads_nothing_from_elsewhere() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
