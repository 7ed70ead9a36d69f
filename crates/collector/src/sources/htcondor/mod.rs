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
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Ads<'_, T> {
    /// The next ad, as what `usable` makes of it; `None` at the end of a list that ended well.
    /// What is no ad, or is refused by `usable` with a reason, is counted and left out.
    pub async fn next<U>(
        &mut self,
        usable: impl Fn(T) -> Result<U, &'static str>,
    ) -> Result<Option<U>, CollectError> {
        loop {
            match self.splitter.next() {
                Some(Piece::Junk { line, why }) => self.tally.bad(line, why),
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
                        Err(why) => self.tally.bad(line, why),
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
        std::mem::take(&mut self.tally).verdict(self.program, "ad")
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
        std::mem::take(&mut self.tally).verdict(self.program, "ad")
    }

    fn malformed(&self, what: &str) -> CollectError {
        CollectError::Malformed(format!("the output of {} {what}", self.program))
    }
}
