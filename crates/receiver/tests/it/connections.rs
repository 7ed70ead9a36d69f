//! How long connections last: as long as anything moves, and no longer.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use afmetrics_receiver::listen::{self, Bounds, Counted};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use tokio::sync::watch;

use crate::support::{FACILITY, World, load, wire};

const IDLE: Duration = Duration::from_secs(1);

/// A server whose one answer takes three times as long as a connection may be idle.
struct Slow {
    address: SocketAddr,
    counted: Counted,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Runtime,
}

fn pieces(gap: Duration, piece: usize, count: usize) -> Body {
    let pieces = stream::unfold(0, move |at| async move {
        tokio::time::sleep(gap).await;
        let piece = Bytes::from(vec![b'x'; piece]);
        (at < count).then_some((Ok::<_, Infallible>(piece), at + 1))
    });
    Body::from_stream(pieces)
}

impl Slow {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let routes = Router::new()
            .route("/", get(|| async { pieces(IDLE / 4, 10, 12) }))
            .route(
                "/large",
                get(|| async { pieces(Duration::ZERO, 16 << 10, 256) }),
            );
        let bounds = Bounds {
            idle: IDLE,
            farewell: IDLE * 4,
            unfinished: IDLE / 2,
            ..Bounds::of(100)
        };
        let (stop, stopped) = watch::channel(false);
        let counted = Counted::default();
        let _inside = runtime.enter();
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(listen::serve(
            listener,
            None,
            routes,
            counted.clone(),
            bounds,
            stopped,
        ));
        drop(_inside);
        Self {
            address,
            counted,
            stop,
            runtime,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream
    }
}

/// Reads to the end; how long that took.
fn closed_after(mut stream: TcpStream) -> (Duration, usize) {
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    (began.elapsed(), rest.len())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn an_answer_may_take_longer_than_a_connection_may_be_idle() {
    let slow = Slow::start();
    let mut stream = slow.connect();
    stream.write_all(GET).unwrap();
    let (took, length) = closed_after(stream);
    assert!(took > IDLE * 2, "{took:?}");
    assert!(length > 120, "cut off after {length} bytes");
    // The other way round: who reads slowly.
    let mut stream = slow.runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 << 10).unwrap();
        let stream = socket.connect(slow.address).await.unwrap();
        stream.into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let began = Instant::now();
    let (mut all, mut piece) = (0, vec![0; 64 << 10]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            n => all += n,
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(began.elapsed() > IDLE * 2, "{:?}", began.elapsed());
    assert!(all > 256 * (16 << 10), "cut off after {all} bytes");
}

#[test]
fn who_does_nothing_is_sent_away() {
    let slow = Slow::start();
    // Who says nothing at all, or half a head; and who asks and then takes nothing of the answer.
    for bytes in [&b""[..], b"P", b"GET / HTTP/1.1\r\nHost"] {
        let mut stream = slow.connect();
        stream.write_all(bytes).unwrap();
        let (took, _) = closed_after(stream);
        assert!(took > IDLE / 2 && took < IDLE * 5, "{bytes:?} {took:?}");
    }
    // HTTP/2, awake but idle: settings, and then pings.
    let mut stream = slow.connect();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let reading = stream.try_clone().unwrap();
    let closed = std::thread::spawn(move || closed_after(reading).0);
    let began = Instant::now();
    while !closed.is_finished() && began.elapsed() < IDLE * 10 {
        let _ = stream.write_all(b"\0\0\x08\x06\0\0\0\0\0pingping");
        std::thread::sleep(IDLE / 10);
    }
    let took = closed.join().unwrap();
    assert!(took > IDLE / 2 && took < IDLE * 5, "{took:?}");
    let mut stream = slow.connect();
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    crate::support::wait_until("he is counted", || slow.counted.open.get() == 1);
    crate::support::wait_until("he is gone", || slow.counted.open.get() == 0);
}

#[test]
fn half_a_head_does_not_hold_the_end() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let mut half = wire::Wire::to(&running);
    half.send("POST / HTTP/1.1\r\nHost: a");
    assert_eq!(running.post(load(&token, "a", 1.0).to_string()).0, 200);
    let began = Instant::now();
    let (ended, log) = running.terminate();
    assert!(ended.success());
    assert!(began.elapsed() < Duration::from_secs(6), "{log}");
    assert!(!log.contains("did not end"), "{log}");
    assert!(
        log.trim_end().ends_with("ended, the store is closed"),
        "{log}"
    );
}

#[test]
fn an_answer_in_work_is_finished_at_the_end() {
    let slow = Slow::start();
    let mut stream = slow.connect();
    stream.write_all(GET).unwrap();
    std::thread::sleep(IDLE / 2);
    slow.stop.send_replace(true);
    let (_, length) = closed_after(stream);
    assert!(length > 120, "cut off after {length} bytes");
}
