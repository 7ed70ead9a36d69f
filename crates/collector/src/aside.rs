//! What can hang in the kernel (files on a dead mount, a FIFO) is done on a thread that the round can
//! abandon.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Does it, and waits for it as long as `patience`, from now on. Not on the runtime's own threads, as
/// the runtime panics where the system has none to give.
pub fn aside<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> {
    let (reply, answer) = oneshot::channel();
    let runtime = Handle::current();
    let started = thread::Builder::new().spawn(move || {
        // Starting a program, or making a client, asks for it.
        let _runtime = runtime.enter();
        // An error means that the round has given up waiting.
        let _ = reply.send(work());
    });
    let answer = wait(patience, answer);
    async move {
        started.map_err(no_thread)?;
        answer.await
    }
}

/// What was asked for and may never come back. In a daemon nothing is asked again while the thread that asked
/// in an earlier round still hangs, or a dead mount would cost a thread a round.
#[derive(Debug, Clone, Default)]
pub struct Hanging(Rc<RefCell<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    round: u64,
    /// The round in which it was asked for last, and what lives as long as the asking.
    last: HashMap<String, (u64, Weak<()>)>,
}

impl Hanging {
    /// A round begins: what hangs from now on is of an earlier one.
    pub fn next_round(&self) {
        let mut asked = self.0.borrow_mut();
        asked.round += 1;
        asked.last.retain(|_, (_, alive)| alive.strong_count() > 0);
    }

    /// To be held as long as the asking takes; an error if that of an earlier round has not come back.
    pub fn ask(&self, what: &str) -> io::Result<Arc<()>> {
        let mut asked = self.0.borrow_mut();
        let round = asked.round;
        let before = asked.last.get(what);
        if before.is_some_and(|(of, alive)| *of < round && alive.strong_count() > 0) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "still hangs since an earlier round",
            ));
        }
        let asking = Arc::new(());
        asked
            .last
            .insert(what.to_owned(), (round, Arc::downgrade(&asking)));
        Ok(asking)
    }
}

fn no_thread(why: io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("no thread could be started: {why}"))
}

fn wait<T>(
    patience: Duration,
    answer: oneshot::Receiver<T>,
) -> impl Future<Output = io::Result<T>> {
    let answer = timeout(patience, answer);
    async move {
        match answer.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(io::Error::other(
                "stopped by an error of its own (a bug: please report it)",
            )),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", patience.as_secs()),
            )),
        }
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after the other, for who asks it often: a new one for each costs a tenth
/// of a millisecond. One that hangs is left to itself, and another takes its place.
#[derive(Debug, Clone)]
pub struct Desk {
    inbox: Rc<RefCell<Option<mpsc::Sender<Work>>>>,
    /// How long a single piece of work may take.
    patience: Duration,
    hanging: Hanging,
}

impl Desk {
    pub fn new(patience: Duration, hanging: &Hanging) -> Self {
        Self {
            inbox: Rc::default(),
            patience,
            hanging: hanging.clone(),
        }
    }

    /// Does it, behind what was asked for before, and waits for it.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> LocalBoxFuture<'static, io::Result<R>> {
        let inbox = match self.inbox() {
            Ok(inbox) => inbox,
            Err(why) if why.kind() == io::ErrorKind::TimedOut => {
                return Box::pin(future::ready(Err(why)));
            }
            Err(why) => return Box::pin(future::ready(Err(no_thread(why)))),
        };
        let (reply, answer) = oneshot::channel();
        // An error (the thread has panicked) shows as no answer.
        let _ = inbox.send(Box::new(move || {
            let _ = reply.send(work());
        }));
        let answer = wait(self.patience, answer);
        let place = Rc::clone(&self.inbox);
        Box::pin(async move {
            let answer = answer.await;
            if answer.is_err() {
                place.take();
            }
            answer
        })
    }

    fn inbox(&self) -> io::Result<mpsc::Sender<Work>> {
        if let Some(inbox) = &*self.inbox.borrow() {
            return Ok(inbox.clone());
        }
        let (inbox, work) = mpsc::channel::<Work>();
        let asking = self.hanging.ask("the state folder")?;
        thread::Builder::new().spawn(move || {
            let _asking = asking;
            work.into_iter().for_each(|work| work());
        })?;
        *self.inbox.borrow_mut() = Some(inbox.clone());
        Ok(inbox)
    }
}

/// Something that is only touched at a desk.
#[derive(Debug)]
pub struct Kept<T> {
    desk: Desk,
    owned: Arc<Mutex<T>>,
}

impl<T: Send + 'static> Kept<T> {
    pub fn new(desk: Desk, owned: T) -> Self {
        Self {
            desk,
            owned: Arc::new(Mutex::new(owned)),
        }
    }

    /// Does something with it at its desk; where the system has no thread to give, here, and then what
    /// hangs hangs the round.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> LocalBoxFuture<'static, io::Result<R>> {
        let owned = Arc::clone(&self.owned);
        let work = move || work(&mut owned.lock().unwrap_or_else(PoisonError::into_inner));
        match self.desk.inbox() {
            Ok(_) => self.desk.ask(work),
            Err(why) if why.kind() == io::ErrorKind::TimedOut => self.desk.ask(work),
            Err(_) => Box::pin(future::ready(Ok(work()))),
        }
    }
}
