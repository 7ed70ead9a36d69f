//! The documents of one collector in one round, as lines of JSON, for each audience its own: in memory as
//! long as they are few, in a temporary file beyond, so that memory does not grow with the queue. A source
//! that fails half-way leaves nothing behind.

mod lines;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read as _};
use std::path::Path;

use afmetrics_document::Document;
use serde::Serialize;
use serde_json::Value;

use self::lines::{Extent, Lines};
use crate::error::CollectError;
use crate::measures::Measures;
use crate::state::without_path;

/// The groups of users are not known ([`Documents::is_incomplete`]).
const UNKNOWN_GROUPS: &str = "the user database (NSS) did not say of all users in which group they are: endpoints with a group hear nothing of this source in this round, and what is told only once is left to the next one";
/// How many documents of which kind.
pub type Kinds = Vec<(&'static str, u64)>;

/// Who hears of documents: an endpoint, or who reads files or standard output. The rules for names of each
/// are the [`Publisher`]'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Only these kinds; `None`: all.
    pub kinds: Option<Vec<&'static str>>,
    /// Only users of this Unix group.
    pub group: Option<String>,
    /// It hears the numbers of the round, and not its documents.
    pub measures_only: bool,
}

impl Audience {
    /// Hears of everything.
    pub const EVERYBODY: Self = Self {
        kinds: None,
        group: None,
        measures_only: false,
    };

    /// Whether it is to hear of documents of this kind.
    pub fn hears_of(&self, kind: &str) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&kind))
    }
}

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
    audience: Audience,
    lines: Lines,
    /// Those that must not leave unless the cursor is kept: without it, the next round reads them
    /// again.
    once: Lines,
    /// It hears these, and of the documents nothing.
    measures: Option<Counted>,
    /// Of the source at hand a document is missing: nobody knows whether it is for this audience.
    is_incomplete: bool,
    /// So it was with a source.
    lacks_some: bool,
}

/// The numbers of documents.
struct Counted {
    written: Measures,
    /// Of sources that ended well.
    kept: Measures,
}

impl Share {
    /// Keeps what the source at hand pushed; of an incomplete share nothing.
    fn keep(&mut self) -> io::Result<()> {
        if self.is_incomplete {
            self.lacks_some = true;
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
pub struct Mark(Vec<MarkOfOne>);

/// The same for one audience.
#[derive(Debug, Clone)]
struct MarkOfOne {
    lines: Extent,
    once: Extent,
    measures: Option<Measures>,
    is_incomplete: bool,
}

/// A source that gave nothing.
#[derive(Debug)]
pub struct Problem {
    pub error: CollectError,
    /// Nobody asked for this source by name and it is not there: worth a line, no failure.
    pub excused: bool,
    /// Only for the audiences with a group.
    of_some: bool,
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
                    audience: audience.clone(),
                    lines: Lines::new(folder),
                    once: Lines::new(folder),
                    measures: audience.measures_only.then(|| Counted {
                        written: Measures::of(collector),
                        kept: Measures::of(collector),
                    }),
                    is_incomplete: false,
                    lacks_some: false,
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
            MarkOfOne {
                lines: share.lines.written.clone(),
                once: share.once.written.clone(),
                measures: measures.map(|measures| measures.written.clone()),
                is_incomplete: share.is_incomplete,
            }
        };
        Mark(self.shares.iter().map(written).collect())
    }

    /// Drops what was pushed behind a mark of the source at hand.
    pub fn take_back(&mut self, to: Mark) -> Result<(), CollectError> {
        for (share, to) in self.shares.iter_mut().zip(to.0) {
            if let (Some(counted), Some(measures)) = (&mut share.measures, to.measures) {
                counted.written = measures;
            }
            share.is_incomplete = to.is_incomplete;
            share
                .lines
                .rewind_to(to.lines)
                .and_then(|()| share.once.rewind_to(to.once))
                .map_err(temporary_file)?;
        }
        Ok(())
    }

    /// Adds a document for one audience.
    pub fn push_for(&mut self, audience: usize, document: &Document) -> Result<(), CollectError> {
        self.write_for(audience, document, |share| &mut share.lines)
    }

    /// Makes a document's line for each audience that is to hear of it.
    fn write(
        &mut self,
        document: &Document,
        lines: impl Fn(&mut Share) -> &mut Lines,
    ) -> Result<(), CollectError> {
        (0..self.shares.len()).try_for_each(|audience| self.write_for(audience, document, &lines))
    }

    fn write_for(
        &mut self,
        audience: usize,
        document: &Document,
        lines: impl Fn(&mut Share) -> &mut Lines,
    ) -> Result<(), CollectError> {
        let Some(share) = self.shares.get_mut(audience) else {
            return Ok(());
        };
        if !share.audience.hears_of(document.kind()) {
            return Ok(());
        }
        if document.is_unknown_to(audience) {
            share.is_incomplete = true;
            return Ok(());
        }
        let Some(heard) = document.heard_by(audience) else {
            return Ok(());
        };
        if let Some(measures) = &mut share.measures {
            measures.written.add(&heard);
            return Ok(());
        }
        write_line(&mut self.line, &self.prefix, &heard)?;
        lines(share)
            .push(&self.line, document.kind())
            .map_err(temporary_file)
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
                    self.cursors.truncate(self.kept_cursors);
                    for share in &mut self.shares {
                        share.forget_once().map_err(temporary_file)?;
                    }
                    self.problems.push(Problem {
                        error: CollectError::Failed(UNKNOWN_GROUPS.to_owned()),
                        excused: false,
                        of_some: true,
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
                    of_some: false,
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
            of_some: false,
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

    /// How many documents there are for an audience.
    pub fn count_for(&self, audience: usize) -> u64 {
        self.shares.get(audience).map_or(0, Share::count)
    }

    /// Whether an audience hears all that there was to read.
    pub fn is_whole_for(&self, audience: usize) -> bool {
        let lacks_some = self.shares.get(audience).is_some_and(|it| it.lacks_some);
        let mut problems = self.problems.iter().filter(|problem| !problem.excused);
        problems.all(|problem| problem.of_some && !lacks_some)
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
