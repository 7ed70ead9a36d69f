//! `afmetrics_collector run`: a round every five minutes, until somebody ends it.
//!
//! Rounds begin at multiples of the interval since 1970, plus a part of it that follows from the node's name:
//! so a thousand nodes do not knock at once, and each keeps its times over restarts. Between rounds nothing
//! runs but the timer, the watchdog's if systemd wants one, and the listener if there is one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use ring::digest;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};

use crate::aside::Hanging;
use crate::config::Config;
use crate::listener::{self, Shown};
use crate::signals::{Ending, Signal, Signals};
use crate::{Ended, log, node_name, now, one_round, remark};

/// How long a round may go on when the daemon is to end. What it has stored is not sent any more, as it is
/// delivered when the daemon is back.
const GRACE: Duration = Duration::from_secs(20);

/// What the daemon is to do.
pub struct Setup {
    pub config: Config,
    /// Between the beginnings of two rounds.
    pub interval: Duration,
    pub listen: Option<SocketAddr>,
    pub log_level: LevelFilter,
}

/// Does rounds until a signal ends it. `read` reads the configuration, again at each SIGHUP; an error of the
/// first time is one of usage.
pub async fn run(log: &log::Level, read: impl Fn() -> Result<Setup>) -> Result<bool> {
    let setup = read()?;
    remark(&setup.config);
    let mut daemon = Daemon {
        signals: Signals::watch().context("cannot watch for signals")?,
        shown: Rc::new(RefCell::new(Shown::new(now(), &setup))),
        hanging: Hanging::default(),
        listening: None,
        last: String::new(),
        begin: setup.next(now()),
        setup,
        read,
        log,
    };
    daemon.listen().await;
    keep_watchdog_quiet();
    notify(&[NotifyState::Ready]);
    let secs = daemon.setup.interval.as_secs();
    info!(
        "the first round is at {}, then one every {secs} s",
        at(daemon.begin)
    );
    while daemon.turn().await {}
    notify(&[NotifyState::Stopping]);
    Ok(true)
}

impl Setup {
    /// When the first round behind a time begins.
    fn next(&self, time: SystemTime) -> SystemTime {
        next(
            time,
            self.interval,
            offset(&node_name(&self.config), self.interval),
        )
    }
}

struct Daemon<'a, Read> {
    setup: Setup,
    read: Read,
    log: &'a log::Level,
    signals: Signals,
    /// What the listener shows.
    shown: Rc<RefCell<Shown>>,
    /// What hangs since earlier rounds.
    hanging: Hanging,
    listening: Option<JoinHandle<()>>,
    /// When the next round begins.
    begin: SystemTime,
    /// What became of the last round, for the status.
    last: String,
}

