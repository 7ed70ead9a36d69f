//! The .deb by dpkg. The user is made by systemd-sysusers.

use anyhow::{Result, ensure};

use super::{Trial, noted, settings};
use crate::dist::contents::PACKAGES;
use crate::dist::deb;

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
    tree.run(&["sh", "-c", "dpkg -i /newer/afmetrics-collector_*.deb"])?;
    let said = tree.run(&["dpkg", "--purge", PACKAGES[0].name])?;
    ensure!(
        !tree.has("var/lib/afmetrics"),
        "counters are still there: {said}"
    );
    Ok(())
}
