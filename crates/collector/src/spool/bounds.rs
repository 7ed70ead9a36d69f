//! How much the spool may hold, and for how long. What is too much goes, oldest first, and is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{BATCH, CURSOR, Item, Spool, entries, sync};
use crate::counted::counted;

/// How much the spool may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes on the disk, of all batches together.
    pub size: u64,
    pub age: Duration,
}

/// What was dropped.
#[derive(Debug)]
pub struct GivenUp {
    /// What it was, how many documents of which kinds, and why it was dropped.
    pub what: String,
    pub documents: u64,
    /// Where they should have gone, if they waited for that.
    pub endpoint: Option<String>,
}

#[derive(Debug)]
struct Found {
    item: Item,
    written: SystemTime,
    /// When it was written if the clock never went back: no round is older than the one before.
    order: SystemTime,
    bytes: u64,
}

impl Spool {
    /// Drops the oldest until the rest is within the bounds. Whoever calls holds the turn.
    pub fn keep_within(&self, bounds: Bounds, now: SystemTime) -> io::Result<Vec<GivenUp>> {
        self.drop_old_cursors()?;
        let mut all = self.all()?;
        all.sort_by_key(|found| found.order);
        let mut bytes: u64 = all.iter().map(|found| found.bytes).sum();
        let mut given_up = Vec::new();
        for found in all {
            let age = now.duration_since(found.written).unwrap_or_default();
            let why = if age > bounds.age {
                format!(
                    "older than {} (--spool-max-age)",
                    counted(bounds.age.as_secs() / 86_400, "day")
                )
            } else if bytes > bounds.size {
                format!(
                    "the spool was larger than {} MiB (--spool-max-size)",
                    bounds.size >> 20
                )
            } else {
                continue;
            };
            match self.give_up(&found.item, &why) {
                Ok(gone) => given_up.push(gone),
                // What did go is told all the same, and the others can go.
                Err(why) => {
                    given_up.push(GivenUp {
                        what: format!("{:?} cannot be dropped: {why}", found.item),
                        documents: 0,
                        endpoint: None,
                    });
                    continue;
                }
            }
            bytes -= found.bytes;
        }
        Ok(given_up)
    }

    /// Of a cursor that several pending rounds hold only the newest counts; the others would fill the
    /// spool where a queue has many jobs that are done.
    fn drop_old_cursors(&self) -> io::Result<()> {
        let mut newer = BTreeSet::new();
        let mut is_synced = false;
        for round in self.rounds()?.into_iter().rev() {
            let folder = self.round(round);
            for name in entries(&folder).unwrap_or_default() {
                if !name.starts_with(CURSOR) || newer.insert(name.clone()) {
                    continue;
                }
                if !std::mem::replace(&mut is_synced, true) {
                    // The newer one must be there for good.
                    sync(&self.pending)?;
                }
                let _ = fs::remove_file(folder.join(name));
            }
        }
        Ok(())
    }

    /// What can be dropped. What cannot be looked at is left out: it cannot be dropped, either.
    fn all(&self) -> io::Result<Vec<Found>> {
        let mut all = Vec::new();
        let mut order = SystemTime::UNIX_EPOCH;
        let waiting = self.waiting()?;
        // What is of a round as a whole, its cursors, goes with the last of its batches.
        let mut of_round: BTreeMap<u64, u64> = BTreeMap::new();
        let mut left: BTreeMap<u64, u64> = BTreeMap::new();
        for waiting in &waiting {
            let own = looked_at(&self.file(waiting, BATCH)).map_or(0, |(_, bytes)| bytes);
            *of_round.entry(waiting.round).or_default() += own;
            *left.entry(waiting.round).or_default() += 1;
        }
        for waiting in waiting {
            let Some((written, bytes)) = looked_at(&self.file(&waiting, BATCH)) else {
                continue;
            };
            order = order.max(written);
            let left = left.entry(waiting.round).or_default();
            *left -= 1;
            let rest = match *left {
                0 => on_disk(&self.round(waiting.round))
                    .saturating_sub(of_round.get(&waiting.round).copied().unwrap_or(0)),
                _ => 0,
            };
            all.push(Found {
                written,
                order,
                bytes: bytes + rest,
                item: Item::Waiting(waiting),
            });
        }
        let rejected = self.rejected()?.into_iter();
        let rejected = rejected.map(|id| (self.rejected_file(id), Item::Rejected(id)));
        let damaged = self.damaged()?.into_iter();
        let damaged = damaged.map(|name| (self.damaged.join(&name), Item::Damaged(name)));
        for (path, item) in rejected.chain(damaged) {
            if let Some((written, bytes)) = looked_at(&path) {
                all.push(Found {
                    item,
                    written,
                    order: written,
                    bytes,
                });
            }
        }
        Ok(all)
    }

