//! Parcels from the spool, oldest batch first, and what became of them into the spool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{error, warn};

use super::parcels::{AT_ONCE, Answer, Answered, Left, Origin, Packer, Parcel, Source, lines};
use super::wrapping::Wrapping;
use crate::counted::{counted, of};
use crate::numbers;
use crate::spool::{Bounds, Done, Header, Reader, Spool, Turn, Unreadable, Waiting};

/// Which batches may be sent now: others wait for who sends them.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The token is this facility's.
    pub cluster: String,
    /// Where it goes; `None`: what was collected for other endpoints, too, that are in use no longer.
    pub endpoint: Option<String>,
    /// The endpoint that it is sent to.
    pub own: String,
    /// Batches of metrics, or of documents: neither can be taken for the other.
    pub takes_metrics: bool,
    /// All endpoints of this configuration: what goes there is in good hands.
    pub others: Vec<String>,
    /// How users and hosts may be named: clear names that were collected before they were to be
    /// hidden do not leave.
    pub hides_users: bool,
    pub hides_hosts: bool,
    /// What this round has ever seen waiting for it.
    pub seen: Seen,
}

/// What a header says of names that were not hidden.
pub const CLEAR: &str = "clear";

impl Wanted {
    fn has(&self, header: &Header) -> bool {
        let is_for_it = match &self.endpoint {
            Some(endpoint) => *endpoint == header.endpoint,
            // Not what is for another one that is in use.
            None => self.is_orphan(header) || self.own == header.endpoint,
        };
        let are_metrics = header.kinds.contains_key(numbers::NAME);
        is_for_it && header.cluster == self.cluster && are_metrics == self.takes_metrics
    }

    /// Nobody is about to send it.
    fn is_orphan(&self, header: &Header) -> bool {
        let is_in_use = self.others.contains(&header.endpoint) || self.own == header.endpoint;
        header.cluster != self.cluster || !is_in_use
    }

    fn may_leave(&self, header: &Header) -> bool {
        !(self.hides_users && header.users == CLEAR || self.hides_hosts && header.hosts == CLEAR)
    }
}

/// What a round has ever seen waiting for an endpoint.
pub type Seen = Arc<Mutex<BTreeSet<Waiting>>>;

pub struct FromSpool {
    spool: Spool,
    /// Until the end; those that deliver to other endpoints have it, too.
    turn: Option<Arc<Turn>>,
    wanted: Wanted,
    wrapping: Wrapping,
    bounds: Bounds,
    now: SystemTime,
    /// The number of the round that this one stored; its documents are not late.
    own: Option<u64>,
    queue: VecDeque<Waiting>,
    /// What was ever in the queue, in this round, and is still in the spool.
    seen: Seen,
    reading: Option<Reading>,
    open: BTreeMap<u64, Open>,
    /// For telling batches apart.
    opened: u64,
    /// Batches with clear names where names are hidden now.
    too_clear: BTreeSet<Waiting>,
    /// Batches that were set aside.
    damaged: u64,
    /// Refused documents that could not be put aside.
    not_put_aside: u64,
    /// The spool could not be listed.
    has_failed: bool,
    /// What cannot be written is said once.
    has_warned: bool,
}

/// The batch that is being read.
struct Reading {
    reader: Reader,
    packer: Packer,
}

/// A batch of which not everything is answered.
struct Open {
    waiting: Waiting,
    header: Header,
    done: Done,
    /// All of it was handed out.
    is_read: bool,
    /// Documents handed out and not answered.
    out: u64,
    /// The last answer that did not end anything.
    last: Option<String>,
    /// What is wrong with it, if it cannot be read to its end.
    damage: Option<String>,
}

