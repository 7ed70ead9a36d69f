//! From the collectors' documents to the end of a round: stored, delivered, and said in a line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::aside::{Desk, Kept};
use crate::config::{Config, EndpointConfig};
use crate::context::Context;
use crate::delivery::{CLEAR, Endpoint, FromMemory, FromSpool, Left, Outcome, Source, Wanted};
use crate::endpoint_url::without_password;
use crate::heartbeat::Heartbeat;
use crate::round::Collected;
use crate::spool::Header;
use crate::state::State;

/// Sends a round's documents, and what earlier rounds could not.
pub struct Sender<'a> {
    config: &'a Config,
    endpoint: &'a Endpoint,
    cx: &'a Context,
    /// Where documents go, as it may be shown.
    to: String,
    deadline: Instant,
    outcome: Outcome,
    /// Documents of this round.
    own_documents: u64,
    /// Documents that the next round reads again.
    held_back: u64,
    /// The spool could not be delivered from: another round was at it, or it cannot be used.
    had_no_turn: bool,
    /// Nothing was collected: somebody wants delivered what waits.
    is_by_hand: bool,
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
        to: &EndpointConfig,
        endpoint: &'a Endpoint,
        cx: &'a Context,
    ) -> Self {
        Self {
            config,
            endpoint,
            cx,
            to: without_password(to.url.as_str()),
            deadline: endpoint.deadline(),
            outcome: Outcome::default(),
            own_documents: 0,
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
    ) -> Result<(bool, String)> {
        // A few documents about the node do not wait behind ten thousand jobs.
        collected.sort_by_key(Collected::count);
        if let Some(beat) = &heartbeat {
            beat.join(&mut collected);
        }
        self.own_documents = collected.iter().map(Collected::count).sum();
        let stored = match &self.cx.state {
            Some(state) => self.store(state, &mut collected).await,
            None => Stored::No,
        };
        // However long storing took.
        self.deadline = self.endpoint.deadline();
        if matches!(stored, Stored::No) {
            self.give_up_cursors(&mut collected)?;
            if let Some(beat) = &heartbeat {
                // A new one, as it counts what leaves.
                collected.pop();
                beat.join(&mut collected);
            }
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
    pub async fn send_what_waits(mut self) -> Result<(bool, String)> {
        self.is_by_hand = true;
        if let Some(state) = &self.cx.state {
            self.deliver_from_spool(state, None).await;
        }
        let is_done = self.cx.state.is_some() && !self.had_no_turn;
        let (well, text) = self.end();
        Ok((well && is_done, text))
    }

    async fn store(&self, state: &State, collected: &mut [Collected]) -> Stored {
        let (header, cursors) = self.described(collected);
        if header.documents == 0 && cursors.is_empty() {
            return Stored::Yes(None);
        }
        let result = match all(collected) {
            Ok(documents) => state.store(header, documents, cursors).await,
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

    fn described(
        &self,
        collected: &mut [Collected],
    ) -> (Header, BTreeMap<String, serde_json::Value>) {
        let publisher = &self.config.publisher;
        let named = |hidden, how: &str| if hidden { how } else { CLEAR }.to_owned();
        let at = Timestamp::try_from(self.cx.now)
            // Whole milliseconds, as late documents will carry it.
            .and_then(|at| Timestamp::from_millisecond(at.as_millisecond()))
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let mut header = Header::new(at);
        header.cluster = self.config.cluster.clone();
        header.endpoint = self.to.clone();
        header.users = named(publisher.hides_users(), "hashed");
        header.hosts = named(publisher.hides_hosts(), "renamed");
        let mut cursors = BTreeMap::new();
        for documents in collected.iter_mut().filter_map(|c| c.documents.as_mut()) {
            header.documents += documents.count;
            for (kind, count) in &documents.kinds {
                *header.kinds.entry((*kind).to_owned()).or_default() += count;
            }
            cursors.extend(std::mem::take(&mut documents.cursors));
        }
        (header, cursors)
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
        let count = collected.iter().map(Collected::count).sum();
        let documents = all(collected).context("a temporary file cannot be read")?;
        let source = FromMemory::new(documents, count, &self.endpoint.wrapping);
        self.deliver(Box::new(source)).await;
        Ok(())
    }

    /// Delivers what waits, until nothing is left that another round left to this one.
    async fn deliver_from_spool(&mut self, state: &State, own: Option<u64>) {
        let mut has_more = self.one_turn(state, own).await;
        while has_more && Instant::now() < self.deadline {
            // Who has the turn by now delivers what this one found behind its own.
            has_more = self.one_turn(state, None).await;
            self.had_no_turn = false;
        }
    }

    async fn one_turn(&mut self, state: &State, own: Option<u64>) -> bool {
        let spool = state.spool.clone();
        let turn = state.desk.ask(move || spool.take_turn()).await.flatten();
        let turn = match turn {
            Ok(Some(turn)) => turn,
            Ok(None) => {
                self.had_no_turn = true;
                if own.is_some() && self.own_documents > 0 {
                    warn!(
                        "another round is delivering just now: it delivers this one's documents, too"
                    );
                } else if self.is_by_hand {
                    warn!("another round is delivering just now: it delivers what waits");
                }
                self.outcome.left.waiting += own.map_or(0, |_| self.own_documents);
                return false;
            }
            // Nothing was ever stored.
            Err(why) if why.kind() == io::ErrorKind::NotFound && own.is_none() => return false,
            Err(why) => {
                self.outcome.left.has_failed = true;
                error!("the spool in {} cannot be used: {why}", state.shown());
                self.outcome.left.waiting += own.map_or(0, |_| self.own_documents);
                return false;
            }
        };
        let wanted = Wanted {
            cluster: self.config.cluster.clone(),
            endpoint: (!self.config.any_endpoint).then(|| self.to.clone()),
            hides_users: self.config.publisher.hides_users(),
            hides_hosts: self.config.publisher.hides_hosts(),
        };
        let source = FromSpool::new(
            state.spool.clone(),
            turn,
            wanted,
            self.endpoint.wrapping.clone(),
            self.config.spool,
            self.cx.now,
            own,
        );
        self.deliver(Box::new(source)).await
    }

    /// Returns whether another round has left something to this one since.
    async fn deliver(&mut self, source: Box<dyn Source>) -> bool {
        let desk = match &self.cx.state {
            Some(state) => state.desk.clone(),
            None => Desk::new(self.cx.limits.silence),
        };
        let source = Kept::new(desk, source);
        let outcome = self
            .endpoint
            .deliver(source, &self.cx.quoting, self.deadline)
            .await;
        let sum = &mut self.outcome;
        sum.accepted += outcome.accepted;
        sum.late += outcome.late;
        sum.rejected += outcome.rejected;
        sum.left.lost += outcome.left.lost;
        sum.left.waiting += outcome.left.waiting;
        sum.left.since = outcome.left.since.or(sum.left.since.take());
        sum.left.damaged += outcome.left.damaged;
        sum.left.given_up += outcome.left.given_up;
        sum.left.has_failed |= outcome.left.has_failed;
        // These are still there in each turn.
        sum.left.unreadable = outcome.left.unreadable;
        sum.left.too_clear = outcome.left.too_clear;
        sum.is_unknown |= outcome.is_unknown;
        outcome.left.has_more
    }

    fn end(self) -> (bool, String) {
        let Outcome {
            accepted,
            late,
            rejected,
            left:
                Left {
                    waiting,
                    since,
                    lost,
                    damaged,
                    unreadable,
                    too_clear,
                    given_up,
                    not_put_aside: _,
                    has_failed,
                    has_more: _,
                },
            is_unknown,
        } = self.outcome;
        let mut text = format!("{accepted} accepted");
        if late > 0 {
            text.push_str(&format!(" ({late} of earlier rounds)"));
        }
        if rejected > 0 {
            text.push_str(&format!(", {rejected} rejected"));
            warn!(
                "{rejected} documents were rejected and put aside: `afmetrics_collector spool list` shows them, `spool retry` or `spool drop` ends it"
            );
        }
        let since = since.map_or(String::new(), |since| format!(" since {since}"));
        if waiting > 0 {
            text.push_str(&format!(", {waiting} wait in the spool{since}"));
            // Else another round has it in hand, as has been said.
            if !self.had_no_turn {
                warn!("{waiting} documents wait in the spool{since}; the next round tries again");
            }
        }
        if self.held_back > 0 {
            text.push_str(&format!(", {} left to the next round", self.held_back));
        }
        if damaged > 0 {
            text.push_str(&format!(", {damaged} damaged batches set aside"));
        }
        if unreadable > 0 {
            text.push_str(&format!(", {unreadable} batches cannot be read"));
        }
        if too_clear > 0 {
            text.push_str(&format!(", {too_clear} not sent for their clear names"));
        }
        if given_up > 0 {
            text.push_str(&format!(", {given_up} given up"));
        }
        if lost > 0 {
            text.push_str(&format!(", {lost} lost"));
            error!("{lost} documents were not accepted and could not be stored: they are lost");
        }
        let amiss = [
            rejected,
            waiting,
            self.held_back,
            damaged,
            unreadable,
            too_clear,
            given_up,
            lost,
        ];
        let is_well = amiss.iter().all(|count| *count == 0) && !has_failed && !is_unknown;
        (is_well, text)
    }
}

/// All documents of a round, one after the other.
fn all(collected: &[Collected]) -> io::Result<Box<dyn BufRead + Send>> {
    let mut all: Box<dyn BufRead + Send> = Box::new(io::empty());
    for documents in collected.iter().filter_map(|c| c.documents.as_ref()) {
        all = Box::new(all.chain(documents.read()?));
    }
    Ok(all)
}
