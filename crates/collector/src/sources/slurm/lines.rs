//! A tool's output, line by line as it comes.

use std::borrow::Cow;
use std::ops::Range;

use crate::command::Running;
use crate::error::CollectError;
use crate::tally::Tally;

/// The longest line we take: an array of which every other of 100,000 tasks waits has 300 kB.
pub const LONGEST: usize = 1 << 20;
/// What is read at a time: a pipe holds no more.
const CHUNK: usize = 64 << 10;

/// The lines that a tool prints, one after the other. What is kept is one line.
pub struct Lines<'a> {
    program: &'static str,
    running: Option<Running<'a>>,
    split: Splitter,
    tally: Tally,
}

impl<'a> Lines<'a> {
    pub fn new(program: &'static str, running: Running<'a>) -> Self {
        Self {
            program,
            running: Some(running),
            split: Splitter::default(),
            tally: Tally::default(),
        }
    }

    /// The next line, without its end; `None` at the end of a list that ended well.
    pub async fn next(&mut self) -> Result<Option<Cow<'_, str>>, CollectError> {
        while !self.split.find() {
            let Some(running) = &mut self.running else {
                return Ok(None);
            };
            let read = running.read(self.split.room()).await?;
            self.split.filled(read);
            if self.split.held() > LONGEST {
                return Err(self.malformed(&format!("has a line of more than {LONGEST} bytes")));
            }
            if read == 0 {
                self.end().await?;
            }
        }
        self.tally.good();
        Ok(Some(String::from_utf8_lossy(self.split.line())))
    }

    /// The first line, which is not one of the list; `None`: there is none.
    pub async fn header(&mut self) -> Result<Option<Cow<'_, str>>, CollectError> {
        self.next().await?;
        if self.split.lines == 0 {
            return Ok(None);
        }
        self.tally = Tally::default();
        Ok(Some(String::from_utf8_lossy(self.split.line())))
    }

    /// The last line makes no sense, and was left out.
    pub fn bad(&mut self, why: &'static str) {
        self.tally.bad_after_all(self.split.lines, why);
    }

    /// Judges the whole once it is there: the exit status first, as it explains the rest.
    async fn end(&mut self) -> Result<(), CollectError> {
        if let Some(running) = self.running.take() {
            running.finish().await?;
        }
        if self.split.held() > 0 {
            return Err(self.malformed("ends in the middle of a line"));
        }
        std::mem::take(&mut self.tally).verdict(self.program, "line")
    }

    fn malformed(&self, what: &str) -> CollectError {
        CollectError::Malformed(format!("the output of {} {what}", self.program))
    }
}

/// Finds the lines in a stream of bytes.
#[derive(Debug, Default)]
struct Splitter {
    buffer: Vec<u8>,
    /// How much of the buffer holds input.
    end: usize,
    /// Where the line that was found begins and ends; behind it the next one begins.
    found: Range<usize>,
    at: usize,
    /// How far a line's end has been looked for.
    looked: usize,
    lines: u64,
}

impl Splitter {
    /// Looks for the next whole line.
    fn find(&mut self) -> bool {
        let Some(length) = self.buffer[self.looked..self.end]
            .iter()
            .position(|byte| *byte == b'\n')
        else {
            self.looked = self.end;
            return false;
        };
        self.found = self.at..self.looked + length;
        self.at = self.found.end + 1;
        self.looked = self.at;
        self.lines += 1;
        true
    }

    /// The line that was found.
    fn line(&self) -> &[u8] {
        &self.buffer[self.found.clone()]
    }

    /// Where to read to.
    fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.looked -= self.at;
        self.at = 0;
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        &mut self.buffer[self.end..]
    }

    fn filled(&mut self, read: usize) {
        self.end += read;
    }

    /// How much is held of a line that is not complete.
    fn held(&self) -> usize {
        self.end - self.at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes come, the lines are those of the whole, and what is left is what follows the last end.
        #[test]
        fn any_bytes_in_any_pieces(bytes: Vec<u8>, sizes in prop::collection::vec(1..200_usize, 1..20)) {
            let mut split = Splitter::default();
            let mut lines = Vec::new();
            let (mut rest, mut sizes) = (&bytes[..], sizes.into_iter().cycle());
            while !rest.is_empty() {
                let size = sizes.next().unwrap_or(1).min(rest.len());
                split.room()[..size].copy_from_slice(&rest[..size]);
                split.filled(size);
                rest = &rest[size..];
                while split.find() {
                    lines.push(split.line().to_vec());
                    prop_assert_eq!(split.lines, lines.len() as u64);
                }
            }
            let mut whole: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let left = whole.pop().unwrap_or_default();
            prop_assert_eq!(lines, whole);
            prop_assert_eq!(split.held(), left.len());
        }
    }
}
