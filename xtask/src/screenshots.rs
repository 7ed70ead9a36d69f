//! `cargo xtask screenshots`: pictures of every page of the dashboard, of the one to log in and of a refusal, by
//! day and by night, on a desk and in a hand, of three months of made-up history. A test takes them: it has the
//! browser.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::programs::{ends_well, program};

const USAGE: &str = "cargo xtask screenshots [--keep DIR]
  --keep DIR  leave the store in DIR, and take it from there the next time";

/// Where they are put, from the workspace's root.
const FOLDER: &str = "target/screenshots";

pub fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().context("the workspace's root")?;
    let forgotten = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = match words[..] {
        [] => forgotten.path().to_owned(),
        ["--keep", folder] => std::path::absolute(folder)?,
        _ => bail!("expected:\n{USAGE}"),
    };
    let store = folder.join("store");
    if !store.exists() {
        fill(&folder, &store)?;
    }
    let pictures = root.join(FOLDER);
    let mut test = program("cargo");
    test.args(["test", "-p", "afmetrics-receiver", "--test", "it"]);
    test.args(["browser::pictures::every_page", "--"]);
    test.args(["--ignored", "--exact", "--nocapture"]);
    // Without a browser there are no pictures, and that is a failure.
    test.env("AFMETRICS_TEST_ALL", "1")
        .env("AFMETRICS_PICTURES", pictures)
        .env("AFMETRICS_PICTURED", store);
    ends_well(&mut test)
}

/// Fills it under another name first: a store that is there is whole.
fn fill(folder: &Path, store: &Path) -> Result<()> {
    let part = folder.join("store.part");
    if part.exists() {
        std::fs::remove_dir_all(&part).with_context(|| part.display().to_string())?;
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut history = program("cargo");
    history.args(["run", "-p", "afmetrics-receiver", "--example", "history"]);
    history.arg("--").arg(&part).args(["--days", "90"]);
    ends_well(&mut history)?;
    std::fs::rename(&part, store).with_context(|| store.display().to_string())
}
