//! Foreign programs, run so that nothing they do can hurt the round or the node: in a process group
//! of their own, in the C locale, with nothing on standard input, under a deadline, without our
//! secrets, their standard error read but never kept whole. Whatever ends the reading ends the
//! whole group.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout};
use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::aside::aside;
use crate::error::CollectError;
use crate::quote::Quoting;
use crate::recording::{Ended, Player, Tape, World};
use crate::secret;

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
    explain: Explain,
    world: World,
}

/// What a program's standard error means, if it is known: said in our words behind its own, which may be
/// withheld.
pub type Explain = fn(&str) -> Option<Meaning>;

/// What a program's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It failed for this reason.
    Failed(&'static str),
    /// There is nothing to be read, and never was.
    NotHere(&'static str),
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
            .process_group(0)
            // For one that starts only after we have given up waiting for it to start.
            .kill_on_drop(true);
        // Whoever has these may speak to systemd for us.
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        for variable in secret::VARIABLES {
            command.env_remove(variable);
        }
        Self {
            program: name,
            command,
            silence,
            quoting,
            explain: |_| None,
            world: World::Host,
        }
    }

    /// Where it is run: on the host, or in a recording.
    pub(crate) fn within(mut self, world: &World) -> Self {
        self.world = world.clone();
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its environment is these variables and the C locale, and nothing that it would inherit.
    pub fn only_env(mut self, variables: &[(&'static str, OsString)]) -> Self {
        self.command
            .env_clear()
            .env("LC_ALL", "C")
            .envs(variables.iter().map(|(name, value)| (name, value)));
        self
    }

    /// What is known of its standard error.
    pub fn explained(mut self, explain: Explain) -> Self {
        self.explain = explain;
        self
    }

    /// How long it may say nothing, where that is not what other programs may.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Starts the program, or what was recorded of it.
    pub async fn spawn(self) -> Result<Running<'a>, CollectError> {
        let Self {
            program,
            command,
            silence,
            quoting,
            explain,
            world,
        } = self;
        let args = || -> Vec<Vec<u8>> {
            let args = command.as_std().get_args();
            args.map(|arg| arg.as_bytes().to_vec()).collect()
        };
        let from = match &world {
            World::Host => {
                From::Process(Box::new(Process::start(program, command, silence).await?))
            }
            World::Recorded(recorder) => {
                let args = args();
                let started = Process::start(program, command, silence).await;
                // One that is not there is in no recording, either.
                let tape = match &started {
                    Err(CollectError::NotHere(_)) => None,
                    _ => recorder.tape(program, args),
                };
                match (started, &tape) {
                    (Ok(process), _) => From::Process(Box::new(process.taped(tape))),
                    (Err(why), tape) => {
                        if let Some(tape) = tape {
                            tape.ended(Ended::NotStarted(why.to_string()), b"");
                        }
                        return Err(why);
                    }
                }
            }
            World::Played(recording) => {
                let player = recording.run(program, &args())?;
                if let Ended::NotStarted(why) = &player.ended {
                    return Err(CollectError::Failed(why.clone()));
                }
                From::Recording(player)
            }
        };
        Ok(Running {
            program,
            from,
            silence,
            quoting,
            explain,
        })
    }

    /// Runs the program and returns what it wrote to standard output, if it ended well and wrote
    /// no more than `limit` bytes.
    pub async fn output(self, limit: usize) -> Result<Vec<u8>, CollectError> {
        let (output, ended) = self.answer(limit).await?;
        ended.map(|()| output)
    }

    /// The same of a program whose answer is one also if it ends with another status; how it ended is
    /// the second.
    pub async fn answer(
        self,
        limit: usize,
    ) -> Result<(Vec<u8>, Result<(), CollectError>), CollectError> {
        let mut running = self.spawn().await?;
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
        Ok((output, running.finish().await))
    }
}

/// A running program, or one that was recorded.
pub struct Running<'a> {
    program: &'static str,
    from: From,
    silence: Duration,
    quoting: &'a Quoting,
    explain: Explain,
}

enum From {
    Process(Box<Process>),
    Recording(Player),
}

impl Running<'_> {
    /// Reads some of standard output; 0 at its end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CollectError> {
        let read = match &mut self.from {
            From::Process(process) => process.read(buffer, self.silence).await,
            From::Recording(player) => match player.read(buffer).await {
                Ok(0) if player.ended == Ended::Silent => Ok(None),
                Ok(0) if player.ended == Ended::Unread => {
                    return Err(CollectError::TimedOut(format!(
                        "{} still went on when the recorded round gave it up",
                        self.program
                    )));
                }
                read => read.map(Some),
            },
        };
        match read {
            Ok(Some(read)) => Ok(read),
            Ok(None) => Err(self.end_silent().await),
            Err(why) => Err(CollectError::Failed(format!(
                "{} cannot be read: {why}",
                self.program
            ))),
        }
    }

    /// Waits for the program's end, ends what it left behind, and looks at its exit status.
    pub async fn finish(mut self) -> Result<(), CollectError> {
        let ended = match &mut self.from {
            From::Process(process) => process.finish(self.silence).await,
            From::Recording(player) => Ok(player.ended.clone()),
        };
        let status = match ended {
            Ok(Ended::Status(0)) => return Ok(()),
            Ok(Ended::Status(code)) => format!("exit status {code}"),
            Ok(Ended::Signal(signal)) => format!("signal {signal}"),
            Ok(Ended::Silent | Ended::NotStarted(_) | Ended::Unread) => {
                return Err(self.end_silent().await);
            }
            Err(why) => {
                return Err(CollectError::Failed(format!(
                    "{} cannot be waited for: {why}",
                    self.program
                )));
            }
        };
        let (said, meaning) = self.said().await;
        let text = format!("{} ended with {status}{said}", self.program);
        Err(match meaning {
            Some(Meaning::NotHere(_)) => CollectError::NotHere(text),
            Some(Meaning::Failed(_)) | None => CollectError::Failed(text),
        })
    }

    /// What it said on standard error, as it follows a sentence, and what that means.
    async fn said(&mut self) -> (String, Option<Meaning>) {
        let said = match &mut self.from {
            From::Process(process) => process.said().await,
            From::Recording(player) => std::mem::take(&mut player.err),
        };
        let said = String::from_utf8_lossy(&said);
        let meaning = (self.explain)(&said);
        let mut text = String::new();
        if !said.trim().is_empty() {
            text = format!(": {}", self.quoting.lines(&said));
        }
        if let Some(Meaning::Failed(why) | Meaning::NotHere(why)) = meaning {
            text.push_str("; ");
            text.push_str(why);
        }
        (text, meaning)
    }

    async fn end_silent(&mut self) -> CollectError {
        if let From::Process(process) = &mut self.from {
            process.end_silent().await;
        }
        let (said, _) = self.said().await;
        CollectError::TimedOut(format!(
            "{} gave no output for {} s and was ended{said}",
            self.program,
            self.silence.as_secs()
        ))
    }
}

