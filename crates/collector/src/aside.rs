//! What can hang in the kernel (files on a dead mount, a FIFO) is done on a thread that the round can
//! abandon.

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
    work: mpsc::Sender<Work<T>>,
    patience: Duration,
}

impl<T: Send + 'static> Desk<T> {
    /// `patience`: how long a single piece of work may take.
    pub fn new(patience: Duration, mut owned: T) -> io::Result<Self> {
        let (work, inbox) = mpsc::channel::<Work<T>>();
        thread::Builder::new()
            .spawn(move || {
                for work in inbox {
                    work(&mut owned);
                }
            })
            .map_err(no_thread)?;
        Ok(Self { work, patience })
    }

    /// Does it, behind what was asked for before, and waits for it.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = io::Result<R>>>> {
        let (reply, answer) = oneshot::channel();
        // An error (the thread has panicked) shows as no answer.
        let _ = self.work.send(Box::new(move |owned| {
            let _ = reply.send(work(owned));
        }));
        Box::pin(wait(self.patience, answer))
    }
}
