//! The jupyter collector against a stub of the Kubernetes API.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::authority::Authority;
use crate::support::cluster::{Ask, Cluster, What, json_reply, kubeconfig, pods, recorded};
use crate::support::endpoint::Reply;
use crate::support::program::{Run, World};
use crate::support::proxy::Proxy;

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

// What is asked for and what comes of it.

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

// Exec plugins.

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
    for script in [
        // Ignores a polite request, and so do its children.
        "trap '' TERM; /usr/bin/sleep 600 & echo $$ $! > \"$HOME/pids\"; wait; wait",
        // Ends well, and what it leaves behind holds its output.
        "/usr/bin/sleep 600 & echo $$ $! > \"$HOME/pids\"",
    ] {
        let cluster = Cluster::healthy();
        let mut world = world_with_plugin(&cluster, script);
        world.healthy_host();
        let begun = Instant::now();
        let run = jupyter(&world, &["--host", "--mount", "/"]).exits(1);
        assert!(begun.elapsed() < Duration::from_secs(10));
        let kinds: Vec<_> = run.documents().iter().map(|d| d["kind"].clone()).collect();
        assert_eq!(kinds, ["CPU", "MEM", "NETWORK", "DISK"]);
        assert!(run.says("exec plugin").stderr.contains("jupyter: "));
        let pids = fs::read_to_string(world.path("home/pids")).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2);
        for pid in pids.split_whitespace() {
            assert!(is_gone(pid), "process {pid} of {script:?} is still there");
        }
        hides_names(&world);
    }
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
fn a_kubeconfig_that_nobody_may_read_costs_only_this_collector() {
    let mut world = World::new();
    world.healthy_host();
    // A folder: root may read any file.
    world.env("KUBECONFIG", "/");
    let run = jupyter(&world, &["--host", "--mount", "/"]).exits(1);
    assert_eq!(run.documents().len(), 4);
}

// TLS.

#[test]
fn whom_to_trust() {
    let cluster = Cluster::healthy();
    let pem = fs::read(cluster.endpoint.ca.path()).unwrap();
    let data = json!({"server": cluster.server(), "certificate-authority-data": base64(&pem)});
    let insecure = json!({"server": cluster.server(), "insecure-skip-tls-verify": true});
    for trust in [data, insecure] {
        has_both(jupyter(&world(&kubeconfig(&trust, &json!({}))), &[]));
    }
    let other = Authority::new();
    let wrong = json!({"server": cluster.server(), "certificate-authority-data": base64(other.pem.as_bytes())});
    let run = jupyter(&world(&kubeconfig(&wrong, &json!({}))), &[]).exits(1);
    assert_eq!(run.stdout, "");
    let said = "its certificate is not one to trust by the kubeconfig";
    run.says("invalid peer certificate").says(said);
    // As nothing else can be said of it under -o.
    hides_names(&world(&kubeconfig(&wrong, &json!({})))).says(said);
}

#[test]
fn a_server_by_its_ipv6_address_or_by_another_name() {
    let cluster = Cluster::healthy();
    let server = cluster.server().trim_start_matches("https://");
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("left out: a cluster by its IPv6 address (this machine has no IPv6)");
        return;
    };
    let way = Proxy::listen(listener, Some(server.parse().unwrap()));
    let mut by_address = cluster.cluster();
    by_address["server"] = format!("https://{}", way.address).into();
    has_both(jupyter(&world(&kubeconfig(&by_address, &json!({}))), &[]));
    // This address is not in the certificate.
    let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
    let way = Proxy::listen(elsewhere, Some(server.parse().unwrap()));
    let mut by_name = cluster.cluster();
    by_name["server"] = format!("https://{}", way.address).into();
    let run = jupyter(&world(&kubeconfig(&by_name, &json!({}))), &[]).exits(1);
    assert_eq!(run.stdout, "");
    by_name["tls-server-name"] = "localhost".into();
    has_both(jupyter(&world(&kubeconfig(&by_name, &json!({}))), &[]));
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}

