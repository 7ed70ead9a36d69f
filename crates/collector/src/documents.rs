//! The documents of one collector in one round, as lines of JSON, for each audience its own: in memory as
//! long as they are few, in a temporary file beyond, so that memory does not grow with the queue. A source
//! that fails half-way leaves nothing behind.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use afmetrics_document::Document;
use serde::Serialize;
use serde_json::Value;

use crate::config::Audience;
use crate::error::CollectError;
use crate::measures::Measures;
use crate::state::without_path;

/// Below this a collector's documents never touch a disk.
const IN_MEMORY: usize = 256 << 10;
/// The groups of users are not known ([`Documents::is_incomplete`]).
const UNKNOWN_GROUPS: &str = "the user database (NSS) did not say of all users in which group they are: endpoints with a group hear nothing of this source in this round, and what is told only once is left to the next one";
/// Where no temporary file can be written, so much is kept in memory.
const WITHOUT_A_FILE: usize = 48 << 20;

/// How many documents of which kind.
pub type Kinds = Vec<(&'static str, u64)>;

/// Takes a collector's documents, one at a time.
pub struct Documents {
    /// `{"cluster":"NAME",`: what every line begins with.
    prefix: Vec<u8>,
    line: Vec<u8>,
    /// For each audience.
    shares: Vec<Share>,
    problems: Vec<Problem>,
    cursors: Vec<(String, Value)>,
    /// How many of the cursors are of sources that ended well.
    kept_cursors: usize,
}

/// What one audience hears.
struct Share {
    /// Only of these kinds; `None`: all.
    kinds: Option<Vec<&'static str>>,
    lines: Lines,
    /// Those that must not leave unless the cursor is kept: without it, the next round reads them
    /// again.
    once: Lines,
    /// It hears these, and of the documents nothing.
    measures: Option<Counted>,
    /// Of the source at hand a document is missing: nobody knows whether it is for this audience.
    is_incomplete: bool,
}

/// The numbers of documents.
struct Counted {
    written: Measures,
    /// Of sources that ended well.
    kept: Measures,
}

impl Share {
    fn hears_of(&self, kind: &str) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Keeps what the source at hand pushed; of an incomplete share nothing.
    fn keep(&mut self) -> io::Result<()> {
        if self.is_incomplete {
            return self.rewind();
        }
        self.lines.keep();
        self.once.keep();
        if let Some(measures) = &mut self.measures {
            measures.kept.clone_from(&measures.written);
        }
        Ok(())
    }

    /// Drops of the source at hand what is told only once.
    fn forget_once(&mut self) -> io::Result<()> {
        if let Some(Counted { written, kept }) = &mut self.measures {
            written.forget_ended_since(kept);
        }
        self.once.rewind()
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.is_incomplete = false;
        if let Some(measures) = &mut self.measures {
            measures.written.clone_from(&measures.kept);
        }
        self.lines.rewind()?;
        self.once.rewind()
    }

    /// How many documents count so far.
    fn count(&self) -> u64 {
        self.lines.kept.documents + self.once.kept.documents
    }
}

/// A place in what was pushed ([`Documents::mark`]): for each audience.
#[derive(Debug, Clone)]
pub struct Mark(Vec<(Extent, Extent, Option<Measures>)>);

/// A source that gave nothing.
#[derive(Debug)]
pub struct Problem {
    pub error: CollectError,
    /// Nobody asked for this source by name and it is not there: worth a line, no failure.
    pub excused: bool,
}

impl Documents {
    /// `collector`: whose they are; `folder`: where the temporary file goes once it is too large for memory;
    /// unlinked at once.
    pub fn new(
        collector: &'static str,
        cluster: &str,
        audiences: &[Audience],
        folder: &Path,
    ) -> Self {
        let mut prefix = br#"{"cluster":"#.to_vec();
        prefix.extend(Value::from(cluster).to_string().into_bytes());
        prefix.push(b',');
        Self {
            prefix,
            line: Vec::with_capacity(512),
            shares: audiences
                .iter()
                .map(|audience| Share {
                    kinds: audience.kinds.clone(),
                    lines: Lines::new(folder),
                    once: Lines::new(folder),
                    measures: audience.measures_only.then(|| Counted {
                        written: Measures::of(collector),
                        kept: Measures::of(collector),
                    }),
                    is_incomplete: false,
                })
                .collect(),
            problems: Vec::new(),
            cursors: Vec::new(),
            kept_cursors: 0,
        }
    }

    /// Adds a document that says how things are now.
    pub fn push(&mut self, document: &Document) -> Result<(), CollectError> {
        self.write(document, |share| &mut share.lines)
    }

    /// Adds a document that says what happened since the cursor, and that no other round will say:
    /// it leaves only if the cursor is kept ([`Documents::advance`]).
    pub fn push_once(&mut self, document: &Document) -> Result<(), CollectError> {
        self.write(document, |share| &mut share.once)
    }

    /// Here: what is pushed from now on can be taken back.
    pub fn mark(&self) -> Mark {
        let written = |share: &Share| {
            let measures = share.measures.as_ref();
            (
                share.lines.written.clone(),
                share.once.written.clone(),
                measures.map(|measures| measures.written.clone()),
            )
        };
        Mark(self.shares.iter().map(written).collect())
    }

    /// Drops what was pushed behind a mark of the source at hand.
    pub fn take_back(&mut self, to: Mark) -> Result<(), CollectError> {
        for (share, (lines, once, measures)) in self.shares.iter_mut().zip(to.0) {
            if let (Some(counted), Some(measures)) = (&mut share.measures, measures) {
                counted.written = measures;
            }
            share
                .lines
                .rewind_to(lines)
                .and_then(|()| share.once.rewind_to(once))
                .map_err(temporary_file)?;
        }
        Ok(())
    }

    /// Makes a document's line for each audience that is to hear of it.
    fn write(
        &mut self,
        document: &Document,
        lines: impl Fn(&mut Share) -> &mut Lines,
    ) -> Result<(), CollectError> {
        for (audience, share) in self.shares.iter_mut().enumerate() {
            if !share.hears_of(document.kind()) {
                continue;
            }
            if document.is_unknown_to(audience) {
                share.is_incomplete = true;
                continue;
            }
            let Some(heard) = document.heard_by(audience) else {
                continue;
            };
            if let Some(measures) = &mut share.measures {
                measures.written.add(&heard);
                continue;
            }
            write_line(&mut self.line, &self.prefix, &heard)?;
            lines(share)
                .push(&self.line, document.kind())
                .map_err(temporary_file)?;
        }
        Ok(())
    }

    /// Adds something else, for one audience: an object that says of itself what it is.
    pub fn push_line(
        &mut self,
        audience: usize,
        kind: &'static str,
        what: &impl Serialize,
    ) -> Result<(), CollectError> {
        let Some(share) = self.shares.get_mut(audience) else {
            return Ok(());
        };
        write_line(&mut self.line, &self.prefix, what)?;
        share.lines.push(&self.line, kind).map_err(temporary_file)
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

    /// Whether the source at hand has a document of which nobody knows whether an audience is to hear it. That
    /// one then hears nothing of the source; and as all audiences share its cursor, this cannot move on, and
    /// what goes with it leaves to none of them.
    pub fn is_incomplete(&self) -> bool {
        self.shares.iter().any(|share| share.is_incomplete)
    }

    /// Ends a source: keeps what it pushed, or drops it and notes why.
    pub fn close(&mut self, result: Result<(), CollectError>) -> Result<(), CollectError> {
        match result {
            Ok(()) => {
                if self.is_incomplete() {
                    for share in &mut self.shares {
                        share.forget_once().map_err(temporary_file)?;
                    }
                    self.problems.push(Problem {
                        error: CollectError::Failed(UNKNOWN_GROUPS.to_owned()),
                        excused: false,
                    });
                }
                for share in &mut self.shares {
                    share.keep().map_err(temporary_file)?;
                }
                self.kept_cursors = self.cursors.len();
            }
            Err(error) => {
                // Or the next round would take as read what does not leave.
                self.cursors.truncate(self.kept_cursors);
                for share in &mut self.shares {
                    share.rewind().map_err(temporary_file)?;
                }
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

    /// How far this collector has read: the next round finds it under this name
    /// ([`crate::context::Context::cursor`]) if this round's documents are stored or accepted.
    ///
    /// # Errors
    /// The source at hand [is incomplete](Documents::is_incomplete).
    pub fn advance(&mut self, name: &str, cursor: &impl Serialize) -> Result<(), CollectError> {
        if self.is_incomplete() {
            return Err(CollectError::Failed(UNKNOWN_GROUPS.to_owned()));
        }
        let cursor = serde_json::to_value(cursor)
            .map_err(|why| CollectError::Failed(format!("cannot write a cursor: {why}")))?;
        self.cursors.push((name.to_owned(), cursor));
        Ok(())
    }

    /// How many documents count so far, for the audience that hears most.
    pub fn count(&self) -> u64 {
        self.shares.iter().map(Share::count).max().unwrap_or(0)
    }

    /// How many sources were noted as read in vain, excused ones included.
    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Ends writing: what was not kept is dropped, and so is the cursor of a collector that failed.
    pub fn finish(mut self) -> Result<Stored, CollectError> {
        for share in &mut self.shares {
            share.rewind().map_err(temporary_file)?;
        }
        self.cursors.truncate(self.kept_cursors);
        Ok(Stored {
            shares: self.shares,
            problems: self.problems,
            goes_with_cursors: !self.cursors.is_empty(),
            cursors: self.cursors,
        })
    }
}

/// Makes a line of an object that has fields.
fn write_line(
    line: &mut Vec<u8>,
    prefix: &[u8],
    what: &impl Serialize,
) -> Result<(), CollectError> {
    line.clear();
    line.extend_from_slice(prefix);
    let brace = line.len();
    serde_json::to_writer(&mut *line, what)
        .map_err(|why| CollectError::Failed(format!("cannot write a document: {why}")))?;
    // Its own opening brace went behind the prefix, which has one.
    line.remove(brace);
    line.push(b'\n');
    Ok(())
}

fn temporary_file(why: io::Error) -> CollectError {
    CollectError::Failed(format!(
        "the temporary file for its documents cannot be written: {}",
        without_path(why)
    ))
}

fn sum(a: &Kinds, b: &Kinds) -> Kinds {
    let mut sum = a.clone();
    for (kind, count) in b {
        add(&mut sum, kind, *count);
    }
    sum
}

fn add(kinds: &mut Kinds, kind: &'static str, count: u64) {
    match kinds.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, known)) => *known += count,
        None => kinds.push((kind, count)),
    }
}

/// A collector's documents, all there.
pub struct Stored {
    shares: Vec<Share>,
    pub problems: Vec<Problem>,
    /// By name, how far it has read; who stores them takes them from here.
    pub cursors: Vec<(String, Value)>,
    /// There were such cursors.
    pub goes_with_cursors: bool,
}

impl Stored {
    /// How many documents there are for the audience that hears most.
    pub fn count(&self) -> u64 {
        self.shares.iter().map(Share::count).max().unwrap_or(0)
    }

    /// How many documents of which kind there are for an audience.
    pub fn kinds(&self, audience: usize) -> Kinds {
        self.shares.get(audience).map_or_else(Kinds::new, |share| {
            sum(&share.lines.kept.kinds, &share.once.kept.kinds)
        })
    }

    /// How many documents of which kind there are, for the audiences that hear most of each.
    pub fn kinds_of_all(&self) -> Kinds {
        let mut most = Kinds::new();
        for (kind, count) in (0..self.shares.len()).flat_map(|audience| self.kinds(audience)) {
            match most.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, known)) => *known = count.max(*known),
                None => most.push((kind, count)),
            }
        }
        most
    }

    /// The numbers for an audience that hears nothing else.
    pub fn measures(&self, audience: usize) -> Option<Measures> {
        let measures = self.shares.get(audience)?.measures.as_ref()?;
        Some(measures.kept.clone())
    }

    /// All documents for an audience, a line of JSON each, from the first.
    pub fn read(&self, audience: usize) -> io::Result<Box<dyn BufRead + Send>> {
        match self.shares.get(audience) {
            Some(share) => Ok(Box::new(share.lines.read()?.chain(share.once.read()?))),
            None => Ok(Box::new(io::empty())),
        }
    }

    /// Gives up the cursors, and with them the documents that the next round will read again;
    /// returns how many those are.
    pub fn without_cursors(&mut self) -> io::Result<u64> {
        self.cursors.clear();
        self.goes_with_cursors = false;
        let mut most = 0;
        for share in &mut self.shares {
            let given_up = std::mem::take(&mut share.once.kept).documents;
            share.once.rewind()?;
            most = most.max(given_up);
        }
        Ok(most)
    }
}

