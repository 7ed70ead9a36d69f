//! TLS by a certificate and a key in files, which are read again when they change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// # Errors
    /// The files cannot be read, or are no certificate and its key.
    pub fn read(cert: &Path, key: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            now: RwLock::new(load(cert, key)?),
            cert: cert.to_owned(),
            key: key.to_owned(),
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
        let mut seen = self.stamps();
        let mut warned = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamps();
            if now == seen {
                continue;
            }
            match load(&self.cert, &self.key) {
                Ok(new) => {
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

    /// What changes with the files.
    fn stamps(&self) -> [Option<(u64, i64, i64)>; 2] {
        [&self.cert, &self.key].map(|file| std::fs::metadata(file).ok().as_ref().map(stamp))
    }
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
        .with_context(|| format!("cannot read the certificate {}", cert.display()))?;
    if chain.is_empty() {
        bail!("there is no certificate (PEM) in {}", cert.display());
    }
    let private = PrivateKeyDer::from_pem_file(key)
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
