//! The two programs as they are released: for an old glibc, and the same bytes wherever they are built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::dist::contents::{self, File, PACKAGES, Package};
use crate::dist::programs::text;
use crate::dist::symbols;
use crate::dist::tools::{Tools, cargo_home};
use crate::programs::{ends_well, program};

/// A kind of machine, by the names it has.
pub struct Machine {
    /// Of Rust, rpm and the kernel.
    pub name: &'static str,
    pub deb: &'static str,
}

pub const MACHINES: [Machine; 2] = [
    Machine {
        name: "x86_64",
        deb: "amd64",
    },
    Machine {
        name: "aarch64",
        deb: "arm64",
    },
];

/// A source tree, and where what is made of it lies.
pub struct Release {
    pub tree: PathBuf,
    /// All files in it that git knows, or would know if they were added.
    names: Vec<String>,
    /// cargo's target folder; the folders that packages are made from are in it, too.
    pub work: PathBuf,
    pub version: &'static str,
    /// Of the last commit, in seconds: the time of all files, and of the packages.
    pub epoch: u64,
    pub machine: &'static Machine,
}

impl Release {
    pub fn of(tree: PathBuf, work: PathBuf, machine: &'static Machine) -> Result<Self> {
        let epoch = text(git(&tree).args(["log", "-1", "--format=%ct"]))?;
        let epoch = epoch
            .trim()
            .parse()
            .context("the time of the last commit")?;
        let changes = text(git(&tree).args(["status", "--porcelain"]))?;
        if !changes.is_empty() {
            println!("some files are not committed; what is made is of no commit:\n{changes}");
        }
        let names = text(git(&tree).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let is_there = |name: &&str| tree.join(name).is_file();
        let names = names.split('\0').filter(is_there).map(str::to_owned);
        Ok(Self {
            names: names.collect(),
            tree,
            work,
            // One for the workspace.
            version: env!("CARGO_PKG_VERSION"),
            epoch,
            machine,
        })
    }

    /// The same from a copy of the tree.
    pub fn copied(&self, tree: PathBuf, work: PathBuf) -> Result<Self> {
        contents::empty(&tree)?;
        for name in &self.names {
            let to = tree.join(name);
            fs::create_dir_all(to.parent().context("a file in a folder")?)?;
            copy(&self.tree.join(name), &to).with_context(|| name.clone())?;
        }
        Ok(Self {
            tree,
            work,
            names: self.names.clone(),
            ..*self
        })
    }

    fn triple(&self) -> String {
        format!("{}-unknown-linux-gnu", self.machine.name)
    }

    fn programs(&self) -> PathBuf {
        self.work.join(self.triple()).join("release")
    }

    pub fn files(&self, package: &Package) -> Result<Vec<File>> {
        contents::files(package, &self.tree, Some(&self.programs()))
    }

    /// Fails where a file of a package is missing that is not built.
    pub fn check(&self, package: &Package) -> Result<()> {
        contents::files(package, &self.tree, None).map(drop)
    }

    /// Builds both programs, and sees that they run where they should.
    pub fn build(&self, tools: &Tools) -> Result<()> {
        if self.machine.name != std::env::consts::ARCH {
            ends_well(program("rustup").args(["target", "add", &self.triple()]))?;
        }
        let (major, minor) = symbols::OLDEST;
        let mut build = program("cargo");
        build
            .current_dir(&self.tree)
            .args(["zigbuild", "--release", "--locked", "--target"])
            .arg(format!("{}.{major}.{minor}", self.triple()));
        for package in &PACKAGES {
            build.args(["--package", package.name]);
        }
        build
            .env("PATH", tools.path())
            .env("CARGO_TARGET_DIR", &self.work)
            .env("CARGO_ZIGBUILD_PYTHON_PATH", tools.python())
            .env("CARGO_ZIGBUILD_CACHE_DIR", self.work.join("zigbuild"))
            .env("ZIG_GLOBAL_CACHE_DIR", self.work.join("zig"))
            .env("ZIG_LOCAL_CACHE_DIR", self.work.join("zig"))
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                self.flags("--remap-path-prefix", "\x1f"),
            )
            .env("CFLAGS", self.flags("-ffile-prefix-map", " "));
        ends_well(&mut build)?;
        for package in &PACKAGES {
            symbols::check(&self.programs().join(package.program))?;
        }
        Ok(())
    }

    /// Says to a compiler what to call the folders of this machine.
    fn flags(&self, flag: &str, between: &str) -> String {
        let tree = self.tree.display();
        let home = cargo_home();
        format!(
            "{flag}={tree}=/afmetrics{between}{flag}={}=/cargo",
            home.display()
        )
    }

    /// Writes what each program is made of, as CycloneDX, to `PROGRAM.cdx.json`.
    pub fn bills(&self, tools: &Tools, out: &Path) -> Result<()> {
        // It writes beside each Cargo.toml.
        let copy = self.copied(self.work.join("bill"), self.work.clone())?;
        ends_well(
            program("cargo")
                .current_dir(&copy.tree)
                .args([
                    "cyclonedx",
                    "-q",
                    "--format",
                    "json",
                    "--spec-version",
                    "1.5",
                ])
                .args(["--describe", "binaries", "--target", &self.triple()])
                .env("PATH", tools.path())
                .env("SOURCE_DATE_EPOCH", self.epoch.to_string()),
        )?;
        for package in &PACKAGES {
            let folder = package.name.trim_start_matches("afmetrics-");
            let made = copy.tree.join("crates").join(folder);
            let made = made.join(format!("{}_bin.cdx.json", package.program));
            let text = fs::read_to_string(&made).with_context(|| made.display().to_string())?;
            let text = text.replace(&copy.tree.display().to_string(), "/afmetrics");
            fs::write(out.join(format!("{}.cdx.json", package.program)), text)?;
        }
        fs::remove_dir_all(&copy.tree)?;
        Ok(())
    }
}

/// With its time of change, by which cargo sees what it has built already.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    fs::File::options()
        .write(true)
        .open(to)?
        .set_modified(fs::metadata(from)?.modified()?)
}

fn git(tree: &Path) -> std::process::Command {
    let mut git = program("git");
    git.arg("-C").arg(tree);
    git
}
