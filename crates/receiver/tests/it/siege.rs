//! Senders who are slow, many, wrong or too big. The receiver answers, lives, and stays small.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::support::wire::{self, Wire, peak, request};
use crate::support::{FACILITY, Running, World, client, load, runtime};

/// What it may take at most, in MiB.
const MOST: u64 = 200;

fn is_well(running: &Running, token: &str) {
    let (status, answer) = running.post(load(token, "well", 1.0).to_string());
    assert_eq!(status, 200, "{answer}");
    assert!(peak(running.pid()) < MOST, "{} MiB", peak(running.pid()));
}

#[test]
fn bombs_do_not_go_off() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b' '; 2 << 20]).unwrap();
    let member = packer.finish().unwrap();
    let zstd = zstd::bulk::compress(&vec![b' '; 1 << 30], 1).unwrap();
    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(&vec![b' '; 1 << 20]).unwrap();
    let wide = wide.finish().unwrap();
    for (encoding, bomb, status) in [
        ("gzip", member.repeat(9), 413),
        ("gzip", member.repeat(2_000), 413),
        ("gzip", [&member[..], b"rest"].concat(), 400),
        ("gzip", member[..member.len() / 2].to_vec(), 400),
        ("zstd", zstd.repeat(20), 413),
        ("zstd", zstd[..zstd.len() / 2].to_vec(), 413),
        ("zstd", wide, 400),
    ] {
        let packed = ("content-encoding", encoding);
        let bearer = format!("Bearer {token}");
        let known = [packed, ("authorization", &*bearer)];
        let (got, answer) = running.post_with(&known, bomb.clone());
        assert_eq!(got, status, "{encoding}: {answer}");
        // Who has no token does not get so far.
        let (got, answer) = running.post_with(&[packed], bomb);
        assert!([400, 401].contains(&got), "{encoding}: {answer}");
    }
    let bearer = format!("Bearer {token}");
    let known = [("authorization", &*bearer)];
    let blanks = vec![b' '; 16 << 20];
    assert_eq!(
        running.post_with(&known, blanks.clone()).0,
        400,
        "16 MiB may be"
    );
    let more = [&blanks[..], b" "].concat();
    assert_eq!(running.post_with(&known, more).0, 413);
    let (status, answer) = running.post(blanks);
    assert_eq!(status, 401, "{answer}");
    assert!(answer.to_string().contains("more than 128 kB"), "{answer}");
    is_well(&running, &token);
}

/// 100 MiB: the sender sees the 413 and no reset, whichever way it sends.
#[test]
fn an_array_of_100_mib_is_answered() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let one = format!("{},", load(&token, "login01", 0.5));
    let mut body = b"[".to_vec();
    body.extend(one.as_bytes().iter().cycle().take(100 << 20));
    let head = "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Type: application/json\r\n";
    let chunks = || {
        let mut chunked = Vec::new();
        for chunk in body.chunks(1 << 20) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        chunked
    };
    let mut wire = Wire::to(&running);
    assert!(wire.send(request("", &body)), "it read on");
    let (status, _, answer) = wire.answer();
    assert_eq!(status, 413, "{answer}");
    assert!(
        answer.contains("more than 16 MiB: send fewer documents"),
        "{answer}"
    );
    let mut wire = Wire::to(&running);
    wire.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    assert!(wire.send(chunks()), "it read on");
    assert_eq!(wire.answer().0, 413);
    // Who asks first is answered before he sends, or asked to.
    let mut wire = Wire::to(&running);
    let began = Instant::now();
    wire.send(format!(
        "{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(wire.answer().0, 413);
    assert!(began.elapsed() < Duration::from_secs(2));
    let small = load(&token, "asked", 1.0).to_string();
    let mut wire = Wire::to(&running);
    wire.send(format!(
        "{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        small.len()
    ));
    assert_eq!(wire.answer().0, 100);
    wire.send(small);
    assert_eq!(wire.answer().0, 200);
    // The same where something else than the length is wrong.
    let mut wire = Wire::to(&running);
    assert!(wire.send(request(
        "Authorization: Bearer afs_wrong
",
        &body
    )));
    assert_eq!(wire.answer().0, 401);
    let url = format!("{}/", running.url);
    runtime().block_on(async {
        let prior = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .http2_prior_knowledge();
        for client in [client(), prior.build().unwrap()] {
            let answer = client.post(&url).body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 413);
            let small = client.post(&url).body(load(&token, "a", 1.0).to_string());
            assert_eq!(small.send().await.unwrap().status(), 200);
        }
    });
    curl(&world, &url, &body);
    is_well(&running, &token);
}

#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn curl(world: &World, url: &str, body: &[u8]) {
    let file = world.path().join("body");
    std::fs::write(&file, body).unwrap();
    for more in [&[][..], &["-H", "Expect:"]] {
        let curl = std::process::Command::new("curl")
            .args([
                "-q",
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--noproxy",
                "*",
            ])
            .args(more)
            .args(["-H", "Content-Type: application/json"])
            .arg("--data-binary")
            .arg(format!("@{}", file.display()))
            .arg(url)
            .output();
        // Where there is none, the others have shown it.
        let Ok(output) = curl else { return };
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "413",
            "{more:?} {}",
            output.status
        );
    }
}

