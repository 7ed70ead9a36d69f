//! What was found, a row each, and below them what to do about those that are not well.

use std::io::{self, Write};
use std::time::Duration;

use crate::quote::is_invisible;
use crate::table;

/// What came of one thing that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    Fail,
    /// The configuration cannot be used as it is: exit status 2.
    Unusable,
    Skipped,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail | Self::Unusable => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was tried.
#[derive(Debug)]
pub struct Row {
    check: String,
    verdict: Verdict,
    time: Option<Duration>,
    found: String,
    /// What to do, a paragraph each; its further lines are commands, or lines of a file.
    advice: Vec<String>,
}

impl Row {
    pub fn new(check: impl Into<String>, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            time: None,
            found: found.into(),
            advice: Vec::new(),
        }
    }

    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    pub fn warn(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, found)
    }

    pub fn fail(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, found)
    }

    pub fn took(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }

    pub fn advise_all(mut self, advice: impl IntoIterator<Item = String>) -> Self {
        self.advice.extend(advice);
        self
    }

    /// At least as bad as this.
    pub fn at_least_warn(mut self) -> Self {
        if self.verdict == Verdict::Ok {
            self.verdict = Verdict::Warn;
        }
        self
    }

    fn cells(&self) -> [String; 4] {
        let time = self.time.map_or_else(
            || "-".to_owned(),
            |time| format!("{:.2} s", time.as_secs_f64()),
        );
        [
            self.check.clone(),
            self.verdict.as_str().to_owned(),
            time,
            self.found.clone(),
        ]
        .map(|cell| visible(&cell))
    }
}

/// All that was tried.
#[derive(Debug, Default)]
pub struct Report(Vec<Row>);

impl Report {
    pub fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.0.extend(rows);
    }

    fn count(&self, verdict: &str) -> usize {
        let rows = self.0.iter();
        rows.filter(|row| row.verdict.as_str() == verdict).count()
    }

    /// Whether everything works.
    pub fn is_well(&self) -> bool {
        self.count("fail") == 0
    }

    /// Why the configuration cannot be used.
    pub fn unusable(&self) -> Option<&str> {
        let row = self.0.iter().find(|row| row.verdict == Verdict::Unusable)?;
        Some(&row.found)
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = vec![["CHECK", "RESULT", "TIME", "FOUND"].map(str::to_owned)];
        rows.extend(self.0.iter().map(Row::cells));
        table::write(&rows, out)?;
        for row in self.0.iter().filter(|row| !row.advice.is_empty()) {
            writeln!(out, "\n{} ({}):", visible(&row.check), row.verdict.as_str())?;
            for advice in &row.advice {
                for (line, number) in advice.lines().zip(0..) {
                    let indent = if number == 0 { "  " } else { "      " };
                    writeln!(out, "{indent}{}", visible(line))?;
                }
            }
        }
        let [ok, warn, fail, skipped] =
            ["ok", "warn", "fail", "skipped"].map(|verdict| self.count(verdict));
        writeln!(
            out,
            "\n{ok} ok, {warn} to look at, {fail} failed, {skipped} skipped; nothing was sent and nothing stored"
        )
    }
}

/// A text without what would move the cursor or paint the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect()
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        report.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_is_a_table_then_what_to_do() {
        let mut report = Report::default();
        report.add(Row::ok("load", "1 document").took(Duration::from_millis(12)));
        assert!(report.is_well());
        report.add(Row::fail("state folder", "not\u{1b}[31m there").advise("Make it:\nmkdir x"));
        assert_eq!(
            written(&report),
            "CHECK         RESULT  TIME    FOUND\n\
             load          ok      0.01 s  1 document\n\
             state folder  fail    -       not [31m there\n\
             \n\
             state folder (fail):\n\
             \x20 Make it:\n\
             \x20     mkdir x\n\
             \n\
             1 ok, 0 to look at, 1 failed, 0 skipped; nothing was sent and nothing stored\n"
        );
        assert!(!report.is_well());
        assert_eq!(report.unusable(), None);
        report.add(Row::new("token", Verdict::Unusable, "no token"));
        assert_eq!(report.unusable(), Some("no token"));
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_needs_it() {
        for (word, quoted_word) in [
            ("/var/lib/afmetrics", "/var/lib/afmetrics"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(quoted(word), quoted_word);
        }
    }
}
