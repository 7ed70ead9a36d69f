//! What can hang in the kernel (files on a dead mount, a FIFO) is done on a thread that the round can
//! abandon.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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

type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread that owns something and does with it what it is asked to, one after the other.
#[derive(Debug)]
pub struct Desk<T> {
    place: Place<T>,
    patience: Duration,
}

#[derive(Debug)]
enum Place<T> {
    Thread(mpsc::Sender<Work<T>>),
    /// The system has no thread to give: here, what hangs hangs the round.
    Here(RefCell<T>),
}

impl<T: Send + 'static> Desk<T> {
    /// `patience`: how long a single piece of work may take.
    pub fn new(patience: Duration, owned: T) -> Self {
        let (work, inbox) = mpsc::channel::<Work<T>>();
        let (give, given) = mpsc::channel::<T>();
        let started = thread::Builder::new().spawn(move || {
            if let Ok(mut owned) = given.recv() {
                for work in inbox {
                    work(&mut owned);
                }
            }
        });
        let not_given = match started {
            Ok(_) => give.send(owned).err().map(|mpsc::SendError(owned)| owned),
            Err(_) => Some(owned),
        };
        let place = match not_given {
            None => Place::Thread(work),
            Some(owned) => Place::Here(RefCell::new(owned)),
        };
        Self { place, patience }
    }

    /// Does it, behind what was asked for before, and waits for it.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = io::Result<R>>>> {
        let (reply, answer) = oneshot::channel();
        let work = move |owned: &mut T| {
            let _ = reply.send(work(owned));
        };
        match &self.place {
            // An error (the thread has panicked) shows as no answer.
            Place::Thread(inbox) => drop(inbox.send(Box::new(work))),
            Place::Here(owned) => work(&mut owned.borrow_mut()),
        }
        Box::pin(wait(self.patience, answer))
    }
}
