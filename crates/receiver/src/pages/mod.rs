//! The dashboard: pages for a person. What a page shows is said by its URL ([`view`]); what is on it, by the
//! table of panels ([`crate::panels`]).

pub mod assets;
mod frame;
pub mod front;
pub mod guards;
pub mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::api::asked::Asked;
use crate::api::refused::Refused;
use crate::api::reply::Rows;
use crate::api::viewer::{self, Viewer};
use crate::app::App;
use crate::draw::{Draw, chart};
use crate::panels::{self, Panel};
use crate::{answer, api, clock};
use view::View;

/// A page of the dashboard.
#[derive(Debug)]
pub struct Page {
    pub path: &'static str,
    pub title: &'static str,
    /// What the page answers, in a sentence.
    pub summary: &'static str,
    /// Parameters of its own.
    pub params: &'static [&'static str],
    /// Where its span begins, unless its URL says.
    pub from: &'static str,
    pub is_in_menu: bool,
}

/// A page that the menu names.
const fn page(
    path: &'static str,
    title: &'static str,
    from: &'static str,
    summary: &'static str,
) -> Page {
    Page {
        path,
        title,
        summary,
        params: &[],
        from,
        is_in_menu: true,
    }
}

pub const OVERVIEW: Page = page(
    "/",
    "Overview",
    "-24h",
    "Who is here, what runs, and whether every node reports.",
);
pub const USERS: Page = Page {
    params: &["per"],
    ..page(
        "/users",
        "Users",
        "-30d",
        "Who uses the facility, and through which door.",
    )
};
pub const USER: Page = Page {
    params: &["user"],
    is_in_menu: false,
    ..page(
        "/user",
        "User",
        "-30d",
        "When one user was here, and what their jobs did.",
    )
};
pub const BATCH: Page = page(
    "/batch",
    "Batch",
    "-24h",
    "Jobs that wait, run and have ended, and the queues.",
);
pub const JUPYTER: Page = page(
    "/jupyter",
    "Jupyter",
    "-24h",
    "Users of notebooks, and for how long they stay.",
);
pub const NODES: Page = Page {
    params: &["node"],
    ..page(
        "/nodes",
        "Nodes",
        "-24h",
        "Load, memory, network and disks of every node.",
    )
};
pub const QUALITY: Page = page(
    "/quality",
    "Data quality",
    "-24h",
    "What arrived, what came late or twice, and what was refused.",
);

/// Every page, in the order of the menu.
pub const ALL: &[&Page] = &[&OVERVIEW, &USERS, &USER, &BATCH, &JUPYTER, &NODES, &QUALITY];

impl Page {
    /// What is on it, in order.
    pub fn panels(&self) -> impl Iterator<Item = &'static Panel> {
        let path = self.path;
        let all = panels::ALL.iter().copied();
        all.filter(move |panel| panel.page.path == path)
    }
}

/// All pages, and what they load.
pub fn routes() -> Router<Arc<App>> {
    let mut routes = Router::new()
        .route("/panels/{name}", get(data))
        .route("/assets/{name}", get(assets::answer));
    for page in ALL {
        let show = move |viewer: Result<Viewer, Response>,
                         headers: HeaderMap,
                         RawQuery(query): RawQuery,
                         State(app): State<Arc<App>>| async move {
            match viewer {
                Ok(viewer) => show(page, &viewer, &query.unwrap_or_default(), &app).await,
                Err(why) => front::stranger(&app, page, &headers, query.as_deref(), why).await,
            }
        };
        routes = routes.route(page.path, get(show));
    }
    routes.layer(map_response(guards::add))
}

