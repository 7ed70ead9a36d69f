//! Delivery to a real endpoint on loopback.

use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::endpoint::{Endpoint, Protocol, Received, Reply};
use crate::support::program::{Run, TOKEN, World, jobs};
use crate::support::proxy::Proxy;

/// A node with so many jobs and nothing else: a round that takes no second.
fn node(count: usize) -> World {
    let mut world = World::new();
    world.batch_node(&jobs(count, "canary-1"));
    world
}

/// Sends to a URL that no [`Endpoint`] stands behind.
fn send(world: &World, url: &str, args: &[&str]) -> Run {
    world.run(&[&["-b", "-v", "-t", TOKEN, "-u", url], args].concat())
}

#[test]
fn one_document_a_request_with_the_token_in_it() {
    for protocol in [Protocol::PlainHttp, Protocol::Http1, Protocol::Http2] {
        let endpoint = Endpoint::ok(protocol);
        let mut world = World::new();
        world.healthy_host();
        world
            .deliver(
                &endpoint,
                &["--host", "-v", "-c", "CANARY-AF", "--mount", "/"],
            )
            .exits(0)
            .says("4 accepted");
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 4);
        for request in requests {
            assert_eq!(request.method, "POST");
            assert_eq!(request.target, "/");
            let is_http2 = request.version == hyper::Version::HTTP_2;
            assert_eq!(is_http2, protocol == Protocol::Http2);
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.json()["token"], TOKEN);
            assert_eq!(request.json()["cluster"], "CANARY-AF");
        }
    }
}

#[test]
fn every_2xx_is_accepted() {
    for status in [200, 201, 202, 204] {
        let text = if status == 204 { "" } else { "ok" };
        let endpoint = Endpoint::start(Protocol::Http1, move |_, _| {
            Reply::Status(status, text.to_owned())
        });
        node(2)
            .deliver(&endpoint, &["-b", "-v"])
            .exits(0)
            .says("; 2 accepted\n");
    }
}

#[test]
fn a_refused_document_is_logged_and_counted_and_the_others_are_sent() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for status in [400, 402, 409, 413, 415, 422, 451] {
            let endpoint = Endpoint::start(protocol, move |number, _| match number {
                1 => Reply::Status(status, format!("no: {}{}", "x".repeat(196), "y".repeat(99))),
                _ => Reply::ok(),
            });
            let run = node(3).deliver(&endpoint, &["-b", "-v"]).exits(1);
            let run = run
                .says(&format!(" answered {status} "))
                .says(&format!(": no: {}\n", "x".repeat(196)))
                .says("collected 3 documents from 2 of 2 collectors in ")
                .says("; 2 accepted, 1 rejected\n");
            assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
            assert_eq!(endpoint.requests().len(), 3, "after a {status}");
        }
    }
}

#[test]
fn collecting_and_delivering_have_a_time_each() {
    let slow = Endpoint::start(Protocol::PlainHttp, |_, _| {
        Reply::After(Duration::from_secs(2))
    });
    let run = node(1).deliver(&slow, &["-b", "-v"]).exits(0);
    let said = |before: &str| -> f64 {
        let (_, rest) = run.stderr.split_once(before).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let delivering = said(", delivered for ");
    assert!(delivering >= 2.0, "{}", run.stderr);
    assert!(said("collectors in ") < delivering, "{}", run.stderr);
    let run = node(1).print(&["-b", "-v"]).exits(0);
    run.says(" s; 1 written to standard output")
        .lacks("delivered for");
}

#[test]
fn refusals_that_say_the_same_are_one_line_and_their_number() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| Reply::Status(400, "no".to_owned()));
    let run = node(40).deliver(&endpoint, &["-b", "-v"]).exits(1);
    let run = run
        .says(" INFO 39 more times: ")
        .says("; 0 accepted, 40 rejected\n");
    assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
    let endpoint = Endpoint::start(Protocol::Http1, |number, _| {
        Reply::Status(400, format!("no, request {number}"))
    });
    let run = node(40).deliver(&endpoint, &["-b", "-v"]).exits(1);
    assert_eq!(run.lines_with("ERROR"), 20, "{}", run.stderr);
    run.says(" INFO 20 more times, with other words each: https://127.0.0.1:");
}