/// A process. Dropping it ends its process group.
///
/// The program is reaped after its group was ended, never before: as long as it is a zombie, its
/// number is not given to a stranger's group. So `group` is dropped before `child`.
struct Process {
    group: Group,
    child: Child,
    ends: Ends,
    stdout: ChildStdout,
    stderr: JoinHandle<Vec<u8>>,
    has_ended: bool,
    /// When the last byte came, or the program ended.
    heard: Instant,
    /// How it ended, as far as it is known.
    ended: Ended,
    tape: Option<Tape>,
}

impl Process {
    /// Starts a program. That can hang, when a folder on `PATH` is on a dead mount: so it happens
    /// on a thread that can be abandoned.
    async fn start(
        program: &'static str,
        mut command: tokio::process::Command,
        silence: Duration,
    ) -> Result<Self, CollectError> {
        let failed = |what: String| CollectError::Failed(format!("{program} {what}"));
        let ends = Ends::watch().map_err(|why| failed(format!("cannot be watched: {why}")))?;
        let mut child = aside(silence, move || command.spawn())
            .await
            .flatten()
            .map_err(|why| match why.kind() {
                io::ErrorKind::TimedOut => CollectError::TimedOut(format!(
                    "{program} could not be started within {} s: is a folder on PATH on a dead mount?",
                    silence.as_secs()
                )),
                io::ErrorKind::NotFound => CollectError::NotHere(format!(
                    "{program} is not on this node, or not on PATH (cron's is short: set PATH in the crontab)"
                )),
                _ => CollectError::Failed(format!("cannot start {program}: {why}")),
            })?;
        let (Some(id), Some(stdout), Some(stderr)) =
            (child.id(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("has no output".to_owned()));
        };
        let id = Pid::from_raw(id.cast_signed());
        Ok(Self {
            group: Group(id),
            stderr: tokio::spawn(head_of(stderr)),
            stdout,
            child,
            ends,
            has_ended: false,
            heard: Instant::now(),
            ended: Ended::Unread,
            tape: None,
        })
    }