/// Answers with a page.
async fn show(page: &'static Page, viewer: &Viewer, query: &str, app: &Arc<App>) -> Response {
    let bound = viewer.0.facility.as_deref();
    let view = match View::read(page, query, bound, clock::now()) {
        Ok(view) => view,
        Err(wrong) => return frame::message(app, StatusCode::BAD_REQUEST, &wrong),
    };
    let standing = app.standings.now(app).await;
    let mut facilities = standing.facilities.iter().map(|facility| &*facility.name);
    match (view.facility(), bound) {
        (Some(asked), Some(bound)) if asked != bound => {
            return frame::message(
                app,
                StatusCode::FORBIDDEN,
                "Your token is for reading another facility.",
            );
        }
        (Some(asked), None) if standing.is_read && !facilities.any(|known| known == asked) => {
            return frame::message(
                app,
                StatusCode::NOT_FOUND,
                "Nothing was heard of a facility of this name.",
            );
        }
        _ => {}
    }
    let is_whose = page.path == USER.path;
    if is_whose && view.get("user").is_none() {
        return frame::nobody(app, &view, None);
    }
    let panels: Vec<&Panel> = page.panels().collect();
    // Charts are asked for by the page's script, each for itself: a slow one holds up nothing.
    let at_once = panels
        .iter()
        .filter(|panel| !matches!(panel.draw, Draw::Chart(_)));
    let mut all = Vec::new();
    for panel in at_once {
        let asked = view
            .uri(panel)
            .and_then(|uri| Asked::read(panel.question, &uri, viewer.0.facility.clone(), view.now));
        match asked {
            Ok(asked) => all.push((panel.question, asked)),
            Err(why) => return frame::message(app, StatusCode::BAD_REQUEST, &why.to_string()),
        }
    }
    match api::rows(app, all).await {
        Ok(answers) if is_whose && answers.iter().any(is_of_nobody) => {
            frame::nobody(app, &view, view.get("user"))
        }
        Ok(answers) => frame::render(app, &view, viewer, &standing, &panels, answers),
        Err(why) => frame::refused(app, why),
    }
}

/// Any other path: a page for a person, JSON for a program.
pub async fn nothing_here(headers: HeaderMap, State(app): State<Arc<App>>) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|kinds| kinds.to_str().ok());
    if !accepted.is_some_and(|kinds| kinds.contains("text/html")) {
        return answer::error(StatusCode::NOT_FOUND, "nothing here");
    }
    let why = "There is no page at this address.";
    guards::add(frame::message(&app, StatusCode::NOT_FOUND, why)).await
}

/// Whether a panel has nothing to show as nobody of that name was seen.
fn is_of_nobody(answer: &Result<Rows, Refused>) -> bool {
    matches!(answer, Err(Refused::Unknown("user", _)))
}

/// `GET /panels/NAME`: what a panel's chart is drawn from, as [`chart::Data`].
async fn data(
    viewer: Viewer,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    State(app): State<Arc<App>>,
) -> Response {
    let Some(panel) = panels::ALL.iter().find(|panel| panel.name == name) else {
        return answer::error(StatusCode::NOT_FOUND, "there is no such panel");
    };
    let Draw::Chart(drawn) = &panel.draw else {
        return answer::error(StatusCode::NOT_FOUND, "this panel has no chart");
    };
    let bound = viewer.0.facility.clone();
    let query = query.unwrap_or_default();
    let view = match View::read(panel.page, &query, bound.as_deref(), clock::now()) {
        Ok(view) => view,
        Err(wrong) => return answer::error(StatusCode::BAD_REQUEST, wrong),
    };
    let asked = view
        .uri(panel)
        .and_then(|uri| Asked::read(panel.question, &uri, bound, view.now));
    let asked = match asked {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let (span, step) = (asked.span, asked.step);
    match api::rows(&app, vec![(panel.question, asked)]).await {
        Err(refused) => refused.into_response(),
        Ok(mut answers) => match answers.pop() {
            Some(Ok(rows)) => {
                axum::Json(chart::data(drawn, panel.question, &rows, span, step)).into_response()
            }
            Some(Err(refused)) => refused.into_response(),
            None => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "no answer"),
        },
    }
}

/// Whether somebody tried to read with a token.
fn has_tried(app: &App, headers: &HeaderMap) -> bool {
    headers.contains_key(axum::http::header::AUTHORIZATION)
        || viewer::cookie(app, headers).is_some()
}