// Proxies.

#[test]
fn a_proxy_of_the_kubeconfig_goes_before_the_environment() {
    let (cluster, proxy) = (Cluster::healthy(), Proxy::start());
    let mut through = cluster.cluster();
    through["proxy-url"] = format!("http://{}", proxy.address).into();
    let mut world = world(&kubeconfig(&through, &json!({})));
    // Port 9 answers nobody. NO_PROXY is about the environment's proxy only.
    world
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1");
    has_both(jupyter(&world, &[]));
    assert_eq!(proxy.heads().len(), 1);
}

#[test]
fn a_proxy_of_the_environment_with_user_and_password() {
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let (cluster, proxy) = (Cluster::healthy(), Proxy::start());
        let mut world = world_of(&cluster);
        let url = format!("http://canary-1:p%40ss%2Fword@{}", proxy.address);
        world.env(variable, url);
        has_both(jupyter(&world, &[]));
        let [head] = &proxy.heads()[..] else {
            panic!("{:?}", proxy.heads());
        };
        let server = cluster.server().trim_start_matches("https://");
        assert!(head.starts_with(&format!("CONNECT {server} ")), "{head}");
        let basic = format!("basic {}", base64(b"canary-1:p@ss/word"));
        assert!(
            head.to_lowercase().contains(&basic.to_lowercase()),
            "{head}"
        );
        // kube must not hold NO_PROXY against the proxy's own address, but the cluster's counts.
        // A final comma is common.
        world.env("NO_PROXY", "example.org,127.0.0.0/8,");
        has_both(jupyter(&world, &[]));
        assert_eq!(proxy.heads().len(), 1);
    }
}

#[test]
fn a_proxy_that_cannot_be_used_does_not_show_its_password() {
    let cluster = Cluster::healthy();
    for proxy in [
        "http://canary-1:t0ken-of-proxy@127.0.0.1:9",
        "ftp://canary-1:t0ken-of-proxy@127.0.0.1:9",
        "socks5://canary-1:t0ken-of-proxy@127.0.0.1:9",
        "http://canary-1:t0ken-of-proxy@[::",
    ] {
        let mut through = cluster.cluster();
        through["proxy-url"] = proxy.into();
        let own = world(&kubeconfig(&through, &json!({})));
        let run = jupyter(&own, &[]).exits(1);
        assert!(!run.stderr.contains("t0ken"), "{}", run.stderr);
        hides_names(&own);
        let mut env = world_of(&cluster);
        env.env("HTTPS_PROXY", proxy);
        let run = jupyter(&env, &[]);
        assert!(!run.stderr.contains("t0ken"), "{}", run.stderr);
    }
}

// Namespaces that are missing, forbidden or empty.

fn forbidden() -> Reply {
    json_reply(403, recorded("403.json"))
}

#[test]
fn a_forbidden_namespace_is_a_failure_if_it_was_named_and_a_remark_if_not() {
    let cluster = Cluster::start(|ask| {
        is_list_in(ask, "coffea-casa").then(|| json_reply(403, recorded("403-coffea-casa.json")))
    });
    let world = world_of(&cluster);
    let run = jupyter(&world, &[])
        .exits(0)
        .says(" INFO jupyter: namespace coffea-casa: 403");
    assert_eq!(run.documents(), [document("jupyter-ml", &AF)]);
    hides_names(&world);
    let cluster = Cluster::start(|ask| is_list_in(ask, "canary-lab").then(forbidden));
    let world = world_of(&cluster);
    let run = jupyter(&world, &["-n", "canary-lab"]).exits(1);
    assert_eq!(run.documents(), coffea_alone());
    run.says("ERROR jupyter: namespace canary-lab: 403, these credentials may not list pods");
}