impl FromSpool {
    pub fn new(
        spool: Spool,
        turn: Arc<Turn>,
        wanted: Wanted,
        wrapping: Wrapping,
        bounds: Bounds,
        now: SystemTime,
        own: Option<u64>,
    ) -> Self {
        Self {
            spool,
            turn: Some(turn),
            seen: Arc::clone(&wanted.seen),
            wanted,
            wrapping,
            bounds,
            now,
            own,
            queue: VecDeque::new(),
            reading: None,
            open: BTreeMap::new(),
            opened: 0,
            too_clear: BTreeSet::new(),
            damaged: 0,
            not_put_aside: 0,
            has_failed: false,
            has_warned: false,
        }
    }

    /// Opens the next batch that may be sent; false if there is none.
    fn open_next(&mut self) -> bool {
        loop {
            if self.queue.is_empty() {
                // Another round may have stored meanwhile and left delivering to this one.
                match self.spool.waiting() {
                    Ok(mut waiting) => {
                        let mut seen = locked(&self.seen);
                        waiting.retain(|waiting| seen.insert(waiting.clone()));
                        self.queue.extend(waiting);
                    }
                    Err(why) => {
                        self.has_failed = true;
                        self.warn(&format!("the spool cannot be listed: {why}"));
                    }
                }
            }
            let Some(waiting) = self.queue.pop_front() else {
                return false;
            };
            match self.spool.open(&waiting) {
                Ok((reader, _)) if !self.wanted.has(&reader.header) => {}
                Ok((reader, _)) if !self.wanted.may_leave(&reader.header) => {
                    self.too_clear.insert(waiting);
                }
                Ok((reader, done)) => {
                    self.start(waiting, reader, done);
                    return true;
                }
                Err(why) => self.unreadable(&waiting, &why),
            }
        }
    }

    fn start(&mut self, waiting: Waiting, reader: Reader, done: Done) {
        self.opened += 1;
        let header = reader.header.clone();
        let is_own = self.own == Some(waiting.round);
        let origin = Origin {
            number: self.opened,
            id: header.id,
            timestamp: (!is_own).then(|| timestamp(header.collected)),
            collected: header.collected,
        };
        self.reading = Some(Reading {
            reader,
            packer: Packer::new(origin, &self.wrapping),
        });
        self.open.insert(
            self.opened,
            Open {
                waiting,
                header,
                done,
                is_read: false,
                out: 0,
                last: None,
                damage: None,
            },
        );
    }

    /// Reads on in the batch that is being read; true at its end.
    fn read_on(&mut self, parcels: &mut Vec<Parcel>) -> bool {
        let Some(Reading { reader, packer }) = &mut self.reading else {
            return true;
        };
        let number = packer.origin().number;
        let Some(open) = self.open.get_mut(&number) else {
            return true;
        };
        let before = parcels.len();
        let result = reader.next();
        let is_over = !matches!(result, Ok(Some(_)));
        if let Ok(Some(frame)) = &result {
            for (index, line) in (frame.first..).zip(lines(&frame.lines)) {
                if !open.done.is_done(index) {
                    parcels.extend(packer.add(index, line));
                }
            }
        } else {
            parcels.extend(packer.rest());
        }
        open.out += parcels[before..].iter().map(|p| p.count).sum::<u64>();
        if !is_over {
            return false;
        }
        open.is_read = true;
        match result {
            Ok(_) => {}
            // Set aside when what can be read of it is answered.
            Err(Unreadable::Damaged(why)) => open.damage = Some(why),
            Err(why) => {
                let waiting = open.waiting.clone();
                self.unreadable(&waiting, &why);
            }
        }
        self.reading = None;
        self.close_if_over(number);
        true
    }

