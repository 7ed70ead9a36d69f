//! What the flags and the environment come to.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::cli::{Place, Serve, Wrong};

/// The store's folder where nobody says another.
const FOLDER: &str = "/var/lib/afmetrics_receiver";

/// The store's folder: by flag or variable, of the systemd unit, or the default.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn folder(place: &Place) -> PathBuf {
    let of_unit = || {
        std::env::var_os("STATE_DIRECTORY")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
    };
    place
        .store
        .clone()
        .or_else(of_unit)
        .unwrap_or_else(|| FOLDER.into())
}

/// How many times its length a body takes when it has become documents: short ones take the most.
pub const UNFOLDED: usize = 7;

/// How much is worked on at a time: by the processors, of which few are enough.
pub fn processors() -> usize {
    const ENOUGH: usize = 8;
    std::thread::available_parallelism().map_or(1, |all| all.get().min(ENOUGH))
}

/// What bounds a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body, packed and unpacked.
    pub body: usize,
    /// Bytes of all short bodies that come in.
    pub short: usize,
    /// Bytes of all long bodies that come in.
    pub bodies: usize,
    /// Bytes of all documents that are made of long bodies and are not stored yet.
    pub documents: usize,
    /// For a body to arrive, and a second more for each 16 kB of it.
    pub patience: Duration,
    /// Documents a second with each token; 0: no limit.
    pub rate: u32,
}

impl Limits {
    pub fn of(serve: &Serve) -> Self {
        Self {
            body: 16 * 1024 * 1024,
            short: 12 * 1024 * 1024,
            bodies: 48 * 1024 * 1024,
            // The longest body finds room, whatever is in it.
            documents: 16 * 1024 * 1024 * UNFOLDED,
            patience: Duration::from_secs(serve.request_timeout.into()),
            rate: serve.rate_limit,
        }
    }
}

/// Refuses what would put tokens on a network in clear.
///
/// # Errors
/// Says which flags are missing.
pub fn check(serve: &Serve) -> Result<()> {
    let is_plain = serve.tls_cert.is_none();
    if is_plain && !serve.listen.ip().is_loopback() && !serve.insecure_http {
        return Err(Wrong(format!(
            "plain HTTP on {} would send tokens and names in clear: give --tls-cert and --tls-key, or --insecure-http if a proxy in front does TLS",
            serve.listen
        ))
        .into());
    }
    Ok(())
}
