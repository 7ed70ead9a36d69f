//! `import FILE...`: documents from files: lines of JSON, an array, or objects one after another as the old
//! script's `-d` writes them.
//!
//! A file is read twice: first to see that all of it can be taken, then to store it. So of a file with a
//! mistake nothing is stored. What is stored goes in pieces under a key that is made of the file's
//! bytes: after a crash the same file goes on where it was, and a second time all of it is known.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Read, Seek as _, stdin};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use ring::digest;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cli::Import;
use crate::documents::{Documents, Form, Taking, fields::Fields, time};
use crate::store::ranges::Key;
use crate::store::{Kept, Received, Store};
use crate::{clock, config};

/// Documents, or bytes of them, that are stored at a time.
const DOCUMENTS: usize = 4_096;
const BYTES: usize = 4 * 1024 * 1024;
/// Of an element, before it is known what it is: a document is much shorter, blanks and all.
const LONGEST_ELEMENT: usize = 1024 * 1024;
/// With somebody who looks on: after so many documents how far it is.
const SAY_EVERY: usize = 500_000;

/// # Errors
/// The file and the element that cannot be taken; nothing of that file is stored.
pub fn run(command: &Import) -> Result<()> {
    let folder = config::folder(&command.place);
    let given = super::time("--time", command.time.as_deref())?;
    let was_there = super::is_there(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (store, writing) = Store::open(&folder)?;
    super::say_if_new(&folder, was_there);
    let imported = command.files.iter().try_for_each(|name| {
        let file = Source::open(name, given, command.accept_unknown_kinds)?;
        let kept = runtime
            .block_on(file.import(&store))
            .with_context(|| name.display().to_string())?;
        eprintln!(
            "{}: {} documents stored, {} repeated",
            name.display(),
            kept.stored,
            kept.repeated
        );
        Ok(())
    });
    let settled = runtime.block_on(store.settle());
    drop(store);
    imported.and(settled).and(writing.end())
}

/// A file of documents.
struct Source {
    file: File,
    taking: Taking<'static>,
    /// The time of documents that say none.
    stamp: String,
}

impl Source {
    fn open(name: &Path, given: Option<i64>, accept_unknown_kinds: bool) -> Result<Self> {
        let now = clock::now();
        let open = || -> Result<(File, i64)> {
            if name == Path::new("-") {
                let mut file = tempfile::tempfile()?;
                std::io::copy(&mut stdin().lock(), &mut file)?;
                return Ok((file, now));
            }
            let file = File::open(name)?;
            let known = file.metadata()?;
            if !known.is_file() {
                bail!("it is no file");
            }
            let changed = jiff::Timestamp::try_from(known.modified()?)?;
            Ok((file, changed.as_millisecond()))
        };
        let (file, changed) = open().with_context(|| format!("cannot read {}", name.display()))?;
        Ok(Self {
            file,
            taking: Taking {
                now,
                accept_unknown_kinds,
                gate: None,
            },
            stamp: time::text(given.unwrap_or(changed)),
        })
    }

    async fn import(mut self, store: &Store) -> Result<Kept> {
        let batch = self.batch()?;
        let mut pieces = Pieces::new(&mut self)?;
        while pieces.next()?.is_some() {}
        let shows = std::io::stderr().is_terminal();
        let (mut first, mut all) = (
            0,
            Kept {
                stored: 0,
                repeated: 0,
            },
        );
        let mut said = 0;
        let mut pieces = Pieces::new(&mut self)?;
        while let Some(documents) = pieces.next()? {
            let count = u32::try_from(documents.list.len())?;
            let received = Received {
                documents,
                key: Some(Key {
                    batch,
                    first,
                    count,
                }),
                now: clock::now(),
                room: None,
            };
            let kept = store
                .keep(received)
                .await
                .map_err(|why| anyhow!("from element {first} on not stored: {why:?}"))?;
            first = first
                .checked_add(count)
                .context("more than 4 billion documents in one file")?;
            all.stored += kept.stored;
            all.repeated += kept.repeated;
            if shows && all.stored + all.repeated >= said + SAY_EVERY {
                said = all.stored + all.repeated;
                eprintln!("{said} documents");
            }
        }
        store
            .on_writer(move |writer| writer.know_for_long(batch, clock::now()))
            .await??;
        Ok(all)
    }

    /// The key of the file's bytes.
    fn batch(&mut self) -> Result<Uuid> {
        self.file.rewind()?;
        let mut sum = digest::Context::new(&digest::SHA256);
        let mut piece = [0; 64 * 1024];
        loop {
            let n = self.file.read(&mut piece)?;
            if n == 0 {
                break;
            }
            sum.update(&piece[..n]);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&sum.finish().as_ref()[..16]);
        Ok(uuid::Builder::from_custom_bytes(first).into_uuid())
    }
}

/// The documents of a file, some at a time.
struct Pieces<'s> {
    reader: Lines<BufReader<&'s File>>,
    taking: &'s Taking<'static>,
    stamp: &'s str,
    /// Elements that were read.
    elements: usize,
    is_array: bool,
}

