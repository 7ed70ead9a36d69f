//! A proxy on loopback that knows one thing, `CONNECT`, and writes down every request for it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A running proxy; it takes no connections after this is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// No proxy at all: passes every connection of `listener` on to `server`.
    pub fn listen(listener: TcpListener, server: Option<SocketAddr>) -> Self {
        let address = listener.local_addr().unwrap();
        let (heads, stopped) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (book, stop) = (Arc::clone(&heads), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let book = Arc::clone(&book);
                // Ends with its connection; an error is a client that went away.
                thread::spawn(move || match server {
                    None => tunnel(stream, &book),
                    Some(server) => join(stream, TcpStream::connect(server)?),
                });
            }
        });
        Self {
            address,
            heads,
            stopped,
            thread: Some(thread),
        }
    }

    /// The heads of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tunnel(client: TcpStream, book: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    book.lock().unwrap().push(head.clone());
    let target = head.strip_prefix("CONNECT ").unwrap_or_default();
    let server = TcpStream::connect(target.split(' ').next().unwrap_or_default())?;
    (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    join(client, server)
}

fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let back = thread::spawn(move || copy(&server, &client));
    copy(&from, &to);
    let _ = back.join();
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
