//! Other addresses for those in a recording, the same one wherever an address stands, also where it is written
//! with dashes: `ip-10-1-2-3`, or `[2001-db8--7]` as HTCondor has it behind `addrs=`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::renaming::is_word;

/// How many bytes an address takes, and what becomes of it; `None`: it stays.
type Found = (usize, Option<Vec<u8>>);

/// What each address becomes.
#[derive(Debug, Default)]
pub struct Addresses {
    v4: HashMap<Ipv4Addr, Ipv4Addr>,
    v6: HashMap<Ipv6Addr, Ipv6Addr>,
}

impl Addresses {
    /// How many have other ones.
    pub fn count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// An address as it is usually written. `before`: what stands before it, as far as that belongs to it.
    pub fn usual(&mut self, rest: &[u8], before: &[u8]) -> Option<Found> {
        // Behind `::` it is the rest of something.
        let may_be_v6 = !before.ends_with(b"::");
        if before.last().is_some_and(|b| is_word(*b) || *b == b'.') {
            return None;
        }
        let of_v6 = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
        for trim in [&b""[..], b":."] {
            if may_be_v6
                && let Some((length, text)) = taken(rest, of_v6, trim)
                && text.contains("::") | (text.matches(':').count() == 7)
                && let Ok(old) = text.parse::<Ipv6Addr>()
            {
                return Some((length, self.v6(old).map(|new| new.to_string().into())));
            }
        }
        let of_v4 = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let (length, text) = taken(rest, of_v4, b".")?;
        let old = text.parse::<Ipv4Addr>().ok()?;
        Some((length, self.v4(old).map(|new| new.to_string().into())))
    }

    /// An address whose groups are joined by dashes: four decimals, also with more behind them, or what is IPv6
    /// with colons.
    pub fn dashed(&mut self, rest: &[u8], before: &[u8]) -> Option<Found> {
        const GROUPS: usize = 4;
        if before.last().is_some_and(|b| is_word(*b)) {
            return None;
        }
        let of_v6 = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let is_in_brackets = before.ends_with(b"[");
        for trim in [&b""[..], b"-"] {
            if (is_in_brackets || !rest.starts_with(b"-"))
                && let Some((length, text)) = taken(rest, of_v6, trim)
                && is_in_brackets | (text.split('-').count() >= GROUPS)
                && let Ok(old) = text.replace('-', ":").parse::<Ipv6Addr>()
            {
                let new = self.v6(old);
                return Some((
                    length,
                    new.map(|new| new.to_string().replace(':', "-").into()),
                ));
            }
        }
        let (_, text) = taken(rest, |byte| byte.is_ascii_digit() || byte == b'-', b"-")?;
        let groups: Vec<&str> = text.splitn(GROUPS + 1, '-').take(GROUPS).collect();
        let old = groups.join(".").parse::<Ipv4Addr>().ok()?;
        let new = self.v4(old);
        let length = groups.join("-").len();
        Some((
            length,
            new.map(|new| new.to_string().replace('.', "-").into()),
        ))
    }

    fn v4(&mut self, old: Ipv4Addr) -> Option<Ipv4Addr> {
        if old.is_loopback() || old.is_unspecified() {
            return None;
        }
        let number = u32::try_from(self.v4.len()).unwrap_or(u32::MAX);
        Some(*self.v4.entry(old).or_insert_with(|| documentation(number)))
    }

    fn v6(&mut self, old: Ipv6Addr) -> Option<Ipv6Addr> {
        if old.is_loopback() || old.is_unspecified() {
            return None;
        }
        let number = self.v6.len() as u128 + 1;
        let first = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
        let new = self
            .v6
            .entry(old)
            .or_insert_with(|| Ipv6Addr::from(first + number));
        Some(*new)
    }
}

/// What consists of these bytes and does not end with those, if no word goes on behind it.
fn taken<'a>(
    rest: &'a [u8],
    allowed: impl Fn(u8) -> bool,
    trim: &[u8],
) -> Option<(usize, &'a str)> {
    let mut length = rest.iter().take_while(|byte| allowed(**byte)).count();
    while length > 0 && trim.contains(&rest[length - 1]) {
        length -= 1;
    }
    let ends = rest.get(length).is_none_or(|next| !is_word(*next));
    let text = std::str::from_utf8(&rest[..length]).ok()?;
    ends.then_some((length, text))
}

/// The addresses of documentation, and when they are used up those of benchmarks.
fn documentation(number: u32) -> Ipv4Addr {
    const NETWORKS: [u32; 3] = [0xc000_0200, 0xc633_6400, 0xcb00_7100];
    const EACH: u32 = 254;
    match NETWORKS.get((number / EACH) as usize) {
        Some(network) => Ipv4Addr::from(network + 1 + number % EACH),
        None => Ipv4Addr::from(0xc612_0000_u32.wrapping_add(number)),
    }
}

#[cfg(test)]
mod tests {
    use crate::recording::renaming::Renaming;

    #[test]
    fn addresses_go_however_they_are_written() {
        for (from, to) in [
            // Lustre with a second server, and Ceph.
            (
                "10.10.0.1@o2ib:10.10.0.2@o2ib:/scratch",
                "192.0.2.1@word1:192.0.2.2@word1:/scratch",
            ),
            ("v2:10.10.0.1:3300", "word1:192.0.2.1:3300"),
            ("host:10.1.2.3", "host:192.0.2.1"),
            ("host:fd99:db8::7", "host:2001:db8::1"),
            ("10.1.2.3:fd99::7", "192.0.2.1:2001:db8::1"),
            ("::ffff:10.1.2.3", "2001:db8::1"),
            // HTCondor's.
            (
                "addrs=10.1.2.3-9618+[2001-1458-201-64--100-5]-9618&alias=",
                "addrs=192.0.2.1-9618+[2001-db8--1]-9618&alias=",
            ),
            (
                "addrs%3d10.1.2.3-9618%26alias",
                "addrs%3d192.0.2.1-9618%26alias",
            ),
            ("[fd99--7] fd99::7", "[2001-db8--1] 2001:db8::1"),
            ("fd99-1-2-3-4-5-6-7", "2001-db8--1"),
            ("ip-10-0-3-17", "word1-192-0-2-1"),
            ("vpn-128-135-20-7-dyn", "word1-192-0-2-1-word2"),
            ("10-0-3-17 10.0.3.17", "192-0-2-1 192.0.2.1"),
            ("10-0-3-17-22", "192-0-2-1-22"),
            ("20231123-10-0-3-17", "20231123-192-0-2-1"),
        ] {
            assert_eq!(Renaming::default().string(from), to);
        }
        for stays in [
            "20:11:54 2026-11-23 2026-11-23-11 3_[1-2] [1-8] [--1] [7-9,11]",
            "127-0-0-1 127.0.0.1:9618 10-0-3 10-0-3-999 1-02:03:04",
        ] {
            assert_eq!(Renaming::default().string(stays), stays);
        }
    }
}
