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

use afmetrics_document::{Document, PublishedUser};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::time::timeout;
use tracing::debug;

use super::{Collector, Spec};
use crate::cli::NotebookKind;
use crate::config::Notebooks;
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::kubernetes;

pub const SPEC: Spec = Spec {
    name: "jupyter",
    summary: "the owners of notebook pods in af-jupyter (-n, -l) and coffea-casa (Kubernetes)",
    kinds: &["jupyter-ml", "jupyter-coffea"],
    flag: "-j",
    table: "jupyter",
    debug_file: "jupyter-debug.json",
    after: None,
    build: |config| {
        config.jupyter.then(|| {
            Box::new(Jupyter {
                sources: config.notebooks.clone(),
                exclude_finished: config.exclude_finished_pods,
            }) as _
        })
    },
};

struct Jupyter {
    sources: Vec<Notebooks>,
    /// Leave out pods that Succeeded or Failed; the old script counts them.
    exclude_finished: bool,
}

/// Pods a page.
const PAGE: u32 = 500;

#[async_trait(?Send)]
impl Collector for Jupyter {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let client = kubernetes::client(cx).await?;
        let mut absent = Vec::new();
        let mut has_read = false;
        for source in &self.sources {
            let part = format!("namespace {}", source.namespace);
            let why = match source.owners(&client, cx, self.exclude_finished).await {
                Ok(owners) => {
                    out.part(async |out| {
                        let owners = owners.iter().map(String::as_str);
                        let users = cx.names.publish_all(owners).await?;
                        out.push(&document(source.kind, users))
                    })
                    .await?;
                    has_read = true;
                    continue;
                }
                Err(why) => why,
            };
            let is_absent = matches!(why, Unlisted::NoNamespace | Unlisted::Forbidden(_));
            let error = match why {
                Unlisted::NoNamespace if source.by_name => CollectError::Misnamed(
                    "was asked for and does not exist: is -n misspelt?".to_owned(),
                ),
                why => why.into(),
            }
            .of(&part);
            match is_absent && !source.by_name {
                true => absent.push(error),
                false => out.close(Err(error))?,
            }
        }
        // A default that is missing is no failure beside one that is there; but -j was asked for,
        // and all of its sources missing is not nobody.
        let nothing = !has_read && out.problems() == 0;
        for error in absent {
            match nothing {
                true => out.close(Err(error))?,
                false => out.excuse(error),
            }
        }
        Ok(())
    }
}

fn document(kind: NotebookKind, users: Vec<PublishedUser>) -> Document {
    let jupyter_user_count = users.len() as u64;
    match kind {
        NotebookKind::JupyterMl => Document::JupyterMl {
            jupyter_user_count,
            users,
        },
        NotebookKind::JupyterCoffea => Document::JupyterCoffea {
            jupyter_user_count,
            users,
        },
    }
}

/// Why there is no list of owners.
enum Unlisted {
    NoNamespace,
    /// The namespace is not for these credentials.
    Forbidden(CollectError),
    /// The server forgot the list that we were in the middle of.
    Expired,
    Failed(CollectError),
}

impl From<Unlisted> for CollectError {
    fn from(why: Unlisted) -> Self {
        match why {
            Unlisted::NoNamespace => Self::NotHere("does not exist".to_owned()),
            Unlisted::Expired => Self::Failed(
                "the list of pods expired twice (410) while it was read: the Kubernetes API is too slow".to_owned(),
            ),
            Unlisted::Forbidden(error) | Unlisted::Failed(error) => error,
        }
    }
}

impl Notebooks {
    /// The values of the label on all pods that the selector matches.
    async fn owners(
        &self,
        client: &Client,
        cx: &Context,
        exclude_finished: bool,
    ) -> Result<BTreeSet<String>, Unlisted> {
        let owners = match self.list(client, cx, exclude_finished).await {
            Err(Unlisted::Expired) => {
                debug!(
                    "jupyter: the list of {} expired; starting over",
                    self.namespace
                );
                self.list(client, cx, exclude_finished).await
            }
            answer => answer,
        }?;
        if owners.is_empty() && !self.exists(client, cx).await {
            return Err(Unlisted::NoNamespace);
        }
        Ok(owners)
    }

    async fn list(
        &self,
        client: &Client,
        cx: &Context,
        exclude_finished: bool,
    ) -> Result<BTreeSet<String>, Unlisted> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let mut params = ListParams::default()
            .labels(&self.label.selector)
            .limit(PAGE);
        if exclude_finished {
            params = params.fields("status.phase!=Succeeded,status.phase!=Failed");
        }
        let mut owners = BTreeSet::new();
        loop {
            // kube asks again after 429 and 503, so this is about more than a silent server.
            let page = timeout(cx.limits.silence, pods.list_metadata(&params))
                .await
                .map_err(|_| {
                    Unlisted::Failed(CollectError::TimedOut(format!(
                        "no list from the Kubernetes API within {} s",
                        cx.limits.silence.as_secs()
                    )))
                })?
                .map_err(|why| unlisted(why, cx))?;
            for pod in page.items {
                let owner = pod
                    .metadata
                    .labels
                    .and_then(|mut labels| labels.remove(&self.label.key));
                owners.extend(owner.filter(|owner| !owner.is_empty()));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(owners),
            }
        }
    }

    /// False only if the server says so; whoever may list pods in one namespace may not know.
    async fn exists(&self, client: &Client, cx: &Context) -> bool {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        match timeout(cx.limits.silence, namespaces.get_metadata(&self.namespace)).await {
            Ok(Err(kube::Error::Api(status))) => {
                !(status.code == 404 && status.reason == "NotFound")
            }
            _ => true,
        }
    }
}

fn unlisted(why: kube::Error, cx: &Context) -> Unlisted {
    match &why {
        kube::Error::Api(status) if status.code == 410 => Unlisted::Expired,
        kube::Error::Api(status) if status.code == 403 => {
            Unlisted::Forbidden(CollectError::Failed(format!(
                "403, these credentials may not list pods there (docs/kubernetes.md has the Role that suffices): {}",
                cx.quoting.lines(&status.message)
            )))
        }
        _ => Unlisted::Failed(kubernetes::error(why, &cx.quoting)),
    }
}
