//! What went over the node's network interfaces since the last round.
//!
//! ```text
//! Inter-|   Receive                                                |  Transmit
//!  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop ...
//!     lo: 2556518078  970558    0    0    0     0          0         0 2556518078  970558    0 ...
//!   eth0: 588187441   23045    0    0    0     0          0         0  1770434   14819    0    0 ...
//! ```
//!
//! What surprised us: the old script's library sums every line, loopback included, so ours does. An
//! interface's name ends at the *last* colon. The wall clock may step: the time between two rounds is
//! taken from the uptime. The counters belong to one boot.

use std::collections::BTreeMap;
use std::time::Duration;

use afmetrics_document::{Document, Traffic};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::state::Left;

pub const SPEC: Spec = Spec {
    name: "network",
    summary: "bytes sent and received since the last round, all interfaces (/proc/net/dev)",
    kinds: &["NETWORK"],
    flag: "--host",
    table: "host",
    debug_file: "host.json",
    after: None,
    build: |config| config.host.then(|| Box::new(Network) as _),
};

struct Network;

const CURSOR: &str = "network";
/// The old script's state: where it left off, we go on, so that a swap loses no interval.
const OLD_STATE: &str = "/run/afmetrics.json";
const OLD_STATE_COUNTS_FOR: f64 = 3600.0;
/// Between two samples where there is nothing to count from.
const SAMPLE: Duration = Duration::from_secs(1);

#[async_trait(?Send)]
impl Collector for Network {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let first = Counters::read(cx)?;
        let (now, traffic) = match since_last_round(cx, &first).await? {
            Some(traffic) => (first, traffic),
            None => sample(cx, first).await?,
        };
        let document = Document::Network {
            login_node: cx.login_node.clone(),
            network: traffic,
        };
        if cx.state.is_none() {
            return out.push(&document);
        }
        out.advance(CURSOR, &now)?;
        // An end that is not kept would be the end of no interval.
        out.push_once(&document)
    }
}

/// Counts for a second.
async fn sample(cx: &Context, before: Counters) -> Result<(Counters, Traffic), CollectError> {
    let interval = cx.pause(SAMPLE).await;
    let now = Counters::read(cx)?;
    let (sent, received) = now.difference(&before).ok_or_else(|| {
        CollectError::Malformed(
            "a counter of /proc/net/dev went backwards within a second".to_owned(),
        )
    })?;
    let traffic = Traffic {
        interval: rounded(interval.as_secs_f64()),
        sent,
        received,
    };
    Ok((now, traffic))
}

/// `None`: there is nothing to count from, or it says nothing about now.
async fn since_last_round(cx: &Context, now: &Counters) -> Result<Option<Traffic>, CollectError> {
    // Without a folder the old script's state would be the beginning of every round.
    if cx.state.is_none() {
        return Ok(None);
    }
    let traffic = match cx.cursor::<Counters>(CURSOR).await? {
        Left::Value(before) => {
            let traffic = now.since(&before);
            if traffic.is_none() {
                info!(
                    "network: the node was rebooted or a counter was reset since the last round; taking two samples a second apart"
                );
            }
            return Ok(traffic);
        }
        Left::Nothing => from_old_script(cx, now),
        Left::Unusable => None,
    };
    if traffic.is_none() {
        info!("network: no counters of an earlier round; taking two samples a second apart");
    }
    Ok(traffic)
}

fn from_old_script(cx: &Context, now: &Counters) -> Option<Traffic> {
    let text = cx.read(OLD_STATE).ok()?;
    let Ok(old) = serde_json::from_str::<OldState>(&text) else {
        debug!("network: {OLD_STATE} is not what the old script writes; not used");
        return None;
    };
    old.until(now, cx.unix_now())
}

/// What the interfaces counted so far, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counters {
    /// Names the boot that the counters belong to.
    boot_id: String,
    /// Seconds since that boot.
    uptime: f64,
    /// By interface: bytes sent, bytes received.
    interfaces: BTreeMap<String, (u64, u64)>,
}

impl Counters {
    fn read(cx: &Context) -> Result<Self, CollectError> {
        let uptime = cx.read("/proc/uptime")?;
        let uptime = uptime
            .split_whitespace()
            .next()
            .and_then(|seconds| seconds.parse().ok())
            .filter(|seconds: &f64| seconds.is_finite())
            .ok_or_else(|| {
                CollectError::Malformed("/proc/uptime does not begin with a number".to_owned())
            })?;
        Ok(Self {
            boot_id: cx
                .read("/proc/sys/kernel/random/boot_id")?
                .trim()
                .to_owned(),
            uptime,
            interfaces: parse_net_dev(&cx.read_proc("net/dev")?)
                .map_err(CollectError::Malformed)?,
        })
    }

    fn sum(&self) -> (u64, u64) {
        self.interfaces
            .values()
            .fold((0, 0), |(sent, received), (s, r)| {
                (sent.saturating_add(*s), received.saturating_add(*r))
            })
    }

    /// What went over the interfaces from `before` to now; `None` where that cannot be known: after
    /// a reboot, or when a counter went backwards.
    fn since(&self, before: &Self) -> Option<Traffic> {
        let interval = self.uptime - before.uptime;
        if self.boot_id != before.boot_id || interval.is_nan() || interval <= 0.0 {
            return None;
        }
        let (sent, received) = self.difference(before)?;
        Some(Traffic {
            interval: rounded(interval),
            sent,
            received,
        })
    }

    /// Bytes sent and received from `before` to now; `None` if a counter went backwards. A new
    /// interface counts from 0; what a vanished one did at the end nobody knows.
    fn difference(&self, before: &Self) -> Option<(u64, u64)> {
        let (mut sent, mut received) = (0_u64, 0_u64);
        for (name, (s, r)) in &self.interfaces {
            let (s0, r0) = before.interfaces.get(name).copied().unwrap_or((0, 0));
            sent = sent.saturating_add(s.checked_sub(s0)?);
            received = received.saturating_add(r.checked_sub(r0)?);
        }
        Some((sent, received))
    }
}

