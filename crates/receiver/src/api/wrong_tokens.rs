//! Who reads or logs in with wrong tokens, by address: after some of them, more are answered 429 for a while.
//!
//! This is against noise, not against guessing: a token has 256 random bits, which nobody guesses at any speed.
//! So a right token is let in at any time, and says no more than it always does. Otherwise anybody could shut out
//! all who share an address with him: behind a proxy, whose headers are not trusted, that is everybody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// So many wrong tokens may come from an address
const MOST: u32 = 10;
/// within these milliseconds; as long, from the last of them on, more are answered 429.
const WHILE_MS: i64 = 15 * 60_000;
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;

/// Why an answer is 429, for a person.
pub const TOO_MANY: &str = "Too many wrong tokens came from your address. For a quarter of an hour wrong ones are answered with this; a right one is let in.";

/// The same for the log.
pub const SAID: &str = "too many wrong tokens from an address";

#[derive(Debug, Clone, Copy)]
struct Tries {
    /// When the first of them came, or, where it were too many, the last: milliseconds since 1970.
    since: i64,
    times: u32,
}

/// The addresses from which wrong tokens came.
#[derive(Debug, Default)]
pub struct WrongTokens(Mutex<HashMap<IpAddr, Tries>>);

impl WrongTokens {
    /// Notes that a wrong token came.
    ///
    /// # Errors
    /// Too many did: for how many more seconds.
    pub fn note(&self, from: IpAddr, now: i64) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back must not shut anybody out.
        let is_now = |tries: &Tries| (0..WHILE_MS).contains(&(now - tries.since));
        let address = network(from);
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, tries| is_now(tries));
            make_room(&mut all);
        }
        let new = Tries {
            since: now,
            times: 0,
        };
        let tries = all.entry(address).or_insert(new);
        if !is_now(tries) {
            *tries = new;
        }
        if tries.times >= MOST {
            let rest = tries.since + WHILE_MS - now;
            return Err(rest.unsigned_abs().div_ceil(1000));
        }
        tries.times += 1;
        if tries.times == MOST {
            tries.since = now;
        }
        Ok(())
    }
}

/// Where there is no room for one more, the older half goes.
fn make_room(all: &mut HashMap<IpAddr, Tries>) {
    if all.len() < ADDRESSES {
        return;
    }
    let mut ages: Vec<i64> = all.values().map(|tries| tries.since).collect();
    let (_, middle, _) = ages.select_nth_unstable(ADDRESSES / 2);
    let middle = *middle;
    all.retain(|_, tries| tries.since > middle);
}

/// What one sender can have many of counts as one address: of IPv6, a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_ten_wrong_ones_more_are_refused_for_a_quarter_of_an_hour() {
        let wrong = WrongTokens::default();
        let from = address("192.0.2.1");
        for time in 0..10 {
            assert_eq!(wrong.note(from, time * 60_000), Ok(()));
        }
        assert_eq!(wrong.note(from, 9 * 60_000), Err(900));
        assert_eq!(
            wrong.note(from, 24 * 60_000 - 1),
            Err(1),
            "no longer for it"
        );
        assert_eq!(wrong.note(address("192.0.2.2"), 9 * 60_000), Ok(()));
        assert_eq!(
            wrong.note(address("::ffff:192.0.2.1"), 9 * 60_000),
            Err(900)
        );
        for _ in 0..10 {
            assert_eq!(wrong.note(from, 24 * 60_000), Ok(()));
        }
        assert_eq!(wrong.note(from, 24 * 60_000), Err(900));
        assert_eq!(wrong.note(from, 0), Ok(()), "the clock was set back");
    }

    #[test]
    fn few_in_a_while_are_never_too_many() {
        let wrong = WrongTokens::default();
        for time in 0..100 {
            assert_eq!(wrong.note(address("192.0.2.1"), time * 120_000), Ok(()));
        }
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let wrong = WrongTokens::default();
        for host in 0..10 {
            let from = address(&format!("2001:db8::{host:x}"));
            assert_eq!(wrong.note(from, 0), Ok(()));
        }
        assert!(wrong.note(address("2001:db8::ffff:1"), 0).is_err());
        assert_eq!(wrong.note(address("2001:db8:0:1::1"), 0), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_go() {
        let wrong = WrongTokens::default();
        let from = |n: u32| IpAddr::from(n.to_be_bytes());
        let last = 3 * u32::try_from(ADDRESSES).unwrap();
        for n in 0..last {
            for _ in 0..2 {
                wrong.note(from(n), n.into()).unwrap();
            }
            assert!(wrong.0.lock().unwrap().len() <= ADDRESSES);
        }
        let all = wrong.0.lock().unwrap();
        assert!(all.contains_key(&from(last - 1)) && !all.contains_key(&from(0)));
        assert!(all.len() >= ADDRESSES / 2 - 1);
    }
}
