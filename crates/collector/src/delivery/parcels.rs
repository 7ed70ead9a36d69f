//! A parcel: the documents of one request, before the token is put in, and where they come from.

use std::io::{self, BufRead};
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::wrapping::Wrapping;
use crate::measures::own::Waiting;

/// An array is at most this long, in bytes: a proxy in front may refuse bodies over 1 MB.
const LONGEST_ARRAY: usize = 900_000;
/// So many bytes of documents are handed out at once, and little more.
pub const AT_ONCE: usize = 1 << 20;

/// The batch that documents are of.
#[derive(Debug)]
pub struct Origin {
    /// Tells the batches of one delivery apart.
    pub number: u64,
    pub id: Uuid,
    /// When late documents were collected (RFC 3339); `None`: they are of this round.
    pub timestamp: Option<String>,
    pub collected: Timestamp,
}

/// Documents for one request, of one batch and in its order, without a gap.
#[derive(Debug, Clone)]
pub struct Parcel {
    pub origin: Arc<Origin>,
    /// The index of the first document in its batch.
    pub first: u64,
    pub count: u64,
    /// A line of JSON each.
    pub lines: Vec<u8>,
    /// How often it was sent before in this round.
    pub tries: u32,
}

impl Parcel {
    /// What names these documents at the endpoint, however often they are sent.
    pub fn key(&self) -> String {
        format!("{}/{}-{}", self.origin.id, self.first, self.count)
    }

    /// The two halves; the whole, if there is only one document.
    pub fn halves(self) -> (Self, Option<Self>) {
        if self.count < 2 {
            return (self, None);
        }
        let half = self.count / 2;
        let ends = self.lines.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let end = ends
            .map(|(at, _)| at + 1)
            .nth(
                usize::try_from(half)
                    .unwrap_or(usize::MAX)
                    .saturating_sub(1),
            )
            .unwrap_or(self.lines.len());
        let second = Self {
            origin: Arc::clone(&self.origin),
            first: self.first + half,
            count: self.count - half,
            lines: self.lines[end..].to_vec(),
            tries: 0,
        };
        let mut first = self;
        first.count = half;
        first.lines.truncate(end);
        first.tries = 0;
        (first, Some(second))
    }
}

/// Lines without their line ends.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Puts the documents of one batch together in parcels.
pub struct Packer {
    origin: Arc<Origin>,
    most: u64,
    /// Bytes that a document takes in a body besides its line.
    around: usize,
    parcel: Parcel,
}

impl Packer {
    pub fn new(origin: Origin, wrapping: &Wrapping) -> Self {
        let origin = Arc::new(origin);
        Self {
            most: wrapping.most(),
            around: wrapping.around(&origin),
            parcel: empty(&origin),
            origin,
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Adds a document; gives the parcel that it no longer fits into.
    pub fn add(&mut self, index: u64, line: &[u8]) -> Option<Parcel> {
        let parcel = &self.parcel;
        let count = usize::try_from(parcel.count).unwrap_or(usize::MAX);
        let bytes = parcel.lines.len() + line.len() + 1 + (count + 1).saturating_mul(self.around);
        let fits = parcel.count < self.most
            && parcel.first + parcel.count == index
            && bytes < LONGEST_ARRAY;
        let full = if fits { None } else { self.rest() };
        if self.parcel.count == 0 {
            self.parcel.first = index;
        }
        self.parcel.count += 1;
        self.parcel.lines.extend_from_slice(line);
        self.parcel.lines.push(b'\n');
        full
    }

    /// What is not yet in a parcel that was given.
    pub fn rest(&mut self) -> Option<Parcel> {
        let parcel = std::mem::replace(&mut self.parcel, empty(&self.origin));
        (parcel.count > 0).then_some(parcel)
    }
}

fn empty(origin: &Arc<Origin>) -> Parcel {
    Parcel {
        origin: Arc::clone(origin),
        first: 0,
        count: 0,
        lines: Vec::new(),
        tries: 0,
    }
}

/// What became of a parcel.
#[derive(Debug)]
pub struct Answered {
    pub parcel: Parcel,
    pub answer: Answer,
}

/// There is no fourth case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint has it.
    Accepted,
    /// The endpoint will never take it, and said why.
    Rejected(String),
    /// Not now, and why.
    Later(String),
}

/// Where parcels come from, and who is told what became of them. It may touch a disk that hangs, so it
/// lives on a thread of its own.
pub trait Source: Send {
    /// The next parcels, some or about so many, in the order in which they should leave; none at the
    /// end.
    fn next(&mut self, about: usize) -> Vec<Parcel>;

    /// Notes what became of parcels.
    fn answered(&mut self, answered: Vec<Answered>);

    /// How things stand when no more will be sent.
    fn end(&mut self) -> Left;
}

/// What was not ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Left {
    /// Documents that wait for the next round.
    pub waiting: u64,
    /// The batches that they are in, and their bytes on the disk.
    pub batches: u64,
    pub bytes: u64,
    /// Nobody could look: the spool cannot be read, or another round has it in hand.
    pub is_unseen: bool,
    /// When the oldest of them was collected.
    pub since: Option<Timestamp>,
    /// Documents that nobody will send any more.
    pub lost: u64,
    /// Batches that could not be read to their ends.
    pub damaged: u64,
    /// Batches that could not be read just now; how much waits in them cannot be known.
    pub unreadable: u64,
    /// Documents that hold clear names where names are hidden now: they wait for a person.
    pub too_clear: u64,
    /// Documents that were dropped as there was no room for them or they were too old.
    pub given_up: u64,
    /// Of these, those that waited for other endpoints, by where they should have gone.
    pub given_up_of_others: Vec<(String, u64)>,
    /// Refused documents that could not be put aside, so that they wait.
    pub not_put_aside: u64,
    /// Something else went wrong, which has been logged.
    pub has_failed: bool,
    /// Another round has stored some when this one had looked for the last time.
    pub has_more: bool,
}

