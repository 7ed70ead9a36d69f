//! What is in the packages: a table for each, from which .deb, .rpm and tar.gz are made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use crate::dist::programs::output;
use crate::programs::program;

/// A package and the program in it.
pub struct Package {
    /// Of the package, and of the crate.
    pub name: &'static str,
    pub program: &'static str,
    /// System user and group.
    pub user: &'static str,
    /// What it is, in a line; and a text.
    pub summary: &'static str,
    pub description: &'static str,
    pub entries: &'static [Entry],
}

/// A file of a package.
pub struct Entry {
    /// Below the tree; of a program, its name in the folder of the release build.
    pub from: &'static str,
    /// Below `/`.
    pub to: &'static str,
    /// The folder in the tar.gz, where it keeps the name of `from`.
    pub archive: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Program,
    Plain,
    /// Compressed in the package, as manual pages are.
    Manual,
    /// The administrator's: an upgrade keeps what was changed.
    Config,
}

impl Kind {
    pub fn mode(self) -> u32 {
        match self {
            Self::Program => 0o755,
            // Also the configuration of the programs: a round by cron runs as any user, and secrets are in
            // files of their own.
            Self::Plain | Self::Manual | Self::Config => 0o644,
        }
    }
}

const fn entry(kind: Kind, from: &'static str, to: &'static str, archive: &'static str) -> Entry {
    Entry {
        from,
        to,
        archive,
        kind,
    }
}

use Kind::{Config, Manual, Plain, Program};

pub const PACKAGES: [Package; 2] = [
    Package {
        name: "afmetrics-collector",
        program: "afmetrics_collector",
        user: "afmetrics",
        summary: "collects users, jobs and host metrics of an analysis facility",
        description: "Reads ssh users, HTCondor, Slurm, Jupyter on Kubernetes and the host itself, keeps what\n\
                      it found on disk until it is delivered, and delivers it as JSON documents to an HTTPS\n\
                      endpoint. It takes the place of the script of the same name: same flags, same documents.",
        entries: COLLECTOR,
    },
    Package {
        name: "afmetrics-receiver",
        program: "afmetrics_receiver",
        user: "afmetrics_receiver",
        summary: "takes the documents of afmetrics collectors and shows them",
        description: "Takes JSON documents of afmetrics collectors over HTTPS, keeps them in a store of its\n\
                      own, and shows dashboards of who uses an analysis facility, how much, and whether it\n\
                      is healthy.",
        entries: RECEIVER,
    },
];

#[rustfmt::skip]
const COLLECTOR: &[Entry] = &[
    entry(Program, "afmetrics_collector", "usr/bin/afmetrics_collector", "bin"),
    entry(Manual, "docs/afmetrics_collector.1", "usr/share/man/man1/afmetrics_collector.1.gz", "man"),
    entry(Plain, "dist/completions/afmetrics_collector.bash", "usr/share/bash-completion/completions/afmetrics_collector", "completions"),
    entry(Plain, "dist/completions/_afmetrics_collector", "usr/share/zsh/site-functions/_afmetrics_collector", "completions"),
    entry(Plain, "dist/completions/afmetrics_collector.fish", "usr/share/fish/vendor_completions.d/afmetrics_collector.fish", "completions"),
    entry(Config, "docs/collector.toml", "etc/afmetrics/collector.toml", "etc"),
    entry(Config, "dist/afmetrics_collector.logrotate", "etc/logrotate.d/afmetrics_collector", "etc"),
    entry(Plain, "dist/afmetrics_collector.service", "usr/lib/systemd/system/afmetrics_collector.service", "systemd"),
    entry(Plain, "dist/afmetrics_collector_round.service", "usr/lib/systemd/system/afmetrics_collector_round.service", "systemd"),
    entry(Plain, "dist/afmetrics_collector.timer", "usr/lib/systemd/system/afmetrics_collector.timer", "systemd"),
    entry(Plain, "dist/afmetrics_collector.sysusers.conf", "usr/lib/sysusers.d/afmetrics_collector.conf", "systemd"),
    entry(Plain, "dist/afmetrics_collector.tmpfiles.conf", "usr/lib/tmpfiles.d/afmetrics_collector.conf", "systemd"),
    // Not where cron reads it: timer, daemon or cron is the administrator's choice.
    entry(Plain, "dist/afmetrics_collector.cron", "usr/share/doc/afmetrics-collector/examples/afmetrics_collector.cron", "etc"),
    entry(Plain, "dist/container/Containerfile", "usr/share/doc/afmetrics-collector/examples/container/Containerfile", "container"),
    entry(Plain, "dist/kubernetes/collector-cronjob.yaml", "usr/share/doc/afmetrics-collector/examples/kubernetes/collector-cronjob.yaml", "kubernetes"),
    entry(Plain, "dist/kubernetes/collector-daemonset.yaml", "usr/share/doc/afmetrics-collector/examples/kubernetes/collector-daemonset.yaml", "kubernetes"),
    // What collectors deliver to where it is not our receiver.
    entry(Plain, "dist/logstash/afmetrics.conf", "usr/share/doc/afmetrics-collector/examples/logstash/afmetrics.conf", "logstash"),
    entry(Plain, "dist/packages/copyright", "usr/share/doc/afmetrics-collector/copyright", ""),
    entry(Plain, "README.md", "usr/share/doc/afmetrics-collector/README.md", ""),
    entry(Plain, "CHANGELOG.md", "usr/share/doc/afmetrics-collector/CHANGELOG.md", ""),
    entry(Plain, "LICENSE-MIT", "usr/share/doc/afmetrics-collector/LICENSE-MIT", ""),
    entry(Plain, "LICENSE-APACHE", "usr/share/doc/afmetrics-collector/LICENSE-APACHE", ""),
];

