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
