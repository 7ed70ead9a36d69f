//! A stub of the Kubernetes API over real TLS: it answers as recorded, checks what it is asked, and
//! errs where a test wants it to.

use std::fs;

use reqwest::Url;
use serde_json::{Value, json};

use super::authority::Authority;
use super::endpoint::{Endpoint, Protocol, Received, Reply};

/// A request, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// From 0, over all requests.
    pub number: usize,
    pub what: What,
    pub namespace: String,
    pub label: Option<String>,
    pub field: Option<String>,
    /// The token of the next page.
    pub from: Option<String>,
    pub authorization: Option<String>,
}

/// The two things that the collector may ask for, as RBAC names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    ListPods,
    GetNamespace,
}

impl Ask {
    /// `Err`: what is wrong with the request.
    fn of(number: usize, request: &Received) -> Result<Self, String> {
        let url = Url::parse(&format!("https://stub{}", request.target)).unwrap();
        let path: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
        let (what, namespace, accept) = match path[..] {
            ["api", "v1", "namespaces", namespace, "pods"] => {
                (What::ListPods, namespace, "PartialObjectMetadataList")
            }
            ["api", "v1", "namespaces", namespace] => {
                (What::GetNamespace, namespace, "PartialObjectMetadata")
            }
            _ => return Err(format!("path {}", url.path())),
        };
        let accept = format!("application/json;as={accept};g=meta.k8s.io;v=v1");
        if request.header("accept") != Some(accept.as_str()) {
            return Err(format!("accept {:?}", request.header("accept")));
        }
        if request.method != "GET" || !request.body.is_empty() {
            return Err(format!("method {}, or a body", request.method));
        }
        let mut ask = Self {
            number,
            what,
            namespace: namespace.to_owned(),
            label: None,
            field: None,
            from: None,
            authorization: request.header("authorization").map(str::to_owned),
        };
        let mut limit = None;
        for (name, value) in url.query_pairs() {
            let value = Some(value.into_owned());
            match &*name {
                "labelSelector" => ask.label = value,
                "fieldSelector" => ask.field = value,
                "continue" => ask.from = value,
                "limit" => limit = value,
                other => return Err(format!("parameter {other}")),
            }
        }
        match (what, limit.as_deref()) {
            (What::ListPods, Some("500")) | (What::GetNamespace, None) => Ok(ask),
            _ => Err(format!("limit {limit:?}")),
        }
    }
}

/// A running stub.
pub struct Cluster {
    pub endpoint: Endpoint,
}

impl Cluster {
    /// Answers as recorded.
    pub fn healthy() -> Self {
        Self::start(|_| None)
    }

    /// `odd`: another answer than the recorded one.
    pub fn start(odd: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start_for(None, odd)
    }

    /// `clients`: whose certificates a client must have one of.
    pub fn start_for(
        clients: Option<&Authority>,
        odd: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let reply = move |number, request: &Received| match Ask::of(number, request) {
            Ok(ask) => odd(&ask).unwrap_or_else(|| recorded_answer(&ask)),
            Err(wrong) => Reply::Status(400, wrong),
        };
        let authority = Authority::new();
        let identity = authority.sign(&["127.0.0.1", "::1", "localhost"]);
        Self {
            endpoint: Endpoint::of(&authority, identity, Protocol::Http1, clients, reply),
        }
    }

    /// All that was asked; panics at a request that the collector should not make.
    #[track_caller]
    pub fn asks(&self) -> Vec<Ask> {
        self.endpoint
            .requests()
            .iter()
            .enumerate()
            .map(|(number, request)| Ask::of(number, request).unwrap())
            .collect()
    }

    /// What was asked about a namespace.
    #[track_caller]
    pub fn asks_about(&self, namespace: &str) -> Vec<Ask> {
        let mut asks = self.asks();
        asks.retain(|ask| ask.namespace == namespace);
        asks
    }

    /// Where it listens.
    pub fn server(&self) -> &str {
        self.endpoint.url.trim_end_matches('/')
    }

    /// The `cluster` of a kubeconfig for it.
    pub fn cluster(&self) -> Value {
        json!({"server": self.server(), "certificate-authority": self.endpoint.ca.path()})
    }

    /// A kubeconfig for it; `user` has the credentials.
    pub fn kubeconfig(&self, user: &Value) -> Value {
        kubeconfig(&self.cluster(), user)
    }
}

/// A kubeconfig of one context. (YAML contains JSON.)
pub fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "af",
        "contexts": [{"name": "af", "context": {"cluster": "af", "user": "metrics"}}],
        "clusters": [{"name": "af", "cluster": cluster}],
        "users": [{"name": "metrics", "user": user}],
    })
}

/// A recorded answer's body.
pub fn recorded(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes");
    fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

/// A page of pods with these values of a label; `next`: the token of the page after it.
pub fn pods(label: &str, values: &[&str], next: Option<&str>) -> Reply {
    let items: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(n, value)| {
            json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"name": format!("notebook-{n}"), "labels": {label: value}},
            })
        })
        .collect();
    let mut list: Value = serde_json::from_str(&recorded("empty.json")).unwrap();
    list["items"] = items.into();
    list["metadata"]["continue"] = next.into();
    json_reply(200, list.to_string())
}

pub fn json_reply(status: u16, body: String) -> Reply {
    let json = "application/json".to_owned();
    Reply::With(status, vec![("content-type", json)], body)
}

/// What a namespace that does not exist is answered.
fn no_namespace(name: &str) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "message": format!("namespaces {name:?} not found"),
        "details": {"name": name, "kind": "namespaces"}, "code": 404,
    });
    json_reply(404, status.to_string())
}

fn recorded_answer(ask: &Ask) -> Reply {
    let page = match (ask.what, &*ask.namespace) {
        (What::ListPods, "af-jupyter") => recorded_page(ask.from.as_deref()),
        (What::ListPods, "coffea-casa") => recorded("coffea-casa.json"),
        (What::ListPods, _) => recorded("empty.json"),
        (What::GetNamespace, "af-jupyter" | "coffea-casa") => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": ask.namespace},
        })
        .to_string(),
        (What::GetNamespace, other) => return no_namespace(other),
    };
    json_reply(200, page)
}

/// The page that begins at this token: the page before it ends with it.
fn recorded_page(from: Option<&str>) -> String {
    let before = (1..=5).find(|n| {
        let page: Value = serde_json::from_str(&recorded(&format!("af-jupyter-{n}.json"))).unwrap();
        page["metadata"]["continue"].as_str() == from
    });
    match from {
        None => recorded("af-jupyter-1.json"),
        Some(_) => recorded(&format!("af-jupyter-{}.json", before.unwrap() + 1)),
    }
}
