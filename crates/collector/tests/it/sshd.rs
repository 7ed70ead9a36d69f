//! Real users: a real sshd on loopback, real sessions, and the real `who` and `last` that tell of
//! them. All of it in a namespace, so that nothing of the machine is changed.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::namespace::{Namespace, User, plain, within};
use crate::support::needs;
use crate::support::program::Run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_afmetrics_collector");
const OF_32: &str = "canary-3-a-name-of-32-characters";
const GROUP: u32 = 61_000;
/// For what takes a blink on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An sshd with these users, and where it listens.
struct Sshd {
    namespace: Namespace,
    port: u16,
    /// Runs in the foreground inside; ends with the namespace.
    _server: Child,
}

/// A session of `ssh -tt`; it is logged out when this is dropped.
struct Session(Child);

impl Sshd {
    fn start(setup: &str) -> Self {
        let users: Vec<User> = ["canary-1", "canary-2.smith-jones", OF_32, "canary-4"]
            .iter()
            .zip(61_001..)
            .map(|(name, id)| User::new(name, id, GROUP))
            .collect();
        let namespace = Namespace::new(&users, &format!("canaries:x:{GROUP}:\n"), setup);
        for key in ["host", "user"] {
            let made = plain("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(namespace.path(key))
                .status()
                .unwrap();
            assert!(made.success());
        }
        fs::set_permissions(
            namespace.path("user.pub"),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        // Somebody else may take the port between our choice and sshd's.
        for _ in 0..5 {
            let port = free_port();
            let mut server = serve(&namespace, port);
            let is_up = within(PATIENCE, || {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
                    || matches!(server.try_wait(), Ok(Some(_)))
            });
            if is_up && matches!(server.try_wait(), Ok(None)) {
                return Self {
                    namespace,
                    port,
                    _server: server,
                };
            }
        }
        panic!("sshd did not start");
    }

    /// Logs a user in; returns when the shell of the session answers.
    fn log_in(&self, user: &str) -> Session {
        let before = self.sessions();
        let session = self
            .namespace
            .command("/usr/bin/ssh")
            .args(["-tt", "-F", "none", "-p", &self.port.to_string(), "-i"])
            .arg(self.namespace.path("user"))
            .args(["-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
            .arg(format!("{user}@127.0.0.1"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let session = Session(session);
        assert!(
            within(PATIENCE, || self.sessions() > before),
            "{user} did not get a session"
        );
        session
    }

    /// How many sessions have begun, by sshd's own log.
    fn sessions(&self) -> usize {
        let log = fs::read_to_string(self.namespace.path("sshd.log")).unwrap_or_default();
        log.matches("Starting session: shell on pts/").count()
    }

    fn everybody_is_gone(&self) -> bool {
        within(PATIENCE, || self.namespace.sh("who").is_empty())
    }

    /// The real binary, as cron would run it: nothing is faked, nothing is redirected.
    fn collect(&self, args: &[&str]) -> Run {
        let output = self
            .namespace
            .command(PROGRAM)
            .args(["--print", "--login-node", "login01.canary.example"])
            .args(args)
            .output()
            .unwrap();
        Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut stdin = self.0.stdin.take().unwrap();
        // If that is in vain, the session ends with the namespace.
        let _ = stdin.write_all(b"exit\n");
        let _ = within(PATIENCE, || matches!(self.0.try_wait(), Ok(Some(_))));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn serve(namespace: &Namespace, port: u16) -> Child {
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nLogLevel VERBOSE\nPrintMotd no\n",
        namespace.path("host").display(),
        namespace.path("user.pub").display(),
    );
    fs::write(namespace.path("sshd_config"), config).unwrap();
    namespace
        .command("/usr/sbin/sshd")
        .args(["-D", "-f"])
        .arg(namespace.path("sshd_config"))
        .arg("-E")
        .arg(namespace.path("sshd.log"))
        .spawn()
        .unwrap()
}

#[track_caller]
fn users(run: &Run) -> Vec<String> {
    let documents = run.documents();
    assert_eq!(documents.len(), 1, "{}", run.stderr);
    let document = &documents[0];
    assert_eq!(document["kind"], "ssh");
    assert_eq!(document["login_node"], "login01.canary.example");
    let users: Vec<String> = document["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(document["ssh_user_count"], Value::from(users.len()));
    users
}

/// sshd writes into these two only if they are there.
const RECORDS: &str = "touch /run/utmp /var/log/wtmp";

#[test]
fn who_is_logged_in_is_told_exactly() {
    if !needs::root_and(&["sshd", "ssh", "ssh-keygen", "who", "last"]) {
        return;
    }
    let sshd = Sshd::start(RECORDS);
    assert_eq!(users(&sshd.collect(&["-s"]).exits(0)), [""; 0]);

    let sessions: Vec<Session> = [
        "canary-1",
        "canary-1",
        "canary-2.smith-jones",
        OF_32,
        "canary-1",
    ]
    .iter()
    .map(|user| sshd.log_in(user))
    .collect();
    let lately = sshd.log_in("canary-4");
    assert!(within(PATIENCE, || sshd
        .namespace
        .sh("who")
        .lines()
        .count()
        == 6));
    drop(lately);
    assert!(within(PATIENCE, || sshd
        .namespace
        .sh("who")
        .lines()
        .count()
        == 5));

    let present = ["canary-1", "canary-2.smith-jones", OF_32];
    assert_eq!(users(&sshd.collect(&["-s"]).exits(0)), present);
    let with_history = users(&sshd.collect(&["-S"]).exits(0));
    assert_eq!(
        with_history,
        [&present[..], &["canary-4"]].concat(),
        "present users once, although `last` knows them, too, and cuts the long one"
    );
    let hashed = users(&sshd.collect(&["-S", "-o"]).exits(0));
    assert_eq!(hashed.len(), 4);
    assert!(hashed.iter().all(|user| user.len() == 8), "{hashed:?}");
    let members = users(&sshd.collect(&["-s", "-g", "canaries"]).exits(0));
    assert_eq!(members, present);
    assert_eq!(
        users(&sshd.collect(&["-s", "-g", "tty"]).exits(0)),
        [""; 0],
        "none of them is in this group"
    );

    drop(sessions);
    assert!(sshd.everybody_is_gone());
    assert_eq!(users(&sshd.collect(&["-s"]).exits(0)), [""; 0]);
    assert_eq!(
        users(&sshd.collect(&["-S"]).exits(0)).len(),
        4,
        "all of them were here within the last five minutes"
    );
}

#[test]
fn a_session_that_nothing_records_is_not_nobody() {
    if !needs::root_and(&["sshd", "ssh", "ssh-keygen", "who", "last"]) {
        return;
    }
    let sshd = Sshd::start("touch /var/log/wtmp");
    let _session = sshd.log_in("canary-1");
    let run = sshd
        .collect(&["-s"])
        .exits(1)
        .says("ssh: ")
        .says("no /run/utmp, no systemd-logind");
    assert!(run.documents().is_empty());
}

#[test]
fn without_wtmp_the_history_fails_and_is_not_silently_left_out() {
    if !needs::root_and(&["sshd", "ssh", "ssh-keygen", "who", "last"]) {
        return;
    }
    let sshd = Sshd::start("touch /run/utmp");
    let _session = sshd.log_in("canary-1");
    assert!(within(PATIENCE, || sshd
        .namespace
        .sh("who")
        .contains("canary-1")));
    assert_eq!(users(&sshd.collect(&["-s"]).exits(0)), ["canary-1"]);
    let run = sshd.collect(&["-S"]).exits(1).says("ssh: last ended with");
    assert!(run.documents().is_empty());
}
