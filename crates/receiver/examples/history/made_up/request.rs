//! A request of a collector: its documents as lines, and the key of its batch.

use std::io::Write as _;

use afmetrics_document::Document;
use afmetrics_receiver::documents::{Form, Taking, time};
use afmetrics_receiver::store::Received;
use afmetrics_receiver::store::ranges::Key;
use anyhow::{Result, anyhow};
use fastrand::Rng;
use uuid::Uuid;

/// Documents that were collected at one time, and the batch that they are.
#[derive(Debug, Clone)]
pub struct Request {
    batch: Uuid,
    /// When it came, in milliseconds since 1970.
    pub now: i64,
    pub is_late: bool,
    pub documents: u32,
    /// What each line begins with.
    prefix: Vec<u8>,
    lines: Vec<u8>,
}

impl Request {
    /// Collected at a time, and delivered then or later.
    pub fn new(rng: &mut Rng, facility: &str, collected: i64, now: i64) -> Self {
        let is_late = now > collected;
        let stamp = match is_late {
            true => format!(r#","timestamp":"{}""#, time::text(collected)),
            false => String::new(),
        };
        Self {
            batch: uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid(),
            now,
            is_late,
            documents: 0,
            prefix: format!(r#"{{"cluster":"{facility}"{stamp},"#).into_bytes(),
            lines: Vec::new(),
        }
    }

    /// Adds a document.
    ///
    /// # Errors
    /// It is none that JSON can say, as a load that is no number.
    pub fn push(&mut self, document: &Document) -> Result<()> {
        self.lines.extend(&self.prefix);
        let begin = self.lines.len();
        // Nobody is left out.
        serde_json::to_writer(&mut self.lines, &document.heard_by(0))?;
        // The prefix has its bracket.
        self.lines.remove(begin);
        self.lines.write_all(b"\n")?;
        self.documents += 1;
        Ok(())
    }

    /// As the receiver takes it.
    ///
    /// # Errors
    /// The receiver would refuse it.
    pub fn received(&self) -> Result<Received> {
        let taking = Taking {
            now: self.now,
            accept_unknown_kinds: false,
            gate: None,
        };
        let documents = taking
            .documents(str::from_utf8(&self.lines)?, Form::Lines, &mut Vec::new())
            .map_err(|fault| anyhow!("a made-up document is refused: {fault}"))?;
        Ok(Received {
            documents,
            key: Some(Key {
                batch: self.batch,
                first: 0,
                count: self.documents,
            }),
            now: self.now,
            room: None,
        })
    }
}