#[test]
fn no_redirect_is_followed_as_the_token_would_go_with_it() {
    let away = Endpoint::ok(Protocol::PlainHttp);
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}in?secret=s3cret", away.url);
        let endpoint = Endpoint::start(Protocol::Http1, move |_, _| {
            Reply::With(status, vec![("location", to.clone())], String::new())
        });
        node(2)
            .deliver(&endpoint, &["-b", "-v"])
            .exits(1)
            .says(&format!(" answered {status} "))
            .says(&format!("{}in, which is not followed", away.url))
            .says("; 0 accepted, 2 wait in the spool since ")
            .lacks("s3cret");
        // Nor is one on the same host.
        assert_eq!(endpoint.requests().len(), 2);
    }
    assert_eq!(away.connections(), (0, 0));
}

#[test]
fn an_answer_that_echoes_the_token_does_not_bring_it_into_the_log() {
    let token = r#"t0ken-"with"\quotes/and-é"#;
    let as_ascii = r#"t0ken-\u0022with\u0022\\quotes\/and-\u00e9"#;
    let answers: [fn(&Received) -> String; 5] = [
        |request| String::from_utf8(request.body.clone()).unwrap(),
        |request| request.json()["token"].as_str().unwrap().to_owned(),
        |request| {
            let token = request.json()["token"].as_str().unwrap().to_owned();
            format!("{}{token}", "x".repeat(195))
        },
        |request| {
            let token = request.json()["token"].as_str().unwrap().to_owned();
            format!("cut off here: {}", &token[..12])
        },
        |_| r#"{"token":"t0ken-\u0022with\u0022\\quotes\/and-\u00e9"}"#.to_owned(),
    ];
    for answer in answers {
        let endpoint = Endpoint::start(Protocol::Http1, move |_, request| {
            Reply::Status(401, answer(request))
        });
        let ca = endpoint.ca.path().to_str().unwrap();
        send(
            &node(1),
            &endpoint.url,
            &["-vv", "-t", token, "--ca-file", ca],
        )
        .exits(1)
        .says("answered 401 Unauthorized (is the token right?)")
        .lacks("t0ken")
        .lacks(as_ascii);
        assert_eq!(endpoint.documents()[0]["token"], token);
    }
}

#[test]
fn an_answer_cannot_forge_lines_or_paint_the_terminal() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| {
        let text =
            "no\r\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}1m\u{202e}\0";
        Reply::Status(400, text.to_owned())
    });
    let run = node(1).deliver(&endpoint, &["-b", "-v"]).exits(1);
    assert!(
        run.stderr
            .chars()
            .all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')),
        "{:?}",
        run.stderr
    );
    let line = run.stderr.lines().find(|line| line.contains("forged"));
    assert!(line.unwrap().contains("answered 400"), "{}", run.stderr);
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    for status in [200, 400] {
        let endpoint = Endpoint::start(Protocol::Http1, move |_, _| {
            Reply::Status(status, "y".repeat(8 << 20))
        });
        let run = node(3).deliver(&endpoint, &["-b", "-v"]);
        assert_eq!(run.status, i32::from(status != 200));
        assert!(run.stderr.len() < 4 << 10, "{} bytes", run.stderr.len());
        assert_eq!(endpoint.requests().len(), 3);
    }
}

#[test]
fn it_gives_up_after_five_requests_without_answer() {
    for (protocol, reply, said) in [
        (Protocol::Http1, Reply::Hang, "did not answer within 1 s"),
        (Protocol::Http2, Reply::Hang, "did not answer within 1 s"),
        (
            Protocol::Http1,
            Reply::Cut,
            "no answer from https://127.0.0.1:",
        ),
        (
            Protocol::PlainHttp,
            Reply::Cut,
            "no answer from http://127.0.0.1:",
        ),
    ] {
        let endpoint = Endpoint::start(protocol, move |_, _| reply.clone());
        let begun = Instant::now();
        node(30)
            .deliver(&endpoint, &["-b", "-v", "--request-timeout", "1"])
            .exits(1)
            .says(said)
            .says("5 requests in a row without success: http")
            .says(" is left alone until the next round")
            .says("; 0 accepted, 30 wait in the spool since ");
        assert!(begun.elapsed() < Duration::from_secs(25));
        assert_eq!(endpoint.requests().len(), 5);
    }
}

