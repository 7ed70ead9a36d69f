//! HTCondor's tools, as `condor_q -json` and `condor_history -json` print:
//!
//! ```text
//! [
//! {
//!   "ClusterId": 4,
//!   "JobStatus": 1,
//!   "Owner": "bob"
//! }
//! ,
//! {
//! ...
//! }
//! ]
//! ```
//!
//! What surprised us (HTCondor 25.14, a real pool): an empty queue is no output at all, an empty
//! history is `[` and `]`; an error may leave a lone `[`; a missing attribute is a missing key, an
//! undefined one is null, an unevaluated one is a string `"/Expr(...)/"`; numbers may be reals; two
//! objects may carry the same id. A list of 80,000 jobs is 14 MB, so it is read as a stream: what is
//! kept is one object.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::collectors::CollectError;
use crate::command::Running;
use crate::context::Context;
use crate::tally::Tally;

/// The largest ClassAd we take. With a projection of a few attributes one is 200 bytes.
const LARGEST: usize = 1 << 20;
/// What is read at a time: a pipe holds no more.
const CHUNK: usize = 64 << 10;

/// Runs a tool of HTCondor whose output is a JSON list of ClassAds; of each, the attributes that
/// `T` has are read.
pub async fn query<'a, T: DeserializeOwned>(
    cx: &'a Context,
    program: &'static str,
    args: &[&str],
) -> Result<Ads<'a, T>, CollectError> {
    Ok(Ads {
        program,
        running: Some(cx.command(program).args(args).spawn().await?),
        splitter: Splitter::default(),
        tally: Tally::default(),
        of: PhantomData,
    })
}

/// The ClassAds that a tool prints, one after the other.
pub struct Ads<'a, T> {
    program: &'static str,
    running: Option<Running<'a>>,
    splitter: Splitter,
    tally: Tally,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Ads<'_, T> {
    /// The next ad, as what `usable` makes of it; `None` at the end of a list that ended well.
    /// What is no ad, or is refused by `usable` with a reason, is counted and left out.
    pub async fn next<U>(
        &mut self,
        usable: impl Fn(T) -> Result<U, &'static str>,
    ) -> Result<Option<U>, CollectError> {
        loop {
            match self.splitter.next() {
                Some(Piece::Junk { line, why }) => self.tally.bad(line, why),
                Some(Piece::Object { line, range }) => {
                    let text = String::from_utf8_lossy(self.splitter.bytes(range));
                    match serde_json::from_str(&text)
                        .map_err(|_| "not a JSON object")
                        .and_then(&usable)
                    {
                        Ok(ad) => {
                            self.tally.good();
                            return Ok(Some(ad));
                        }
                        Err(why) => self.tally.bad(line, why),
                    }
                }
                None => {
                    let Some(running) = &mut self.running else {
                        return Ok(None);
                    };
                    let read = running.read(self.splitter.room()).await?;
                    self.splitter.filled(read);
                    if self.splitter.held() > LARGEST {
                        return Err(
                            self.malformed(&format!("has an object of more than {LARGEST} bytes"))
                        );
                    }
                    if read == 0 {
                        self.end().await?;
                    }
                }
            }
        }
    }

    /// Judges the whole once it is there: the exit status first, as it explains the rest.
    async fn end(&mut self) -> Result<(), CollectError> {
        if let Some(running) = self.running.take() {
            running.finish().await?;
        }
        if self.splitter.is_cut() {
            return Err(self.malformed("ends in the middle of a list"));
        }
        std::mem::take(&mut self.tally).verdict(self.program, "ad")
    }

    fn malformed(&self, what: &str) -> CollectError {
        CollectError::Malformed(format!("the output of {} {what}", self.program))
    }
}

/// Part of a list.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// From brace to brace; it begins on this line.
    Object { line: u64, range: Range<usize> },
    /// Something that is not part of a list of objects.
    Junk { line: u64, why: &'static str },
}

