//! How full the mounts are: one that will soon be full, some that are cleaned, and dull ones.

use afmetrics_document::{Document, PublishedHost};
use afmetrics_receiver::documents::time::DAY_MS;

use super::chance::rounded;

const TB: u64 = 1_000_000_000_000;

/// A mount of a node.
pub fn disk(host: &PublishedHost, mount: &str, total_tb: u64, part: f64) -> Document {
    let total = total_tb * TB;
    let used = (part.clamp(0.0, 0.999) * total as f64) as u64;
    Document::Disk {
        login_node: host.clone(),
        mount: mount.to_owned(),
        total,
        used,
        free: total - used,
        utilization: used as f64 / total as f64,
        device: None,
    }
}

/// `/data` of a facility, so many milliseconds before the end: the part of it that is used.
pub fn data(facility: usize, age: i64) -> f64 {
    let days = days(age);
    match facility {
        // Full two weeks after the end.
        0 => 0.88 - days * 0.12 / 14.0,
        1 if days > 20.0 => 0.93 - (days - 20.0) * 0.006,
        1 => 0.67 - days * 0.008,
        _ => 0.35 + days * 0.001,
    }
}

/// `/home`: grows slowly.
pub fn home(age: i64) -> f64 {
    0.6 - days(age) * 0.0008
}

/// `/scratch` of a worker node: fills up in ten days, then it is cleaned; on each node on another day.
pub fn scratch(node: usize, age: i64) -> f64 {
    let since = (200.0 - days(age) + node as f64 * 1.7).rem_euclid(10.0);
    0.12 + since * 0.072
}

fn days(age: i64) -> f64 {
    rounded(age as f64 / DAY_MS as f64, 4)
}
