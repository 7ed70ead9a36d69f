//! Delivery: documents become requests, and every answer is looked at.
//!
//! What it promises: at most `max_connections` requests at a time over HTTP/1.1 and `max_streams`
//! over HTTP/2, on connections that are used again; no redirect is followed, as the token would go
//! with it; a document counts as accepted only on a 2xx. What it does not promise yet: a document
//! that is not accepted is gone when the round ends.

mod bodies;
mod clients;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::{Client, StatusCode, Url, Version, header};
use tracing::error;

use self::bodies::{Bodies, Body, Covers};
use self::clients::Clients;
use crate::config::EndpointConfig;
use crate::endpoint_url::without_password;
use crate::quote::{Quoting, chain};
use crate::round::Collected;
use crate::secret::Secret;

/// Arrays are long: so many at a time fill any line and bound the memory.
const ARRAYS_AT_A_TIME: usize = 8;
/// Of an answer, more than this is not read.
const LONGEST_ANSWER: usize = 64 << 10;
/// How often the client's own tasks get a turn after an answer over HTTP/1.1.
const TURNS_TO_THE_POOL: usize = 1;
/// After so many requests in a row without any answer the endpoint is taken to be away.
const GIVE_UP_AFTER: usize = 5;
/// How many different complaints of the endpoint get a line of their own.
const DIFFERENT_COMPLAINTS: usize = 20;

/// The endpoint, ready to be sent to.
pub struct Endpoint {
    clients: Clients,
    url: Url,
    token: Secret,
    batch_size: Option<usize>,
    max_connections: usize,
    max_streams: usize,
    /// For a whole request.
    patience: Duration,
}

/// What was heard of the endpoint so far.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    /// Of its last answer.
    version: Option<Version>,
    /// Requests in a row that had none.
    silence: usize,
}

impl Heard {
    fn answer(&mut self, version: Version) {
        self.version = Some(version);
        self.silence = 0;
    }
}

/// What became of a round's documents.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub accepted: u64,
    /// Answered, and not with 2xx.
    pub refused: u64,
    /// Sent without an answer.
    pub failed: u64,
    /// Not sent, as the endpoint was away or they could not be read.
    pub unsent: u64,
    /// For each collector, whether all its documents were accepted.
    pub complete: Vec<bool>,
}

impl Endpoint {
    /// Makes the HTTPS client. An error is one of configuration.
    pub fn new(config: &EndpointConfig) -> Result<Self> {
        Ok(Self {
            clients: Clients::new(config)?,
            url: config.url.clone(),
            token: config.token.clone(),
            batch_size: config.batch_size,
            max_connections: config.max_connections,
            max_streams: config.max_streams,
            patience: config.patience,
        })
    }

    /// Sends all documents and looks at every answer; what is not accepted is logged.
    pub async fn deliver(&self, collected: &mut [Collected], quoting: &Quoting) -> Outcome {
        let mut outcome = Outcome {
            complete: collected.iter().map(|c| !c.failed).collect(),
            ..Outcome::default()
        };
        let mut bodies = Bodies::new(collected, &self.token, self.batch_size);
        let mut complaints = Complaints::default();
        let mut in_flight = FuturesUnordered::new();
        let mut heard = Heard::default();
        let mut readable = true;
        loop {
            while readable && in_flight.len() < self.at_a_time(heard) {
                match bodies.next() {
                    Ok(Some(body)) => in_flight.push(self.post(body, heard, quoting)),
                    Ok(None) => break,
                    Err(why) => {
                        readable = false;
                        error!("the temporary file of documents cannot be read: {why}");
                    }
                }
            }
            let Some((covers, answer)) = in_flight.next().await else {
                break;
            };
            match answer {
                Ok(version) => {
                    heard.answer(version);
                    outcome.accepted += covers.documents;
                    continue;
                }
                Err(Refusal::Answer(version, text)) => {
                    heard.answer(version);
                    outcome.refused += covers.documents;
                    complaints.add(text);
                }
                Err(Refusal::None(text)) => {
                    heard.silence += 1;
                    outcome.failed += covers.documents;
                    complaints.add(text);
                }
            }
            for collector in covers.first..=covers.last {
                outcome.complete[collector] = false;
            }
        }
        complaints.sum_up();
        outcome.unsent = bodies.rest(&mut outcome.complete);
        if outcome.unsent > 0 && readable {
            error!(
                "{GIVE_UP_AFTER} requests in a row had no answer: {} is taken to be away, {} documents were not sent",
                without_password(self.url.as_str()),
                outcome.unsent
            );
        }
        outcome
    }

