//! A request's body: read within bounds of size, time and memory, unpacked, as text.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Limits;

/// Bytes a second that a sender has to manage.
const LEAST_SPEED: u64 = 16 * 1024;
/// What is not wanted is read on for so long, and so far: a sender that is still sending would not see
/// the answer.
const LINGER: Duration = Duration::from_secs(5);
const MOST_LINGERING: usize = 128 * 1024 * 1024;

/// So long a body waits for its turn to be looked into.
const TURN: Duration = Duration::from_secs(5);

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// 413.
    TooLarge(String),
    /// 408.
    Slow,
    /// 400.
    Broken(String),
    /// 429: too many bodies at once.
    Busy,
    /// 415.
    Encoding(String),
}

/// The memory that a body takes, as long as this lives.
pub struct Room {
    all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    pub fn new(all: &Arc<Semaphore>) -> Self {
        Self {
            all: Arc::clone(all),
            taken: None,
            bytes: 0,
        }
    }

    /// Takes room for so many bytes more, and waits for that where others have it.
    ///
    /// # Errors
    /// There was none for some seconds.
    pub async fn wait_for(&mut self, bytes: usize) -> Result<(), Unread> {
        let more = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Unread::Busy)?;
        let room = Arc::clone(&self.all).acquire_many_owned(more);
        match tokio::time::timeout(TURN, room).await {
            Ok(Ok(room)) => {
                self.bytes = bytes;
                self.taken = Some(room);
                Ok(())
            }
            _ => Err(Unread::Busy),
        }
    }

    /// Gives back all beyond so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self
            .bytes
            .div_ceil(1024)
            .saturating_sub(bytes.div_ceil(1024));
        if let Some(taken) = &mut self.taken {
            drop(taken.split(spare));
        }
        self.bytes = self.bytes.min(bytes);
    }

    /// Takes room for so many bytes more.
    fn grow(&mut self, bytes: usize) -> Result<(), Unread> {
        let before = self.bytes.div_ceil(1024);
        self.bytes += bytes;
        let more = self.bytes.div_ceil(1024) - before;
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| Unread::Busy)?;
        let more = Arc::clone(&self.all)
            .try_acquire_many_owned(more)
            .map_err(|_| Unread::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

/// Reads a body as it comes.
///
/// # Errors
/// Why not; then it may not be read to its end.
pub async fn read(body: &mut Body, limits: &Limits, room: &mut Room) -> Result<Vec<u8>, Unread> {
    let started = Instant::now();
    let most = limits.body;
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let mut bytes = Vec::new();
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / LEAST_SPEED);
        let until = started + limits.patience + earned;
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(Unread::Slow),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(why))) => return Err(Unread::Broken(format!("the body broke off: {why}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return Err(too_large(most));
        }
        room.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
}

fn too_large(most: usize) -> Unread {
    Unread::TooLarge(format!(
        "the body has more than {} MiB: send fewer documents at a time",
        most / 1024 / 1024
    ))
}

/// Reads on what is not wanted.
pub async fn linger(body: &mut Body) {
    let mut read = 0;
    let _ = tokio::time::timeout(LINGER, async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len());
            if read > MOST_LINGERING {
                break;
            }
        }
    })
    .await;
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the value of `Content-Encoding`.
    pub fn of(encoding: &[u8]) -> Result<Self, Unread> {
        match &*encoding.trim_ascii().to_ascii_lowercase() {
            b"" | b"identity" => Ok(Packing::Plain),
            b"gzip" | b"x-gzip" => Ok(Packing::Gzip),
            b"zstd" => Ok(Packing::Zstd),
            other => Err(Unread::Encoding(format!(
                "Content-Encoding {}: expected gzip or zstd",
                crate::documents::quoted(&String::from_utf8_lossy(other))
            ))),
        }
    }
}

/// The text of a body.
///
/// # Errors
/// Why not.
pub fn text(
    bytes: Vec<u8>,
    packing: Packing,
    limits: &Limits,
    room: &mut Room,
) -> Result<String, Unread> {
    let bytes = match packing {
        Packing::Plain => bytes,
        Packing::Gzip => unpack(flate2::read::MultiGzDecoder::new(&bytes[..]), limits, room)?,
        Packing::Zstd => {
            let broken =
                |why: std::io::Error| Unread::Broken(format!("the body is not zstd: {why}"));
            let mut reader =
                zstd::stream::read::Decoder::with_buffer(&bytes[..]).map_err(broken)?;
            // 8 MiB, which is what a reader has to manage by the format's own advice.
            reader.window_log_max(23).map_err(broken)?;
            unpack(reader, limits, room)?
        }
    };
    String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        Unread::Broken(format!("the body is not UTF-8 (byte {at})"))
    })
}

fn unpack(mut reader: impl Read, limits: &Limits, room: &mut Room) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let n = reader
            .read(&mut piece)
            .map_err(|why| Unread::Broken(format!("the body cannot be unpacked: {why}")))?;
        if n == 0 {
            return Ok(bytes);
        }
        if bytes.len() + n > limits.body {
            return Err(too_large(limits.body));
        }
        room.grow(n)?;
        bytes.extend_from_slice(&piece[..n]);
    }
}
