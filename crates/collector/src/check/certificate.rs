//! The certificate that an endpoint shows, noted while the same verifier judges it that delivery has.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::report::Row;
use crate::counted::counted;
use crate::now;
use crate::quote::Quoting;

/// So many days before its end a certificate is worth a word: renewals by machines come at 30.
const SOON: i64 = 30;
const DAY: i64 = 86_400;
/// So many of its names are shown.
const NAMES: usize = 3;

/// Where the certificate is noted.
#[derive(Debug, Default, Clone)]
pub struct Witness(Arc<Mutex<Option<CertificateDer<'static>>>>);

impl Witness {
    /// Makes a verifier tell what it is shown. It judges as before.
    pub fn judge(
        &self,
    ) -> impl FnOnce(Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier> + use<> {
        let seen = self.clone();
        move |verifier| Arc::new(Noting { verifier, seen })
    }

    fn note(&self, certificate: &CertificateDer<'_>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(certificate.clone().into_owned());
    }

    fn seen(&self) -> Option<CertificateDer<'static>> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

/// A verifier whose first argument is noted.
#[derive(Debug)]
struct Noting {
    verifier: Arc<dyn ServerCertVerifier>,
    seen: Witness,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.seen.note(certificate);
        self.verifier
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// What the certificate says; `None`: none was shown. `is_trusted`: the handshake ended well.
pub fn row(check: &str, witness: &Witness, quoting: &Quoting, is_trusted: bool) -> Option<Row> {
    let der = witness.seen()?;
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else {
        return Some(Row::fail(check, "is none that can be read"));
    };
    let until = certificate.validity().not_after.timestamp();
    let now = Timestamp::try_from(now()).unwrap_or(Timestamp::UNIX_EPOCH);
    let days = (until - now.as_second()).div_euclid(DAY);
    let date = Timestamp::from_second(until).map_or_else(
        |_| "?".to_owned(),
        |until| until.to_string().chars().take(10).collect(),
    );
    // From elsewhere: quoted as an endpoint's answer is.
    let whose = quoting.answer(&format!(
        "for {}, by {}",
        names(&certificate),
        or_nobody(&certificate.issuer().to_string())
    ));
    let shown = |days: i64| counted(days.unsigned_abs(), "day");
    let found = |rest: &str| format!("{whose}, until {date} ({rest})");
    Some(match days {
        ..0 => Row::fail(check, found(&format!("{} ago", shown(days)))),
        0..SOON => Row::warn(check, found(&shown(days)))
            .advise("It ends soon: whoever runs the endpoint has to renew it."),
        SOON.. if is_trusted => Row::ok(check, found(&shown(days))),
        SOON.. => Row::fail(check, found(&shown(days))),
    })
}

/// The names that it is for.
fn names(certificate: &X509Certificate) -> String {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    match names.len() {
        0 => or_nobody(&certificate.subject().to_string()),
        all @ ..=NAMES => names[..all].join(", "),
        all => format!("{} and {} more", names[..NAMES].join(", "), all - NAMES),
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(bytes).to_string())
}

fn or_nobody(name: &str) -> String {
    match name.is_empty() {
        true => "(no name)".to_owned(),
        false => name.to_owned(),
    }
}
