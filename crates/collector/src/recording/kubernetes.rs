//! Requests to the Kubernetes API and their answers: taken down above all credentials, and answered from there.

use std::future::pending;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use reqwest::Url;
use tower::{BoxError, Service};

use super::recorder::{Answer, Exchange, Recorder};
use super::{Recording, opening};
use crate::error::CollectError;

/// A client whose requests are taken down.
pub fn recorded<S, B>(builder: ClientBuilder<S>, recorder: &Arc<Recorder>) -> Client
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let layer = tower::layer::layer_fn(|inner| Taken {
        inner,
        recorder: Arc::clone(recorder),
    });
    builder.with_layer(&layer).build()
}

/// A client whose answers are those of a recording.
pub fn answering(recording: &Arc<Recording>) -> Client {
    let recording = Arc::clone(recording);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (path, parameters) = taken_apart(&request);
        let answer = recording.answer(request.method().as_str(), &path, &parameters);
        async move {
            match answer {
                Answer::Silence => pending().await,
                Answer::Failed(why) => Err(BoxError::from(why)),
                Answer::Status(status, body) => {
                    Ok(Response::builder().status(status).body(Body::from(body))?)
                }
            }
        }
    });
    Client::new(service, "default")
}

fn taken_apart(request: &Request<Body>) -> (String, Vec<(String, String)>) {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let parameters = Url::parse(&format!("http://localhost/?{query}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    (uri.path().to_owned(), parameters)
}

/// A service whose requests and answers are taken down.
struct Taken<S> {
    inner: S,
    recorder: Arc<Recorder>,
}

impl<S, B> Service<Request<Body>> for Taken<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (path, parameters) = taken_apart(&request);
        let recorder = Arc::clone(&self.recorder);
        let number = recorder.asked(Exchange {
            method: request.method().to_string(),
            path,
            parameters,
            answer: Answer::Silence,
        });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = whole(answer).await;
            recorder.answered(
                number,
                match &answer {
                    Ok((head, body)) => Answer::Status(head.status.as_u16(), body.to_vec()),
                    Err(why) => Answer::Failed(crate::quote::chain(&**why)),
                },
            );
            let (head, body) = answer?;
            Ok(Response::from_parts(head, Body::from(body)))
        })
    }
}

async fn whole<B>(
    answer: impl Future<Output = Result<Response<B>, BoxError>>,
) -> Result<(http::response::Parts, Bytes), BoxError>
where
    B: BodyExt<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = answer.await?.into_parts();
    let body = body.collect().await.map_err(Into::into)?;
    Ok((head, body.to_bytes()))
}

impl Exchange {
    /// The request, as it is written down.
    pub(super) fn request(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.path);
        for (name, value) in &self.parameters {
            text.push_str(&format!("{name}={value}\n"));
        }
        text
    }

    fn parse(request: &str, answer: &[u8]) -> Option<Self> {
        let mut lines = request.lines();
        let (method, path) = lines.next()?.split_once(' ')?;
        let parameters = lines.map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            parameters: parameters.collect::<Option<_>>()?,
            answer: Answer::parse(answer)?,
        })
    }
}

const SILENCE: &str = "no answer";
const FAILED: &str = "failed: ";

impl Answer {
    /// What stands before the body.
    pub(super) fn head(&self) -> String {
        match self {
            Self::Silence => format!("{SILENCE}\n"),
            Self::Failed(_) => FAILED.to_owned(),
            Self::Status(status, _) => format!("{status}\n"),
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        match self {
            Self::Silence => b"",
            Self::Failed(why) => why.as_bytes(),
            Self::Status(_, body) => body,
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        if let Some(why) = text.strip_prefix(FAILED.as_bytes()) {
            return Some(Self::Failed(String::from_utf8_lossy(why).into_owned()));
        }
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&text[..end]).ok()?;
        match head {
            SILENCE => Some(Self::Silence),
            status => {
                let status = status
                    .parse()
                    .ok()
                    .filter(|status| (100..600).contains(status))?;
                Some(Self::Status(status, text[end + 1..].to_vec()))
            }
        }
    }
}

/// The file that says why there is no client.
pub(super) const NO_CLIENT: &str = "why-not";

/// Makes an error of its text.
type Error = fn(String) -> CollectError;

const KINDS: [(&str, Error); 4] = [
    ("not here: ", CollectError::NotHere),
    ("failed: ", CollectError::Failed),
    ("timed out: ", CollectError::TimedOut),
    ("malformed: ", CollectError::Malformed),
];

/// What stands before an error where it is written down.
pub(super) fn kind(why: &CollectError) -> &'static str {
    match why {
        CollectError::NotHere(_) | CollectError::Misnamed(_) => KINDS[0].0,
        CollectError::Failed(_) => KINDS[1].0,
        CollectError::TimedOut(_) => KINDS[2].0,
        CollectError::Malformed(_) => KINDS[3].0,
    }
}

fn error_of(text: &str) -> Option<CollectError> {
    KINDS.iter().find_map(|(kind, error)| {
        let why = text.trim_end().strip_prefix(kind)?;
        Some(error(why.to_owned()))
    })
}

/// The exchanges in a folder in their order, and why there was no client.
pub(super) fn load(folder: &Path) -> Result<(Vec<Exchange>, Option<CollectError>)> {
    let there = |path: &Path| match opening::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found
            .map(Some)
            .with_context(|| format!("cannot read {}", path.display())),
    };
    let bad = |path: &Path| format!("{} says nothing that `record` writes", path.display());
    let path = folder.join(NO_CLIENT);
    let no_client = match there(&path)? {
        None => None,
        Some(text) => {
            let text = String::from_utf8_lossy(&text);
            Some(error_of(&text).with_context(|| bad(&path))?)
        }
    };
    let mut exchanges = Vec::new();
    for number in 1.. {
        let path = folder.join(format!("{number}.request"));
        let Some(request) = there(&path)? else {
            break;
        };
        let answer = there(&path.with_extension("answer"))?.unwrap_or_default();
        let exchange = Exchange::parse(&String::from_utf8_lossy(&request), &answer);
        exchanges.push(exchange.with_context(|| bad(&path))?);
    }
    Ok((exchanges, no_client))
}
