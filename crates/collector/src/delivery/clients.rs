//! HTTPS clients for one endpoint. Over HTTP/2 one client, and so one connection, carries all
//! requests. Over HTTP/1.1 each request in flight has a client of its own, and so at most one
//! connection: a single client that is asked for 16 requests at a time may open more than 16, as a
//! request that waits for its connection takes one that has become free and leaves its own behind.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, ClientBuilder};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::config::EndpointConfig;

const CONNECT: Duration = Duration::from_secs(10);

pub struct Clients {
    shared: Client,
    /// What further clients are made from: the same TLS set-up, and so the same session tickets.
    tls: ClientConfig,
    patience: Duration,
    /// Clients whose connection, if they have one yet, waits for a request.
    idle: RefCell<Vec<Client>>,
}

impl Clients {
    /// An error is one of configuration.
    pub fn new(config: &EndpointConfig) -> Result<Self> {
        let tls = tls(config)?;
        let shared = builder(&tls, config.patience)
            .build()
            .context("cannot set up HTTPS")?;
        Ok(Self {
            idle: RefCell::new(vec![shared.clone()]),
            shared,
            tls,
            patience: config.patience,
        })
    }

    /// The client for any number of requests at a time (HTTP/2).
    pub fn shared(&self) -> Client {
        self.shared.clone()
    }

    /// A client for one request at a time (HTTP/1.1), to be given back when it has answered.
    pub fn take(&self) -> Result<Client, reqwest::Error> {
        match self.idle.borrow_mut().pop() {
            Some(client) => Ok(client),
            None => builder(&self.tls, self.patience).build(),
        }
    }

    /// Gives a client back, once its answer has been read to the end.
    pub fn give_back(&self, client: Client) {
        self.idle.borrow_mut().push(client);
    }

    /// Within what time a connection has to be there.
    pub fn connect_within(patience: Duration) -> Duration {
        CONNECT.min(patience)
    }
}

fn builder(tls: &ClientConfig, patience: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("afmetrics_collector/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Clients::connect_within(patience))
        .timeout(patience)
        // The token would go with it.
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls.clone())
        .tcp_nodelay(true)
}

/// TLS that trusts the system's authorities and those of `--ca-file`.
fn tls(config: &EndpointConfig) -> Result<ClientConfig> {
    tls_judged_by(config, |verifier| verifier)
}

/// The same; `judge` may have a look at what the verifier judges.
pub fn tls_judged_by(
    config: &EndpointConfig,
    judge: impl FnOnce(Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let further = further_authorities(config)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("cannot set up HTTPS")?;
    let mut tls = if config.url.scheme() == "https" {
        let verifier =
            Verifier::new_with_extra_roots(further, provider).with_context(|| match &config.ca {
                Some((path, _)) => format!("cannot use --ca-file {}", path.display()),
                None => "no certificate authority to trust: install the system's (ca-certificates) or give --ca-file".to_owned(),
            })?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(judge(Arc::new(verifier)))
            .with_no_client_auth()
    } else {
        // Nobody to verify: reading the system's authorities would cost more than the round.
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn further_authorities(config: &EndpointConfig) -> Result<Vec<CertificateDer<'static>>> {
    let Some((path, pem)) = &config.ca else {
        return Ok(Vec::new());
    };
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => bail!(
            "--ca-file {} holds no certificate in PEM form",
            path.display()
        ),
    }
}
