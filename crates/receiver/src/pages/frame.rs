//! A page's HTML: the frame that all pages have, and the panels in it.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use super::view::{REFRESHES, SPANS, View};
use super::{ALL, Page, USER, USERS, assets::Assets};
use crate::answer;
use crate::api::refused::Refused;
use crate::api::reply::Rows;
use crate::api::viewer::Viewer;
use crate::app::App;
use crate::documents::{quoted, time};
use crate::draw::table::{self, Cell, Shown as Table};
use crate::draw::tiles::Tile;
use crate::draw::{self, Draw, cell};
use crate::panels::Panel;
use crate::standing::Standing;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Frame<'a> {
    assets: &'a Assets,
    page: &'a Page,
    /// What the page is about, if not all of a facility: a user, a node.
    subject: Option<&'a str>,
    /// What is shown, as the browser's window says it.
    where_: String,
    menu: Vec<Link>,
    facilities: Vec<Choice>,
    zones: Vec<Choice>,
    refreshes: Vec<Choice>,
    /// Where the choice of a facility leads, and what goes along.
    elsewhere: (&'static str, Vec<(&'static str, String)>),
    span: Picker,
    /// Parameters that the form of zone and refresh has no fields for.
    kept: Vec<(&'static str, String)>,
    is_local: bool,
    refresh: &'a str,
    /// The facility that is looked at, and when the page was made, as a sheet of paper says it.
    facility: &'a str,
    made: Moment,
    /// What a viewer has to know of the whole store.
    notes: Vec<String>,
    panels: Vec<Shown>,
    version: &'static str,
    can_log_out: bool,
    /// Of whom may see all facilities: how large the store is.
    store: Option<String>,
}

struct Link {
    title: String,
    url: String,
    is_this: bool,
}

/// What a panel can be asked for otherwise: a parameter of the page, and a link for each of its words.
struct Options {
    title: &'static str,
    links: Vec<Link>,
}

struct Choice {
    value: String,
    title: String,
    is_this: bool,
}

/// A time for machines, for persons, and for a form's field; UTC, the latter two to the minute.
struct Moment(String, String, String);

impl Moment {
    fn of(ms: i64) -> Self {
        let minute = cell::minute(ms);
        let field = minute.replace(' ', "T");
        Self(time::text(ms), minute, field)
    }
}