/// Lines of JSON, of which the last ones can be taken back.
struct Lines {
    folder: PathBuf,
    /// What went to the file; the rest is in memory.
    file: Option<File>,
    in_file: u64,
    memory: Vec<u8>,
    /// No file can be had, or it takes no more.
    no_more_file: bool,
    written: Extent,
    kept: Extent,
}

#[derive(Debug, Default, Clone)]
struct Extent {
    bytes: u64,
    documents: u64,
    kinds: Kinds,
}

impl Lines {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            in_file: 0,
            memory: Vec::new(),
            no_more_file: false,
            written: Extent::default(),
            kept: Extent::default(),
        }
    }

    fn push(&mut self, line: &[u8], kind: &'static str) -> io::Result<()> {
        self.memory.extend_from_slice(line);
        self.written.bytes += line.len() as u64;
        self.written.documents += 1;
        add(&mut self.written.kinds, kind, 1);
        if self.memory.len() < IN_MEMORY
            || (self.no_more_file && self.memory.len() < WITHOUT_A_FILE)
        {
            return Ok(());
        }
        self.spill().or_else(|why| {
            // Another source of documents may well be done by now, or there is room again; and
            // what is in memory is not lost.
            self.no_more_file = true;
            match self.memory.len() < WITHOUT_A_FILE {
                true => Ok(()),
                false => Err(why),
            }
        })
    }

    /// Moves what is in memory to the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(
                tempfile::tempfile_in(&self.folder)
                    .or_else(|_| tempfile::tempfile_in(std::env::temp_dir()))?,
            ),
        };
        if let Err(why) = file.write_all(&self.memory) {
            // Half of it is no use: it is in memory as a whole.
            file.set_len(self.in_file)?;
            file.seek(SeekFrom::Start(self.in_file))?;
            return Err(why);
        }
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    fn keep(&mut self) {
        self.kept = self.written.clone();
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.rewind_to(self.kept.clone())
    }

    fn rewind_to(&mut self, to: Extent) -> io::Result<()> {
        let in_memory = to.bytes.checked_sub(self.in_file);
        match (in_memory, &mut self.file) {
            (Some(bytes), _) => self
                .memory
                .truncate(usize::try_from(bytes).unwrap_or(usize::MAX)),
            (None, file) => {
                self.memory.clear();
                self.in_file = to.bytes;
                if let Some(file) = file {
                    file.set_len(self.in_file)?;
                    file.seek(SeekFrom::Start(self.in_file))?;
                }
            }
        }
        self.written = to;
        Ok(())
    }

    /// From the first line.
    fn read(&self) -> io::Result<impl BufRead + Send + use<>> {
        let file: Box<dyn Read + Send> = match &self.file {
            Some(file) => Box::new(FromStart {
                file: file.try_clone()?,
                at: 0,
            }),
            None => Box::new(io::empty()),
        };
        Ok(BufReader::with_capacity(64 << 10, file).chain(Cursor::new(self.memory.clone())))
    }
}

