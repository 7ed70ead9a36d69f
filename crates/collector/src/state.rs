//! The state folder: small files that one round leaves for the next.
//!
//! A file is replaced whole or not at all (written aside, synced, renamed), so that two rounds at
//! once, or a crash, never tear it. One that cannot be understood is set aside, not fatal.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::config::Asked;

#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    /// This round leaves the folder as it is.
    read_only: bool,
}

impl State {
    /// The first of these folders that can be written, made if it is not there; `read_only`: nothing
    /// is made or changed. The error says of each why not.
    pub fn open(candidates: &Asked<Vec<PathBuf>>, read_only: bool) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for dir in &candidates.value {
            match usable(dir, read_only) {
                Ok(()) => {
                    return Ok(Self {
                        dir: dir.clone(),
                        read_only,
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
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.dir.join(name);
        let bytes = match fs::read(&path) {
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
                    self.set_aside(name)
                );
                None
            }
        }
    }

    fn set_aside(&self, name: &str) -> String {
        if self.read_only {
            return String::new();
        }
        let aside = self.dir.join(format!("{name}.damaged"));
        match fs::rename(self.dir.join(name), &aside) {
            Ok(()) => format!(", set aside as {}", aside.display()),
            Err(why) => format!(", and cannot be set aside: {why}"),
        }
    }

    /// Replaces what is under this name, durably.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.dir.join(name))?;
        fs::File::open(&self.dir)?.sync_all()
    }
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
