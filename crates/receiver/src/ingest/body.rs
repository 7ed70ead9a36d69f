//! A request's body: read within bounds of size, time and memory, unpacked, as text.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::room::{Room, Sender};
use crate::config::Limits;

/// 8 MiB, which is what a reader of zstd has to manage by the format's own advice.
pub(super) const WINDOW: u32 = 23;
/// Bytes a second that a sender has to manage.
const LEAST_SPEED: u64 = 16 * 1024;
/// What is not wanted is read on for so long, and so far: a sender that is still sending would not see
/// the answer.
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
    /// 401: it is long, and no good token was where one is looked for before a body gets much room.
    Stranger,
    /// 415.
    Encoding(String),
}

/// Reads a body as it comes.
///
/// # Errors
/// Why not; then it may not be read to its end.
pub async fn read(
    body: &mut Body,
    packing: Packing,
    limits: &Limits,
    room: &mut Room,
    sender: &Sender<'_>,
) -> Result<Vec<u8>, Unread> {
    let started = Instant::now();
    let mut last = started;
    let most = limits.body;
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let mut bytes = Vec::new();
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / LEAST_SPEED);
        // What was earned by speed is for going on, not for falling silent.
        let until = (started + earned).min(last) + limits.patience;
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(Unread::Slow),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(why))) => return Err(Unread::Broken(format!("the body broke off: {why}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        last = Instant::now();
        if bytes.len() + data.len() > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&data);
        room.grow(data.len(), || sender.is_known(&bytes, packing))?;
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
    sender: &Sender<'_>,
) -> Result<String, Unread> {
    let bytes = match packing {
        Packing::Plain => bytes,
        Packing::Gzip => unpack(
            flate2::read::MultiGzDecoder::new(&bytes[..]),
            limits,
            room,
            sender,
        )?,
        Packing::Zstd => {
            let broken =
                |why: std::io::Error| Unread::Broken(format!("the body is not zstd: {why}"));
            let mut reader =
                zstd::stream::read::Decoder::with_buffer(&bytes[..]).map_err(broken)?;
            reader.window_log_max(WINDOW).map_err(broken)?;
            unpack(reader, limits, room, sender)?
        }
    };
    String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        Unread::Broken(format!("the body is not UTF-8 (byte {at})"))
    })
}

fn unpack(
    mut reader: impl Read,
    limits: &Limits,
    room: &mut Room,
    sender: &Sender<'_>,
) -> Result<Vec<u8>, Unread> {
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
        bytes.extend_from_slice(&piece[..n]);
        room.grow(n, || sender.is_known(&bytes, Packing::Plain))?;
    }
}
