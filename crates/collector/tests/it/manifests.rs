//! The manifests in `dist/kubernetes`: objects that Kubernetes has, with fields that they have, and command lines that
//! the program takes. (`kubernetes-validate --strict`, of PyPI, says the same of them; it is not in the gate.)

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolumeClaim, PodSpec, Service, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::program::{Run, World};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/kubernetes")
}

/// The objects of a file.
fn objects(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    parsed(&text)
}

fn parsed(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|object| serde_saphyr::from_str(object).unwrap())
        .collect()
}

/// Reads an object as what it says it is, and writes it again. A field that its type does not have is lost by that, and
/// one that must be there and is not is added.
fn again(object: &Value) -> Value {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        serde_json::to_value(typed).unwrap()
    }
    let kind = format!("{} {}", text(object, "/apiVersion"), text(object, "/kind"));
    match kind.as_str() {
        "v1 Namespace" => through::<Namespace>(object),
        "v1 PersistentVolumeClaim" => through::<PersistentVolumeClaim>(object),
        "v1 Service" => through::<Service>(object),
        "v1 ServiceAccount" => through::<ServiceAccount>(object),
        "apps/v1 DaemonSet" => through::<DaemonSet>(object),
        "apps/v1 StatefulSet" => through::<StatefulSet>(object),
        "batch/v1 CronJob" => through::<CronJob>(object),
        "rbac.authorization.k8s.io/v1 Role" => through::<Role>(object),
        "rbac.authorization.k8s.io/v1 RoleBinding" => through::<RoleBinding>(object),
        other => panic!("no kind of these manifests: {other}"),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap()
}

/// The pod that an object makes.
fn pod(object: &Value) -> Option<PodSpec> {
    let spec = match text(object, "/kind") {
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template/spec"),
        _ => object.pointer("/spec/template/spec"),
    };
    Some(serde_json::from_value(spec?.clone()).unwrap())
}

const FILES: [&str; 3] = [
    "collector-cronjob.yaml",
    "collector-daemonset.yaml",
    "receiver-statefulset.yaml",
];

#[test]
fn every_manifest_is_looked_at() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, FILES);
}

#[test]
fn kubernetes_knows_every_object_and_every_field() {
    for file in FILES {
        for object in objects(file) {
            assert_eq!(again(&object), object, "{file}");
        }
    }
}

/// What the test above would say of a mistake.
#[test]
fn a_field_that_there_is_not_is_found() {
    let role =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: a\nrules:\n";
    for (rule, is_good) in [
        (
            "  - apiGroups: [\"\"]\n    resources: [pods]\n    verbs: [list]\n",
            true,
        ),
        (
            "  - apiGroups: [\"\"]\n    resource: [pods]\n    verbs: [list]\n",
            false,
        ),
        ("  - apiGroups: [\"\"]\n    resources: [pods]\n", false),
    ] {
        let object = parsed(&format!("{role}{rule}")).remove(0);
        assert_eq!(again(&object) == object, is_good, "{rule}");
    }
}

/// As `restricted` of the pod security standards wants it, but for the node's files in the DaemonSet.
#[test]
fn no_pod_may_more_than_it_needs() {
    let mut pods = 0;
    for file in FILES {
        for pod in objects(file).iter().filter_map(pod) {
            pods += 1;
            let context = pod.security_context.unwrap();
            assert_eq!(context.run_as_non_root, Some(true), "{file}");
            assert_eq!(context.run_as_user, Some(65532), "{file}");
            assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
            assert!(pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none());
            let talks_to_the_cluster = file == "collector-cronjob.yaml";
            assert_eq!(
                pod.automount_service_account_token.is_none(),
                talks_to_the_cluster
            );
            for container in &pod.containers {
                let context = container.security_context.clone().unwrap();
                assert_eq!(context.allow_privilege_escalation, Some(false), "{file}");
                assert_eq!(context.read_only_root_filesystem, Some(true), "{file}");
                assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
                assert!(context.privileged.is_none(), "{file}");
                let limits = container.resources.clone().unwrap().limits.unwrap();
                assert!(limits.contains_key("memory"), "{file}");
            }
            let mounts = pod.containers[0].volume_mounts.clone().unwrap();
            for volume in pod.volumes.unwrap_or_default() {
                let mount = mounts.iter().find(|mount| mount.name == volume.name);
                let mount = mount.unwrap_or_else(|| panic!("{file}: nobody sees {}", volume.name));
                let is_the_nodes = volume.host_path.is_some();
                assert_eq!(is_the_nodes, mount.mount_path == "/host", "{file}");
                let is_read_only = is_the_nodes || volume.secret.is_some();
                assert_eq!(mount.read_only.unwrap_or_default(), is_read_only, "{file}");
            }
        }
    }
    assert_eq!(pods, 3);
}

/// The one right that the collector has in the cluster is the one that docs/kubernetes.md asks for.
#[test]
fn the_collector_may_list_pods_and_nothing_else() {
    let roles: Vec<Role> = objects(FILES[0])
        .into_iter()
        .filter(|object| text(object, "/kind") == "Role")
        .map(|object| serde_json::from_value(object).unwrap())
        .collect();
    assert_eq!(roles.len(), 1);
    let rules = roles[0].rules.as_ref().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].verbs, ["list"]);
    assert_eq!(rules[0].resources.as_deref().unwrap(), ["pods"]);
}

/// The flags of the collector are flags that it has.
#[test]
fn the_pods_start_command_lines_that_there_are() {
    is_taken(FILES[0]);
}

/// The daemon's.
#[test]
fn the_daemons_pod_starts_a_command_that_there_is() {
    is_taken(FILES[1]);
}

#[track_caller]
fn is_taken(file: &str) {
    let pod = objects(file).iter().find_map(pod).unwrap();
    let container = &pod.containers[0];
    assert!(container.command.is_none(), "the image has it");
    let args = container.args.as_ref().unwrap();
    let words: Vec<&str> = args.iter().map(String::as_str).chain(["--help"]).collect();
    let run = Run::of(World::new().bare_command(&words));
    assert_eq!(run.status, 0, "{words:?}: {}", run.stderr);
}
