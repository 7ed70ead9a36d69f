//! `afmetrics_receiver serve`: from the flags to the last answer.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rusqlite::Connection;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Routes};
use crate::cli::Serve;
use crate::config::{self, Changeable};
use crate::listen::{Bounds, tls::Certificate};
use crate::store::{Store, is_open_to_others, schema};
use crate::{listen, refusals, reload, tokens};

/// How often a change of the tokens by a command is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two lines about the same.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Reads the configuration again.
type Read<'a> = &'a dyn Fn() -> Result<Serve>;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// It could not begin.
pub fn run(serve: &Serve, read: Read<'_>) -> Result<()> {
    let most = connections(usize::try_from(serve.max_connections)?, raise_open_files());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(config::processors())
        // For reading the store, and long bodies.
        .max_blocking_threads(16)
        .build()
        .context("cannot start")?;
    // From here on it ends nothing, however long the store takes to open.
    let hangup = {
        let _in = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let folder = config::folder(&serve.place);
    let is_new = !folder.join(schema::FILE).exists();
    let (store, writing) = Store::open(&folder)?;
    if is_new {
        tracing::info!("made a new store in {}", folder.display());
    }
    let app = Arc::new(App::new(
        store,
        Changeable::of(serve),
        serve.tls_cert.is_some() || serve.insecure_http,
    ));
    let following = follow_tokens(&app)?;
    if is_open_to_others(&folder) {
        tracing::warn!(
            "others can enter the store's folder {0}, and names stand in it: `chmod 700 {0}`",
            folder.display()
        );
    }
    let served = runtime.block_on(until_told(serve, (hangup, read), &app, most));
    // With the last handle the writer ends, after what was accepted.
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(app);
    following.end();
    let ended = served.and(writing.end());
    if ended.is_ok() {
        tracing::info!("ended, the store is closed");
    }
    ended
}

async fn until_told(
    serve: &Serve,
    (mut hangup, read): (Signal, Read<'_>),
    app: &Arc<App>,
    most: usize,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let certificate = match (&serve.tls_cert, &serve.tls_key) {
        (Some(cert), Some(key)) => {
            let expiry = app.metrics.certificate.get_or_create(&Vec::new()).clone();
            Some(Certificate::read(cert, key, expiry)?)
        }
        _ => None,
    };
    let listener = listen::bind(serve.listen)?;
    let address = listener.local_addr()?;
    let keep = reload::keep(serve);
    app.store
        .on_writer(move |writer| reload::keep_small(writer, keep))
        .await?;
    let tls = match &certificate {
        Some(certificate) => {
            tokio::spawn(Arc::clone(certificate).follow());
            Some(TlsAcceptor::from(Arc::new(certificate.server_config()?)))
        }
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!(
        "afmetrics_receiver {} listens on {scheme}://{address}/, store in {}",
        env!("CARGO_PKG_VERSION"),
        app.store.folder().display()
    );
    let telling = tokio::spawn(refusals::tell_on(Arc::clone(app)));
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(listen::serve(
        listener,
        tls,
        Routes::new(Arc::clone(app)),
        app.metrics.connections.clone(),
        Bounds::of(most),
        stopped,
    ));
    let mut running = serve.clone();
    let name = loop {
        tokio::select! {
            _ = hangup.recv() => match read() {
                Ok(wanted) => reload::take(&mut running, wanted, app).await,
                Err(why) => tracing::error!("SIGHUP: the configuration stays as it was: {why:#}"),
            },
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            // Its end says that it has failed: then a new start is better than to refuse all that comes.
            () = app.store.writer_ended() => break "the writer of the store has failed",
        }
    };
    tracing::info!("{name}: what was accepted is finished");
    app.stop();
    stop.send_replace(true);
    let served = serving.await.context("serving failed");
    telling.abort();
    app.refusals.tell(i64::MAX);
    served
}

/// The thread that reads the tokens again when they change.
struct Following {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Following {
    /// Waits until it has closed the store.
    fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("what follows the tokens has failed");
        }
    }
}

/// Reads the tokens again when they change, as long as there is the app. On a thread of its own: a token
/// that is revoked must not live on because questions take long.
fn follow_tokens(app: &Arc<App>) -> Result<Following> {
    let store = schema::open_to_read(app.store.folder())?;
    let mut known = refresh(app, &store, None)?;
    let app = Arc::downgrade(app);
    let (stop, stopped) = channel();
    let mut told: Option<Instant> = None;
    let follow = move || {
        while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let Some(app) = app.upgrade() else { return };
            match refresh(&app, &store, Some(known)) {
                Ok(now) => known = now,
                Err(why) if told.is_none_or(|told| told.elapsed() > TELL_EVERY) => {
                    tracing::error!("the tokens cannot be read again: {why:#}");
                    told = Some(Instant::now());
                }
                Err(_) => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("tokens".into());
    let thread = thread.spawn(follow).context("cannot start a thread")?;
    Ok(Following { thread, stop })
}

/// Reads the tokens again if they have changed; returns by what that is seen the next time.
fn refresh(app: &App, store: &Connection, known: Option<(i64, i64)>) -> Result<(i64, i64)> {
    let now = tokens::revision(store)?;
    if known != Some(now) {
        app.tokens.replace(tokens::list(store)?);
    }
    Ok(now)
}

/// Each connection is an open file, and a login shell's limit is 1,024. Returns how many may be open now.
fn raise_open_files() -> u64 {
    const ENOUGH: u64 = 65_536;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1_024;
    };
    let wanted = hard.min(ENOUGH);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        return wanted;
    }
    soft
}

/// As many connections as are wanted, or as there can be open files beside the store's.
fn connections(wanted: usize, files: u64) -> usize {
    const OTHERS: u64 = 64;
    let possible = usize::try_from(files.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    if possible < wanted {
        tracing::warn!(
            "at most {possible} connections at a time, not {wanted}: only {files} files may be open (LimitNOFILE= of the unit, or ulimit -n)"
        );
    }
    possible.clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_open_files() {
        assert_eq!(connections(12_000, 65_536), 12_000);
        assert_eq!(connections(12_000, 1_024), 960);
        assert_eq!(connections(12_000, 10), 1);
    }
}
