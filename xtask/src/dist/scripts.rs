//! The scripts that dpkg and rpm run: what the package is, what both do, and what is done at which moment,
//! one after the other, from `dist/packages/`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::dist::contents::Package;

/// Without a first line that names the shell, as a spec file wants it. `of` is `deb` or `rpm`.
pub fn script(tree: &Path, package: &Package, of: &str, moment: &str) -> Result<String> {
    let packages = tree.join("dist/packages");
    let read = |name: String| {
        let path = packages.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let mut text = format!("set -e\npackage={}\n", package.name);
    text.push_str(&read(format!("{}.sh", package.name))?);
    text.push_str(&read("functions.sh".to_owned())?);
    text.push_str(&read(format!("{of}/{moment}"))?);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::contents::PACKAGES;
    use crate::dist::{deb, rpm};
    use crate::programs::program;

    /// Runs what a script has for a moment, with a state folder and its user.
    fn run(state: &Path, user: &str, moment: &str) -> String {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/packages");
        let text = fs::read_to_string(packages.join("afmetrics-collector.sh")).unwrap();
        let line = format!(
            "set -e\npackage=afmetrics-collector\n{text}\nstate='{}'\nuser='{user}'\n{moment}",
            state.display()
        );
        let out = program("sh").args(["-c", &line]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{moment}: {said}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// Who runs this.
    fn me() -> String {
        let out = program("id").arg("-un").output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn state() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        for name in ["cursors", "locks", "spool/pending"] {
            fs::create_dir_all(state.join(name)).unwrap();
        }
        fs::write(state.join("cursors/network"), "1").unwrap();
        (folder, state)
    }

    #[test]
    fn purge_removes_our_state() {
        let (_folder, state) = state();
        assert_eq!(run(&state, &me(), "purge"), "");
        assert!(!state.exists());
        assert_eq!(run(&state, &me(), "purge"), "");
    }

    #[test]
    fn purge_keeps_what_nobody_has_received() {
        let (_folder, state) = state();
        let waiting = state.join("spool/pending/batch");
        fs::write(&waiting, "").unwrap();
        assert!(run(&state, &me(), "purge").contains("is kept: documents"));
        assert!(waiting.exists());
    }

    #[test]
    fn purge_keeps_the_state_of_another_user() {
        let (_folder, state) = state();
        let said = run(&state, "canary-1", "purge");
        assert!(said.contains(&format!("is kept: it belongs to {}", me())));
        assert!(state.join("cursors/network").exists());
    }

    #[test]
    fn purge_keeps_what_is_not_state() {
        let (_folder, state) = state();
        let config = state.join(".kube/config");
        fs::create_dir(state.join(".kube")).unwrap();
        fs::write(&config, "").unwrap();
        assert!(run(&state, &me(), "purge").contains("is kept: other things"));
        assert!(config.exists() && !state.join("cursors").exists());
    }

    #[test]
    fn notes_say_whose_the_state_is() {
        let (_folder, state) = state();
        let said = run(&state, "canary-1", "notes");
        assert!(said.contains(&format!("belongs to {}", me())), "{said}");
        assert!(said.contains("chown -R canary-1:canary-1"), "{said}");
        let said = run(&state, &me(), "notes");
        assert!(!said.contains("chown"), "{said}");
        assert!(said.contains("Rounds of any user"), "{said}");
    }

    #[test]
    fn every_script_is_one_for_the_shell() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let moments = deb::SCRIPTS
            .map(|moment| ("deb", moment))
            .into_iter()
            .chain(rpm::SCRIPTS.map(|moment| ("rpm", moment)));
        for (of, moment) in moments {
            for package in &PACKAGES {
                let text = script(&tree, package, of, moment).unwrap();
                let status = program("sh").args(["-n", "-c", &text]).status().unwrap();
                assert!(status.success(), "{of}/{moment} of {}", package.name);
                assert!(text.contains(&format!("\nuser={}\n", package.user)));
            }
        }
    }
}
