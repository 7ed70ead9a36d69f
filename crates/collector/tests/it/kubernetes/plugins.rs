//! Credentials from exec plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BEARER, has_both, hides_names, jupyter, world};
use crate::support::authority::Authority;
use crate::support::cluster::Cluster;
use crate::support::program::World;

/// A world whose credentials come from this script.
fn world_with_plugin(cluster: &Cluster, script: &str) -> World {
    let mut world = World::new();
    world.program("af-credentials", script);
    let plugin = world.path("bin/af-credentials");
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": plugin,
        "args": ["login", "--as=canary-1"],
        "env": [{"name": "AF_REGION", "value": "here"}],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": true,
    });
    let path = world.path("home/af.conf");
    let kubeconfig = cluster.kubeconfig(&json!({"exec": exec}));
    fs::write(&path, kubeconfig.to_string()).unwrap();
    world.env("KUBECONFIG", path);
    world
}

/// A plugin's answer, as shell.
fn credential(status: &Value) -> String {
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
    });
    format!("/usr/bin/cat <<'END'\n{credential}\nEND\n")
}

#[test]
fn a_plugin_gives_a_token_once_and_sees_what_it_needs_and_no_secret_of_ours() {
    let cluster = Cluster::healthy();
    let script = format!(
        "echo ran >> \"$HOME/runs\"; /usr/bin/env > \"$HOME/env\"; echo \"$@\" > \"$HOME/args\"; {}",
        credential(&json!({"token": BEARER, "expirationTimestamp": "2099-01-01T00:00:00Z"}))
    );
    let mut world = world_with_plugin(&cluster, &script);
    world
        .env("AFMETRICS_TOKEN", "t0ken-of-ours")
        .env("AFMETRICS_SALT", "s4lt-of-ours");
    let run = jupyter(&world, &["-o"]).exits(0);
    assert_eq!(run.documents().len(), 2);
    let read = |name: &str| fs::read_to_string(world.path("home").join(name)).unwrap();
    assert_eq!(read("runs"), "ran\n");
    assert_eq!(read("args"), "login --as=canary-1\n");
    let env = read("env");
    assert!(env.contains("AF_REGION=here\n"), "{env}");
    assert!(env.contains("KUBERNETES_EXEC_INFO={"), "{env}");
    assert!(env.contains(cluster.server()), "{env}");
    assert!(env.contains(r#""interactive":false"#), "{env}");
    assert!(!env.contains("of-ours"), "{env}");
}

#[test]
fn a_plugin_gives_a_client_certificate() {
    let clients = Authority::new();
    let identity = clients.sign(&["metrics"]);
    let cluster = Cluster::start_for(Some(&clients), |_| None);
    let status = json!({
        "clientCertificateData": identity.certificate_pem,
        "clientKeyData": identity.key_pem,
    });
    has_both(jupyter(
        &world_with_plugin(&cluster, &credential(&status)),
        &[],
    ));
}

/// A process that is not there, or only its entry is, which nobody has fetched.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn a_plugin_that_hangs_costs_only_this_collector_and_leaves_nothing_behind() {
    // Ignores a polite request, and so do its children.
    fails_alone(
        "trap '' TERM; /usr/bin/sleep 600 & echo $$ $! > \"$HOME/pids\"; wait; wait",
        "exec plugin of the kubeconfig gave no output for 2 s and was ended",
    );
}

#[test]
fn what_a_plugin_leaves_behind_with_its_output_open_is_ended() {
    fails_alone(
        "/usr/bin/sleep 600 & echo $$ $! > \"$HOME/pids\"",
        "exec plugin of the kubeconfig did not print an ExecCredential",
    );
}

/// Asserts that nothing but this collector fails by this plugin, and that no process is left of it.
#[track_caller]
fn fails_alone(script: &str, said: &str) {
    let cluster = Cluster::healthy();
    let mut world = world_with_plugin(&cluster, script);
    world.healthy_host();
    let begun = Instant::now();
    let run = jupyter(&world, &["--host", "--mount", "/"]).exits(1);
    assert!(begun.elapsed() < Duration::from_secs(25));
    let kinds: Vec<_> = run.documents().iter().map(|d| d["kind"].clone()).collect();
    assert_eq!(kinds, ["CPU", "MEM", "NETWORK", "DISK"]);
    assert!(run.says(said).stderr.contains("jupyter: "));
    let pids = fs::read_to_string(world.path("home/pids")).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        assert!(is_gone(pid), "process {pid} of {script:?} is still there");
    }
    hides_names(&world);
}

#[test]
fn a_plugin_that_fails() {
    let cluster = Cluster::healthy();
    for (script, said) in [
        (
            "echo 'canary-1 has no ticket for t0ken-of-a-plugin' >&2; exit 3".to_owned(),
            "exec plugin of the kubeconfig ended with exit status 3",
        ),
        (
            "echo canary-1 t0ken-of-a-plugin".to_owned(),
            "exec plugin of the kubeconfig did not print an ExecCredential",
        ),
        (
            String::new(),
            "exec plugin of the kubeconfig did not print an ExecCredential",
        ),
        (
            credential(&json!({})),
            "exec plugin of the kubeconfig printed no credentials",
        ),
    ] {
        let world = world_with_plugin(&cluster, &script);
        let run = jupyter(&world, &[]).exits(1).says(said);
        assert_eq!(run.stdout, "");
        let run = hides_names(&world);
        assert!(!run.stderr.contains("t0ken"), "{}", run.stderr);
    }
    assert_eq!(cluster.asks(), []);
}

#[test]
fn a_plugin_that_is_not_there() {
    let cluster = Cluster::healthy();
    let exec =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "af-canary-1-login"});
    let world = world(&cluster.kubeconfig(&json!({"exec": exec})));
    jupyter(&world, &[]).exits(1).says("exec plugin");
    hides_names(&world);
}

#[test]
fn a_relative_plugin_is_looked_for_beside_the_kubeconfig() {
    let cluster = Cluster::healthy();
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "./login"});
    let world = world(&cluster.kubeconfig(&json!({"exec": exec})));
    let plugin = world.path("home/login");
    let script = credential(&json!({"token": BEARER}));
    fs::write(&plugin, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    has_both(jupyter(&world, &[]));
}
