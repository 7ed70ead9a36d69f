//! The collectors: one file and one row each.
//!
//! To add one, write its file, put its `SPEC` into [`ALL`], and record a case below `tests/cases`.
//! Listing, timing, isolating, publishing of names and delivery are done for it.

mod condor_history;
mod condor_jobs;
mod condor_queue;
mod disk;
mod jupyter;
mod load;
mod memory;
mod network;
mod slurm_history;
mod slurm_jobs;
mod slurm_queue;
mod ssh;

use async_trait::async_trait;

use crate::config::Config;
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;

/// Every collector there is, in the order in which their documents leave.
pub const ALL: &[Spec] = &[
    ssh::SPEC,
    jupyter::SPEC,
    condor_queue::SPEC,
    condor_jobs::SPEC,
    condor_history::SPEC,
    slurm_queue::SPEC,
    slurm_jobs::SPEC,
    slurm_history::SPEC,
    load::SPEC,
    memory::SPEC,
    network::SPEC,
    disk::SPEC,
];

/// A row of [`ALL`].
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    /// What it reads, in a line.
    pub summary: &'static str,
    /// The kinds of documents it makes, by their names in [`afmetrics_document::kinds::KINDS`].
    pub kinds: &'static [&'static str],
    /// The flag that chooses it.
    pub flag: &'static str,
    /// The table of the configuration file that is about it.
    pub table: &'static str,
    /// The file that its documents go to under `-d`.
    pub debug_file: &'static str,
    /// The collector that goes first, if it is chosen, too.
    pub after: Option<After>,
    /// The collector as this round wants it; `None`: not chosen.
    pub build: fn(&Config) -> Option<Box<dyn Collector>>,
}

/// For what a collector waits before it begins.
#[derive(Debug, Clone, Copy)]
pub struct After {
    /// The collector that goes first.
    pub name: &'static str,
    /// Whether this one needs what that one brings, and waits for its end, however long that may take;
    /// otherwise not longer than a source may be silent, and whatever came of it.
    pub needed: bool,
}

/// Reads one source and makes documents of it.
#[async_trait(?Send)]
pub trait Collector {
    /// Puts documents into `out`. They count only if this returns `Ok`; a collector of several
    /// independent sources reads each in a [`Documents::part`], which stands or falls alone.
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError>;
}