#[test]
fn who_is_slow_is_cut_off() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&["--request-timeout", "2"]);
    let one = load(&token, "slow", 1.0).to_string();
    let whole = request("", &one);
    let mut wire = Wire::to(&running);
    let (fast, slow) = whole.split_at(whole.len() - 60);
    wire.send(fast);
    let began = Instant::now();
    for byte in slow {
        std::thread::sleep(Duration::from_millis(100));
        if began.elapsed() > Duration::from_millis(2_600) || !wire.send([*byte]) {
            break;
        }
    }
    let (status, head, _) = wire.answer();
    assert_eq!(status, 408, "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(wire.is_closed());
    // Lengths that are not so: more is announced than comes, and less.
    let mut wire = Wire::to(&running);
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{one}",
        one.len() + 1
    ));
    wire.end();
    assert!([0, 400].contains(&wire.answer().0));
    let mut wire = Wire::to(&running);
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{one}",
        one.len() - 1
    ));
    assert_eq!(wire.answer().0, 400);
    // Chunks: sound ones, and those that are none.
    for (chunks, status) in [
        (
            format!(
                "5\r\n{}\r\n{:X};x=y\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
                &one[..5],
                one.len() - 5,
                &one[5..]
            ),
            200,
        ),
        (format!("zz\r\n{one}\r\n0\r\n\r\n"), 400),
        (format!("ffffffffffffffffff\r\n{one}\r\n0\r\n\r\n"), 400),
        (format!("{:x}\r\n{one}0\r\n\r\n", one.len()), 400),
    ] {
        let mut wire = Wire::to(&running);
        wire.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        let (got, _, answer) = wire.answer();
        assert_eq!(got, status, "{chunks}: {answer}");
    }
    is_well(&running, &token);
}

/// Bodies that never end fill the room that there is for long ones, and no more; short ones go on.
#[test]
fn bodies_that_hang_take_bounded_memory() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&["--request-timeout", "3"]);
    let blanks = vec![b' '; 12 << 20];
    let began = Instant::now();
    let hang = |lines: &str| -> Vec<Wire> {
        let mut wires: Vec<Wire> = (0..8).map(|_| Wire::to(&running)).collect();
        for wire in &mut wires {
            wire.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {}\r\n\r\n",
                16 << 20
            ));
            wire.send(&blanks);
        }
        wires
    };
    // Who has no token takes nothing from who has one.
    let strangers = hang("");
    let long = Value::from(vec![load(&token, "a", 1.0); 10_000]).to_string();
    assert_eq!(running.post(long).0, 200);
    for mut wire in strangers {
        assert_eq!(wire.answer().0, 401);
    }
    let mut wires = hang(&format!("Authorization: Bearer {token}\r\n"));
    let (status, answer) = running.post(load(&token, "a", 1.0).to_string());
    assert_eq!(status, 200, "{answer}");
    // They were fast, which does not allow them to be silent now.
    let answers: Vec<u16> = wires.iter_mut().map(|wire| wire.answer().0).collect();
    let count = |wanted| answers.iter().filter(|status| **status == wanted).count();
    assert!(
        count(408) >= 2 && count(408) + count(429) == 8,
        "{answers:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(18),
        "{:?}",
        began.elapsed()
    );
    is_well(&running, &token);
}

#[test]
fn ten_thousand_idle_connections_do_not_matter() {
    const MANY: u64 = 10_000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < MANY + 2_000 {
        println!("LEFT OUT: only {hard} files may be open");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(MANY + 2_000), hard).unwrap();
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let idle: Vec<TcpStream> = (0..MANY)
        .map(|n| {
            let mut stream = TcpStream::connect(running.address()).unwrap();
            // Some have begun to speak.
            match n % 3 {
                0 => stream.write_all(b"POST / HT").unwrap(),
                1 => stream.write_all(b"P").unwrap(),
                _ => {}
            }
            stream
        })
        .collect();
    let began = Instant::now();
    for _ in 0..8 {
        is_well(&running, &token);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // Who has begun to speak is heard for some seconds more at the end.
    drop(idle);
    let (ended, log) = running.terminate();
    assert!(ended.success(), "{log}");
}

/// The writer is behind: 429 with a time, and nothing that was answered 200 is lost.
#[test]
fn a_writer_that_is_behind_says_so() {
    const LONG: usize = 200;
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    is_well(&running, &token);
    let store = rusqlite::Connection::open(world.store().join("afmetrics.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Few documents, but long ones.
    let one = json!({"kind": "CPU", "cluster": FACILITY, "login_node": "behind", "load": 1, "more": "x".repeat(50_000)});
    let array = Value::from(vec![one; LONG]).to_string();
    let head = format!("Authorization: Bearer {token}\r\n");
    let statuses: Vec<(u16, String)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..5)
            .map(|_| {
                let (head, array, running) = (&head, &array, &running);
                scope.spawn(move || {
                    let mut wire = Wire::to(running);
                    wire.send(request(head, array));
                    let (status, head, _) = wire.answer();
                    (status, head)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(8));
        store.execute_batch("ROLLBACK").unwrap();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect()
    });
    let count = |wanted: u16| {
        statuses
            .iter()
            .filter(|(status, _)| *status == wanted)
            .count()
    };
    assert!(
        count(200) > 0 && count(429) > 0 && count(200) + count(429) == 5,
        "{statuses:?}"
    );
    let busy = statuses.iter().filter(|(status, _)| *status == 429);
    assert!(
        busy.into_iter()
            .all(|(_, head)| head.contains("retry-after: 1"))
    );
    is_well(&running, &token);
    let (ended, _) = running.terminate();
    assert!(ended.success());
    assert_eq!(wire::documents(&world.store()).len(), count(200) * LONG + 2);
}
