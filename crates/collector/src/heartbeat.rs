//! `--heartbeat`: the document that a round leaves about itself, so that a receiver can tell a node
//! where nobody is from one that it has not heard of.
//!
//! It is the last of its round, and it is there whatever became of the collectors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use afmetrics_document::{CollectorReport, Document, PublishedHost};

use crate::config::{Audience, Config};
use crate::context::Context;
use crate::documents::{Documents, Stored};
use crate::error::CollectError;
use crate::numbers;
use crate::round::{self, Collected};

/// What it is called among what was collected.
pub const NAME: &str = "heartbeat";
/// The file that it goes to under `-d`.
const DEBUG_FILE: &str = "round.json";

/// What the document says besides what became of the collectors.
pub struct Heartbeat {
    cluster: String,
    audiences: Vec<Audience>,
    login_node: PublishedHost,
    /// Of the round, up to here.
    duration: Duration,
    folder: PathBuf,
}

impl Heartbeat {
    /// If it is wanted. `duration`: how long the round took to collect; `folder`: for temporary files.
    pub fn wanted(
        config: &Config,
        cx: &Context,
        duration: Duration,
        folder: &Path,
    ) -> Option<Self> {
        config.heartbeat.then(|| Self {
            cluster: config.cluster.clone(),
            audiences: config.audiences.clone(),
            login_node: cx.login_node.clone(),
            duration,
            folder: folder.to_owned(),
        })
    }

    /// Puts its document behind all others.
    pub fn join(&self, collected: &mut Vec<Collected>) {
        let written = self.written(collected);
        collected.push(round::judged(NAME, DEBUG_FILE, written, self.duration));
    }

    fn written(&self, collected: &[Collected]) -> Result<Stored, CollectError> {
        let mut out = Documents::new(NAME, &self.cluster, &self.audiences, &self.folder);
        out.push(&Document::Round {
            login_node: self.login_node.clone(),
            version: env!("CARGO_PKG_VERSION"),
            duration: seconds(self.duration),
            collectors: collected
                .iter()
                .filter(|c| c.name != numbers::NAME)
                .map(|c| (c.name, report(c)))
                .collect(),
        })?;
        out.close(Ok(()))?;
        out.finish()
    }
}

/// What a round says of a collector.
pub fn report(collected: &Collected) -> CollectorReport {
    CollectorReport {
        result: collected.result,
        documents: collected.count(),
        duration: seconds(collected.duration),
    }
}

/// To the millisecond: beyond, it says nothing.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}
