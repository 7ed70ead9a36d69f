//! Delivery: documents become requests, and every answer is looked at.
//!
//! What it promises: at most `max_connections` requests at a time over HTTP/1.1 and `max_streams`
//! over HTTP/2, on connections that are used again; no redirect is followed, as the token would go
//! with it; a document counts as accepted only on a 2xx; what became of a request is noted where its
//! documents came from before another request takes its place; it ends within the time of
//! `--deliver-for`, and after five requests in a row without success.
//!
//! There are three answers. *Accepted* ends a document, *rejected* puts it aside for a person, *later* leaves
//! it where it is: it is tried some more times in this round, each after a longer pause, then left to the
//! next one.

mod answers;
mod clients;
mod complaints;
mod from_spool;
mod parcels;
mod wrapping;

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::Fuse;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::{Client, StatusCode, Url, Version, header};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use self::answers::{Meaning, backoff, meaning, retry_after};
use self::clients::Clients;
pub use self::clients::tls_judged_by;
use self::complaints::{Complaints, Weight};
pub use self::from_spool::{CLEAR, FromSpool, Seen, Wanted, timestamp};
pub use self::parcels::{Answer, Answered, FromMemory, Left, Parcel, Source};
pub use self::wrapping::Wrapping;
use crate::aside::Kept;
use crate::cli::Protocol;
use crate::config::EndpointConfig;
use crate::counted::{counted, of};
use crate::endpoint_url::without_password;
use crate::measures::{otlp, own};
use crate::quote::{Quoting, chain};
use crate::signals::Ending;

/// Arrays are long: so many at a time fill any line and bound the memory.
const ARRAYS_AT_A_TIME: usize = 8;
/// When the program is to end, the requests that are in flight may still be answered within this. They are
/// sent again if they are not.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Of an answer, more than this is not read.
const LONGEST_ANSWER: usize = 64 << 10;
/// After so many requests in a row without success the endpoint is left alone until the next round.
const GIVE_UP_AFTER: usize = 5;
/// How often a request is sent in one round, at most.
const TRIES: u32 = 5;
/// While the endpoint fails, so many bytes of documents are looked at for some that it takes: those that
/// it cannot stomach may be all that is left of the oldest batches.
const LOOK_AHEAD: usize = 4 << 20;
/// So many requests, and bytes of documents in them, are kept in memory to be tried again; more are left
/// to the next round.
const AGAIN_AT_MOST: (usize, usize) = (1000, 8 << 20);
/// A body that is shorter is not worth packing.
const WORTH_PACKING: usize = 1024;
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

/// The endpoint, ready to be sent to.
pub struct Endpoint {
    /// What the log and the metrics call it.
    pub name: String,
    clients: Clients,
    url: Url,
    pub wrapping: Wrapping,
    gzip: bool,
    max_connections: usize,
    max_streams: usize,
    /// For a whole request.
    patience: Duration,
    /// For a whole round.
    deliver_for: Duration,
}

/// What became of the documents that were sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub accepted: u64,
    /// Of the accepted ones, those of earlier rounds.
    pub late: u64,
    pub rejected: u64,
    pub left: Left,
    /// What is left cannot be known.
    pub is_unknown: bool,
    /// How many requests were answered how, in the order of [`own::Answer::ALL`].
    answers: [u64; own::Answer::ALL.len()],
}

impl Outcome {
    /// How many requests were answered how.
    pub fn answers(&self) -> impl Iterator<Item = (own::Answer, u64)> {
        own::Answer::ALL.into_iter().zip(self.answers)
    }

    fn count(&mut self, answer: own::Answer) {
        let all = own::Answer::ALL.iter().zip(&mut self.answers);
        all.filter(|(known, _)| **known == answer)
            .for_each(|(_, count)| *count += 1);
    }

