//! A small HTTP proxy on loopback, which writes down every request for it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Where a proxy leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// Where the client asks it to (`CONNECT`).
    AsAsked,
    /// To one server, whatever host the client asks for: so a test reaches an endpoint of any name
    /// without a name server.
    To(String),
    /// Everybody is refused.
    Nowhere,
    /// To one server, without asking: no proxy at all.
    Blindly(SocketAddr),
}

/// A running proxy; it takes no more connections once this is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One that leads where it is asked to.
    pub fn start() -> Self {
        Self::on(loopback(), Route::AsAsked)
    }

    /// One that leads to this address.
    pub fn to(target: &str) -> Self {
        Self::on(loopback(), Route::To(target.to_owned()))
    }

    /// One that refuses everybody.
    pub fn refusing() -> Self {
        Self::on(loopback(), Route::Nowhere)
    }

    /// No proxy at all: passes every connection of `listener` on to `server`.
    pub fn passing(listener: TcpListener, server: SocketAddr) -> Self {
        Self::on(listener, Route::Blindly(server))
    }

    fn on(listener: TcpListener, route: Route) -> Self {
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (book, is_over) = (Arc::clone(&heads), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (book, route) = (Arc::clone(&book), route.clone());
                // Ends with its connection; an error is a client that went away.
                thread::spawn(move || serve(client?, route, &book));
            }
        });
        Self {
            address,
            heads,
            ended,
            thread: Some(thread),
        }
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn serve(client: TcpStream, route: Route, book: &Mutex<Vec<String>>) -> io::Result<()> {
    if let Route::Blindly(server) = route {
        return join(client, TcpStream::connect(server)?);
    }
    let head = head_of(&client)?;
    book.lock().unwrap().push(head.clone());
    let asked = head.strip_prefix("CONNECT ");
    let target = match route {
        Route::To(target) => target,
        Route::AsAsked => asked
            .and_then(|asked| asked.split(' ').next())
            .unwrap_or_default()
            .to_owned(),
        Route::Nowhere | Route::Blindly(_) => {
            return (&client).write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    };
    let mut server = TcpStream::connect(target)?;
    match asked {
        Some(_) => (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
        None => server.write_all(head.as_bytes())?,
    }
    join(client, server)
}

fn head_of(mut client: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
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
