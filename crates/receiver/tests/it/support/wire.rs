//! HTTP as bytes, for senders that no client library is; and what the receiver has stored.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use afmetrics_receiver::store::{block, schema};
use serde_json::Value;

use super::Running;

/// A connection to a receiver that speaks plain HTTP.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub fn to(running: &Running) -> Self {
        let stream = TcpStream::connect(running.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes; `false`: the other side has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more comes.
    pub fn end(&mut self) {
        let _ = self.0.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// The next answer: status, head, body. Status 0: there is none, the connection is closed.
    pub fn answer(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).unwrap_or(0) == 0 {
                return (0, head, String::new());
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.trim().parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).unwrap();
        (status, head, super::text(&body))
    }

    /// Waits until the other side closes.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(why) => why.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request with these further header lines, each with its line end.
pub fn request(lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!(
        "POST / HTTP/1.1\r\nHost: example.org\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

/// One request on a connection of its own: status and body.
pub fn exchange(running: &Running, bytes: impl AsRef<[u8]>) -> (u16, String) {
    let mut wire = Wire::to(running);
    wire.send(bytes);
    let (status, _, body) = wire.answer();
    (status, body)
}

/// The most memory that a process has had, in MiB.
pub fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kb = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kb.parse::<u64>().unwrap() / 1024
}

/// All documents of a store, as they are stored, block by block.
pub fn documents(store: &Path) -> Vec<Value> {
    let store = schema::open_to_read(store).unwrap();
    let mut blocks = store
        .prepare("SELECT data, bytes FROM blocks ORDER BY id")
        .unwrap();
    let lines = blocks
        .query_map([], |row| {
            let packed: Vec<u8> = row.get(0)?;
            Ok(block::unpack(&packed, row.get(1)?).unwrap())
        })
        .unwrap();
    lines
        .flat_map(|lines| {
            let lines = lines.unwrap();
            let each = lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            each.collect::<Vec<Value>>()
        })
        .collect()
}

/// How many documents the summaries have counted.
pub fn counted(store: &Path) -> usize {
    let store = schema::open_to_read(store).unwrap();
    let counted: i64 = store
        .query_row(
            "SELECT CAST(coalesce(sum(days.sum), 0) AS INTEGER) FROM days JOIN series ON series.id = days.id / 65536 WHERE metric = 'documents'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    counted.try_into().unwrap()
}
