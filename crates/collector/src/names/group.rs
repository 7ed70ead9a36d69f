//! Who is in a Unix group, asked of the system's user database on a thread of its own.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User, getgrouplist};
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};
use tracing::error;

use crate::aside::Hanging;
use crate::error::CollectError;

/// A question to the thread, and where it puts the answer and how long it took.
type Question = (String, oneshot::Sender<(Result<bool, String>, Duration)>);

/// Lets through who is in a group.
pub struct Filter {
    questions: mpsc::Sender<Question>,
    /// For an answer, from when the thread begins with it.
    patience: Duration,
    work: Work,
    /// How long answers took that were failures.
    failed_for: Cell<Duration>,
    is_unknown: bool,
    /// It takes too long: in this round nobody is asked about again.
    given_up: OnceCell<CollectError>,
    /// That it fails has been said.
    told: Cell<bool>,
}

/// The group is none that the system knows.
#[derive(Debug, thiserror::Error)]
#[error("-g: this system knows no group {0:?}")]
pub struct UnknownGroup(String);

/// Since when the thread is at what it is at; `None`: it waits for a question.
#[derive(Clone, Default)]
struct Work(Arc<Mutex<Option<Instant>>>);

impl Work {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Filter {
    /// Looks the group up, for at most `patience`; a lookup that fails is no unknown group.
    pub async fn new(
        group: &str,
        patience: Duration,
        hanging: &Hanging,
    ) -> Result<Self, UnknownGroup> {
        let (known, is_known) = oneshot::channel();
        let (questions, asked) = mpsc::channel();
        let name = group.to_owned();
        let work = Work::default();
        work.set(Some(Instant::now()));
        // Where no thread can be had, or that of an earlier round hangs, both channels are closed: each
        // question fails.
        if let Ok(asking) = hanging.ask(&format!("group {group}")) {
            let work = work.clone();
            let _ = thread::Builder::new().spawn(move || {
                let _asking = asking;
                answer(&name, known, &asked, &work);
            });
        }
        if let Ok(Ok(false)) = timeout(patience, is_known).await {
            return Err(UnknownGroup(group.to_owned()));
        }
        Ok(Self {
            questions,
            patience,
            work,
            failed_for: Cell::default(),
            is_unknown: false,
            given_up: OnceCell::new(),
            told: Cell::new(false),
        })
    }

    /// There is no such group.
    pub fn unknown(why: &UnknownGroup) -> Self {
        Self {
            questions: mpsc::channel().0,
            patience: Duration::ZERO,
            work: Work::default(),
            failed_for: Cell::default(),
            is_unknown: true,
            given_up: CollectError::Failed(why.to_string()).into(),
            told: Cell::new(false),
        }
    }

    /// Why there is no such group, in a sentence.
    pub fn unknown_group(&self) -> Option<String> {
        let why = self.given_up.get().filter(|_| self.is_unknown)?;
        Some(why.to_string())
    }

    /// Says why the group of some is not known, once. What follows from it the collectors say.
    pub fn tell(&self, why: &CollectError) {
        if !self.told.replace(true) {
            error!("{why}");
        }
    }

    /// Whether the user is in the group.
    pub async fn is_member(&self, user: &str) -> Result<bool, CollectError> {
        if let Some(why) = self.given_up.get() {
            return Err(why.clone());
        }
        let (reply, mut answer) = oneshot::channel();
        // An error means that the thread has ended; then there is no answer, either.
        let _ = self.questions.send((user.to_owned(), reply));
        loop {
            // Others may have asked before, and who asked may have given up: what counts is how long the thread
            // is at one thing.
            let due = self.work.since().unwrap_or_else(Instant::now) + self.patience;
            match timeout_at(due.into(), &mut answer).await {
                Ok(Ok((Ok(is_member), _))) => return Ok(is_member),
                Ok(Ok((Err(why), took))) => return Err(self.failed(&why, took)),
                Ok(Err(_)) => {
                    return Err(self.give_up(CollectError::Failed(
                        "the user database (NSS) cannot be asked who is in the group of -g: the thread that asks it has ended, or could not be started, or hangs since an earlier round".to_owned(),
                    )));
                }
                Err(_) if self.hangs() => {
                    return Err(self.give_up(CollectError::TimedOut(format!(
                        "the user database (NSS) did not say within {} s who is in the group of -g",
                        self.patience.as_secs()
                    ))));
                }
                Err(_) => {}
            }
        }
    }

    fn hangs(&self) -> bool {
        let since = self.work.since();
        since.is_some_and(|since| since.elapsed() >= self.patience)
    }

    /// A failure can be one user's, and does not count against others, unless it takes long.
    fn failed(&self, why: &str, took: Duration) -> CollectError {
        let why = CollectError::Failed(format!(
            "the user database (NSS) failed, so who is in the group of -g is not known: {why}"
        ));
        self.failed_for.set(self.failed_for.get() + took);
        match self.failed_for.get() >= self.patience {
            true => self.give_up(why),
            false => why,
        }
    }

    fn give_up(&self, why: CollectError) -> CollectError {
        // Another collector may have come to it before.
        self.given_up.get_or_init(|| why).clone()
    }
}

/// What the thread does: looks the group up, says whether it exists, then answers questions.
fn answer(
    group: &str,
    known: oneshot::Sender<bool>,
    asked: &mpsc::Receiver<Question>,
    work: &Work,
) {
    let group = Group::from_name(group).map_err(|why| why.desc());
    work.set(None);
    // `Err` counts as known: only the system's own word makes a group an unknown one.
    let _ = known.send(!matches!(group, Ok(None)));
    let mut answers: HashMap<String, bool> = HashMap::new();
    for (user, reply) in asked {
        let begun = Instant::now();
        work.set(Some(begun));
        let answer = match (answers.get(&user), &group) {
            (Some(known), _) => Ok(*known),
            (None, Ok(Some(group))) => is_in(&user, group),
            // Said too late for exit status 2.
            (None, Ok(None)) => Err("it knows no such group".to_owned()),
            (None, Err(why)) => Err((*why).to_owned()),
        };
        if let Ok(is_member) = answer {
            answers.insert(user, is_member);
        }
        // An error means that the collector has given up waiting.
        let _ = reply.send((answer, begun.elapsed()));
        work.set(None);
    }
}

/// Whether it is the user's primary group or one of the supplementary ones. A user whom the system
/// does not know is in no group.
fn is_in(user: &str, group: &Group) -> Result<bool, String> {
    let is_member = lists(user, group).map_err(|why| why.desc().to_owned())?;
    if is_member {
        return Ok(true);
    }
    match Group::from_gid(group.gid) {
        Ok(Some(_)) => Ok(false),
        Ok(None) => Err("it no longer knows the group".to_owned()),
        Err(why) => Err(why.desc().to_owned()),
    }
}

fn lists(user: &str, group: &Group) -> nix::Result<bool> {
    let Some(entry) = User::from_name(user)? else {
        return Ok(false);
    };
    if entry.gid == group.gid || group.mem.contains(&entry.name) {
        return Ok(true);
    }
    let Ok(name) = CString::new(user) else {
        return Ok(false);
    };
    // Not only `group.mem`: SSSD may leave the list of members out, and answer this all the same.
    Ok(getgrouplist(&name, entry.gid)?.contains(&group.gid))
}
