//! From the collectors' documents to the end of a round: stored, delivered, and said in a line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use afmetrics_document::Rules;
use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, error, error_span, warn};

use crate::aside::{Desk, Kept};
use crate::config::Config;
use crate::context::Context;
use crate::counted::{counted, of};
use crate::delivery::{
    CLEAR, Endpoint, FromMemory, FromSpool, Left, Outcome, Seen, Source, Wanted, timestamp,
};
use crate::heartbeat::{self, Heartbeat};
use crate::numbers::{self, Numbers};
use crate::round::Collected;
use crate::signals::Ending;
use crate::spool::{Header, batch_name};
use crate::state::State;

/// Sends a round's documents, and what earlier rounds could not, to each endpoint, all at the same time.
pub struct Sender<'a> {
    config: &'a Config,
    endpoints: &'a [Endpoint],
    cx: &'a Context,
    /// What is stored is not sent any more when this is near.
    ending: &'a Ending,
    /// Where documents go, as it may be shown.
    to: Vec<String>,
    /// By endpoint.
    deadlines: Vec<Instant>,
    /// By endpoint.
    outcomes: Vec<Outcome>,
    /// By endpoint, what has been waiting for it.
    seen: Vec<Seen>,
    /// Documents of this round, by endpoint.
    own_documents: Vec<u64>,
    /// Documents that the next round reads again.
    held_back: u64,
    /// The spool could not be delivered from: another round was at it, or it cannot be used.
    had_no_turn: bool,
    /// Nothing was collected: somebody wants delivered what waits.
    is_by_hand: bool,
}

/// What came of sending.
pub struct Sent {
    pub is_well: bool,
    /// The end of the round's line.
    pub text: String,
    /// By the endpoint's name.
    pub outcomes: Vec<(String, Outcome)>,
}

/// What came of storing.
enum Stored {
    /// Under this number; `None`: there was nothing.
    Yes(Option<u64>),
    No,
}

impl<'a> Sender<'a> {
    pub fn new(
        config: &'a Config,
        endpoints: &'a [Endpoint],
        cx: &'a Context,
        ending: &'a Ending,
    ) -> Self {
        Self {
            config,
            endpoints,
            cx,
            ending,
            to: endpoints.iter().map(Endpoint::shown).collect(),
            deadlines: endpoints.iter().map(Endpoint::deadline).collect(),
            outcomes: vec![Outcome::default(); endpoints.len()],
            seen: endpoints.iter().map(|_| Seen::default()).collect(),
            own_documents: vec![0; endpoints.len()],
            held_back: 0,
            had_no_turn: false,
            is_by_hand: false,
        }
    }

    /// Stores, then delivers. Returns whether all is well, and the end of the round's line.
    pub async fn send(
        mut self,
        mut collected: Vec<Collected>,
        heartbeat: Option<Heartbeat>,
        numbers: &mut Numbers,
        folder: &Path,
    ) -> Result<Sent> {
        // A few documents about the node do not wait behind ten thousand jobs.
        collected.sort_by_key(Collected::count);
        let join = |numbers: &Numbers, collected: &mut Vec<Collected>| {
            if let Some(beat) = &heartbeat {
                beat.join(collected);
            }
            numbers.join(self.config, self.cx, collected, folder);
        };
        join(numbers, &mut collected);
        let stored = match &self.cx.state {
            Some(state) => self.store(state, &mut collected).await,
            None => Stored::No,
        };
        // However long storing took.
        self.deadlines = self.endpoints.iter().map(Endpoint::deadline).collect();
        if matches!(stored, Stored::No) {
            self.give_up_cursors(&mut collected)?;
            // New ones, as they count what leaves.
            collected.retain(|c| !matches!(c.name, heartbeat::NAME | numbers::NAME));
            numbers.forget_ended();
            join(numbers, &mut collected);
            self.deliver_from_memory(&collected).await?;
        }
        // What is stored needs no memory and no temporary file while it is delivered.
        drop(collected);
        if let Some(state) = &self.cx.state {
            state.end_turns();
            let own = match stored {
                Stored::Yes(number) => number,
                Stored::No => None,
            };
            self.deliver_from_spool(state, own).await;
        }
        Ok(self.end())
    }

    /// Delivers what earlier rounds stored, and nothing else. Returns the same.
    pub async fn send_what_waits(mut self) -> Result<Sent> {
        self.is_by_hand = true;
        if let Some(state) = &self.cx.state {
            self.deliver_from_spool(state, None).await;
        }
        let is_done = self.cx.state.is_some() && !self.had_no_turn;
        let mut sent = self.end();
        sent.is_well &= is_done;
        Ok(sent)
    }

