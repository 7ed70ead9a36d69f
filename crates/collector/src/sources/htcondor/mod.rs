//! HTCondor's tools, as `condor_q -json` and `condor_history -json` print:
//!
//! ```text
//! [
//! {
//!   "ClusterId": 4,
//!   "JobStatus": 1,
//!   "Owner": "canary-2"
//! }
//! ,
//! {
//! ...
//! }
//! ]
//! ```
//!
//! What surprised us (HTCondor 25.14, a real pool): an empty queue is no output at all, an empty
//! history is `[` and `]`; an error may leave a lone `[`; a missing attribute is a missing key, an
//! undefined one is null, an unevaluated one is a string `"/Expr(...)/"`; numbers may be reals; two
//! objects may carry the same id. A list of 80,000 jobs is 14 MB, so it is read as a stream: what is
//! kept is one object.

pub mod completed;
pub mod history;
pub mod jobs;
mod list;
pub mod options;
pub mod pool;
pub mod queues;
pub mod schedd;
mod values;

use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::list::{LARGEST, Piece, Splitter};
pub use self::values::{Number, Text};
use crate::command::Running;
use crate::context::Context;
use crate::error::CollectError;
use crate::tally::Tally;

/// Runs a tool of HTCondor whose output is a JSON list of ClassAds; of each, the attributes that
/// `T` has are read. `silence`: how long it may say nothing.
pub async fn query<'a, T: DeserializeOwned>(
    cx: &'a Context,
    program: &'static str,
    args: &[&str],
    silence: Duration,
) -> Result<Ads<'a, T>, CollectError> {
    Ok(Ads {
        program,
        running: Some(
            cx.command(program)
                .args(args)
                .silence(silence)
                .spawn()
                .await
                .map_err(|why| nor_is_squeue(why, cx))?,
        ),
        splitter: Splitter::default(),
        tally: Tally::default(),
        left_out: 0,
        label: String::new(),
        of: PhantomData,
    })
}

/// `-b` looked for Slurm, too.
fn nor_is_squeue(why: CollectError, cx: &Context) -> CollectError {
    match why {
        CollectError::NotHere(text) if cx.has_no_batch_system => CollectError::NotHere(format!(
            "{text}; nor is squeue, so it is no node of Slurm, either"
        )),
        why => why,
    }
}

/// The ClassAds that a tool prints, one after the other.
pub struct Ads<'a, T> {
    program: &'static str,
    running: Option<Running<'a>>,
    splitter: Splitter,
    tally: Tally,
    left_out: u64,
    /// What stands before a line of the log about them.
    label: String,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Ads<'_, T> {
    /// Names the schedd in the lines of the log.
    pub fn labelled(mut self, label: String) -> Self {
        self.label = label;
        self
    }

    /// How many could not be read so far.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn bad(&mut self, line: u64, why: &'static str) {
        self.left_out += 1;
        self.tally.bad(line, why);
    }

    fn verdict(&mut self) -> Result<(), CollectError> {
        let tally = std::mem::take(&mut self.tally);
        tally.verdict_of(&self.label, self.program, "ad")
    }

    /// The next ad, as what `usable` makes of it; `None` at the end of a list that ended well.
    /// What is no ad, or is refused by `usable` with a reason, is counted and left out.
    pub async fn next<U>(
        &mut self,
        usable: impl Fn(T) -> Result<U, &'static str>,
    ) -> Result<Option<U>, CollectError> {
        loop {
            match self.splitter.next() {
                Some(Piece::Junk { line, why }) => self.bad(line, why),
                Some(Piece::Object { line, range }) => {
                    let text = String::from_utf8_lossy(self.splitter.bytes(range));
                    match serde_json::from_str(&text)
                        .map_err(|_| "not a JSON object")
                        .and_then(&usable)
                    {
                        Ok(ad) => {
                            self.tally.good();
                            return Ok(Some(ad));
                        }
                        Err(why) => self.bad(line, why),
                    }
                }
                None => {
                    let Some(running) = &mut self.running else {
                        return Ok(None);
                    };
                    let read = running.read(self.splitter.room()).await?;
                    self.splitter.filled(read);
                    if self.splitter.held() > LARGEST {
                        return Err(
                            self.malformed(&format!("has an object of more than {LARGEST} bytes"))
                        );
                    }
                    if read == 0 {
                        self.end().await?;
                    }
                }
            }
        }
    }

    /// Ends the tool before the end of its list, as enough was read: no failure. What was read is judged.
    pub fn stop(mut self) -> Result<(), CollectError> {
        self.running = None;
        self.verdict()
    }

    /// Judges the whole once it is there: the exit status first, as it explains the rest.
    async fn end(&mut self) -> Result<(), CollectError> {
        if let Some(running) = self.running.take() {
            running.finish().await?;
        }
        if self.splitter.is_cut() {
            return Err(self.malformed("ends in the middle of a list"));
        }
        if self.splitter.is_hollow() {
            return Err(self.malformed("is neither empty nor a list"));
        }
        self.verdict()
    }

    fn malformed(&self, what: &str) -> CollectError {
        CollectError::Malformed(format!("the output of {} {what}", self.program))
    }
}
