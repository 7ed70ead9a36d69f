//! The state folder: small files that one round leaves for the next.
//!
//! A file is replaced whole or not at all (written aside, synced, renamed), so that two rounds at
//! once, or a crash, never tear it. One that cannot be understood is set aside, not fatal. The folder
//! can be on a dead mount (a home usually is on a network's): so nothing touches it on the thread of
//! the round.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::context::aside;

#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    /// This round leaves the folder as it is.
    read_only: bool,
    /// How long a question about the folder may take.
    patience: Duration,
}

impl State {
    /// The first of these folders that can be written, made if it is not there; `read_only`: nothing
    /// is made or changed. The error says of each why not.
    pub async fn open(
        candidates: &[PathBuf],
        read_only: bool,
        patience: Duration,
    ) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for dir in candidates {
            let asked = dir.clone();
            match aside(patience, move || usable(&asked, read_only))
                .await
                .flatten()
            {
                Ok(()) => {
                    return Ok(Self {
                        dir: dir.clone(),
                        read_only,
                        patience,
                    });
                }
                Err(why) => reasons.push(format!("{}: {why}", dir.display())),
            }
        }
        Err(reasons.join("; "))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What an earlier round left under this name; `None` if nothing usable.
    pub async fn read<T: DeserializeOwned>(&self, name: &'static str) -> Option<T> {
        let path = self.dir.join(name);
        let read = aside(self.patience, move || fs::read(path)).await.flatten();
        let path = self.dir.join(name);
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return None,
            Err(why) => {
                warn!("cannot read the state file {}: {why}", path.display());
                return None;
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(why) => {
                warn!(
                    "the state file {} is damaged ({why}){}; starting anew",
                    path.display(),
                    self.set_aside(name).await
                );
                None
            }
        }
    }

    async fn set_aside(&self, name: &'static str) -> String {
        if self.read_only {
            return String::new();
        }
        let damaged = format!("{name}.damaged");
        let (from, to) = (self.dir.join(name), self.dir.join(&damaged));
        match aside(self.patience, move || fs::rename(from, to))
            .await
            .flatten()
        {
            Ok(()) => format!(", set aside as {damaged}"),
            Err(why) => format!(", and cannot be set aside: {why}"),
        }
    }

    /// Replaces what is under this name, durably.
    pub async fn write(&self, name: &'static str, content: Vec<u8>) -> io::Result<()> {
        let dir = self.dir.clone();
        aside(self.patience, move || replace(&dir, name, &content))
            .await
            .flatten()
    }
}

fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

fn usable(dir: &Path, read_only: bool) -> io::Result<()> {
    if !read_only && !dir.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
    Ok(())
}
