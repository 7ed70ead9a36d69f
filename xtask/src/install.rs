//! What the tests need of the machine besides Rust, and how it gets there: by Debian's packages,
//! where this is Debian and root. Nothing is started by that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::programs::{ends_well, program};

/// A program that a test runs, and the package that brings it.
const NEEDED: [(&str, &str); 9] = [
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("who", "coreutils"),
    ("last", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("jq", "jq"),
    ("cc", "gcc"),
];

/// Whether packages may start their services: this program says no (invoke-rc.d asks it).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, if this is Debian and root; returns whether all is there.
pub fn needed() -> Result<bool> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(true);
    }
    if is_root() && has("apt-get") {
        println!("installing {}", missing.join(" "));
        let policy = deny_services()?;
        let installed = install(&missing);
        if policy {
            fs::remove_file(POLICY).context(POLICY)?;
        }
        installed?;
    } else {
        println!(
            "some tests will be left out; for all of them, as root: apt-get install {}",
            missing.join(" ")
        );
    }
    Ok(self::missing().is_empty())
}

/// The packages that bring what is not there.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

fn has(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

/// Root, that is who owns what this process makes in /proc.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |words: &[&str]| {
        let mut apt = program("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"])
            .args(words)
            .stdin(std::process::Stdio::null());
        ends_well(&mut apt)
    };
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages].concat())
}

/// Returns whether the policy was made here, and is to be taken away again.
fn deny_services() -> Result<bool> {
    if Path::new(POLICY).exists() {
        return Ok(false);
    }
    fs::write(POLICY, "#!/bin/sh\nexit 101\n").context(POLICY)?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).context(POLICY)?;
    Ok(true)
}