    /// Adds what a later delivery of the same round came to.
    pub fn add(&mut self, later: Outcome) {
        self.accepted += later.accepted;
        self.late += later.late;
        self.rejected += later.rejected;
        self.is_unknown |= later.is_unknown;
        for (sum, count) in self.answers.iter_mut().zip(later.answers) {
            *sum += count;
        }
        let (sum, left) = (&mut self.left, later.left);
        sum.lost += left.lost;
        // These are still there in each turn.
        sum.waiting = left.waiting;
        sum.is_unseen = left.is_unseen;
        sum.batches = left.batches;
        sum.bytes = left.bytes;
        sum.since = left.since.or(sum.since);
        sum.damaged += left.damaged;
        sum.given_up += left.given_up;
        sum.has_failed |= left.has_failed;
        sum.unreadable = left.unreadable;
        sum.too_clear = left.too_clear;
    }
}

impl Endpoint {
    /// Makes the HTTPS client. An error is one of configuration.
    pub fn new(config: &EndpointConfig) -> Result<Self> {
        Ok(Self {
            name: config.name.clone(),
            clients: Clients::new(config)?,
            url: config.url.clone(),
            wrapping: match config.protocol {
                Protocol::Documents => Wrapping::documents(&config.token, config.batch_size),
                Protocol::Otlp => {
                    Wrapping::metrics(&config.token).context("the token can stand in no header")?
                }
            },
            gzip: config.gzip,
            max_connections: config.max_connections,
            max_streams: config.max_streams,
            patience: config.patience,
            deliver_for: config.deliver_for,
        })
    }

    /// Its URL, as it may be shown: what waits for it is known by this.
    pub fn shown(&self) -> String {
        without_password(self.url.as_str())
    }

    /// When a delivery that begins now has to end.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.deliver_for
    }

    /// Sends what the source has and looks at every answer. When the end is near, nothing more is sent.
    pub async fn deliver(
        &self,
        source: Kept<Box<dyn Source>>,
        quoting: &Quoting,
        deadline: Instant,
        ending: Ending,
    ) -> Outcome {
        let mut delivering = Delivering::new(self);
        delivering.run(&source, quoting, deadline, ending).await;
        delivering.complaints.sum_up();
        let mut outcome = delivering.outcome;
        match source.ask(|source| source.end()).await {
            Ok(left) => {
                // They wait, and the next round will say what becomes of them.
                outcome.rejected = outcome.rejected.saturating_sub(left.not_put_aside);
                outcome.left = left;
            }
            Err(why) => {
                error!("the spool does not answer, so nobody knows what waits: {why}");
                outcome.is_unknown = true;
            }
        }
        outcome
    }

    /// Sends a request.
    async fn post(&self, parcel: Parcel, sent: Sent, quoting: &Quoting) -> (Parcel, Sent, Reply) {
        let reply = match sent.version {
            Some(Version::HTTP_2) => {
                let client = self.clients.shared();
                self.ask(&client, &parcel, sent, quoting).await
            }
            _ => match self.clients.take() {
                Ok(client) => {
                    let reply = self.ask(&client, &parcel, sent, quoting).await;
                    if matches!(reply, Reply::Answer { .. }) {
                        self.clients.give_back(client);
                    }
                    reply
                }
                Err(why) => self.no_answer(why),
            },
        };
        (parcel, sent, reply)
    }

    async fn ask(&self, client: &Client, parcel: &Parcel, sent: Sent, quoting: &Quoting) -> Reply {
        let body = self.wrapping.body(parcel);
        let mut request = client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, self.wrapping.content_type())
            .header("idempotency-key", parcel.key());
        if let Some(authorization) = self.wrapping.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let is_packed = sent.gzip && body.len() >= WORTH_PACKING;
        request = match is_packed.then(|| gzip(&body)).flatten() {
            Some(packed) => request
                .header(header::CONTENT_ENCODING, "gzip")
                .body(packed),
            None => request.body(body),
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(why) => return self.no_answer(why),
        };
        let (status, version) = (response.status(), response.version());
        let text_of = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (location, retry_after) = (text_of(header::LOCATION), text_of(header::RETRY_AFTER));
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
            // Lets the connection get back to its pool, which takes the client's own tasks a
            // turn, before another request looks there: it would open one more.
            tokio::task::yield_now().await;
        }
        let said = match location {
            _ if self.wrapping.is_metrics() => said_of_metrics(status, &said),
            _ if status.is_success() => String::new(),
            Some(to) if status.is_redirection() => format!(
                "it points to {}, which is not followed, as the token would go with it: is -u right?",
                without_password(&to)
            ),
            _ => String::from_utf8_lossy(&said).into_owned(),
        };
        Reply::Answer {
            version,
            status,
            retry_after,
            said: quoting.answer(&said),
            is_packed,
        }
    }

    fn no_answer(&self, why: reqwest::Error) -> Reply {
        Reply::None {
            is_connected: !why.is_connect(),
            why: self.described(why),
        }
    }

    fn described(&self, why: reqwest::Error) -> String {
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
        let hint = hint(why).map_or(String::new(), |hint| format!(" ({hint})"));
        format!("no answer from {url}: {why}{hint}")
    }
}