/// Finds the objects in a stream of JSON, without understanding them. It goes on behind a broken
/// one: HTCondor's objects begin with a brace in the first column, and nothing inside them does.
#[derive(Debug)]
struct Splitter {
    buffer: Vec<u8>,
    /// How much of the buffer holds input.
    end: usize,
    /// How much of it has been looked at.
    at: usize,
    /// Where the object at hand begins, and on which line.
    object: Option<(usize, u64)>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    line: u64,
    column: u64,
    /// The last line on which junk was reported.
    junk: u64,
    /// `[` less `]`.
    open: i64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            end: 0,
            at: 0,
            object: None,
            depth: 0,
            in_string: false,
            escaped: false,
            line: 1,
            column: 0,
            junk: 0,
            open: 0,
        }
    }
}

impl Splitter {
    /// Where to read to.
    fn room(&mut self) -> &mut [u8] {
        let keep = self.object.map_or(self.at, |(start, _)| start);
        self.buffer.copy_within(keep..self.end, 0);
        self.end -= keep;
        self.at -= keep;
        if let Some((start, _)) = &mut self.object {
            *start -= keep;
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        &mut self.buffer[self.end..]
    }

    fn filled(&mut self, read: usize) {
        self.end += read;
    }

    /// How much is held of an object that is not complete.
    fn held(&self) -> usize {
        self.object.map_or(0, |(start, _)| self.end - start)
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Whether the input, if this was all of it, ended too early.
    fn is_cut(&self) -> bool {
        self.object.is_some() || self.open > 0
    }

    fn next(&mut self) -> Option<Piece> {
        while self.at < self.end {
            let byte = self.buffer[self.at];
            let column = self.column;
            self.at += 1;
            self.column += 1;
            if byte == b'\n' {
                self.line += 1;
                self.column = 0;
                // No string of JSON goes over the end of a line.
                self.in_string = false;
                self.escaped = false;
                continue;
            }
            let piece = match self.object {
                Some((start, line)) => self.inside(byte, column, start, line),
                None => self.outside(byte),
            };
            if piece.is_some() {
                return piece;
            }
        }
        None
    }

    fn inside(&mut self, byte: u8, column: u64, start: usize, line: u64) -> Option<Piece> {
        if column == 0 && matches!(byte, b'{' | b']') {
            self.object = None;
            self.at -= 1;
            self.column = 0;
            return Some(Piece::Junk {
                line,
                why: "an object without end",
            });
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.object = None;
                    return Some(Piece::Object {
                        line,
                        range: start..self.at,
                    });
                }
            }
            _ => {}
        }
        None
    }

    fn outside(&mut self, byte: u8) -> Option<Piece> {
        match byte {
            b'[' => self.open += 1,
            b']' => self.open -= 1,
            b',' | b' ' | b'\t' | b'\r' => {}
            b'{' => {
                self.object = Some((self.at - 1, self.line));
                self.depth = 1;
            }
            _ if self.junk < self.line => {
                self.junk = self.line;
                return Some(Piece::Junk {
                    line: self.line,
                    why: "not part of a JSON list",
                });
            }
            _ => {}
        }
        None
    }
}

/// An attribute that should be a number. Reals are cut to whole numbers, beyond 64 bits to the
/// largest; `None` if it is missing, undefined, an expression, or of another type.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub Option<i64>);

/// An attribute that should be a string. `None` if it is missing, undefined, empty, an unevaluated
/// expression, or of another type.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text(pub Option<String>);

/// What [`Number`] and [`Text`] are read as: any JSON value, of which lists and objects are skipped.
enum Value {
    Number(i64),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ValueVisitor)? {
            Value::Number(number) => Self(Some(number)),
            Value::Text(_) | Value::Other => Self(None),
        })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ValueVisitor)? {
            Value::Text(text) if !(text.is_empty() || text.starts_with("/Expr(")) => {
                Self(Some(text))
            }
            Value::Text(_) | Value::Number(_) | Value::Other => Self(None),
        })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting to whole numbers and to the largest is what is wanted"
    )]
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number as i64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