/// To milliseconds: the kernel counts hundredths, and a difference of two has a long tail.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// `/run/afmetrics.json`: sums over all interfaces, and milliseconds since 1970.
#[derive(Debug, Deserialize)]
struct OldState {
    sent: u64,
    received: u64,
    timestamp: f64,
}

impl OldState {
    fn until(&self, now: &Counters, unix_now: f64) -> Option<Traffic> {
        let then = self.timestamp / 1000.0;
        let interval = unix_now - then;
        let booted = unix_now - now.uptime;
        let usable = interval > 0.0 && interval < OLD_STATE_COUNTS_FOR && then > booted;
        let (sent, received) = now.sum();
        Some(Traffic {
            interval: usable.then(|| rounded(interval))?,
            sent: sent.checked_sub(self.sent)?,
            received: received.checked_sub(self.received)?,
        })
    }
}

/// By interface, bytes sent (field 9) and bytes received (field 1).
fn parse_net_dev(text: &str) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let mut interfaces = BTreeMap::new();
    for (number, line) in text.lines().enumerate().skip(2) {
        if line.trim().is_empty() {
            continue;
        }
        let counters = line.rsplit_once(':').and_then(|(name, numbers)| {
            let numbers: Vec<u64> = numbers
                .split_whitespace()
                .map_while(|number| number.parse().ok())
                .collect();
            Some((name.trim(), (*numbers.get(8)?, *numbers.first()?)))
        });
        let Some((name, counters)) = counters else {
            return Err(format!(
                "line {} of /proc/net/dev is none of an interface",
                number + 1
            ));
        };
        interfaces.insert(name.to_owned(), counters);
    }
    if interfaces.is_empty() {
        return Err("/proc/net/dev lists no interface".to_owned());
    }
    Ok(interfaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET_DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 2556518078  970558    0    0    0     0          0         0 2556518078  970558    0    0    0     0       0          0
  eth0: 588187441   23045    0    0    0     0          0         0  1770434   14819    0    0    0     0       0          0
eth0:1:7 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
";

    fn counters(uptime: f64, interfaces: &[(&str, u64, u64)]) -> Counters {
        Counters {
            boot_id: "boot".to_owned(),
            uptime,
            interfaces: interfaces
                .iter()
                .map(|(name, sent, received)| ((*name).to_owned(), (*sent, *received)))
                .collect(),
        }
    }

    #[test]
    fn bytes_are_fields_nine_and_one_behind_the_last_colon() {
        let interfaces = parse_net_dev(NET_DEV).unwrap();
        assert_eq!(interfaces["lo"], (2_556_518_078, 2_556_518_078));
        assert_eq!(interfaces["eth0"], (1_770_434, 588_187_441));
        assert_eq!(interfaces["eth0:1"], (5, 7));
        assert!(parse_net_dev("").is_err());
        assert!(
            parse_net_dev(&format!("{NET_DEV}  eth1: 5 5\n"))
                .unwrap_err()
                .contains("line 6")
        );
    }

    #[test]
    fn a_difference_is_never_negative() {
        let before = counters(100.0, &[("lo", 5, 5), ("eth0", 1000, 2000)]);
        let later = counters(400.25, &[("lo", 6, 7), ("eth0", 1500, 2500)]);
        let traffic = later.since(&before).unwrap();
        assert_eq!(
            (traffic.interval, traffic.sent, traffic.received),
            (300.25, 501, 502)
        );
        assert_eq!(before.since(&later), None, "the uptime went back");
        let reset = counters(400.25, &[("lo", 6, 7), ("eth0", 10, 20)]);
        assert_eq!(reset.since(&before), None, "a counter went back");
        let gone = counters(400.25, &[("lo", 6, 7)]);
        assert_eq!(gone.since(&before).unwrap().sent, 1, "an interface is gone");
        let new = counters(
            400.25,
            &[("lo", 5, 5), ("eth0", 1000, 2000), ("eth1", 3, 4)],
        );
        assert_eq!(new.since(&before).unwrap().sent, 3, "a new interface");
        let rebooted = Counters {
            boot_id: "another".to_owned(),
            ..later
        };
        assert_eq!(rebooted.since(&before), None);
    }

    #[test]
    fn the_old_scripts_state_counts_if_it_is_of_this_boot_and_of_this_hour() {
        let now = counters(5000.0, &[("lo", 100, 200)]);
        let old = |sent, timestamp| OldState {
            sent,
            received: 150,
            timestamp,
        };
        let traffic = old(40, 9_700_500.0).until(&now, 10_000.0).unwrap();
        assert_eq!(
            (traffic.interval, traffic.sent, traffic.received),
            (299.5, 60, 50)
        );
        assert_eq!(
            old(140, 9_700_500.0).until(&now, 10_000.0),
            None,
            "more than now"
        );
        assert_eq!(old(40, 6_000_000.0).until(&now, 10_000.0), None, "too old");
        assert_eq!(
            old(40, 10_001_000.0).until(&now, 10_000.0),
            None,
            "in the future"
        );
        assert_eq!(
            old(40, 9_000_000.0).until(&counters(500.0, &[("lo", 100, 200)]), 10_000.0),
            None,
            "before the boot"
        );
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse_net_dev(&text);
        }

        #[test]
        fn a_line_of_any_numbers_never_panics(numbers: Vec<u64>) {
            let line: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let _ = parse_net_dev(&format!("\n\n eth0: {}\n", line.join(" ")));
        }
    }
}
