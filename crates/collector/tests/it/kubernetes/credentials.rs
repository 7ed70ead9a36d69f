//! Where the credentials come from, and kubeconfigs that cannot be used.

use std::fs;

use serde_json::{Value, json};

use super::{BEARER, has_both, hides_names, jupyter, world};
use crate::support::authority::Authority;
use crate::support::cluster::Cluster;
use crate::support::needs;
use crate::support::program::{Run, World};

// Ways to prove who we are.

#[test]
fn a_client_certificate() {
    let clients = Authority::new();
    let identity = clients.sign(&["metrics"]);
    let cluster = Cluster::start_for(Some(&clients), |_| None);
    let mut world = World::new();
    let (certificate, key) = (world.path("home/client.crt"), world.path("home/client.key"));
    fs::write(&certificate, identity.certificate_pem).unwrap();
    fs::write(&key, identity.key_pem).unwrap();
    let user = json!({"client-certificate": certificate, "client-key": key});
    let path = world.path("home/af.conf");
    fs::write(&path, cluster.kubeconfig(&user).to_string()).unwrap();
    world.env("KUBECONFIG", path);
    has_both(jupyter(&world, &[]));
}

#[test]
fn a_missing_client_certificate_is_a_failure() {
    let clients = Authority::new();
    let cluster = Cluster::start_for(Some(&clients), |_| None);
    let run = jupyter(&world(&cluster.kubeconfig(&json!({}))), &[]).exits(1);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_token_file_with_a_final_newline() {
    let cluster = Cluster::healthy();
    let token = World::new();
    let path = token.path("home/token");
    fs::write(&path, format!("{BEARER}\n")).unwrap();
    let world = world(&cluster.kubeconfig(&json!({"tokenFile": path})));
    has_both(jupyter(&world, &[]));
    assert_eq!(
        cluster.asks()[0].authorization.as_deref(),
        Some(&*format!("Bearer {BEARER}"))
    );
}

#[test]
fn a_missing_token_file() {
    let cluster = Cluster::healthy();
    let world = world(&cluster.kubeconfig(&json!({"tokenFile": "/nowhere/canary-1/token"})));
    jupyter(&world, &[])
        .exits(1)
        .says("cannot read the token file")
        .says("/nowhere/");
    hides_names(&world);
}

#[test]
fn the_kubeconfig_in_the_home_folder() {
    let cluster = Cluster::healthy();
    let world = World::new();
    fs::create_dir(world.path("home/.kube")).unwrap();
    let kubeconfig = cluster.kubeconfig(&json!({"token": BEARER}));
    fs::write(world.path("home/.kube/config"), kubeconfig.to_string()).unwrap();
    has_both(jupyter(&world, &[]));
}

// Kubeconfigs that cannot be used.

#[test]
fn a_kubeconfig_that_is_missing_or_broken() {
    let no_context = json!({"apiVersion": "v1", "kind": "Config", "current-context": ""});
    let token = "t0ken-in-the-file";
    for (content, said) in [
        (None, "KUBECONFIG names a file that is not there"),
        (Some(no_context.to_string()), "no current-context"),
        (
            Some(format!(
                "users:\n- name: canary-1\n  user:\n    token: [{token}\n"
            )),
            "the file that KUBECONFIG names cannot be used",
        ),
        (
            Some(format!("users:\n- name: canary-1\n  user: {token}\n")),
            "the file that KUBECONFIG names cannot be used",
        ),
    ] {
        let mut world = World::new();
        let path = world.path("home/canary-1.conf");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        world.env("KUBECONFIG", path);
        let run = jupyter(&world, &[]).exits(1).says(said);
        assert!(!run.stderr.contains(token), "{}", run.stderr);
        assert_eq!(run.stderr.matches("ERROR").count(), 1, "{}", run.stderr);
        hides_names(&world);
    }
}

#[test]
fn no_kubeconfig_at_all() {
    jupyter(&World::new(), &[])
        .exits(1)
        .says("there is no kubeconfig (KUBECONFIG, ~/.kube/config) and no service account");
}

#[test]
fn a_kubeconfig_whose_parts_do_not_fit() {
    let cluster = Cluster::healthy();
    let mut no_pem = cluster.cluster();
    no_pem["certificate-authority"] = "/dev/null".into();
    let with = |what: &str, value: Value| {
        let mut kubeconfig = cluster.kubeconfig(&json!({"token": BEARER}));
        kubeconfig[what] = value;
        kubeconfig
    };
    for (kubeconfig, said) in [
        (with("current-context", json!("canary-1")), "no context of"),
        (with("clusters", json!([])), "no cluster of its context"),
        (
            with("clusters", json!([{"name": "af", "cluster": {}}])),
            "no URL of a server",
        ),
        (
            with("clusters", json!([{"name": "af", "cluster": no_pem}])),
            "a certificate-authority that holds none",
        ),
        (
            cluster.kubeconfig(&json!({"token": "t0ken\nof-two-lines"})),
            "the token for the cluster is empty, or holds",
        ),
        (
            cluster.kubeconfig(&json!({"auth-provider":
                {"name": "gcp", "config": {"cmd-path": "/usr/bin/yes"}}})),
            "use an exec plugin",
        ),
    ] {
        let world = world(&kubeconfig);
        let run = jupyter(&world, &[]).exits(1).says(said);
        assert!(!run.stderr.contains("t0ken"), "{}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        hides_names(&world);
    }
    assert_eq!(cluster.asks(), []);
}

#[test]
fn a_newline_after_a_token_is_none_of_it() {
    let cluster = Cluster::healthy();
    let user = json!({"token": format!("{BEARER}\n")});
    has_both(jupyter(&world(&cluster.kubeconfig(&user)), &[]));
}

#[test]
fn a_kubeconfig_on_a_dead_mount_costs_only_this_collector() {
    let mut world = World::new();
    world.healthy_host();
    // Opening it waits for a writer, who never comes.
    let pipe = world.path("home/af.conf");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    world.env("KUBECONFIG", pipe);
    let run = jupyter(&world, &["--host", "--mount", "/"]).exits(1);
    assert_eq!(run.documents().len(), 4);
    run.says("the kubeconfig, or a file that it names, could not be read within 2 s");
}

#[test]
fn a_kubeconfig_that_nobody_may_read_costs_only_this_collector() {
    let mut world = World::new();
    world.healthy_host();
    // A folder: root may read any file.
    world.env("KUBECONFIG", "/");
    let run = jupyter(&world, &["--host", "--mount", "/"]).exits(1);
    assert_eq!(run.documents().len(), 4);
}

// A pod's own account.

/// Runs the program where the files of a service account are at their fixed place; `None` where
/// that cannot be made.
fn in_a_pod(world: &mut World, cluster: &Cluster, token: Option<&str>) -> Option<Run> {
    let files = world.path("home/account");
    fs::create_dir(&files).unwrap();
    fs::copy(cluster.endpoint.ca.path(), files.join("ca.crt")).unwrap();
    fs::write(files.join("namespace"), "af-metrics").unwrap();
    if let Some(token) = token {
        fs::write(files.join("token"), token).unwrap();
    }
    let (host, port) = cluster
        .server()
        .trim_start_matches("https://")
        .split_once(':')
        .unwrap();
    world
        .env("KUBERNETES_SERVICE_HOST", host)
        .env("KUBERNETES_SERVICE_PORT", port);
    let program = world.command(&["--print", "-j", "-vv", "--silence", "2"]);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program itself"
    )]
    let mut namespace = std::process::Command::new("/usr/bin/unshare");
    let script = "mount -t tmpfs none /run || exit 77
        account=/run/secrets/kubernetes.io/serviceaccount
        mkdir -p $account && cp \"$0\"/* $account && exec \"$@\"";
    let output = namespace
        .args([
            "-m",
            "/bin/sh",
            "-c",
            &format!("PATH=/usr/bin:/bin; {script}"),
        ])
        .arg(files)
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(world.path("cwd"))
        .output();
    let output = output.ok().filter(|output| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        output.status.code() != Some(77) && !stderr.starts_with("unshare: ")
    })?;
    Some(Run {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    })
}

#[test]
fn the_service_account_of_a_pod() {
    let cluster = Cluster::healthy();
    let token = format!("{BEARER}\n");
    let Some(run) = in_a_pod(&mut World::new(), &cluster, Some(&token)) else {
        needs::left_out("it needs root, for a mount namespace of its own");
        return;
    };
    has_both(run);
    assert_eq!(
        cluster.asks()[0].authorization.as_deref(),
        Some(&*format!("Bearer {BEARER}"))
    );
    in_a_pod(&mut World::new(), &cluster, None)
        .unwrap()
        .exits(1)
        .says("cannot read the token file");
}
