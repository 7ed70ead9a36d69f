//! Takes down what a round reads. Until the names in it are replaced it lies in memory, and what programs
//! print in files without a name, so that nothing of it outlives this process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use super::opening::LARGEST_OUTPUT;
use super::{Ended, Space, Usage, case_path};
use crate::error::CollectError;

/// Takes down what is read.
#[derive(Debug)]
pub struct Recorder {
    /// Where files without a name go.
    dir: PathBuf,
    read: Mutex<Read>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    pub(super) runs: Vec<Run>,
    /// By path, what each reading gave.
    pub(super) files: BTreeMap<String, Vec<Result<Vec<u8>, i32>>>,
    pub(super) statvfs: BTreeMap<String, Space>,
    pub(super) pauses: Vec<f64>,
    /// By name, the file of a cursor.
    pub(super) cursors: BTreeMap<String, Vec<u8>>,
    pub(super) exchanges: Vec<Exchange>,
    /// Why there is no client for Kubernetes.
    pub(super) no_client: Option<CollectError>,
    pub(super) user: Option<String>,
    /// Why the recording is not whole.
    trouble: Option<String>,
}

/// A run of a program.
#[derive(Debug)]
pub(super) struct Run {
    pub program: &'static str,
    pub args: Vec<Vec<u8>>,
    out: File,
    length: u64,
    pub err: Vec<u8>,
    pub ended: Ended,
}

/// A request to the Kubernetes API, and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub method: String,
    pub path: String,
    pub parameters: Vec<(String, String)>,
    pub answer: Answer,
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// None came.
    Silence,
    Status(u16, Vec<u8>),
    Failed(String),
}

/// Where a run of a program is taken down.
#[derive(Debug)]
pub struct Tape {
    recorder: Arc<Recorder>,
    run: usize,
}

impl Recorder {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            read: Mutex::default(),
        }
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it; the error says why that is not all.
    pub fn finish(&self) -> Result<Read, String> {
        let mut read = std::mem::take(&mut *self.read());
        match read.trouble.take() {
            Some(why) => Err(why),
            None => Ok(read),
        }
    }

    /// A program is about to be run.
    pub fn tape(self: &Arc<Self>, program: &'static str, args: Vec<Vec<u8>>) -> Option<Tape> {
        let mut read = self.read();
        match tempfile::tempfile_in(&self.dir) {
            Ok(out) => {
                read.runs.push(Run {
                    program,
                    args,
                    out,
                    length: 0,
                    err: Vec::new(),
                    ended: Ended::Unread,
                });
                Some(Tape {
                    recorder: Arc::clone(self),
                    run: read.runs.len() - 1,
                })
            }
            Err(why) => {
                read.trouble = Some(format!("a temporary file cannot be made: {why}"));
                None
            }
        }
    }

    /// A file was read, or not.
    pub fn file(&self, path: &str, found: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let noted = match &found {
            Ok(bytes) => Ok(bytes.clone()),
            Err(why) => Err(why.raw_os_error().unwrap_or(Errno::EIO as i32)),
        };
        let mut read = self.read();
        read.files.entry(case_path(path)).or_default().push(noted);
        found
    }

    pub fn space(&self, path: &str, answer: &io::Result<Result<Usage, Errno>>) {
        let space = Space::of(answer);
        self.read().statvfs.insert(path.to_owned(), space);
    }

    pub fn paused(&self, took: Duration) {
        self.read().pauses.push(took.as_secs_f64());
    }

    /// The file that a cursor was found in; the first time counts, as nothing is written in this round.
    pub fn cursor(&self, name: &str, file: Vec<u8>) {
        self.read().cursors.entry(name.to_owned()).or_insert(file);
    }

    pub fn user(&self, name: Option<&str>) {
        self.read().user = name.map(str::to_owned);
    }

    pub fn no_client(&self, why: &CollectError) {
        self.read().no_client = Some(why.clone());
    }

    /// A request was made; its number.
    pub(super) fn asked(&self, exchange: Exchange) -> usize {
        let mut read = self.read();
        read.exchanges.push(exchange);
        read.exchanges.len() - 1
    }

    pub(super) fn answered(&self, number: usize, answer: Answer) {
        if let Some(exchange) = self.read().exchanges.get_mut(number) {
            exchange.answer = answer;
        }
    }
}

impl Tape {
    /// It printed something.
    pub fn out(&self, bytes: &[u8]) {
        let mut read = self.recorder.read();
        let Some(run) = read.runs.get_mut(self.run) else {
            return;
        };
        run.length += bytes.len() as u64;
        let written = match run.length > LARGEST_OUTPUT {
            true => Err(io::Error::other(format!(
                "more than {LARGEST_OUTPUT} bytes"
            ))),
            false => run.out.write_all(bytes),
        };
        let program = run.program;
        if let Err(why) = written {
            read.trouble = Some(format!("what {program} prints cannot be kept: {why}"));
        }
    }

    /// It ended, and had said this on standard error.
    pub fn ended(&self, how: Ended, err: &[u8]) {
        if let Some(run) = self.recorder.read().runs.get_mut(self.run) {
            run.ended = how;
            err.clone_into(&mut run.err);
        }
    }
}

impl Run {
    /// What it printed, from the start.
    pub fn out(&self) -> io::Result<BufReader<&File>> {
        let mut out = &self.out;
        out.seek(SeekFrom::Start(0))?;
        Ok(BufReader::with_capacity(64 << 10, out))
    }

    /// Of several runs, whether this is the same as that one.
    pub fn is_same(&self, other: &Self) -> io::Result<bool> {
        let looks = self.program == other.program
            && self.args == other.args
            && (self.length, &self.err, &self.ended) == (other.length, &other.err, &other.ended);
        if !looks {
            return Ok(false);
        }
        let mut ours = self.out()?;
        let mut theirs = other.out()?;
        is_equal(&mut ours, &mut theirs)
    }
}

fn is_equal(one: &mut impl io::BufRead, other: &mut impl io::BufRead) -> io::Result<bool> {
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let length = a.len().min(b.len());
        if length == 0 {
            return Ok(a.len() == b.len());
        }
        if a[..length] != b[..length] {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}