/// The span picker.
struct Picker {
    /// What the span is called, if it is one of the list.
    named: Option<String>,
    quick: Vec<Link>,
    calendar: Vec<Link>,
    from: Moment,
    to: Moment,
    back: String,
    forth: Option<String>,
    wider: Option<String>,
    /// Parameters that its form has no fields for.
    kept: Vec<(&'static str, String)>,
}

/// A panel as it stands on the page.
struct Shown {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    is_wide: bool,
    csv: String,
    options: Vec<Options>,
    /// A sentence about the numbers; calm, if it stands in place of a table's rows.
    says: Option<String>,
    is_calm: bool,
    body: Body,
}

enum Body {
    Tiles(Vec<Tile>),
    Table(Table),
    Facts(Vec<(&'static str, Cell)>),
    Chart {
        data: String,
        shape: &'static str,
        unit: &'static str,
    },
    /// Why there is nothing.
    Refused(String),
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    assets: &'a Assets,
    title: &'a str,
    why: &'a str,
    to: &'a str,
    to_title: &'a str,
}

/// A page that says why there is no other.
pub fn message(app: &App, status: StatusCode, why: &str) -> Response {
    with_link(app, status, why, ("/", "To the overview"))
}

/// The same with a link to a page that may help.
pub fn with_link(
    app: &App,
    status: StatusCode,
    why: &str,
    (to, to_title): (&str, &str),
) -> Response {
    let page = Message {
        assets: &app.assets,
        title: status.canonical_reason().unwrap_or("Refused"),
        why,
        to,
        to_title,
    };
    html(status, page.render())
}

/// A page that says why questions are not answered, with the status that a program would be told.
pub fn refused(app: &App, why: Refused) -> Response {
    let said = why.to_string();
    let told = why.into_response();
    let mut page = message(app, told.status(), &said);
    if let Some(seconds) = told.headers().get(header::RETRY_AFTER) {
        page.headers_mut()
            .insert(header::RETRY_AFTER, seconds.clone());
    }
    page
}

/// A page about a user says that nobody of this name, or of none, was seen.
pub fn nobody(app: &App, view: &View, name: Option<&str>) -> Response {
    let where_ = view.facility().map(|facility| format!(" at {facility}"));
    let (status, why) = match name {
        Some(name) => (
            StatusCode::NOT_FOUND,
            format!(
                "Nobody of the name \"{}\" was seen{}.",
                quoted(name),
                where_.unwrap_or_default()
            ),
        ),
        None => (
            StatusCode::BAD_REQUEST,
            "This page is about one user, whose name is missing in its address: /user?user=NAME"
                .into(),
        ),
    };
    with_link(app, status, &why, (&view.to(&USERS, &[]), "To all users"))
}

/// A rendered page.
pub fn html(status: StatusCode, page: askama::Result<String>) -> Response {
    match page {
        Ok(page) => (status, Html(page)).into_response(),
        Err(why) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
    }
}

/// A page with its panels; `answers` are those of the panels that are no charts, in order.
pub fn render(
    app: &App,
    view: &View,
    viewer: &Viewer,
    standing: &Standing,
    panels: &[&Panel],
    answers: Vec<Result<Rows, Refused>>,
) -> Response {
    let mut answers = answers.into_iter();
    let subject = subject(view, panels);
    let panels = panels.iter().map(|panel| shown(view, panel, &mut answers));
    let span = picker(view);
    let title = match &span.named {
        Some(title) => title.clone(),
        None => format!("{} – {} UTC", span.from.1, span.to.1),
    };
    let page = Frame {
        assets: &app.assets,
        page: view.page,
        subject,
        where_: match view.facility() {
            Some(facility) => format!("{} of {facility}, {title}", view.page.title),
            None => format!("{}, {title}", view.page.title),
        },
        menu: menu(view),
        facilities: facilities(view, viewer, standing),
        zones: choices(
            view.get("tz").unwrap_or("utc"),
            &[("utc", "UTC"), ("local", "Local time")],
        ),
        refreshes: choices(view.get("refresh").unwrap_or_default(), &REFRESHES),
        elsewhere: elsewhere(view),
        kept: kept(view, &["facility", "from", "to"]),
        facility: view.facility().unwrap_or("All facilities"),
        made: Moment::of(view.now),
        is_local: view.is_local(),
        refresh: view.get("refresh").unwrap_or_default(),
        notes: notes(view, viewer, standing),
        panels: panels.collect(),
        version: env!("CARGO_PKG_VERSION"),
        can_log_out: viewer.0.token.is_some(),
        store: viewer
            .0
            .facility
            .is_none()
            .then(|| size(standing.store + standing.log)),
        span,
    };
    html(StatusCode::OK, page.render())
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn size(bytes: u64) -> String {
    cell::bytes(bytes as f64)
}

fn shown(
    view: &View,
    panel: &Panel,
    answers: &mut impl Iterator<Item = Result<Rows, Refused>>,
) -> Shown {
    let mut says = None;
    let mut rows = || {
        let rows = answers.next().unwrap_or_else(|| Ok(Rows::default()));
        rows.inspect(|rows| says = draw::says(rows))
    };
    let body = match &panel.draw {
        Draw::Chart(chart) => Ok(Body::Chart {
            data: view.data(panel),
            shape: chart.shape.word(),
            unit: chart.unit.word(),
        }),
        Draw::Tiles(tiles) => rows().map(|rows| Body::Tiles(tiles.show(panel.question, &rows))),
        Draw::Table(table) => {
            rows().map(|rows| Body::Table(table.show(panel.question, &rows, view)))
        }
        Draw::Facts(columns) => {
            rows().map(|rows| Body::Facts(table::facts(columns, panel.question, &rows, view)))
        }
    };
    let question = view.question(panel);
    let join = if question.contains('?') { '&' } else { '?' };
    Shown {
        name: panel.name,
        title: panel.title,
        about: panel.about,
        is_wide: panel.is_wide,
        csv: format!("{question}{join}format=csv"),
        options: options(view, panel),
        is_calm: matches!(&body, Ok(Body::Table(table)) if table.rows.is_empty()),
        says,
        body: body.unwrap_or_else(|why| {
            if let Refused::Failed(cause) = &why {
                tracing::error!("panel {} has no numbers: {cause:#}", panel.name);
            }
            Body::Refused(why.to_string())
        }),
    }
}

/// The user or node that the page is about: a parameter that takes any text.
fn subject<'a>(view: &'a View, panels: &[&Panel]) -> Option<&'a str> {
    let is_choice = |name| panels.iter().any(|one| one.question.words(name).is_some());
    let mut names = view.page.params.iter().filter(|name| !is_choice(name));
    names.find_map(|name| view.get(name))
}

/// Parameters of the page that take one of a few words, for the panels whose questions have them.
fn options(view: &View, panel: &Panel) -> Vec<Options> {
    let choices = |name: &&'static str| {
        let words = panel.question.words(name)?;
        let given = view.get(name).unwrap_or_default();
        let link = |title: &str, word: &str| Link {
            title: title.to_owned(),
            url: view.with(&[(name, word)]),
            is_this: word == given,
        };
        let automatic = std::iter::once(link("as fits the span", ""));
        let links = automatic.chain(words.iter().map(|word| link(word, word)));
        Some(Options {
            title: name,
            links: links.collect(),
        })
    };
    view.page.params.iter().filter_map(choices).collect()
}

fn menu(view: &View) -> Vec<Link> {
    let link = |page: &&Page| Link {
        title: page.title.to_owned(),
        url: view.to(page, &[]),
        is_this: page.path == view.page.path,
    };
    ALL.iter()
        .filter(|page| page.is_in_menu)
        .map(link)
        .collect()
}

fn facilities(view: &View, viewer: &Viewer, standing: &Standing) -> Vec<Choice> {
    let choice = |value: &str, title: &str| Choice {
        value: value.to_owned(),
        title: title.to_owned(),
        is_this: view.facility().unwrap_or_default() == value,
    };
    if let Some(own) = &viewer.0.facility {
        return vec![choice(own, own)];
    }
    let all = standing.facilities.iter();
    std::iter::once(choice("", "All facilities"))
        .chain(all.map(|facility| choice(&facility.name, &facility.name)))
        .collect()
}

fn choices(this: &str, all: &[(&str, &str)]) -> Vec<Choice> {
    all.iter()
        .map(|(value, title)| Choice {
            value: (*value).to_owned(),
            title: (*title).to_owned(),
            is_this: *value == this,
        })
        .collect()
}

fn picker(view: &View) -> Picker {
    let link = |title: &str, from: &str, to: &str| Link {
        title: title.to_owned(),
        url: view.with(&[("from", from), ("to", to)]),
        is_this: view.from() == from && view.get("to").unwrap_or("now") == to,
    };
    let quick: Vec<Link> = SPANS
        .iter()
        .map(|(title, from)| link(title, from, "now"))
        .collect();
    let calendar: Vec<Link> = view
        .calendar()
        .iter()
        .map(|(title, from, to)| link(title, from, to))
        .collect();
    let named = quick.iter().chain(&calendar).find(|link| link.is_this);
    let between = |[from, to]: [String; 2]| view.with(&[("from", &from), ("to", &to)]);
    let [back, forth] = view.moved().map(between);
    Picker {
        named: named.map(|link| link.title.clone()),
        from: Moment::of(view.span.from),
        to: Moment::of(view.span.to),
        back,
        // Nothing is known of the time after now.
        forth: (!view.is_to_now() && view.span.to < view.now).then_some(forth),
        wider: view.wider().map(between),
        kept: kept(view, &["facility", "tz", "refresh"]),
        quick,
        calendar,
    }
}

/// Where the choice of another facility leads: a user or node of this one is not known there.
fn elsewhere(view: &View) -> (&'static str, Vec<(&'static str, String)>) {
    let path = match view.page.path {
        path if path == USER.path => USERS.path,
        path => path,
    };
    let mut kept = kept(view, &["from", "to", "tz", "refresh"]);
    kept.retain(|(name, _)| !["user", "node"].contains(name));
    (path, kept)
}

/// What a form of this page carries along: what it has no fields for.
fn kept(view: &View, shared: &[&'static str]) -> Vec<(&'static str, String)> {
    let own = view.page.params.iter().chain(&["sort", "search"]);
    own.chain(shared)
        .filter_map(|name| Some((*name, view.get(name)?.to_owned())))
        .collect()
}

fn notes(view: &View, viewer: &Viewer, standing: &Standing) -> Vec<String> {
    let mut notes = Vec::new();
    if standing.ready.is_err() {
        notes.push("Documents are not taken now: the receiver's log says why.".to_owned());
    }
    let own = viewer.0.facility.as_deref().or(view.facility());
    let mut seen = standing
        .facilities
        .iter()
        .filter(|facility| own.is_none_or(|own| own == facility.name));
    if standing.is_read && seen.next().is_none() {
        notes.push(match own {
            Some(own) => format!("{own} has not sent anything yet."),
            None => "No facility has sent anything yet. Make a token for one: afmetrics_receiver token create --facility NAME. Its collectors send to this address.".to_owned(),
        });
    }
    notes
}
