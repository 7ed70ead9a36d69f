//! A real endpoint on loopback: TLS by an authority of its own (or none), HTTP/1.1 and HTTP/2, and
//! whatever answers a test wants. It writes down every request and counts connections.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Identity, server_config};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it was there as a whole.
    pub at: Instant,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub version: Version,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.unpacked()).unwrap()
    }

    /// The body as it was before packing, if it was packed.
    pub fn unpacked(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self.header("content-encoding") {
            Some("gzip") => {
                let mut packed = GzDecoder::new(&self.body[..]);
                packed.read_to_end(&mut body).unwrap();
                body
            }
            _ => self.body.clone(),
        }
    }

    /// The documents in it, whether they came alone or in an array.
    pub fn documents(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(documents) => documents,
            document => vec![document],
        }
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16, String),
    /// With further headers.
    With(u16, Vec<(&'static str, String)>, String),
    /// 200, but not before so long.
    After(Duration),
    /// 200, but not before the test says so.
    When(watch::Receiver<bool>),
    /// No answer; the connection stays open.
    Hang,
    /// No answer; the connection is closed.
    Cut,
    /// A good answer that breaks off with the connection after this.
    Broken(String),
}

impl Reply {
    pub fn ok() -> Self {
        Self::Status(200, "ok".to_owned())
    }
}

/// What the endpoint has seen.
#[derive(Debug, Default)]
pub struct Book {
    pub connections: usize,
    pub open: usize,
    pub most_open: usize,
    /// Requests that wait for their answer.
    pub busy: usize,
    pub most_busy: usize,
    pub requests: Vec<Received>,
}

/// How the endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    PlainHttp,
    Http1,
    Http2,
}

/// A running endpoint; it ends when this is dropped.
pub struct Endpoint {
    pub url: String,
    /// What a client has to trust (`--ca-file`).
    pub ca: NamedTempFile,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// An endpoint that takes everything.
    pub fn ok(protocol: Protocol) -> Self {
        Self::start(protocol, |_, _| Reply::ok())
    }

    /// `reply` gets the number of the request, from 0, and the request.
    pub fn start(
        protocol: Protocol,
        reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new();
        let identity = authority.sign(&["127.0.0.1", "::1", "localhost"]);
        Self::of(&authority, identity, protocol, None, reply)
    }

    /// The same with a certificate of the test's choice; `clients`: whose certificates a client
    /// must have one of.
    pub fn of(
        authority: &Authority,
        identity: Identity,
        protocol: Protocol,
        clients: Option<&Authority>,
        reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let mut ca = NamedTempFile::new().unwrap();
        ca.write_all(authority.pem.as_bytes()).unwrap();
        let (scheme, acceptor) = match protocol {
            Protocol::PlainHttp => ("http", None),
            Protocol::Http1 => (
                "https",
                Some(server_config(identity, &["http/1.1"], clients)),
            ),
            Protocol::Http2 => (
                "https",
                Some(server_config(identity, &["h2", "http/1.1"], clients)),
            ),
        };
        let acceptor = acceptor.map(TlsAcceptor::from);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            reply: Mutex::new(Box::new(reply)),
        });
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = accept(listener, acceptor, its) => {}
                    }
                });
        });
        Self {
            url: format!("{scheme}://{address}/"),
            ca,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// From now on it answers in this way.
    pub fn answers(&self, reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) {
        *self.shared.reply.lock().unwrap() = Box::new(reply);
    }

    pub fn requests(&self) -> Vec<Received> {
        self.shared.book.lock().unwrap().requests.clone()
    }

    /// Connections so far, and the most that were open at a time.
    pub fn connections(&self) -> (usize, usize) {
        let book = self.shared.book.lock().unwrap();
        (book.connections, book.most_open)
    }

    /// The most requests that waited for their answers at a time.
    pub fn most_busy(&self) -> usize {
        self.shared.book.lock().unwrap().most_busy
    }

    /// Where it listens, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        let (_, rest) = self.url.split_once("//").unwrap();
        rest.trim_end_matches('/')
    }

    /// All documents in the order in which they came.
    pub fn documents(&self) -> Vec<Value> {
        self.requests()
            .iter()
            .flat_map(Received::documents)
            .collect()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a test answers to the request of this number.
type Answer = dyn Fn(usize, &Received) -> Reply + Send + Sync;

struct Shared {
    book: Mutex<Book>,
    reply: Mutex<Box<Answer>>,
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).unwrap();
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        {
            let mut book = shared.book.lock().unwrap();
            book.connections += 1;
            book.open += 1;
            book.most_open = book.most_open.max(book.open);
        }
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, &shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
            shared.book.lock().unwrap().open -= 1;
        });
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug)]
struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut off, as the test wants it")
    }
}

impl std::error::Error for CutOff {}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: &Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { answer(request, &shared).await }
    });
    // An error is a client that went away, or a connection that the test wanted cut.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<Response<UnsyncBoxBody<Bytes, CutOff>>, CutOff> {
    let (head, body) = request.into_parts();
    let mut received = Received {
        at: Instant::now(),
        method: head.method.to_string(),
        target: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        version: head.version,
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: match body.collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(_) => return Err(CutOff),
        },
    };
    received.at = Instant::now();
    let number = {
        let mut book = shared.book.lock().unwrap();
        book.requests.push(received.clone());
        book.busy += 1;
        book.most_busy = book.most_busy.max(book.busy);
        book.requests.len() - 1
    };
    let reply = (shared.reply.lock().unwrap())(number, &received);
    let response = respond(reply).await;
    shared.book.lock().unwrap().busy -= 1;
    response
}

async fn respond(reply: Reply) -> Result<Response<UnsyncBoxBody<Bytes, CutOff>>, CutOff> {
    let (status, headers, text) = match reply {
        Reply::Status(status, text) => (status, Vec::new(), text),
        Reply::With(status, headers, text) => (status, headers, text),
        Reply::After(time) => {
            tokio::time::sleep(time).await;
            (200, Vec::new(), "ok".to_owned())
        }
        Reply::When(mut is_time) => {
            // An error: the test has ended.
            let _ = is_time.wait_for(|is_time| *is_time).await;
            (200, Vec::new(), "ok".to_owned())
        }
        Reply::Hang => {
            std::future::pending::<Infallible>().await;
            return Err(CutOff);
        }
        Reply::Cut => return Err(CutOff),
        Reply::Broken(text) => return Ok(Response::new(broken(text))),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    Ok(response.body(body.boxed_unsync()).unwrap())
}

/// A body that ends in an error, a little after its text has left.
fn broken(text: String) -> UnsyncBoxBody<Bytes, CutOff> {
    let text = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    let end = stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(CutOff)
    });
    StreamBody::new(text.chain(end)).boxed_unsync()
}
