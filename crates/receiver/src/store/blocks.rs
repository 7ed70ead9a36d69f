//! The blocks of a group on their way into the store.

use anyhow::Result;
use rusqlite::{Transaction, params};

use super::block::{self, Packer};

/// Documents of one facility, kind and hour on their way into a block.
struct Open {
    which: (i64, i64, i64),
    lines: String,
    first: i64,
    last: i64,
    arrived: i64,
    documents: usize,
    /// Its number, when it is closed.
    id: i64,
}

/// The blocks of a group.
pub struct Blocks<'p> {
    packer: &'p mut Packer,
    open: Vec<Open>,
    /// The number of the last block.
    last: i64,
}

impl<'p> Blocks<'p> {
    /// `last`: the number of the last block before.
    pub fn new(packer: &'p mut Packer, last: i64) -> Self {
        Self {
            packer,
            open: Vec::new(),
            last,
        }
    }

    /// Adds a document's line to the block of `which`: facility, kind and hour.
    ///
    /// # Errors
    /// A block is full and cannot be written.
    pub fn add(
        &mut self,
        store: &Transaction<'_>,
        which: (i64, i64, i64),
        line: &str,
        time: i64,
        arrived: i64,
    ) -> Result<()> {
        // From the end, as documents of a kind come together.
        let at = match self.open.iter().rposition(|open| open.which == which) {
            Some(at) => at,
            None => {
                self.last += 1;
                self.open.push(Open {
                    which,
                    lines: String::new(),
                    first: time,
                    last: time,
                    arrived,
                    documents: 0,
                    id: self.last,
                });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[at];
        open.lines.push_str(line);
        open.first = open.first.min(time);
        open.last = open.last.max(time);
        open.arrived = open.arrived.max(arrived);
        open.documents += 1;
        if open.documents >= block::MOST_DOCUMENTS || open.lines.len() >= block::MOST_BYTES {
            let full = self.open.remove(at);
            write_block(store, self.packer, &full)?;
        }
        Ok(())
    }

    /// Writes what is not written yet; returns the number of the last block.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn close_all(self, store: &Transaction<'_>) -> Result<i64> {
        for open in &self.open {
            write_block(store, self.packer, open)?;
        }
        Ok(self.last)
    }
}

fn write_block(store: &Transaction<'_>, packer: &mut Packer, open: &Open) -> Result<()> {
    let (facility, kind, hour) = open.which;
    store
        .prepare_cached("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            open.id,
            facility,
            kind,
            hour,
            open.first,
            open.last,
            open.arrived,
            i64::try_from(open.documents)?,
            i64::try_from(open.lines.len())?,
            packer.pack(&open.lines)?
        ])?;
    Ok(())
}
