//! Who uses Jupyter: the owners of notebook pods, by a label of the pods.
//!
//! ```text
//! {"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"277"},
//!  "items":[{"metadata":{"name":"canary-1-notebook","labels":{"owner":"canary-1",...}}}, ...
//! ```
//!
//! What surprised us: the selector `owner` matches a pod whose label is empty; such a pod names no
//! user. A namespace that does not exist is answered 200 with an empty list where rights are
//! cluster-wide. A list that takes too long loses its `continue` token (410), and the token offered
//! instead gives an inconsistent rest. Metadata is half the size of whole pods and holds no secrets.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use afmetrics_document::{Document, PublishedUser};
use async_trait::async_trait;
use hyper_util::client::proxy::matcher::Matcher;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams};
use kube::client::AuthError;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{CollectError, Collector, Spec};
use crate::config::{Label, SECRET_VARIABLES};
use crate::context::Context;
use crate::documents::Documents;
use crate::quote::Quoting;

pub const SPEC: Spec = Spec {
    name: "jupyter",
    summary: "the owners of notebook pods in af-jupyter (-n, -l) and coffea-casa (Kubernetes)",
    kinds: &["jupyter-ml", "jupyter-coffea"],
    flag: "-j",
    debug_file: "jupyter-debug.json",
    build: |config| {
        config.jupyter.then(|| {
            Box::new(Jupyter {
                sources: vec![
                    Source {
                        namespace: config.namespace.value.clone(),
                        by_name: config.namespace.by_name,
                        label: config.label.clone(),
                        document: |jupyter_user_count, users| Document::JupyterMl {
                            jupyter_user_count,
                            users,
                        },
                    },
                    Source {
                        namespace: "coffea-casa".to_owned(),
                        by_name: false,
                        label: Label {
                            selector: "jhub_user".to_owned(),
                            key: "jhub_user".to_owned(),
                        },
                        document: |jupyter_user_count, users| Document::JupyterCoffea {
                            jupyter_user_count,
                            users,
                        },
                    },
                ],
                exclude_finished: config.exclude_finished_pods,
            }) as _
        })
    },
};

struct Jupyter {
    sources: Vec<Source>,
    /// Leave out pods that Succeeded or Failed; the old script counts them.
    exclude_finished: bool,
}

/// One namespace and the label that names the user there.
#[derive(Clone)]
struct Source {
    namespace: String,
    /// Somebody asked for it; if not, it may be missing.
    by_name: bool,
    label: Label,
    document: fn(u64, Vec<PublishedUser>) -> Document,
}

/// Pods a page.
const PAGE: u32 = 500;
const CONNECT: Duration = Duration::from_secs(10);

#[async_trait(?Send)]
impl Collector for Jupyter {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        // kube runs exec plugins blocking, so all of it is on a thread of its own, which the round
        // can abandon.
        let (reply, mut answers) = mpsc::channel(self.sources.len());
        let asked = self.sources.clone();
        let (exclude_finished, silence) = (self.exclude_finished, cx.limits.silence);
        thread::spawn(move || ask(asked, exclude_finished, silence, &reply));
        let mut absent = Vec::new();
        for source in &self.sources {
            let answer = answers
                .recv()
                .await
                .unwrap_or_else(|| Err(Trouble::Failed("kube ended without an answer".to_owned())));
            let part = format!("namespace {}", source.namespace);
            match answer {
                Ok(owners) => {
                    out.part(async |out| {
                        let owners = owners.iter().map(String::as_str);
                        let users = cx.names.publish_all(owners).await?;
                        out.push(&(source.document)(users.len() as u64, users))
                    })
                    .await?;
                }
                Err(Trouble::NoClient(why)) => return Err(why.error(&cx.quoting)),
                Err(trouble) => {
                    let is_absent = matches!(trouble, Trouble::NoNamespace | Trouble::Forbidden(_));
                    if source.by_name && matches!(trouble, Trouble::NoNamespace) {
                        warn!("jupyter: {part} was asked for and does not exist: is -n misspelt?");
                    }
                    let error = trouble.error(&cx.quoting).of(&part);
                    match is_absent && !source.by_name {
                        true => absent.push(error),
                        false => out.close(Err(error))?,
                    }
                }
            }
        }
        // A default that is missing is no failure beside one that is there; but -j was asked for,
        // and all of its sources missing is not nobody.
        let nothing = out.count() == 0 && out.problems() == 0;
        for error in absent {
            match nothing {
                true => out.close(Err(error))?,
                false => out.excuse(error),
            }
        }
        Ok(())
    }
}

