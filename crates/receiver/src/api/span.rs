//! Spans of time and the steps they are cut into, UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::documents::time::{self, DAY_MS, HOUR_MS, SLOT_MS};

/// The longest span: eleven years.
pub const LONGEST_MS: i64 = 11 * 366 * DAY_MS;
/// The store counts days in 16 bits.
pub const LATEST_MS: i64 = 65_535 * DAY_MS;
/// Steps in an answer.
const MOST_STEPS: i64 = 10_000;

/// What a parameter for a time may be.
pub const EXPECTED: &str = "a time (2026-11-23T04:05:06Z; a + in it is written %2B), a date (2026-11-23, UTC), `now`, a time ago (-90m, -24h, -7d), or milliseconds since 1970";

/// From a time up to another, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    /// The first that is not in it.
    pub to: i64,
}

impl Span {
    pub fn has(&self, time: i64) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// Whether the whole day, counted from 1970, is in it.
    pub fn has_day(&self, day: i64) -> bool {
        self.from <= day * DAY_MS && (day + 1) * DAY_MS <= self.to
    }

    /// The first and the last day.
    pub fn days(&self) -> (i64, i64) {
        (time::day(self.from), time::day(self.to - 1))
    }

    /// Widened to full five minutes, in which numbers are kept.
    pub fn widened(self) -> Self {
        Self {
            from: self.from.div_euclid(SLOT_MS) * SLOT_MS,
            to: (self.to + SLOT_MS - 1).div_euclid(SLOT_MS) * SLOT_MS,
        }
    }
}

/// How fine an answer over time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    FiveMinutes,
    QuarterHour,
    Hour,
    SixHours,
    Day,
}

impl Step {
    pub const WORDS: &[&str] = &["5m", "15m", "1h", "6h", "1d"];

    /// From the finest on, in the order of their words.
    const ALL: [Self; 5] = [
        Step::FiveMinutes,
        Step::QuarterHour,
        Step::Hour,
        Step::SixHours,
        Step::Day,
    ];

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.word() == word)
    }

    pub fn word(self) -> &'static str {
        match self {
            Step::FiveMinutes => "5m",
            Step::QuarterHour => "15m",
            Step::Hour => "1h",
            Step::SixHours => "6h",
            Step::Day => "1d",
        }
    }

    /// Its length in milliseconds.
    pub fn ms(self) -> i64 {
        match self {
            Step::FiveMinutes => SLOT_MS,
            Step::QuarterHour => 3 * SLOT_MS,
            Step::Hour => HOUR_MS,
            Step::SixHours => 6 * HOUR_MS,
            Step::Day => DAY_MS,
        }
    }

    /// The finest of which a span has at most so many.
    pub fn at_most(span: Span, steps: i64) -> Self {
        let fits = |step: &Self| (span.to - span.from) / step.ms() <= steps;
        Self::ALL.into_iter().find(fits).unwrap_or(Step::Day)
    }

    /// The step that a span gets where nobody says another.
    pub fn fit(span: Span) -> Self {
        match span.to - span.from {
            length if length <= 2 * DAY_MS + 2 * SLOT_MS => Step::FiveMinutes,
            length if length <= 62 * DAY_MS => Step::Hour,
            _ => Step::Day,
        }
    }

    /// The beginning of the step that a time is in.
    pub fn begin(self, time: i64) -> i64 {
        time.div_euclid(self.ms()) * self.ms()
    }

    /// Whether an answer by this step would be too long.
    pub fn is_too_fine(self, span: Span) -> bool {
        (span.to - span.from) / self.ms() > MOST_STEPS
    }
}

/// The time that a parameter says.
pub fn parse(text: &str, now: i64) -> Option<i64> {
    let time = match text {
        "now" => Some(now),
        _ if text.starts_with('-') => now.checked_sub(ago(&text[1..])?),
        // Fewer digits would be seconds, and a mistake.
        _ if text.len() > 11 && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ if text.len() == 10 => date(text),
        _ => time::parse(text),
    }?;
    (0..=LATEST_MS).contains(&time).then_some(time)
}

fn date(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    let time = date.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

fn ago(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        'm' => 60_000,
        'h' => HOUR_MS,
        'd' => DAY_MS,
        'w' => 7 * DAY_MS,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<i64>().ok()?.checked_mul(unit))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_five_ways() {
        let now = 1_800_000_000_000;
        assert_eq!(parse("now", now), Some(now));
        assert_eq!(parse("-24h", now), Some(now - DAY_MS));
        assert_eq!(parse("-1w", now), Some(now - 7 * DAY_MS));
        assert_eq!(parse("1970-01-02", now), Some(DAY_MS));
        assert_eq!(parse("1795406706000", now), Some(1_795_406_706_000));
        assert_eq!(
            parse("1970-01-02T00:00:01+01:00", now),
            Some(DAY_MS - 3_599_000)
        );
        for wrong in [
            "",
            "-",
            "-h",
            "-1y",
            "--1h",
            "-99999999999999999d",
            "24h",
            "1795406706",
            "99999999999999999999999",
            "1969-12-31",
            "2400-01-01",
            "2026-02-30",
            "-1é",
        ] {
            assert_eq!(parse(wrong, now), None, "{wrong}");
        }
    }
}
