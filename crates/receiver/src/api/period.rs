//! Days, weeks and months, UTC: what people are counted by.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::asked::{Asked, Form, Param};
use super::span::Span;
use crate::documents::time::DAY_MS;

/// How long people are counted before they count anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Day,
    /// From Monday on.
    Week,
    Month,
}

pub const PER: Param = Param {
    name: "per",
    form: Form::Words(&["day", "week", "month"]),
    about: "Per day, ISO week or month, UTC; otherwise day up to 92 days, week up to 400, month beyond. Each is whole, also where the span begins or ends in it.",
};

impl Period {
    /// As it is asked for, or else as fits the span.
    pub fn of(asked: &Asked) -> Self {
        match (asked.word("per"), asked.span.to - asked.span.from) {
            (Some("day"), _) => Self::Day,
            (Some("week"), _) => Self::Week,
            (Some(_), _) => Self::Month,
            (None, length) if length <= 93 * DAY_MS => Self::Day,
            (None, length) if length <= 401 * DAY_MS => Self::Week,
            (None, _) => Self::Month,
        }
    }

    /// Those that a span touches: the first and the last day of each, counted from 1970.
    pub fn all(self, span: Span) -> Vec<(i64, i64)> {
        let (first, last) = span.days();
        let mut all = Vec::new();
        let mut begin = self.begin(first);
        while begin <= last {
            let next = self.next(begin);
            all.push((begin, next - 1));
            begin = next;
        }
        all
    }

    fn begin(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            // 1970 began on a Thursday.
            Self::Week => day - (day + 3).rem_euclid(7),
            Self::Month => number(date(day).first_of_month()),
        }
    }

    /// The beginning of the one after that which begins on this day.
    fn next(self, begin: i64) -> i64 {
        match self {
            Self::Day => begin + 1,
            Self::Week => begin + 7,
            Self::Month => begin + i64::from(date(begin).days_in_month()),
        }
    }
}

fn date(day: i64) -> Date {
    let time = Timestamp::from_millisecond(day * DAY_MS).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).date()
}

fn number(date: Date) -> i64 {
    let time = date.to_zoned(TimeZone::UTC);
    time.map_or(0, |time| time.timestamp().as_millisecond() / DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::span;

    fn all(period: Period, from: &str, to: &str) -> Vec<(String, String)> {
        let time = |text| span::parse(text, 0).unwrap();
        let span = Span {
            from: time(from),
            to: time(to),
        };
        let text = |day| date(day).to_string();
        let all = period.all(span).into_iter();
        all.map(|(first, last)| (text(first), text(last))).collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
    }

    #[test]
    fn weeks_begin_on_mondays_also_over_a_new_year() {
        // ISO week 53 of 2026 has three days of 2027.
        assert_eq!(
            all(Period::Week, "2027-01-01", "2027-01-04T00:00:01Z"),
            pairs(&[("2026-12-28", "2027-01-03"), ("2027-01-04", "2027-01-10")])
        );
        assert_eq!(
            all(Period::Week, "2026-11-23", "2026-11-30"),
            pairs(&[("2026-11-23", "2026-11-29")])
        );
    }

    #[test]
    fn months_have_their_own_lengths() {
        assert_eq!(
            all(Period::Month, "2028-01-31T23:59:59Z", "2028-03-01"),
            pairs(&[("2028-01-01", "2028-01-31"), ("2028-02-01", "2028-02-29")])
        );
        assert_eq!(
            all(Period::Day, "2026-11-23T12:00:00Z", "2026-11-24T00:00:01Z"),
            pairs(&[("2026-11-23", "2026-11-23"), ("2026-11-24", "2026-11-24")])
        );
    }
}