    fn unreadable(&mut self, waiting: &Waiting, why: &Unreadable) {
        let of = format!("batch {} of the spool", waiting.round);
        match why {
            Unreadable::Damaged(why) => match self.spool.set_aside(waiting, why) {
                Ok(()) => {
                    locked(&self.seen).remove(waiting);
                    self.damaged += 1;
                    error!(
                        "{of} is damaged ({why}); what can be read of it is sent, and the file was set aside in spool/damaged"
                    );
                }
                Err(aside) => {
                    error!("{of} is damaged ({why}), and cannot be set aside: {aside}");
                }
            },
            // Ended by somebody else, who had the right to.
            Unreadable::Io(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Unreadable::Io(why) => error!(
                "{of} cannot be read: {why}; if it is another user's, give it to this job's (chown -R)"
            ),
        }
    }

    /// Ends a batch that nothing more can become of in this round.
    fn close_if_over(&mut self, number: u64) {
        let is_over = |open: &mut Open| open.is_read && open.out == 0;
        if !self.open.get_mut(&number).is_some_and(is_over) {
            return;
        }
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        let result = match open.done.left() {
            _ if open.damage.is_some() && open.last.is_none() => {
                let why = Unreadable::Damaged(open.damage.unwrap_or_default());
                return self.unreadable(&open.waiting, &why);
            }
            // Another round may get its number.
            0 => self.spool.end(&open.waiting).inspect(|()| {
                locked(&self.seen).remove(&open.waiting);
            }),
            _ => {
                let last = open.last.as_deref().unwrap_or("could not be read");
                self.spool.try_again_later(&open.waiting, last)
            }
        };
        if let Err(why) = result {
            self.warn(&format!("cannot write in the spool: {why}"));
        }
    }

    fn warn(&mut self, text: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            warn!("{text}");
        }
    }

    /// Keeps refused documents, then takes them for done: the other way round a crash loses them.
    fn reject(&mut self, number: u64, refused: &[(Parcel, String)]) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        let documents: Vec<(u64, &[u8], &str)> = refused
            .iter()
            .flat_map(|(parcel, answer)| {
                (parcel.first..)
                    .zip(lines(&parcel.lines))
                    .map(move |(index, line)| (index, line, answer.as_str()))
            })
            .collect();
        match self.spool.reject(&open.header, &documents) {
            Ok(()) => {
                for (parcel, _) in refused {
                    self.mark(parcel);
                }
            }
            Err(why) => {
                open.last = refused.last().map(|(_, answer)| answer.clone());
                self.not_put_aside += refused.iter().map(|(parcel, _)| parcel.count).sum::<u64>();
                self.warn(&format!(
                    "rejected documents cannot be stored in spool/rejected, and will be tried again: {why}"
                ));
            }
        }
    }

    fn mark(&mut self, parcel: &Parcel) {
        let Some(open) = self.open.get_mut(&parcel.origin.number) else {
            return;
        };
        let indices = parcel.first..parcel.first + parcel.count;
        if let Err(why) = self.spool.mark(&open.waiting, &mut open.done, indices) {
            self.warn(&format!(
                "cannot note in the spool what was accepted, so it is sent again if this round is killed: {why}"
            ));
        }
    }
}

impl FromSpool {
    /// Behind delivery: what could be delivered just now was not too much.
    fn keep_within_bounds(&mut self, left: &mut Left) {
        match self.spool.keep_within(self.bounds, self.now) {
            Ok(given_up) => {
                for gone in given_up {
                    error!("{}", gone.what);
                    left.has_failed = true;
                    match gone.endpoint {
                        Some(to) if self.wanted.endpoint.as_ref().is_some_and(|own| *own != to) => {
                            left.given_up_of_others.push((to, gone.documents));
                        }
                        _ => left.given_up += gone.documents,
                    }
                }
            }
            Err(why) => {
                left.has_failed = true;
                self.warn(&format!("the spool cannot be kept within bounds: {why}"));
            }
        }
    }
}

impl Source for FromSpool {
    fn next(&mut self, about: usize) -> Vec<Parcel> {
        let mut parcels: Vec<Parcel> = Vec::new();
        let mut bytes = 0;
        while parcels.len() < about && bytes < AT_ONCE {
            if self.reading.is_none() && !self.open_next() {
                break;
            }
            let before = parcels.len();
            self.read_on(&mut parcels);
            bytes += parcels[before..]
                .iter()
                .map(|parcel| parcel.lines.len())
                .sum::<usize>();
        }
        parcels
    }

