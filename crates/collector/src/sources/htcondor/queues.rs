//! Queues: lists of jobs that are counted, each under a name and by a constraint.

use anyhow::{Result, bail};

use crate::documents::Audience;

/// One `-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// A ClassAd expression; `None`: all jobs.
    pub constraint: Option<String>,
}

impl Queue {
    /// `NAME:CONSTRAINT`; only the first colon separates, the constraint may have others.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((name, constraint)) = text.split_once(':') else {
            bail!(
                "-q {text:?} has no colon: it takes NAME:CONSTRAINT, or {text}: for all jobs under that name"
            );
        };
        if name.trim().is_empty() {
            bail!("-q {text:?} has no name before the colon: it takes NAME:CONSTRAINT");
        }
        let constraint = constraint.trim();
        Ok(Self {
            name: name.trim().to_owned(),
            constraint: (!constraint.is_empty()).then(|| constraint.to_owned()),
        })
    }
}

/// Sees that queues can be told apart where their numbers are wanted. The old script took two of one name, and
/// documents may have it: so it is none of the documents' business.
pub fn check(queues: &[Queue], audiences: &[Audience]) -> Result<()> {
    let mut names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|names| names[0] == names[1]);
    if let Some(names) = twice
        && audiences
            .iter()
            .any(|audience| audience.measures_only && audience.hears_of("condorqueue"))
    {
        bail!(
            "two queues (-q) have the name {:?}, and would be one in the metrics (--listen, --textfile, protocol = \"otlp\"): give each its own",
            names[0]
        );
    }
    Ok(())
}
