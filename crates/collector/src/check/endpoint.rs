//! The way to an endpoint, step by step: its address, a connection, TLS, the certificate. As delivery goes it,
//! with the same trust and through the same proxy, but no request is sent: whatever one held, some endpoints
//! would keep it as a document. So whether the token is right cannot be known here.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use rustls::ClientConfig;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::certificate::{self, Witness};
use super::report::{Row, Verdict};
use crate::aside::aside;
use crate::cli::Protocol;
use crate::config::EndpointConfig;
use crate::delivery::{self, Endpoint};
use crate::endpoint_url::without_password;
use crate::quote::{Quoting, chain};

/// For all steps, as a connection for a delivery may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long a server may take to say that it does not want us after all: with TLS 1.3 it sees our certificate,
/// which we have none of, after the handshake.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);
/// Of a proxy's answer, more is not read.
const LONGEST_ANSWER: usize = 8 << 10;

/// Bytes both ways, whatever they go through.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A step that failed.
struct Stopped(Row);

/// The way to one endpoint.
struct Way<'a> {
    config: &'a EndpointConfig,
    quoting: &'a Quoting,
    deadline: Instant,
    rows: Vec<Row>,
}

/// What came of each step to an endpoint, up to the one that failed.
pub async fn rows(config: &EndpointConfig, quoting: &Quoting) -> Vec<Row> {
    let patience = PATIENCE.min(config.patience);
    let mut way = Way {
        config,
        quoting,
        deadline: Instant::now() + patience,
        rows: Vec::new(),
    };
    let what = match config.protocol {
        Protocol::Documents => "documents",
        Protocol::Otlp => "metrics (OTLP)",
    };
    let shown = without_password(config.url.as_str());
    way.rows.push(Row::ok(
        format!("endpoint {}", config.name),
        format!("{what} to {shown}"),
    ));
    if let Err(Stopped(row)) = way.go().await {
        way.rows.push(row);
    }
    way.rows
}

