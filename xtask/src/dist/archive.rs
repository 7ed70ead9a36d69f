//! The tar.gz of both programs, for whoever has no use for a package.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::dist::contents::{self, PACKAGES};
use crate::dist::release::Release;
use crate::programs::{ends_well, program};

/// Makes it, and returns it.
pub fn make(release: &Release, out: &Path) -> Result<PathBuf> {
    let name = format!(
        "afmetrics-{}-{}-linux",
        release.version, release.machine.name
    );
    let folder = release.work.join("tar").join(&name);
    contents::empty(&folder)?;
    for package in &PACKAGES {
        for file in release.files(package)? {
            contents::place(&file, &folder, &file.archive)?;
        }
    }
    let made = out.join(format!("{name}.tar.gz"));
    pack(&folder, release.epoch, &made)?;
    Ok(made)
}

/// A folder's bytes, names and modes decide alone what is written.
fn pack(folder: &Path, epoch: u64, to: &Path) -> Result<()> {
    contents::settle(folder, epoch)?;
    let name = folder.file_name().context("a folder with a name")?;
    let parent = folder.parent().context("a folder in another")?;
    ends_well(
        program("tar")
            .env("LC_ALL", "C")
            .args([
                "--format=ustar",
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
            ])
            .args(["--use-compress-program=gzip -9 -n", "--create", "--file"])
            .arg(to)
            .arg("--directory")
            .arg(parent)
            .arg(name),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn two_runs_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        // In another order, hence of other times and places on disk.
        for (run, names) in [("one", ["a", "sub/b"]), ("two", ["sub/b", "a"])] {
            let tree = folder.path().join(run).join("tree");
            fs::create_dir_all(tree.join("sub")).unwrap();
            for name in names {
                fs::write(tree.join(name), name).unwrap();
            }
            let to = folder.path().join(run).join("tree.tar.gz");
            pack(&tree, 1_700_000_000, &to).unwrap();
            made.push(fs::read(&to).unwrap());
        }
        assert!(made[0] == made[1]);
        fs::write(folder.path().join("two/tree/a"), "b").unwrap();
        let to = folder.path().join("other.tar.gz");
        pack(&folder.path().join("two/tree"), 1_700_000_000, &to).unwrap();
        assert!(made[0] != fs::read(&to).unwrap());
    }
}
