//! A block: documents of one facility, kind and hour, as lines, packed.

use std::cell::RefCell;

use anyhow::{Context as _, Result};
use zstd::bulk::Decompressor;

/// A block is closed when it has so many documents or bytes (unpacked).
pub const MOST_DOCUMENTS: usize = 4_096;
pub const MOST_BYTES: usize = 1024 * 1024;

/// Packs lines; the checksum of zstd shows later whether they are what they were.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        let mut packer = zstd::bulk::Compressor::new(3)?;
        packer.include_checksum(true)?;
        Ok(Self(packer))
    }

    pub fn pack(&mut self, lines: &str) -> std::io::Result<Vec<u8>> {
        self.0.compress(lines.as_bytes())
    }
}

/// The lines of a block that has so many bytes.
///
/// # Errors
/// The block is damaged.
pub fn unpack(packed: &[u8], bytes: i64) -> Result<String> {
    let bytes = usize::try_from(bytes).context("a block of negative size")?;
    let lines = unzstd(packed, bytes.min(64 * MOST_BYTES)).context("a block is damaged")?;
    String::from_utf8(lines).context("a block is not UTF-8")
}

/// Unpacks what zstd has packed, at most so many bytes. A thread keeps what it takes for that, which is larger
/// than most of what is unpacked.
///
/// # Errors
/// It is not zstd's, damaged, or longer.
pub fn unzstd(packed: &[u8], most: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Decompressor::new()?),
        };
        unpacker.decompress(packed, most)
    })
}
