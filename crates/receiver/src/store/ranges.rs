//! Which documents of a batch are stored: `Idempotency-Key: <batch id>/<first>-<count>`.

use std::str::FromStr;

use uuid::Uuid;

/// The documents that a request says it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub batch: Uuid,
    /// The index of the request's first document in its batch.
    pub first: u32,
    pub count: u32,
}

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected <batch id>/<first>-<count>, as in 01a20621-7623-7310-a7ad-f3b43b8e6695/0-500";
        let parts = text
            .split_once('/')
            .and_then(|(batch, range)| Some((batch, range.split_once('-')?)));
        let (batch, (first, count)) = parts.ok_or(EXPECTED)?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| EXPECTED),
            false => Err(EXPECTED),
        };
        let key = Key {
            batch: batch.parse().map_err(|_| EXPECTED)?,
            first: number(first)?,
            count: number(count)?,
        };
        key.first.checked_add(key.count).ok_or(EXPECTED)?;
        Ok(key)
    }
}

/// A set of indices, as ranges in order, none of which touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Puts an index in; `false`: it was in already.
    pub fn insert(&mut self, index: u32) -> bool {
        let at = self.0.partition_point(|(_, before)| *before < index);
        match self.0.get(at).copied() {
            Some((from, before)) if (from..before).contains(&index) => return false,
            Some((from, before)) if before == index => self.0[at] = (from, index + 1),
            Some((from, before)) if from == index + 1 => self.0[at] = (index, before),
            _ => self.0.insert(at, (index, index + 1)),
        }
        if let (Some(one), Some(next)) = (self.0.get(at).copied(), self.0.get(at + 1).copied())
            && one.1 == next.0
        {
            self.0[at].1 = next.1;
            self.0.remove(at + 1);
        }
        true
    }

    pub fn pack(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(from, before)| [from.to_le_bytes(), before.to_le_bytes()])
            .flatten()
            .collect()
    }

    /// `None`: these are not the bytes of ranges.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (pairs, rest) = bytes.as_chunks::<8>();
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        let ranges: Option<Vec<_>> = pairs
            .iter()
            .map(|pair| Some((number(&pair[..4])?, number(&pair[4..])?)))
            .collect();
        let ranges = ranges.filter(|ranges| {
            ranges.iter().all(|(from, before)| from < before)
                && ranges.is_sorted_by(|one, other| one.1 < other.0)
        })?;
        rest.is_empty().then_some(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read() {
        let key: Key = "01a20621-7623-7310-a7ad-f3b43b8e6695/500-12"
            .parse()
            .unwrap();
        assert_eq!((key.first, key.count), (500, 12));
        for wrong in [
            "",
            "abc",
            "01a20621-7623-7310-a7ad-f3b43b8e6695",
            "01a20621-7623-7310-a7ad-f3b43b8e6695/1",
            "01a20621-7623-7310-a7ad-f3b43b8e6695/-1-2",
            "01a20621-7623-7310-a7ad-f3b43b8e6695/+1-2",
            "01a20621-7623-7310-a7ad-f3b43b8e6695/4294967295-1",
            "01a20621-7623-7310-a7ad-f3b43b8e6695/0-5000000000",
        ] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn ranges_are_a_set(indices in prop::collection::vec(0_u32..60, 0..200)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for index in indices {
                prop_assert_eq!(ranges.insert(index), set.insert(index));
                let unpacked = Ranges::unpack(&ranges.pack());
                prop_assert_eq!(unpacked.as_ref(), Some(&ranges));
            }
            let all: Vec<u32> = ranges.0.iter().flat_map(|(from, before)| *from..*before).collect();
            prop_assert_eq!(all, set.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_ranges_or_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Ranges::unpack(&bytes);
        }
    }
}
