//! An endpoint that keeps a book by document and by `Idempotency-Key`, and does with each request what a
//! test tells it to. Over plain HTTP, or TLS with HTTP/1.1 and HTTP/2 in turn, at one address: what waits
//! in a spool is bound to that.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, server_config};

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Accept,
    /// Not taken, and answered so; a `Retry-After`, if any.
    Refuse(u16, Option<&'static str>),
    /// Not taken, and never answered.
    Hang,
    /// Not taken, and the stream is reset.
    Reset,
    /// Taken, and then one of these.
    AcceptAnd(Lie),
}

/// How the answer to what was taken goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Hang,
    Reset,
    Say(u16),
    /// 200, and a reset in the middle of the answer's body.
    BreakOff,
}

/// What the judge of a request sees.
#[derive(Debug)]
pub struct Asked<'a> {
    pub documents: &'a [Value],
}

/// A document as it was taken, without its text.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The number of the request that brought it, in the order of requests that were taken.
    pub request: usize,
    pub at: SystemTime,
    /// Batch id and index.
    pub key: (String, u64),
    pub token: String,
    pub is_late: bool,
}

#[derive(Debug, Default)]
pub struct Book {
    /// By the document's own id, each time that it was taken.
    pub documents: BTreeMap<String, Vec<Taken>>,
    /// By batch and index: the id of the document.
    pub keys: HashMap<(String, u64), String>,
    /// Of each request that was taken: the token, and whether its answer was to be lost.
    pub requests: Vec<(String, bool)>,
    /// Requests that came, whatever became of them.
    pub asked: usize,
    /// What must not be.
    pub wrong: Vec<String>,
    pub open: usize,
}

impl Book {
    fn take(&mut self, documents: &[Value], key: Option<&str>, token: &str, is_lost: bool) {
        let request = self.requests.len();
        self.requests.push((token.to_owned(), is_lost));
        let Some((batch, first, count)) = key.and_then(parsed) else {
            self.wrong.push(format!("a key {key:?}"));
            return;
        };
        if count != documents.len() as u64 {
            self.wrong
                .push(format!("{count} in the key, {} came", documents.len()));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a test compares it with strace's"
        )]
        let at = SystemTime::now();
        for (index, document) in (first..).zip(documents) {
            let id = document["Id"].as_str().unwrap_or("").to_owned();
            let key = (batch.to_owned(), index);
            let known = self.keys.entry(key.clone()).or_insert_with(|| id.clone());
            if *known != id {
                self.wrong.push(format!("{key:?} is {known} and {id}"));
            }
            self.documents.entry(id).or_default().push(Taken {
                request,
                at,
                key,
                token: token.to_owned(),
                is_late: document.get("timestamp").is_some(),
            });
        }
    }
}

fn parsed(key: &str) -> Option<(&str, u64, u64)> {
    let (batch, rest) = key.split_once('/')?;
    let (first, count) = rest.split_once('-')?;
    Some((batch, first.parse().ok()?, count.parse().ok()?))
}

/// How it speaks from the next connection on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Connections are reset before a byte is heard.
    Shut,
    Http1,
    Http2,
}

type Judge = dyn FnMut(&Asked) -> Deed + Send;
type Acceptors = Option<(TlsAcceptor, TlsAcceptor)>;

struct Shared {
    book: Mutex<Book>,
    judge: Mutex<Box<Judge>>,
    door: Mutex<Box<dyn FnMut() -> Door + Send>>,
}

