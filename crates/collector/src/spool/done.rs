//! Which documents of a batch are done with, accepted or rejected: a bit each, in a file beside it.
//!
//! A bit is written when the answer is in, before another request takes the place of the one that was
//! answered; so a program that is killed repeats at most the requests that were in flight. It is
//! not synced: after a power cut bits can be missing, and their documents are sent again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The documents of one batch that are done with.
#[derive(Debug)]
pub struct Done {
    /// `None`: nothing was done yet, or it cannot be written.
    file: Option<File>,
    bits: Vec<u8>,
    documents: u64,
    /// Documents that are not done with.
    left: u64,
    /// What the file says makes no sense: it is written anew.
    is_disbelieved: bool,
}

impl Done {
    /// Reads what was done so far; a file that is too short says nothing of the rest. One that says more
    /// than there can be to say is not believed: documents that are sent again are better than none.
    pub fn read(path: &Path, documents: u64) -> io::Result<Self> {
        let mut bits = match std::fs::read(path) {
            Ok(bits) => bits,
            Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
            // Not ours, and no reason to keep the documents for ever.
            Err(why) if why.kind() == io::ErrorKind::IsADirectory => Vec::new(),
            Err(why) => return Err(why),
        };
        let bytes = usize::try_from(documents.div_ceil(8)).map_err(io::Error::other)?;
        let beyond = bits.get(bytes.saturating_sub(1)).unwrap_or(&0);
        let is_too_much = !documents.is_multiple_of(8) && beyond >> (documents % 8) != 0;
        let is_disbelieved = bits.len() > bytes || is_too_much;
        if is_disbelieved {
            bits.clear();
        }
        bits.resize(bytes, 0);
        let mut done = Self {
            file: None,
            bits,
            documents,
            left: 0,
            is_disbelieved,
        };
        done.left = (0..documents).filter(|index| !done.is_done(*index)).count() as u64;
        Ok(done)
    }

    pub fn is_done(&self, index: u64) -> bool {
        let (byte, bit) = place(index);
        self.bits.get(byte).is_none_or(|bits| bits & bit != 0)
    }

    /// How many documents are not done with.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Notes that these are done with. An error means that this is not in the file; it still holds
    /// as long as this process runs.
    pub fn mark(&mut self, path: &Path, indices: Range<u64>) -> io::Result<()> {
        let indices = indices.start..indices.end.min(self.documents);
        if indices.is_empty() {
            return Ok(());
        }
        for index in indices.clone() {
            let (byte, bit) = place(index);
            if let Some(bits) = self.bits.get_mut(byte)
                && *bits & bit == 0
            {
                *bits |= bit;
                self.left -= 1;
            }
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(
                File::options()
                    .write(true)
                    .create(true)
                    .truncate(self.is_disbelieved)
                    .mode(0o600)
                    .open(path)?,
            ),
        };
        let (first, last) = (place(indices.start).0, place(indices.end - 1).0);
        let changed = self.bits.get(first..=last).unwrap_or_default();
        file.write_all_at(changed, first as u64)
    }
}

fn place(index: u64) -> (usize, u8) {
    ((index / 8) as usize, 1 << (index % 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_marked_is_done_for_who_reads_it_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        let mut done = Done::read(&path, 21).unwrap();
        assert_eq!(done.left(), 21);
        done.mark(&path, 3..4).unwrap();
        done.mark(&path, 7..10).unwrap();
        done.mark(&path, 8..9).unwrap();
        done.mark(&path, 20..30).unwrap();
        done.mark(&path, 5..5).unwrap();
        for done in [done, Done::read(&path, 21).unwrap()] {
            let indices: Vec<u64> = (0..21).filter(|index| done.is_done(*index)).collect();
            assert_eq!(indices, [3, 7, 8, 9, 20]);
            assert_eq!(done.left(), 16);
        }
    }

    #[test]
    fn any_file_says_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        for (bytes, left) in [
            (&b""[..], 12),
            (b"\xff", 4),
            (b"\xff\x0f", 0),
            (b"\xff\x1f", 12),
            (b"\xff\xff", 12),
            (b"\xff\x0f\x00", 12),
            (b"\xff\xff\xff\xff\xff\xff", 12),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Done::read(&path, 12).unwrap().left(), left, "{bytes:?}");
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(Done::read(&path, 8).unwrap().left(), 0);
        assert_eq!(Done::read(folder.path(), 8).unwrap().left(), 8, "a folder");
    }
}
