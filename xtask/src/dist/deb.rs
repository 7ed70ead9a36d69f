//! The .deb, by dpkg-deb: Debian's own, which sets owners and times as they should be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::dist::contents::{self, File, Kind, Package};
use crate::dist::programs::text;
use crate::dist::release::Release;
use crate::dist::scripts::script;
use crate::programs::{ends_well, program};

pub const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Makes a package of what was built, and returns it.
pub fn make(release: &Release, package: &Package, version: &str, out: &Path) -> Result<PathBuf> {
    let version = &contents::packaged(version);
    let folder = release.work.join("deb").join(package.name);
    contents::empty(&folder)?;
    let files = release.files(package)?;
    for file in &files {
        contents::place(file, &folder, &in_debian(&file.to))?;
    }
    control(release, package, version, &files, &folder)?;
    contents::settle(&folder, release.epoch)?;
    let made = out.join(format!(
        "{}_{version}_{}.deb",
        package.name, release.machine.deb
    ));
    ends_well(
        program("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
            // By several, xz writes other bytes than by one.
            .args(["--root-owner-group", "--threads-max=1", "-Zxz", "--build"])
            .args([&folder, &made])
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(made)
}

/// Debian's zsh looks elsewhere.
pub fn in_debian(to: &str) -> String {
    to.replace("share/zsh/site-functions/", "share/zsh/vendor-completions/")
}

/// Writes the folder `DEBIAN`.
fn control(
    release: &Release,
    package: &Package,
    version: &str,
    files: &[File],
    folder: &Path,
) -> Result<()> {
    let bytes: u64 = files
        .iter()
        .map(|file| Ok(fs::metadata(&file.from)?.len()))
        .sum::<Result<u64>>()?;
    // Before DEBIAN is there.
    let sums = text(program("sh").current_dir(folder).args([
        "-c",
        "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum",
    ]))?;
    let debian = folder.join("DEBIAN");
    fs::create_dir(&debian)?;
    let write = |name: &str, text: String, mode: u32| {
        let path = debian.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        contents::set_mode(&path, mode)
    };
    write("md5sums", sums, 0o644)?;
    write(
        "control",
        control_text(package, version, release.machine.deb, bytes),
        0o644,
    )?;
    write("conffiles", conffiles(files), 0o644)?;
    for moment in SCRIPTS {
        let script = script(&release.tree, package, "deb", moment)?;
        write(moment, format!("#!/bin/sh\n{script}"), 0o755)?;
    }
    Ok(())
}

fn control_text(package: &Package, version: &str, machine: &str, bytes: u64) -> String {
    let description = package.description.replace('\n', "\n ");
    let oldest = super::symbols::OLDEST;
    format!(
        "Package: {}\nVersion: {version}\nArchitecture: {machine}\n\
         Maintainer: The afmetrics authors <afmetrics@localhost>\n\
         Installed-Size: {}\nDepends: libc6 (>= {}.{}), passwd\nRecommends: ca-certificates\n\
         Section: admin\nPriority: optional\nDescription: {}\n {description}\n",
        package.name,
        bytes.div_ceil(1024),
        oldest.0,
        oldest.1,
        package.summary,
    )
}

fn conffiles(files: &[File]) -> String {
    files
        .iter()
        .filter(|file| file.kind == Kind::Config)
        .map(|file| format!("/{}\n", file.to))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file() {
        let text = control_text(&contents::PACKAGES[1], "1.2.3", "amd64", 1025);
        assert_eq!(
            text,
            "Package: afmetrics-receiver\nVersion: 1.2.3\nArchitecture: amd64\n\
             Maintainer: The afmetrics authors <afmetrics@localhost>\nInstalled-Size: 2\n\
             Depends: libc6 (>= 2.17), passwd\nRecommends: ca-certificates\nSection: admin\n\
             Priority: optional\nDescription: takes the documents of afmetrics collectors and shows them\n \
             Takes JSON documents of afmetrics collectors over HTTPS, keeps them in a store of its\n \
             own, and shows dashboards of who uses an analysis facility, how much, and whether it\n \
             is healthy.\n"
        );
    }
}
