//! Documents that an endpoint refused: a file for each batch, its header and then a line for each
//! document, with the answer. Nothing is tried again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Header, Spool, sync};

/// The documents of a batch that were refused.
#[derive(Debug)]
pub struct Rejected {
    /// Of the batch that they were in, with the counts of those that were refused.
    pub header: Header,
    /// By their index in that batch.
    pub documents: BTreeMap<u64, Refused>,
}

/// A document that was refused.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    pub index: u64,
    /// What the endpoint answered.
    pub answer: String,
    pub document: Box<RawValue>,
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

    /// The documents of a batch that were refused. Lines that a crash cut are left out: their
    /// documents still wait.
    pub fn read_rejected(&self, id: Uuid) -> io::Result<Rejected> {
        // Not as text: a crash may have cut a character.
        let mut lines = BufReader::new(File::open(self.rejected_file(id))?).split(b'\n');
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut header: Header = serde_json::from_slice(&first).map_err(io::Error::other)?;
        let mut documents = BTreeMap::new();
        for line in lines {
            if let Ok(refused) = serde_json::from_slice::<Refused>(&line?) {
                documents.insert(refused.index, refused);
            }
        }
        header.documents = documents.len() as u64;
        header.kinds.clear();
        for refused in documents.values() {
            *header.kinds.entry(kind_of(&refused.document)).or_default() += 1;
        }
        Ok(Rejected { header, documents })
    }

    /// Makes a batch of documents that were refused, to be tried once more, unless that
    /// was done before (`waits_again`); returns how many they are. Whoever calls holds the turn.
    pub fn retry(&self, id: Uuid, waits_again: &BTreeSet<Uuid>) -> io::Result<u64> {
        let Rejected { header, documents } = self.read_rejected(id)?;
        if !documents.is_empty() && !waits_again.contains(&id) {
            let mut lines = Vec::new();
            for refused in documents.values() {
                lines.extend_from_slice(refused.document.get().as_bytes());
                lines.push(b'\n');
            }
            let name = super::batch_name(&header.endpoint);
            let header = Header {
                id: Uuid::now_v7(),
                retry_of: Some(id),
                ..header
            };
            self.store(&name, &header, &mut &lines[..], &BTreeMap::new())?;
        }
        self.drop_rejected(id)?;
        Ok(documents.len() as u64)
    }

    /// The batches whose refused documents are stored once more already: a crash came between storing
    /// and removing.
    pub fn waits_again(&self) -> io::Result<BTreeSet<Uuid>> {
        let waiting = self.waiting()?;
        let headers = waiting.iter().filter_map(|waiting| self.open(waiting).ok());
        Ok(headers
            .filter_map(|(reader, _)| reader.header.retry_of)
            .collect())
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
            let found = spool.read_rejected(header.id).unwrap();
            assert_eq!(found.header.id, header.id);
            let indices: Vec<u64> = found.documents.keys().copied().collect();
            // Its line end is all that the last cut takes.
            let is_whole = cut + 1 >= whole.len() && cut > first_line;
            assert_eq!(
                indices,
                if is_whole { vec![0, 1] } else { vec![1] },
                "{cut}"
            );
            assert_eq!(found.documents[&1].document.get(), document(1));
        }
    }
}
