//! A request's body: read within bounds of size, time and memory, unpacked, as text.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Limits;

/// Bytes a second that a sender has to manage.
const LEAST_SPEED: u64 = 16 * 1024;
/// What is too much is read on for so long, and so far, as a sender that is still sending would not
/// see the answer.
const LINGER: Duration = Duration::from_secs(5);
const MOST_LINGERING: usize = 128 * 1024 * 1024;

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

/// Reads a body as it comes. `lingers`: whether the sender sends on while it is told that it is too much.
///
/// # Errors
/// Why not.
pub async fn read(
    mut body: Body,
    announced: Option<u64>,
    lingers: bool,
    limits: &Limits,
    room: &mut Room,
) -> Result<Vec<u8>, Unread> {
    let started = Instant::now();
    let most = limits.body;
    if announced.is_some_and(|bytes| bytes > most as u64) {
        if lingers {
            linger(body).await;
        }
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
            linger(body).await;
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

async fn linger(mut body: Body) {
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
    pub fn of(encoding: Option<&[u8]>) -> Result<Self, Unread> {
        match encoding.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"" | b"identity") => Ok(Packing::Plain),
            Some(b"gzip" | b"x-gzip") => Ok(Packing::Gzip),
            Some(b"zstd") => Ok(Packing::Zstd),
            Some(other) => Err(Unread::Encoding(format!(
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
