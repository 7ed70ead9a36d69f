//! The Kubernetes API: a client for the cluster that this node or this pod is configured for.
//!
//! kube makes it. What kube 5.0 leaves to us, and why: it runs an exec plugin blocking, without
//! an end, and three times for one client; it takes a token file's final newline for a part of the
//! token, and panics at a newline in a token; it reads `NO_PROXY` wrongly; and its errors quote a
//! plugin's command line and output, and a proxy's password.

use std::fs;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Request, Response};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::config::{
    AuthInfo, ExecAuthCluster, ExecConfig, InClusterError, Kubeconfig, KubeconfigError,
};
use kube::{Client, Config};
use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tower::BoxError;
use tower::util::BoxService;

use crate::aside::aside;
use crate::context::Context;
use crate::error::CollectError;
use crate::quote::{Quoting, chain};
use crate::recording::{self, World};

const CONNECT: Duration = Duration::from_secs(10);
/// How the log calls an exec plugin, whatever its command line.
const PLUGIN: &str = "the exec plugin of the kubeconfig";
/// An `ExecCredential` is a token, or a certificate and its key.
const CREDENTIAL_LIMIT: usize = 1 << 20;

/// A client from `KUBECONFIG`, `~/.kube/config`, or the pod's service account; or from a recording.
pub async fn client(cx: &Context) -> Result<Client, CollectError> {
    match &cx.world {
        World::Host => Ok(of_host(cx).await?.build()),
        World::Recorded(recorder) => match of_host(cx).await {
            Ok(builder) => Ok(recording::recorded(builder, recorder)),
            Err(why) => {
                recorder.no_client(&why);
                Err(why)
            }
        },
        World::Played(recording) => match recording.no_client() {
            Some(why) => Err(why),
            None => Ok(recording::answering(recording)),
        },
    }
}

/// What kube's own builder is for.
type Service = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

async fn of_host(cx: &Context) -> Result<ClientBuilder<Service>, CollectError> {
    let mut config = read_aside(cx, configuration).await?;
    if let Some(plugin) = config.auth_info.exec.take()
        && !has_credentials(&config.auth_info)
    {
        ask(&plugin, &mut config.auth_info, cx).await?;
    }
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(cx.limits.silence);
    read_aside(cx, |quoting| {
        ClientBuilder::try_from(config).map_err(|why| error(why, quoting))
    })
    .await
}

/// Reads files, which may lie on a dead mount.
async fn read_aside<T: Send + 'static>(
    cx: &Context,
    read: impl FnOnce(&Quoting) -> Result<T, CollectError> + Send + 'static,
) -> Result<T, CollectError> {
    let quoting = cx.quoting.clone();
    aside(cx.limits.silence, move || read(&quoting))
        .await
        .unwrap_or_else(|why| {
            Err(match why.kind() {
                io::ErrorKind::TimedOut => CollectError::TimedOut(format!(
                    "the kubeconfig, or a file that it names, could not be read within {} s",
                    cx.limits.silence.as_secs()
                )),
                _ => CollectError::Failed(format!("the kubeconfig could not be read: {why}")),
            })
        })
}

fn configuration(quoting: &Quoting) -> Result<Config, CollectError> {
    let mut config = match kubeconfig(quoting)? {
        Some(kubeconfig) => of_kubeconfig(kubeconfig, quoting)?,
        None => Config::incluster().map_err(|why| match why {
            InClusterError::ReadEnvironmentVariable(_) => CollectError::NotHere(
                "there is no kubeconfig (KUBECONFIG, ~/.kube/config) and no service account of a pod".to_owned(),
            ),
            why => failed("the pod's service account cannot be used", &why, quoting),
        })?,
    };
    if config.proxy_url.is_none()
        && let Some(proxy) = Matcher::from_env().intercept(&config.cluster_url)
    {
        config.proxy_url = with_user(&proxy).parse().ok();
    }
    read_token(&mut config.auth_info, quoting)?;
    Ok(config)
}

/// `None`: there is none.
fn kubeconfig(quoting: &Quoting) -> Result<Option<Kubeconfig>, CollectError> {
    let missing = |why: &KubeconfigError| matches!(why, KubeconfigError::ReadConfig(io, _) if io.kind() == io::ErrorKind::NotFound);
    match Kubeconfig::from_env() {
        Ok(Some(kubeconfig)) => return Ok(Some(kubeconfig)),
        Ok(None) => {}
        Err(why) if missing(&why) => {
            let what = "KUBECONFIG names a file that is not there";
            return Err(failed(what, &why, quoting));
        }
        Err(why) => {
            let what = "the file that KUBECONFIG names cannot be used";
            return Err(unusable(what, &why, quoting));
        }
    }
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::FindPath) => Ok(None),
        Err(why) if missing(&why) => Ok(None),
        Err(why) => Err(unusable("~/.kube/config cannot be used", &why, quoting)),
    }
}

