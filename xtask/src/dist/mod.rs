//! `cargo xtask dist`: the packages of the two programs, their bills of materials and checksums.
//!
//! One table of files (`contents.rs`) becomes .deb, .rpm and tar.gz. dpkg-deb and rpmbuild are the
//! distributions' own: what they write, their installers take, and neither needs a crate.

mod archive;
mod contents;
mod deb;
mod programs;
mod release;
mod rpm;
mod scripts;
mod symbols;
mod tools;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::dist::contents::PACKAGES;
use crate::dist::programs::text;
use crate::dist::release::{MACHINES, Machine, Release};
use crate::dist::tools::Tools;
use crate::programs::{ends_well, program};

const USAGE: &str =
    "cargo xtask dist [--out DIR] [--arch x86_64|aarch64] [--reproducible] [--test [--built]]";
/// The checksums of all that is beside it.
const SUMS: &str = "SHA256SUMS";

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    out: PathBuf,
    arch: String,
    /// Builds in a second folder, and compares.
    is_built_twice: bool,
    /// Installs, upgrades and removes the packages.
    is_tested: bool,
    /// Tests what `out` has.
    is_built: bool,
}

pub fn run(words: &[String]) -> Result<()> {
    let tree = workspace()?;
    let asked = asked(words, &tree)?;
    let machine = machine(&asked.arch)?;
    if asked.is_tested {
        trial::may_run(machine)?;
        tools::to_try()?;
    }
    let target = tree.join("target");
    let release = Release::of(tree, target.join("dist-build"), machine)?;
    let tools = Tools::get(target.join("tools"))?;
    if !asked.is_built {
        make(&release, &tools, &asked.out)?;
    }
    check_sums(&asked.out)?;
    // The longest comes last.
    if asked.is_tested {
        trial::run(&release, &asked.out, &target.join("dist-trial"))?;
    }
    if asked.is_built_twice || (asked.is_tested && !asked.is_built) {
        compare(&release, &tools, &asked.out, &target.join("dist-second"))?;
    }
    Ok(())
}

fn workspace() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .context("the folder of the workspace")
}

fn asked(words: &[String], tree: &Path) -> Result<Asked> {
    let mut asked = Asked {
        out: tree.join("target/dist"),
        arch: std::env::consts::ARCH.to_owned(),
        is_built_twice: false,
        is_tested: false,
        is_built: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} of what? {USAGE}"))
        };
        match word.as_str() {
            "--out" => asked.out = std::path::absolute(value()?)?,
            "--arch" => asked.arch = value()?.clone(),
            "--reproducible" => asked.is_built_twice = true,
            "--test" => asked.is_tested = true,
            "--built" => asked.is_built = true,
            other => bail!("{other}? {USAGE}"),
        }
    }
    if asked.is_built && !asked.is_tested {
        bail!("--built is for --test: {USAGE}");
    }
    Ok(asked)
}

fn machine(name: &str) -> Result<&'static Machine> {
    MACHINES
        .iter()
        .find(|machine| machine.name == name)
        .with_context(|| format!("no packages are made for {name}: {USAGE}"))
}

/// Makes all there is, in an empty folder.
fn make(release: &Release, tools: &Tools, out: &Path) -> Result<()> {
    // What is missing is said before the programs are built.
    for package in &PACKAGES {
        release.check(package)?;
    }
    empty_ours(out)?;
    release.build(tools)?;
    release.bills(tools, out)?;
    for package in &PACKAGES {
        deb::make(release, package, release.version, out)?;
        rpm::make(release, package, release.version, out)?;
    }
    archive::make(release, out)?;
    let sums = text(
        program("sh")
            .current_dir(out)
            .env("LC_ALL", "C")
            .args(["-c", "sha256sum -- *"]),
    )?;
    fs::write(out.join(SUMS), &sums)?;
    println!("{}:\n{sums}", out.display());
    Ok(())
}

