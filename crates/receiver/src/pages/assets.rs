//! Files that pages load: compiled in, named with a digest of what they hold, so that browsers may keep them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ring::digest;

use crate::answer;
use crate::app::App;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name, type and text of each file.
const FILES: [(&str, &str, &str); 5] = [
    (
        "dashboard.css",
        STYLE,
        include_str!("../../assets/dashboard.css"),
    ),
    (
        "dashboard.js",
        SCRIPT,
        include_str!("../../assets/dashboard.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../assets/icon.svg"),
    ),
    (
        "uplot.css",
        STYLE,
        include_str!("../../assets/uplot/uPlot.min.css"),
    ),
    (
        "uplot.js",
        SCRIPT,
        include_str!("../../assets/uplot/uPlot.iife.min.js"),
    ),
];

/// The files' URLs.
#[derive(Debug)]
pub struct Assets {
    urls: Vec<(&'static str, String)>,
}

impl Default for Assets {
    fn default() -> Self {
        let url = |(name, _, text): (&'static str, &str, &str)| {
            let sum = digest::digest(&digest::SHA256, text.as_bytes());
            let mut url = format!("/assets/{name}?");
            for byte in &sum.as_ref()[..6] {
                let _ = write!(url, "{byte:02x}");
            }
            (name, url)
        };
        Self {
            urls: FILES.map(url).into(),
        }
    }
}

impl Assets {
    /// The URL of a file, which changes when the file does.
    pub fn url(&self, name: &str) -> &str {
        let found = self.urls.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, url)| url)
    }
}

/// `GET /assets/NAME`.
pub async fn answer(State(_): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        None => answer::error(StatusCode::NOT_FOUND, "there is no such file"),
        Some((_, kind, text)) => {
            let headers = [
                (header::CONTENT_TYPE, *kind),
                // A year; a new file has a new URL.
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, *text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_styles_load_nothing_from_elsewhere() {
        for (name, _, text) in FILES {
            assert!(
                !text.contains("@import") && !text.contains("//cdn"),
                "{name}"
            );
            assert!(!text.contains("url(http"), "{name}");
        }
    }

    #[test]
    fn every_file_has_a_url_of_its_own() {
        let assets = Assets::default();
        for (name, ..) in FILES {
            let url = assets.url(name);
            assert!(
                url.starts_with(&format!("/assets/{name}?")) && url.len() > 20,
                "{url}"
            );
        }
    }
}
