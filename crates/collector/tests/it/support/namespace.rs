//! A machine of the test's own: the files of this one, with other users, groups, /run and /var/log
//! laid over them, in a mount and process namespace. Nothing of the machine is changed, and whatever
//! was started inside ends with it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running namespace; it ends when this is dropped, or when this process does.
pub struct Namespace {
    dir: TempDir,
    /// `unshare`, the parent of the first process inside.
    parent: Child,
    /// The first process inside, as it is numbered outside.
    first: u32,
}

/// A user for [`Namespace::new`].
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub id: u32,
    pub gid: u32,
}

impl User {
    pub fn new(name: &str, id: u32, gid: u32) -> Self {
        Self {
            name: name.to_owned(),
            id,
            gid,
        }
    }
}

/// Runs as the first process inside. It ends at the end of its standard input, which this process
/// holds: so nothing outlives the test, however that ends.
const FIRST: &str = r#"
set -e
mount -t tmpfs none /run
mount -t tmpfs none /var/log
mkdir -p /run/sshd
for file in passwd group shadow nsswitch.conf; do
    mount --bind "$1/etc/$file" "/etc/$file"
done
. "$1/setup"
echo ready
exec cat >/dev/null
"#;

impl Namespace {
    /// `groups`: lines of /etc/group. `setup`: what else to do inside before anything is run, a
    /// shell script that has the folder of [`Namespace::path`] as `$1`.
    pub fn new(users: &[User], groups: &str, setup: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let mut passwd = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nsshd:x:110:65534::/run/sshd:/bin/false\n".to_owned();
        let mut shadow = "root:*:19000:0:99999:7:::\n".to_owned();
        for User { name, id, gid } in users {
            passwd.push_str(&format!("{name}:x:{id}:{gid}::/:/bin/sh\n"));
            shadow.push_str(&format!("{name}:*:19000:0:99999:7:::\n"));
        }
        fs::write(etc.join("passwd"), passwd).unwrap();
        fs::write(etc.join("shadow"), shadow).unwrap();
        let groups = format!("root:x:0:\ntty:x:5:\nutmp:x:43:\nnogroup:x:65534:\n{groups}");
        fs::write(etc.join("group"), groups).unwrap();
        let nss = "passwd: files\ngroup: files\nshadow: files\n";
        fs::write(etc.join("nsswitch.conf"), nss).unwrap();
        fs::write(dir.path().join("setup"), setup).unwrap();
        // Users of the namespace look into it.
        fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mut parent = plain("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", FIRST, "first"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(parent.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let first = child_of(parent.id());
        let this = Self { dir, parent, first };
        assert_eq!(line, "ready\n", "the namespace could not be set up");
        this
    }

    /// A path in the folder that the namespace shares with the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same command, to be run inside, with no other variables than those it sets.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = plain(&super::needs::path_of("nsenter").unwrap());
        inside
            .args(["--mount", "--pid", "--target"])
            .arg(self.first.to_string())
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// A program inside, with the `PATH` that cron gives.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = plain(program.as_ref().to_str().unwrap());
        command.env("PATH", "/usr/bin:/bin");
        self.inside(&command)
    }

    /// Runs a shell script inside, which has to end well.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let output = self
            .command("/bin/sh")
            .args(["-ec", script, "sh"])
            .arg(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The first process ends at the end of its input, and the kernel ends all others with it.
        if let Some(mut stdin) = self.parent.stdin.take() {
            let _ = stdin.flush();
        }
        if !within(Duration::from_secs(2), || {
            matches!(self.parent.try_wait(), Ok(Some(_)))
        }) {
            let _ = self.parent.kill();
            let _ = self.parent.wait();
        }
    }
}

fn child_of(parent: u32) -> u32 {
    fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .unwrap()
        .trim()
        .parse()
        .unwrap_or(0)
}

/// A program of the machine's, started by the test itself.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts what it needs around the program"
)]
pub fn plain(program: &str) -> Command {
    Command::new(program)
}

/// Waits until something is so; false if it is not within this time.
#[must_use]
pub fn within(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if begun.elapsed() > time {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