impl Way<'_> {
    fn called(&self, step: &str) -> String {
        format!("{} {step}", self.config.name)
    }

    fn stopped(&self, step: &str, why: &str) -> Row {
        Row::fail(self.called(step), self.quoting.answer(why))
    }

    async fn go(&mut self) -> Result<(), Stopped> {
        let unusable = |why: anyhow::Error| {
            let found = self.quoting.answer(&format!("{why:#}"));
            Stopped(Row::new(self.called("set-up"), Verdict::Unusable, found))
        };
        Endpoint::new(self.config).map_err(unusable)?;
        let witness = Witness::default();
        let tls = delivery::tls_judged_by(self.config, witness.judge()).map_err(unusable)?;
        let url = &self.config.url;
        let is_encrypted = url.scheme() == "https";
        let Some(proxy) = proxy(url) else {
            let stream = self.connect(url, "").await?;
            return match is_encrypted {
                true => self.encrypt(Box::new(stream), tls, &witness).await,
                false => self.plain(),
            };
        };
        let leads = self.reach(&proxy, &tls).await?;
        if !is_encrypted {
            // Such a proxy is sent whole requests: only one of them could tell whether it leads on.
            let row = Row::new(
                self.called("by proxy"),
                Verdict::Skipped,
                "only a request could show whether the proxy leads there",
            );
            self.rows.push(row);
            return self.plain();
        }
        let stream = self.tunnel(leads, &proxy).await?;
        self.encrypt(stream, tls, &witness).await
    }

    /// Not encrypted: nothing else can be tried.
    fn plain(&mut self) -> Result<(), Stopped> {
        let row = Row::new(
            self.called("TLS"),
            Verdict::Skipped,
            "http:// is not encrypted",
        );
        self.rows.push(row);
        Ok(())
    }

    /// A connection to the server of a URL. `of`: what stands before the names of the steps.
    async fn connect(&mut self, url: &Url, of: &str) -> Result<TcpStream, Stopped> {
        let addresses = self.resolve(url, of).await?;
        let begun = Instant::now();
        let mut failed = String::new();
        for (at, address) in addresses.iter().enumerate() {
            // One that is silent leaves time for the others.
            let rest = self.deadline.saturating_duration_since(Instant::now());
            let share = rest / u32::try_from(addresses.len() - at).unwrap_or(1);
            let why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let row = Row::ok(
                        self.called(&format!("{of}connection")),
                        format!("to {address}{failed}"),
                    );
                    let row = row.took(begun.elapsed());
                    self.rows.push(match failed.is_empty() {
                        true => row,
                        false => row.at_least_warn(),
                    });
                    return Ok(stream);
                }
                Ok(Err(why)) => why.to_string(),
                Err(_) => format!("no answer within {:.0} s", share.as_secs_f64().max(1.0)),
            };
            let _ = write!(failed, "; {address}: {why}");
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let row = self
            .stopped(&format!("{of}connection"), failed.trim_start_matches("; "))
            .took(begun.elapsed());
        Err(Stopped(row.advise(format!(
            "Nothing listens there, or a firewall is in between: this node has to be let out to port {port}. \
             Where it goes by a proxy only, set https_proxy=http://PROXY:PORT in the crontab, or in the service's environment \
             (systemctl edit afmetrics_collector)."
        ))))
    }

    async fn resolve(&mut self, url: &Url, of: &str) -> Result<Vec<SocketAddr>, Stopped> {
        let begun = Instant::now();
        let step = format!("{of}address");
        let host = url.host_str().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let asked = host.clone();
        let rest = self.deadline.saturating_duration_since(begun);
        let answer = aside(rest, move || (asked.as_str(), port).to_socket_addrs());
        let addresses = match answer.await.flatten() {
            Ok(addresses) => addresses.collect::<Vec<_>>(),
            Err(why) => {
                let row = self.stopped(&step, &format!("{host}: {why}"));
                return Err(Stopped(row.took(begun.elapsed()).advise(format!(
                    "Is the name right, and does this node have a name server? The same question by hand:\ngetent hosts {}",
                    super::report::quoted(&host)
                ))));
            }
        };
        let mut shown: Vec<String> = addresses.iter().map(|at| at.ip().to_string()).collect();
        shown.dedup();
        let row = Row::ok(self.called(&step), shown.join(", "));
        self.rows.push(row.took(begun.elapsed()));
        Ok(addresses)
    }

    /// A connection to the proxy, encrypted if it is one of https.
    async fn reach(
        &mut self,
        proxy: &Intercept,
        tls: &ClientConfig,
    ) -> Result<Box<dyn Stream>, Stopped> {
        let shown = without_password(&proxy.uri().to_string());
        let step = "proxy";
        let url = match Url::parse(&proxy.uri().to_string()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => {
                let row = self.stopped(step, &format!("{shown} is neither http:// nor https://"));
                return Err(Stopped(row.advise(
                    "https_proxy, http_proxy or all_proxy of the environment names it.",
                )));
            }
        };
        let row = Row::ok(
            self.called(step),
            format!("{shown}, by the environment (https_proxy, http_proxy, NO_PROXY)"),
        );
        self.rows.push(row);
        let stream = self.connect(&url, "proxy ").await?;
        if url.scheme() == "http" {
            return Ok(Box::new(stream));
        }
        let mut tls = tls.clone();
        tls.alpn_protocols.clear();
        let begun = Instant::now();
        match self.handshake(&url, Box::new(stream), tls).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(why) => Err(Stopped(
                self.stopped("proxy TLS", &why).took(begun.elapsed()),
            )),
        }
    }

    /// Asks the proxy for a way to the endpoint.
    async fn tunnel(
        &mut self,
        stream: Box<dyn Stream>,
        proxy: &Intercept,
    ) -> Result<Box<dyn Stream>, Stopped> {
        let begun = Instant::now();
        let host = self.config.url.host_str().unwrap_or_default();
        let port = self.config.url.port_or_known_default().unwrap_or_default();
        let password = proxy.basic_auth().map(|header| header.as_bytes());
        let to = format!("{host}:{port}");
        let asked = timeout_at(self.deadline, ask_for_tunnel(stream, &to, password));
        let result = match asked.await {
            Ok(result) => result,
            Err(_) => Err("it does not answer".to_owned()),
        };
        match result {
            Ok(stream) => {
                let row = Row::ok(self.called("by proxy"), "the proxy leads there");
                self.rows.push(row.took(begun.elapsed()));
                Ok(stream)
            }
            Err(why) => {
                let row = self.stopped("by proxy", &format!("the proxy leads nowhere: {why}"));
                Err(Stopped(row.took(begun.elapsed()).advise(format!(
                    "Have {to} allowed at the proxy (407: it wants user and password, http://USER:PASSWORD@PROXY:PORT), \
                     or leave the proxy out for this host: NO_PROXY={host}"
                ))))
            }
        }
    }

    async fn encrypt(
        &mut self,
        stream: Box<dyn Stream>,
        tls: ClientConfig,
        witness: &Witness,
    ) -> Result<(), Stopped> {
        let begun = Instant::now();
        let url = &self.config.url;
        let result = match self.handshake(url, stream, tls).await {
            Ok(mut stream) => {
                let found = agreed(stream.get_ref().1);
                match second_thoughts(&mut stream).await {
                    Some(why) => Err(format!("{found}, then {why}")),
                    None => Ok(found),
                }
            }
            Err(why) => Err(why),
        };
        let took = begun.elapsed();
        let seen = certificate::row(
            &self.called("certificate"),
            witness,
            self.quoting,
            result.is_ok(),
        );
        match result {
            Ok(found) => {
                self.rows
                    .push(Row::ok(self.called("TLS"), found).took(took));
                self.rows.extend(seen);
                Ok(())
            }
            Err(why) => {
                self.rows.extend(seen);
                let row = self.stopped("TLS", &why).took(took);
                Err(Stopped(row.advise_all(tls_advice(&why, url))))
            }
        }
    }

    async fn handshake(
        &self,
        url: &Url,
        stream: Box<dyn Stream>,
        tls: ClientConfig,
    ) -> Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>, String> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the host is no name that a certificate could be for".to_owned())?;
        let connector = TlsConnector::from(Arc::new(tls));
        match timeout_at(self.deadline, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(why)) => Err(chain(&why)),
            Err(_) => Err("no answer to the handshake: does it speak TLS on this port?".to_owned()),
        }
    }
}

