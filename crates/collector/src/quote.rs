//! Text from elsewhere, made fit for the log: a program's standard error, an endpoint's answer.

use crate::config::Secret;

/// The longest quotation, in bytes.
const LONGEST: usize = 200;

/// How foreign text may be quoted in this round.
#[derive(Debug, Clone)]
pub struct Quoting {
    secrets: Vec<Secret>,
    /// Under `-o` or `-O` no clear name may stand in the log, and foreign text can hold any name.
    withhold: bool,
}

impl Quoting {
    pub fn new(secrets: Vec<Secret>, withhold: bool) -> Self {
        Self { secrets, withhold }
    }

    /// The first two lines that say something, or, where names must not stand in the log, only
    /// the error codes in them.
    pub fn lines(&self, text: &str) -> String {
        if !self.withhold {
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .take(2)
                .collect();
            return self.answer(&lines.join(" / "));
        }
        let codes: Vec<String> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
            .filter_map(code)
            .take(3)
            .collect();
        match codes.is_empty() {
            true => {
                "(its message is withheld under -o and -O; run it by hand to see it)".to_owned()
            }
            false => format!(
                "{} (the rest is withheld under -o and -O; run it by hand to see it)",
                codes.join(", ")
            ),
        }
    }

    /// An answer of the endpoint, which was told no name that may not stand in the log: its first
    /// 200 bytes, without secrets and control characters.
    pub fn answer(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            let secret = secret.expose();
            // As it is, and as it stands in JSON.
            let json = serde_json::Value::from(secret).to_string();
            for form in [secret, json.trim_matches('"')] {
                if !form.is_empty() {
                    text = text.replace(form, "[secret]");
                }
            }
        }
        let mut quoted = String::new();
        for c in text.trim().chars() {
            let c = if c.is_control() { ' ' } else { c };
            if quoted.len() + c.len_utf8() > LONGEST {
                break;
            }
            quoted.push(c);
        }
        quoted
    }
}

/// An error code of HTCondor, `CEDAR:6001:Failed...`: it names the trouble and nobody.
fn code(word: &str) -> Option<String> {
    let mut parts = word.split(':');
    let (area, number) = (parts.next()?, parts.next()?);
    let is_code = area.len() > 2
        && area.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=5).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| format!("{area}:{number}"))
}

/// An error and its causes in a line, without those that their effect quotes anyway.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_secret_is_never_quoted_not_even_cut() {
        let quoting = Quoting::new(vec![Secret::new("tok\"en")], false);
        let filler = "x".repeat(LONGEST - 3);
        for text in [
            "bad tok\"en!",
            r#"{"was":"tok\"en"}"#,
            &format!("{filler}tok\"en"),
        ] {
            let quoted = quoting.answer(text);
            assert!(!quoted.contains("tok"), "{quoted}");
        }
    }

    #[test]
    fn names_are_withheld_and_codes_are_not() {
        let said = "\n-- Failed to fetch ads from: <127.0.0.1:9618> : login01.example.edu\nCEDAR:6001:Failed to connect\n";
        let open = Quoting::new(Vec::new(), false).lines(said);
        assert!(open.starts_with("-- Failed to fetch ads from"), "{open}");
        assert!(open.contains("CEDAR:6001"), "{open}");
        let closed = Quoting::new(Vec::new(), true).lines(said);
        assert!(closed.starts_with("CEDAR:6001"), "{closed}");
        assert!(!closed.contains("login01"), "{closed}");
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        let quoting = Quoting::new(Vec::new(), false);
        assert_eq!(quoting.answer("a\u{1b}[31m\nb"), "a [31m b");
    }
}
