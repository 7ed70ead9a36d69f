//! How much the spool may hold, and for how long. What is too much goes, oldest first, and is counted.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{BATCH, Spool, Waiting, entries};

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
}

/// Something in the spool that can be dropped as a whole.
#[derive(Debug)]
enum Item {
    Waiting(Waiting),
    Rejected(uuid::Uuid),
    Damaged(PathBuf),
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
        let mut all = self.all()?;
        all.sort_by_key(|found| found.order);
        let mut bytes: u64 = all.iter().map(|found| found.bytes).sum();
        let mut given_up = Vec::new();
        for found in all {
            let age = now.duration_since(found.written).unwrap_or_default();
            let why = if age > bounds.age {
                format!(
                    "older than {} days (--spool-max-age)",
                    bounds.age.as_secs() / 86_400
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
                    });
                    continue;
                }
            }
            bytes -= found.bytes;
        }
        Ok(given_up)
    }

    fn all(&self) -> io::Result<Vec<Found>> {
        let mut all = Vec::new();
        let mut order = SystemTime::UNIX_EPOCH;
        for waiting in self.waiting()? {
            let folder = self.round(waiting.round);
            let batch = fs::metadata(self.file(&waiting, BATCH))?;
            order = order.max(batch.modified()?);
            all.push(Found {
                written: batch.modified()?,
                order,
                bytes: on_disk(&folder)?,
                item: Item::Waiting(waiting),
            });
        }
        for id in self.rejected()? {
            let file = fs::metadata(self.rejected_file(id))?;
            all.push(Found {
                written: file.modified()?,
                order: file.modified()?,
                bytes: file.blocks() * 512,
                item: Item::Rejected(id),
            });
        }
        for name in entries(&self.damaged)? {
            let path = self.damaged.join(name);
            let file = fs::symlink_metadata(&path)?;
            if file.is_dir() {
                // Somebody else's.
                continue;
            }
            all.push(Found {
                written: file.modified()?,
                order: file.modified()?,
                bytes: file.blocks() * 512,
                item: Item::Damaged(path),
            });
        }
        Ok(all)
    }

    fn give_up(&self, item: &Item, why: &str) -> io::Result<GivenUp> {
        let (documents, of) = match item {
            Item::Waiting(waiting) => {
                let counted = self.open(waiting);
                self.end(waiting)?;
                match counted {
                    Ok((reader, done)) => (
                        done.left(),
                        format!(
                            "{} documents of {} ({}) that were not delivered",
                            done.left(),
                            reader.header.collected,
                            described(&reader.header.kinds)
                        ),
                    ),
                    Err(why) => (0, format!("a batch that cannot be read ({why})")),
                }
            }
            Item::Rejected(id) => {
                let counted = self.read_rejected(*id);
                self.drop_rejected(*id)?;
                match counted {
                    Ok(rejected) => (
                        rejected.header.documents,
                        format!(
                            "{} rejected documents of {} ({})",
                            rejected.header.documents,
                            rejected.header.collected,
                            described(&rejected.header.kinds)
                        ),
                    ),
                    Err(why) => (0, format!("rejected documents that cannot be read ({why})")),
                }
            }
            Item::Damaged(path) => {
                fs::remove_file(path)?;
                (0, "a damaged batch".to_owned())
            }
        };
        Ok(GivenUp {
            what: format!("dropped {of}: {why}"),
            documents,
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

/// What a folder and the files in it take.
fn on_disk(folder: &Path) -> io::Result<u64> {
    let mut blocks = fs::metadata(folder)?.blocks();
    for name in entries(folder)? {
        blocks += fs::metadata(folder.join(name)).map_or(0, |file| file.blocks());
    }
    Ok(blocks * 512)
}
