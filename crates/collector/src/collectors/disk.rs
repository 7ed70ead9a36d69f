//! How full the file systems are that users write to.
//!
//! The numbers are statvfs's, by the formulas of Python's `shutil.disk_usage`, which `df` has, too:
//! used = blocks - free blocks, free = what an ordinary user may still write. The device is the mount
//! table's:
//!
//! ```text
//! /dev/vda / ext4 rw,relatime,discard 0 0
//! none /mnt/with\040space tmpfs rw,relatime,size=10240k 0 0
//! ```
//!
//! What surprised us: sizes count in f_frsize, not f_bsize. Mounts stack: the last line of a mount
//! point is the one that is seen. Some file systems have size 0. statvfs on a dead NFS mount hangs in
//! the kernel, so each path has a thread of its own, which the round can abandon. A volume group or a
//! ZFS pool is often named after its host.

use std::io;
use std::path::Path;

use afmetrics_document::Document;
use async_trait::async_trait;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use tracing::info;

use super::{Collector, Spec};
use crate::config::Asked;
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::recording::Usage;

pub const SPEC: Spec = Spec {
    name: "disk",
    summary: "size and use of the file systems of /home, /data, /scratch, or each --mount (statvfs)",
    kinds: &["DISK"],
    flag: "--host",
    table: "host",
    debug_file: "host.json",
    after: None,
    build: |config| {
        config.host.then(|| {
            Box::new(Disk {
                mounts: config.mounts.clone(),
                ask: usage,
            }) as _
        })
    },
};

struct Disk {
    mounts: Asked<Vec<String>>,
    /// How a path is asked about: statvfs; in a test something that hangs.
    ask: fn(&Path) -> Result<Usage, Errno>,
}

#[async_trait(?Send)]
impl Collector for Disk {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let table = mount_table(cx);
        let asked: Vec<_> = self
            .mounts
            .value
            .iter()
            .map(|mount| (mount, cx.space(mount, self.ask)))
            .collect();
        for (mount, answer) in asked {
            let usage = match answer.await {
                Ok(Ok(usage)) => usage,
                Ok(Err(Errno::ENOENT | Errno::ENOTDIR)) => {
                    let error = CollectError::NotHere(format!("{mount} does not exist"));
                    match self.mounts.by_name {
                        true => out.close(Err(error))?,
                        false => out.excuse(error),
                    }
                    continue;
                }
                Ok(Err(why)) => {
                    out.close(Err(CollectError::Failed(format!(
                        "{mount}: {}",
                        why.desc()
                    ))))?;
                    continue;
                }
                Err(why) if why.kind() == io::ErrorKind::TimedOut => {
                    out.close(Err(CollectError::TimedOut(format!(
                        "{mount} did not answer for {} s: is its file server away?",
                        cx.limits.silence.as_secs()
                    ))))?;
                    continue;
                }
                Err(why) => {
                    out.close(Err(CollectError::Failed(format!("{mount}: {why}"))))?;
                    continue;
                }
            };
            out.push(&Document::Disk {
                login_node: cx.login_node.clone(),
                mount: mount.clone(),
                total: usage.total,
                used: usage.used,
                free: usage.free,
                utilization: utilization(usage),
                device: device(&table, mount, &cx.node_names)
                    .map(|device| cx.names.device(&device.name, device.can_name_a_host)),
            })?;
            out.close(Ok(()))?;
        }
        Ok(())
    }
}

fn usage(path: &Path) -> Result<Usage, Errno> {
    let stat = statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Ok(Usage {
        total: bytes(stat.blocks()),
        used: bytes(stat.blocks().saturating_sub(stat.blocks_free())),
        free: bytes(stat.blocks_available()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "as Python divides")]
fn utilization(usage: Usage) -> f64 {
    match usage.total {
        0 => 0.0,
        total => usage.used as f64 / total as f64,
    }
}

/// The mount table, or nothing: then no document has a device.
fn mount_table(cx: &Context) -> String {
    cx.read_proc("mounts").unwrap_or_else(|why| {
        info!("disk: {why}; documents go without device");
        String::new()
    })
}

/// What is mounted at a path.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    /// Without `/dev/`.
    name: String,
    /// A server, or the node.
    can_name_a_host: bool,
}

/// What is mounted at this very path; `None` if it is no mount point. `names`: the node's.
fn device(table: &str, mount: &str, names: &[String]) -> Option<Device> {
    let mount = match mount.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let (source, fstype) = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (source, target, fstype) = (words.next()?, words.next()?, words.next()?);
            (unescaped(target) == mount).then_some((source, fstype))
        })
        .next_back()?;
    let source = unescaped(source);
    Some(Device {
        can_name_a_host: is_network_mount(&source, fstype)
            || names_the_node(&source, fstype, names),
        name: source.strip_prefix("/dev/").unwrap_or(&source).to_owned(),
    })
}

