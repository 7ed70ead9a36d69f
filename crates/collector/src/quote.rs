//! Text from elsewhere, made fit for the log: a program's standard error, an endpoint's answer.

use crate::secret::Secret;

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
            text = without(&text, secret.expose());
        }
        let mut quoted = String::new();
        for c in text.trim().chars() {
            let c = if is_invisible(c) { ' ' } else { c };
            if quoted.len() + c.len_utf8() > LONGEST {
                break;
            }
            quoted.push(c);
        }
        quoted
    }
}

/// The text without a secret in it, however an answer may spell it: as it is, or with any of its
/// characters escaped as in JSON or in a URL, or cut off by the end of the text.
fn without(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let text = text.replace(secret, "[secret]");
    let mut clean = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        match behind(rest, secret) {
            Some(behind) => {
                clean.push_str("[secret]");
                rest = behind;
            }
            None => {
                clean.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    clean
}

/// So much of a secret at the end of a text is taken for the beginning of it.
const CUT: usize = 4;

/// What follows the secret that a text begins with.
fn behind<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    let mut rest = text;
    for (number, wanted) in secret.chars().enumerate() {
        if rest.is_empty() && number >= CUT {
            return Some(rest);
        }
        rest = spellings(rest).find_map(|(c, rest)| (c == wanted).then_some(rest))?;
    }
    Some(rest)
}

/// The ways to read the first character of a text, each with what follows it.
fn spellings(text: &str) -> impl Iterator<Item = (char, &str)> {
    let plain = text.chars().next().map(|c| (c, &text[c.len_utf8()..]));
    let escaped = text.strip_prefix('\\').and_then(|text| {
        let c = text.chars().next()?;
        let meant = match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return utf16(text),
            c => c,
        };
        Some((meant, &text[c.len_utf8()..]))
    });
    [escaped, percent(text), plain].into_iter().flatten()
}

/// `u0041`, or a pair of them with the backslash between.
fn utf16(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let first = unit(text)?;
    let second = text
        .get(5..)
        .and_then(|text| unit(text.strip_prefix('\\')?));
    if let Ok(c) = char::decode_utf16([first]).next()? {
        return Some((c, &text[5..]));
    }
    let c = char::decode_utf16([first, second?]).next()?.ok()?;
    Some((c, &text[11..]))
}

/// `%41`, for each byte of the character.
fn percent(text: &str) -> Option<(char, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while bytes.len() < 4 {
        let hex = rest.strip_prefix('%')?.get(..2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[3..];
        if let Ok(c) = std::str::from_utf8(&bytes) {
            return Some((c.chars().next()?, rest));
        }
    }
    None
}

/// What a part of a URL stands for.
pub fn percent_decoded(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (c, behind) = percent(rest).unwrap_or((first, &rest[first.len_utf8()..]));
        decoded.push(c);
        rest = behind;
    }
    decoded
}

/// What would change the look of a log without being seen: control characters, other line ends,
/// and marks of the direction of writing.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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
    fn a_secret_is_found_however_it_is_spelt() {
        let quoting = Quoting::new(vec![Secret::new("t0/k\"é😀+n")], false);
        for text in [
            r#"{"token":"t0\/k\"é😀+n"}"#,
            r#"{"token":"t0/k\u0022\u00e9\ud83d\ude00+n"}"#,
            r#"{"token":"\u00740\/k\"\u00E9\uD83D\uDE00\u002Bn"}"#,
            "?token=t0%2Fk%22%C3%A9%f0%9f%98%80%2bn",
            r#"cut by the endpoint: t0/k\"é"#,
        ] {
            let quoted = quoting.answer(text);
            assert!(quoted.contains("[secret]"), "{text}: {quoted}");
            assert!(!quoted.contains("t0"), "{text}: {quoted}");
        }
        assert_eq!(
            quoting.answer("t0/x is none, nor is t0"),
            "t0/x is none, nor is t0"
        );
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
        assert_eq!(quoting.answer("a\u{202e}b\u{2028}c\u{9b}d"), "a b c d");
        assert_eq!(quoting.answer("a\u{1b}[31m\nb"), "a [31m b");
    }

    proptest::proptest! {
        #[test]
        fn quoting_never_panics_and_keeps_its_length(text: String, secret: String) {
            let quoted = Quoting::new(vec![Secret::new(secret)], false).answer(&text);
            assert!(quoted.len() <= LONGEST);
        }

        #[test]
        fn escapes_never_panic(text in r"[\\u%0-9a-fA-F]{0,40}") {
            without(&text, "t0ken");
            percent_decoded(&text);
        }
    }
}
