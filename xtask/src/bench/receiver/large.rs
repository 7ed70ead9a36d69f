//! A store of 90 days and 20 facilities: how large it is, how fast it starts, and how fast it answers.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{Receiver, built, jobs, pages};
use crate::bench::{duration, mb};
use crate::programs::{ends_well, program};

/// Each question so often; the first answer comes from a cold cache and is noted apart.
const TIMES: usize = 20;

/// The questions; `SPAN` becomes the 90 days.
const QUESTIONS: &[&str] = &[
    "/api/v1/facilities?SPAN",
    "/api/v1/nodes",
    "/api/v1/users?SPAN",
    "/api/v1/users?SPAN&facility=facility-07",
    "/api/v1/sessions",
    "/api/v1/jobs?SPAN",
    "/api/v1/jobs?SPAN&by=user",
    "/api/v1/jobs?SPAN&facility=facility-07",
    "/api/v1/jobs?SPAN&facility=facility-07&by=user",
    "/api/v1/jobs?SPAN&facility=facility-07&step=1h",
    "/api/v1/runtime?SPAN",
    "/api/v1/runtime?SPAN&by=length",
    "/api/v1/runtime?SPAN&over=time",
    "/api/v1/queues?SPAN",
    "/api/v1/hosts?SPAN&metric=load",
    "/api/v1/intake?SPAN",
];

/// Fills a store with so many documents and prints its rows.
pub fn run(documents: &str) -> Result<()> {
    let count: u32 = documents
        .parse()
        .context("--documents: expected a number")?;
    let binary = built()?;
    let folder = TempDir::new()?;
    let begun = Instant::now();
    fill(folder.path(), documents)?;
    let took = begun.elapsed();
    println!(
        "filled in {:.0} s: {:.0} documents a second",
        took.as_secs_f64(),
        f64::from(count) / took.as_secs_f64()
    );
    let bytes = fs::metadata(folder.path().join("afmetrics.db"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "for reading")]
    let each = bytes as f64 / f64::from(count);
    println!(
        "{:<58} {:>10}   {each:.1} bytes a document, summaries included",
        "size",
        mb(bytes)
    );
    ask_all(&binary, folder.path())
}

/// Starts a receiver on a store and prints how fast it answers: questions, and pages.
pub fn ask_all(binary: &Path, store: &Path) -> Result<()> {
    let begun = Instant::now();
    let receiver = Receiver::start(binary, store)?;
    receiver.ask("/readyz")?;
    row("start to ready", begun.elapsed(), "at most 1 s");
    println!(
        "{:<58} {:>10} {:>10}",
        "questions over 90 days: cold, median of 20", "cold", "median"
    );
    for question in QUESTIONS {
        ask(&receiver, question)?;
    }
    pages::run(&receiver)
}

fn fill(folder: &Path, documents: &str) -> Result<()> {
    ends_well(
        program("cargo")
            .args([
                "run",
                "--release",
                "--package",
                "afmetrics-receiver",
                "--example",
                "fill",
                "--",
            ])
            .arg(folder)
            .arg(documents),
    )
}

fn ask(receiver: &Receiver, question: &str) -> Result<()> {
    let now = jobs::now();
    let span = format!(
        "from={}&to={}",
        jobs::rfc3339(now - Duration::from_secs(90 * 86_400)),
        jobs::rfc3339(now)
    );
    let path = question.replace("SPAN", &span);
    let cold = receiver.ask(&path)?;
    let warm: Result<Vec<Duration>> = (0..TIMES).map(|_| receiver.ask(&path)).collect();
    let mut warm = warm?;
    warm.sort_unstable();
    println!(
        "{question:<58} {:>10} {:>10}   at most 100 ms",
        duration(cold),
        duration(warm[TIMES / 2])
    );
    Ok(())
}

fn row(what: &str, took: Duration, target: &str) {
    println!("{what:<58} {:>10}   {target}", duration(took));
}