impl Left {
    /// What waits, for the metrics; `None`: that is not known.
    pub fn waits(&self) -> Option<Waiting> {
        (!self.is_unseen).then(|| Waiting {
            batches: self.batches,
            bytes: self.bytes,
            documents: self.waiting,
            oldest: self.since,
        })
    }
}

/// The documents of this round alone, from memory: where they cannot be stored.
pub struct FromMemory {
    documents: Box<dyn BufRead + Send>,
    packer: Packer,
    next: u64,
    /// Neither accepted nor rejected.
    open: u64,
}

impl FromMemory {
    /// `documents`: so many lines of JSON.
    pub fn new(
        documents: Box<dyn BufRead + Send>,
        count: u64,
        wrapping: &Wrapping,
        collected: Timestamp,
    ) -> Self {
        let origin = Origin {
            number: 0,
            id: Uuid::now_v7(),
            timestamp: None,
            collected,
        };
        Self {
            documents,
            packer: Packer::new(origin, wrapping),
            next: 0,
            open: count,
        }
    }

    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        if self.documents.read_until(b'\n', line)? == 0 {
            return Ok(false);
        }
        line.pop();
        Ok(true)
    }
}

impl Source for FromMemory {
    fn next(&mut self, about: usize) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let mut line = Vec::new();
        let mut bytes = 0;
        while parcels.len() < about && bytes < AT_ONCE {
            match self.line(&mut line) {
                Ok(true) => {
                    if let Some(parcel) = self.packer.add(self.next, &line) {
                        bytes += parcel.lines.len();
                        parcels.push(parcel);
                    }
                    self.next += 1;
                }
                Ok(false) => {
                    parcels.extend(self.packer.rest());
                    break;
                }
                Err(why) => {
                    tracing::error!("the temporary file of documents cannot be read: {why}");
                    parcels.extend(self.packer.rest());
                    break;
                }
            }
        }
        parcels
    }

    fn answered(&mut self, answered: Vec<Answered>) {
        for Answered { parcel, answer } in answered {
            if !matches!(answer, Answer::Later(_)) {
                self.open -= parcel.count;
            }
        }
    }

    fn end(&mut self) -> Left {
        Left {
            lost: self.open,
            ..Left::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn packer(most: usize) -> (Packer, Wrapping) {
        let wrapping = Wrapping::documents(&Secret::new("t0ken"), Some(most));
        let origin = Origin {
            number: 1,
            id: Uuid::nil(),
            timestamp: None,
            collected: Timestamp::UNIX_EPOCH,
        };
        (Packer::new(origin, &wrapping), wrapping)
    }

    #[test]
    fn a_gap_ends_a_parcel_and_so_do_number_and_length() {
        let (mut packer, _) = packer(3);
        let long = vec![b'x'; LONGEST_ARRAY - 10];
        let mut parcels = Vec::new();
        for index in [0, 1, 2, 3, 5, 6] {
            parcels.extend(packer.add(index, b"{}"));
        }
        parcels.extend(packer.add(7, &long));
        parcels.extend(packer.add(8, b"{}"));
        parcels.extend(packer.rest());
        let found: Vec<(u64, u64)> = parcels.iter().map(|p| (p.first, p.count)).collect();
        assert_eq!(found, [(0, 3), (3, 1), (5, 2), (7, 1), (8, 1)]);
        assert_eq!(packer.rest().map(|p| p.count), None);
    }

    #[test]
    fn memory_hands_out_a_little_at_a_time_and_all_of_it() {
        let wrapping = Wrapping::documents(&Secret::new("t0ken"), None);
        let line = format!("{{\"n\":\"{}\"}}\n", "x".repeat(1000));
        let mut source = FromMemory::new(
            Box::new(io::Cursor::new(line.repeat(3000).into_bytes())),
            3000,
            &wrapping,
            Timestamp::UNIX_EPOCH,
        );
        let mut documents = 0;
        loop {
            let parcels = source.next(usize::MAX);
            if parcels.is_empty() {
                break;
            }
            let bytes: usize = parcels.iter().map(|parcel| parcel.lines.len()).sum();
            assert!(bytes < AT_ONCE + LONGEST_ARRAY, "{bytes}");
            documents += parcels.iter().map(|parcel| parcel.count).sum::<u64>();
        }
        assert_eq!(documents, 3000);
    }

    #[test]
    fn halves_are_the_whole() {
        let (mut packer, wrapping) = packer(5);
        for index in 10..15 {
            assert!(
                packer
                    .add(index, format!("{{\"n\":{index}}}").as_bytes())
                    .is_none()
            );
        }
        let (first, second) = packer.rest().unwrap().halves();
        let second = second.unwrap();
        assert_eq!(first.key(), format!("{}/10-2", Uuid::nil()));
        assert_eq!(second.key(), format!("{}/12-3", Uuid::nil()));
        assert_eq!(first.lines, b"{\"n\":10}\n{\"n\":11}\n");
        assert_eq!(
            wrapping.body(&second),
            &br#"[{"token":"t0ken","n":12},{"token":"t0ken","n":13},{"token":"t0ken","n":14}]"#[..]
        );
        let (one, none) = first.halves().0.halves();
        assert_eq!((one.count, none.is_none()), (1, true));
    }
}
