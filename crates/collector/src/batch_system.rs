//! What `-b` means on this node: HTCondor, as it always did, or Slurm where there is no `condor_q` but a
//! `squeue` and no schedd of HTCondor is named. Whether a program is on `PATH` is looked up, not tried: neither is run for it.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;

use tracing::{info, warn};

use crate::aside::aside;
use crate::config::Config;
use crate::recording::World;

/// What `-b` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    HtCondor,
    Slurm,
    Neither,
}

/// Puts Slurm in the place of HTCondor where that is what the node has; whether it has neither, though `-b`
/// was given. A folder on `PATH` may be on a dead mount: then it is HTCondor, which says so when it is asked.
pub async fn settle(config: &mut Config, world: &World) -> bool {
    if !config.batch {
        return false;
    }
    if config.htcondor.schedds.names().next().is_some() {
        // Then it is HTCondor that is meant, and a condor_q that is missing is an error.
        return false;
    }
    // Without a PATH the system looks in these.
    let path = config
        .path
        .clone()
        .unwrap_or_else(|| "/bin:/usr/bin".into());
    let found = match world.has_program("condor_q") {
        Some(true) => Found::HtCondor,
        Some(false) if world.has_program("squeue") == Some(true) => Found::Slurm,
        Some(false) => Found::Neither,
        None => {
            let found = aside(config.limits.silence, move || find(&path)).await;
            found.unwrap_or(Found::HtCondor)
        }
    };
    match found {
        Found::HtCondor => false,
        Found::Neither => !config.slurm,
        Found::Slurm => {
            info!("-b means Slurm here: this node has squeue, and no condor_q on PATH");
            config.batch = false;
            config.slurm = true;
            if !config.queues.is_empty() {
                warn!(
                    "-q has no effect here: -b means Slurm on this node, whose queues are its partitions"
                );
            }
            if config.htcondor.changes_jobs() {
                warn!(
                    "--no-queued-jobs, --runtime and --job-details have no effect here: -b means Slurm on this node, and they are of HTCondor"
                );
            }
            false
        }
    }
}

fn find(path: &OsStr) -> Found {
    if is_on(path, "condor_q") {
        Found::HtCondor
    } else if is_on(path, "squeue") {
        Found::Slurm
    } else {
        Found::Neither
    }
}

/// Whether a program is in one of the folders of a `PATH`.
pub fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| {
        // What is not absolute is below the current folder, as the system has it, too.
        folder
            .join(program)
            .metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn condor_goes_first_and_only_programs_count() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for folder in [&one, &other] {
            fs::create_dir(folder).unwrap();
        }
        let path = std::env::join_paths([&one, &other]).unwrap();
        assert_eq!(find(&path), Found::Neither);
        assert_eq!(find(OsStr::new("")), Found::Neither);
        let file = |at: &std::path::Path, mode| {
            fs::write(at, "").unwrap();
            fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(one.join("condor_q")).unwrap();
        file(&one.join("squeue"), 0o644);
        assert_eq!(find(&path), Found::Neither);
        file(&other.join("squeue"), 0o755);
        assert_eq!(find(&path), Found::Slurm);
        file(&other.join("condor_q"), 0o755);
        assert_eq!(find(&path), Found::HtCondor);
    }
}