#[test]
fn a_request_without_answer_costs_the_others_nothing() {
    for (reply, at) in [(Reply::Cut, 0), (Reply::Hang, 0), (Reply::Hang, 4)] {
        let endpoint = Endpoint::start(Protocol::Http1, move |number, _| match number == at {
            true => reply.clone(),
            false => Reply::ok(),
        });
        node(30)
            .deliver(&endpoint, &["-b", "-v", "--request-timeout", "2"])
            .exits(0)
            .says("; 30 accepted\n");
        assert_eq!(endpoint.requests().len(), 31);
    }
}

/// Servers close connections that they have kept open, and are restarted.
#[test]
fn a_connection_that_breaks_between_answers_loses_nothing() {
    for protocol in [Protocol::PlainHttp, Protocol::Http1, Protocol::Http2] {
        // All that are in flight just then, which may be more than after how many it gives up; what comes
        // later finds it up again.
        let down = OnceLock::new();
        let endpoint = Endpoint::start(protocol, move |number, _| {
            let is_down = number >= 100
                && down.get_or_init(Instant::now).elapsed() < Duration::from_millis(20);
            match is_down {
                true => Reply::Cut,
                false => Reply::After(Duration::from_millis(2)),
            }
        });
        node(400)
            .deliver(&endpoint, &["-b", "-v"])
            .exits(0)
            .says("; 400 accepted\n");
    }
}

/// A round must not go on into the next one.
#[test]
fn delivery_ends_in_time() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| {
        Reply::After(Duration::from_millis(300))
    });
    let begun = Instant::now();
    let run = node(5000)
        .deliver(&endpoint, &["-b", "-v", "--deliver-for", "2"])
        .exits(1)
        .says("is too slow: stopped delivering after 2 s (--deliver-for)");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let line = run.stderr.lines().last().unwrap();
    let (_, line) = line.rsplit_once("; ").unwrap();
    let number = |part: &str| part.split(' ').next().unwrap().parse::<usize>().unwrap();
    let (accepted, waiting) = line.split_once(" accepted, ").unwrap();
    assert!(waiting.contains(" wait in the spool since "), "{line}");
    assert!(number(accepted) > 0, "{line}");
    assert_eq!(number(accepted) + number(waiting), 5000, "{line}");
}

#[test]
fn a_connection_that_is_refused_closed_or_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    send(&node(7), &nobody, &[])
        .exits(1)
        .says("no answer from http://127.0.0.1:")
        .says("Connection refused")
        .says("; 0 accepted, 7 wait in the spool since ");
    for unread in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            // Five of the program's, one that ends this.
            for client in listener.incoming().take(6) {
                let client = client.unwrap();
                if unread {
                    // What came and was not read makes the kernel reset the connection.
                    client
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .unwrap();
                    let _ = client.peek(&mut [0]);
                }
            }
        });
        let run = send(&node(7), &url, &[]);
        let _ = TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/'));
        thread.join().unwrap();
        run.exits(1)
            .says("no answer from http://127.0.0.1:")
            .says("; 0 accepted, 7 wait in the spool since ");
    }
}

#[test]
fn a_name_that_does_not_exist() {
    let begun = Instant::now();
    send(
        &node(1),
        "https://collector.invalid/",
        &["--request-timeout", "3"],
    )
    .exits(1)
    .says("https://collector.invalid/")
    .says("; 0 accepted, 1 waits in the spool since ");
    assert!(begun.elapsed() < Duration::from_secs(40));
}

