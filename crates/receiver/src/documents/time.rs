//! Times: milliseconds since 1970, UTC, as documents write them.

use jiff::Timestamp;

/// Five minutes, the grain of series.
pub const SLOT_MS: i64 = 300_000;
pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 86_400_000;

/// Slots in a day.
pub const SLOTS: u16 = 288;

/// `2026-11-23T04:05:06.789Z`, as a late document carries it.
pub fn text(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => ms.to_string(),
    }
}

/// The time that RFC 3339 text says, in milliseconds; finer parts are cut off.
pub fn parse(text: &str) -> Option<i64> {
    // jiff reads more than RFC 3339 allows: a zone name in brackets, for one.
    let is_plain = text.len() <= 40 && !text.contains('[');
    let time: Timestamp = is_plain.then(|| text.parse().ok())??;
    Some(time.as_millisecond())
}

/// The day a time is in, counted from 1970.
pub fn day(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS)
}

/// The hour a time is in, counted from 1970.
pub fn hour(ms: i64) -> i64 {
    ms.div_euclid(HOUR_MS)
}

/// The five minutes a time is in, counted from 1970.
pub fn slot(ms: i64) -> i64 {
    ms.div_euclid(SLOT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_documents_write_them() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            parse("2026-11-23T04:05:06.789Z").map(text).as_deref(),
            Some("2026-11-23T04:05:06.789Z")
        );
        assert_eq!(
            parse("2026-11-23T05:05:06+01:00").map(text).as_deref(),
            Some("2026-11-23T04:05:06.000Z")
        );
        for wrong in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T04:05:06",
            "1763870706",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
