//! Delivery: documents become requests, and every answer is looked at.
//!
//! What it promises: at most `max_connections` requests at a time over HTTP/1.1 and `max_streams`
//! over HTTP/2, on connections that are used again; no redirect is followed, as the token would go
//! with it; a document counts as accepted only on a 2xx; it ends within the time of `--deliver-for`.
//! What it does not promise: a request whose connection breaks before its answer may have arrived, and
//! is sent once more if the endpoint has answered others, as servers close connections that they have
//! kept open; so its documents may arrive twice. And not yet: a document that is not accepted is
//! gone when the round ends.

mod bodies;
mod clients;
mod complaints;

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::{Client, StatusCode, Url, Version, header};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::error;

use self::bodies::{Bodies, Body};
use self::clients::Clients;
use self::complaints::Complaints;
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
/// What to do about an error of TLS, by the word for it.
const HINTS: [(&str, &str); 4] = [
    (
        "UnknownIssuer",
        "its certificate is of an authority that neither this system nor --ca-file knows",
    ),
    (
        "CaUsedAsEndEntity",
        "its certificate is one for signing others: the endpoint needs one with CA:FALSE",
    ),
    (
        "certificate not valid for name",
        "is the host in -u the one that the certificate is for?",
    ),
    (
        "certificate expired",
        "the endpoint needs a new one; or is this node's clock wrong?",
    ),
];
/// Before a request is sent once more: a server that is being restarted is back soon.
const BEFORE_ONCE_MORE: Duration = Duration::from_secs(1);

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
    /// For a whole round.
    deliver_for: Duration,
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
    /// All there were; the next four add up to it.
    pub documents: u64,
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
            deliver_for: config.deliver_for,
        })
    }

    /// Sends all documents and looks at every answer; what is not accepted is logged.
    pub async fn deliver(&self, collected: &mut [Collected], quoting: &Quoting) -> Outcome {
        let mut outcome = Outcome {
            documents: collected.iter().map(Collected::count).sum(),
            complete: collected.iter().map(|c| !c.failed).collect(),
            ..Outcome::default()
        };
        let mut bodies = Bodies::new(collected, &self.token, self.batch_size);
        let mut complaints = Complaints::default();
        let mut in_flight = FuturesUnordered::new();
        let mut heard = Heard::default();
        let mut readable = true;
        // For each collector, its requests that were sent and not accepted.
        let mut unaccepted = vec![0_u64; outcome.complete.len()];
        let deadline = Instant::now() + self.deliver_for;
        let in_time = loop {
            while readable && in_flight.len() < self.at_a_time(heard) {
                match bodies.next() {
                    Ok(Some(body)) => {
                        for requests in &mut unaccepted[body.covers.collectors()] {
                            *requests += 1;
                        }
                        in_flight.push(self.post(body, heard, quoting));
                    }
                    Ok(None) => break,
                    Err(why) => {
                        readable = false;
                        error!("the temporary file of documents cannot be read: {why}");
                    }
                }
            }
            let (body, answer) = match timeout_at(deadline, in_flight.next()).await {
                Ok(Some(answered)) => answered,
                Ok(None) => break true,
                Err(_) => break false,
            };
            let covers = body.covers;
            match answer {
                Ok(version) => {
                    heard.answer(version);
                    outcome.accepted += covers.documents;
                    for requests in &mut unaccepted[covers.collectors()] {
                        *requests -= 1;
                    }
                }
                Err(Refusal::Cut) => {
                    in_flight.push(self.post(body.once_more(), heard, quoting));
                }
                Err(Refusal::Answer(version, refusal, said)) => {
                    heard.answer(version);
                    outcome.refused += covers.documents;
                    complaints.add(refusal, &said);
                }
                Err(Refusal::None(why)) => {
                    heard.silence += 1;
                    outcome.failed += covers.documents;
                    complaints.add(why, "");
                }
            }
        };
        drop(in_flight);
        for (complete, requests) in outcome.complete.iter_mut().zip(&unaccepted) {
            *complete &= *requests == 0;
        }
        complaints.sum_up();
        outcome.unsent = bodies.rest(&mut outcome.complete);
        self.end(&mut outcome, in_time, readable);
        outcome
    }

    /// Says why documents were left over.
    fn end(&self, outcome: &mut Outcome, in_time: bool, readable: bool) {
        let url = without_password(self.url.as_str());
        if !in_time {
            let answered = outcome.accepted + outcome.refused + outcome.failed;
            outcome.failed += outcome.documents - answered - outcome.unsent;
            error!(
                "{url} is too slow: after {} s {} documents had no answer or were not sent (--deliver-for)",
                self.deliver_for.as_secs(),
                outcome.documents - answered
            );
        } else if outcome.unsent > 0 && readable {
            error!(
                "{GIVE_UP_AFTER} requests in a row had no answer: {url} is taken to be away, {} documents were not sent",
                outcome.unsent
            );
        }
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

    /// Sends a request, and gives it back with what came of it.
    async fn post(
        &self,
        body: Body,
        heard: Heard,
        quoting: &Quoting,
    ) -> (Body, Result<Version, Refusal>) {
        if body.is_second_try {
            sleep(BEFORE_ONCE_MORE).await;
        }
        let answer = match heard.version {
            Some(Version::HTTP_2) => {
                let client = self.clients.shared();
                self.ask(&client, &body, heard, quoting).await
            }
            _ => match self.clients.take() {
                Ok(client) => {
                    let answer = self.ask(&client, &body, heard, quoting).await;
                    if !matches!(answer, Err(Refusal::Cut | Refusal::None(_))) {
                        self.clients.give_back(client);
                    }
                    answer
                }
                Err(why) => Err(Refusal::None(self.no_answer(why))),
            },
        };
        (body, answer)
    }

    async fn ask(
        &self,
        client: &Client,
        body: &Body,
        heard: Heard,
        quoting: &Quoting,
    ) -> Result<Version, Refusal> {
        let mut response = client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.bytes.clone())
            .send()
            .await
            .map_err(|why| {
                let is_cut = !why.is_timeout() && !why.is_connect();
                match is_cut && heard.version.is_some() && !body.is_second_try {
                    true => Refusal::Cut,
                    false => Refusal::None(self.no_answer(why)),
                }
            })?;
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
        let refusal = format!(
            "{} answered {}",
            without_password(self.url.as_str()),
            described(status)
        );
        Err(Refusal::Answer(version, refusal, quoting.answer(&said)))
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
        let hint = HINTS
            .iter()
            .find(|(sign, _)| why.contains(sign))
            .map_or(String::new(), |(_, hint)| format!(" ({hint})"));
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
    /// The answer in our words, and what it said itself.
    Answer(Version, String, String),
    /// The endpoint had answered before, and a connection to it broke: worth a second try.
    Cut,
    None(String),
}