/// An empty folder: what was made here before is removed. One that has anything else in it is left as it is.
fn empty_ours(out: &Path) -> Result<()> {
    let at = || out.display().to_string();
    fs::create_dir_all(out).with_context(at)?;
    let sums = out.join(SUMS);
    let ours = match sums.is_file() {
        true => fs::read_to_string(&sums).with_context(at)?,
        false => String::new(),
    };
    let ours: Vec<&str> = ours.lines().filter_map(listed).collect();
    let mut files = Vec::new();
    for found in fs::read_dir(out).with_context(at)? {
        let found = found?;
        let name = found.file_name().to_string_lossy().into_owned();
        if !found.file_type()?.is_file() || !(name == SUMS || ours.contains(&&*name)) {
            bail!(
                "{} has {name} in it, which is not of here; say another --out",
                out.display()
            );
        }
        files.push(found.path());
    }
    // That says what is ours: it goes last, also where this is interrupted.
    files.sort_by_key(|file| *file == sums);
    for file in files {
        fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The name in a line of checksums, if it is one that is made here.
fn listed(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("  ")?;
    (name.starts_with("afmetrics") && !name.contains('/')).then_some(name)
}

fn check_sums(out: &Path) -> Result<()> {
    ends_well(
        program("sha256sum")
            .current_dir(out)
            .args(["--check", "--quiet", "--strict", SUMS]),
    )
    .with_context(|| format!("{}: not as it was built", out.display()))
}

/// Makes all a second time, in folders of other names, and fails where a byte differs. A second build that
/// was interrupted goes on.
fn compare(release: &Release, tools: &Tools, out: &Path, second: &Path) -> Result<()> {
    let copy = release.copied(second.join("tree"), second.join("build"))?;
    let again = second.join("packages");
    contents::empty(&again)?;
    make(&copy, tools, &again)?;
    let sums = |folder: &Path| fs::read_to_string(folder.join(SUMS));
    let (first, other) = (sums(out)?, sums(&again)?);
    let differing: Vec<&str> = other.lines().filter(|line| !first.contains(line)).collect();
    if first != other {
        bail!(
            "{} and {} differ in {}",
            out.display(),
            again.display(),
            differing.join(", ")
        );
    }
    fs::remove_dir_all(second)?;
    println!("built twice, in two folders: the same bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Asked> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        asked(&words, Path::new("/tree"))
    }

    #[test]
    fn words_are_taken_or_named() {
        let plain = words("").unwrap();
        assert_eq!(plain.out, Path::new("/tree/target/dist"));
        assert!(!plain.is_tested && !plain.is_built && !plain.is_built_twice);
        let all = words("--out /elsewhere --arch aarch64 --test --built --reproducible").unwrap();
        assert_eq!(
            (all.out, all.arch),
            (PathBuf::from("/elsewhere"), "aarch64".to_owned())
        );
        assert!(all.is_tested && all.is_built && all.is_built_twice);
        for wrong in ["--out", "--built", "--tested"] {
            let why = words(wrong).unwrap_err().to_string();
            assert!(why.contains(wrong) && why.contains(USAGE), "{why}");
        }
        assert!(machine("riscv64").is_err());
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let write = |name: &str, text: &str| fs::write(out.join(name), text).unwrap();
        let refuses = |name: &str| {
            let why = empty_ours(out).unwrap_err().to_string();
            assert!(why.contains(name) && out.join(name).exists(), "{why}");
        };
        write("theirs", "");
        refuses("theirs");
        // Checksums of somebody else: of other names, and not of all.
        write(SUMS, "00  theirs\n");
        refuses("theirs");
        write("afmetrics-notes", "");
        fs::remove_file(out.join("theirs")).unwrap();
        refuses("afmetrics-notes");
        assert!(out.join(SUMS).exists());
    }

    #[test]
    fn what_was_made_before_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new");
        empty_ours(&out).unwrap();
        fs::write(out.join("afmetrics-1.tar.gz"), "").unwrap();
        fs::write(
            out.join(SUMS),
            "00  afmetrics-1.tar.gz\n00  afmetrics-gone.deb\n",
        )
        .unwrap();
        empty_ours(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    }
}
