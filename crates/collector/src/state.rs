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
}

impl State {
    /// The first of these folders that can be written; `create`: made if it is not there. The error
    /// says of each why not.
    pub fn open(candidates: &Asked<Vec<PathBuf>>, create: bool) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for dir in &candidates.value {
            match usable(dir, create) {
                Ok(()) => return Ok(Self { dir: dir.clone() }),
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
                let aside = self.dir.join(format!("{name}.damaged"));
                let outcome = match fs::rename(&path, &aside) {
                    Ok(()) => format!("set aside as {}", aside.display()),
                    Err(why) => format!("and cannot be set aside: {why}"),
                };
                warn!(
                    "the state file {} is damaged ({why}), {outcome}; starting anew",
                    path.display()
                );
                None
            }
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

fn usable(dir: &Path, create: bool) -> io::Result<()> {
    if create && !dir.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
    if !dir.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    Ok(())
}
