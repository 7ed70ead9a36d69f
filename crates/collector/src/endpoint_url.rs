//! The endpoint's URL: what one has to be, and how one may be shown.

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use crate::quote::percent_decoded;
use crate::secret::Secret;

/// The URL of `-u`; what is worth a warning about it goes to `warnings`.
pub fn checked(text: &str, warnings: &mut Vec<String>) -> Result<Url> {
    let shown = without_password(text);
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => url,
        Ok(_) => bail!("-u {shown:?} is no URL of an endpoint: it begins with https://"),
        Err(why) => bail!("-u {shown:?} is no URL of an endpoint ({why}): it begins with https://"),
    };
    if url.scheme() == "http" && !is_loopback(&url) {
        warnings.push(format!(
            "{} is not encrypted: the token and all names can be read on the way; use https://",
            without_password(url.as_str())
        ));
    }
    Ok(url)
}

/// What in a URL must not stand in the log, in each form in which an endpoint may throw it back: the
/// password (or a user without one, which is as good as a password) as it is in the URL and decoded,
/// and what `Authorization: Basic` makes of both.
pub fn secrets(url: &Url) -> Vec<Secret> {
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let secret = if password.is_empty() { user } else { password };
    if secret.is_empty() {
        return Vec::new();
    }
    let [user, password] = [user, password].map(percent_decoded);
    let decoded = percent_decoded(secret);
    let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
    [secret.to_owned(), decoded, basic].map(Secret::new).into()
}

/// Whether a URL's host is this machine by its literal name or address.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A URL as it may be shown: without user, password, query and fragment. Works on what is no URL,
/// too: there, all before the last `@` may belong to a password.
pub fn without_password(text: &str) -> String {
    if let Ok(mut url) = Url::parse(text)
        && url.has_host()
        && url.set_username("").is_ok()
        && url.set_password(None).is_ok()
    {
        url.set_query(None);
        url.set_fragment(None);
        return url.into();
    }
    let rest = text.rsplit('@').next().unwrap_or_default();
    rest.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_password() {
        for (url, shown) in [
            ("https://example.org", "https://example.org/"),
            (
                "https://u:s3cret@example.org:8443/a/b?c=s3cret#d",
                "https://example.org:8443/a/b",
            ),
            ("https:/u:s3cret@example.org/", "https://example.org/"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://u:s3/cret@example.org/", "example.org/"),
            ("https://u:s3?cret@example.org/", "example.org/"),
            ("u:s3cret@example.org", "example.org"),
            ("htps:/u:s3cret@example.org/a", "example.org/a"),
            ("/?token=s3cret", "/"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }

    #[test]
    fn a_password_is_secret_in_every_form() {
        for (url, secrets) in [
            ("https://example.org/", &[][..]),
            (
                "https://canary-1:s3c%20ret@example.org/",
                &["s3c%20ret", "s3c ret", "Y2FuYXJ5LTE6czNjIHJldA=="],
            ),
            (
                "https://s3c%3Aret@example.org/",
                &["s3c%3Aret", "s3c:ret", "czNjOnJldDo="],
            ),
        ] {
            let found = super::secrets(&Url::parse(url).unwrap());
            let found: Vec<&str> = found.iter().map(Secret::expose).collect();
            assert_eq!(found, secrets, "{url}");
        }
    }

    #[test]
    fn plain_http_is_warned_of_unless_it_is_to_this_machine() {
        for (url, is_warned_of) in [
            ("http://192.0.2.1/", true),
            ("http://u:s3cret@collector.example.org:8080/in", true),
            ("http://localhost.example.org/", true),
            ("http://[2001:db8::1]/", true),
            ("http://127.0.0.1:8080/", false),
            ("http://127.0.0.9/", false),
            ("http://[::1]:8080/", false),
            ("http://localhost/", false),
            ("HTTP://LOCALHOST/", false),
            ("https://192.0.2.1/", false),
        ] {
            let mut warnings = Vec::new();
            checked(url, &mut warnings).unwrap();
            assert_eq!(!warnings.is_empty(), is_warned_of, "{url}: {warnings:?}");
            assert!(!warnings.concat().contains("s3cret"), "{warnings:?}");
        }
    }

    #[test]
    fn what_is_no_url_of_an_endpoint_is_refused_without_its_password() {
        for url in [
            "",
            "example.org",
            "example.org:8443",
            "u:s3cret@example.org",
            "//u:s3cret@example.org/",
            "ftp://u:s3cret@example.org/",
            "https://",
            "https://u:s3/cret@example.org/",
            "file:///etc/passwd",
        ] {
            let why = checked(url, &mut Vec::new()).unwrap_err().to_string();
            assert!(why.contains("https://"), "{url}: {why}");
            assert!(!why.contains("s3"), "{url}: {why}");
        }
    }
}