    fn taped(mut self, tape: Option<Tape>) -> Self {
        self.tape = tape;
        self
    }

    /// Reads some of standard output; `None`: it says nothing for too long.
    async fn read(&mut self, buffer: &mut [u8], silence: Duration) -> io::Result<Option<usize>> {
        loop {
            let patience = match self.has_ended {
                false => silence,
                true => LINGER,
            };
            tokio::select! {
                biased;
                read = self.stdout.read(buffer) => {
                    self.heard = Instant::now();
                    if let (Some(tape), Ok(read)) = (&self.tape, &read) {
                        tape.out(&buffer[..*read]);
                    }
                    return read.map(Some);
                }
                () = self.ends.of(self.group.0), if !self.has_ended => {
                    self.has_ended = true;
                    self.heard = Instant::now();
                }
                () = sleep_until(self.heard + patience) => return Ok(match self.has_ended {
                    false => None,
                    // The program is gone; what it left behind holds its output open and says nothing.
                    true => Some(0),
                }),
            }
        }
    }

    /// Waits for its end, and ends what it left behind.
    async fn finish(&mut self, silence: Duration) -> io::Result<Ended> {
        if timeout(silence, self.ends.of(self.group.0)).await.is_err() {
            return Ok(Ended::Silent);
        }
        self.group.signal(Signal::SIGKILL);
        let status = self.child.wait().await?;
        self.group.is_done();
        self.ended = how(status);
        // Nobody else may ask what it said.
        if self.tape.is_some() {
            let said = self.said().await;
            self.stderr = tokio::spawn(async { said });
        }
        Ok(self.ended.clone())
    }

    /// Waits for what it said on standard error.
    async fn said(&mut self) -> Vec<u8> {
        let said = timeout(LINGER, &mut self.stderr)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default();
        if let Some(tape) = &self.tape {
            tape.ended(self.ended.clone(), &said);
        }
        said
    }

    /// Asks it to end, and ends it.
    async fn end_silent(&mut self) {
        self.group.signal(Signal::SIGTERM);
        let _ = timeout(GRACE, self.ends.of(self.group.0)).await;
        self.group.signal(Signal::SIGKILL);
        self.ended = Ended::Silent;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Something that left the group may hold standard error open for ever.
        self.stderr.abort();
    }
}

fn how(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Status(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
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

/// The ends of child processes, seen without reaping them.
struct Ends(unix::Signal);

impl Ends {
    fn watch() -> io::Result<Self> {
        unix::signal(SignalKind::child()).map(Self)
    }

    async fn of(&mut self, child: Pid) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while matches!(
            waitid(Id::Pid(child), look),
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR)
        ) {
            self.0.recv().await;
        }
    }
}

/// A process group, by its leader, that ends, all of it, at the latest when this is dropped. The
/// leader must not have been reaped, or the number may be a stranger's.
struct Group(Pid);

impl Group {
    fn signal(&self, signal: Signal) {
        if self.0.as_raw() > 0 {
            // An error means that nobody is left in it.
            let _ = killpg(self.0, signal);
        }
    }

    /// The leader has been reaped: nothing is left to be ended.
    fn is_done(&mut self) {
        self.0 = Pid::from_raw(0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
