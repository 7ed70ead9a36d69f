//! The jupyter collector against a stub of the Kubernetes API.

mod answers;
mod connection;
mod credentials;
mod plugins;

use std::fs;

use serde_json::{Value, json};

use crate::support::cluster::{Ask, Cluster, What, pods};
use crate::support::program::{Run, World};

const BEARER: &str = "t0ken-of-the-cluster";
const AF: [&str; 12] = [
    "canary-1",
    "canary-10-2ex",
    "canary-11",
    "canary-12.O_Neil-2",
    "canary-2",
    "canary-3",
    "canary-4",
    "canary-5",
    "canary-6",
    "canary-7",
    "canary-8",
    "canary-9",
];
const COFFEA: [&str; 6] = [
    "canary-1",
    "canary-10---3f1e2d4c",
    "canary-10-2ex",
    "canary-2-40example-2eorg",
    "canary-4",
    "canary-5",
];

/// A world whose kubeconfig is this.
fn world(kubeconfig: &Value) -> World {
    let mut world = World::new();
    let path = world.path("home/af.conf");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    world.env("KUBECONFIG", path);
    world
}

/// A world that reaches the cluster with a token.
fn world_of(cluster: &Cluster) -> World {
    world(&cluster.kubeconfig(&json!({"token": BEARER})))
}

/// `-j` with deadlines that a test can wait for.
fn jupyter(world: &World, args: &[&str]) -> Run {
    world.print(&[&["-j", "-vv", "--silence", "2", "--deadline", "20"], args].concat())
}

fn document(kind: &str, users: &[&str]) -> Value {
    json!({"cluster": "UC-AF", "kind": kind, "jupyter_user_count": users.len(), "users": users})
}

fn both() -> Vec<Value> {
    vec![
        document("jupyter-ml", &AF),
        document("jupyter-coffea", &COFFEA),
    ]
}

fn coffea_alone() -> Vec<Value> {
    vec![document("jupyter-coffea", &COFFEA)]
}

#[track_caller]
fn has_both(run: Run) {
    assert_eq!(run.exits(0).documents(), both());
}

fn is_list_in(ask: &Ask, namespace: &str) -> bool {
    ask.what == What::ListPods && ask.namespace == namespace
}

/// Runs with names hidden and asserts that none leaves, neither in a document nor in the log.
#[track_caller]
fn hides_names(world: &World) -> Run {
    let run = jupyter(
        world,
        &[
            "-o",
            "-z",
            "s4lt",
            "-O",
            "example.org",
            "--login-node",
            "canary-node7.example.edu",
        ],
    );
    assert!(!run.stdout.contains("canary-"), "{}", run.stdout);
    // The folders of a test are named at random.
    assert!(!run.stderr.contains("canary-"), "{}", run.stderr);
    run
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[test]
fn all_pages_of_both_namespaces_each_user_once_and_none_for_an_empty_label() {
    let cluster = Cluster::healthy();
    has_both(jupyter(&world_of(&cluster), &[]));
    let asks = cluster.asks_about("af-jupyter");
    assert_eq!(asks.len(), 5);
    for (n, ask) in asks.iter().enumerate() {
        assert_eq!(ask.what, What::ListPods);
        assert_eq!(ask.label.as_deref(), Some("owner"));
        assert_eq!(ask.field, None);
        assert_eq!(ask.from.is_some(), n > 0);
        assert_eq!(
            ask.authorization.as_deref(),
            Some(&*format!("Bearer {BEARER}"))
        );
    }
    let [coffea] = &cluster.asks_about("coffea-casa")[..] else {
        panic!("{:?}", cluster.asks());
    };
    assert_eq!(coffea.label.as_deref(), Some("jhub_user"));
}

#[test]
fn finished_pods_are_excluded_by_the_server() {
    let cluster = Cluster::healthy();
    has_both(jupyter(&world_of(&cluster), &["--exclude-finished-pods"]));
    for ask in cluster.asks() {
        let phases = "status.phase!=Succeeded,status.phase!=Failed";
        assert_eq!(ask.field.as_deref(), Some(phases));
    }
}

#[test]
fn a_selector_with_a_value_still_names_users_by_the_label() {
    for (selector, users) in [
        ("owner=canary-4", &["canary-4"][..]),
        ("owner in (canary-4,canary-5)", &["canary-4", "canary-5"]),
        ("owner!=", &["canary-5"]),
    ] {
        let cluster = Cluster::start(move |ask| {
            is_list_in(ask, "canary-lab").then(|| pods("owner", users, None))
        });
        let run = jupyter(&world_of(&cluster), &["-n", "canary-lab", "-l", selector]).exits(0);
        let asked = &cluster.asks_about("canary-lab")[0];
        assert_eq!(asked.label.as_deref(), Some(selector));
        assert_eq!(run.documents()[0], document("jupyter-ml", users));
    }
}

#[test]
fn users_are_filtered_by_group_and_hashed() {
    let cluster = Cluster::start(|ask| {
        is_list_in(ask, "af-jupyter").then(|| pods("owner", &["canary-1", "root"], None))
    });
    let run = jupyter(&world_of(&cluster), &["-g", "root"]).exits(0);
    assert_eq!(
        run.documents(),
        [
            document("jupyter-ml", &["root"]),
            document("jupyter-coffea", &[])
        ]
    );
    let hashed = ["-o", "-z", "s4lt", "--hash", "sha256", "-g", "root"];
    let run = jupyter(&world_of(&cluster), &hashed).exits(0);
    // printf s4ltroot | sha256sum
    assert_eq!(run.documents()[0]["users"], json!(["31d7e54b"]));
}

// What the manual tells an administrator to grant.

/// The rules of all roles of a kind in the manual, as (resource, verb).
fn granted(kind: &str) -> Vec<(String, String)> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kubernetes.md");
    let manual = fs::read_to_string(manual).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        let values = value.as_array().unwrap().iter();
        values.map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = Vec::new();
    for block in manual.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for document in block.split("---\n") {
            let document: Value = serde_saphyr::from_str(document).unwrap();
            assert!(document["metadata"]["name"].is_string(), "{document}");
            if document["kind"] != kind {
                continue;
            }
            for rule in document["rules"].as_array().unwrap() {
                assert_eq!(rule["apiGroups"], json!([""]));
                for resource in texts(&rule["resources"]) {
                    granted.extend(
                        texts(&rule["verbs"])
                            .into_iter()
                            .map(|verb| (resource.clone(), verb)),
                    );
                }
            }
        }
    }
    granted
}

#[test]
fn the_manual_grants_what_is_asked_for_and_no_more() {
    let cluster = Cluster::healthy();
    jupyter(&world_of(&cluster), &["-n", "canary-lab"]).exits(1);
    let mut asked: Vec<_> = cluster
        .asks()
        .iter()
        .map(|ask| match ask.what {
            What::ListPods => ("pods".to_owned(), "list".to_owned()),
            What::GetNamespace => ("namespaces".to_owned(), "get".to_owned()),
        })
        .collect();
    asked.sort();
    asked.dedup();
    let (required, optional) = (granted("Role"), granted("ClusterRole"));
    assert_eq!(required, [("pods".to_owned(), "list".to_owned())]);
    assert_eq!(asked, [optional, required].concat());
}
