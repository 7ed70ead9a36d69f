//! Counts what could be read of a source's output and what could not.

use tracing::warn;

use crate::error::CollectError;

/// How much of an output was usable, and where the first bad place is. What stands there is never
/// quoted: it may hold a name.
#[derive(Debug, Default)]
pub struct Tally {
    good: u64,
    bad: u64,
    first: Option<(u64, String)>,
}

impl Tally {
    pub fn good(&mut self) {
        self.good += 1;
    }

    /// Counts something unusable that begins on this line (from 1).
    pub fn bad(&mut self, line: u64, why: impl Into<String>) {
        self.bad += 1;
        if self.first.is_none() {
            self.first = Some((line, why.into()));
        }
    }

    /// What was counted as good last is not: it is on this line.
    pub fn bad_after_all(&mut self, line: u64, why: impl Into<String>) {
        self.good = self.good.saturating_sub(1);
        self.bad(line, why);
    }

    /// Judges the whole: some bad ones are worth a line, nothing but bad ones is a failure.
    pub fn verdict(self, program: &str, what: &str) -> Result<(), CollectError> {
        self.verdict_of("", program, what)
    }

    /// The same; `label`: what stands before the line, where a program is asked about several of a kind.
    pub fn verdict_of(self, label: &str, program: &str, what: &str) -> Result<(), CollectError> {
        let Some((line, why)) = self.first else {
            return Ok(());
        };
        if self.good == 0 {
            return Err(CollectError::Malformed(format!(
                "no usable {what} in the output of {program}; the first bad place is line {line}: {why}"
            )));
        }
        warn!(
            "{label}{} of {} {what}s in the output of {program} could not be read and were left out; the first is on line {line}: {why}",
            self.bad,
            self.bad + self.good
        );
        Ok(())
    }
}
