//! A small Debian in a folder, by debootstrap: made once, kept as a tarball, unpacked for each trial.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::dist::contents;
use crate::dist::programs::{bounded, text};
use crate::programs::{ends_well, program};

/// Beyond what every Debian has: the makers of users that a Debian with systemd has.
const FURTHER: &str = "systemd-standalone-sysusers,systemd-standalone-tmpfiles";

/// The tarball; made from where this machine has its packages.
pub fn base(work: &Path) -> Result<PathBuf> {
    let (mirror, suite) = mirror()?;
    let base = work.join(format!("{suite}.tar"));
    if base.exists() {
        return Ok(base);
    }
    println!("making a {suite} in {}", work.display());
    let folder = work.join("base");
    contents::empty(&folder)?;
    ends_well(
        bounded(1800, "debootstrap")
            .args(["--variant=minbase", &format!("--include={FURTHER}"), &suite])
            .arg(&folder)
            .arg(mirror)
            .stdout(Stdio::null()),
    )?;
    let half = work.join("half.tar");
    ends_well(
        program("tar")
            .args([
                "--numeric-owner",
                "--xattrs",
                "--exclude=./var/cache/apt/archives/*.deb",
            ])
            .args(["--exclude=./var/lib/apt/lists/*", "-cf"])
            .arg(&half)
            .arg("-C")
            .arg(&folder)
            .arg("."),
    )?;
    fs::rename(half, &base)?;
    fs::remove_dir_all(folder)?;
    Ok(base)
}

/// Of the first line that apt has for this machine's own release.
fn mirror() -> Result<(String, String)> {
    let about = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let suite = about
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release has no VERSION_CODENAME: is this Debian?")?;
    let lines = text(program("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))?;
    let mirror = lines.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.get(1..) == Some(&[suite, "main"])).then(|| words[0].to_owned())
    });
    let mirror = mirror.with_context(|| format!("apt has no line for {suite} main"))?;
    Ok((mirror, suite.to_owned()))
}

/// One that is tried in.
pub struct Tree {
    pub path: PathBuf,
}

impl Tree {
    pub fn unpack(base: &Path, path: PathBuf) -> Result<Self> {
        contents::empty(&path)?;
        ends_well(
            program("tar")
                .args(["--numeric-owner", "--xattrs", "-xpf"])
                .arg(base)
                .arg("-C")
                .arg(&path),
        )?;
        Ok(Self { path })
    }

    /// Runs a program in it, and returns all that it said; fails where it does, with that.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let chroot = ["chroot", "."];
        self.beside(&[&chroot[..], words].concat())
    }

    /// The same with a program of this machine, in the folder. Mounts and processes of its own end with
    /// it, whatever happens; there is no network, and nobody to answer a question.
    pub fn beside(&self, words: &[&str]) -> Result<String> {
        let out = bounded(300, "unshare")
            .current_dir(&self.path)
            .args(["--mount", "--pid", "--net", "--fork", "--kill-child"])
            .arg(format!("--mount-proc={}", self.path.join("proc").display()))
            .args(["--", "sh", "-c", "exec \"$@\" 2>&1", "sh"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .context("cannot run unshare")?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            let why = String::from_utf8_lossy(&out.stderr);
            bail!("{} ended with {}: {said}{why}", words.join(" "), out.status);
        }
        Ok(said)
    }

    pub fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.at(path)).with_context(|| path.to_owned())
    }

    pub fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let at = self.at(path);
        fs::create_dir_all(at.parent().context("a file in a folder")?)?;
        fs::write(&at, text).with_context(|| path.to_owned())?;
        contents::set_mode(&at, mode)
    }

    /// With the mode it has.
    pub fn write_again(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.at(path), text).with_context(|| path.to_owned())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }
}