/// The proxy that delivery would take, too.
fn proxy(url: &Url) -> Option<Intercept> {
    let mut plain = url.clone();
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    Matcher::from_system().intercept(&plain.as_str().parse().ok()?)
}

/// What both sides have agreed on.
fn agreed(connection: &rustls::ClientConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let protocol = match connection.alpn_protocol() {
        Some(b"h2") => "HTTP/2",
        Some(_) => "HTTP/1.1",
        None => "HTTP/1.1 (it did not say)",
    };
    format!("{version}, {protocol}")
}

/// Why the server ends a connection that it has taken; `None`: it does not.
async fn second_thoughts(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut byte = [0];
    let why = match timeout(SECOND_THOUGHTS, stream.read(&mut byte)).await {
        Ok(Err(why)) if why.kind() != io::ErrorKind::UnexpectedEof => Some(chain(&why)),
        _ => None,
    };
    // Politely; an error is a server that has gone away first.
    let _ = timeout(SECOND_THOUGHTS, stream.shutdown()).await;
    why
}

fn tls_advice(why: &str, url: &Url) -> Vec<String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let mut advice: Vec<String> = Vec::new();
    if let Some(hint) = delivery::hint(why) {
        advice.push(format!("{}{}.", hint[..1].to_uppercase(), &hint[1..]));
    }
    if why.contains("UnknownIssuer") {
        advice.push(
            "If it is the right one, have its authority's certificate (PEM) in a file and name that in the configuration:\nca_file = \"/etc/afmetrics/ca.pem\""
                .to_owned(),
        );
    }
    if why.contains("BadSignature") {
        advice.push("The authority that --ca-file (ca_file) names is called as the right one is, and has another key: it was made anew, perhaps. Get its certificate again.".to_owned());
    }
    if why.contains("InvalidContentType") {
        advice.push(
            "It does not speak TLS on this port: is the url one with http://, or another port?"
                .to_owned(),
        );
    }
    if why.contains("CertificateRequired") {
        advice.push("It wants a certificate of its clients, which the collector cannot give: another url, or have it asked for a token alone.".to_owned());
    }
    advice.push(format!(
        "What it shows:\nopenssl s_client -connect {host}:{port} -servername {host} </dev/null"
    ));
    advice
}

/// Asks a proxy for a connection to `to`; the error is what it answered.
async fn ask_for_tunnel(
    mut stream: Box<dyn Stream>,
    to: &str,
    password: Option<&[u8]>,
) -> Result<Box<dyn Stream>, String> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(password) = password {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(password);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream
        .write_all(&request)
        .await
        .map_err(|why| why.to_string())?;
    let mut answer = Vec::new();
    // A byte at a time: what follows is the endpoint's.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > LONGEST_ANSWER {
            return Err("its answer has no end".to_owned());
        }
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("it closes the connection".to_owned());
            }
            Err(why) => return Err(why.to_string()),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).unwrap_or_default();
    match status.starts_with('2') {
        true => Ok(stream),
        false => Err(line.to_owned()),
    }
}
