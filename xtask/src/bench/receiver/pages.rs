//! The dashboard over a store: how long each page and each chart's numbers take, and what a browser loads for
//! a page in its first view, everything included, as it goes over the wire.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::blocking::{Client, Response};

use super::Receiver;
use crate::bench::duration;

const PAGES: &[&str] = &[
    "/",
    "/?facility=facility-07",
    "/users",
    "/users?facility=facility-07&from=-90d",
    "/user?facility=facility-07&user=USER",
    "/batch",
    "/batch?facility=facility-07&from=-90d",
    "/jupyter",
    "/jupyter?facility=facility-07&from=-30d",
    "/nodes?facility=facility-07",
    "/nodes?facility=facility-07&from=-90d",
    "/quality",
    "/quality?from=-90d",
];

/// Each so often; the median counts.
const TIMES: usize = 5;

/// Prints a row for each page.
pub fn run(receiver: &Receiver) -> Result<()> {
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>22}",
        "pages: median of 5", "page", "slowest", "kB", "of"
    );
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()?;
    let base = format!("http://{}", receiver.address);
    let user = some_user(&client, &base)?;
    for page in PAGES {
        let path = page.replace("USER", &user);
        let html = client.get(format!("{base}{path}")).send()?;
        let html = html.error_for_status()?.text()?;
        let mut loads = loads(&html);
        loads.insert(path.clone());
        let (mut bytes, mut slowest) = (0, (Duration::ZERO, String::new()));
        let mut own = Duration::ZERO;
        for load in &loads {
            let (took, size) = median(&client, &format!("{base}{load}"))?;
            bytes += size;
            if *load == path {
                own = took;
            }
            if took > slowest.0 {
                let name = load.split('?').next().unwrap_or_default();
                slowest = (took, name.to_owned());
            }
        }
        println!(
            "{path:<46} {:>9} {:>9} {:>7} {:>22}   at most 150 ms, 150 kB",
            duration(own),
            duration(slowest.0),
            bytes.div_ceil(1000),
            slowest.1,
        );
    }
    Ok(())
}

fn some_user(client: &Client, base: &str) -> Result<String> {
    let url = format!("{base}/api/v1/users?facility=facility-07&from=-30d&limit=1&format=csv");
    let csv = client.get(url).send()?.error_for_status()?.text()?;
    let user = csv.lines().nth(1).and_then(|line| line.split(',').next());
    Ok(user.context("nobody was seen")?.to_owned())
}

/// What a page's HTML makes a browser load: files, and charts' numbers.
fn loads(html: &str) -> BTreeSet<String> {
    let after = |mark: &'static str| {
        html.split(mark)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
    };
    let files = after("src=\"").chain(after("rel=\"stylesheet\" href=\""));
    files
        .chain(after("data-url=\""))
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