    async fn store(&mut self, state: &State, collected: &mut [Collected]) -> Stored {
        let headers: Vec<Header> = (0..self.endpoints.len())
            .map(|endpoint| self.header(endpoint, collected))
            .collect();
        self.own_documents = headers.iter().map(|header| header.documents).collect();
        let mut cursors = BTreeMap::new();
        for documents in collected.iter_mut().filter_map(|c| c.documents.as_mut()) {
            cursors.extend(std::mem::take(&mut documents.cursors));
        }
        if headers.iter().all(|header| header.documents == 0) && cursors.is_empty() {
            return Stored::Yes(None);
        }
        let batches: io::Result<Vec<_>> = headers
            .into_iter()
            .enumerate()
            .map(|(endpoint, header)| Ok((header, all(collected, endpoint)?)))
            .collect();
        let result = match batches {
            Ok(batches) => state.store(batches, cursors, &self.config.cluster).await,
            Err(why) => Err(why),
        };
        match result {
            Ok(number) => Stored::Yes(Some(number)),
            Err(why) => {
                warn!(
                    "the round cannot be stored in {} ({why}): delivering from memory, and what is not accepted is lost",
                    state.shown()
                );
                Stored::No
            }
        }
    }

    /// What an endpoint's batch is.
    fn header(&self, endpoint: usize, collected: &[Collected]) -> Header {
        let rules = self.config.publisher.audiences().get(endpoint);
        let named = |hidden, how: &str| if hidden { how } else { CLEAR }.to_owned();
        let mut header = Header::new(self.at());
        header.cluster = self.config.cluster.clone();
        header.endpoint = self.to[endpoint].clone();
        header.users = match self.endpoints[endpoint].wrapping.is_metrics() {
            // No user is in numbers.
            true => "none".to_owned(),
            false => named(rules.is_some_and(Rules::hides_users), "hashed"),
        };
        header.hosts = named(rules.is_some_and(Rules::hides_hosts), "renamed");
        for documents in collected.iter().filter_map(|c| c.documents.as_ref()) {
            for (kind, count) in documents.kinds(endpoint) {
                header.documents += count;
                *header.kinds.entry(kind.to_owned()).or_default() += count;
            }
        }
        header
    }

    /// When the documents were collected.
    fn at(&self) -> Timestamp {
        Timestamp::try_from(self.cx.now)
            // Whole milliseconds, as late documents will carry it.
            .and_then(|at| Timestamp::from_millisecond(at.as_millisecond()))
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Drops the documents that go with a cursor: the next round reads them again.
    fn give_up_cursors(&mut self, collected: &mut [Collected]) -> Result<()> {
        for documents in collected.iter_mut().filter_map(|c| c.documents.as_mut()) {
            if documents.goes_with_cursors {
                self.held_back += documents
                    .without_cursors()
                    .context("a temporary file cannot be cut")?;
            }
        }
        Ok(())
    }

    /// Delivers this round's documents, as they could not be stored.
    async fn deliver_from_memory(&mut self, collected: &[Collected]) -> Result<()> {
        let mut sources = Vec::new();
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let documents = all(collected, number).context("a temporary file cannot be read")?;
            let kinds = collected.iter().filter_map(|c| c.documents.as_ref());
            let count = kinds
                .flat_map(|documents| documents.kinds(number))
                .map(|(_, count)| count)
                .sum();
            let source = FromMemory::new(documents, count, &endpoint.wrapping, self.at());
            sources.push((number, Box::new(source) as Box<dyn Source>));
        }
        // What is in memory alone is sent, as long as there is time.
        self.deliver(sources, &Ending::never()).await;
        Ok(())
    }

    /// Delivers what waits, until nothing is left that another round left to this one.
    async fn deliver_from_spool(&mut self, state: &State, own: Option<u64>) {
        let all = (0..self.endpoints.len()).collect();
        let mut more = self.one_turn(state, own, all).await;
        while !more.is_empty() {
            // Who has the turn by now delivers what this one found behind its own.
            more = self.one_turn(state, None, more).await;
            self.had_no_turn = false;
        }
    }

