//! Values as a person reads them.

use crate::documents::time;

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole things, or a mean of them.
    Count,
    /// A load average, or another number without a unit.
    Number,
    Cores,
    Bytes,
    /// Bytes a second.
    Rate,
    Mebibytes,
    Seconds,
    /// From 0 to 1.
    Share,
}

impl Unit {
    const ALL: [Self; 8] = [
        Unit::Count,
        Unit::Number,
        Unit::Cores,
        Unit::Bytes,
        Unit::Rate,
        Unit::Mebibytes,
        Unit::Seconds,
        Unit::Share,
    ];

    /// The one of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.word() == word)
    }

    /// As the script knows it.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::Number => "number",
            Unit::Cores => "cores",
            Unit::Bytes => "bytes",
            Unit::Rate => "rate",
            Unit::Mebibytes => "mebibytes",
            Unit::Seconds => "seconds",
            Unit::Share => "share",
        }
    }

    /// A number of it, for a person: three digits or more, and the unit.
    pub fn text(self, number: f64) -> String {
        match self {
            Unit::Count | Unit::Number => short(number),
            Unit::Cores => format!("{} cores", short(number)),
            Unit::Bytes => bytes(number),
            Unit::Rate => format!("{}/s", bytes(number)),
            Unit::Mebibytes => bytes(number * 1_048_576.0),
            Unit::Seconds => duration(number),
            Unit::Share => format!("{} %", digits(number * 100.0)),
        }
    }
}

/// Three digits, of whole numbers below 100,000 all.
fn digits(number: f64) -> String {
    let is_whole = number.fract() == 0.0;
    match number.abs() {
        0.0 => "0".into(),
        n if is_whole && n < 100_000.0 => grouped(number),
        n if n < 0.01 => format!("{number:.4}"),
        n if n < 10.0 => format!("{number:.2}"),
        n if n < 100.0 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

fn short(number: f64) -> String {
    match number.abs() {
        n if n >= 1e9 => format!("{} G", digits(number / 1e9)),
        n if n >= 1e6 => format!("{} M", digits(number / 1e6)),
        _ => digits(number),
    }
}

/// A whole number with a comma before each three digits.
fn grouped(number: f64) -> String {
    let plain = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in plain.char_indices() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match number < 0.0 {
        true => format!("-{text}"),
        false => text,
    }
}

/// Bytes with a binary unit.
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut rest, mut unit) = (bytes, 0);
    while rest.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    format!("{} {}", digits(rest), UNITS[unit])
}

/// Seconds, in the two largest units that fit.
#[expect(clippy::cast_possible_truncation, reason = "seconds, bounded")]
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round().clamp(0.0, 1e15) as i64;
    let two = |large: i64, small: i64, names: [&str; 2]| match seconds % large / small {
        0 => format!("{} {}", grouped_int(seconds / large), names[0]),
        rest => format!(
            "{} {} {rest} {}",
            grouped_int(seconds / large),
            names[0],
            names[1]
        ),
    };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => two(3_600, 60, ["h", "min"]),
        _ => two(86_400, 3_600, ["d", "h"]),
    }
}

/// Lengths of time from half of these seconds up to them.
pub fn doubled(seconds: f64) -> String {
    let (length, unit) = match seconds {
        s if s <= 1.0 => return "below 1 s".into(),
        s if s < 120.0 => (1.0, "s"),
        s if s < 7_200.0 => (60.0, "min"),
        s if s < 172_800.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    let (from, to) = (seconds / 2.0 / length, seconds / length);
    match from < 2.0 && length > 60.0 {
        true => format!("{from:.1}–{to:.1} {unit}"),
        false => format!("{from:.0}–{to:.0} {unit}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn grouped_int(number: i64) -> String {
    grouped(number as f64)
}

/// How long ago a time is.
pub fn ago(time: i64, now: i64) -> String {
    let seconds = (now - time).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A time to the minute, without its zone.
pub fn minute(ms: i64) -> String {
    let text = time::text(ms);
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        for (unit, number, text) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 12_345.0, "12,345"),
            (Unit::Count, 1.5, "1.50"),
            (Unit::Count, 2_500_000.0, "2.50 M"),
            (Unit::Number, 0.004, "0.0040"),
            (Unit::Bytes, 1023.0, "1,023 B"),
            (Unit::Bytes, 1_610_612_736.0, "1.50 GiB"),
            (Unit::Rate, 2048.0, "2 KiB/s"),
            (Unit::Mebibytes, 2048.0, "2 GiB"),
            (Unit::Share, 0.125, "12.5 %"),
            (Unit::Seconds, 90.0, "90 s"),
            (Unit::Seconds, 3_600.0, "60 min"),
            (Unit::Seconds, 7_260.0, "2 h 1 min"),
            (Unit::Seconds, 864_000.0, "10 d"),
            (Unit::Seconds, f64::NAN, "0 s"),
        ] {
            assert_eq!(unit.text(number), text);
        }
    }

    #[test]
    fn lengths_up_to_twice_as_long_are_short() {
        for (seconds, text) in [
            (1, "below 1 s"),
            (2, "1–2 s"),
            (64, "32–64 s"),
            (128, "1–2 min"),
            (1_024, "9–17 min"),
            (4_096, "34–68 min"),
            (8_192, "1.1–2.3 h"),
            (131_072, "18–36 h"),
            (262_144, "1.5–3.0 d"),
            (1_048_576, "6–12 d"),
        ] {
            assert_eq!(doubled(f64::from(seconds)), text);
        }
    }

    #[test]
    fn times_are_to_the_minute() {
        assert_eq!(minute(90_000), "1970-01-01 00:01");
        assert_eq!(ago(0, 90_000), "90 s ago");
        // A document may be some minutes ahead.
        assert_eq!(ago(60_000, 0), "0 s ago");
    }
}
