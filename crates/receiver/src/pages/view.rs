//! What a page shows: facility, span and time zone, as its URL says. Every link on a page is made from it, so
//! that each view can be shared, and nothing but the URL remembers anything.

use std::collections::BTreeMap;

use axum::http::Uri;

use super::Page;
use crate::api::refused::Refused;
use crate::api::span::{self, LONGEST_MS, Span, Step};
use crate::documents::quoted;
use crate::documents::time::{DAY_MS, HOUR_MS};
use crate::draw::Draw;
use crate::panels::Panel;

/// Parameters that all pages have, and that go along from page to page.
const SHARED: [&str; 5] = ["facility", "from", "to", "tz", "refresh"];
/// Those of a page's long table: the column it is sorted by (`-` in front: largest first), a text that rows
/// have, and the number of its part that is shown.
const TABLE: [&str; 3] = ["sort", "search", "part"];

/// Spans to pick: what it is called, and where it begins.
pub const SPANS: [(&str, &str); 9] = [
    ("Last hour", "-1h"),
    ("Last 6 hours", "-6h"),
    ("Last 24 hours", "-24h"),
    ("Last 2 days", "-2d"),
    ("Last 7 days", "-7d"),
    ("Last 30 days", "-30d"),
    ("Last 90 days", "-90d"),
    ("Last 180 days", "-180d"),
    ("Last year", "-365d"),
];

/// Seconds between two refreshes.
pub const REFRESHES: [(&str, &str); 4] = [
    ("", "Refresh: off"),
    ("30", "Every 30 s"),
    ("60", "Every minute"),
    ("300", "Every 5 min"),
];

/// What is looked at.
#[derive(Debug, Clone)]
pub struct View {
    pub page: &'static Page,
    /// Milliseconds since 1970.
    pub now: i64,
    /// To the millisecond.
    pub span: Span,
    given: BTreeMap<&'static str, String>,
}

