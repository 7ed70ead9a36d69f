//! TLS by a certificate and a key in files, which are read again when they change.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::clock;
use crate::documents::time;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<CertifiedKey>>,
    /// The files' stamps before they were read: what is new in them since is not missed.
    read: Stamps,
    /// When the certificate ends, in seconds since 1970.
    expiry: Gauge,
}

/// What changes with a file: inode and time of its last change, of the certificate's and the key's.
type Stamps = [Option<(u64, i64, i64)>; 2];

impl Certificate {
    /// # Errors
    /// The files cannot be read, or are no certificate and its key.
    pub fn read(cert: &Path, key: &Path, expiry: Gauge) -> Result<Arc<Self>> {
        let read = stamps(cert, key);
        let now = load(cert, key)?;
        look_at(&now, cert, &expiry);
        Ok(Arc::new(Self {
            now: RwLock::new(now),
            cert: cert.to_owned(),
            key: key.to_owned(),
            read,
            expiry,
        }))
    }

    /// The server's side of TLS 1.2 and 1.3, HTTP/2 preferred.
    ///
    /// # Errors
    /// The crypto provider cannot do that, which is a fault in this program.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig> {
        let certificate: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Looks after the files, and takes over what is new in them. Files that cannot be used change nothing.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.read;
        let mut warned = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = stamps(&self.cert, &self.key);
            if now == seen {
                continue;
            }
            match load(&self.cert, &self.key) {
                Ok(new) => {
                    look_at(&new, &self.cert, &self.expiry);
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
                    tracing::info!(
                        "new connections get the new certificate in {}",
                        self.cert.display()
                    );
                    seen = now;
                }
                // One file may be new already and the other not yet, so it is tried again.
                Err(why) if warned != Some(now) => {
                    tracing::warn!("the certificate stays the old one: {why:#}");
                    warned = Some(now);
                }
                Err(_) => {}
            }
        }
    }
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|file| std::fs::metadata(file).ok().as_ref().map(stamp))
}

fn stamp(file: &Metadata) -> (u64, i64, i64) {
    (file.ino(), file.mtime(), file.mtime_nsec())
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&now))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn load(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(said)
        .with_context(|| format!("cannot read the certificate {}", cert.display()))?;
    if chain.is_empty() {
        bail!("there is no certificate (PEM) in {}", cert.display());
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|why| match why {
            pem::Error::NoItemsFound if is_locked(key) => anyhow::anyhow!(
                "it is locked with a passphrase: unlock it (openssl pkey -in KEY -out NEW) and let only the receiver read it"
            ),
            why => said(why),
        })
        .with_context(|| format!("cannot read the private key {}", key.display()))?;
    let both = CertifiedKey::from_der(chain, private, &provider()).with_context(|| {
        format!(
            "{} is no certificate for the key {}",
            cert.display(),
            key.display()
        )
    })?;
    Ok(Arc::new(both))
}

/// What is wrong with a PEM file, in words.
fn said(why: pem::Error) -> anyhow::Error {
    match why {
        pem::Error::MissingSectionEnd { end_marker } => anyhow::anyhow!(
            "it is cut short: the line -----END {}----- is missing",
            String::from_utf8_lossy(&end_marker)
        ),
        pem::Error::IllegalSectionStart { .. } => {
            anyhow::anyhow!("a line that begins with -----BEGIN is broken")
        }
        pem::Error::NoItemsFound => anyhow::anyhow!("there is no private key (PEM) in it"),
        pem::Error::Io(why) if why.kind() == ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{why}: let the receiver's user read it (chgrp afmetrics_receiver FILE, chmod 640 FILE, where its unit runs it)"
        ),
        pem::Error::Io(why) => why.into(),
        why => why.into(),
    }
}

/// Whether a key is locked, in one of the two ways there are.
fn is_locked(key: &Path) -> bool {
    std::fs::read(key).is_ok_and(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

/// Notes when a certificate ends, and warns of what clients will not accept.
fn look_at(both: &CertifiedKey, cert: &Path, expiry: &Gauge) {
    let Some((_, own)) = both
        .cert
        .first()
        .and_then(|der| x509_parser::parse_x509_certificate(der).ok())
    else {
        return;
    };
    let (begin, end) = (
        own.validity().not_before.timestamp(),
        own.validity().not_after.timestamp(),
    );
    expiry.set(end);
    let now = clock::now() / 1000;
    let at = |seconds: i64| time::text(seconds.saturating_mul(1000));
    let cert = cert.display();
    if now >= end {
        tracing::warn!(
            "the certificate in {cert} has expired ({}): clients will refuse it",
            at(end)
        );
    }
    if now < begin {
        tracing::warn!(
            "the certificate in {cert} is valid only from {} on",
            at(begin)
        );
    }
    if own.is_ca() {
        tracing::warn!(
            "the first certificate in {cert} is an authority's (CA:TRUE), which many clients refuse of a server: its own comes first, then the chain"
        );
    }
}