/// A parser quotes the lines around an error, and in a kubeconfig these hold tokens and keys.
fn unusable(what: &str, why: &KubeconfigError, quoting: &Quoting) -> CollectError {
    match why {
        KubeconfigError::Parse(why) => {
            let place = why
                .location()
                .map(|at| format!(" at line {}", at.line()))
                .unwrap_or_default();
            CollectError::Malformed(format!("{what}: it is no kubeconfig{place}"))
        }
        why => failed(what, why, quoting),
    }
}

/// What kube makes of a kubeconfig's current context, but without its proxy of the environment: it
/// holds `NO_PROXY` against the proxy's own address, and fails at a final comma there.
fn of_kubeconfig(kubeconfig: Kubeconfig, quoting: &Quoting) -> Result<Config, CollectError> {
    let bad = |what: &str| CollectError::Failed(format!("the kubeconfig {what}"));
    let name = kubeconfig.current_context.unwrap_or_default();
    if name.is_empty() {
        return Err(bad(
            "has no current-context (kubectl config use-context NAME sets it)",
        ));
    }
    let context = kubeconfig.contexts.into_iter().find(|it| it.name == name);
    let context = context
        .and_then(|it| it.context)
        .ok_or_else(|| bad("has no context of its current-context's name"))?;
    let mut clusters = kubeconfig.clusters.into_iter();
    let cluster = clusters
        .find(|it| it.name == context.cluster)
        .and_then(|it| it.cluster)
        .ok_or_else(|| bad("has no cluster of its context's name"))?;
    // As kubectl does: without such a user, as nobody.
    let mut users = kubeconfig.auth_infos.into_iter();
    let user = users
        .find(|it| Some(&it.name) == context.user.as_ref())
        .and_then(|it| it.auth_info)
        .unwrap_or_default();
    let seen = ExecAuthCluster::try_from(&cluster)
        .map_err(|why| failed("the kubeconfig cannot be used", &why, quoting))?;

    let server = seen.server.as_deref().and_then(|url| url.parse().ok());
    let mut config = Config::new(server.ok_or_else(|| bad("has no URL of a server"))?);
    if let Some(pem) = &seen.certificate_authority_data {
        let authorities = CertificateDer::pem_slice_iter(pem)
            .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|authorities| !authorities.is_empty());
        config.root_cert =
            Some(authorities.ok_or_else(|| bad("has a certificate-authority that holds none"))?);
    }
    if let Some(proxy) = seen.proxy_url.as_deref().filter(|proxy| !proxy.is_empty()) {
        let proxy = proxy
            .parse()
            .map_err(|_| bad("has a proxy-url that is no URL"))?;
        config.proxy_url = Some(proxy);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name;
    config.auth_info = user;
    if let Some(exec) = &mut config.auth_info.exec {
        exec.cluster = exec.provide_cluster_info.then_some(seen);
    }
    let provider = config.auth_info.auth_provider.as_ref();
    match provider.is_some_and(|provider| provider.config.contains_key("cmd-path")) {
        true => Err(bad(
            "has an auth-provider with a cmd-path, which Kubernetes dropped in 1.26: use an exec plugin",
        )),
        false => Ok(config),
    }
}

/// A proxy's URL with user and password in it, as kube wants them; the matcher has made a header
/// of them.
fn with_user(proxy: &Intercept) -> String {
    let plain = proxy.uri().to_string();
    let user = proxy
        .basic_auth()
        .and_then(|header| header.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok());
    let (Some(user), Ok(mut url)) = (user, Url::parse(&plain)) else {
        return plain;
    };
    let (user, password) = user.split_once(':').unwrap_or((&user, ""));
    match (url.set_username(user), url.set_password(Some(password))) {
        (Ok(()), Ok(())) => url.into(),
        _ => plain,
    }
}

fn has_credentials(user: &AuthInfo) -> bool {
    user.token.is_some() || (user.username.is_some() && user.password.is_some())
}

