//! What can hang in the kernel (files on a dead mount, a FIFO) is done on a thread that the round can
//! abandon.

use std::cell::RefCell;
use std::future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
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
}

impl Desk {
    pub fn new(patience: Duration) -> Self {
        Self {
            inbox: Rc::default(),
            patience,
        }
    }

    /// Does it, behind what was asked for before, and waits for it.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> LocalBoxFuture<'static, io::Result<R>> {
        let inbox = match self.inbox() {
            Ok(inbox) => inbox,
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
        thread::Builder::new().spawn(move || work.into_iter().for_each(|work| work()))?;
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
            Err(_) => Box::pin(future::ready(Ok(work()))),
        }
    }
}