/// Why there is no list of owners.
enum Trouble {
    /// There is no way to talk to a cluster at all.
    NoClient(Box<Trouble>),
    /// Nobody configured one.
    NotHere(String),
    NoNamespace,
    /// By our own words, and what the server or a plugin said, which may hold names.
    Forbidden(String),
    Failed(String),
    Said(&'static str, String),
    TimedOut(Duration),
    Malformed(String),
}

impl Trouble {
    fn error(self, quoting: &Quoting) -> CollectError {
        match self {
            Self::NoClient(why) => why.error(quoting),
            Self::NotHere(text) => CollectError::NotHere(text),
            Self::NoNamespace => CollectError::NotHere("does not exist".to_owned()),
            Self::Forbidden(said) => CollectError::Failed(format!(
                "403, these credentials may not list pods there (docs/kubernetes.md has the Role that suffices): {}",
                quoting.lines(&said)
            )),
            Self::Failed(text) => CollectError::Failed(text),
            Self::Said(what, said) => {
                CollectError::Failed(format!("{what}: {}", quoting.lines(&said)))
            }
            Self::TimedOut(after) => CollectError::TimedOut(format!(
                "the Kubernetes API did not answer for {} s",
                after.as_secs()
            )),
            Self::Malformed(said) => CollectError::Malformed(format!(
                "the Kubernetes API's answer is no list of pods: {}",
                quoting.lines(&said)
            )),
        }
    }
}

type Answer = Result<BTreeSet<String>, Trouble>;

/// What the thread does: makes a client, then lists one source after the other.
fn ask(
    sources: Vec<Source>,
    exclude_finished: bool,
    silence: Duration,
    reply: &mpsc::Sender<Answer>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => {
            let _ = reply.blocking_send(Err(Trouble::Failed(format!("no runtime: {why}"))));
            return;
        }
    };
    runtime.block_on(async {
        let client = match client(silence).await {
            Ok(client) => client,
            Err(why) => {
                let _ = reply.send(Err(Trouble::NoClient(Box::new(why)))).await;
                return;
            }
        };
        for source in sources {
            let answer = owners(&client, &source, exclude_finished, silence).await;
            if reply.send(answer).await.is_err() {
                return;
            }
        }
    });
    // Not waiting for what still hangs.
    runtime.shutdown_background();
}

/// A client from `KUBECONFIG`, `~/.kube/config`, or the pod's service account.
async fn client(silence: Duration) -> Result<Client, Trouble> {
    let mut config = match kubeconfig()? {
        Some(mut kubeconfig) => {
            let own_proxy = has_proxy(&kubeconfig);
            tame_plugins(&mut kubeconfig, silence);
            let options = KubeConfigOptions::default();
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|why| said("the kubeconfig cannot be used", &why))?;
            if !own_proxy {
                config.proxy_url = None;
            }
            config
        }
        None => Config::incluster().map_err(|_| {
            Trouble::NotHere(
                "there is no kubeconfig (KUBECONFIG, ~/.kube/config) and no service account of a pod".to_owned(),
            )
        })?,
    };
    if config.proxy_url.is_none() {
        // kube holds NO_PROXY against the proxy's own address instead of the cluster's.
        config.proxy_url = Matcher::from_env()
            .intercept(&config.cluster_url)
            .map(|proxy| proxy.uri().clone());
    }
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(silence);
    Client::try_from(config).map_err(|why| trouble(why, silence))
}

/// `None`: there is none.
fn kubeconfig() -> Result<Option<Kubeconfig>, Trouble> {
    let missing = |why: &KubeconfigError| matches!(why, KubeconfigError::ReadConfig(io, _) if io.kind() == std::io::ErrorKind::NotFound);
    match Kubeconfig::from_env() {
        Ok(Some(kubeconfig)) => return Ok(Some(kubeconfig)),
        Ok(None) => {}
        Err(why) if missing(&why) => {
            return Err(Trouble::Failed(format!(
                "KUBECONFIG names a file that is not there: {why}"
            )));
        }
        Err(why) => return Err(said("the file that KUBECONFIG names cannot be used", &why)),
    }
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::FindPath) => Ok(None),
        Err(why) if missing(&why) => Ok(None),
        Err(why) => Err(said("~/.kube/config cannot be used", &why)),
    }
}

/// Whether the cluster in use has a proxy of its own, which goes before the environment's.
fn has_proxy(kubeconfig: &Kubeconfig) -> bool {
    let context = kubeconfig.current_context.as_deref().unwrap_or_default();
    let cluster = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == context)
        .and_then(|named| named.context.as_ref())
        .map(|context| context.cluster.as_str());
    kubeconfig
        .clusters
        .iter()
        .filter(|named| Some(named.name.as_str()) == cluster)
        .filter_map(|named| named.cluster.as_ref())
        .any(|cluster| cluster.proxy_url.is_some())
}

