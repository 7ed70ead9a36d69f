//! Documents that an endpoint refused: a file for each batch, its header and then a line for each
//! document, with the answer. Nothing is tried again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Header, Spool, sync};

/// A document that was refused.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    pub index: u64,
    /// What the endpoint answered.
    pub answer: String,
    pub document: Box<RawValue>,
}

/// What the file of rejected documents is called that is being made a batch again.
const RETRYING: &str = ".retrying-";

/// Reads what was refused of a batch, a document at a time.
pub struct RejectedReader {
    /// Of the batch that they were in.
    pub header: Header,
    lines: io::Split<BufReader<File>>,
    seen: BTreeSet<u64>,
    /// Lines that make no sense.
    pub skipped: u64,
}

impl RejectedReader {
    fn open(path: &Path) -> io::Result<Self> {
        // Not as text: a crash may have cut a character.
        let mut lines = BufReader::new(File::open(path)?).split(b'\n');
        let first = lines.next().transpose()?.unwrap_or_default();
        Ok(Self {
            header: serde_json::from_slice(&first).map_err(io::Error::other)?,
            lines,
            seen: BTreeSet::new(),
            skipped: 0,
        })
    }

    /// The next document, each once. Lines that a crash cut are left out: their documents still
    /// wait.
    pub fn next(&mut self) -> io::Result<Option<Refused>> {
        for line in self.lines.by_ref() {
            match serde_json::from_slice::<Refused>(&line?) {
                Ok(refused) if self.seen.insert(refused.index) => return Ok(Some(refused)),
                Ok(_) => {}
                Err(_) => self.skipped += 1,
            }
        }
        Ok(None)
    }

    /// How many documents there are, all in all and by kind.
    pub fn count(&mut self) -> io::Result<(u64, BTreeMap<String, u64>)> {
        let mut kinds = BTreeMap::new();
        let mut count = 0;
        while let Some(refused) = self.next()? {
            *kinds.entry(kind_of(&refused.document)).or_default() += 1;
            count += 1;
        }
        Ok((count, kinds))
    }
}

/// The documents alone, a line each.
struct Documents {
    reader: RejectedReader,
    line: io::Cursor<Vec<u8>>,
}

impl io::Read for Documents {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.line.read(into)?;
        if read > 0 {
            return Ok(read);
        }
        let Some(refused) = self.reader.next()? else {
            return Ok(0);
        };
        self.line = io::Cursor::new(format!("{}\n", refused.document.get()).into_bytes());
        self.line.read(into)
    }
}

impl Spool {
    pub(super) fn rejected_file(&self, id: Uuid) -> PathBuf {
        self.rejected.join(format!("{id}.ndjson"))
    }

    /// Keeps documents that were refused, durably: each with its index, its line and the answer.
    pub fn reject(&self, header: &Header, refused: &[(u64, &[u8], &str)]) -> io::Result<()> {
        let path = self.rejected_file(header.id);
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let mut text = Vec::new();
        // A crash may have left it without a whole header: then its documents still wait, all of them.
        if !has_header(&mut file)? {
            file.set_len(0)?;
            serde_json::to_writer(&mut text, header)?;
            text.push(b'\n');
        } else if !ends_a_line(&mut file)? {
            // A crash cut the last one; its document is being refused once more just now.
            text.push(b'\n');
        }
        for (index, document, answer) in refused {
            let refused = Refused {
                index: *index,
                answer: (*answer).to_owned(),
                document: serde_json::from_slice(document)?,
            };
            serde_json::to_writer(&mut text, &refused)?;
            text.push(b'\n');
        }
        file.write_all(&text)?;
        file.sync_all()?;
        // Each time: who made the file may have been killed before this.
        sync(&self.rejected)
    }

