//! A load generator that takes little of the machine: requests made beforehand, a thread that waits for each
//! connection, kept alive.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::jobs::Requests;

/// Most answers are not longer, head and body.
const USUAL_ANSWER: usize = 4096;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that were answered 200.
    pub taken: u64,
    /// Requests that were answered otherwise.
    pub refused: u64,
    pub wall: Duration,
    /// From the first byte sent to the last one of the answer, shortest first.
    waits: Vec<Duration>,
}

impl Outcome {
    /// How long a request waited that this many percent of them waited no longer than.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = self.waits.len() * percent / 100;
        self.waits
            .get(at.min(self.waits.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    /// Adds what came of another load, which ran after this one.
    pub fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.refused += other.refused;
        self.wall += other.wall;
        self.waits.extend(other.waits);
        self.waits.sort_unstable();
    }

    pub fn per_second(&self, each: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate, for reading")]
        let all = (self.taken * each) as f64;
        all / self.wall.as_secs_f64()
    }
}

/// Sends requests over so many connections: for some time over and over, or each once.
pub fn run(
    server: SocketAddr,
    connections: usize,
    requests: &Requests,
    time: Option<Duration>,
) -> Result<Outcome> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let most = if time.is_some() {
        usize::MAX
    } else {
        requests.len()
    };
    let work = || -> Result<Outcome> {
        let mut stream = TcpStream::connect(server).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (mut outcome, mut bytes) = (Outcome::default(), Vec::new());
        while time.is_none_or(|time| begun.elapsed() < time) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= most {
                break;
            }
            requests.write(at, &mut bytes);
            let sent = Instant::now();
            stream.write_all(&bytes)?;
            match answer(&mut stream)? {
                200 => outcome.taken += 1,
                _ => outcome.refused += 1,
            }
            outcome.waits.push(sent.elapsed());
        }
        Ok(outcome)
    };
    let mut all = Outcome::default();
    thread::scope(|scope| -> Result<()> {
        let running: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        for one in running {
            let Ok(one) = one.join() else {
                bail!("a connection's thread has failed")
            };
            let one = one?;
            all.taken += one.taken;
            all.refused += one.refused;
            all.waits.extend(one.waits);
        }
        Ok(())
    })?;
    all.wall = begun.elapsed();
    all.waits.sort_unstable();
    Ok(all)
}

/// Reads an answer to its end; its status.
pub fn answer(stream: &mut TcpStream) -> Result<u16> {
    let mut bytes = vec![0; USUAL_ANSWER];
    let mut n = 0;
    loop {
        if n == bytes.len() {
            bytes.resize(2 * n, 0);
        }
        let more = stream.read(&mut bytes[n..]).context("no answer")?;
        if more == 0 {
            bail!("the connection was closed before the answer");
        }
        n += more;
        if let Some(status) = complete(&bytes[..n])? {
            return Ok(status);
        }
    }
}

/// The status, if these bytes are the whole of an answer.
fn complete(bytes: &[u8]) -> Result<Option<u16>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head]).context("an answer's head is not text")?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let (Some(status), Some(length)) = (status, length) else {
        bail!("an answer without status or length: {text}");
    };
    Ok((bytes.len() >= head + 4 + length).then_some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 3\r\n\r\nno\n";
        assert_eq!(complete(answer).unwrap(), Some(429));
        for n in 0..answer.len() {
            assert_eq!(complete(&answer[..n]).unwrap(), None, "{n}");
        }
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
