//! Documents become requests: the token is put in, and documents are put together in arrays.

use std::io;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::round::Collected;
use crate::secret::Secret;

/// An array is at most this long, in bytes: a proxy in front may refuse bodies over 1 MB.
const LONGEST_ARRAY: usize = 900_000;

/// A request's body, and what it covers.
pub struct Body {
    pub bytes: Bytes,
    pub covers: Covers,
    /// It was sent before, on a connection that broke.
    pub is_second_try: bool,
}

impl Body {
    /// The same, to be sent a second time.
    pub fn once_more(self) -> Self {
        Self {
            is_second_try: true,
            ..self
        }
    }
}

/// Which documents a request is about.
#[derive(Debug, Clone, Copy)]
pub struct Covers {
    pub documents: u64,
    /// The first and the last collector with a document in it.
    first: usize,
    last: usize,
}

impl Covers {
    /// The collectors with a document in it, by their place in the round.
    pub fn collectors(self) -> RangeInclusive<usize> {
        self.first..=self.last
    }
}

/// Makes the bodies of a round's requests, one after the other.
pub struct Bodies<'a> {
    collected: &'a mut [Collected],
    /// The collector that is being read.
    at: usize,
    /// The collector with the first document that was read and not handed out.
    untaken: usize,
    /// `{"token":"...",`
    token: Vec<u8>,
    batch_size: Option<usize>,
    /// The next document, read and not yet taken.
    line: Vec<u8>,
    has_line: bool,
    taken: u64,
}

impl<'a> Bodies<'a> {
    pub fn new(collected: &'a mut [Collected], token: &Secret, batch_size: Option<usize>) -> Self {
        let token = format!(r#"{{"token":{},"#, serde_json::Value::from(token.expose()));
        Self {
            collected,
            at: 0,
            untaken: 0,
            token: token.into_bytes(),
            batch_size,
            line: Vec::new(),
            has_line: false,
            taken: 0,
        }
    }

    /// Reads on until there is a document; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while !self.has_line {
            let Some(collected) = self.collected.get_mut(self.at) else {
                return Ok(false);
            };
            self.has_line = match &mut collected.documents {
                Some(documents) => documents.next(&mut self.line)?,
                None => false,
            };
            if !self.has_line {
                self.at += 1;
            }
        }
        Ok(true)
    }

    pub fn next(&mut self) -> io::Result<Option<Body>> {
        if !self.fill()? {
            return Ok(None);
        }
        self.untaken = self.at;
        let most = self.batch_size.unwrap_or(1);
        let likely = most.min(500) * (self.token.len() + self.line.len() + 16);
        let mut bytes = Vec::with_capacity(likely.min(LONGEST_ARRAY));
        let mut covers = Covers {
            documents: 0,
            first: self.at,
            last: self.at,
        };
        if self.batch_size.is_some() {
            bytes.push(b'[');
        }
        loop {
            // Every line is an object that begins with the cluster: the token goes in front of it.
            bytes.extend_from_slice(&self.token);
            bytes.extend_from_slice(&self.line[1..]);
            self.has_line = false;
            covers.documents += 1;
            covers.last = self.at;
            if covers.documents == most as u64 || !self.fill()? {
                break;
            }
            if bytes.len() + self.token.len() + self.line.len() + 2 > LONGEST_ARRAY {
                break;
            }
            bytes.push(b',');
        }
        if self.batch_size.is_some() {
            bytes.push(b']');
        }
        self.taken += covers.documents;
        self.untaken = self.at;
        Ok(Some(Body {
            bytes: bytes.into(),
            covers,
            is_second_try: false,
        }))
    }

    /// How many documents were not taken; their collectors are not complete.
    pub fn rest(self, complete: &mut [bool]) -> u64 {
        let all: u64 = self.collected.iter().map(Collected::count).sum();
        let rest = all - self.taken;
        if rest > 0 {
            complete
                .iter_mut()
                .skip(self.untaken)
                .for_each(|c| *c = false);
        }
        rest
    }
}
