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
