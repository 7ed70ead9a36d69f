//! The demo's folder: store, state of the collector, certificate, tokens. Nobody else may look into it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub struct Folder {
    folder: TempDir,
    is_kept: bool,
}

impl Folder {
    pub fn new(is_kept: bool) -> Result<Self> {
        let mut folder = tempfile::Builder::new()
            .prefix("afmetrics-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        folder.disable_cleanup(is_kept);
        Ok(Self { folder, is_kept })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// The collector's own.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub fn ca(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.path().join("receiver.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.path().join("receiver.key")
    }

    pub fn sender_token(&self) -> PathBuf {
        self.path().join("sender-token")
    }

    pub fn viewer_token(&self) -> PathBuf {
        self.path().join("viewer-token")
    }

    /// The viewer's token as curl reads it: `-H @FILE`.
    pub fn viewer_header(&self) -> PathBuf {
        self.path().join("viewer-header")
    }

    pub fn keep_sender_token(&self, sender: &str) -> Result<()> {
        private(&self.sender_token(), sender)
    }

    pub fn keep_viewer_token(&self, viewer: &str) -> Result<()> {
        private(&self.viewer_token(), viewer)?;
        private(
            &self.viewer_header(),
            &format!("Authorization: Bearer {viewer}\n"),
        )
    }

    /// An authority of this demo's own, and a certificate for loopback.
    pub fn make_certificate(&self) -> Result<()> {
        let ca_key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "afmetrics demo, of no use elsewhere");
        let ca = params.self_signed(&ca_key)?;
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        private(&self.ca(), &ca.pem())?;
        private(&self.certificate(), &certificate.pem())?;
        private(&self.key(), &key.serialize_pem())
    }

    pub fn say_whether_it_stays(&self) {
        if self.is_kept {
            println!("kept: {}", self.path().display());
        }
    }
}

fn private(path: &Path, text: &str) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