    /// The ids of the batches of which documents were refused, oldest first.
    pub fn rejected(&self) -> io::Result<Vec<Uuid>> {
        let mut ids: Vec<Uuid> = super::entries(&self.rejected)?
            .iter()
            .filter_map(|name| name.strip_suffix(".ndjson")?.parse().ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Opens what was refused of a batch.
    pub fn open_rejected(&self, id: Uuid) -> io::Result<RejectedReader> {
        RejectedReader::open(&self.rejected_file(id))
    }

    /// Makes a batch of documents that were refused, to be tried once more; returns how many they are.
    /// Whoever calls holds the turn.
    ///
    /// What is refused meanwhile of the same batch goes to a new file; and a crash in between is mended by
    /// the next one to take the turn, before anything is delivered.
    pub fn retry(&self, id: Uuid) -> io::Result<u64> {
        let attempt = Uuid::now_v7();
        let path = self.rejected.join(format!("{RETRYING}{attempt}.ndjson"));
        RejectedReader::open(&self.rejected_file(id))?;
        fs::rename(self.rejected_file(id), &path)?;
        sync(&self.rejected)?;
        self.retry_from(&path, attempt)
    }

    /// Ends what a crash left of [`Spool::retry`].
    pub(super) fn end_retries(&self) -> io::Result<()> {
        for name in super::entries(&self.rejected)? {
            let attempt = name.strip_prefix(RETRYING);
            let attempt = attempt.and_then(|rest| rest.strip_suffix(".ndjson")?.parse().ok());
            let Some(attempt) = attempt else {
                continue;
            };
            let path = self.rejected.join(&name);
            let is_stored = self.waiting()?.iter().any(|waiting| {
                self.open(waiting)
                    .is_ok_and(|(reader, _)| reader.header.id == attempt)
            });
            match is_stored {
                true => fs::remove_file(path)?,
                false => drop(self.retry_from(&path, attempt)?),
            }
        }
        Ok(())
    }

    /// The new batch is called as the file that it is made from.
    fn retry_from(&self, path: &Path, attempt: Uuid) -> io::Result<u64> {
        let mut counted = RejectedReader::open(path)?;
        let mut header = counted.header.clone();
        header.retry_of = Some(std::mem::replace(&mut header.id, attempt));
        (header.documents, header.kinds) = counted.count()?;
        if header.documents > 0 {
            let name = super::batch_name(&header.endpoint);
            let mut lines = BufReader::new(Documents {
                reader: RejectedReader::open(path)?,
                line: io::Cursor::default(),
            });
            self.store(&name, &header, &mut lines, &BTreeMap::new())?;
        }
        match counted.skipped {
            0 => fs::remove_file(path)?,
            // Cut by a crash, and then they still wait; or damaged, and then a person may read them.
            _ => fs::rename(
                path,
                self.damaged.join(format!("rejected-{attempt}.ndjson")),
            )?,
        }
        sync(&self.rejected)?;
        Ok(header.documents)
    }

    /// Removes what was refused of a batch.
    pub fn drop_rejected(&self, id: Uuid) -> io::Result<()> {
        fs::remove_file(self.rejected_file(id))?;
        sync(&self.rejected)
    }
}

fn has_header(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice::<Header>(&line).is_ok() && line.ends_with(b"\n"))
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

pub(super) fn kind_of(document: &RawValue) -> String {
    serde_json::from_str::<Value>(document.get())
        .ok()
        .and_then(|document| Some(document.get("kind")?.as_str()?.to_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::spool::Reader;

    fn header() -> Header {
        let mut header = Header::new(Timestamp::UNIX_EPOCH);
        header.endpoint = "https://canary.example.org/".to_owned();
        header
    }

    fn document(number: u64) -> String {
        format!(r#"{{"cluster":"CANARY-AF","kind":"canary","n":{number}}}"#)
    }

    fn reject(spool: &Spool, header: &Header, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let line = document(number);
            spool
                .reject(header, &[(number, line.as_bytes(), "400: no")])
                .unwrap();
        }
    }

    /// All documents that wait.
    fn waiting(spool: &Spool) -> Vec<String> {
        let mut lines = Vec::new();
        for waiting in spool.waiting().unwrap() {
            let (mut reader, _): (Reader, _) = spool.open(&waiting).unwrap();
            while let Some(frame) = reader.next().unwrap() {
                let text = String::from_utf8(frame.lines).unwrap();
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        lines
    }

    #[test]
    fn what_is_refused_after_a_retry_of_its_batch_is_retried_too() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::below(folder.path());
        spool.make().unwrap();
        let header = header();
        reject(&spool, &header, 0..2);
        assert_eq!(spool.retry(header.id).unwrap(), 2);
        reject(&spool, &header, 5..8);
        assert_eq!(spool.retry(header.id).unwrap(), 3);
        let expected: Vec<String> = [0, 1, 5, 6, 7].map(document).into();
        assert_eq!(waiting(&spool), expected);
        assert!(spool.rejected().unwrap().is_empty());
    }

    #[test]
    fn a_crash_in_a_retry_makes_no_document_twice_and_loses_none() {
        for is_stored in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let spool = Spool::below(folder.path());
            spool.make().unwrap();
            let header = header();
            reject(&spool, &header, 0..3);
            let attempt = Uuid::now_v7();
            let path = spool.rejected.join(format!("{RETRYING}{attempt}.ndjson"));
            fs::rename(spool.rejected_file(header.id), &path).unwrap();
            if is_stored {
                let copy = spool.rejected.join("copy");
                fs::copy(&path, &copy).unwrap();
                spool.retry_from(&path, attempt).unwrap();
                fs::rename(copy, &path).unwrap();
            }
            drop(spool.take_turn().unwrap());
            assert_eq!(waiting(&spool), [0, 1, 2].map(document));
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_line_that_makes_no_sense_is_kept_for_a_person() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::below(folder.path());
        spool.make().unwrap();
        let header = header();
        reject(&spool, &header, 0..1);
        let mut file = File::options()
            .append(true)
            .open(spool.rejected_file(header.id))
            .unwrap();
        file.write_all(b"{\"index\":1,\"answ\xff\n").unwrap();
        assert_eq!(spool.retry(header.id).unwrap(), 1);
        assert_eq!(spool.damaged().unwrap().len(), 1);
    }

    /// What was refused of a batch, by its index.
    fn all(spool: &Spool, id: Uuid) -> BTreeMap<u64, String> {
        let mut reader = spool.open_rejected(id).unwrap();
        assert_eq!(reader.header.id, id);
        std::iter::from_fn(|| reader.next().unwrap())
            .map(|refused| (refused.index, refused.document.get().to_owned()))
            .collect()
    }

    #[test]
    fn a_file_that_a_crash_cut_anywhere_takes_what_is_refused_next() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::below(folder.path());
        spool.make().unwrap();
        let mut header = Header::new(Timestamp::UNIX_EPOCH);
        header.documents = 2;
        let document = |number: u64| format!("{{\"kind\":\"ssh\",\"name\":\"é\",\"n\":{number}}}");
        let refuse = |index: u64| {
            let document = document(index);
            let refused = [(index, document.as_bytes(), "422")];
            spool.reject(&header, &refused).unwrap();
        };
        refuse(0);
        let path = spool.rejected_file(header.id);
        let whole = fs::read(&path).unwrap();
        let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            refuse(1);
            let found = all(&spool, header.id);
            let indices: Vec<u64> = found.keys().copied().collect();
            // Its line end is all that the last cut takes.
            let is_whole = cut + 1 >= whole.len() && cut > first_line;
            assert_eq!(
                indices,
                if is_whole { vec![0, 1] } else { vec![1] },
                "{cut}"
            );
            assert_eq!(found[&1], document(1));
        }
    }
}