/// Reads a file from its start, whoever else is reading it: the place of a cloned file is the same for all.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use afmetrics_document::Publisher;
    use afmetrics_document::names::{HostRule, UserRule};

    use super::*;

    #[test]
    fn two_readers_are_not_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path());
        for n in 0..1000 {
            lines
                .push(format!("{n:>1023}\n").as_bytes(), "CPU")
                .unwrap();
        }
        lines.keep();
        assert!(lines.file.is_some());
        let (mut one, mut other) = (lines.read().unwrap(), lines.read().unwrap());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        one.read_until(b'\n', &mut first).unwrap();
        other.read_to_end(&mut second).unwrap();
        one.read_to_end(&mut first).unwrap();
        assert!(first == second && first.len() == 1000 * 1024);
    }

    #[test]
    fn the_cursor_of_a_source_that_failed_is_dropped_with_its_documents() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Documents::new("load", "UC-AF", &[Audience::EVERYBODY], folder.path());
        let failed = || Err(CollectError::Failed("cut short".to_owned()));
        out.advance("a", &1).unwrap();
        out.close(Ok(())).unwrap();
        out.advance("b", &2).unwrap();
        out.close(failed()).unwrap();
        out.advance("c", &3).unwrap();
        out.close(Ok(())).unwrap();
        out.advance("d", &4).unwrap();
        let stored = out.finish().unwrap();
        let names: Vec<_> = stored
            .cursors
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn lines_survive_rewinding_at_any_place() {
        let folder = tempfile::tempdir().unwrap();
        let line = |n: usize| format!("{n:>1023}\n").into_bytes();
        // In memory, partly in the file, and taken back from both.
        for (kept, dropped) in [(0, 3), (3, 0), (200, 300), (300, 200), (700, 900), (700, 1)] {
            let mut lines = Lines::new(folder.path());
            for n in 0..kept {
                lines.push(&line(n), "CPU").unwrap();
            }
            lines.keep();
            for n in 0..dropped {
                lines.push(&line(n), "MEM").unwrap();
            }
            lines.rewind().unwrap();
            lines.push(&line(kept), "CPU").unwrap();
            lines.keep();
            let mut text = Vec::new();
            lines.read().unwrap().read_to_end(&mut text).unwrap();
            let expected: Vec<u8> = (0..=kept).flat_map(line).collect();
            assert!(text == expected, "{kept} kept, {dropped} dropped");
            assert_eq!(lines.kept.kinds, [("CPU", kept as u64 + 1)]);
        }
    }

    #[test]
    fn without_a_file_lines_stay_in_memory() {
        let mut lines = Lines::new(Path::new("/proc/self/nowhere"));
        lines.no_more_file = true;
        for _ in 0..2 * IN_MEMORY / 1024 {
            lines.push(&[b'x'; 1024], "CPU").unwrap();
        }
        assert!(lines.file.is_none());
        lines.keep();
        let mut text = Vec::new();
        lines.read().unwrap().read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), 2 * IN_MEMORY);
    }

    fn load(value: f64) -> Document {
        let publisher = Publisher::new(UserRule::Clear, HostRule::Clear);
        Document::Cpu {
            login_node: publisher.host("login01.canary.example"),
            load: value,
        }
    }

    #[test]
    fn what_is_behind_a_mark_is_taken_back_and_nothing_else() {
        let mut out = Documents::new(
            "load",
            "UC-AF",
            &[Audience::EVERYBODY],
            &std::env::temp_dir(),
        );
        for _ in 0..2 {
            out.push(&load(1.0)).unwrap();
            out.push_once(&load(2.0)).unwrap();
            let mark = out.mark();
            for _ in 0..5000 {
                out.push(&load(3.0)).unwrap();
                out.push_once(&load(4.0)).unwrap();
            }
            out.take_back(mark).unwrap();
        }
        out.push_once(&load(5.0)).unwrap();
        out.close(Ok(())).unwrap();
        let stored = out.finish().unwrap();
        assert_eq!(stored.kinds(0), [("CPU", 5)]);
        let loads: Vec<f64> = stored
            .read(0)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["load"].as_f64())
            .map(Option::unwrap)
            .collect();
        assert_eq!(loads, [1.0, 1.0, 2.0, 2.0, 5.0]);
    }

    #[test]
    fn a_source_that_fails_moves_no_cursor() {
        let mut out = Documents::new(
            "load",
            "UC-AF",
            &[Audience::EVERYBODY],
            &std::env::temp_dir(),
        );
        out.advance("well", &1).unwrap();
        out.close(Ok(())).unwrap();
        out.advance("failed", &2).unwrap();
        out.close(Err(CollectError::Failed("why".to_owned())))
            .unwrap();
        out.advance("given up", &3).unwrap();
        let stored = out.finish().unwrap();
        assert_eq!(stored.cursors, [("well".to_owned(), Value::from(1))]);
    }
}
