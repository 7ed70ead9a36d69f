//! TLS, and where plain HTTP is refused.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::tls::Authority;
use crate::support::{FACILITY, Running, World, load, receiver, runtime, wait_until};

fn version(
    authority: &Authority,
    running: &Running,
    token: &str,
) -> Result<reqwest::Version, reqwest::Error> {
    let request = authority
        .client()
        .post(&running.url)
        .body(load(token, "a", 1.0).to_string());
    runtime().block_on(async {
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.version())
    })
}

#[test]
fn a_new_certificate_is_taken_over_and_a_broken_one_is_not() {
    let world = World::new();
    let token = world.token(FACILITY);
    let old = Authority::new(&world);
    old.sign();
    let (cert, key) = (old.path("cert.pem"), old.path("key.pem"));
    let running = world.serve(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(running.url.starts_with("https://"));
    assert_eq!(
        version(&old, &running, &token).unwrap(),
        reqwest::Version::HTTP_2
    );
    // Some who never finish their handshake, or speak something else.
    let mut silent: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(running.address()).unwrap())
        .collect();
    let began = Instant::now();
    std::io::Write::write_all(&mut silent[0], b"POST / HTTP/1.1\r\n\r\n").unwrap();
    version(&old, &running, &token).unwrap();
    std::fs::write(&cert, "nonsense").unwrap();
    wait_until("it says that the file is broken", || {
        running.log().contains("the certificate stays the old one")
    });
    version(&old, &running, &token).unwrap();
    let new = Authority::new(&world);
    new.sign();
    wait_until("the new certificate is served", || {
        version(&new, &running, &token).is_ok()
    });
    assert!(version(&old, &running, &token).is_err());
    // Each was closed in its time.
    for mut stream in silent {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        assert!(
            stream.read_to_end(&mut rest).is_ok_and(|n| n < 20)
                || began.elapsed() < Duration::from_secs(20)
        );
    }
    let (ended, log) = running.terminate();
    assert!(ended.success());
    assert_eq!(log.matches("stays the old one").count(), 1, "{log}");
}

#[test]
fn plain_http_stays_on_loopback() {
    let world = World::new();
    for (words, status, says) in [
        (
            &["--listen", "0.0.0.0:0"][..],
            2,
            "plain HTTP on 0.0.0.0:0 would send tokens and names in clear",
        ),
        (&["--listen", "[::]:0"], 2, "--insecure-http"),
        (
            &["--insecure-http", "--trust-loopback"],
            2,
            "cannot be used with",
        ),
        (&["--tls-cert", "cert.pem"], 2, "--tls-key"),
        (
            &["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"],
            1,
            "cannot read the certificate nowhere.pem",
        ),
        (&["--listen", "nowhere"], 2, "invalid value 'nowhere'"),
    ] {
        let output = world.run(&[&["serve"], words].concat());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {err}");
        assert!(err.contains(says), "{words:?}: {err}");
    }
    let token = world.token(FACILITY);
    let running = Running::start({
        let mut command = receiver(&["serve", "--listen", "0.0.0.0:0", "--insecure-http"]);
        command.env("AFMETRICS_STORE", world.store());
        command
    });
    let port = running.url.rsplit_once(':').unwrap().1.to_owned();
    let answer = runtime().block_on(async {
        let url = format!("http://127.0.0.1:{port}/");
        crate::support::client()
            .post(url)
            .body(load(&token, "a", 1.0).to_string())
            .send()
            .await
    });
    assert_eq!(answer.unwrap().status(), 200);
}

#[test]
fn what_is_wrong_with_the_files_is_said_in_words() {
    let world = World::new();
    let authority = Authority::new(&world);
    authority.sign();
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    let (good_cert, good_key) = (
        std::fs::read_to_string(&cert).unwrap(),
        std::fs::read_to_string(&key).unwrap(),
    );
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let locked = good_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (cert_is, key_is, says) in [
        (
            half(&good_cert),
            good_key.clone(),
            "cut short: the line -----END CERTIFICATE----- is missing",
        ),
        (
            good_cert.clone(),
            half(&good_key),
            "cut short: the line -----END PRIVATE KEY----- is missing",
        ),
        (good_cert.clone(), locked, "locked with a passphrase"),
        (
            good_cert.clone(),
            good_cert.clone(),
            "there is no private key (PEM) in it",
        ),
        (
            good_key.clone(),
            good_key.clone(),
            "there is no certificate (PEM) in",
        ),
    ] {
        std::fs::write(&cert, cert_is).unwrap();
        std::fs::write(&key, key_is).unwrap();
        let output = world.run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && err.contains(says),
            "{says}: {err}"
        );
    }
}

#[test]
fn a_certificate_that_clients_refuse_is_warned_of() {
    let world = World::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 12, 31);
    let (cert, file) = (world.path().join("c.pem"), world.path().join("k.pem"));
    std::fs::write(&cert, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&file, key.serialize_pem()).unwrap();
    let running = world.serve(&[
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        file.to_str().unwrap(),
    ]);
    let (_, log) = running.terminate();
    assert!(log.contains("has expired (2001-12-31T"), "{log}");
    assert!(log.contains("is an authority's (CA:TRUE)"), "{log}");
}
