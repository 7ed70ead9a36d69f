//! The dashboard over a store: how long each page and each chart's numbers take, and what a browser loads for
//! a page in its first view, everything included, as it goes over the wire.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::blocking::{Client, Response};

use super::Receiver;
use crate::bench::duration;

const PAGES: &[&str] = &[
    "/",
    "/?from=-90d",
    "/?facility=facility-07",
    "/users",
    "/users?from=-90d",
    "/users?facility=facility-07&from=-90d",
    "/user?facility=facility-07&user=USER",
    "/batch",
    "/batch?from=-90d",
    "/batch?facility=facility-07&from=-90d",
    "/jupyter",
    "/jupyter?from=-90d",
    "/jupyter?facility=facility-07&from=-30d",
    "/nodes",
    "/nodes?from=-90d",
    "/nodes?facility=facility-07",
    "/nodes?facility=facility-07&from=-90d",
    "/quality",
    "/quality?from=-90d",
];

/// Each so often; the median counts.
const TIMES: usize = 5;

/// For the page, and for each of its charts' numbers.
const MOST_TIME: Duration = Duration::from_millis(150);
/// For all of a page.
const MOST_BYTES: usize = 150_000;

/// What a browser loads for a page.
struct Loaded {
    page: Duration,
    /// How long the slowest of all took, and its path.
    slowest: (Duration, String),
    bytes: usize,
}

impl Loaded {
    fn is_missed(&self) -> bool {
        self.slowest.0 > MOST_TIME || self.bytes > MOST_BYTES
    }

    fn print(&self, path: &str) {
        println!(
            "{path:<46} {:>9} {:>9} {:>7} {:>22}   at most 150 ms, 150 kB{}",
            duration(self.page),
            duration(self.slowest.0),
            self.bytes.div_ceil(1000),
            self.slowest.1,
            if self.is_missed() { ": MISSED" } else { "" },
        );
    }
}

/// Prints a row for each page.
///
/// # Errors
/// Pages are slower or larger than they may be.
pub fn run(receiver: &Receiver) -> Result<()> {
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>22}",
        "pages: median of 5", "page", "slowest", "kB", "of"
    );
    // A client wants one, although nothing here is TLS. Only the first call in a process does anything.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()?;
    let base = format!("http://{}", receiver.address);
    let user = some_user(&client, &base)?;
    let mut missed = 0;
    for page in PAGES {
        let path = page.replace("USER", &user);
        let loaded = load(&client, &base, &path)?;
        loaded.print(&path);
        missed += usize::from(loaded.is_missed());
    }
    if missed > 0 {
        bail!(
            "{missed} of {} pages are slower or larger than they may be: see the rows marked MISSED",
            PAGES.len()
        );
    }
    Ok(())
}

fn load(client: &Client, base: &str, path: &str) -> Result<Loaded> {
    let html = client.get(format!("{base}{path}")).send()?;
    let mut loads = loads(&html.error_for_status()?.text()?);
    loads.insert(path.to_owned());
    let mut loaded = Loaded {
        page: Duration::ZERO,
        slowest: (Duration::ZERO, String::new()),
        bytes: 0,
    };
    for load in &loads {
        let (took, size) = median(client, &format!("{base}{load}"))?;
        loaded.bytes += size;
        if load == path {
            loaded.page = took;
        }
        if took > loaded.slowest.0 {
            let name = load.split('?').next().unwrap_or_default();
            loaded.slowest = (took, name.to_owned());
        }
    }
    Ok(loaded)
}

fn some_user(client: &Client, base: &str) -> Result<String> {
    let url = format!("{base}/api/v1/users?facility=facility-07&from=-30d&limit=1&format=csv");
    let csv = client.get(url).send()?.error_for_status()?.text()?;
    let user = csv.lines().nth(1).and_then(|line| line.split(',').next());
    Ok(user.context("nobody was seen")?.to_owned())
}

/// What a page's HTML makes a browser load: files, and charts' numbers.
fn loads(html: &str) -> BTreeSet<String> {
    let after = |text, mark| {
        let rests = str::split(text, mark).skip(1);
        rests.filter_map(|rest: &str| rest.split('"').next())
    };
    let tags = html.split("<link ").skip(1);
    // Stylesheets and the icon.
    let linked = tags.filter_map(|rest| after(rest.split('>').next()?, "href=\"").next());
    linked
        .chain(after(html, "src=\""))
        .chain(after(html, "data-url=\""))
        .map(|url| url.replace("&#38;", "&").replace("&amp;", "&"))
        .collect()
}

/// How long it takes, and its bytes on the wire but for the status line.
fn median(client: &Client, url: &str) -> Result<(Duration, usize)> {
    let mut all = Vec::new();
    let mut size = 0;
    for _ in 0..TIMES {
        let begun = Instant::now();
        let answer = client.get(url).header("accept-encoding", "gzip").send()?;
        let answer = answer.error_for_status()?;
        let head = head(&answer);
        size = head + answer.bytes()?.len();
        all.push(begun.elapsed());
    }
    all.sort_unstable();
    Ok((all[TIMES / 2], size))
}

fn head(answer: &Response) -> usize {
    let headers = answer.headers().iter();
    headers
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_page_makes_a_browser_load() {
        let html = r#"<link rel="icon" type="image/svg+xml" href="/icon.svg">
            <link rel="stylesheet" href="/one.css"><script src="/one.js" defer></script>
            <a rel="next" href="/users">Next</a><div data-url="/panels/load?from=-1d&#38;tz=utc"></div>"#;
        let expected = [
            "/icon.svg",
            "/one.css",
            "/one.js",
            "/panels/load?from=-1d&tz=utc",
        ];
        assert_eq!(loads(html), expected.map(String::from).into());
    }
}
