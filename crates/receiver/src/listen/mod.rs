//! Connections: accepted within bounds, over TLS or not, each served HTTP/1.1 or HTTP/2.

pub mod tls;
mod work;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use work::Work;

/// A request's head has to come within this, counted from the end of the last request.
const HEAD: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request's head, in bytes. Clients of ours send some hundreds.
const LONGEST_HEAD: u32 = 16 * 1024;
/// What the kernel holds of an answer that its reader has not taken, in bytes: few, so that it is seen
/// whether he takes anything.
const UNREAD: u32 = 512 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long connections may last.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at a time.
    pub most: usize,
    /// One on which nothing moves for so long is closed.
    pub idle: Duration,
    /// Requests that are in work at the end get so long.
    pub farewell: Duration,
    /// And connections without one, which may be in the middle of sending one.
    pub unfinished: Duration,
}

impl Bounds {
    pub fn of(most: usize) -> Self {
        Self {
            most,
            idle: Duration::from_secs(75),
            farewell: Duration::from_secs(10),
            unfinished: Duration::from_secs(3),
        }
    }
}

/// What is counted of connections.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Open now.
    pub open: Gauge,
    /// Ended before TLS was agreed on.
    pub no_tls: Counter,
}

/// Listens on an address.
///
/// # Errors
/// It cannot be listened on.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        // Connections inherit it.
        socket.set_send_buffer_size(UNREAD)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|why| {
        let advice = advice(&why);
        anyhow::anyhow!("cannot listen on {address}: {why}{advice}")
    })
}

/// What to do where an address cannot be had.
fn advice(why: &std::io::Error) -> &'static str {
    const NO_SUCH_FAMILY: Option<i32> = Some(nix::errno::Errno::EAFNOSUPPORT as i32);
    match why.kind() {
        ErrorKind::AddrInUse => {
            ". Another program listens there (`ss -ltnp` names it): stop it, or choose another port"
        }
        ErrorKind::AddrNotAvailable => {
            ". It is no address of this machine, or IPv6 is off: 0.0.0.0 stands for all of IPv4"
        }
        ErrorKind::PermissionDenied => ". Ports below 1024 are root's: choose one above",
        _ if why.raw_os_error() == NO_SUCH_FAMILY => {
            ". IPv6 is off: 0.0.0.0 stands for all of IPv4"
        }
        _ => "",
    }
}

/// What requests are answered with.
pub trait Answers: Clone + Send + Sync + 'static {
    /// `peer`: who asks.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send + use<Self>;
}

impl Answers for Router {
    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = TowerToHyperService::new(self.clone()).call(request);
        async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        }
    }
}

/// Serves connections until `stop` says so, and then those that are in work to their end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answers: impl Answers,
    counted: Counted,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(bounds.most));
    let mut told: Option<Instant> = None;
    let mut stopping = stop.clone();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                counted.open.inc();
                let serving = Serving {
                    answers: answers.clone(),
                    counted: counted.clone(),
                    peer,
                    bounds,
                    stop: stop.clone(),
                    _place: place,
                };
                tokio::spawn(serving.connection(stream, tls.clone()));
            }
            (_, Err(why)) if is_of_one(why.kind()) => {
                tracing::debug!("a connection was gone before it was accepted: {why}");
            }
            (_, Err(why)) => {
                // Out of file descriptors, most likely; it does not pass by asking at once.
                if told.is_none_or(|told| told.elapsed() > Duration::from_secs(60)) {
                    tracing::error!("cannot accept connections: {why}");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let all = u32::try_from(bounds.most).unwrap_or(u32::MAX);
    // All places are free when all connections have ended.
    let ended = timeout(bounds.farewell, places.acquire_many(all)).await;
    if ended.is_err() {
        tracing::warn!(
            "some connections did not end within {} s",
            bounds.farewell.as_secs()
        );
    }
}

/// Whether an error is of the connection that was to be accepted; the next may be well.
fn is_of_one(kind: ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        kind,
        E::ConnectionAborted
            | E::ConnectionReset
            | E::ConnectionRefused
            | E::Interrupted
            | E::WouldBlock
            | E::TimedOut
            | E::HostUnreachable
            | E::NetworkUnreachable
            | E::NetworkDown
    )
}

/// An open connection.
struct Serving<A> {
    answers: A,
    counted: Counted,
    peer: SocketAddr,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl<A> Drop for Serving<A> {
    fn drop(&mut self) {
        self.counted.open.dec();
    }
}

impl<A: Answers> Serving<A> {
    async fn connection(mut self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.bounds.idle));
        let stream = Box::pin(stream);
        let Some(tls) = tls else {
            return self.requests(stream).await;
        };
        let agreed = tokio::select! {
            agreed = timeout(HANDSHAKE, tls.accept(stream)) => agreed,
            // Nothing was accepted on it yet.
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        match agreed {
            Ok(Ok(stream)) => return self.requests(stream).await,
            Ok(Err(why)) => tracing::debug!("{}: no TLS: {why}", self.peer),
            Err(_) => tracing::debug!("{}: no TLS within {} s", self.peer, HANDSHAKE.as_secs()),
        }
        self.counted.no_tls.inc();
    }

    async fn requests(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let work = Work::new();
        let service = {
            let (answers, peer, work) = (self.answers.clone(), self.peer, work.clone());
            hyper::service::service_fn(move |request| {
                let asked = work.begin();
                let answer = answers.answer(request, peer);
                async move {
                    let answer = answer.await.map(|body| asked.answer(body));
                    Ok::<_, Infallible>(answer)
                }
            })
        };
        let server = protocols();
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
        let ended = loop {
            let idle = work.still_since().map(|since| since + self.bounds.idle);
            // Where it waits for us, it is looked at again when we have certainly answered something.
            let look = idle.unwrap_or_else(|| Instant::now() + self.bounds.idle);
            tokio::select! {
                ended = connection.as_mut() => break ended,
                _ = self.stop.wait_for(|stop| *stop) => {}
                () = sleep_until(look) => {
                    let is_idle = work.still_since().is_some_and(|since| since.elapsed() >= self.bounds.idle);
                    if !is_idle {
                        continue;
                    }
                }
            }
            connection.as_mut().graceful_shutdown();
            // An answer that is not taken is not waited for again.
            let is_stopping = *self.stop.borrow();
            let whole = Instant::now() + self.bounds.farewell;
            let short = Instant::now() + self.bounds.unfinished;
            match timeout_at(short, connection.as_mut()).await {
                Ok(ended) => break ended,
                Err(_) if is_stopping && work.is_any() => {
                    match timeout_at(whole, connection.as_mut()).await {
                        Ok(ended) => break ended,
                        Err(_) => return,
                    }
                }
                Err(_) => return,
            }
        };
        if let Err(why) = ended {
            tracing::debug!("{}: {why}", self.peer);
        }
    }
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        // Head and body of a short answer in one piece: to send that is less work than to send two.
        .writev(false)
        .max_buf_size(LONGEST_HEAD as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(LONGEST_HEAD)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    server
}
