//! Why a source could not be read, in words for the log.

use afmetrics_document::CollectorResult;

/// Why a source could not be read. No data is not an error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CollectError {
    /// The node, or the cluster, does not have what was to be read.
    #[error("{0}")]
    NotHere(String),
    /// Somebody asked for it by name and there is no such thing: misspelt, most likely. WARN.
    #[error("{0}")]
    Misnamed(String),
    /// It was there and failed: a program's exit status, a refused request.
    #[error("{0}")]
    Failed(String),
    /// It said nothing for too long.
    #[error("{0}")]
    TimedOut(String),
    /// What it said is not what it should be.
    #[error("{0}")]
    Malformed(String),
}

impl CollectError {
    /// The same as a heartbeat says it: the text may hold a name, and stays in the log.
    pub fn result(&self) -> CollectorResult {
        match self {
            Self::NotHere(_) | Self::Misnamed(_) => CollectorResult::NotHere,
            Self::Failed(_) => CollectorResult::Failed,
            Self::TimedOut(_) => CollectorResult::TimedOut,
            Self::Malformed(_) => CollectorResult::Malformed,
        }
    }

    /// The same error, said of a part of the source.
    #[must_use]
    pub fn of(self, part: &str) -> Self {
        match self {
            Self::NotHere(text) => Self::NotHere(format!("{part}: {text}")),
            Self::Misnamed(text) => Self::Misnamed(format!("{part}: {text}")),
            Self::Failed(text) => Self::Failed(format!("{part}: {text}")),
            Self::TimedOut(text) => Self::TimedOut(format!("{part}: {text}")),
            Self::Malformed(text) => Self::Malformed(format!("{part}: {text}")),
        }
    }
}