impl View {
    /// Reads a URL's query. Parameters that no page has are left out; `bound` is the only facility that the
    /// viewer may see.
    ///
    /// # Errors
    /// Which parameter is wrong, and what was expected.
    pub fn read(
        page: &'static Page,
        query: &str,
        bound: Option<&str>,
        now: i64,
    ) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let known = SHARED.iter().chain(&TABLE).chain(page.params);
            // A form sends what was left empty, too.
            if let Some(name) = known.copied().find(|known| *known == name)
                && !value.trim().is_empty()
            {
                given.insert(name, value.into_owned());
            }
        }
        if let Some(bound) = bound {
            given.entry("facility").or_insert_with(|| bound.to_owned());
        }
        for name in ["from", "to"] {
            if let Some(text) = given.get_mut(name) {
                *text = with_zone(text);
            }
        }
        one_of(&given, "tz", &["utc", "local"])?;
        one_of(&given, "refresh", &REFRESHES.map(|(seconds, _)| seconds))?;
        let time = |name: &str, default: &str| {
            let text = given.get(name).map_or(default, String::as_str);
            span::parse(text, now).ok_or_else(|| {
                format!(
                    "`{name}`: expected {}, found \"{}\"",
                    span::EXPECTED,
                    quoted(text)
                )
            })
        };
        let span = Span {
            from: time("from", page.from)?,
            to: time("to", "now")?,
        };
        match span.to - span.from {
            length if length <= 0 => Err("`from` and `to`: expected `from` before `to`".into()),
            length if length > LONGEST_MS => {
                Err("`from` and `to`: expected at most 11 years".into())
            }
            _ => Ok(Self {
                page,
                now,
                span,
                given,
            }),
        }
    }

    /// A parameter's value, where it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// The facility that is looked at; `None`: all.
    pub fn facility(&self) -> Option<&str> {
        self.get("facility")
    }

    /// Whether times are shown in the browser's zone, not UTC.
    pub fn is_local(&self) -> bool {
        self.get("tz") == Some("local")
    }

    /// Where the span begins, as given.
    pub fn from(&self) -> &str {
        self.get("from").unwrap_or(self.page.from)
    }

    /// The same page with other parameters (empty: without).
    pub fn with(&self, changes: &[(&'static str, &str)]) -> String {
        let mut given = self.given.clone();
        for (name, value) in changes {
            given.insert(name, (*value).to_owned());
        }
        // Another view of the table begins at its beginning.
        if !changes.iter().any(|(name, _)| *name == "part") {
            given.remove("part");
        }
        address(self.page.path, &given)
    }

    /// Another page of the same facility, span and zone, with parameters of its own.
    pub fn to(&self, page: &Page, own: &[(&'static str, &str)]) -> String {
        let mut given = self.given.clone();
        given.retain(|name, _| SHARED.contains(name));
        for (name, value) in own {
            given.insert(name, (*value).to_owned());
        }
        address(page.path, &given)
    }

    /// Where a panel's chart gets its numbers.
    pub fn data(&self, panel: &Panel) -> String {
        let mut given = self.given.clone();
        given.retain(|name, _| !TABLE.contains(name) && *name != "tz" && *name != "refresh");
        address(&format!("/panels/{}", panel.name), &given)
    }

    /// The question that a panel asks here, as a path and query of the API: its answer is what the panel shows.
    pub fn question(&self, panel: &Panel) -> String {
        let question = panel.question;
        let mut given: BTreeMap<&str, String> = BTreeMap::new();
        given.insert("from", self.from().to_owned());
        if let Draw::Chart(chart) = &panel.draw {
            let is_of_one = self.get("node").is_some() && question.has("node");
            let step = Step::at_most(self.span, chart.steps(is_of_one));
            given.insert("step", step.word().to_owned());
        }
        for (name, value) in &self.given {
            if *name != "facility" || question.has(name) {
                given.insert(name, value.clone());
            }
        }
        given.retain(|name, _| question.has(name) && !TABLE.contains(name));
        for (name, value) in panel.fixed {
            given.insert(name, (*value).to_owned());
        }
        address(&format!("/api/v1/{}", question.path), &given)
    }

    /// The same, as it is asked within.
    pub fn uri(&self, panel: &Panel) -> Result<Uri, Refused> {
        self.question(panel)
            .parse()
            .map_err(|_| Refused::Parameter("the URL is too long".into()))
    }

    /// Whether the span goes on with the time.
    pub fn is_to_now(&self) -> bool {
        self.get("to").is_none_or(|to| to == "now")
    }

    /// The span before and the one behind it: what `from` and `to` would be.
    pub fn moved(&self) -> [[String; 2]; 2] {
        let Span { from, to } = self.span;
        let length = to - from;
        let edge = |from: i64, to: i64| [from.max(0).to_string(), to.max(1).to_string()];
        [edge(from - length, from), edge(to, to + length)]
    }

    /// A span of twice the length, which does not reach into the future; none that is longer than may be asked for.
    pub fn wider(&self) -> Option<[String; 2]> {
        let length = 2 * (self.span.to - self.span.from);
        if length > LONGEST_MS.min(self.span.to) {
            return None;
        }
        if self.is_to_now() {
            return Some([ago(length), "now".into()]);
        }
        let to = (self.span.to + length / 4).min(self.now.max(self.span.to));
        Some([(to - length).to_string(), to.to_string()])
    }

    /// Full days, weeks, months and years to pick, UTC: what each is called, its beginning and its end.
    pub fn calendar(&self) -> Vec<(&'static str, String, String)> {
        let Ok(now) = jiff::Timestamp::from_millisecond(self.now) else {
            return Vec::new();
        };
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let monday =
            self.now.div_euclid(DAY_MS) - i64::from(today.weekday().to_monday_zero_offset());
        let monday = jiff::Timestamp::from_millisecond(monday * DAY_MS)
            .map_or(today, |time| time.to_zoned(jiff::tz::TimeZone::UTC).date());
        let month = today.first_of_month();
        let year = today.first_of_year();
        let before = |date: jiff::civil::Date| date.yesterday().unwrap_or(date);
        let (last_month, last_year) =
            (before(month).first_of_month(), before(year).first_of_year());
        let text = |date: jiff::civil::Date| date.to_string();
        vec![
            ("Today", text(today), "now".into()),
            ("This week", text(monday), "now".into()),
            ("This month", text(month), "now".into()),
            ("Last month", text(last_month), text(month)),
            ("This year", text(year), "now".into()),
            ("Last year, whole", text(last_year), text(year)),
        ]
    }
}

/// So long before now, in the largest unit that fits; to the minute.
fn ago(length: i64) -> String {
    match length {
        days if days % DAY_MS == 0 => format!("-{}d", days / DAY_MS),
        hours if hours % HOUR_MS == 0 => format!("-{}h", hours / HOUR_MS),
        rest => format!("-{}m", rest / 60_000),
    }
}

/// A time as a browser's field for it gives it, without a zone: UTC.
fn with_zone(text: &str) -> String {
    let text = text.trim();
    match (text.len(), text.contains('T')) {
        (16, true) => format!("{text}:00Z"),
        (19, true) => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

fn one_of(given: &BTreeMap<&str, String>, name: &str, words: &[&str]) -> Result<(), String> {
    match given.get(name) {
        Some(word) if !words.contains(&word.as_str()) => Err(format!(
            "`{name}`: expected one of {}, found \"{}\"",
            words.join(" ").trim(),
            quoted(word)
        )),
        _ => Ok(()),
    }
}

fn address(path: &str, given: &BTreeMap<&str, String>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in given.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BATCH, NODES, USERS};
    use super::*;

    const NOW: i64 = 1_795_406_706_000;

    fn view(page: &'static Page, query: &str) -> View {
        View::read(page, query, None, NOW).unwrap()
    }

    #[test]
    fn a_view_is_its_url() {
        let seen = view(
            &NODES,
            "from=-7d&facility=A%26F&node=node-1&junk=1&to=&sort=-load",
        );
        assert_eq!(seen.span.to - seen.span.from, 7 * DAY_MS);
        assert_eq!(
            seen.with(&[]),
            "/nodes?facility=A%26F&from=-7d&node=node-1&sort=-load"
        );
        assert_eq!(
            seen.with(&[("from", "-1h"), ("node", "")]),
            "/nodes?facility=A%26F&from=-1h&sort=-load"
        );
        assert_eq!(seen.to(&BATCH, &[]), "/batch?facility=A%26F&from=-7d");
    }

    #[test]
    fn a_page_has_a_span_of_its_own() {
        assert_eq!(view(&USERS, "").from(), "-30d");
        assert_eq!(view(&BATCH, "").with(&[]), "/batch");
    }

    #[test]
    fn a_wider_span_ends_now_at_the_latest_and_has_a_bound() {
        let wider = |query: &str| view(&BATCH, query).wider();
        let ends = |from: &str, to: &str| Some([from.to_owned(), to.to_owned()]);
        assert_eq!(wider(""), ends("-2d", "now"));
        assert_eq!(wider("from=-90m"), ends("-3h", "now"));
        assert_eq!(wider("from=-7d&to=now"), ends("-14d", "now"));
        assert_eq!(wider("from=-2100d"), None);
        let (from, to) = (NOW - 4_000_000, NOW - 2_000_000);
        assert_eq!(
            wider(&format!("from={from}&to={to}")),
            ends(
                &(from - 1_000_000).to_string(),
                &(to + 1_000_000).to_string()
            )
        );
        assert_eq!(
            wider(&format!("from={to}&to={NOW}")),
            ends(&from.to_string(), &NOW.to_string())
        );
    }

    #[test]
    fn what_a_form_says_without_a_zone_is_utc() {
        let seen = view(&BATCH, "from=2026-10-25T02:30&to=2026-10-25T03:30:10");
        assert_eq!(seen.span.to - seen.span.from, 3_610_000);
    }

    #[test]
    fn wrong_values_are_named() {
        for (query, says) in [
            ("from=soon", "`from`: expected a time"),
            ("from=now", "expected `from` before `to`"),
            ("from=-5000d", "at most 11 years"),
            ("tz=mars", "`tz`: expected one of utc local"),
            ("refresh=1", "`refresh`: expected one of"),
        ] {
            let why = View::read(&BATCH, query, None, NOW).unwrap_err();
            assert!(why.contains(says), "{query}: {why}");
        }
    }

    #[test]
    fn calendars_begin_on_mondays_and_firsts() {
        // 2026-11-23 is a Monday.
        let seen = view(&BATCH, "");
        let all = seen.calendar();
        let of = |name| all.iter().find(|(known, ..)| *known == name).unwrap();
        assert_eq!(of("This week").1, "2026-11-23");
        assert_eq!(
            (&*of("Last month").1, &*of("Last month").2),
            ("2026-10-01", "2026-11-01")
        );
        assert_eq!(of("Last year, whole").1, "2025-01-01");
    }
}
