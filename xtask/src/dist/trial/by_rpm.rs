//! The .rpm by rpm, in a Debian, which has no packages by rpm: what it requires is compared with what
//! every Linux of glibc has, and then not asked for. The user is made by useradd.

use anyhow::{Context as _, Result, ensure};

use super::{Trial, noted, settings};
use crate::dist::contents::PACKAGES;
use crate::dist::symbols;

/// Of rpm itself, of glibc and of what every Linux has.
const REQUIRED: [&str; 11] = [
    // What rpm 4.11 of RHEL 7 knows.
    "rpmlib(CompressedFileNames)",
    "rpmlib(FileDigests)",
    "rpmlib(PayloadFilesHavePrefix)",
    "rpmlib(PayloadIsXz)",
    "config(afmetrics-",
    "/bin/sh",
    "/usr/sbin/useradd",
    "/usr/sbin/groupadd",
    "/usr/bin/getent",
    "rtld(GNU_HASH)",
    "ld-linux-",
];
const LIBRARIES: [&str; 4] = [
    "libc.so.6(",
    "libm.so.6(",
    "libpthread.so.0(",
    "libdl.so.2(",
];

/// Debian's rpm wants to be told that no package of Debian is meant.
const CHANGE: &str = "--force-debian --nodeps";

pub fn run(trial: &Trial) -> Result<()> {
    let tree = &trial.tree;
    let [collector, receiver] = &PACKAGES;
    // Else it would make the user.
    std::fs::remove_file(tree.path.join("usr/bin/systemd-sysusers"))?;
    rpm(trial, "--initdb")?;
    requires(trial)?;
    let said = rpm(trial, &format!("{CHANGE} --install packages/*.rpm"))?;
    noted(&said, false)?;
    trial.nothing_was_started()?;
    for package in &PACKAGES {
        ensure!(
            said.contains(&settings(package)),
            "what to do first, in: {said}"
        );
        trial.files_are_there(package, str::to_owned)?;
        rpm(trial, &format!("--verify --nodeps {}", package.name))?;
        let kept = rpm(trial, &format!("--query --configfiles {}", package.name))?;
        ensure!(kept.contains(&settings(package)), "configuration: {kept}");
    }
    trial.programs_run()?;

    trial.change_settings()?;
    let said = rpm(trial, &format!("{CHANGE} --upgrade newer/*.rpm"))?;
    noted(&said, true)?;
    trial.all_was_restarted_that_ran()?;
    trial.settings_are_kept("")?;
    for package in &PACKAGES {
        let version = rpm(
            trial,
            &format!("--query --queryformat %{{VERSION}} {}", package.name),
        )?;
        ensure!(version.ends_with(trial.newer), "{version} is installed");
        trial.files_are_there(package, str::to_owned)?;
    }

    let said = rpm(
        trial,
        &format!("{CHANGE} --erase {} {}", collector.name, receiver.name),
    )?;
    trial.all_was_stopped_and_disabled()?;
    trial.settings_are_kept(".rpmsave")?;
    for package in &PACKAGES {
        trial.its_folder_is_gone(package)?;
        let state = trial.state(package);
        ensure!(said.contains(&format!("/{state} is kept")), "{said}");
        ensure!(tree.has(&state), "/{state} is gone");
    }
    ensure!(
        !tree.has("usr/bin/afmetrics_collector"),
        "the program is still there"
    );
    Ok(())
}

/// rpm of this machine on the tree, whose scripts run in the tree.
fn rpm(trial: &Trial, words: &str) -> Result<String> {
    let root = trial.tree.path.display();
    let line = format!("exec rpm --root '{root}' --dbpath /var/lib/rpm {words}");
    trial.tree.beside(&["sh", "-c", &line])
}

/// Nothing is required that an old Linux does not have.
fn requires(trial: &Trial) -> Result<()> {
    for package in &PACKAGES {
        let required = rpm(
            trial,
            &format!(
                "--query --requires --package packages/{}-*.rpm",
                package.name
            ),
        )?;
        let mut versions = Vec::new();
        for line in required.lines().filter(|line| !line.is_empty()) {
            let is_library = LIBRARIES.iter().any(|library| line.starts_with(library));
            let is_known = REQUIRED.iter().any(|known| line.starts_with(known));
            ensure!(is_library || is_known, "{} requires {line}", package.name);
            if is_library {
                let version = line.split(['(', ')']).nth(1).context("a version")?;
                versions.push((version.to_owned(), line.to_owned()));
            }
        }
        versions.retain(|(version, _)| !version.is_empty());
        ensure!(
            !versions.is_empty(),
            "rpmbuild found no library: {required}"
        );
        let too_new = symbols::too_new(&versions, symbols::OLDEST);
        ensure!(too_new.is_empty(), "{} requires {too_new:?}", package.name);
    }
    Ok(())
}
