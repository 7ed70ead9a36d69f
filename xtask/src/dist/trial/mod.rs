//! `cargo xtask dist --test`: the packages are installed, upgraded and removed as an administrator would,
//! in a small Debian in a folder: the .deb by dpkg, the .rpm by rpm in another copy of it.
//!
//! In both a stand-in for systemctl writes down what it is told, so that a test needs no systemd that runs.

mod by_dpkg;
mod by_rpm;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist::contents::{self, PACKAGES, Package};
use crate::dist::release::{Machine, Release};
use crate::dist::{deb, rpm};
use crate::install;
use tree::Tree;

/// Fails where a trial cannot be run, before anything is built.
pub fn may_run(machine: &Machine) -> Result<()> {
    if !install::is_root() {
        bail!("--test makes a Debian in a folder and changes into it: run it as root");
    }
    if machine.name != std::env::consts::ARCH {
        bail!("--test runs the programs: not those of {}", machine.name);
    }
    Ok(())
}

/// Tries what `out` has; what it needs for that lies below `work`.
pub fn run(release: &Release, out: &Path, work: &Path) -> Result<()> {
    fs::create_dir_all(work).with_context(|| work.display().to_string())?;
    let base = tree::base(work)?;
    let newer = newer(release, &work.join("newer"))?;
    for (name, try_it) in [
        ("deb", by_dpkg::run as fn(&Trial) -> Result<()>),
        ("rpm", by_rpm::run),
    ] {
        let trial = Trial {
            release,
            tree: Tree::unpack(&base, work.join(name))?,
            newer: &newer.1,
        };
        trial.prepare(out, &newer.0)?;
        try_it(&trial).with_context(|| format!("the .{name} in {}", trial.tree.path.display()))?;
        fs::remove_dir_all(&trial.tree.path)?;
        println!("the .{name}: installed, upgraded, removed");
    }
    fs::remove_dir_all(newer.0)?;
    Ok(())
}

/// The same packages by a higher version, to be upgraded to.
fn newer(release: &Release, folder: &Path) -> Result<(PathBuf, String)> {
    contents::empty(folder)?;
    let version = contents::packaged(&format!("{}.1", release.version));
    for package in &PACKAGES {
        deb::make(release, package, &version, folder)?;
        rpm::make(release, package, &version, folder)?;
    }
    Ok((folder.to_owned(), version))
}

/// What both trials have.
struct Trial<'a> {
    release: &'a Release,
    tree: Tree,
    /// The version to upgrade to.
    newer: &'a str,
}

/// Says what it was told, and where that is written.
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$*\" >> /systemctl.log\n";
/// What is in the place of the old script.
const OLD_SCRIPT: &str = "#!/usr/bin/env python3\nprint('the old one')\n";
const OLD_PLACE: &str = "usr/local/bin/afmetrics_collector";
/// Begins a command of a user without rights.
const NOBODY: [&str; 6] = [
    "setpriv",
    "--clear-groups",
    "--reuid",
    "nobody",
    "--regid",
    "nogroup",
];
/// A line of an administrator.
const LINE: &str = "# canary-1 was here\n";

