//! What can hang in the kernel (files on a dead mount, a FIFO) is done on a thread that the round can
//! abandon.

use std::io;
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
    let answer = timeout(patience, answer);
    async move {
        started.map_err(|why| {
            io::Error::new(why.kind(), format!("no thread could be started: {why}"))
        })?;
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
