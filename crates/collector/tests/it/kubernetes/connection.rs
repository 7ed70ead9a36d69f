//! Whom to trust, and ways through proxies.

use std::fs;
use std::net::TcpListener;

use serde_json::json;

use super::{base64, has_both, hides_names, jupyter, world, world_of};
use crate::support::authority::Authority;
use crate::support::cluster::{Cluster, kubeconfig};
use crate::support::needs;
use crate::support::proxy::Proxy;

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
        needs::left_out("it needs IPv6 on loopback, which this machine has not");
        return;
    };
    let way = Proxy::passing(listener, server.parse().unwrap());
    let mut by_address = cluster.cluster();
    by_address["server"] = format!("https://{}", way.address).into();
    has_both(jupyter(&world(&kubeconfig(&by_address, &json!({}))), &[]));
    // This address is not in the certificate.
    let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
    let way = Proxy::passing(elsewhere, server.parse().unwrap());
    let mut by_name = cluster.cluster();
    by_name["server"] = format!("https://{}", way.address).into();
    let run = jupyter(&world(&kubeconfig(&by_name, &json!({}))), &[]).exits(1);
    assert_eq!(run.stdout, "");
    by_name["tls-server-name"] = "localhost".into();
    has_both(jupyter(&world(&kubeconfig(&by_name, &json!({}))), &[]));
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