    /// Delivers to these endpoints, at the same time; returns those for which another round has left something
    /// to this one since.
    async fn one_turn(&mut self, state: &State, own: Option<u64>, to: Vec<usize>) -> Vec<usize> {
        let spool = state.spool.clone();
        let turn = state.desk.ask(move || spool.take_turn()).await.flatten();
        let turn = match turn {
            Ok(Some(turn)) => Arc::new(turn),
            Ok(None) => {
                self.had_no_turn = true;
                if own.is_some() && self.own_documents.iter().any(|count| *count > 0) {
                    warn!(
                        "another round is delivering just now: it delivers this one's documents, too"
                    );
                } else if self.is_by_hand {
                    warn!("another round is delivering just now: it delivers what waits");
                }
                self.leave_waiting(own);
                return Vec::new();
            }
            // Nothing was ever stored.
            Err(why) if why.kind() == io::ErrorKind::NotFound && own.is_none() => {
                return Vec::new();
            }
            Err(why) => {
                error!("the spool in {} cannot be used: {why}", state.shown());
                for outcome in &mut self.outcomes {
                    outcome.left.has_failed = true;
                }
                self.leave_waiting(own);
                return Vec::new();
            }
        };
        let sources = to
            .into_iter()
            .map(|endpoint| {
                let source = FromSpool::new(
                    state.spool.clone(),
                    Arc::clone(&turn),
                    self.wanted(endpoint),
                    self.endpoints[endpoint].wrapping.clone(),
                    self.config.spool,
                    self.cx.now,
                    own,
                );
                (endpoint, Box::new(source) as _)
            })
            .collect();
        // The last one to end gives it back.
        drop(turn);
        let ended = self.deliver(sources, self.ending).await;
        self.have_more(state, ended).await
    }

    /// Of the endpoints whose delivery has ended, those for which something waits that was not there when it
    /// was at it: of another round, which had left it to this one. `ended`: and whether that was seen already.
    async fn have_more(&self, state: &State, ended: Vec<(usize, bool)>) -> Vec<usize> {
        let spool = state.spool.clone();
        let waiting = state.desk.ask(move || spool.waiting()).await.flatten();
        let waiting = waiting.unwrap_or_default();
        let is_new = |endpoint: usize| {
            let name = batch_name(&self.to[endpoint]);
            let seen = self.seen[endpoint].lock();
            let seen = seen.unwrap_or_else(PoisonError::into_inner);
            let mut of_it = waiting.iter().filter(|waiting| waiting.name == name);
            of_it.any(|waiting| !seen.contains(waiting))
        };
        ended
            .into_iter()
            // Where something waits, the endpoint takes nothing just now.
            .filter(|(endpoint, _)| self.outcomes[*endpoint].left.waiting == 0)
            .filter(|(endpoint, has_more)| *has_more || is_new(*endpoint))
            .map(|(endpoint, _)| endpoint)
            .filter(|endpoint| Instant::now() < self.deadlines[*endpoint])
            .filter(|_| !self.ending.is_near())
            .collect()
    }

    fn leave_waiting(&mut self, own: Option<u64>) {
        for outcome in &mut self.outcomes {
            outcome.left.is_unseen = true;
        }
        if own.is_some() {
            for (outcome, count) in self.outcomes.iter_mut().zip(&self.own_documents) {
                outcome.left.waiting += count;
            }
        }
    }

    fn wanted(&self, endpoint: usize) -> Wanted {
        let rules = self.config.publisher.audiences().get(endpoint);
        Wanted {
            cluster: self.config.cluster.clone(),
            endpoint: (!self.config.any_endpoint).then(|| self.to[endpoint].clone()),
            own: self.to[endpoint].clone(),
            takes_metrics: self.endpoints[endpoint].wrapping.is_metrics(),
            others: [&self.to[..], &self.config.endpoints_listed].concat(),
            hides_users: rules.is_some_and(Rules::hides_users),
            hides_hosts: rules.is_some_and(Rules::hides_hosts),
            seen: Arc::clone(&self.seen[endpoint]),
        }
    }

    /// From each source to its endpoint, by the endpoint's number. Returns for each whether it has seen that
    /// another round has left something to this one since.
    async fn deliver(
        &mut self,
        sources: Vec<(usize, Box<dyn Source>)>,
        ending: &Ending,
    ) -> Vec<(usize, bool)> {
        let desk = match &self.cx.state {
            Some(state) => state.desk.clone(),
            None => Desk::new(self.cx.limits.silence, &self.cx.hanging),
        };
        let are_several = self.endpoints.len() > 1;
        let numbers: Vec<usize> = sources.iter().map(|(number, _)| *number).collect();
        let delivering = sources.into_iter().map(|(number, source)| {
            let endpoint = &self.endpoints[number];
            let source = Kept::new(desk.clone(), source);
            let deadline = self.deadlines[number];
            let outcome = endpoint.deliver(source, &self.cx.quoting, deadline, ending.clone());
            // Which of them a line is about.
            let span = match are_several {
                true => error_span!("endpoint", name = endpoint.name),
                false => Span::none(),
            };
            outcome.instrument(span)
        });
        let outcomes = join_all(delivering).await;
        let mut ended = Vec::new();
        let mut given_up = Vec::new();
        for (number, mut outcome) in numbers.into_iter().zip(outcomes) {
            ended.push((number, outcome.left.has_more));
            given_up.append(&mut outcome.left.given_up_of_others);
            self.outcomes[number].add(outcome);
        }
        for (to, documents) in given_up {
            // Of an endpoint that is none of these it has been logged, too.
            let endpoint = self.to.iter().position(|known| *known == to).unwrap_or(0);
            let left = &mut self.outcomes[endpoint].left;
            left.given_up += documents;
            left.waiting = left.waiting.saturating_sub(documents);
        }
        ended
    }

