//! The folder of a Slurm of its own: what the daemons are told, and where each of them writes.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::unistd::User;
use tempfile::TempDir;

/// As Slurm calls it.
pub const CLUSTER: &str = "canary";

pub struct Folder {
    folder: TempDir,
    /// Of slurmctld, slurmd and slurmdbd.
    ports: [u16; 3],
    here: Here,
}

impl Folder {
    /// In /tmp, as users of several daemons have to get in.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("afmetrics-slurm-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .context("cannot make a folder in /tmp")?;
        let this = Self {
            folder,
            ports: free_ports()?,
            here: Here::find()?,
        };
        this.fill()?;
        Ok(this)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What clients are told with `SLURM_CONF`.
    pub fn slurm_conf(&self) -> PathBuf {
        self.path().join("slurm.conf")
    }

    pub fn munge_socket(&self) -> PathBuf {
        self.path().join("munge/socket")
    }

    /// MariaDB listens nowhere else.
    pub fn mysql_socket(&self) -> PathBuf {
        self.path().join("mysql/socket")
    }

    fn fill(&self) -> Result<()> {
        for (name, owner, mode) in [
            ("munge", "munge", 0o755),
            ("mysql", "mysql", 0o755),
            ("state", "slurm", 0o700),
            ("spool", "root", 0o755),
            // slurmctld's and slurmdbd's logs are written by slurm, slurmd's by root.
            ("log", "slurm", 0o755),
            ("run", "root", 0o755),
            ("stopped", "root", 0o755),
        ] {
            let path = self.path().join(name);
            fs::create_dir(&path).with_context(|| path.display().to_string())?;
            is_of(&path, owner, mode)?;
        }
        let mut key = [0; 128];
        fs::File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut key))
            .context("/dev/urandom")?;
        self.file("munge/key", key, "munge", 0o400)?;
        self.file("slurm.conf", self.slurm_conf_text(), "root", 0o644)?;
        // slurmdbd takes it from nobody else than the user it becomes.
        self.file("slurmdbd.conf", self.slurmdbd_conf_text(), "slurm", 0o600)?;
        self.file("cgroup.conf", cgroup_conf_text()?, "root", 0o644)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>, owner: &str, mode: u32) -> Result<()> {
        let path = self.path().join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        is_of(&path, owner, mode)
    }

    /// One node that claims more cores than there may be, as the jobs of the tests only sleep. What Slurm
    /// does now and then, this one does every second or two.
    fn slurm_conf_text(&self) -> String {
        let Here {
            host,
            address,
            listens,
        } = &self.here;
        let folder = self.path().display();
        let [slurmctld, slurmd, slurmdbd] = self.ports;
        format!(
            "ClusterName={CLUSTER}
SlurmctldHost={host}({address})
SlurmctldPort={slurmctld}
SlurmdPort={slurmd}
{listens}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,sched_min_interval=100000,batch_sched_delay=0,bf_interval=2
KillWait=2
ReturnToService=2
DefMemPerCPU=64
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/spool/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge/socket
NodeName={host} NodeAddr={address} CPUs=64 RealMemory=8192 State=UNKNOWN
PartitionName=batch Nodes={host} Default=YES MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=long Nodes={host} MaxTime=INFINITE DefaultTime=7-00:00:00 State=UP
PartitionName=spare Nodes={host} State=UP
"
        )
    }

    fn slurmdbd_conf_text(&self) -> String {
        let Here {
            address, listens, ..
        } = &self.here;
        let folder = self.path().display();
        let port = self.ports[2];
        format!(
            "AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr={address}
DbdPort={port}
{listens}
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
PidFile={folder}/state/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
"
        )
    }
}

/// slurmd loads the plugin for cgroups even if nothing uses it. That of version 1 leaves the machine's alone
/// until it is used; 23.11 and later can do without any.
fn cgroup_conf_text() -> Result<&'static str> {
    let output = crate::programs::program("slurmctld")
        .arg("-V")
        .output()
        .context("cannot run slurmctld")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let year = said
        .split_ascii_whitespace()
        .next_back()
        .and_then(|version| version.split('.').next())
        .and_then(|year| year.parse::<u32>().ok());
    Ok(match year {
        Some(..23) => "CgroupPlugin=cgroup/v1\n",
        _ => "CgroupPlugin=disabled\n",
    })
}

/// Where the daemons are, and who may reach them.
struct Here {
    /// This host's name without its domain.
    host: String,
    address: IpAddr,
    /// What Slurm listens on is the address of the host's name, or all addresses.
    listens: &'static str,
}

impl Here {
    /// Where the host's name is no loopback address, this thread and what it starts get another name, if that may be.
    /// Otherwise Slurm listens on all addresses: who would talk to it needs the key of our munge in any case.
    fn find() -> Result<Self> {
        let mut name = hostname()?;
        if !is_loopback(&name)
            && nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS).is_ok()
            && nix::unistd::sethostname("localhost").is_ok()
        {
            name = hostname()?;
        }
        Ok(Self {
            host: name.split('.').next().unwrap_or_default().to_owned(),
            address: address(&name).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listens: match is_loopback(&name) {
                true => "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
                false => "",
            },
        })
    }
}

fn hostname() -> Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned())
}

fn address(name: &str) -> Option<IpAddr> {
    let mut addresses = (name, 0).to_socket_addrs().ok()?;
    Some(addresses.find(SocketAddr::is_ipv4)?.ip())
}

fn is_loopback(name: &str) -> bool {
    address(name).is_some_and(|address| address.is_loopback())
}

/// Ports that nobody has, all at once. Somebody may take one before the daemon does: then it does not start.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn is_of(path: &Path, owner: &str, mode: u32) -> Result<()> {
    let user = User::from_name(owner)?.with_context(|| format!("there is no user {owner} here"))?;
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .with_context(|| path.display().to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| path.display().to_string())
}
