//! What an answer means: accepted, rejected, or later.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

/// What to do about documents that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Accepted,
    /// The endpoint will not take it. Of an array some may be fine: it is halved.
    Rejected,
    /// A person has to mend something; the documents wait.
    Mend,
    /// The endpoint cannot just now.
    Busy,
}

/// What a status means. There is no other case.
pub fn meaning(status: StatusCode) -> Meaning {
    match status.as_u16() {
        200..=299 => Meaning::Accepted,
        401 | 403 | 404 | 405 | 410 | 300..=399 => Meaning::Mend,
        408 | 425 | 429 => Meaning::Busy,
        400..=499 => Meaning::Rejected,
        _ => Meaning::Busy,
    }
}

/// For how long a `Retry-After` asks to be left alone: seconds, or an HTTP date.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// Exponential backoff with full jitter: after so many failures, a random time of at most half a
/// second, one, two, four and so on up to half a minute.
pub fn backoff(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);
    let most = FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST);
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], Meaning::Accepted),
            (
                &[400, 402, 406, 409, 411, 413, 415, 418, 422, 431, 499],
                Meaning::Rejected,
            ),
            (
                &[300, 301, 302, 303, 307, 308, 401, 403, 404, 405, 410],
                Meaning::Mend,
            ),
            (
                &[100, 408, 425, 429, 500, 501, 502, 503, 504, 599, 999],
                Meaning::Busy,
            ),
        ] {
            for status in statuses {
                let status = StatusCode::from_u16(*status).unwrap();
                assert_eq!(meaning(status), expected, "{status}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let after = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after(" 0 "), Some(0));
        assert_eq!(after("18446744073709551615"), Some(u64::MAX));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0));
        for senseless in ["", "-1", "1.5", "soon", "18446744073709551616"] {
            assert_eq!(after(senseless), None, "{senseless}");
        }
    }

    proptest! {
        #[test]
        fn any_retry_after_is_a_time_or_nothing(value: String) {
            retry_after(&value, SystemTime::UNIX_EPOCH);
        }

        #[test]
        fn backoff_grows_and_is_bounded(failures in 0..1000_u32) {
            prop_assert!(backoff(failures) <= Duration::from_secs(30));
            prop_assert!(backoff(1) <= Duration::from_millis(500));
        }
    }
}
