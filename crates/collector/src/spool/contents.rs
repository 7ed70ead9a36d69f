//! What is in the spool, described for a person. Nothing here changes anything, and what is gone
//! meanwhile or makes no sense hides nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::rejected::kind_of;
use super::{BATCH, DONE, Done, Header, REASON, Reader, Spool, Unreadable, Waiting};
use crate::counted::counted;

/// Something in the spool, by where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Waiting(Waiting),
    /// What was rejected of this batch.
    Rejected(Uuid),
    /// A file in `damaged/`.
    Damaged(String),
}

/// Something in the spool and what is known of it.
#[derive(Debug)]
pub struct Entry {
    pub item: Item,
    /// What its file says it is; `None`: that cannot be read.
    pub header: Option<Header>,
    /// Documents that wait, or were rejected.
    pub left: u64,
    /// In how many rounds it was tried and not ended.
    pub tries: u64,
    /// The last answer; or what is wrong with it.
    pub said: String,
    /// It waits and cannot be read: the next delivery puts it aside.
    pub is_damaged: bool,
    /// When it was collected; of what cannot be read, when it was written.
    pub since: Timestamp,
}

impl Entry {
    /// What a person calls it: the number of its round, the id of its batch, or the name of its file.
    pub fn id(&self) -> String {
        match &self.item {
            Item::Waiting(waiting) => waiting.round.to_string(),
            Item::Rejected(id) => id.to_string(),
            Item::Damaged(name) => name.clone(),
        }
    }
}

impl Spool {
    /// All that is in the spool, oldest first.
    pub fn contents(&self) -> io::Result<Vec<Entry>> {
        let mut all = Vec::new();
        for round in self.rounds()? {
            for waiting in self.batches_or_itself(round) {
                all.extend(self.waiting_entry(waiting));
            }
        }
        all.extend(
            self.rejected()?
                .into_iter()
                .map(|id| self.rejected_entry(id)),
        );
        all.extend(self.damaged_entries()?);
        all.sort_by_key(|entry| entry.since);
        Ok(all)
    }

    /// `None`: it was ended meanwhile.
    fn waiting_entry(&self, waiting: Waiting) -> Option<Entry> {
        let tried = self.tried(&waiting);
        let entry = match self.open(&waiting) {
            Ok((reader, done)) => Entry {
                left: done.left(),
                tries: tried.times,
                said: tried.last,
                is_damaged: false,
                since: reader.header.collected,
                header: Some(reader.header),
                item: Item::Waiting(waiting),
            },
            Err(Unreadable::Io(why)) if why.kind() == io::ErrorKind::NotFound => return None,
            Err(why) => Entry {
                header: None,
                left: 0,
                tries: tried.times,
                said: why.to_string(),
                is_damaged: matches!(why, Unreadable::Damaged(_)),
                since: written(&self.file(&waiting, BATCH)),
                item: Item::Waiting(waiting),
            },
        };
        Some(entry)
    }

    fn rejected_entry(&self, id: Uuid) -> Entry {
        let since = written(&self.rejected_file(id));
        let mut entry = Entry {
            item: Item::Rejected(id),
            header: None,
            left: 0,
            tries: 1,
            said: String::new(),
            is_damaged: false,
            since,
        };
        if let Err(why) = self.count_rejected(id, &mut entry) {
            entry.said = format!("cannot be read: {why}");
        }
        entry
    }

    fn count_rejected(&self, id: Uuid, entry: &mut Entry) -> io::Result<()> {
        let mut reader = self.open_rejected(id)?;
        let mut answers: BTreeMap<String, u64> = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        while let Some(refused) = reader.next()? {
            *kinds.entry(kind_of(&refused.document)).or_default() += 1;
            *answers.entry(refused.answer).or_default() += 1;
            entry.left += 1;
        }
        entry.since = reader.header.collected;
        entry.header = Some(Header {
            kinds,
            ..reader.header
        });
        let others = answers.len().saturating_sub(1);
        let most = answers.into_iter().max_by_key(|(_, times)| *times);
        entry.said = most.map_or(String::new(), |(answer, _)| answer);
        if others > 0 {
            entry.said.push_str(&format!(
                " (and {})",
                counted(others as u64, "other answer")
            ));
        }
        Ok(())
    }

    fn damaged_entries(&self) -> io::Result<Vec<Entry>> {
        let names = self.damaged()?;
        Ok(names.iter().map(|name| self.damaged_entry(name)).collect())
    }

    fn damaged_entry(&self, name: &str) -> Entry {
        let reader = self.open_damaged(name).ok().map(|(reader, _)| reader);
        let reason = name
            .strip_suffix(BATCH)
            .and_then(|stem| beginning(&self.damaged.join(format!("{stem}{REASON}"))));
        Entry {
            item: Item::Damaged(name.to_owned()),
            left: 0,
            tries: 0,
            said: reason.unwrap_or_else(|| "nothing says what is wrong with it".to_owned()),
            is_damaged: true,
            since: reader.as_ref().map_or_else(
                || written(&self.damaged.join(name)),
                |reader| reader.header.collected,
            ),
            header: reader.map(|reader| reader.header),
        }
    }

    /// Opens a damaged batch, of which some may be readable.
    pub fn open_damaged(&self, name: &str) -> Result<(Reader, Done), Unreadable> {
        let reader = Reader::open(&self.damaged.join(name))?;
        let stem = name.strip_suffix(BATCH).unwrap_or(name);
        let done = self.damaged.join(format!("{stem}{DONE}"));
        let done = Done::read(&done, reader.header.documents)?;
        Ok((reader, done))
    }

    /// How many documents of each kind wait in a batch.
    pub fn kinds_left(&self, batch: &Waiting) -> Result<BTreeMap<String, u64>, Unreadable> {
        let (mut reader, done) = self.open(batch)?;
        let mut kinds = BTreeMap::new();
        while let Some(frame) = reader.next()? {
            let lines = frame.lines.split(|byte| *byte == b'\n');
            for (index, line) in (frame.first..).zip(lines.filter(|line| !line.is_empty())) {
                if !done.is_done(index)
                    && let Ok(document) = serde_json::from_slice(line)
                {
                    *kinds.entry(kind_of(document)).or_default() += 1;
                }
            }
        }
        Ok(kinds)
    }
}

/// When a file was written; the beginning of time, where nobody knows.
fn written(path: &Path) -> Timestamp {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    modified
        .ok()
        .and_then(|at| Timestamp::try_from(at).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The first line of a small file.
fn beginning(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut text)
        .ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map(str::to_owned)
}
