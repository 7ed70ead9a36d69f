//! Connections: accepted within bounds, over TLS or not, each served HTTP/1.1 or HTTP/2.

pub mod tls;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(75);
/// A request's head has to come within this, counted from the end of the last request.
const HEAD: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests that are in work at the end get so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// Serves connections until `stop` says so, and then those that are in work to their end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    open: Gauge,
    most: usize,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(most));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                let serving = Serving {
                    routes: routes.clone(),
                    open: Open::new(&open),
                    peer,
                    watcher: graceful.watcher(),
                    place,
                };
                tokio::spawn(serving.connection(stream, tls.clone()));
            }
            (_, Err(why)) => {
                // Out of file descriptors, most likely; it does not pass by asking at once.
                tracing::error!("cannot accept connections: {why}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "some connections did not end within {} s",
            FAREWELL.as_secs()
        );
    }
}

/// An open connection, counted as long as it is.
struct Open(Gauge);

impl Open {
    fn new(open: &Gauge) -> Self {
        open.inc();
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Serving {
    routes: Router,
    open: Open,
    peer: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
    place: OwnedSemaphorePermit,
}

impl Serving {
    async fn connection(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(IDLE));
        stream.set_write_timeout(Some(IDLE));
        let stream = Box::pin(stream);
        match tls {
            None => self.requests(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.requests(stream).await,
                Ok(Err(why)) => tracing::debug!("{}: no TLS: {why}", self.peer),
                Err(_) => tracing::debug!("{}: no TLS within {} s", self.peer, HANDSHAKE.as_secs()),
            },
        }
    }

    async fn requests(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            routes,
            open: _open,
            peer,
            watcher,
            place,
        } = self;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            hyper::service::Service::call(&TowerToHyperService::new(routes.clone()), request)
        });
        let mut server = auto::Builder::new(TokioExecutor::new());
        server
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(64 * 1024);
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_header_list_size(16 * 1024)
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        let connection = server.serve_connection(TokioIo::new(stream), service);
        if let Err(why) = pin!(watcher.watch(connection)).await {
            tracing::debug!("{peer}: {why}");
        }
        drop(place);
    }
}
