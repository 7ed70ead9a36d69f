//! An HTTPS endpoint on loopback that takes everything and counts it.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

/// A running endpoint. It runs until the process ends.
pub struct Drain {
    pub url: String,
    /// For `--ca-file`.
    pub ca: NamedTempFile,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// What came since the last time that somebody asked.
#[derive(Debug)]
pub struct Seen {
    pub connections: u64,
    pub requests: u64,
    pub bytes: u64,
}

impl Drain {
    /// `alpn`: the protocols that it offers.
    pub fn start(alpn: &[&str]) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let mut ca = NamedTempFile::new()?;
        ca.write_all(made.cert.pem().as_bytes())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        listener.set_nonblocking(true)?;
        let url = format!("https://{}/", listener.local_addr()?);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || serve(listener, &acceptor, &shared));
        Ok(Self { url, ca, counts })
    }

    pub fn seen(&self) -> Seen {
        Seen {
            connections: self.counts.connections.swap(0, Ordering::Relaxed),
            requests: self.counts.requests.swap(0, Ordering::Relaxed),
            bytes: self.counts.bytes.swap(0, Ordering::Relaxed),
        }
    }
}

fn serve(listener: TcpListener, acceptor: &TlsAcceptor, counts: &Arc<Counts>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs nothing but memory");
    runtime.block_on(async {
        let listener =
            tokio::net::TcpListener::from_std(listener).expect("it was made non-blocking");
        while let Ok((stream, _)) = listener.accept().await {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            let (acceptor, counts) = (acceptor.clone(), Arc::clone(counts));
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| take(request, Arc::clone(&counts)));
                // An error is a client that went away.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

async fn take(
    request: Request<Incoming>,
    counts: Arc<Counts>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while !body.is_end_stream() {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        if let Some(chunk) = frame.data_ref() {
            counts
                .bytes
                .fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    }
    counts.requests.fetch_add(1, Ordering::Relaxed);
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}
