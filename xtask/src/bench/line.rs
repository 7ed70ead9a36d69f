//! A long line to an endpoint on loopback: everything takes a while in each direction, and nothing is
//! slower for it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// So many pieces may be on the way: a line that is not read blocks who writes to it.
const ON_THE_WAY: usize = 256;

/// Starts a line of this round-trip time that ends at `server`, and returns where it begins. It runs until
/// the process ends.
pub fn start(server: SocketAddr, round_trip: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
    let begins = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Ends with its connection; an error is one that broke.
            thread::spawn(move || connect(client, server, round_trip));
        }
    });
    Ok(begins)
}

fn connect(client: TcpStream, server: SocketAddr, round_trip: Duration) -> std::io::Result<()> {
    // The kernel has greeted the client at once; over the line that takes a round trip.
    thread::sleep(round_trip);
    let server = TcpStream::connect(server)?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || pass(from_client, to_server, round_trip / 2));
    pass(server, client, round_trip / 2);
    let _ = there.join();
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (line, end) = mpsc::sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let writer = thread::spawn(move || {
        for (due, bytes) in end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let piece = (Instant::now() + delay, buffer[..read].to_vec());
        if read == 0 || line.send(piece).is_err() {
            break;
        }
    }
    drop(line);
    let _ = writer.join();
}
