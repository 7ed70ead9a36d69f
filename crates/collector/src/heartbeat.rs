//! `--heartbeat`: the document that a round leaves about itself, so that a receiver can tell a node
//! where nobody is from one that it has not heard of.
//!
//! It is the last of its round, and it is there whatever became of the collectors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use afmetrics_document::{CollectorReport, CollectorResult, Document, PublishedHost};

use crate::collectors::ALL;
use crate::config::Config;
use crate::context::Context;
use crate::documents::{Audience, Documents, Stored};
use crate::error::CollectError;
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
        for (audience, about) in self.audiences.iter().enumerate() {
            let document = Document::Round {
                login_node: self.login_node.clone(),
                version: env!("CARGO_PKG_VERSION"),
                duration: seconds(self.duration),
                collectors: collected
                    .iter()
                    .filter(|collected| hears_of(about, collected))
                    .map(|collected| (collected.name, report(collected, Some(audience))))
                    .collect(),
            };
            out.push_for(audience, &document)?;
        }
        out.close(Ok(()))?;
        out.finish()
    }
}

/// Whether an audience hears of what a collector reads. If not, nothing is said of it: that all is well with it and
/// there are no documents would be taken for nothing having been there.
fn hears_of(audience: &Audience, collected: &Collected) -> bool {
    let spec = ALL.iter().find(|spec| spec.name == collected.name);
    spec.is_some_and(|spec| spec.kinds.iter().any(|kind| audience.hears_of(kind)))
}

/// What a round says of a collector: to an audience, or as it is for the one that hears most.
pub fn report(collected: &Collected, audience: Option<usize>) -> CollectorReport {
    let of_one = audience.zip(collected.documents.as_ref());
    CollectorReport {
        result: match of_one {
            Some((audience, documents)) if documents.is_whole_for(audience) => CollectorResult::Ok,
            _ => collected.result,
        },
        documents: of_one.map_or_else(
            || collected.count(),
            |(audience, documents)| documents.count_for(audience),
        ),
        duration: seconds(collected.duration),
    }
}

/// To the millisecond: beyond, it says nothing.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}