    /// How many requests may wait for their answers at the same time.
    fn at_a_time(&self, heard: Heard) -> usize {
        let most = match heard.version {
            // The first request goes alone: its answer tells which protocol is spoken.
            None if heard.silence == 0 => 1,
            Some(Version::HTTP_2) => self.max_streams,
            _ => self.max_connections,
        };
        let most = match self.batch_size {
            None => most,
            Some(_) => most.min(ARRAYS_AT_A_TIME),
        };
        match heard.silence {
            0 => most,
            // No more than those after which it is given up: each may cost a whole time-out.
            silence => most.min(GIVE_UP_AFTER.saturating_sub(silence)),
        }
    }

    async fn post(
        &self,
        body: Body,
        heard: Heard,
        quoting: &Quoting,
    ) -> (Covers, Result<Version, Refusal>) {
        let answer = match heard.version {
            Some(Version::HTTP_2) => self.ask(&self.clients.shared(), body.bytes, quoting).await,
            _ => match self.clients.take() {
                Ok(client) => {
                    let answer = self.ask(&client, body.bytes, quoting).await;
                    self.clients.give_back(client);
                    answer
                }
                Err(why) => Err(Refusal::None(self.no_answer(why))),
            },
        };
        (body.covers, answer)
    }

    async fn ask(
        &self,
        client: &Client,
        body: Vec<u8>,
        quoting: &Quoting,
    ) -> Result<Version, Refusal> {
        let mut response = client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(|why| Refusal::None(self.no_answer(why)))?;
        let (status, version) = (response.status(), response.version());
        let location = response
            .headers()
            .get(header::LOCATION)
            .map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        let mut said = Vec::new();
        // To the end, as only then the connection can be used again. An answer that breaks off
        // after its status is an answer.
        while let Ok(Some(chunk)) = response.chunk().await {
            said.extend_from_slice(&chunk);
            if said.len() > LONGEST_ANSWER {
                break;
            }
        }
        if version != Version::HTTP_2 {
            // Lets the connection get back to its pool, which takes the client's own tasks some
            // turns, before another request looks there: it would open one more.
            for _ in 0..TURNS_TO_THE_POOL {
                tokio::task::yield_now().await;
            }
        }
        if status.is_success() {
            return Ok(version);
        }
        let said = match location {
            Some(to) if status.is_redirection() => format!(
                "it points to {}, which is not followed, as the token would go with it: is -u right?",
                without_password(&to)
            ),
            _ => String::from_utf8_lossy(&said).into_owned(),
        };
        Err(Refusal::Answer(
            version,
            format!(
                "{} answered {}{}",
                without_password(self.url.as_str()),
                described(status),
                match quoting.answer(&said) {
                    said if said.is_empty() => String::new(),
                    said => format!(": {said}"),
                }
            ),
        ))
    }

    fn no_answer(&self, why: reqwest::Error) -> String {
        let url = without_password(self.url.as_str());
        if why.is_timeout() {
            return match why.is_connect() {
                true => format!(
                    "no connection to {url} within {} s",
                    Clients::connect_within(self.patience).as_secs()
                ),
                false => format!("{url} did not answer within {} s", self.patience.as_secs()),
            };
        }
        let why = chain(&why.without_url());
        let why = why.trim_start_matches("error sending request: ");
        let hint = match why.contains("UnknownIssuer") {
            true => {
                " (its certificate is of an authority that this system does not know: --ca-file)"
            }
            false => "",
        };
        format!("no answer from {url}: {why}{hint}")
    }
}

fn described(status: StatusCode) -> String {
    let hint = match status.as_u16() {
        401 | 403 => " (is the token right?)",
        413 => " (is --batch-size too large for it?)",
        _ => "",
    };
    format!("{status}{hint}")
}

/// Not a 2xx.
enum Refusal {
    Answer(Version, String),
    None(String),
}

/// What the endpoint complained of: each complaint is logged when it is first heard, and counted.
#[derive(Default)]
struct Complaints {
    heard: HashMap<String, u64>,
    others: u64,
}

impl Complaints {
    fn add(&mut self, text: String) {
        if let Some(times) = self.heard.get_mut(&text) {
            *times += 1;
        } else if self.heard.len() < DIFFERENT_COMPLAINTS {
            error!("{text}");
            self.heard.insert(text, 1);
        } else {
            self.others += 1;
        }
    }

    fn sum_up(&self) {
        for (text, times) in &self.heard {
            if *times > 1 {
                error!("{} more times: {text}", times - 1);
            }
        }
        if self.others > 0 {
            error!(
                "{} more requests were refused or not answered, for reasons of their own each",
                self.others
            );
        }
    }
}