/// Whether the source can name a server: all but block devices and what has no device at all.
fn is_network_mount(source: &str, fstype: &str) -> bool {
    const LOCAL: [&str; 14] = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "tmpfs", "ramfs", "overlay",
        "squashfs", "iso9660", "f2fs", "jfs",
    ];
    !LOCAL.contains(&fstype) || source.contains([':', '@']) || source.starts_with("//")
}

/// Whether the source has one of the node's names in it, or is of a kind that sites name after it:
/// a volume of LVM, a dataset of ZFS.
fn names_the_node(source: &str, fstype: &str, names: &[String]) -> bool {
    let folded = source.to_ascii_lowercase();
    fstype == "zfs"
        || source.starts_with("/dev/mapper/")
        || names.iter().any(|name| folded.contains(name))
}

/// `\040` is a blank: the kernel writes blank, tab, line end and backslash in octal.
fn unescaped(word: &str) -> String {
    let mut text = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(octal) => {
                text.push(octal);
                rest = &after[3..];
            }
            None => {
                text.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::path::PathBuf;
    use std::thread;
    use std::time::{Duration, SystemTime};

    use afmetrics_document::Publisher;
    use afmetrics_document::names::{HostRule, UserRule};

    use super::*;
    use crate::aside::Hanging;
    use crate::context::Limits;
    use crate::documents::Stored;
    use crate::names::Names;
    use crate::quote::Quoting;
    use crate::recording::World;

    const TABLE: &str = r"/dev/vda / ext4 rw 0 0
server1.example.org:/export /home nfs4 rw 0 0
/dev/vdb /data ext4 rw 0 0
none /mnt/with\040space tmpfs rw 0 0
tmpfs /data tmpfs rw 0 0
odd
/dev/mapper/vg-scratch /scratch xfs rw 0 0
tank/data /tank zfs rw 0 0
/dev/md/LOGIN01:0 /raid xfs rw 0 0
/dev/disk-of-Login01 /local xfs rw 0 0
";

    #[test]
    fn the_device_is_that_of_the_mount_that_is_seen() {
        let names = ["login01".to_owned()];
        let device = |mount, hide: bool| {
            device(TABLE, mount, &names)
                .filter(|device| !(hide && device.can_name_a_host))
                .map(|device| device.name)
        };
        assert_eq!(device("/", true).as_deref(), Some("vda"));
        assert_eq!(
            device("/data", false).as_deref(),
            Some("tmpfs"),
            "the last of a stack"
        );
        assert_eq!(device("/data/", false).as_deref(), Some("tmpfs"));
        assert_eq!(device("/mnt/with space", false).as_deref(), Some("none"));
        assert_eq!(
            device("/scratch", false).as_deref(),
            Some("mapper/vg-scratch")
        );
        assert_eq!(device("/scratch", true), None, "it may name the node");
        assert_eq!(device("/tank", false).as_deref(), Some("tank/data"));
        assert_eq!(device("/tank", true), None, "so may this");
        assert_eq!(device("/raid", false).as_deref(), Some("md/LOGIN01:0"));
        assert_eq!(device("/local", true), None, "it names the node");
        assert_eq!(
            device("/home/canary-1", false),
            None,
            "no mount point itself"
        );
        assert_eq!(
            device("/home", false).as_deref(),
            Some("server1.example.org:/export")
        );
        assert_eq!(device("/home", true), None, "it names the server");
        assert!(is_network_mount("10.0.0.1@tcp:/lustre", "lustre"));
        assert!(is_network_mount("gpfs_server1", "gpfs"));
    }

    /// What statvfs says of `/alive` and `/empty`; of `/dead` nothing, for long enough.
    fn ask(path: &Path) -> Result<Usage, Errno> {
        let usage = |total, used| Usage {
            total,
            used,
            free: total - used,
        };
        match path.to_str() {
            Some("/alive") => Ok(usage(4, 1)),
            Some("/empty") => Ok(usage(0, 0)),
            Some("/dead") => {
                thread::sleep(Duration::from_secs(60));
                Ok(usage(1, 1))
            }
            Some("/stale") => Err(Errno::ESTALE),
            _ => Err(Errno::ENOENT),
        }
    }

    async fn collect(mounts: &[&str], by_name: bool) -> Stored {
        let limits = Limits {
            silence: Duration::from_millis(300),
            total: Duration::from_secs(30),
        };
        let publisher = Publisher::new(UserRule::Clear, HostRule::Clear);
        let cx = Context {
            root: PathBuf::from("/"),
            limits,
            deadlines: Vec::new(),
            login_node: publisher.host("login01.canary.example"),
            names: Names::new(publisher, &[None], 1, limits.silence, &Hanging::default())
                .await
                .unwrap(),
            node_names: Vec::new(),
            quoting: Quoting::new(Vec::new(), false),
            facility: "UC-AF".to_owned(),
            state: None,
            passed: std::cell::RefCell::default(),
            recorded: std::cell::RefCell::default(),
            sent: std::cell::RefCell::default(),
            counted: std::cell::RefCell::default(),
            for_slurm: Vec::new(),
            has_no_batch_system: false,
            hanging: Hanging::default(),
            now: SystemTime::UNIX_EPOCH,
            world: World::Host,
        };
        let disk = Disk {
            mounts: Asked {
                value: mounts.iter().map(|mount| (*mount).to_owned()).collect(),
                by_name,
            },
            ask,
        };
        let mut out = Documents::new(
            "disk",
            "UC-AF",
            &[crate::documents::Audience::EVERYBODY],
            &std::env::temp_dir(),
        );
        disk.collect(&cx, &mut out).await.unwrap();
        out.finish().unwrap()
    }

    #[tokio::test]
    async fn a_dead_mount_costs_its_own_document_only() {
        let begun = std::time::Instant::now();
        let stored = collect(&["/dead", "/alive", "/stale", "/empty"], false).await;
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(stored.count(), 2);
        let lines = stored.read(0).unwrap().lines();
        for ((mount, utilization), line) in
            [("/alive", 0.25), ("/empty", 0.0)].into_iter().zip(lines)
        {
            let document: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_eq!(document["mount"], mount);
            assert_eq!(document["utilization"], utilization);
        }
        let problems = &stored.problems;
        assert!(matches!(problems[0].error, CollectError::TimedOut(_)));
        assert!(matches!(problems[1].error, CollectError::Failed(_)));
        assert!(problems.iter().all(|problem| !problem.excused));
    }

    #[tokio::test]
    async fn a_mount_that_is_not_there_is_a_failure_if_it_was_named() {
        for by_name in [true, false] {
            let stored = collect(&["/nowhere", "/alive"], by_name).await;
            assert_eq!(stored.count(), 1);
            assert_eq!(stored.problems.len(), 1);
            assert_eq!(stored.problems[0].excused, !by_name);
        }
    }

    #[test]
    fn a_file_system_of_size_zero_is_not_divided_by() {
        let zero = Usage {
            total: 0,
            used: 0,
            free: 0,
        };
        assert_eq!(utilization(zero).to_bits(), 0.0_f64.to_bits());
        let third = Usage {
            total: 3,
            used: 1,
            free: 1,
        };
        assert_eq!(utilization(third).to_bits(), (1.0_f64 / 3.0).to_bits());
    }

    proptest::proptest! {
        #[test]
        fn any_table_will_do(table: String, mount: String) {
            let _ = device(&table, &mount, &[]);
        }

        #[test]
        fn any_word_can_be_unescaped(word in r"[\\0-9a-z]{0,12}") {
            let _ = unescaped(&word);
        }
    }
}
