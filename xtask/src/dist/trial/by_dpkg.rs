//! The .deb by dpkg. The user is made by systemd-sysusers.

use anyhow::{Result, ensure};

use super::{LINE, Trial, noted, settings};
use crate::dist::contents::{self, PACKAGES};
use crate::dist::deb;

/// Once more, over what an administrator wrote.
const INSTALL: &str = "dpkg --force-confold -i /newer/afmetrics-collector_*.deb";

pub fn run(trial: &Trial) -> Result<()> {
    let tree = &trial.tree;
    let [collector, receiver] = &PACKAGES;
    let said = tree.run(&["sh", "-c", "dpkg -i /packages/*.deb"])?;
    noted(&said, false)?;
    trial.nothing_was_started()?;
    for package in &PACKAGES {
        ensure!(
            said.contains(&settings(package)),
            "what to do first, in: {said}"
        );
        trial.files_are_there(package, deb::in_debian)?;
        let differs = tree.run(&["dpkg", "--verify", package.name])?;
        ensure!(differs.is_empty(), "{differs}");
        let kept = tree.run(&["dpkg-query", "-W", "-f", "${Conffiles}", package.name])?;
        ensure!(kept.contains(&settings(package)), "conffiles: {kept}");
    }
    trial.programs_run()?;

    trial.change_settings()?;
    let said = tree.run(&["sh", "-c", "dpkg -i /newer/*.deb"])?;
    noted(&said, true)?;
    trial.all_was_restarted_that_ran()?;
    trial.settings_are_kept("")?;
    for package in &PACKAGES {
        let version = tree.run(&["dpkg-query", "-W", "-f", "${Version}", package.name])?;
        ensure!(version == trial.newer, "{version} is installed");
        trial.files_are_there(package, deb::in_debian)?;
    }

    let before = ["0.2.0-rc.1", "0.2.0"].map(contents::packaged);
    tree.run(&["dpkg", "--compare-versions", &before[0], "lt", &before[1]])?;
    tree.run(&["dpkg", "--remove", collector.name, receiver.name])?;
    trial.all_was_stopped_and_disabled()?;
    trial.settings_are_kept("")?;
    ensure!(
        !tree.has("usr/bin/afmetrics_collector"),
        "the program is still there"
    );
    purge(trial)
}

/// What nobody has received and the store are kept, all else goes.
fn purge(trial: &Trial) -> Result<()> {
    let tree = &trial.tree;
    let waiting = "var/lib/afmetrics/spool/pending/00000042/af.canary.example.ndjson.zst";
    let store = "var/lib/afmetrics_receiver/store";
    tree.write(waiting, "", 0o600)?;
    tree.write(store, "", 0o600)?;
    for package in &PACKAGES {
        let said = tree.run(&["dpkg", "--purge", package.name])?;
        let state = format!("/{}", trial.state(package));
        let is_said = said.contains(&state) && said.contains(" is kept");
        ensure!(is_said, "that {state} is kept, in: {said}");
        trial.its_folder_is_gone(package)?;
        ensure!(
            !tree.has(&settings(package)),
            "the configuration is still there"
        );
    }
    ensure!(
        tree.has(waiting) && tree.has(store),
        "what was kept is gone"
    );
    ensure!(!tree.has("etc/afmetrics"), "/etc/afmetrics is still there");

    // Once all is delivered.
    std::fs::remove_file(tree.path.join(waiting))?;
    administrators(trial)?;
    let said = tree.run(&["dpkg", "--purge", PACKAGES[0].name])?;
    ensure!(
        !tree.has("var/lib/afmetrics"),
        "counters are still there: {said}"
    );
    others(trial)
}

/// A configuration that was there before the package stays as it is, with its mode and group.
fn administrators(trial: &Trial) -> Result<()> {
    let (tree, at) = (&trial.tree, settings(&PACKAGES[0]));
    tree.write(&at, LINE, 0o640)?;
    tree.run(&["chgrp", "games", &at])?;
    tree.run(&["sh", "-c", INSTALL])?;
    let is = tree.run(&["stat", "-c", "%a %U:%G", &at])?;
    ensure!(is.trim() == "640 root:games", "{at} is {is}");
    ensure!(tree.read(&at)? == LINE, "{at} is another");
    Ok(())
}

/// The state of somebody else's job is said to be that, and kept.
fn others(trial: &Trial) -> Result<()> {
    let tree = &trial.tree;
    let cursor = "var/lib/afmetrics/cursors/theirs";
    tree.write(cursor, "", 0o600)?;
    tree.run(&["chown", "-R", "games:games", "/var/lib/afmetrics"])?;
    let said = tree.run(&["sh", "-c", INSTALL])?;
    ensure!(
        said.contains("/var/lib/afmetrics belongs to games"),
        "{said}"
    );
    let said = tree.run(&["dpkg", "--purge", PACKAGES[0].name])?;
    ensure!(said.contains("is kept: it belongs to games"), "{said}");
    ensure!(tree.has(cursor), "the state of somebody else is gone");
    Ok(())
}
