//! Tokens and salts: where they come from, and that they are never shown.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Variables that hold a secret, or say where some are: no child process inherits them. The first two are no
/// flags' like the others.
pub const VARIABLES: [&str; 4] = [
    "AFMETRICS_TOKEN",
    "AFMETRICS_SALT",
    "AFMETRICS_URL",
    "AFMETRICS_CONFIG",
];

/// A token, a salt, or what may hold a password. It can be used, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a token is called where one is read.
const TOKEN: &str = "token";

/// Whether this can be no token, but is a file of several lines, or of another kind.
pub fn is_no_token(secret: &Secret) -> bool {
    let text = secret.expose();
    text.trim().is_empty() || text.contains(char::is_control)
}

/// A secret by flag, file or environment, in that order. Empty is as good as none.
pub fn read(
    what: &str,
    flag: Option<Secret>,
    file: Option<&Path>,
    env: Option<OsString>,
) -> Result<Option<Secret>> {
    let secret = if let Some(flag) = flag {
        flag
    } else if let Some(file) = file {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the {what} from {}", file.display()))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            bail!("the {what} file {} is empty", file.display());
        }
        let secret = Secret::new(text);
        if what == TOKEN && is_no_token(&secret) {
            bail!(
                "the {what} file {} is blank, or has several lines or a control character in it: the token is its only line",
                file.display()
            );
        }
        secret
    } else if let Some(env) = env {
        let Ok(text) = env.into_string() else {
            bail!("AFMETRICS_{} is not UTF-8", what.to_uppercase());
        };
        Secret::new(text)
    } else {
        return Ok(None);
    };
    Ok((!secret.expose().is_empty()).then_some(secret))
}

/// What to say of a secret that was given by flag.
pub fn on_command_line(what: &str) -> String {
    format!(
        "the {what} stands on the command line, where every user of this node can read it (ps): \
         prefer --{what}-file or AFMETRICS_{}",
        what.to_uppercase()
    )
}