#[test]
fn a_certificate_that_is_not_to_be_trusted() {
    let authority = Authority::new();
    let start = |identity| {
        Endpoint::of(&authority, identity, Protocol::Http1, None, |_, _| {
            Reply::ok()
        })
    };
    let own = start(authority.sign(&["127.0.0.1"]));
    send(&node(1), &own.url, &[])
        .exits(1)
        .says("UnknownIssuer")
        .says("--ca-file");
    let another = Endpoint::ok(Protocol::Http1);
    let ca = another.ca.path().to_str().unwrap();
    send(&node(1), &own.url, &["--ca-file", ca]).exits(1);
    let of_another_host = start(authority.sign(&["example.org"]));
    node(1)
        .deliver(&of_another_host, &["-b"])
        .exits(1)
        .says("not valid for name");
    let expired = start(authority.sign_expired(&["127.0.0.1"]));
    node(1)
        .deliver(&expired, &["-b"])
        .exits(1)
        .says("certificate expired");
    for endpoint in [own, of_another_host, expired] {
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn an_unusable_ca_file_is_one_sentence_and_exit_2() {
    let mut world = node(1);
    let no_der = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    world
        .file("/empty.pem", "")
        .file("/garbage.pem", [0xff, 0, 7, b'\n'])
        .file("/no-der.pem", no_der);
    for name in ["missing.pem", "empty.pem", "garbage.pem", "no-der.pem"] {
        let path = world.path("root").join(name);
        let path = path.to_str().unwrap();
        let run = send(&world, "https://127.0.0.1:1/", &["--ca-file", path]).exits(2);
        let run = run.says("--ca-file").says(path);
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
    }
}

#[test]
fn path_query_and_password_of_the_url_are_used_and_not_shown() {
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, request| {
        Reply::Status(403, format!("you sent {}", request.target))
    });
    let url = format!(
        "http://canary-9:p4ss%2Fword@{}/a/b%20c?d=e&f",
        endpoint.address()
    );
    send(&node(1), &url, &["-vv"])
        .exits(1)
        .says(&format!(
            "http://{}/a/b%20c answered 403",
            endpoint.address()
        ))
        .lacks("p4ss");
    let request = &endpoint.requests()[0];
    assert_eq!(request.target, "/a/b%20c?d=e&f");
    // canary-9:p4ss/word
    let basic = "Basic Y2FuYXJ5LTk6cDRzcy93b3Jk";
    assert_eq!(request.header("authorization"), Some(basic));
}

#[test]
fn plain_http_to_this_machine_is_no_warning() {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let run = node(1).deliver(&endpoint, &["-b"]).exits(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn proxies_of_the_environment_are_used() {
    let authority = Authority::new();
    let host = "collector.example.org";
    let secure = Endpoint::of(
        &authority,
        authority.sign(&[host]),
        Protocol::Http2,
        None,
        |_, _| Reply::ok(),
    );
    let plain = Endpoint::ok(Protocol::PlainHttp);
    let ca = secure.ca.path().to_str().unwrap();
    for (variable, endpoint, scheme, asked) in [
        (
            "https_proxy",
            &secure,
            "https",
            "CONNECT collector.example.org:443 HTTP/1.1",
        ),
        (
            "HTTPS_PROXY",
            &secure,
            "https",
            "CONNECT collector.example.org:443 HTTP/1.1",
        ),
        (
            "http_proxy",
            &plain,
            "http",
            "POST http://collector.example.org/in HTTP/1.1",
        ),
        (
            "HTTP_PROXY",
            &plain,
            "http",
            "POST http://collector.example.org/in HTTP/1.1",
        ),
    ] {
        let proxy = Proxy::to(endpoint.address());
        let mut world = node(3);
        world.env(
            variable,
            format!("http://proxy-user:pr0xy-pass@{}", proxy.address),
        );
        let before = endpoint.requests().len();
        send(
            &world,
            &format!("{scheme}://{host}/in"),
            &["-vv", "--ca-file", ca],
        )
        .exits(0)
        .says("; 3 accepted\n")
        .lacks("pr0xy-pass");
        assert_eq!(endpoint.requests().len(), before + 3, "{variable}");
        for head in proxy.heads() {
            assert!(head.starts_with(asked), "{variable}: {head}");
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains("proxy-authorization: basic "),
                "{variable}: {head}"
            );
        }
        assert_ne!(proxy.heads().len(), 0, "{variable}");
    }
}

#[test]
fn a_host_in_no_proxy_is_asked_directly() {
    let proxy = Proxy::refusing();
    for variable in ["no_proxy", "NO_PROXY"] {
        let endpoint = Endpoint::ok(Protocol::Http1);
        let mut world = node(1);
        world
            .env("https_proxy", format!("http://{}", proxy.address))
            .env(variable, "example.org,127.0.0.1");
        world.deliver(&endpoint, &["-b"]).exits(0);
        assert_eq!(endpoint.requests().len(), 1);
    }
    assert_eq!(proxy.heads().len(), 0);
}

#[test]
fn a_proxy_that_refuses_is_no_answer() {
    let proxy = Proxy::refusing();
    let endpoint = Endpoint::ok(Protocol::Http1);
    let mut world = node(7);
    world.env(
        "HTTPS_PROXY",
        format!("http://proxy-user:pr0xy-pass@{}", proxy.address),
    );
    world
        .deliver(&endpoint, &["-b", "-v"])
        .exits(1)
        .says("no answer from https://127.0.0.1:")
        .says("tunnel")
        .says("; 0 accepted, 7 wait in the spool since ")
        .lacks("pr0xy-pass");
    assert_eq!(endpoint.connections(), (0, 0));
}

/// Asserts that jobs 0 to `count` came, each once and with the token.
#[track_caller]
fn assert_each_once(endpoint: &Endpoint, count: usize) {
    let documents = endpoint.documents();
    assert!(documents.iter().all(|document| document["token"] == TOKEN));
    let mut ids: Vec<usize> = documents.iter().map(number).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..count).collect::<Vec<_>>());
}

