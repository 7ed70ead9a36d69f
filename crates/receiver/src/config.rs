//! What the flags and the environment come to.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use afmetrics_settings::Wrong;

use crate::cli::{Place, Serve};
use crate::layers::{Origins, PREFIX, both_names};

/// The store's folder where nobody says another.
const FOLDER: &str = "/var/lib/afmetrics_receiver";

/// The variables of the environment that stand for flags.
pub fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .collect()
}

/// The store's folder: by flag, variable or file, of the systemd unit, or the default.
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

/// What a running receiver takes over when it reads its configuration again.
#[derive(Debug, Clone, Copy)]
pub struct Changeable {
    pub limits: Limits,
    pub accept_unknown_kinds: bool,
    pub trust_loopback: bool,
}

impl Changeable {
    pub fn of(serve: &Serve) -> Self {
        Self {
            limits: Limits::of(serve),
            accept_unknown_kinds: serve.accept_unknown_kinds,
            trust_loopback: serve.trust_loopback,
        }
    }
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

/// Refuses flags that do not go together, and what would put tokens on a network in clear.
///
/// # Errors
/// Says which, where they stand, and what is missing.
pub fn check(serve: &Serve, origins: &Origins) -> Result<(), Wrong> {
    let lacks = |here: &str, other: &str| {
        let what = format!("needs {} beside it", both_names(other));
        Err(Wrong::at(origins.of_flag(here), what))
    };
    let clash = |here: &str, other: &str| {
        let what = format!("cannot be used with {}", origins.of_flag(other));
        Err(Wrong::at(origins.of_flag(here), what))
    };
    match (&serve.tls_cert, &serve.tls_key) {
        (Some(_), None) => return lacks("tls_cert", "tls_key"),
        (None, Some(_)) => return lacks("tls_key", "tls_cert"),
        (Some(_), Some(_)) if serve.insecure_http => return clash("insecure_http", "tls_cert"),
        _ if serve.insecure_http && serve.trust_loopback => {
            return clash("trust_loopback", "insecure_http");
        }
        _ => {}
    }
    let is_plain = serve.tls_cert.is_none();
    if is_plain && !serve.listen.ip().is_loopback() && !serve.insecure_http {
        return Err(Wrong::at(
            origins.of_flag("listen"),
            format!(
                "plain HTTP on {} would send tokens and names in clear: give {} and {}, or {} if a proxy in front does TLS",
                serve.listen,
                both_names("tls_cert"),
                both_names("tls_key"),
                both_names("insecure_http")
            ),
        ));
    }
    Ok(())
}
