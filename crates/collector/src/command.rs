//! Foreign programs, run so that nothing they do can hurt the round or the node: in a process group
//! of their own, in the C locale, with nothing on standard input, under a deadline, without our
//! secrets, their standard error read but never kept whole. Whatever ends the reading ends the
//! whole group.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::collectors::CollectError;
use crate::config::SECRET_VARIABLES;
use crate::quote::Quoting;

/// After the program itself has ended, how long something it left behind may keep its output open.
const LINGER: Duration = Duration::from_secs(1);
/// Between asking a program to end and ending it.
const GRACE: Duration = Duration::from_secs(1);
/// What is kept of standard error.
const STDERR_KEPT: usize = 4 << 10;

/// A program about to be run.
pub struct Command<'a> {
    program: &'static str,
    command: tokio::process::Command,
    silence: Duration,
    quoting: &'a Quoting,
}

impl<'a> Command<'a> {
    /// `name`: how the log calls it.
    pub(crate) fn new(
        name: &'static str,
        program: impl AsRef<OsStr>,
        silence: Duration,
        quoting: &'a Quoting,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where programs are started"
        )]
        let mut command = tokio::process::Command::new(program);
        command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for secret in SECRET_VARIABLES {
            command.env_remove(secret);
        }
        Self {
            program: name,
            command,
            silence,
            quoting,
        }
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts the program.
    pub fn spawn(mut self) -> Result<Running<'a>, CollectError> {
        let program = self.program;
        let mut child = self.command.spawn().map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => {
                CollectError::NotHere(format!("{program} is not on this node, or not on PATH"))
            }
            _ => CollectError::Failed(format!("cannot start {program}: {why}")),
        })?;
        let group = Group(child.id().map(|id| Pid::from_raw(id.cast_signed())));
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(CollectError::Failed(format!("{program} has no output")));
        };
        Ok(Running {
            program,
            stderr: tokio::spawn(head_of(stderr)),
            stdout,
            child,
            group,
            status: None,
            heard: Instant::now(),
            silence: self.silence,
            quoting: self.quoting,
        })
    }

    /// Runs the program and returns what it wrote to standard output, if it ended well and wrote
    /// no more than `limit` bytes.
    pub async fn output(self, limit: usize) -> Result<Vec<u8>, CollectError> {
        let mut running = self.spawn()?;
        let mut output = Vec::new();
        let mut chunk = [0; 8 << 10];
        loop {
            match running.read(&mut chunk).await? {
                0 => break,
                n => output.extend_from_slice(&chunk[..n]),
            }
            if output.len() > limit {
                return Err(CollectError::Malformed(format!(
                    "{} wrote more than {limit} bytes",
                    running.program
                )));
            }
        }
        running.finish().await?;
        Ok(output)
    }
}

/// A running program. Dropping it ends its process group.
pub struct Running<'a> {
    program: &'static str,
    child: Child,
    stdout: ChildStdout,
    stderr: JoinHandle<Vec<u8>>,
    group: Group,
    status: Option<ExitStatus>,
    /// When the last byte came, or the program ended.
    heard: Instant,
    silence: Duration,
    quoting: &'a Quoting,
}

impl Running<'_> {
    /// Reads some of standard output; 0 at its end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CollectError> {
        loop {
            let patience = match self.status {
                None => self.silence,
                Some(_) => LINGER,
            };
            tokio::select! {
                biased;
                read = self.stdout.read(buffer) => {
                    self.heard = Instant::now();
                    return read.map_err(|why| self.failed(&format!("cannot be read: {why}")));
                }
                status = self.child.wait(), if self.status.is_none() => {
                    self.status = Some(status.map_err(|why| self.failed(&format!("cannot be waited for: {why}")))?);
                    self.heard = Instant::now();
                }
                () = sleep_until(self.heard + patience) => match self.status {
                    None => return Err(self.end_silent().await),
                    // The program is gone; what it left behind holds its output open and says nothing.
                    Some(_) => return Ok(0),
                },
            }
        }
    }

    /// Waits for the program's end, ends what it left behind, and looks at its exit status.
    pub async fn finish(mut self) -> Result<(), CollectError> {
        let status = match self.status {
            Some(status) => status,
            None => match timeout(self.silence, self.child.wait()).await {
                Ok(status) => {
                    status.map_err(|why| self.failed(&format!("cannot be waited for: {why}")))?
                }
                Err(_) => return Err(self.end_silent().await),
            },
        };
        self.group.end();
        if status.success() {
            return Ok(());
        }
        let said = timeout(LINGER, &mut self.stderr)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default();
        let said = self.quoting.lines(&String::from_utf8_lossy(&said));
        Err(self.failed(&match said.is_empty() {
            true => format!("ended with {}", described(status)),
            false => format!("ended with {}: {said}", described(status)),
        }))
    }

    fn failed(&self, what: &str) -> CollectError {
        CollectError::Failed(format!("{} {what}", self.program))
    }

    async fn end_silent(&mut self) -> CollectError {
        self.group.signal(Signal::SIGTERM);
        let _ = timeout(GRACE, self.child.wait()).await;
        self.group.end();
        CollectError::TimedOut(format!(
            "{} gave no output for {} s and was ended",
            self.program,
            self.silence.as_secs()
        ))
    }
}

fn described(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Reads to the end and keeps the beginning: a program must not block on a full pipe, and cannot
/// fill our memory.
async fn head_of(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4 << 10];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        let room = STDERR_KEPT - kept.len();
        kept.extend_from_slice(&chunk[..n.min(room)]);
    }
    kept
}

/// A process group that ends, all of it, at the latest when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An error means that nobody is left in it.
            let _ = killpg(group, signal);
        }
    }

    fn end(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
