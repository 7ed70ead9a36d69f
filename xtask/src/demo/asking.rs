//! What the demo asks the receiver at the end: whether documents arrived, and what it knows now.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use super::FACILITY;
use super::folder::Folder;

pub struct Asking {
    client: reqwest::Client,
    url: String,
}

impl Asking {
    pub fn new(url: &str, folder: &Folder) -> Result<Self> {
        // Only the first call in a process does anything.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(&fs::read(folder.ca())?)?;
        let token = fs::read_to_string(folder.viewer_token())?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()))?;
        bearer.set_sensitive(true);
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .tls_certs_only([ca])
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
        })
    }

    /// Prints what the receiver has.
    ///
    /// # Errors
    /// It has nothing of the demo's facility, or does not answer.
    pub async fn show(&self) -> Result<()> {
        let facilities = self.get("facilities").await?;
        let nodes = self.get("nodes").await?;
        println!("\nwhat the receiver has:");
        for (name, answer) in [("facilities", &facilities), ("nodes", &nodes)] {
            if let Some(answer) = answer {
                println!("GET /api/v1/{name}");
                println!("{}", serde_json::to_string_pretty(answer)?);
            }
        }
        let arrived = facilities.is_some_and(|answer| answer.to_string().contains(FACILITY));
        if !arrived {
            bail!("no document of {FACILITY} has arrived: the lines above say why");
        }
        Ok(())
    }

    /// The answer to a question; `None`: there is no such question.
    async fn get(&self, question: &str) -> Result<Option<Value>> {
        let url = format!("{}/api/v1/{question}", self.url);
        let answer = self
            .client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("the receiver does not answer GET {url}"))?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {url}: {status}: {text}");
        }
        Ok(Some(serde_json::from_str(&text)?))
    }
}
