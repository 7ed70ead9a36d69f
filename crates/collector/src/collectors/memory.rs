//! The node's memory, the whole machine's and not a control group's.
//!
//! ```text
//! MemTotal:       24684092 kB
//! MemFree:        20347960 kB
//! MemAvailable:   23356828 kB
//! ```
//!
//! kB are units of 1024 bytes. MemAvailable is there since Linux 3.14, and in the 3.10 of RHEL 7.

use afmetrics_document::Document;
use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;

pub const SPEC: Spec = Spec {
    name: "memory",
    summary: "total and available memory (/proc/meminfo)",
    kinds: &["MEM"],
    flag: "--host",
    table: "host",
    debug_file: "host.json",
    after: None,
    build: |config| config.host.then(|| Box::new(Memory) as _),
};

struct Memory;

#[async_trait(?Send)]
impl Collector for Memory {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let text = cx.read("/proc/meminfo")?;
        let value = |name| {
            parse_meminfo(&text, name).ok_or_else(|| {
                CollectError::Malformed(format!("/proc/meminfo has no usable line {name}"))
            })
        };
        out.push(&Document::Mem {
            login_node: cx.login_node.clone(),
            total: value("MemTotal")?,
            available: value("MemAvailable")?,
        })
    }
}

/// A value in bytes.
fn parse_meminfo(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line
            .strip_prefix(name)?
            .strip_prefix(':')?
            .split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        match words.next() {
            Some("kB") => number.checked_mul(1024),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bytes() {
        let text = "MemTotal:       24684092 kB\nMemFree:        20347960 kB\nMemAvailable:   23356828 kB\n";
        assert_eq!(parse_meminfo(text, "MemTotal"), Some(25_276_510_208));
        assert_eq!(parse_meminfo(text, "MemAvailable"), Some(23_917_391_872));
        assert_eq!(parse_meminfo(text, "Mem"), None);
        assert_eq!(
            parse_meminfo("MemTotal: 99999999999999999999 kB", "MemTotal"),
            None
        );
        assert_eq!(
            parse_meminfo("MemTotal: 18446744073709551615 kB", "MemTotal"),
            None
        );
        assert_eq!(parse_meminfo("MemTotal: 7", "MemTotal"), None);
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse_meminfo(&text, "MemTotal");
        }
    }
}