    fn answered(&mut self, answered: Vec<Answered>) {
        let mut refused: BTreeMap<u64, Vec<(Parcel, String)>> = BTreeMap::new();
        let mut numbers = Vec::new();
        for Answered { parcel, answer } in answered {
            let number = parcel.origin.number;
            numbers.push((number, parcel.count));
            match answer {
                Answer::Accepted => self.mark(&parcel),
                Answer::Rejected(why) => refused.entry(number).or_default().push((parcel, why)),
                Answer::Later(why) => {
                    if let Some(open) = self.open.get_mut(&number) {
                        open.last = Some(why);
                    }
                }
            }
        }
        for (number, refused) in refused {
            self.reject(number, &refused);
        }
        for (number, documents) in numbers {
            if let Some(open) = self.open.get_mut(&number) {
                open.out = open.out.saturating_sub(documents);
            }
            self.close_if_over(number);
        }
    }

    fn end(&mut self) -> Left {
        for open in std::mem::take(&mut self.open).into_values() {
            if let Some(last) = &open.last {
                // The same as where a batch is closed; nothing depends on it.
                let _ = self.spool.try_again_later(&open.waiting, last);
            }
        }
        if !self.too_clear.is_empty() {
            let batches = self.too_clear.len() as u64;
            error!(
                "{} in the spool {} clear names, from before -o or -O, and {} not sent: `afmetrics_collector spool drop` ends it, or `spool deliver`, once, by a configuration without these",
                counted(batches, "batch"),
                of(batches, "holds", "hold"),
                of(batches, "is", "are")
            );
        }
        let mut left = Left {
            damaged: self.damaged,
            not_put_aside: self.not_put_aside,
            has_failed: self.has_failed,
            ..Left::default()
        };
        // The last one to end has it alone.
        let turn = self.turn.take().and_then(Arc::into_inner);
        let is_last = turn.is_some();
        if is_last {
            self.keep_within_bounds(&mut left);
        }
        // From here on another round delivers what it stores, or has left it to this one.
        drop(turn);
        let mut for_others = 0_u64;
        let all = self.spool.waiting().unwrap_or_else(|why| {
            left.has_failed = true;
            left.is_unseen = true;
            self.warn(&format!("the spool cannot be listed: {why}"));
            Vec::new()
        });
        for waiting in all {
            let (reader, done) = match self.spool.open(&waiting) {
                Ok(found) => found,
                // Another round has ended it since.
                Err(Unreadable::Io(why)) if why.kind() == std::io::ErrorKind::NotFound => continue,
                // It is still there, and nobody knows what is left of it.
                Err(_) => {
                    left.unreadable += 1;
                    continue;
                }
            };
            if !self.wanted.has(&reader.header) {
                let is_orphan = self.wanted.is_orphan(&reader.header);
                for_others += u64::from(is_last && is_orphan);
                continue;
            }
            if self.too_clear.contains(&waiting) {
                left.too_clear += done.left();
                continue;
            }
            if locked(&self.seen).contains(&waiting) {
                left.waiting += done.left();
                left.batches += 1;
                left.bytes += self.spool.bytes(&waiting);
            } else {
                left.has_more = true;
                continue;
            }
            if left.since.is_none() && done.left() > 0 {
                left.since = Some(reader.header.collected);
            }
        }
        if for_others > 0 {
            warn!(
                "{} in the spool {} for a round for another endpoint or facility; \
                 `afmetrics_collector spool list` shows which, and if the endpoint has moved, `spool deliver --any-endpoint` ends it",
                counted(for_others, "batch"),
                of(for_others, "waits", "wait")
            );
        }
        // Where something waits, the endpoint takes nothing just now.
        left.has_more &= left.waiting == 0;
        left
    }
}

fn locked(seen: &Seen) -> MutexGuard<'_, BTreeSet<Waiting>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As the contract has it: RFC 3339, UTC, milliseconds.
pub fn timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}