#[test]
fn both_default_namespaces_missing_or_forbidden_is_a_failure() {
    let forbidding = Cluster::start(|_| Some(forbidden()));
    let missing = Cluster::start(|ask| {
        Some(match ask.what {
            What::ListPods => json_reply(200, recorded("empty.json")),
            What::GetNamespace => not_found(),
        })
    });
    for cluster in [forbidding, missing] {
        let world = world_of(&cluster);
        let run = jupyter(&world, &[]).exits(1);
        assert_eq!(run.documents(), [] as [Value; 0]);
        hides_names(&world);
    }
}

fn not_found() -> Reply {
    let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "namespaces \"canary-lab\" not found"});
    json_reply(404, status.to_string())
}

#[test]
fn a_missing_namespace_is_no_false_zero() {
    let cluster = Cluster::healthy();
    let run = jupyter(&world_of(&cluster), &["-n", "af-jupiter"])
        .exits(1)
        .says("WARN jupyter: namespace af-jupiter was asked for and does not exist");
    assert_eq!(run.documents(), coffea_alone());

    let cluster = Cluster::start(|ask| {
        let is_coffea = ask.namespace == "coffea-casa";
        is_coffea.then(|| match ask.what {
            What::ListPods => json_reply(200, recorded("empty.json")),
            What::GetNamespace => not_found(),
        })
    });
    let run = jupyter(&world_of(&cluster), &[])
        .exits(0)
        .says("INFO jupyter: namespace coffea-casa: does not exist");
    assert_eq!(run.documents(), [document("jupyter-ml", &AF)]);
    assert!(!run.stderr.contains("WARN"), "{}", run.stderr);
}

#[test]
fn nobody_is_believed_where_the_namespace_exists_or_may_not_be_asked_for() {
    for is_forbidden in [true, false] {
        let cluster = Cluster::start(move |ask| match (ask.what, &*ask.namespace) {
            (What::ListPods, "af-jupyter") => Some(pods("owner", &[], None)),
            (What::GetNamespace, _) if is_forbidden => Some(forbidden()),
            _ => None,
        });
        let run = jupyter(&world_of(&cluster), &[]).exits(0);
        assert_eq!(
            run.documents(),
            [
                document("jupyter-ml", &[]),
                document("jupyter-coffea", &COFFEA)
            ]
        );
        assert_eq!(cluster.asks_about("af-jupyter").len(), 2);
    }
}

// Answers that are none.

/// What the server does about af-jupyter, and what the log says of it.
struct Failure {
    name: &'static str,
    odd: fn(&Ask) -> Reply,
    said: &'static str,
}