/// The number of a job of [`jobs`].
fn number(document: &Value) -> usize {
    let id = document["Id"].as_str().unwrap();
    id.strip_prefix("1.").unwrap().parse().unwrap()
}

#[test]
fn http1_uses_at_most_16_connections() {
    for protocol in [Protocol::PlainHttp, Protocol::Http1] {
        let endpoint = Endpoint::ok(protocol);
        node(2000).deliver(&endpoint, &["-b"]).exits(0);
        let (all, _) = endpoint.connections();
        assert!(all <= 16, "{all} connections");
        assert_each_once(&endpoint, 2000);
    }
}

#[test]
fn http2_uses_one_connection_and_at_most_64_streams() {
    let endpoint = Endpoint::start(Protocol::Http2, |_, _| {
        Reply::After(Duration::from_millis(100))
    });
    node(1000).deliver(&endpoint, &["-b"]).exits(0);
    assert_eq!(endpoint.connections(), (1, 1));
    let most = endpoint.most_busy();
    assert!((17..=64).contains(&most), "{most} streams");
    assert_each_once(&endpoint, 1000);
}

#[test]
fn the_limits_of_connections_and_streams_hold() {
    let slow = |number: usize, _: &Received| match number {
        // Silence must not raise the limit.
        0 | 9 => Reply::Cut,
        _ => Reply::After(Duration::from_millis(5)),
    };
    let endpoint = Endpoint::start(Protocol::Http1, slow);
    node(200)
        .deliver(&endpoint, &["-b", "-v", "--max-connections", "3"])
        .exits(0)
        .says("; 200 accepted\n");
    assert!(endpoint.most_busy() <= 3, "{}", endpoint.most_busy());
    let (all, _) = endpoint.connections();
    assert!(all <= 5, "{all} connections, of which two were cut");
    let endpoint = Endpoint::start(Protocol::Http2, |_, _| {
        Reply::After(Duration::from_millis(20))
    });
    node(100)
        .deliver(&endpoint, &["-b", "--max-streams", "7"])
        .exits(0);
    assert!(endpoint.most_busy() <= 7, "{}", endpoint.most_busy());
}

#[test]
fn arrays_have_at_most_so_many_documents_in_order() {
    let endpoint = Endpoint::ok(Protocol::Http1);
    node(1201)
        .deliver(
            &endpoint,
            &["-b", "-v", "--batch-size", "500", "--max-connections", "1"],
        )
        .exits(0)
        .says("; 1201 accepted\n");
    let lengths: Vec<usize> = endpoint
        .requests()
        .iter()
        .map(|request| request.json().as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [500, 500, 201]);
    let documents = endpoint.documents();
    assert!(documents.iter().all(|document| document["token"] == TOKEN));
    let ids: Vec<usize> = documents.iter().map(number).collect();
    assert_eq!(ids, (0..1201).collect::<Vec<_>>());
}

#[test]
fn an_array_of_one_is_an_array() {
    let endpoint = Endpoint::ok(Protocol::Http1);
    node(2)
        .deliver(&endpoint, &["-b", "--batch-size", "1"])
        .exits(0);
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.json().is_array()));
}