    fn give_up(&self, item: &Item, why: &str) -> io::Result<GivenUp> {
        let mut endpoint = None;
        let (documents, of) = match item {
            Item::Waiting(waiting) => {
                let found = self.open(waiting).and_then(|(reader, done)| {
                    endpoint = Some(reader.header.endpoint.clone());
                    Ok((
                        reader.header.collected,
                        done.left(),
                        self.kinds_left(waiting)?,
                    ))
                });
                self.end(waiting)?;
                match found {
                    Ok((collected, left, kinds)) => (
                        left,
                        format!(
                            "{} of {collected} ({}), not delivered",
                            counted(left, "document"),
                            described(&kinds)
                        ),
                    ),
                    Err(why) => (0, format!("a batch that cannot be read ({why})")),
                }
            }
            Item::Rejected(id) => {
                let found = self.open_rejected(*id).and_then(|mut reader| {
                    let (count, kinds) = reader.count()?;
                    Ok((reader.header.collected, count, kinds))
                });
                self.drop_rejected(*id)?;
                match found {
                    Ok((collected, count, kinds)) => (
                        count,
                        format!(
                            "{} of {collected} ({})",
                            counted(count, "rejected document"),
                            described(&kinds)
                        ),
                    ),
                    Err(why) => (0, format!("rejected documents that cannot be read ({why})")),
                }
            }
            Item::Damaged(name) => {
                self.drop_damaged(name)?;
                (0, "a damaged batch".to_owned())
            }
        };
        Ok(GivenUp {
            what: format!("dropped {of}: {why}"),
            documents,
            endpoint,
        })
    }
}

/// `condorjob 10000, ssh 1`
pub fn described(kinds: &std::collections::BTreeMap<String, u64>) -> String {
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    kinds.join(", ")
}

/// When a file was written, and what it takes on the disk; `None`: it cannot be looked at, or it is a
/// folder, which is none of ours.
fn looked_at(path: &Path) -> Option<(SystemTime, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    match file.is_dir() {
        true => None,
        false => Some((file.modified().ok()?, file.blocks() * 512)),
    }
}

/// What a folder and the files in it take.
fn on_disk(folder: &Path) -> u64 {
    let mut blocks = fs::metadata(folder).map_or(0, |folder| folder.blocks());
    for name in entries(folder).unwrap_or_default() {
        blocks += fs::metadata(folder.join(name)).map_or(0, |file| file.blocks());
    }
    blocks * 512
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::spool::{Found, Header};

    #[test]
    fn pending_rounds_do_not_each_keep_a_cursor() {
        const ROUNDS: u64 = 20;
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::below(folder.path());
        let large = "x".repeat(100 << 10);
        for round in 1..=ROUNDS {
            let mut header = Header::new(Timestamp::UNIX_EPOCH);
            header.documents = 1;
            let cursor = Value::from(format!("{large}{round}"));
            let cursors = BTreeMap::from([("canary".to_owned(), cursor)]);
            spool
                .store("canary", &header, &mut &b"{}\n"[..], &cursors)
                .unwrap();
        }
        let turn = spool.take_turn().unwrap();
        let bounds = Bounds {
            size: 1 << 20,
            age: Duration::MAX,
        };
        let gone = spool.keep_within(bounds, SystemTime::UNIX_EPOCH).unwrap();
        assert!(gone.is_empty(), "{gone:?}");
        drop(turn);
        assert_eq!(spool.waiting().unwrap().len() as u64, ROUNDS);
        let newest = Value::from(format!("{large}{ROUNDS}"));
        assert_eq!(
            spool.cursor("canary").unwrap(),
            Found::Cursor(newest.clone())
        );
        for waiting in spool.waiting().unwrap() {
            spool.end(&waiting).unwrap();
        }
        assert_eq!(spool.cursor("canary").unwrap(), Found::Cursor(newest));
    }
}
