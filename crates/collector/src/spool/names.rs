//! Names of files, made of names that may hold anything.

use std::fmt::Write as _;

/// Longer names are cut: a file's name has at most 255 bytes, and some are ours.
const LONGEST: usize = 120;

/// A name as a file's: letters, digits and `.-_@` stay, all else is written as in a URL (`%2F`). Two
/// different names stay different; very long ones by a number at their end.
pub fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for byte in name.bytes() {
        match byte {
            b'.' if safe.is_empty() => safe.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'@' => {
                safe.push(byte.into());
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "%{byte:02X}");
            }
        }
    }
    if safe.len() > LONGEST {
        // FNV-1a: for telling names apart that share so long a beginning.
        let number = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        safe.truncate(LONGEST);
        let _ = write!(safe, "-{number:016x}");
    }
    safe
}

/// The name of a batch's file, by where it goes: the endpoint without its scheme.
pub fn batch_name(endpoint: &str) -> String {
    let place = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    file_name(place.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_makes_a_files_name(name in any::<String>()) {
            let file = file_name(&name);
            prop_assert!(file.len() <= LONGEST + 17);
            prop_assert!(!file.contains('/') && !file.starts_with('.'));
        }
    }

    #[test]
    fn names_stay_readable_and_different() {
        assert_eq!(file_name("network@UC-AF"), "network@UC-AF");
        assert_eq!(file_name("a/b c"), "a%2Fb%20c");
        assert_eq!(file_name("../x"), "%2E.%2Fx");
        let long = "x".repeat(300);
        assert_ne!(
            file_name(&format!("{long}a")),
            file_name(&format!("{long}b"))
        );
    }
}