#[test]
fn arrays_have_at_most_900_kb() {
    let mut world = World::new();
    world.batch_node(&jobs(500, &format!("canary-{}", "n".repeat(5000))));
    let endpoint = Endpoint::ok(Protocol::Http1);
    world
        .deliver(&endpoint, &["-b", "--batch-size", "500"])
        .exits(0);
    let mut sizes: Vec<usize> = endpoint
        .requests()
        .iter()
        .map(|request| request.body.len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes[1] > 890_000 && sizes[2] <= 900_000, "{sizes:?}");
    assert_each_once(&endpoint, 500);
}

#[test]
fn a_document_that_is_too_long_for_an_array_goes_alone() {
    let owner = format!("canary-{}", "n".repeat(920_000));
    let mut world = World::new();
    world.batch_node(&jobs(3, &owner));
    let endpoint = Endpoint::ok(Protocol::Http1);
    world
        .deliver(&endpoint, &["-b", "--batch-size", "500"])
        .exits(0);
    assert_eq!(endpoint.requests().len(), 3);
    assert_each_once(&endpoint, 3);
}

#[test]
fn an_array_that_is_too_large_is_halved() {
    let endpoint = Endpoint::start(Protocol::Http1, |number, _| match number {
        0 => Reply::Status(413, "too large".to_owned()),
        _ => Reply::ok(),
    });
    let args = ["-b", "-v", "--batch-size", "10", "--max-connections", "1"];
    let run = node(25).deliver(&endpoint, &args).exits(0);
    assert_eq!(run.says("; 25 accepted\n").lines_with("ERROR"), 0);
    let lengths: Vec<usize> = endpoint
        .requests()
        .iter()
        .map(|request| request.documents().len())
        .collect();
    assert_eq!(lengths, [10, 5, 5, 10, 5]);
}

/// An interval is stored with its end, so it is delivered later as what it was, and the next one
/// begins where it ended.
#[test]
fn an_interval_that_was_not_delivered_is_delivered_later_and_the_next_begins_at_its_end() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, request| {
        match request.json()["kind"] == "NETWORK" {
            true => Reply::Status(404, "no".to_owned()),
            false => Reply::ok(),
        }
    });
    let mut world = World::new();
    world.healthy_host();
    let mut round = |uptime: u32, sent: u32| {
        let counters = format!("a\nb\n  eth0: 7 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n");
        world
            .file("/proc/uptime", format!("{uptime}.00 1.00\n"))
            .file("/proc/1/net/dev", counters);
        world.deliver(&endpoint, &["--host", "-v", "--mount", "/"])
    };
    let run = round(1000, 50).exits(1);
    run.says("; 3 accepted, 1 waits in the spool since ");
    let run = round(1300, 150).exits(1);
    run.says("; 3 accepted, 2 wait in the spool since ");
    let before = endpoint.requests().len();
    endpoint.answers(|_, _| Reply::ok());
    let run = round(1700, 350).exits(0);
    run.says("; 6 accepted (2 of earlier rounds)\n");
    let mut intervals: Vec<(bool, f64, u64)> = endpoint.requests()[before..]
        .iter()
        .map(Received::json)
        .filter(|document| document["kind"] == "NETWORK")
        .map(|document| {
            let network = &document["network"];
            (
                document["timestamp"].is_string(),
                network["interval"].as_f64().unwrap().trunc(),
                network["sent"].as_u64().unwrap(),
            )
        })
        .collect();
    intervals.sort_by_key(|(_, _, sent)| *sent);
    assert_eq!(
        intervals,
        [(true, 1.0, 0), (true, 300.0, 100), (false, 400.0, 200)]
    );
}

/// A proxy's page may name the client that it refuses.
#[test]
fn an_answer_that_names_this_node_does_not_under_o() {
    let endpoint = Endpoint::start(Protocol::Http1, |_, _| {
        Reply::Status(
            403,
            "login07.canary.example (login07) is not welcome".to_owned(),
        )
    });
    let hidden = [
        "-b",
        "-O",
        "example.org",
        "--login-node",
        "login07.canary.example",
    ];
    let run = node(1).deliver(&endpoint, &hidden).exits(1);
    run.says("is not welcome").lacks("login07");
}
