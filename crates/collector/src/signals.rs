//! The signals that end a round early, or a daemon; and the one that makes a daemon read its configuration
//! again.

use std::future::pending;
use std::io;

use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::watch;

/// Waits for a signal that ends this process, and names it.
pub async fn end() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = match is_ignored(SignalKind::hangup()) {
        // Under nohup, and it stays so.
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        () = received(&mut hangup) => Ok("SIGHUP"),
    }
}

/// Whether a daemon is to end: then nothing is begun that a later round can do as well.
#[derive(Debug, Clone)]
pub struct Ending(Option<watch::Receiver<bool>>);

impl Ending {
    /// Of a single round, which a signal ends at once.
    pub fn never() -> Self {
        Self(None)
    }

    /// It is to end as soon as this is true.
    pub fn when(is_time: watch::Receiver<bool>) -> Self {
        Self(Some(is_time))
    }

    pub fn is_near(&self) -> bool {
        self.0.as_ref().is_some_and(|is_time| *is_time.borrow())
    }

    /// Comes back when it is.
    pub async fn near(&mut self) {
        if let Some(is_time) = &mut self.0
            && is_time.wait_for(|is_time| *is_time).await.is_ok()
        {
            return;
        }
        pending().await
    }
}

/// What a daemon is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To end, by the signal of this name.
    End(&'static str),
    /// To read its configuration again.
    Reload,
}

/// The signals of a daemon.
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    pub fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End("SIGTERM"),
            _ = self.interrupt.recv() => Signal::End("SIGINT"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}

/// Whether this process was started with the signal ignored. The kernel shows it as a bit.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| (mask >> (signal.as_raw_value() - 1)) & 1 == 1)
}
