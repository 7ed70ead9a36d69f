//! Why a question is not answered.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::answer;

#[derive(Debug)]
pub enum Refused {
    /// 400: which parameter, and what was expected of it.
    Parameter(String),
    /// 403: another facility's viewer.
    Forbidden,
    /// 404: a parameter names what nothing was heard of.
    Unknown(&'static str, String),
    /// 406: raw documents are not to be had as CSV.
    NoCsv,
    /// 503: it took too long.
    TooSlow,
    /// 503: enough others are at it.
    Busy(&'static str),
    /// 500: the store cannot be read.
    Failed(anyhow::Error),
}

impl Refused {
    /// A parameter's value is not what was expected.
    pub fn value(name: &str, value: &str, expected: &str) -> Self {
        let value = crate::documents::quoted(value);
        Self::Parameter(format!(
            "parameter `{name}`: expected {expected}, found \"{value}\""
        ))
    }

    /// Nothing was heard of what a parameter names.
    pub fn unknown(name: &'static str, value: &str) -> Self {
        Self::Unknown(name, value.to_owned())
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(why: rusqlite::Error) -> Self {
        match why.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Failed(why.into()),
        }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(why: anyhow::Error) -> Self {
        Self::Failed(why)
    }
}

impl fmt::Display for Refused {
    /// What a person is told.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Parameter(why) => to.write_str(why),
            Refused::Forbidden => {
                to.write_str("parameter `facility`: this token is for reading another facility")
            }
            Refused::Unknown(name, value) => write!(
                to,
                "parameter `{name}`: nothing was heard of \"{}\"",
                crate::documents::quoted(value)
            ),
            Refused::NoCsv => to.write_str(
                "raw documents are lines of JSON, not CSV: expected `Accept: application/x-ndjson` (afmetrics_receiver export --csv writes CSV)",
            ),
            Refused::TooSlow => to.write_str(
                "the answer takes longer than 30 s: ask for a shorter span, a longer step or one facility",
            ),
            Refused::Busy(why) => to.write_str(why),
            Refused::Failed(_) => to.write_str("the store cannot be read"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        use StatusCode as S;
        let why = self.to_string();
        match self {
            Refused::Parameter(_) => answer::error(S::BAD_REQUEST, why),
            Refused::Forbidden => answer::error(S::FORBIDDEN, why),
            Refused::Unknown(..) => answer::error(S::NOT_FOUND, why),
            Refused::NoCsv => answer::error(S::NOT_ACCEPTABLE, why),
            Refused::TooSlow | Refused::Busy(_) => answer::later(S::SERVICE_UNAVAILABLE, why, 10),
            Refused::Failed(cause) => {
                tracing::error!("a question cannot be answered: {cause:#}");
                answer::error(S::INTERNAL_SERVER_ERROR, why)
            }
        }
    }
}