#[rustfmt::skip]
const RECEIVER: &[Entry] = &[
    entry(Program, "afmetrics_receiver", "usr/bin/afmetrics_receiver", "bin"),
    entry(Manual, "docs/afmetrics_receiver.1", "usr/share/man/man1/afmetrics_receiver.1.gz", "man"),
    entry(Plain, "dist/completions/afmetrics_receiver.bash", "usr/share/bash-completion/completions/afmetrics_receiver", "completions"),
    entry(Plain, "dist/completions/_afmetrics_receiver", "usr/share/zsh/site-functions/_afmetrics_receiver", "completions"),
    entry(Plain, "dist/completions/afmetrics_receiver.fish", "usr/share/fish/vendor_completions.d/afmetrics_receiver.fish", "completions"),
    entry(Config, "docs/receiver.toml", "etc/afmetrics/receiver.toml", "etc"),
    entry(Plain, "dist/afmetrics_receiver.service", "usr/lib/systemd/system/afmetrics_receiver.service", "systemd"),
    entry(Plain, "dist/afmetrics_receiver.sysusers.conf", "usr/lib/sysusers.d/afmetrics_receiver.conf", "systemd"),
    entry(Plain, "dist/alerts.yml", "usr/share/doc/afmetrics-receiver/examples/alerts.yml", "etc"),
    entry(Plain, "dist/container/Containerfile", "usr/share/doc/afmetrics-receiver/examples/container/Containerfile", "container"),
    entry(Plain, "dist/kubernetes/receiver-statefulset.yaml", "usr/share/doc/afmetrics-receiver/examples/kubernetes/receiver-statefulset.yaml", "kubernetes"),
    entry(Plain, "docs/openapi.json", "usr/share/doc/afmetrics-receiver/docs/openapi.json", "docs"),
    entry(Plain, "dist/packages/copyright", "usr/share/doc/afmetrics-receiver/copyright", ""),
    entry(Plain, "README.md", "usr/share/doc/afmetrics-receiver/README.md", ""),
    entry(Plain, "CHANGELOG.md", "usr/share/doc/afmetrics-receiver/CHANGELOG.md", ""),
    entry(Plain, "LICENSE-MIT", "usr/share/doc/afmetrics-receiver/LICENSE-MIT", ""),
    entry(Plain, "LICENSE-APACHE", "usr/share/doc/afmetrics-receiver/LICENSE-APACHE", ""),
];

/// A version of cargo as dpkg and rpm have it: to both, `0.2.0~rc.1` is before `0.2.0`. To dpkg,
/// `0.2.0-rc.1` is after it, and rpmbuild refuses that.
pub fn packaged(version: &str) -> String {
    version.replace('-', "~")
}

/// A file that goes into a package: an entry of the table, or a page of `docs/`.
pub struct File {
    pub from: PathBuf,
    /// Below `/`.
    pub to: String,
    /// Below the folder of the tar.gz.
    pub archive: String,
    pub kind: Kind,
}

/// All files of a package, by where they go; without the programs, where their folder is not given. Of
/// `docs/`, every page is in both: they link to each other.
pub fn files(package: &Package, tree: &Path, programs: Option<&Path>) -> Result<Vec<File>> {
    let mut files: Vec<File> = package
        .entries
        .iter()
        .filter_map(|entry| {
            let folder = match entry.kind {
                Kind::Program => programs?,
                _ => tree,
            };
            Some(File {
                from: folder.join(entry.from),
                to: entry.to.to_owned(),
                archive: in_archive(entry.archive, entry.from),
                kind: entry.kind,
            })
        })
        .collect();
    files.extend(pages(package, tree)?);
    files.sort_by(|one, other| one.to.cmp(&other.to));
    let missing: Vec<String> = files
        .iter()
        .filter(|file| !file.from.is_file())
        .map(|file| file.from.display().to_string())
        .collect();
    if !missing.is_empty() {
        bail!(
            "{} has a row in xtask/src/dist/contents.rs for what is not there: {}",
            package.name,
            missing.join(", ")
        );
    }
    Ok(files)
}