    fn end(self) -> Sent {
        let are_several = self.endpoints.len() > 1;
        let mut texts = Vec::new();
        let mut outcomes = Vec::new();
        let mut is_well = self.held_back == 0;
        for (endpoint, outcome) in self.endpoints.iter().zip(self.outcomes) {
            let span = match are_several {
                true => error_span!("endpoint", name = endpoint.name),
                false => Span::none(),
            };
            let (well, text) = span.in_scope(|| said(outcome.clone(), self.had_no_turn));
            outcomes.push((endpoint.name.clone(), outcome));
            is_well &= well;
            texts.push(match are_several {
                true => format!("{}: {text}", endpoint.name),
                false => text,
            });
        }
        let mut text = texts.join("; ");
        if self.held_back > 0 {
            text.push_str(&format!(", {} left to the next round", self.held_back));
        }
        Sent {
            is_well,
            text,
            outcomes,
        }
    }
}

/// Whether all is well at an endpoint, and what became of the documents, in words. `had_no_turn`: another
/// round has them in hand.
fn said(outcome: Outcome, had_no_turn: bool) -> (bool, String) {
    let Outcome {
        accepted,
        late,
        rejected,
        left:
            Left {
                waiting,
                batches: _,
                bytes: _,
                is_unseen: _,
                since,
                lost,
                damaged,
                unreadable,
                too_clear,
                given_up,
                given_up_of_others: _,
                not_put_aside: _,
                has_failed,
                has_more: _,
            },
        is_unknown,
        ..
    } = outcome;
    let mut text = format!("{accepted} accepted");
    if late > 0 {
        text.push_str(&format!(" ({late} of earlier rounds)"));
    }
    if rejected > 0 {
        text.push_str(&format!(", {rejected} rejected"));
        warn!(
            "{} {} rejected and put aside: `afmetrics_collector spool list` shows them, `spool retry` or `spool drop` ends it",
            counted(rejected, "document"),
            of(rejected, "was", "were")
        );
    }
    let since = since.map_or(String::new(), |since| {
        format!(" since {}", timestamp(since))
    });
    if waiting > 0 {
        let wait = of(waiting, "waits", "wait");
        text.push_str(&format!(", {waiting} {wait} in the spool{since}"));
        // Else another round has it in hand, as has been said.
        if !had_no_turn {
            let waiting = counted(waiting, "document");
            warn!("{waiting} {wait} in the spool{since}; the next round tries again");
        }
    }
    if damaged > 0 {
        text.push_str(&format!(
            ", {} set aside",
            counted(damaged, "damaged batch")
        ));
    }
    if unreadable > 0 {
        text.push_str(&format!(
            ", {} cannot be read",
            counted(unreadable, "batch")
        ));
    }
    if too_clear > 0 {
        text.push_str(&format!(", {too_clear} not sent for their clear names"));
    }
    if given_up > 0 {
        text.push_str(&format!(", {given_up} given up"));
    }
    if lost > 0 {
        text.push_str(&format!(", {lost} lost"));
        error!(
            "{} lost, neither accepted nor stored",
            counted(lost, "document")
        );
    }
    let amiss = [
        rejected, waiting, damaged, unreadable, too_clear, given_up, lost,
    ];
    let is_well = amiss.iter().all(|count| *count == 0) && !has_failed && !is_unknown;
    (is_well, text)
}

/// All documents of a round for an endpoint, one after the other.
fn all(collected: &[Collected], endpoint: usize) -> io::Result<Box<dyn BufRead + Send>> {
    let mut all: Box<dyn BufRead + Send> = Box::new(io::empty());
    for documents in collected.iter().filter_map(|c| c.documents.as_ref()) {
        all = Box::new(all.chain(documents.read(endpoint)?));
    }
    Ok(all)
}