/// Makes the token one that can stand in a header, reading it from its file if it has one.
fn read_token(user: &mut AuthInfo, quoting: &Quoting) -> Result<(), CollectError> {
    let file = user.token_file.take();
    let token = match (&user.token, file) {
        (Some(token), _) => token.expose_secret().to_owned(),
        (None, Some(path)) => fs::read_to_string(&path).map_err(|why| {
            let said = quoting.lines(&format!("{path}: {why}"));
            CollectError::Failed(format!(
                "cannot read the token file of the cluster's credentials: {said}"
            ))
        })?,
        (None, None) => return Ok(()),
    };
    user.token = Some(usable(&token)?);
    Ok(())
}

fn usable(token: &str) -> Result<SecretString, CollectError> {
    let token = token.trim();
    match !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(token.into()),
        false => Err(CollectError::Malformed(
            "the token for the cluster is empty, or holds blanks or characters that no token has"
                .to_owned(),
        )),
    }
}

/// What an exec plugin prints.
#[derive(Deserialize)]
struct ExecCredential {
    status: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs an exec plugin, once, and gives the user what it printed.
async fn ask(plugin: &ExecConfig, user: &mut AuthInfo, cx: &Context) -> Result<(), CollectError> {
    let Some(program) = &plugin.command else {
        return Err(CollectError::Failed(format!("{PLUGIN} has no command")));
    };
    let mut info = json!({
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": false},
    });
    if let Some(cluster) = &plugin.cluster {
        info["spec"]["cluster"] = json!(cluster);
    }
    let mut command = cx
        .command_called(PLUGIN, program)
        .args(plugin.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info.to_string());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command = command.env(name, value);
        }
    }
    let output = command.output(CREDENTIAL_LIMIT).await?;
    // YAML, of which JSON is a part, as kubectl takes it. The parser's words quote the output.
    let credential: ExecCredential = serde_saphyr::from_slice(&output).map_err(|_| {
        CollectError::Malformed(format!("{PLUGIN} did not print an ExecCredential"))
    })?;
    let Credentials {
        token,
        client_certificate_data,
        client_key_data,
    } = credential.status;
    if token.is_none() && (client_certificate_data.is_none() || client_key_data.is_none()) {
        return Err(CollectError::Malformed(format!(
            "{PLUGIN} printed no credentials"
        )));
    }
    user.token = token.map(|token| usable(&token)).transpose()?;
    if let (Some(certificate), Some(key)) = (client_certificate_data, client_key_data) {
        // A kubeconfig has them in base64, a plugin prints them as they are.
        user.client_certificate_data = Some(BASE64_STANDARD.encode(certificate));
        user.client_key_data = Some(BASE64_STANDARD.encode(key).into());
    }
    Ok(())
}

/// kube's error in our words; what it quotes can hold names.
pub fn error(why: kube::Error, quoting: &Quoting) -> CollectError {
    match why {
        kube::Error::Api(status) if status.code == 401 => CollectError::Failed(
            "401, the Kubernetes API does not accept these credentials: have they expired?"
                .to_owned(),
        ),
        kube::Error::Api(status) => CollectError::Failed(format!(
            "the Kubernetes API refused: {} {}",
            status.code,
            quoting.lines(&status.message)
        )),
        kube::Error::SerdeError(why) => CollectError::Malformed(format!(
            "the Kubernetes API's answer is no list of pods: {}",
            quoting.lines(&why.to_string())
        )),
        // These show the proxy's URL with its password.
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => CollectError::Failed(
            "the proxy on the way to the cluster is neither http:// nor https://".to_owned(),
        ),
        other => match find::<io::Error>(&other) {
            // By its kind, as under -o the rest is withheld.
            Some(io) => {
                let what = format!("cannot talk to the Kubernetes API ({})", kind(io));
                failed(&what, &other, quoting)
            }
            None => failed("cannot talk to the Kubernetes API", &other, quoting),
        },
    }
}

/// The innermost error's kind, in words that hold no name.
fn kind(error: &io::Error) -> String {
    let inner = error.get_ref();
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<io::Error>()) {
        return kind(inner);
    }
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "its certificate is not one to trust by the kubeconfig".to_owned()
        }
        Some(_) => "TLS".to_owned(),
        None => error.kind().to_string(),
    }
}

fn failed(what: &str, why: &(dyn std::error::Error + 'static), quoting: &Quoting) -> CollectError {
    CollectError::Failed(format!("{what}: {}", quoting.lines(&chain(why))))
}

fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut error = Some(error);
    while let Some(at) = error {
        if let Some(found) = at.downcast_ref::<E>() {
            return Some(found);
        }
        error = at.source();
    }
    None
}
