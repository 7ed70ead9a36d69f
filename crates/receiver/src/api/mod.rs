//! `/api/v1`: questions and their answers, as JSON or CSV. A file for each question, and a row in [`ALL`]; a
//! question of one panel only stands in the panel's file. Routes, `docs/openapi.json` and `docs/api.md` are
//! made from [`questions`].

pub mod asked;
pub mod documents;
pub mod facilities;
pub mod forecast;
pub mod heard;
pub mod hosts;
pub mod intake;
pub mod jobs;
pub mod login;
pub mod newest;
pub mod nodes;
pub mod numbers;
pub mod openapi;
pub mod period;
pub mod queues;
pub mod refused;
pub mod reply;
pub mod runtime;
pub mod seen;
pub mod sessions;
pub mod shares;
pub mod span;
pub mod systems;
pub mod users;
pub mod viewer;
pub mod wrong_tokens;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rusqlite::Connection;

use crate::app::App;
use crate::{clock, panels};
use asked::{Asked, Param};
use refused::Refused;
use reply::{Rows, Ty};
use viewer::Viewer;

/// A question that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a question waits for what came last; after that it is answered from what is settled.
const SETTLING: Duration = Duration::from_secs(5);

/// A question: its path, what may be asked, what is answered, and who answers it.
pub struct Question {
    /// Its path below `/api/v1/`, and the name of the list in the answer.
    pub path: &'static str,
    pub summary: &'static str,
    /// More about it, in Markdown.
    pub about: &'static str,
    pub params: &'static [Param],
    /// Fields of the answer beside the list and those that follow from the parameters.
    pub head: &'static [Field],
    /// Fields of each element of the list, and columns of the CSV, in this order.
    pub fields: &'static [Field],
    pub answer: How,
}

/// A field of an answer.
pub struct Field {
    pub name: &'static str,
    pub ty: Ty,
    pub about: &'static str,
}

/// How a question is answered.
pub enum How {
    /// Rows, from one view of the store.
    Rows(fn(&Connection, &Asked) -> Result<Rows, Refused>),
    /// A stream of raw documents.
    Documents,
}

/// A field of an answer.
pub const fn field(name: &'static str, ty: Ty, about: &'static str) -> Field {
    Field { name, ty, about }
}

/// Every question there is.
pub const ALL: &[&Question] = &[
    &facilities::QUESTION,
    &nodes::QUESTION,
    &users::QUESTION,
    &sessions::QUESTION,
    &jobs::QUESTION,
    &runtime::QUESTION,
    &queues::QUESTION,
    &hosts::QUESTION,
    &documents::QUESTION,
    &intake::QUESTION,
];

/// Every question, those of single panels included, each once.
pub fn questions() -> impl Iterator<Item = &'static Question> {
    let of_panels = panels::ALL.iter().map(|panel| panel.question);
    let mut seen = BTreeSet::new();
    let all = ALL.iter().copied().chain(of_panels);
    all.filter(move |question| seen.insert(question.path))
}

/// All routes below `/api/v1`.
pub fn routes() -> Router<Arc<App>> {
    let mut routes = Router::new().route("/openapi.json", get(openapi::answer));
    for question in questions() {
        let handler = move |viewer: Viewer,
                            State(app): State<Arc<App>>,
                            uri: Uri,
                            headers: HeaderMap| async move {
            match answer(question, viewer, &app, &uri, &headers).await {
                Ok(response) => response,
                Err(refused) => refused.into_response(),
            }
        };
        routes = routes.route(&format!("/{}", question.path), get(handler));
    }
    routes.layer(map_response(with_headers))
}

/// Nobody is to take an answer for something else than it says.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn answer(
    question: &'static Question,
    Viewer(view): Viewer,
    app: &Arc<App>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let asked = Asked::read(question, uri, view.facility, clock::now())?;
    let form = reply::form(asked.word("format"), headers);
    match question.answer {
        How::Documents => documents::stream(app, asked, view.token, headers).await,
        How::Rows(ask) => {
            settle(app).await;
            let body = read(app, move |store| {
                let mut rows = ask(store, &asked)?;
                rows.finish(question, &asked);
                form.body(question, &rows)
            });
            Ok(form.response(question, body.await?))
        }
    }
}

/// Answers several questions in one view of the store, so that their numbers fit together. Streams of documents
/// are no rows, and refused.
///
/// # Errors
/// The store cannot be read. Why a single question is refused stands in its place.
pub async fn rows(
    app: &App,
    all: Vec<(&'static Question, Asked)>,
) -> Result<Vec<Result<Rows, Refused>>, Refused> {
    settle(app).await;
    read(app, move |store| {
        let answer = |(question, asked): (&Question, Asked)| match question.answer {
            How::Rows(ask) => {
                let mut rows = ask(store, &asked)?;
                rows.finish(question, &asked);
                Ok(rows)
            }
            How::Documents => Err(Refused::NoCsv),
        };
        Ok(all.into_iter().map(answer).collect())
    })
    .await
}

/// Answers do not wait for a store that cannot be written: what it has is read.
async fn settle(app: &App) {
    if let Ok(Err(why)) = tokio::time::timeout(SETTLING, app.store.settle()).await {
        tracing::debug!("a question is answered from what is settled: {why:#}");
    }
}

/// Reads in one view of the store, until the patience is over; waiting for a turn counts.
async fn read<T: Send + 'static>(
    app: &App,
    what: impl FnOnce(&Connection) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let end = Instant::now() + PATIENCE;
    app.store
        .read(move |store| {
            if Instant::now() > end {
                return Ok(Err(Refused::TooSlow));
            }
            store.progress_handler(10_000, Some(move || Instant::now() > end))?;
            let read = match store.transaction() {
                Ok(view) => what(&view),
                Err(why) => Err(why.into()),
            };
            store.progress_handler(0, None::<fn() -> bool>)?;
            Ok(read)
        })
        .await?
}