/// What to do about an error of TLS, if that is known.
pub fn hint(why: &str) -> Option<&'static str> {
    let known = HINTS.iter().find(|(sign, _)| why.contains(sign));
    known.map(|(_, hint)| *hint)
}

/// What an endpoint of metrics says in its own words.
fn said_of_metrics(status: StatusCode, body: &[u8]) -> String {
    match status.is_success() {
        true => otlp::rejected(body).map_or_else(String::new, |(points, why)| {
            let were = of(points, "was", "were");
            format!("{} {were} refused: {why}", counted(points, "point"))
        }),
        false => otlp::refused(body).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()),
    }
}

/// `None`: it cannot be packed, which only a lack of memory makes so.
fn gzip(body: &Bytes) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    packer.write_all(body).ok()?;
    packer.finish().ok()
}

fn described(status: StatusCode) -> String {
    let hint = match status.as_u16() {
        401 | 403 => " (is the token right?)",
        404 | 405 | 410 => " (is -u right?)",
        _ => "",
    };
    format!("{status}{hint}")
}

/// How a request was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// The protocol that is spoken, if that is known.
    version: Option<Version>,
    /// The requests before it had failed: it counts for giving up.
    is_probe: bool,
    gzip: bool,
}

/// What came of a request.
enum Reply {
    Answer {
        version: Version,
        status: StatusCode,
        retry_after: Option<String>,
        /// What it said besides, as far as it may be shown.
        said: String,
        /// The body was sent packed.
        is_packed: bool,
    },
    None {
        why: String,
        /// The request may have been what it was about.
        is_connected: bool,
    },
}

/// How a parcel that was not accepted is sent once more in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Whole,
    /// As one document may stand in the way of the others.
    Halves,
}

/// One delivery: what is to be sent, what is on its way, and how the endpoint does.
struct Delivering<'a> {
    endpoint: &'a Endpoint,
    /// To be sent.
    ready: VecDeque<Parcel>,
    /// To be sent again, not before their time, and why they were not accepted.
    again: Vec<(Instant, Parcel, String)>,
    /// The source is just asked for more.
    is_fetching: bool,
    /// The source has no more.
    is_all: bool,
    /// Nothing was going on any more when the source said so.
    is_sure: bool,
    answered: Vec<Answered>,
    /// Answers that the source is just noting: so many requests keep their places until then.
    noting: usize,
    /// Of the last answer.
    version: Option<Version>,
    /// Requests in a row without success.
    failures: usize,
    probes: usize,
    /// Nothing is sent before, unless a request succeeds meanwhile.
    pause_until: Option<Instant>,
    /// Nothing is sent before: the endpoint has asked for it.
    left_alone_until: Option<Instant>,
    /// Nothing is sent any more in this round.
    is_over: bool,
    gzip: bool,
    complaints: Complaints,
    outcome: Outcome,
}

