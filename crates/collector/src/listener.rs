//! What a running daemon shows to who asks at its loopback address: `/metrics` and `/healthz`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::config::{Config, Target};
use crate::daemon::Setup;
use crate::measures::Measures;
use crate::measures::own::{self, Delivered, Own};
use crate::measures::text::{self, Format};
use crate::{Ended, now};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 16;
/// For a request's first lines.
const FOR_HEADERS: Duration = Duration::from_secs(5);
/// For a whole connection.
const LONGEST: Duration = Duration::from_secs(30);
/// A daemon that has ended no round for so many intervals is not healthy.
const TOO_LATE: u32 = 3;

/// What there is to be shown.
pub struct Shown {
    interval: Duration,
    /// When the last round ended, or the daemon began.
    since: SystemTime,
    /// The facility.
    cluster: String,
    own: Own,
    /// Of the last round.
    measures: Measures,
}

impl Shown {
    /// `since`: when the daemon began.
    pub fn new(since: SystemTime, setup: &Setup) -> Self {
        let began = Timestamp::try_from(since).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut shown = Self {
            interval: setup.interval,
            since,
            cluster: String::new(),
            own: Own::new(began),
            measures: Measures::default(),
        };
        shown.set_up(setup);
        shown
    }

    /// The configuration is another.
    pub fn set_up(&mut self, setup: &Setup) {
        self.interval = setup.interval;
        // Under the names that were.
        self.measures = Measures::default();
        self.cluster.clone_from(&setup.config.cluster);
        let endpoints = match &setup.config.target {
            Target::Endpoints(endpoints) => endpoints.as_slice(),
            Target::Files | Target::Print => &[],
        };
        self.own
            .keep(|name| endpoints.iter().any(|endpoint| endpoint.name == name));
        for endpoint in endpoints {
            // Their counters begin at 0.
            self.own.delivered(&endpoint.name, Delivered::default());
        }
    }

    /// Notes what came of a round that ended at that time.
    pub fn note(&mut self, ended: &Ended, config: &Config, at: SystemTime) {
        match &ended.numbers {
            Some(numbers) => {
                self.since = at;
                numbers.tell(&mut self.own);
                self.measures = numbers.local(config).cloned().unwrap_or_default();
            }
            // What was is no news, and no round is no health.
            None => {
                self.own.no_round();
                self.measures = Measures::default();
            }
        }
    }

    fn metrics(&self, accept: Option<&str>) -> (Format, String) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut samples = self.own.samples(&self.cluster, own::resident(&status));
        samples.extend(self.measures.samples(&self.cluster));
        let format = Format::accepted(accept);
        (format, text::encode(&samples, format))
    }

    fn health(&self) -> (StatusCode, String) {
        let silent = now().duration_since(self.since).unwrap_or_default();
        match silent > self.interval * TOO_LATE {
            false => (StatusCode::OK, "ok\n".to_owned()),
            true => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("no round has ended for {} s\n", silent.as_secs()),
            ),
        }
    }
}

/// Whether an address may be listened at. An error is one of usage.
pub fn check(address: SocketAddr) -> Result<()> {
    if !address.ip().is_loopback() {
        bail!(
            "--listen {address}: that is no loopback address, and there is neither TLS nor a password: use 127.0.0.1, or --textfile with node_exporter"
        );
    }
    Ok(())
}

/// Listens at an address until the task is ended.
pub async fn open(address: SocketAddr, shown: Rc<RefCell<Shown>>) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address} (--listen)"))?;
    Ok(spawn_local(accept(listener, shown)))
}

async fn accept(listener: TcpListener, shown: Rc<RefCell<Shown>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of files, most likely: it may be over soon.
            Err(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let shown = Rc::clone(&shown);
        spawn_local(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &shown.borrow());
                async { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(FOR_HEADERS)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Who asks badly, or goes away, is nothing to write about.
            let _ = timeout(LONGEST, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    let text = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return response(
            StatusCode::METHOD_NOT_ALLOWED,
            text,
            "only GET\n".to_owned(),
        );
    }
    match request.uri().path() {
        "/healthz" => {
            let (status, said) = shown.health();
            response(status, text, said)
        }
        "/metrics" => {
            let accept = request.headers().get(ACCEPT);
            let (format, body) = shown.metrics(accept.and_then(|value| value.to_str().ok()));
            response(StatusCode::OK, format.content_type(), body)
        }
        "/" => response(StatusCode::OK, text, "/metrics\n/healthz\n".to_owned()),
        _ => response(
            StatusCode::NOT_FOUND,
            text,
            "there are /metrics and /healthz\n".to_owned(),
        ),
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
