//! `POST /`: a body becomes documents, whole or not at all, and is answered when they are stored.

pub mod body;
pub mod rate;
pub mod room;

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::config::UNFOLDED;
use crate::documents::{Answer, Documents, Fault, Form, Taking, taking::Gate};
use crate::store::ranges::Key;
use crate::store::{Kept, Received, Refusal};
use crate::tokens::Pass;
use crate::{answer, clock};
use body::{Packing, Unread};
use room::{Room, SHORT, Sender};

/// A body longer than this is read on a thread that others do not wait for.
const LONG: usize = 64 * 1024;

/// Takes a request's documents.
pub async fn take(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    // Who asks first sends nothing before it is asked for, which is when the body is read.
    let is_too_long = body.size_hint().lower() > app.now().limits.body as u64;
    let asks_first = head.headers.contains_key(header::EXPECT);
    let mut sender = None;
    let taken = stored(&app, &head.headers, &mut body, &mut sender).await;
    if let Err(refused) = &taken
        && refused.is_early()
        && (!asks_first || (refused.is_of_body() && !is_too_long))
    {
        body::linger(&mut body).await;
    }
    match taken {
        Ok(kept) => Json(json!({"stored": kept.stored, "repeated": kept.repeated})).into_response(),
        Err(refused) => {
            let said = crate::refusals::Refusal {
                why: refused.said(),
                facility: sender,
            };
            said.on(refused.into_response())
        }
    }
}

/// Why a request is not taken.
enum Refused {
    Stopping,
    ContentType(String),
    Key(&'static str),
    Token(&'static str),
    Unread(Unread),
    Fault(Fault),
    Rate(std::time::Duration),
    Store(Refusal),
}

/// Stores what the request brings; `sender` becomes the facility of its token, as soon as that is known.
async fn stored(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: &mut Body,
    sender: &mut Option<Arc<str>>,
) -> Result<Kept, Refused> {
    if app.is_stopping() {
        return Err(Refused::Stopping);
    }
    let form = form(headers)?;
    let encodings: Vec<&[u8]> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let packing = Packing::of(&encodings.join(&b", "[..])).map_err(Refused::Unread)?;
    let key = key(headers)?;
    let bearer = bearer_pass(app, headers)?;
    *sender = bearer.as_ref().map(|pass| Arc::clone(&pass.facility));
    let known = Sender {
        has_pass: bearer.is_some(),
        tokens: &app.tokens,
        now: clock::now(),
    };
    let changeable = app.now();
    let limits = &changeable.limits;
    let mut room = Room::new(&app.rooms);
    let bytes = body::read(body, packing, limits, &mut room, &known)
        .await
        .map_err(Refused::Unread)?;
    let is_long = packing != Packing::Plain || bytes.len() > LONG;
    let unpack = || body::text(bytes, packing, limits, &mut room, &known);
    let text = aside(app, is_long, unpack).await.map_err(Refused::Unread)?;
    let mut desk = Room::new(&app.desks);
    desk.wait_for(text.len() * UNFOLDED, text.len() > SHORT)
        .await
        .map_err(Refused::Unread)?;
    let now = clock::now();
    let mut passes: Vec<(Pass, usize)> = Vec::new();
    let read = || -> Result<Documents, Refused> {
        let taking = Taking {
            now,
            accept_unknown_kinds: changeable.accept_unknown_kinds,
            gate: Some(Gate {
                pass: &|token| {
                    let pass = app.tokens.pass(token, now);
                    pass.ok_or_else(|| app.tokens.why_not(token, now))
                },
                bearer,
            }),
        };
        taking
            .documents(&text, form, &mut passes)
            .map_err(Refused::Fault)
    };
    let documents = aside(app, is_long, read).await;
    if let Some((pass, _)) = passes.first() {
        *sender = Some(Arc::clone(&pass.facility));
    }
    let documents = documents?;
    drop(text);
    drop(room);
    desk.shrink(documents.weight());
    if let Some(key) = key
        && key.count as usize != documents.list.len()
    {
        return Err(Refused::Key(
            "the count in Idempotency-Key is not the number of documents in the body",
        ));
    }
    for (pass, documents) in &passes {
        app.rates
            .take(pass.token, *documents)
            .map_err(Refused::Rate)?;
        app.store.used(pass.token, now);
    }
    let received = Received {
        documents,
        key,
        now,
        // Held until the documents are out of memory.
        room: Some(Box::new(desk)),
    };
    app.store.keep(received).await.map_err(Refused::Store)
}

/// Does what takes long where nobody waits for this thread; as many at a time as there are processors.
async fn aside<T>(app: &App, is_long: bool, what: impl FnOnce() -> T) -> T {
    if !is_long {
        return what();
    }
    let _turn = app.processors.acquire().await;
    tokio::task::block_in_place(what)
}

/// How the body is written, by its content type; JSON where none is given.
fn form(headers: &HeaderMap) -> Result<Form, Refused> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Form::Json);
    };
    let given = String::from_utf8_lossy(given.as_bytes());
    let kind = given.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/json" | "text/json" => Ok(Form::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Form::Lines),
        _ => Err(Refused::ContentType(format!(
            "Content-Type {}: expected application/json or application/x-ndjson",
            crate::documents::quoted(kind)
        ))),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Key>, Refused> {
    const KEY: &str = "idempotency-key";
    if headers.get_all(KEY).iter().count() > 1 {
        return Err(Refused::Key("given twice"));
    }
    headers
        .get(KEY)
        .map(|key| {
            key.to_str()
                .map_err(|_| "not text")
                .and_then(str::parse)
                .map_err(Refused::Key)
        })
        .transpose()
}