/// Exec plugins get no terminal, none of our secrets, and an end: coreutils' `timeout` runs one in
/// a process group of its own and ends all of it.
fn tame_plugins(kubeconfig: &mut Kubeconfig, silence: Duration) {
    for user in &mut kubeconfig.auth_infos {
        let Some(exec) = user.auth_info.as_mut().and_then(|user| user.exec.as_mut()) else {
            continue;
        };
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
        exec.drop_env
            .get_or_insert_default()
            .extend(SECRET_VARIABLES.map(str::to_owned));
        if let Some(plugin) = exec.command.replace("timeout".to_owned()) {
            let seconds = silence.as_secs().to_string();
            let mut args = vec!["--kill-after=1".to_owned(), seconds, plugin];
            args.extend(exec.args.take().unwrap_or_default());
            exec.args = Some(args);
        } else {
            exec.command = None;
        }
    }
}

/// The values of the label on all pods that the selector matches.
async fn owners(
    client: &Client,
    source: &Source,
    exclude_finished: bool,
    silence: Duration,
) -> Answer {
    let owners = match list(client, source, exclude_finished, silence).await {
        Err(Trouble::Malformed(why)) if why == EXPIRED => {
            debug!(
                "jupyter: the list of {} expired; starting over",
                source.namespace
            );
            list(client, source, exclude_finished, silence).await
        }
        answer => answer,
    }?;
    if owners.is_empty() && !exists(client, &source.namespace, silence).await {
        return Err(Trouble::NoNamespace);
    }
    Ok(owners)
}

/// Stands for 410: the server forgot the list that we are in the middle of.
const EXPIRED: &str = "the list expired (410) while it was read";

async fn list(
    client: &Client,
    source: &Source,
    exclude_finished: bool,
    silence: Duration,
) -> Answer {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &source.namespace);
    let mut params = ListParams::default()
        .labels(&source.label.selector)
        .limit(PAGE);
    if exclude_finished {
        params = params.fields("status.phase!=Succeeded,status.phase!=Failed");
    }
    let mut owners = BTreeSet::new();
    loop {
        let page = timeout(silence, pods.list_metadata(&params))
            .await
            .map_err(|_| Trouble::TimedOut(silence))?
            .map_err(|why| trouble(why, silence))?;
        for pod in page.items {
            let owner = pod
                .metadata
                .labels
                .and_then(|mut labels| labels.remove(&source.label.key));
            owners.extend(owner.filter(|owner| !owner.is_empty()));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(owners),
        }
    }
}

/// False only if the server says so; whoever may list pods in one namespace may not know.
async fn exists(client: &Client, namespace: &str, silence: Duration) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match timeout(silence, namespaces.get_metadata(namespace)).await {
        Ok(Err(kube::Error::Api(status))) => !(status.code == 404 && status.reason == "NotFound"),
        _ => true,
    }
}

fn trouble(why: kube::Error, silence: Duration) -> Trouble {
    match why {
        kube::Error::Api(status) => match status.code {
            401 => Trouble::Failed(
                "401, the Kubernetes API does not accept these credentials: have they expired?"
                    .to_owned(),
            ),
            403 => Trouble::Forbidden(status.message),
            410 => Trouble::Malformed(EXPIRED.to_owned()),
            _ => Trouble::Said(
                "the Kubernetes API refused",
                format!("{} {}", status.code, status.message),
            ),
        },
        kube::Error::SerdeError(why) => Trouble::Malformed(why.to_string()),
        kube::Error::Auth(why) => plugin_trouble(why, silence),
        other => match find::<AuthError>(&other) {
            Some(AuthError::ReadTokenFile(io, path)) => Trouble::Failed(format!(
                "cannot read the token file {}: {io}",
                path.display()
            )),
            _ => said("cannot talk to the Kubernetes API", &other),
        },
    }
}

/// What kube says of a plugin holds its whole command line and output: ours says what failed.
fn plugin_trouble(why: AuthError, silence: Duration) -> Trouble {
    match why {
        AuthError::AuthExecRun { out, .. } if matches!(out.status.code(), Some(124 | 137)) => {
            Trouble::Failed(format!(
                "the exec plugin of the kubeconfig gave no credentials within {} s and was ended",
                silence.as_secs()
            ))
        }
        AuthError::AuthExecRun { out, .. } => Trouble::Said(
            "the exec plugin of the kubeconfig failed",
            format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)),
        ),
        AuthError::AuthExecParse(_) => Trouble::Failed(
            "the exec plugin of the kubeconfig did not print an ExecCredential".to_owned(),
        ),
        AuthError::ReadTokenFile(io, path) => Trouble::Failed(format!(
            "cannot read the token file {}: {io}",
            path.display()
        )),
        other => said("no credentials for the Kubernetes API", &other),
    }
}

fn said(what: &'static str, why: &(dyn std::error::Error + 'static)) -> Trouble {
    Trouble::Said(what, crate::quote::chain(why))
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