impl<Read: Fn() -> Result<Setup>> Daemon<'_, Read> {
    /// Waits for the next round and does it; false when it is time to end.
    async fn turn(&mut self) -> bool {
        let status = format!("next round at {}{}", at(self.begin), self.last);
        notify(&[NotifyState::Status(&status)]);
        // A clock that was put back does not stop it for longer than this.
        let wait = self.begin.duration_since(now()).unwrap_or_default();
        let wait = wait.min(self.setup.interval);
        tokio::select! {
            signal = self.signals.next() => match signal {
                Signal::End(name) => {
                    info!("ended by {name}");
                    false
                }
                Signal::Reload => {
                    self.reload().await;
                    true
                }
            },
            () = sleep(wait) => self.round().await,
        }
    }

    /// Does a round; false if a signal has asked for the end meanwhile.
    async fn round(&mut self) -> bool {
        notify(&[NotifyState::Status("a round is going on")]);
        self.listen().await;
        let begun = Instant::now();
        let (mut wants_reload, mut end) = (false, None);
        let ended = {
            let (is_time, ending) = watch::channel(false);
            let ending = Ending::when(ending);
            let mut round = pin!(one_round(&self.setup.config, &self.hanging, &ending));
            loop {
                tokio::select! {
                    ended = &mut round => break Some(ended),
                    signal = self.signals.next() => match signal {
                        Signal::Reload => wants_reload = true,
                        Signal::End(name) => {
                            info!(
                                "{name}: the round has {} s to end, and what it has stored is delivered later",
                                GRACE.as_secs()
                            );
                            is_time.send_replace(true);
                            end = Some(name);
                            break timeout(GRACE, &mut round).await.ok();
                        }
                    },
                }
            }
        };
        let took = begun.elapsed();
        match ended {
            Some(ended) => self.note(ended),
            None => {
                error!("ended before the round was done; what it had stored is delivered later")
            }
        }
        if let Some(name) = end {
            info!("ended by {name}");
            return false;
        }
        if took > self.setup.interval {
            warn!(
                "the round took {:.0} s, longer than the {} s between two: some are left out",
                took.as_secs_f64(),
                self.setup.interval.as_secs()
            );
        }
        // The clock may say that it is not yet over: it is, unless the clock was put back for good.
        let now = now();
        let is_ahead = self.begin > now + self.setup.interval;
        self.begin = self
            .setup
            .next(if is_ahead { now } else { now.max(self.begin) });
        if wants_reload {
            self.reload().await;
        }
        true
    }

    fn note(&mut self, ended: Result<Ended>) {
        let ended = ended.unwrap_or_else(|why| {
            error!("{why:#}");
            Ended::unusable()
        });
        self.last = format!("; the last one {}", ended.line);
        self.shown
            .borrow_mut()
            .note(&ended, &self.setup.config, now());
    }

    /// Reads the configuration again; a bad one changes nothing.
    async fn reload(&mut self) {
        let reloading = NotifyState::monotonic_usec_now();
        match reloading {
            Ok(at) => notify(&[NotifyState::Reloading, at]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        match (self.read)() {
            Ok(setup) => {
                // What is said here is seen if the level before or the new one shows it.
                self.log.set(setup.log_level.max(self.setup.log_level));
                remark(&setup.config);
                let keeps_time = setup.interval == self.setup.interval;
                if setup.listen != self.setup.listen {
                    self.close().await;
                }
                self.setup = setup;
                self.shown.borrow_mut().set_up(&self.setup);
                if !keeps_time {
                    self.begin = self.setup.next(now());
                }
                info!(
                    "read the configuration again; it counts from the next round on, at {}",
                    at(self.begin)
                );
                self.listen().await;
                self.log.set(self.setup.log_level);
            }
            Err(why) => error!("the configuration stays as it was: {why:#}"),
        }
        notify(&[NotifyState::Ready]);
    }

    async fn close(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            // Or its port would not be free.
            let _ = listening.await;
        }
    }

    /// Opens the listener that is asked for, if it is not open. Where that fails, rounds go on without, and the
    /// next one tries again.
    async fn listen(&mut self) {
        let Some(address) = self.setup.listen else {
            return;
        };
        if self.listening.as_ref().is_some_and(|it| !it.is_finished()) {
            return;
        }
        match listener::open(address, Rc::clone(&self.shown)).await {
            Ok(listening) => {
                self.listening = Some(listening);
                info!("listening at http://{address}/metrics");
            }
            Err(why) => error!("{why:#}; the next round tries again"),
        }
    }
}

/// How far behind the beginning of an interval this node's rounds begin.
fn offset(node: &str, interval: Duration) -> Duration {
    let hash = digest::digest(&digest::SHA256, node.as_bytes());
    let number = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let millis = u64::try_from(interval.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    Duration::from_millis(number % millis)
}

/// The first time after now that is a multiple of the interval, and so much later.
fn next(now: SystemTime, interval: Duration, offset: Duration) -> SystemTime {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let interval = interval.as_millis().max(1);
    let offset = offset.as_millis();
    let behind = (since.as_millis() + interval - offset % interval) % interval;
    let wait = u64::try_from(interval - behind).unwrap_or(u64::MAX);
    now + Duration::from_millis(wait)
}

/// A time, for people.
fn at(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

/// Tells systemd, where that has started this process.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(state) {
        debug!("systemd cannot be told: {why}");
    }
}

/// As often as systemd wants to hear that this process is alive, twice; where it does not, nothing wakes up.
fn keep_watchdog_quiet() {
    if let Some(within) = sd_notify::watchdog_enabled() {
        tokio::spawn(async move {
            loop {
                notify(&[NotifyState::Watchdog]);
                sleep(within / 2).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_nodes_times_are_its_own_and_stay() {
        let interval = Duration::from_secs(300);
        let one = offset("login01.canary.example", interval);
        assert_eq!(one, offset("login01.canary.example", interval));
        assert_ne!(one, offset("login02.canary.example", interval));
        let all: Vec<u64> = (0..1000)
            .map(|n| offset(&format!("node{n:04}.canary.example"), interval).as_secs() / 30)
            .collect();
        for tenth in 0..10 {
            let count = all.iter().filter(|found| **found == tenth).count();
            assert!((50..200).contains(&count), "{count} of 1000 in {tenth}");
        }
    }

    proptest! {
        #[test]
        fn the_next_round_is_within_an_interval(
            millis in 0..4_000_000_000_000_u64,
            interval in 5..86_400_u64,
            node: String,
        ) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let interval = Duration::from_secs(interval);
            let offset = offset(&node, interval);
            prop_assert!(offset < interval);
            let begin = next(now, interval, offset);
            prop_assert!(begin > now && begin <= now + interval);
            let since = begin.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            prop_assert_eq!((since - offset).as_millis() % interval.as_millis(), 0);
            prop_assert_eq!(next(begin, interval, offset), begin + interval);
        }
    }
}