fn bearer_pass(app: &App, headers: &HeaderMap) -> Result<Option<Pass>, Refused> {
    match bearer(headers) {
        None => Ok(None),
        Some(token) => match app.tokens.pass(token, clock::now()) {
            Some(pass) => Ok(Some(pass)),
            None => Err(Refused::Token(app.tokens.why_not(token, clock::now()))),
        },
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

impl Refused {
    /// Whether its body was asked for, at least.
    fn is_of_body(&self) -> bool {
        matches!(
            self,
            Refused::Unread(Unread::TooLarge(_) | Unread::Busy | Unread::Stranger)
        )
    }

    /// Whether its body may not be read to its end, though it would come.
    fn is_early(&self) -> bool {
        !matches!(
            self,
            Refused::Unread(Unread::Slow | Unread::Broken(_))
                | Refused::Fault(_)
                | Refused::Store(_)
        )
    }

    /// Why, for the log: nothing of the request itself, which may hold names.
    fn said(&self) -> &'static str {
        match self {
            Refused::Stopping | Refused::Store(Refusal::Stopping) => "the receiver is stopping",
            Refused::ContentType(_) => "a Content-Type that is not JSON",
            Refused::Unread(Unread::Encoding(_)) => "a Content-Encoding that is not known",
            Refused::Key(_) => "a wrong Idempotency-Key",
            Refused::Token(_) => "unknown, expired or revoked token, or a viewer's",
            Refused::Unread(Unread::TooLarge(_)) => "a body that is too large",
            Refused::Unread(Unread::Slow) => "a body that did not arrive in time",
            Refused::Unread(Unread::Broken(_)) => "a body that cannot be read",
            Refused::Unread(Unread::Busy) => "too many bodies at once",
            Refused::Unread(Unread::Stranger) => "a long body without a token that is known",
            Refused::Fault(fault) => match fault.answer {
                Answer::Malformed => "no document: not JSON, or a wrong field",
                Answer::Unauthorized => "no token, or an unknown, expired or revoked one",
                Answer::Forbidden => "a document of another facility",
                Answer::TooLarge => "a document that is too long",
                Answer::Unprocessable => "an unknown kind, or an impossible time",
            },
            Refused::Rate(_) => "more documents a second than its token may send",
            Refused::Store(Refusal::Busy) => "documents come faster than they can be stored",
            Refused::Store(Refusal::NotStored(_)) => "the store cannot be written",
        }
    }

    fn into_response(self) -> Response {
        use StatusCode as S;
        match self {
            Refused::Stopping | Refused::Store(Refusal::Stopping) => {
                answer::later(S::SERVICE_UNAVAILABLE, "the receiver is stopping", 5)
            }
            Refused::ContentType(why) | Refused::Unread(Unread::Encoding(why)) => {
                let mut response = answer::error(S::UNSUPPORTED_MEDIA_TYPE, why);
                response.headers_mut().insert(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("gzip, zstd"),
                );
                response
            }
            Refused::Key(why) => answer::error(S::BAD_REQUEST, format!("Idempotency-Key: {why}")),
            Refused::Token(why) => unauthorized(&format!("Authorization: {why}")),
            Refused::Unread(Unread::TooLarge(why)) => answer::error(S::PAYLOAD_TOO_LARGE, why),
            Refused::Unread(Unread::Slow) => {
                let mut response =
                    answer::error(S::REQUEST_TIMEOUT, "the body did not arrive in time");
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
            Refused::Unread(Unread::Broken(why)) => answer::error(S::BAD_REQUEST, why),
            Refused::Unread(Unread::Stranger) => unauthorized(
                "a body of more than 128 kB (unpacked) needs a good token in its first document or in an Authorization header",
            ),
            Refused::Unread(Unread::Busy) => {
                answer::later(S::TOO_MANY_REQUESTS, "too many bodies at once", 1)
            }
            Refused::Fault(fault) if fault.answer == Answer::Unauthorized => {
                unauthorized(&fault.to_string())
            }
            Refused::Fault(fault) => answer::error(status(fault.answer), fault.to_string()),
            Refused::Rate(wait) => answer::later(
                S::TOO_MANY_REQUESTS,
                "too many documents a second with this token",
                wait.as_secs() + 1,
            ),
            Refused::Store(Refusal::Busy) => answer::later(
                S::TOO_MANY_REQUESTS,
                "documents come faster than they can be stored",
                1,
            ),
            Refused::Store(Refusal::NotStored(why)) => answer::later(
                S::SERVICE_UNAVAILABLE,
                format!("the documents could not be stored: {why}"),
                30,
            ),
        }
    }
}

fn unauthorized(why: &str) -> Response {
    let mut response = answer::error(StatusCode::UNAUTHORIZED, why);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn status(answer: Answer) -> StatusCode {
    match answer {
        Answer::Malformed => StatusCode::BAD_REQUEST,
        Answer::Unauthorized => StatusCode::UNAUTHORIZED,
        Answer::Forbidden => StatusCode::FORBIDDEN,
        Answer::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Answer::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