impl<'s> Pieces<'s> {
    fn new(source: &'s mut Source) -> Result<Self> {
        source.file.rewind()?;
        let mut reader = Lines {
            inner: BufReader::with_capacity(256 * 1024, &source.file),
            line: 1,
            left: LONGEST_ELEMENT,
        };
        let is_array = reader.next_byte()? == Some(b'[');
        if is_array {
            reader.inner.consume(1);
        }
        Ok(Self {
            reader,
            taking: &source.taking,
            stamp: &source.stamp,
            elements: 0,
            is_array,
        })
    }

    fn next(&mut self) -> Result<Option<Documents>> {
        let mut body = String::from("[");
        // Where each element begins, for an error.
        let mut places: Vec<u64> = Vec::new();
        while places.len() < DOCUMENTS && body.len() < BYTES {
            let Some(line) = self.begin()? else { break };
            let element = self.elements;
            let place = |line: u64| format!("element {element} (line {line})");
            self.reader.left = LONGEST_ELEMENT;
            let raw: Box<RawValue> = {
                let mut reader = serde_json::Deserializer::from_reader(&mut self.reader);
                serde::Deserialize::deserialize(&mut reader).map_err(|why: serde_json::Error| {
                    anyhow!(
                        "{}: {}",
                        place(line),
                        crate::documents::shape::without_place(&why)
                    )
                })?
            };
            let fields: Fields = serde_json::from_str(raw.get()).map_err(|why| {
                anyhow!(
                    "{}: {}",
                    place(line),
                    crate::documents::shape::without_place(&why)
                )
            })?;
            if !places.is_empty() {
                body.push(',');
            }
            match fields.raw("timestamp").filter(|raw| *raw != "null") {
                Some(_) => body.push_str(raw.get()),
                None => stamped(&mut body, self.stamp, &fields),
            }
            places.push(line);
            self.elements += 1;
        }
        if places.is_empty() {
            return Ok(None);
        }
        body.push(']');
        let before = self.elements - places.len();
        self.taking
            .documents(&body, Form::Json, &mut Vec::new())
            .map(Some)
            .map_err(|fault| {
                let at = fault.element.unwrap_or_default();
                let line = places.get(at).copied().unwrap_or_default();
                anyhow!("element {} (line {line}): {}", before + at, fault.why)
            })
    }

    /// Goes to the next element; returns the line it begins in.
    fn begin(&mut self) -> Result<Option<u64>> {
        let next = self.reader.next_byte()?;
        let line = self.reader.line;
        let next = match (self.is_array, next) {
            (true, Some(b']')) => {
                self.reader.inner.consume(1);
                self.is_array = false;
                if self.reader.next_byte()?.is_some() {
                    bail!("line {}: something follows the array", self.reader.line);
                }
                return Ok(None);
            }
            (true, None) => bail!("line {line}: the array has no end"),
            (true, Some(b',')) if self.elements > 0 => {
                self.reader.inner.consume(1);
                match self.reader.next_byte()? {
                    None => bail!("line {}: the array has no end", self.reader.line),
                    next => next,
                }
            }
            (true, Some(_)) if self.elements > 0 => {
                bail!("line {line}: a comma is missing")
            }
            (_, next) => next,
        };
        match next {
            None => Ok(None),
            Some(b'{') => Ok(Some(self.reader.line)),
            Some(_) => bail!(
                "element {} (line {}): expected a JSON object",
                self.elements,
                self.reader.line
            ),
        }
    }
}

/// The object with a time in front of its other fields.
fn stamped(body: &mut String, stamp: &str, fields: &Fields<'_>) {
    body.push_str("{\"timestamp\":\"");
    body.push_str(stamp);
    body.push('"');
    for (name, raw) in fields.iter().filter(|(name, _)| *name != "timestamp") {
        body.push(',');
        body.push_str(&serde_json::Value::from(name).to_string());
        body.push(':');
        body.push_str(raw);
    }
    body.push('}');
}

/// Counts lines as they are read.
struct Lines<R> {
    inner: R,
    line: u64,
    /// Bytes that the element may still have.
    left: usize,
}

impl<R: BufRead> Lines<R> {
    /// The next byte that is no blank, which is not taken.
    fn next_byte(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            let Some(byte) = self.inner.fill_buf()?.first().copied() else {
                return Ok(None);
            };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.line += u64::from(byte == b'\n');
            self.inner.consume(1);
        }
    }
}

impl<R: BufRead> Read for Lines<R> {
    /// A byte at a time: what follows a value must stay.
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(into) = into.first_mut() else {
            return Ok(0);
        };
        let Some(byte) = self.inner.fill_buf()?.first().copied() else {
            return Ok(0);
        };
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| std::io::Error::other("it has more than 1 MiB"))?;
        self.inner.consume(1);
        self.line += u64::from(byte == b'\n');
        *into = byte;
        Ok(1)
    }
}