impl Trial<'_> {
    fn prepare(&self, out: &Path, newer: &Path) -> Result<()> {
        self.tree.write("usr/bin/systemctl", SYSTEMCTL, 0o755)?;
        fs::create_dir_all(self.tree.path.join("run/systemd/system"))?;
        for (from, to) in [(out, "packages"), (newer, "newer")] {
            let to = self.tree.path.join(to);
            fs::create_dir_all(&to)?;
            for found in fs::read_dir(from)? {
                let found = found?;
                fs::copy(found.path(), to.join(found.file_name()))?;
            }
        }
        Ok(())
    }

    /// What the stand-in for systemctl was told since the last time.
    fn told(&self) -> Result<Vec<String>> {
        let log = self.tree.path.join("systemctl.log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        if log.exists() {
            fs::remove_file(log)?;
        }
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Every file of a package as the table says, and the programs that units name.
    fn files_are_there(&self, package: &Package, place: fn(&str) -> String) -> Result<()> {
        for file in self.release.files(package)? {
            let at = place(&file.to);
            let wanted = format!("{:o} root:root", file.kind.mode());
            let is = self
                .tree
                .run(&["stat", "-c", "%a %U:%G", &format!("/{at}")])?;
            ensure!(is.trim() == wanted, "/{at} is {}, not {wanted}", is.trim());
            if at.starts_with("usr/lib/systemd/system/") {
                self.program_is_there(&at)?;
            }
        }
        let state = self.state(package);
        let is = self
            .tree
            .run(&["stat", "-c", "%a %U:%G", &format!("/{state}")])?;
        let wanted = format!("700 {0}:{0}", package.user);
        ensure!(
            is.trim() == wanted,
            "/{state} is {}, not {wanted}",
            is.trim()
        );
        Ok(())
    }

    fn program_is_there(&self, unit: &str) -> Result<()> {
        let text = self.tree.read(unit)?;
        for line in text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="))
        {
            let program = line.split_whitespace().next().unwrap_or_default();
            let at = self.tree.path.join(program.trim_start_matches('/'));
            ensure!(at.is_file(), "{unit} starts {program}, which is not there");
        }
        Ok(())
    }

    fn its_folder_is_gone(&self, package: &Package) -> Result<()> {
        let folder = format!("usr/share/doc/{}", package.name);
        ensure!(!self.tree.has(&folder), "/{folder} is still there");
        Ok(())
    }

    /// Below `/`.
    fn state(&self, package: &Package) -> String {
        format!("var/lib/{}", package.user)
    }

    /// They run, and everybody may read their configuration: a round by cron is one of any user.
    fn programs_run(&self) -> Result<()> {
        for package in &PACKAGES {
            let said = self.tree.run(&[package.program, "--version"])?;
            let wanted = format!("{} {}", package.program, self.release.version);
            ensure!(said.trim() == wanted, "--version is {said}");
            let settings = settings(package);
            let text = self
                .tree
                .run(&[&NOBODY[..], &["cat", &settings]].concat())?;
            let secrets = secrets(&text);
            ensure!(secrets.is_empty(), "{settings} has {secrets:?}");
        }
        // A round of nobody, by the file that is there; and a secret in the file is refused.
        let round = "mkdir -m 777 /tmp/rounds && cd /tmp/rounds && exec \"$@\" afmetrics_collector -d --host";
        self.tree
            .run(&[&["sh", "-c", round, "sh"], &NOBODY[..]].concat())?;
        let documents = self.tree.read("tmp/rounds/host.json")?;
        ensure!(documents.contains("\"MEM\""), "host.json is {documents}");
        for secret in ["token", "salt"] {
            let line = format!("{secret} = \"canary-1\"\n");
            self.tree.write("tmp/rounds/secret.toml", &line, 0o644)?;
            let said = self.tree.run(&[
                "sh",
                "-c",
                "cd /tmp/rounds; afmetrics_collector -d --host --config secret.toml; test $? = 2",
            ])?;
            let is_named = said.contains(secret) && !said.contains("canary-1");
            ensure!(is_named, "{secret} in the file, and its value not: {said}");
        }
        Ok(())
    }

    fn nothing_was_started(&self) -> Result<()> {
        let told = self.told()?;
        let is_reload = |line: &String| line == "daemon-reload";
        ensure!(
            !told.is_empty() && told.iter().all(is_reload),
            "systemctl was told {told:?}"
        );
        Ok(())
    }

    fn all_was_restarted_that_ran(&self) -> Result<()> {
        let told = self.told()?;
        for unit in [
            "afmetrics_collector.timer",
            "afmetrics_collector.service",
            "afmetrics_receiver.service",
        ] {
            ensure!(
                told.contains(&format!("try-restart {unit}")),
                "systemctl was told {told:?}"
            );
        }
        let starts = |line: &String| line.starts_with("start") || line.contains("enable");
        ensure!(!told.iter().any(starts), "systemctl was told {told:?}");
        Ok(())
    }

    fn all_was_stopped_and_disabled(&self) -> Result<()> {
        let told = self.told()?;
        for word in ["stop", "--quiet disable"] {
            for package in &PACKAGES {
                let units =
                    |line: &String| line.starts_with(word) && line.contains(package.program);
                ensure!(told.iter().any(units), "systemctl was told {told:?}");
            }
        }
        Ok(())
    }

    /// What an administrator does between two versions; and somebody left the old script where it was.
    fn change_settings(&self) -> Result<()> {
        for package in &PACKAGES {
            let settings = settings(package);
            let text = self.tree.read(&settings)? + LINE;
            self.tree.write_again(&settings, &text)?;
        }
        self.tree.write(OLD_PLACE, OLD_SCRIPT, 0o755)
    }

    fn settings_are_kept(&self, of: &str) -> Result<()> {
        for package in &PACKAGES {
            let text = self.tree.read(&format!("{}{of}", settings(package)))?;
            ensure!(
                text.ends_with(LINE),
                "{}: a change is gone",
                settings(package)
            );
        }
        Ok(())
    }
}

/// Where the configuration of a package is.
fn settings(package: &Package) -> String {
    package
        .entries
        .iter()
        .find(|entry| entry.to.starts_with("etc/afmetrics/"))
        .map_or_else(String::new, |entry| format!("/{}", entry.to))
}

/// The options in a configuration that would be secrets, also those in comments. Paths of files that have
/// them are none.
fn secrets(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| Some(line.trim_start_matches(['#', ' ']).split_once('=')?.0))
        .map(str::trim)
        .filter(|name| ["token", "salt", "password", "secret"].contains(name))
        .collect()
}

/// Whether the note on the old script was there as it should be.
fn noted(said: &str, wanted: bool) -> Result<()> {
    let is_there = said.contains("/usr/local/bin/afmetrics_collector is a script");
    ensure!(is_there == wanted, "the note on the old script, in: {said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_comments_too() {
        let text = "#token = \"x\"\n# salt=\"y\"\n#token_file = \"/etc/afmetrics/token\"\n# a token is a secret\npassword = 1\n";
        assert_eq!(secrets(text), ["token", "salt", "password"]);
    }

    /// What is printed from tables of options, and installed for everybody to read.
    #[test]
    fn no_configuration_has_a_secret() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut some = 0;
        for found in fs::read_dir(docs).unwrap() {
            let path = found.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                let text = fs::read_to_string(&path).unwrap();
                assert_eq!(secrets(&text), [""; 0], "{}", path.display());
                some += 1;
            }
        }
        assert!(some > 0);
    }
}
