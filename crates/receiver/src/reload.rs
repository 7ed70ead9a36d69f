//! SIGHUP: the configuration is read again. What can change while connections are open does; the rest is
//! named, and waits for a restart. What cannot be read changes nothing.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::app::App;
use crate::cli::{Command, Place, Serve};
use crate::config::{self, Changeable};
use crate::layers::{self, Asked, both_names};
use crate::store::maintenance::Keep;
use crate::store::writer::Writer;

/// What `serve` is to do, as flags, environment and file say it now. `begun`: by what it has begun.
///
/// # Errors
/// The configuration is wrong, or the file has gone that there was: then all stays as it is.
pub fn read(words: &[OsString], begun: &Asked) -> Result<Serve> {
    let asked = layers::read(words, &config::variables())?;
    if let (Some(file), None) = (&begun.file, &asked.file) {
        bail!("{} is no longer there", file.display());
    }
    match asked.cli.command {
        Command::Serve(serve) => Ok(serve),
        _ => bail!("this is no receiver"),
    }
}

/// Takes over what can be; `running` becomes what is so now.
pub async fn take(running: &mut Serve, wanted: Serve, app: &Arc<App>) {
    let keep = keep(&wanted);
    if keep != self::keep(running) {
        let done = app.store.on_writer(move |writer| keep_small(writer, keep));
        match done.await {
            Ok(()) => {
                running.keep_documents = keep.documents;
                running.keep_summaries = keep.summaries;
            }
            Err(why) => {
                tracing::warn!(
                    "how long documents are kept stays as it was; reload again: {why:#}"
                );
            }
        }
    }
    let waiting = waiting(running, &wanted);
    running.trust_loopback = is_trusted(running, &wanted);
    running.accept_unknown_kinds = wanted.accept_unknown_kinds;
    running.rate_limit = wanted.rate_limit;
    running.request_timeout = wanted.request_timeout;
    app.change(Changeable::of(running));
    match waiting.is_empty() {
        true => tracing::info!("SIGHUP: the configuration was read again"),
        false => tracing::warn!(
            "SIGHUP: the configuration was read again; restart needed for: {}",
            waiting.join(", ")
        ),
    }
}

/// Whether this machine may read without a token. Not while a proxy is in front, by which everybody would
/// come from this machine.
fn is_trusted(running: &Serve, wanted: &Serve) -> bool {
    wanted.trust_loopback && !running.insecure_http
}

/// For how long `serve` keeps what.
pub fn keep(serve: &Serve) -> Keep {
    Keep {
        documents: serve.keep_documents,
        summaries: serve.keep_summaries,
    }
}

/// From now on keeps the store small.
pub fn keep_small(writer: &mut Writer, keep: Keep) {
    writer.keep_small(keep);
    // Only `prune` wants to know; a full disk must not keep a receiver from starting.
    if let Err(why) = writer.remember(keep) {
        tracing::warn!("`prune` will not know of --keep-documents: {why:#}");
    }
}

/// What is to be otherwise and cannot be while it runs.
fn waiting(running: &Serve, wanted: &Serve) -> Vec<String> {
    // A new flag has to be put on one side or the other.
    let Serve {
        place: Place {
            config: _,
            store: _,
        },
        loudness,
        listen,
        tls_cert,
        tls_key,
        insecure_http,
        max_connections,
        trust_loopback,
        accept_unknown_kinds: _,
        keep_documents: _,
        keep_summaries: _,
        rate_limit: _,
        request_timeout: _,
    } = wanted;
    let is_other_store = config::folder(&running.place) != config::folder(&wanted.place);
    [
        ("store", is_other_store),
        ("verbose", running.loudness != *loudness),
        ("listen", running.listen != *listen),
        ("tls_cert", running.tls_cert != *tls_cert),
        ("tls_key", running.tls_key != *tls_key),
        ("insecure_http", running.insecure_http != *insecure_http),
        (
            "trust_loopback",
            is_trusted(running, wanted) != *trust_loopback,
        ),
        (
            "max_connections",
            running.max_connections != *max_connections,
        ),
    ]
    .into_iter()
    .filter(|(_, is_other)| *is_other)
    .map(|(flag, _)| both_names(flag))
    .collect()
}
