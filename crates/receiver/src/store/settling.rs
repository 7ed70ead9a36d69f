//! Who waits for what was added up to be in the tables. All who ask while the writer is busy wait for one
//! settling; where nothing came since the last one, nobody waits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::{Refusal, locked};

type Reply = oneshot::Sender<Result<(), String>>;

/// What the writer and those who ask share.
#[derive(Debug, Default)]
pub struct Settling {
    /// How often something came.
    came: AtomicU64,
    /// How much of that is settled: what came meanwhile is not.
    settled: AtomicU64,
    /// Since the writer was told.
    asking: Mutex<Vec<Reply>>,
}

/// What became of a question for a settling.
pub enum Asked {
    /// All is settled.
    Nothing,
    /// The writer could not be told.
    Untold(Refusal),
    /// This tells when it is done.
    Wait(oneshot::Receiver<Result<(), String>>),
}

impl Settling {
    /// Something came. Before documents are answered for: from then on who asks has to see them.
    pub fn is_due(&self) {
        self.came.fetch_add(1, Ordering::AcqRel);
    }

    /// How often something came; before a settling takes it.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Acquire)
    }

    /// All is settled that had come by then.
    pub fn is_done(&self, came: u64) {
        self.settled.store(came, Ordering::Release);
    }

    /// Asks for a settling; `tell` tells the writer, if it does not know yet that somebody asks.
    pub fn ask(&self, tell: impl FnOnce() -> Result<(), Refusal>) -> Asked {
        if self.settled.load(Ordering::Acquire) == self.came() {
            return Asked::Nothing;
        }
        let mut asking = locked(&self.asking);
        if asking.is_empty()
            && let Err(why) = tell()
        {
            return Asked::Untold(why);
        }
        let (reply, settled) = oneshot::channel();
        asking.push(reply);
        Asked::Wait(settled)
    }

    /// Those who ask; who comes later tells the writer anew.
    pub fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut locked(&self.asking))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_told_once_and_only_if_something_came() {
        let settling = Settling::default();
        let told = std::cell::Cell::new(0);
        let ask = || {
            settling.ask(|| {
                told.set(told.get() + 1);
                Ok(())
            })
        };
        assert!(matches!(ask(), Asked::Nothing));
        settling.is_due();
        let waiting = [ask(), ask(), ask()];
        assert!(waiting.iter().all(|asked| matches!(asked, Asked::Wait(_))));
        assert_eq!(told.get(), 1);
        assert_eq!(settling.take().len(), 3);
        assert!(matches!(ask(), Asked::Wait(_)));
        assert_eq!(told.get(), 2, "the first settling may have begun before");
        settling.is_done(settling.came());
        assert!(matches!(ask(), Asked::Nothing));
    }

    /// What is refused is noted by other threads than the one that settles.
    #[test]
    fn what_comes_during_a_settling_is_due_after_it() {
        let settling = Settling::default();
        settling.is_due();
        let came = settling.came();
        settling.is_due();
        settling.is_done(came);
        assert!(matches!(settling.ask(|| Ok(())), Asked::Wait(_)));
    }

    #[test]
    fn nobody_waits_for_a_writer_that_was_not_told() {
        let settling = Settling::default();
        settling.is_due();
        let asked = settling.ask(|| Err(Refusal::Busy));
        assert!(matches!(asked, Asked::Untold(Refusal::Busy)));
        assert!(settling.take().is_empty());
    }
}