impl<'a> Delivering<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        Self {
            endpoint,
            ready: VecDeque::new(),
            again: Vec::new(),
            is_fetching: false,
            is_all: false,
            is_sure: false,
            answered: Vec::new(),
            noting: 0,
            version: None,
            failures: 0,
            probes: 0,
            pause_until: None,
            left_alone_until: None,
            is_over: false,
            gzip: endpoint.gzip,
            complaints: Complaints::default(),
            outcome: Outcome::default(),
        }
    }

    async fn run(
        &mut self,
        source: &Kept<Box<dyn Source>>,
        quoting: &Quoting,
        mut deadline: Instant,
        mut ending: Ending,
    ) {
        let endpoint = self.endpoint;
        let mut is_ending = false;
        let mut in_flight = FuturesUnordered::new();
        let mut fetching = Fuse::terminated();
        let mut noting = Fuse::terminated();
        let mut is_noting = false;
        loop {
            while let Some(parcel) = self.next_to_send(in_flight.len()) {
                let sent = Sent {
                    version: self.version,
                    is_probe: self.failures > 0,
                    gzip: self.gzip,
                };
                self.launched(sent);
                in_flight.push(endpoint.post(parcel, sent, quoting));
            }
            if self.is_over {
                self.give_back();
            }
            if !self.answered.is_empty() && !is_noting {
                let answered = std::mem::take(&mut self.answered);
                self.noting = answered.len();
                is_noting = true;
                noting = source.ask(|source| source.answered(answered)).fuse();
            }
            if self.wants_more() && !self.is_fetching {
                let about = match self.failures {
                    0 => 2 * self.at_a_time(),
                    _ => usize::MAX,
                };
                self.is_fetching = true;
                fetching = source.ask(move |source| source.next(about)).fuse();
            }
            let waits = self.is_fetching || is_noting || !in_flight.is_empty();
            if !waits && self.nothing_to_send() {
                if self.is_over || self.is_sure {
                    return;
                }
                // Another round may have stored meanwhile, and left delivering to this one.
                self.is_all = false;
                continue;
            }
            if Instant::now() >= deadline {
                break;
            }
            let wake_at = self.wake_at(in_flight.len(), deadline);
            tokio::select! {
                // In this order: the end waits for no lull, and answers are noted together.
                biased;
                () = ending.near(), if !is_ending => {
                    (is_ending, self.is_over) = (true, true);
                    deadline = deadline.min(Instant::now() + LAST_ANSWERS);
                }
                Some((parcel, sent, reply)) = in_flight.next(), if !in_flight.is_empty() => {
                    self.take(parcel, sent, reply, deadline);
                    while let Some(Some((parcel, sent, reply))) = in_flight.next().now_or_never() {
                        self.take(parcel, sent, reply, deadline);
                    }
                }
                parcels = &mut fetching, if self.is_fetching => {
                    self.is_fetching = false;
                    match parcels {
                        Ok(parcels) => {
                            self.is_all = parcels.is_empty();
                            self.is_sure = in_flight.is_empty()
                                && self.again.is_empty()
                                && self.ready.is_empty();
                            self.ready.extend(parcels);
                        }
                        Err(why) => self.stop(&format!("the spool does not answer: {why}")),
                    }
                }
                noted = &mut noting, if is_noting => {
                    is_noting = false;
                    self.noting = 0;
                    if let Err(why) = noted {
                        self.stop(&format!("the spool does not answer: {why}"));
                        return;
                    }
                }
                () = sleep_until(wake_at) => {}
            }
        }
        if !is_ending {
            warn!(
                "{} {}: stopped delivering after {} s (--deliver-for)",
                without_password(endpoint.url.as_str()),
                self.what_took_so_long(),
                endpoint.deliver_for.as_secs()
            );
        }
        self.give_back();
        if is_noting {
            let _ = noting.await;
        }
        let answered = std::mem::take(&mut self.answered);
        let _ = source.ask(|source| source.answered(answered)).await;
    }

    fn what_took_so_long(&self) -> &'static str {
        match self.left_alone_until {
            Some(_) => "asked to be left alone for a while (Retry-After)",
            None if self.failures > 0 => "does not take what it is sent",
            None => "is too slow",
        }
    }

    /// The next parcel that may be sent now. Of what is new first; while the endpoint fails, from the end,
    /// so that some documents that it cannot stomach do not stand for all.
    fn next_to_send(&mut self, in_flight: usize) -> Option<Parcel> {
        if !self.may_send(in_flight) {
            return None;
        }
        let now = Instant::now();
        if self.paused_until().is_some_and(|until| now < until) {
            return None;
        }
        let new = match self.failures {
            0 => self.ready.pop_front(),
            _ => self.ready.pop_back(),
        };
        new.or_else(|| {
            let due = self.again.iter().position(|(at, ..)| *at <= now)?;
            Some(self.again.swap_remove(due).1)
        })
    }

    /// Whether there is a place for a request.
    fn may_send(&self, in_flight: usize) -> bool {
        // While the endpoint fails, what is looked at next may be what it takes.
        let looks_ahead = self.failures > 0 && self.is_fetching;
        !self.is_over
            && !looks_ahead
            && in_flight + self.noting + self.answered.len() < self.at_a_time()
    }

    fn launched(&mut self, sent: Sent) {
        if sent.is_probe {
            self.probes += 1;
            let failures = u32::try_from(self.failures + self.probes - 1).unwrap_or(u32::MAX);
            self.pause(backoff(failures));
        }
    }

    fn pause(&mut self, time: Duration) {
        self.pause_until = self.pause_until.max(Some(Instant::now() + time));
    }

    fn paused_until(&self) -> Option<Instant> {
        self.pause_until.max(self.left_alone_until)
    }

    /// What was to be tried again in this round is left to the next one.
    fn give_back(&mut self) {
        for (_, parcel, why) in self.again.drain(..) {
            self.answered.push(Answered {
                parcel,
                answer: Answer::Later(why),
            });
        }
    }

    /// How many requests may wait for their answers at the same time.
    fn at_a_time(&self) -> usize {
        let most = match self.version {
            // The first request goes alone: its answer tells which protocol is spoken.
            None if self.failures == 0 => 1,
            Some(Version::HTTP_2) => self.endpoint.max_streams,
            _ => self.endpoint.max_connections,
        };
        let most = match self.endpoint.wrapping.is_array() {
            false => most,
            true => most.min(ARRAYS_AT_A_TIME),
        };
        match self.failures {
            0 => most,
            // No more than those after which it is given up: each may cost a whole time-out.
            failures => most.min(GIVE_UP_AFTER.saturating_sub(failures)),
        }
    }

    fn wants_more(&self) -> bool {
        let is_enough = match self.failures {
            0 => self.ready.len() >= self.at_a_time(),
            _ => self.ready.iter().map(|p| p.lines.len()).sum::<usize>() >= LOOK_AHEAD,
        };
        !self.is_all && !self.is_over && !is_enough
    }

    fn nothing_to_send(&self) -> bool {
        self.is_over || (self.is_all && self.ready.is_empty() && self.again.is_empty())
    }

    /// When something may be sent that may not be now, whatever happens meanwhile.
    fn wake_at(&self, in_flight: usize, deadline: Instant) -> Instant {
        if !self.may_send(in_flight) {
            return deadline;
        }
        let due = match self.ready.is_empty() {
            true => self.again.iter().map(|(at, ..)| *at).min(),
            false => self.paused_until(),
        };
        // It may be over by now: then it is sent at once.
        due.map_or(deadline, |due| {
            due.max(self.paused_until().unwrap_or(due)).min(deadline)
        })
    }

    /// Looks at what came of a request.
    fn take(&mut self, parcel: Parcel, sent: Sent, reply: Reply, deadline: Instant) {
        if sent.is_probe {
            self.probes -= 1;
        }
        let (status, said, retry_after_text) = match reply {
            Reply::None { why, is_connected } => {
                self.outcome.count(own::Answer::None);
                self.complaints.add(Weight::Look, why.clone(), "");
                let again = match is_connected {
                    // Something between may cut off what it finds too long.
                    true if parcel.tries > 0 && parcel.count > 1 => Again::Halves,
                    _ => Again::Whole,
                };
                return self.later(parcel, sent, why, again);
            }
            Reply::Answer {
                version,
                status,
                retry_after,
                said,
                is_packed,
            } => {
                self.version = Some(version);
                if is_packed && status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                    if std::mem::replace(&mut self.gzip, false) {
                        info!("the endpoint takes no packed bodies: going on without --gzip");
                    }
                    self.ready.push_front(parcel);
                    return;
                }
                (status, said, retry_after)
            }
        };
        let url = without_password(self.endpoint.url.as_str());
        let refusal = format!("{url} answered {}", described(status));
        let answer = match said.as_str() {
            "" => status.to_string(),
            said => format!("{status}: {said}"),
        };
        let meaning = meaning(status);
        self.outcome.count(match meaning {
            Meaning::Accepted => own::Answer::Accepted,
            Meaning::Rejected => own::Answer::Rejected,
            Meaning::Mend => own::Answer::Mend,
            Meaning::Busy => own::Answer::Busy,
        });
        match meaning {
            Meaning::Accepted => {
                self.succeeded();
                // Of metrics some may have been refused all the same, for good.
                if !said.is_empty() {
                    let what = format!("{url} took not all");
                    self.complaints.add(Weight::Look, what, &said);
                }
                self.outcome.accepted += parcel.count;
                if parcel.origin.timestamp.is_some() {
                    self.outcome.late += parcel.count;
                }
                self.answered.push(Answered {
                    parcel,
                    answer: Answer::Accepted,
                });
            }
            Meaning::Rejected => {
                self.succeeded();
                match parcel.halves() {
                    (first, Some(second)) => {
                        self.ready.push_front(second);
                        self.ready.push_front(first);
                    }
                    (parcel, None) => {
                        self.complaints.add(Weight::Act, refusal, &said);
                        self.outcome.rejected += parcel.count;
                        self.answered.push(Answered {
                            parcel,
                            answer: Answer::Rejected(answer),
                        });
                    }
                }
            }
            Meaning::Mend => {
                self.complaints.add(Weight::Mend, refusal, &said);
                let again = match status {
                    // A guard in front may dislike a single document.
                    StatusCode::FORBIDDEN if parcel.count > 1 => Again::Halves,
                    _ => Again::No,
                };
                self.later(parcel, sent, answer, again);
            }
            Meaning::Busy => {
                self.complaints.add(Weight::Look, refusal, &said);
                let now = crate::now();
                if let Some(time) = retry_after_text.and_then(|text| retry_after(&text, now)) {
                    self.leave_alone(time, deadline);
                }
                let again = match status.as_u16() {
                    // One document may be what it fails at each time.
                    500 | 502 | 504 if parcel.tries > 0 && parcel.count > 1 => Again::Halves,
                    _ => Again::Whole,
                };
                self.later(parcel, sent, answer, again);
            }
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.pause_until = None;
    }

    /// The endpoint asks for a pause.
    fn leave_alone(&mut self, time: Duration, deadline: Instant) {
        if Instant::now()
            .checked_add(time)
            .is_none_or(|until| until >= deadline)
        {
            if !std::mem::replace(&mut self.is_over, true) {
                warn!(
                    "the endpoint asks to be left alone for {} s, which is longer than this round delivers (--deliver-for)",
                    time.as_secs()
                );
            }
            return;
        }
        self.left_alone_until = self.left_alone_until.max(Some(Instant::now() + time));
    }

    /// Tries it again in this round, or leaves it to the next one.
    fn later(&mut self, mut parcel: Parcel, sent: Sent, why: String, again: Again) {
        // Those that were sent at full speed fail together, when a server ends.
        self.failures = match sent.is_probe {
            true => self.failures + 1,
            false => self.failures.max(1),
        };
        if self.failures >= GIVE_UP_AFTER && !self.is_over {
            self.is_over = true;
            warn!(
                "{GIVE_UP_AFTER} requests in a row without success: {} is left alone until the next round",
                without_password(self.endpoint.url.as_str())
            );
        }
        self.pause(backoff(u32::try_from(self.failures).unwrap_or(u32::MAX)));
        parcel.tries += 1;
        let due = Instant::now() + backoff(parcel.tries);
        let is_kept = !self.is_over && self.has_room_for_again();
        match again {
            Again::Whole if is_kept && parcel.tries < TRIES => {
                self.again.push((due, parcel, why));
            }
            Again::Halves if is_kept => {
                let (first, second) = parcel.halves();
                for mut half in [Some(first), second].into_iter().flatten() {
                    // It has failed before: it is halved the next time.
                    half.tries = 1;
                    self.again.push((due, half, why.clone()));
                }
            }
            _ => self.answered.push(Answered {
                parcel,
                answer: Answer::Later(why),
            }),
        }
    }

    fn has_room_for_again(&self) -> bool {
        let (requests, bytes) = AGAIN_AT_MOST;
        let again = self.again.iter().map(|(_, parcel, _)| parcel.lines.len());
        self.again.len() < requests && again.sum::<usize>() < bytes
    }

    fn stop(&mut self, why: &str) {
        self.is_over = true;
        error!("{why}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::parcels::Origin;
    use super::*;
    use crate::secret::Secret;

    fn endpoint() -> Endpoint {
        Endpoint::new(&EndpointConfig {
            name: "af".to_owned(),
            protocol: Protocol::Documents,
            url: "http://127.0.0.1/".parse().unwrap(),
            token: Secret::new("t0ken"),
            batch_size: None,
            gzip: false,
            ca: None,
            max_connections: 16,
            max_streams: 64,
            patience: Duration::from_secs(1),
            deliver_for: Duration::from_secs(60),
        })
        .unwrap()
    }

    fn parcel(bytes: usize) -> Parcel {
        Parcel {
            origin: Arc::new(Origin {
                collected: jiff::Timestamp::UNIX_EPOCH,
                number: 1,
                id: uuid::Uuid::nil(),
                timestamp: None,
            }),
            first: 0,
            count: 1,
            lines: vec![b'x'; bytes],
            tries: 0,
        }
    }

    const SENT: Sent = Sent {
        version: None,
        is_probe: false,
        gzip: false,
    };

    /// It can end between the look for something to send and that for how long to sleep.
    #[test]
    fn nobody_sleeps_past_the_end_of_a_pause() {
        let endpoint = endpoint();
        let deadline = endpoint.deadline();
        let past = Instant::now();
        let mut delivering = Delivering::new(&endpoint);
        delivering.failures = 1;
        for pause in [None, Some(past)] {
            delivering.pause_until = pause;
            delivering.again = vec![(past, parcel(2), String::new())];
            assert_eq!(delivering.wake_at(0, deadline), past);
        }
        delivering.again.clear();
        assert_eq!(delivering.wake_at(0, deadline), deadline);
        delivering.ready.push_back(parcel(2));
        assert_eq!(delivering.wake_at(0, deadline), past);
        // Without a place, an answer wakes it.
        assert_eq!(delivering.wake_at(16, deadline), deadline);
        let later = past + Duration::from_secs(5);
        delivering.left_alone_until = Some(later);
        assert_eq!(delivering.wake_at(0, deadline), later);
        assert!(delivering.next_to_send(0).is_none());
    }

    #[test]
    fn an_array_that_gets_no_answer_twice_is_halved_unless_nobody_was_there() {
        let endpoint = endpoint();
        for (is_connected, tries, counts) in
            [(true, 0, &[4][..]), (true, 1, &[2, 2]), (false, 1, &[4])]
        {
            let mut delivering = Delivering::new(&endpoint);
            let mut array = parcel(0);
            (array.count, array.tries) = (4, tries);
            array.lines = b"{}\n{}\n{}\n{}\n".to_vec();
            let reply = Reply::None {
                why: "reset".to_owned(),
                is_connected,
            };
            delivering.take(array, SENT, reply, endpoint.deadline());
            let again: Vec<u64> = delivering.again.iter().map(|(_, p, _)| p.count).collect();
            assert_eq!(again, counts, "{is_connected} {tries}");
        }
    }

    #[test]
    fn what_is_to_be_tried_again_has_its_bounds() {
        let endpoint = endpoint();
        for (bytes, all, kept) in [(2, 1005, 1000), (1 << 20, 10, 8)] {
            let mut delivering = Delivering::new(&endpoint);
            for _ in 0..all {
                delivering.later(parcel(bytes), SENT, String::new(), Again::Whole);
            }
            assert_eq!(delivering.again.len(), kept);
            assert_eq!(delivering.answered.len(), all - kept);
        }
    }
}
