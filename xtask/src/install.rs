//! What the tests need of the machine besides Rust, and how it gets there: by Debian's packages,
//! where this is Debian and root. Nothing is started by that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::programs::{ends_well, program};

/// A program that a test runs, and the package that brings it.
const NEEDED: [(&str, &str); 19] = [
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("who", "coreutils"),
    ("last", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("jq", "jq"),
    ("cc", "gcc"),
    ("faketime", "faketime"),
    ("zstdcat", "zstd"),
    ("strace", "strace"),
    // What the units and the files beside them are checked with; nothing of it is started.
    ("systemd-analyze", "systemd"),
    ("systemd-sysusers", "systemd"),
    ("systemd-tmpfiles", "systemd"),
    ("logrotate", "logrotate"),
    // What reads the metrics; no Prometheus is started.
    ("promtool", "prometheus"),
    // With a font to draw letters with: what it depends on brings one.
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
];

/// The same for a Slurm of one node. The database is where it keeps its accounts.
const SLURM: [(&str, &str); 8] = [
    ("munged", "munge"),
    ("mariadbd", "mariadb-server"),
    ("mariadb-install-db", "mariadb-server"),
    ("slurmdbd", "slurmdbd"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("squeue", "slurm-client"),
    ("setpriv", "util-linux"),
];

/// Whether packages may start their services: this program says no (invoke-rc.d and
/// deb-systemd-invoke ask it, and nothing else keeps the latter from starting them).
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// By this line a policy is known to be ours, which Ctrl-C may have left there.
const MARK: &str = "# made by cargo xtask test, and of no effect when that has ended";

/// Installs what is missing, if this is Debian and root; returns whether all is there. That some is
/// not is a failure only where all tests are wanted.
pub fn needed() -> Result<bool> {
    are_there(&[&NEEDED[..], &SLURM].concat())
}

/// The same for a Slurm alone.
pub fn slurm() -> Result<bool> {
    are_there(&SLURM)
}

/// Whether a Slurm can be started without anything being installed.
pub fn slurm_is_there() -> bool {
    missing(&SLURM).is_empty()
}

fn are_there(needed: &[(&str, &'static str)]) -> Result<bool> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(true);
    }
    get(&missing);
    let missing = self::missing(needed);
    if !missing.is_empty() {
        let lack = format!(
            "for all tests, as root: apt-get install {}",
            missing.join(" ")
        );
        if all_are_wanted() {
            bail!("AFMETRICS_TEST_ALL=1, and some would be left out; {lack}");
        }
        println!("some tests will be left out; {lack}");
    }
    Ok(missing.is_empty())
}

/// Installs what is missing, where it may; what then still is, is a failure.
pub fn or_fail(needed: &[(&str, &'static str)]) -> Result<()> {
    get(&missing(needed));
    let missing = missing(needed);
    if !missing.is_empty() {
        bail!("first, as root: apt-get install {}", missing.join(" "));
    }
    Ok(())
}

/// Installs packages, if this is Debian and root; otherwise, and where it fails, they are missing still.
fn get(packages: &[&str]) {
    if packages.is_empty() || !is_root() || !has("apt-get") {
        return;
    }
    println!("installing {}", packages.join(" "));
    if let Err(why) = without_services(Path::new(POLICY), || install(packages)) {
        println!("{why:#}");
    }
}

/// Whether a test that cannot be run is a failure.
#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is said in the environment"
)]
pub fn all_are_wanted() -> bool {
    std::env::var("AFMETRICS_TEST_ALL").is_ok_and(|value| value == "1")
}

/// The packages that bring what is not there.
fn missing(needed: &[(&str, &'static str)]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needed
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

/// Does something while no package may start a service. Somebody else's policy is left as it is.
fn without_services(policy: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let is_foreign = match fs::read_to_string(policy) {
        Ok(text) => !text.contains(MARK),
        Err(_) => policy.exists(),
    };
    if is_foreign {
        return install();
    }
    let says_no = format!(
        "#!/bin/sh\n{MARK}\n[ -d /proc/{} ] || exit 0\nexit 101\n",
        std::process::id()
    );
    fs::write(policy, says_no).with_context(|| policy.display().to_string())?;
    fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
        .with_context(|| policy.display().to_string())?;
    let installed = install();
    fs::remove_file(policy).with_context(|| policy.display().to_string())?;
    installed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(policy: &Path) -> Option<i32> {
        program("/bin/sh").arg(policy).status().unwrap().code()
    }

    #[test]
    fn no_service_is_started_while_packages_are_installed() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        // One that was left by Ctrl-C, of a process that is no more, and none.
        let left = format!("#!/bin/sh\n{MARK}\n[ -d /proc/4194305 ] || exit 0\nexit 101\n");
        for before in [Some(left), None] {
            if let Some(left) = before {
                fs::write(&policy, left).unwrap();
                assert_eq!(answer(&policy), Some(0));
            }
            let mut during = None;
            let done = without_services(&policy, || {
                during = answer(&policy);
                bail!("offline")
            });
            assert!(done.is_err());
            assert_eq!(during, Some(101));
            assert!(!policy.exists());
        }
        fs::write(&policy, "#!/bin/sh\nexit 102\n").unwrap();
        without_services(&policy, || Ok(())).unwrap();
        assert_eq!(answer(&policy), Some(102), "somebody else's");
    }
}