const FAILURES: &[Failure] = &[
    Failure {
        name: "unauthorized",
        odd: |_| json_reply(401, recorded("401.json")),
        said: "401, the Kubernetes API does not accept these credentials",
    },
    Failure {
        name: "forbidden",
        odd: |_| forbidden(),
        said: "403, these credentials may not list pods",
    },
    Failure {
        name: "expired twice",
        odd: |ask| match ask.from {
            None => pods("owner", &["canary-1"], Some("next")),
            Some(_) => json_reply(410, recorded("410.json")),
        },
        said: "expired twice (410)",
    },
    Failure {
        name: "internal error",
        odd: |_| {
            let status = json!({"kind": "Status", "status": "Failure", "code": 500,
                "reason": "InternalError", "message": "etcd has lost canary-30"});
            json_reply(500, status.to_string())
        },
        said: "the Kubernetes API refused: 500",
    },
    Failure {
        name: "always busy",
        odd: |_| {
            Reply::With(
                429,
                vec![("retry-after", "1".to_owned())],
                recorded("429.txt"),
            )
        },
        said: "no list from the Kubernetes API within 2 s",
    },
    Failure {
        name: "not JSON",
        odd: |_| json_reply(200, "canary-31 is not JSON".to_owned()),
        said: "is no list of pods",
    },
    Failure {
        name: "other JSON",
        odd: |_| json_reply(200, r#"{"items": "canary-32"}"#.to_owned()),
        said: "is no list of pods",
    },
    Failure {
        name: "truncated JSON",
        odd: |_| {
            let page = recorded("af-jupyter-1.json");
            json_reply(200, page[..page.len() / 2].to_owned())
        },
        said: "is no list of pods",
    },
    Failure {
        name: "a login page",
        odd: |_| {
            let page = "<!doctype html><title>canary-33, please log in</title>";
            let html = "text/html".to_owned();
            Reply::With(200, vec![("content-type", html)], page.to_owned())
        },
        said: "is no list of pods",
    },
    Failure {
        name: "a gateway's error page",
        odd: |_| Reply::Status(502, "<html>canary-34: bad gateway</html>".to_owned()),
        said: "the Kubernetes API refused: 502",
    },
    Failure {
        name: "cut off before the answer",
        odd: |_| Reply::Cut,
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "cut off in mid-answer",
        odd: |_| {
            let page = recorded("af-jupyter-1.json");
            Reply::Broken(page[..page.len() / 2].to_owned())
        },
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "cut off after the first page",
        odd: |ask| match ask.from {
            None => json_reply(200, recorded("af-jupyter-1.json")),
            Some(_) => Reply::Cut,
        },
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "silent",
        odd: |_| Reply::Hang,
        said: "no list from the Kubernetes API within 2 s",
    },
];

impl Failure {
    fn cluster(&'static self) -> Cluster {
        Cluster::start(|ask| is_list_in(ask, "af-jupyter").then(|| (self.odd)(ask)))
    }
}

/// Each failure in a thread of its own: some wait for their deadline.
fn each_failure(check: fn(&'static Failure)) {
    std::thread::scope(|scope| {
        let running: Vec<_> = FAILURES
            .iter()
            .map(|failure| (failure.name, scope.spawn(move || check(failure))))
            .collect();
        for (name, thread) in running {
            assert!(thread.join().is_ok(), "at {name:?}");
        }
    });
}

#[test]
fn a_failure_in_one_namespace_is_said_and_leaves_the_other_its_document() {
    each_failure(|failure| {
        let cluster = failure.cluster();
        let begun = Instant::now();
        // By name, so that it may not be missing.
        let run = jupyter(&world_of(&cluster), &["-n", "af-jupyter"]).exits(1);
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert_eq!(run.documents(), coffea_alone());
        let run = run
            .says(failure.said)
            .says("ERROR jupyter: namespace af-jupyter: ");
        assert_eq!(run.stderr.matches("ERROR").count(), 1, "{}", run.stderr);
        cluster.asks();
    });
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

#[test]
fn no_name_leaves_whatever_fails() {
    hides_names(&world_of(&Cluster::healthy()));
    each_failure(|failure| {
        let run = hides_names(&world_of(&failure.cluster()));
        assert_eq!(run.documents().len(), 1);
        assert!(run.stderr.contains("ERROR") || run.stderr.contains("INFO jupyter"));
    });
}

// What passes.

#[test]
fn an_expired_list_is_started_over_once() {
    let cluster = Cluster::start(|ask| {
        let is_first_second_page = is_list_in(ask, "af-jupyter") && ask.number == 1;
        is_first_second_page.then(|| json_reply(410, recorded("410.json")))
    });
    has_both(jupyter(&world_of(&cluster), &[]));
    let tokens: Vec<_> = cluster
        .asks_about("af-jupyter")
        .iter()
        .map(|ask| ask.from.is_some())
        .collect();
    assert_eq!(tokens, [false, true, false, true, true, true, true]);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let cluster = Cluster::start(|ask| {
        let after = vec![("retry-after", "1".to_owned())];
        (ask.number == 0).then(|| Reply::With(429, after, recorded("429.txt")))
    });
    let begun = Instant::now();
    has_both(jupyter(&world_of(&cluster), &[]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
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
        eprintln!("left out: the service account of a pod (needs root, for unshare and mount)");
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