/// It ends when this is dropped.
pub struct Ledger {
    pub url: String,
    /// What a client has to trust (`--ca-file`).
    pub ca: NamedTempFile,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    pub fn start(with_tls: bool) -> Self {
        let authority = Authority::new();
        let mut ca = NamedTempFile::new().unwrap();
        ca.write_all(authority.pem.as_bytes()).unwrap();
        let acceptor = |alpn: &[&str]| {
            TlsAcceptor::from(server_config(authority.sign(&["127.0.0.1"]), alpn, None))
        };
        let acceptors = with_tls.then(|| (acceptor(&["http/1.1"]), acceptor(&["h2", "http/1.1"])));
        let scheme = if with_tls { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            judge: Mutex::new(Box::new(|_| Deed::Accept)),
            door: Mutex::new(Box::new(|| Door::Http1)),
        });
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = accept(listener, acceptors, for_thread) => {}
                    }
                });
        });
        Self {
            url,
            ca,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn judge(&self, judge: impl FnMut(&Asked) -> Deed + Send + 'static) {
        *self.shared.judge.lock().unwrap() = Box::new(judge);
    }

    /// Asked at each connection.
    pub fn door(&self, door: impl FnMut() -> Door + Send + 'static) {
        *self.shared.door.lock().unwrap() = Box::new(door);
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, acceptors: Acceptors, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let door = (shared.door.lock().unwrap())();
        if door == Door::Shut {
            // Ends it by a reset, not by a farewell.
            let _ = stream.set_zero_linger();
            continue;
        }
        let _ = stream.set_nodelay(true);
        let (acceptors, shared) = (acceptors.clone(), Arc::clone(&shared));
        shared.book.lock().unwrap().open += 1;
        tokio::spawn(async move {
            match acceptors {
                None => serve(stream, &shared).await,
                Some((http1, http2)) => {
                    let acceptor = if door == Door::Http2 { http2 } else { http1 };
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
            shared.book.lock().unwrap().open -= 1;
        });
    }
}

/// Why there is no answer, or not all of it.
#[derive(Debug)]
struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut off, as the test wants it")
    }
}

impl std::error::Error for CutOff {}

type Answer = Result<Response<UnsyncBoxBody<Bytes, CutOff>>, CutOff>;

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: &Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { answer(request, &shared).await }
    });
    // An error is a client that was killed, or an answer that was to be cut.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Answer {
    let (head, body) = request.into_parts();
    // Half a request is none.
    let body = body.collect().await.map_err(|_| CutOff)?.to_bytes();
    let documents = match serde_json::from_slice(&body) {
        Ok(Value::Array(documents)) => documents,
        Ok(document) => vec![document],
        Err(why) => {
            shared.book.lock().unwrap().wrong.push(why.to_string());
            return Err(CutOff);
        }
    };
    let token = documents
        .first()
        .and_then(|document| document["token"].as_str())
        .unwrap_or_default();
    let deed = (shared.judge.lock().unwrap())(&Asked {
        documents: &documents,
    });
    {
        let mut book = shared.book.lock().unwrap();
        book.asked += 1;
        if matches!(deed, Deed::Accept | Deed::AcceptAnd(_)) {
            let key = head.headers.get("idempotency-key");
            let key = key.and_then(|key| key.to_str().ok());
            // Its status leaves in full: an answer that breaks off behind it is one.
            let is_lost = !matches!(deed, Deed::Accept);
            book.take(&documents, key, token, is_lost);
        }
    }
    match deed {
        Deed::Accept => Ok(text(200, None)),
        Deed::Refuse(status, after) => Ok(text(status, after)),
        Deed::AcceptAnd(Lie::Say(status)) => Ok(text(status, None)),
        Deed::Reset | Deed::AcceptAnd(Lie::Reset) => Err(CutOff),
        Deed::AcceptAnd(Lie::BreakOff) => Ok(Response::new(broken())),
        Deed::Hang | Deed::AcceptAnd(Lie::Hang) => {
            std::future::pending::<Infallible>().await;
            Err(CutOff)
        }
    }
}

fn text(status: u16, retry_after: Option<&str>) -> Response<UnsyncBoxBody<Bytes, CutOff>> {
    let mut response = Response::builder().status(status);
    if let Some(after) = retry_after {
        response = response.header("retry-after", after);
    }
    let body = Full::new(Bytes::from_static(b"so it is")).map_err(|never| match never {});
    response.body(body.boxed_unsync()).unwrap()
}

fn broken() -> UnsyncBoxBody<Bytes, CutOff> {
    let begin = stream::iter([Ok(Frame::data(Bytes::from_static(b"so it")))]);
    let end = stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(CutOff)
    });
    StreamBody::new(begin.chain(end)).boxed_unsync()
}
