//! What builds the packages: Zig, which links for an old glibc, from PyPI; two commands of cargo; and
//! Debian's packages. All but the last lie below `target/tools`, in versions that are written here, as
//! other versions give other bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::dist::programs::{bounded, environment};
use crate::install;
use crate::programs::{ends_well, program};

const ZIGLANG: &str = "0.17.1";
const COMMANDS: [(&str, &str); 2] = [("cargo-zigbuild", "0.24.1"), ("cargo-cyclonedx", "0.5.9")];

/// A program that makes packages, and Debian's package that brings it.
const NEEDED: [(&str, &str); 2] = [("dpkg-deb", "dpkg"), ("rpmbuild", "rpm")];
/// The same, to try them.
const TRIED: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("unshare", "util-linux")];

/// Where the tools are.
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Installs what is missing; where that cannot be done, the failure says what is.
    pub fn get(folder: PathBuf) -> Result<Self> {
        install::or_fail(&NEEDED)?;
        let tools = Self { folder };
        tools.zig()?;
        tools.commands()?;
        Ok(tools)
    }

    fn zig(&self) -> Result<()> {
        let asks =
            "import importlib.metadata as m, sys; sys.exit(m.version('ziglang') != sys.argv[1])";
        let python = self.python();
        let is_there = program(&python)
            .args(["-c", asks, ZIGLANG])
            .stderr(std::process::Stdio::null())
            .status();
        if is_there.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        let folder = self.folder.join("zig");
        println!("installing ziglang {ZIGLANG} in {}", folder.display());
        ends_well(
            program("python3")
                .args(["-m", "venv", "--clear"])
                .arg(folder),
        )?;
        ends_well(
            bounded(900, python)
                .args(["-m", "pip", "install", "--quiet"])
                .arg(format!("ziglang=={ZIGLANG}")),
        )
    }

    fn commands(&self) -> Result<()> {
        let list = fs::read_to_string(self.folder.join(".crates.toml")).unwrap_or_default();
        for (name, version) in COMMANDS {
            if list.contains(&format!("\"{name} {version} (")) {
                continue;
            }
            println!("installing {name} {version} in {}", self.folder.display());
            let build = self.folder.join("build");
            ends_well(
                program("cargo")
                    .args(["install", "--quiet", "--locked", "--force", "--root"])
                    .arg(&self.folder)
                    .arg("--target-dir")
                    .arg(&build)
                    .arg(format!("{name}@{version}")),
            )?;
            fs::remove_dir_all(build)?;
        }
        Ok(())
    }

    pub fn python(&self) -> PathBuf {
        self.folder.join("zig/bin/python3")
    }

    /// `PATH` with the commands of cargo.
    pub fn path(&self) -> String {
        let others = environment("PATH").unwrap_or_default();
        format!("{}:{others}", self.folder.join("bin").display())
    }
}

/// What `--test` needs besides.
pub fn to_try() -> Result<()> {
    install::or_fail(&[&NEEDED[..], &TRIED].concat())
}

/// Where cargo keeps the sources of crates: a path that must not be in a program.
pub fn cargo_home() -> PathBuf {
    let home = || Path::new(&environment("HOME").unwrap_or_default()).join(".cargo");
    environment("CARGO_HOME").map_or_else(home, PathBuf::from)
}
