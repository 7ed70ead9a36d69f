//! Memory for bodies and for the documents in them. Short ones have their own, so that they never wait for
//! long ones; and a long one gets none before a token is known that may send it.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Packing, Unread};
use crate::documents::LONGEST;
use crate::tokens::Tokens;

/// Bytes of a short body, unpacked. The longest document fits in, so a token stands in the first of them.
pub const SHORT: usize = 2 * LONGEST;

/// So long it is waited for room.
const TURN: Duration = Duration::from_secs(5);

/// Memory in kB that all share.
#[derive(Debug, Clone)]
pub struct Rooms {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Rooms {
    /// So many bytes for short bodies, and for long ones.
    pub fn new(short: usize, long: usize) -> Self {
        Self {
            short: Arc::new(Semaphore::new(short / 1024)),
            long: Arc::new(Semaphore::new(long / 1024)),
        }
    }
}

/// The memory that a body takes, as long as this lives.
pub struct Room {
    rooms: Rooms,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
    is_long: bool,
}

impl Room {
    pub fn new(rooms: &Rooms) -> Self {
        Self {
            rooms: rooms.clone(),
            taken: None,
            bytes: 0,
            is_long: false,
        }
    }

    /// Takes room for so many bytes, and waits for that where others have it.
    ///
    /// # Errors
    /// There was none for some seconds.
    pub async fn wait_for(&mut self, bytes: usize, is_long: bool) -> Result<(), Unread> {
        self.is_long = is_long;
        let room = Arc::clone(self.of()).acquire_many_owned(kb(bytes)?);
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

    /// Takes room for so many bytes more. What becomes long, or finds no room among the short ones, goes
    /// among the long ones, if it may.
    pub fn grow(&mut self, bytes: usize, may: impl FnOnce() -> bool) -> Result<(), Unread> {
        let all = self.bytes + bytes;
        if self.is_long || (all <= SHORT && self.take(all).is_ok()) {
            return match self.is_long {
                true => self.take(all),
                false => Ok(()),
            };
        }
        if !may() {
            return Err(match all > SHORT {
                true => Unread::Stranger,
                false => Unread::Busy,
            });
        }
        *self = Self {
            is_long: true,
            ..Self::new(&self.rooms)
        };
        self.take(all)
    }

    /// Takes what is missing to so many bytes.
    fn take(&mut self, all: usize) -> Result<(), Unread> {
        let more = kb(all)? - kb(self.bytes)?;
        if more > 0 {
            let more = Arc::clone(self.of())
                .try_acquire_many_owned(more)
                .map_err(|_| Unread::Busy)?;
            match &mut self.taken {
                Some(taken) => taken.merge(more),
                None => self.taken = Some(more),
            }
        }
        self.bytes = all;
        Ok(())
    }

    fn of(&self) -> &Arc<Semaphore> {
        match self.is_long {
            true => &self.rooms.long,
            false => &self.rooms.short,
        }
    }
}

fn kb(bytes: usize) -> Result<u32, Unread> {
    u32::try_from(bytes.div_ceil(1024)).map_err(|_| Unread::Busy)
}

/// By what a sender is known before all of his body is there.
pub struct Sender<'a> {
    /// The request's header had a good token.
    pub has_pass: bool,
    pub tokens: &'a Tokens,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl Sender<'_> {
    /// Whether the header's token is good, or the first one in what there is of the body.
    pub fn is_known(&self, begun: &[u8], packing: Packing) -> bool {
        self.has_pass
            || first_token(&begin(begun, packing))
                .is_some_and(|token| self.tokens.pass(token, self.now).is_some())
    }
}

/// The first bytes of a body of which there may be more, unpacked as far as can be.
fn begin(bytes: &[u8], packing: Packing) -> Vec<u8> {
    let mut first = Vec::new();
    let most = SHORT as u64;
    // That it breaks off is no wonder.
    let _ = match packing {
        Packing::Plain => bytes.take(most).read_to_end(&mut first),
        Packing::Gzip => flate2::read::MultiGzDecoder::new(bytes)
            .take(most)
            .read_to_end(&mut first),
        Packing::Zstd => match zstd::stream::read::Decoder::with_buffer(bytes) {
            Ok(mut reader) => reader
                .window_log_max(super::body::WINDOW)
                .and_then(|()| reader.take(most).read_to_end(&mut first)),
            Err(why) => Err(why),
        },
    };
    first
}

/// The string after the first `"token":`.
fn first_token(text: &[u8]) -> Option<&str> {
    const FIELD: &[u8] = b"\"token\"";
    let at = text.windows(FIELD.len()).position(|part| part == FIELD)?;
    let rest = text[at + FIELD.len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_found_where_it_is() {
        for (text, token) in [
            (r#"{"token":"afs_a","x":1}"#, Some("afs_a")),
            (
                "[{\"kind\": \"CPU\",\n\"token\" :\t\"afs_b\"",
                Some("afs_b"),
            ),
            (r#"{"token":"afs_brok"#, None),
            (r#"{"token":null}"#, None),
            (r#"{"tokens":"afs_a"}"#, None),
            ("", None),
        ] {
            assert_eq!(first_token(text.as_bytes()), token, "{text}");
        }
        let text = format!(r#"{{"token":"afs_a","x":"{}"}}"#, "x".repeat(1 << 20));
        let zstd = zstd::bulk::compress(text.as_bytes(), 1).unwrap();
        let begun = begin(&zstd[..zstd.len() - 5], Packing::Zstd);
        assert_eq!(first_token(&begun), Some("afs_a"));
        assert!(begun.len() <= SHORT);
    }

    #[test]
    fn short_bodies_and_long_ones_have_their_own_room() {
        let rooms = Rooms::new(2 * SHORT, 8 * SHORT);
        let mut strangers: Vec<Room> = (0..2).map(|_| Room::new(&rooms)).collect();
        for stranger in &mut strangers {
            assert_eq!(stranger.grow(SHORT, || false), Ok(()));
        }
        assert_eq!(Room::new(&rooms).grow(1, || false), Err(Unread::Busy));
        let mut known = Room::new(&rooms);
        assert_eq!(known.grow(1, || true), Ok(()));
        assert_eq!(known.grow(7 * SHORT, || panic!("asked twice")), Ok(()));
        assert_eq!(known.grow(2 * SHORT, || true), Err(Unread::Busy));
        assert_eq!(strangers[0].grow(1, || false), Err(Unread::Stranger));
        // What has moved to the long ones leaves its place to a short one.
        drop(known);
        assert_eq!(strangers[0].grow(1, || true), Ok(()));
        assert_eq!(Room::new(&rooms).grow(SHORT, || false), Ok(()));
    }
}
