//! The documents of one collector in one round, as lines of JSON in a temporary file: memory does
//! not grow with the queue, and a source that fails half-way leaves nothing behind.

use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use afmetrics_document::Document;
use tempfile::SpooledTempFile;

use crate::error::CollectError;
use crate::state::without_path;

/// Below this a collector's documents never touch a disk.
const IN_MEMORY: usize = 256 << 10;

/// Takes a collector's documents, one at a time.
pub struct Documents {
    /// `{"cluster":"NAME",`: what every line begins with.
    prefix: Vec<u8>,
    line: Vec<u8>,
    lines: BufWriter<SpooledTempFile>,
    written: Extent,
    kept: Extent,
    problems: Vec<Problem>,
    cursor: Option<&'static str>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Extent {
    bytes: u64,
    documents: u64,
}

/// A source that gave nothing.
#[derive(Debug)]
pub struct Problem {
    pub error: CollectError,
    /// Nobody asked for this source by name and it is not there: worth a line, no failure.
    pub excused: bool,
}

impl Documents {
    /// `folder`: where the temporary file goes once it is too large for memory; unlinked at once.
    pub fn new(cluster: &str, folder: &Path) -> Self {
        let mut prefix = br#"{"cluster":"#.to_vec();
        prefix.extend(serde_json::Value::from(cluster).to_string().into_bytes());
        prefix.push(b',');
        Self {
            prefix,
            line: Vec::with_capacity(512),
            lines: BufWriter::with_capacity(
                64 << 10,
                tempfile::spooled_tempfile_in(IN_MEMORY, folder),
            ),
            written: Extent::default(),
            kept: Extent::default(),
            problems: Vec::new(),
            cursor: None,
        }
    }

    /// Adds a document.
    pub fn push(&mut self, document: &Document) -> Result<(), CollectError> {
        self.line.clear();
        self.line.extend_from_slice(&self.prefix);
        let brace = self.line.len();
        serde_json::to_writer(&mut self.line, document)
            .map_err(|why| CollectError::Failed(format!("cannot write a document: {why}")))?;
        // The document's own opening brace went behind the prefix, which has one.
        self.line.remove(brace);
        self.line.push(b'\n');
        self.lines.write_all(&self.line).map_err(temporary_file)?;
        self.written.bytes += self.line.len() as u64;
        self.written.documents += 1;
        Ok(())
    }

    /// Reads one of several independent sources: what it pushed counts if it ended well and is
    /// dropped if not, whatever becomes of the others.
    pub async fn part(
        &mut self,
        read: impl AsyncFnOnce(&mut Documents) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        let result = read(self).await;
        self.close(result)
    }

    /// Ends a source: keeps what it pushed, or drops it and notes why.
    pub fn close(&mut self, result: Result<(), CollectError>) -> Result<(), CollectError> {
        match result {
            Ok(()) => self.kept = self.written,
            Err(error) => {
                self.rewind().map_err(temporary_file)?;
                self.problems.push(Problem {
                    error,
                    excused: false,
                });
            }
        }
        Ok(())
    }

    /// Notes a source that nobody asked for by name and that is not there.
    pub fn excuse(&mut self, error: CollectError) {
        self.problems.push(Problem {
            error,
            excused: true,
        });
    }

    /// How far this collector has read is prepared under this name in the state folder; it becomes
    /// the truth once the documents are delivered.
    pub fn advance(&mut self, name: &'static str) {
        self.cursor = Some(name);
    }

    /// How many documents count so far.
    pub fn count(&self) -> u64 {
        self.kept.documents
    }

    /// How many sources were noted as read in vain, excused ones included.
    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.lines.flush()?;
        let file = self.lines.get_mut();
        file.set_len(self.kept.bytes)?;
        file.seek(SeekFrom::Start(self.kept.bytes))?;
        self.written = self.kept;
        Ok(())
    }

    /// Ends writing: what was not kept is dropped.
    pub fn finish(mut self) -> Result<Stored, CollectError> {
        self.rewind().map_err(temporary_file)?;
        let (mut file, _) = self.lines.into_parts();
        file.seek(SeekFrom::Start(0)).map_err(temporary_file)?;
        Ok(Stored {
            lines: BufReader::with_capacity(64 << 10, file),
            count: self.kept.documents,
            problems: self.problems,
            cursor: self.cursor,
        })
    }
}

fn temporary_file(why: io::Error) -> CollectError {
    CollectError::Failed(format!(
        "the temporary file for its documents cannot be written: {}",
        without_path(why)
    ))
}

/// A collector's documents, to be read once.
pub struct Stored {
    lines: BufReader<SpooledTempFile>,
    pub count: u64,
    pub problems: Vec<Problem>,
    /// The name of the state to be committed.
    pub cursor: Option<&'static str>,
}

impl Stored {
    /// The next document as its JSON text without line end, into `line`; false after the last.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        if self.lines.read_until(b'\n', line)? == 0 {
            return Ok(false);
        }
        line.pop();
        Ok(true)
    }
}