fn in_archive(folder: &str, from: &str) -> String {
    let name = from.rsplit('/').next().unwrap_or(from);
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn pages(package: &Package, tree: &Path) -> Result<Vec<File>> {
    let docs = tree.join("docs");
    let mut pages = Vec::new();
    for found in fs::read_dir(&docs).with_context(|| docs.display().to_string())? {
        let name = found?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") || name.ends_with(".toml") {
            pages.push(File {
                from: docs.join(&name),
                to: format!("usr/share/doc/{}/docs/{name}", package.name),
                archive: format!("docs/{name}"),
                kind: Kind::Plain,
            });
        }
    }
    Ok(pages)
}

/// Writes a file to where it goes, with its mode, all folders on the way there, and the time of all.
pub fn place(file: &File, into: &Path, to: &str) -> Result<()> {
    let at = into.join(to);
    let folder = at.parent().context("a file in a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let bytes = match file.kind {
        Kind::Manual if to.ends_with(".gz") => {
            output(program("gzip").args(["-9", "-n", "-c"]).arg(&file.from))?
        }
        _ => fs::read(&file.from).with_context(|| file.from.display().to_string())?,
    };
    fs::write(&at, bytes).with_context(|| at.display().to_string())?;
    set_mode(&at, file.kind.mode())
}

pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| path.display().to_string())
}

/// Gives all that is below a folder, and itself, one time of change, and folders one mode: nothing of
/// when and by whom it was made shall be in a package.
pub fn settle(path: &Path, epoch: u64) -> Result<()> {
    let at = || path.display().to_string();
    if path.is_dir() {
        for found in fs::read_dir(path).with_context(at)? {
            settle(&found?.path(), epoch)?;
        }
        set_mode(path, 0o755)?;
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch);
    fs::File::open(path)
        .and_then(|file| file.set_modified(time))
        .with_context(at)
}

/// An empty folder.
pub fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn no_two_rows_go_to_one_place() {
        for package in &PACKAGES {
            let places: BTreeSet<&str> = package.entries.iter().map(|entry| entry.to).collect();
            assert_eq!(places.len(), package.entries.len(), "{}", package.name);
        }
        // Both may be installed.
        let both: BTreeSet<&str> = PACKAGES
            .iter()
            .flat_map(|package| package.entries)
            .map(|entry| entry.to)
            .collect();
        assert_eq!(both.len(), COLLECTOR.len() + RECEIVER.len());
    }

    /// Both packages are in one tar.gz.
    #[test]
    fn no_two_files_go_to_one_place_in_the_archive() {
        let mut places = BTreeMap::new();
        for entry in PACKAGES.iter().flat_map(|package| package.entries) {
            let place = in_archive(entry.archive, entry.from);
            let from = *places.entry(place.clone()).or_insert(entry.from);
            assert_eq!(from, entry.from, "{place}");
        }
    }

    #[test]
    fn a_pre_release_is_before_its_release() {
        assert_eq!(packaged("0.2.0-rc.1"), "0.2.0~rc.1");
        assert_eq!(packaged("0.2.0"), "0.2.0");
    }

    /// Examples of what the tree has for containers and clusters are in a package and in the tar.gz.
    #[test]
    fn every_example_has_its_row() {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
        let rows: BTreeSet<&str> = PACKAGES
            .iter()
            .flat_map(|package| package.entries)
            .map(|entry| entry.from)
            .collect();
        for folder in ["container", "kubernetes"] {
            let mut some = 0;
            for found in fs::read_dir(dist.join(folder)).unwrap() {
                let name = found.unwrap().file_name().into_string().unwrap();
                let from = format!("dist/{folder}/{name}");
                assert!(rows.contains(from.as_str()), "{from} has no row");
                some += 1;
            }
            assert!(some > 0, "dist/{folder} is empty");
        }
    }

    #[test]
    fn what_is_below_etc_is_kept_by_upgrades() {
        for entry in PACKAGES.iter().flat_map(|package| package.entries) {
            assert_eq!(
                entry.kind == Kind::Config,
                entry.to.starts_with("etc/"),
                "{}",
                entry.to
            );
        }
    }

    #[test]
    fn a_row_without_its_file_is_named() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("docs")).unwrap();
        let why = files(&PACKAGES[0], tree.path(), None).err().unwrap();
        assert!(
            why.to_string().contains("dist/afmetrics_collector.timer"),
            "{why}"
        );
    }
}
