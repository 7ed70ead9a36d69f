//! `afmetrics_collector`: collects who uses an analysis facility and how healthy it is, and
//! delivers it as JSON documents.
//!
//! The path of a document: source -> collector -> published names -> spool -> delivery -> endpoint. See
//! `ARCHITECTURE.md`.

mod aside;
mod batch_system;
pub mod cli;
pub mod collectors;
mod command;
pub mod config;
mod context;
mod delivery;
mod documents;
mod endpoint_url;
mod error;
mod heartbeat;
mod log;
mod names;
mod output;
mod quote;
mod recording;
mod round;
pub mod secret;
mod sending;
mod signals;
mod sources;
mod spool;
mod spool_commands;
mod state;
mod tally;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use afmetrics_document::CollectorResult;
use anyhow::{Context as _, Result};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

use crate::aside::aside;
use crate::cli::{Command, Place};
use crate::config::{Config, Environment, Target};
use crate::context::Context;
use crate::delivery::Endpoint;
use crate::heartbeat::Heartbeat;
use crate::names::{Names, UnknownGroup};
use crate::quote::Quoting;
use crate::recording::World;
use crate::round::Collected;
use crate::secret::Secret;
use crate::sending::Sender;
use crate::state::State;

/// Something was not collected or not delivered.
const INCOMPLETE: u8 = 1;
/// The command line or the configuration cannot be used.
const USAGE: u8 = 2;
/// How long a reader of standard output (a pager, a stopped terminal) may take. Writing is done
/// aside all the same, for SIGTERM and SIGINT to be heard.
const FOR_EVER: Duration = Duration::MAX;

/// Runs one round and returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, env: Environment) -> ExitCode {
    let cli = match cli::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Prints help and version, too, which are no errors.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let result = match cli.command {
        Some(Command::Spool(what)) => spool_commands::run(what, env),
        Some(Command::Record(what)) => recording::record(&what, env),
        Some(Command::Replay(what)) => recording::replay(&what),
        None => {
            log::open(level(&cli.place), Some(&cli.place.root));
            Config::new(cli, env).and_then(|config| act(&config))
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(why) => {
            error!("{why:#}");
            ExitCode::from(USAGE)
        }
    }
}

fn level(place: &Place) -> LevelFilter {
    match place.verbose {
        _ if place.very_verbose => LevelFilter::DEBUG,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2.. => LevelFilter::DEBUG,
    }
}

/// Whether all was collected and delivered. An error is one of usage or configuration.
fn act(config: &Config) -> Result<bool> {
    for remark in &config.remarks {
        info!("{remark}");
    }
    for warning in &config.warnings {
        warn!("{warning}");
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(async {
        tokio::select! {
            // Dropping the round ends the programs that it started.
            signal = signals::end() => {
                error!("ended by {} before the round was done", signal?);
                Ok(false)
            }
            result = one_round(config), if config.collects() => result,
            result = what_waits(config), if !config.collects() => result,
        }
    });
    // Not waiting for threads that hang in a dead mount or a dead directory service.
    runtime.shutdown_background();
    result
}

async fn one_round(config: &Config) -> Result<bool> {
    let begun = Instant::now();
    let mut config = config.clone();
    let has_no_batch_system = batch_system::settle(&mut config, &World::Host).await;
    let config = &config;
    // Before collecting: what cannot be sent need not be asked for.
    let endpoint = match &config.target {
        Target::Endpoint(endpoint) => Some(Endpoint::new(endpoint)?),
        Target::Files | Target::Print => None,
    };
    let mut cx = context(config).await?;
    cx.has_no_batch_system = has_no_batch_system;
    let cx = Rc::new(cx);
    let folder = cx
        .state
        .as_ref()
        .map_or_else(std::env::temp_dir, |state| state.dir().to_owned());
    let mut collected = round::collect(config, Rc::clone(&cx), &folder).await;
    let heartbeat = Heartbeat::wanted(config, &cx, begun.elapsed(), &folder);
    let summary = Summary::of(&collected, heartbeat.as_ref());
    if let (Some(beat), Target::Files | Target::Print) = (&heartbeat, &config.target) {
        beat.join(&mut collected);
    }
    let (done, rest) = match (&config.target, endpoint) {
        (Target::Endpoint(to), Some(endpoint)) => {
            Sender::new(config, to, &endpoint, &cx)
                .send(collected, heartbeat)
                .await?
        }
        (Target::Print, _) => {
            let written_to = aside(FOR_EVER, move || output::to_stdout(collected))
                .await
                .context("cannot write")?;
            written(written_to, "standard output")
        }
        _ => {
            let written_to = aside(FOR_EVER, move || {
                output::to_files(Path::new("."), collected)
            })
            .await
            .context("cannot write")?;
            let files = written_to
                .files
                .iter()
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            written(written_to, &files)
        }
    };
    let scheme = config
        .unstated_scheme
        .map(|scheme| {
            format!(
                "; users are hashed as {}, as no --hash was given",
                scheme.describe()
            )
        })
        .unwrap_or_default();
    info!(
        "collected {} documents from {} of {} collectors in {:.2} s; {rest}{scheme}",
        summary.documents,
        summary.well,
        summary.all,
        begun.elapsed().as_secs_f64()
    );
    Ok(done && summary.well == summary.all && !lacks_named_state(config, &cx))
}

/// Delivers what earlier rounds left.
async fn what_waits(config: &Config) -> Result<bool> {
    let begun = Instant::now();
    let Target::Endpoint(to) = &config.target else {
        return Ok(true);
    };
    let endpoint = Endpoint::new(to)?;
    let cx = context(config).await?;
    let sender = Sender::new(config, to, &endpoint, &cx);
    let (done, rest) = sender.send_what_waits().await?;
    info!(
        "delivered what waited in {:.2} s; {rest}",
        begun.elapsed().as_secs_f64()
    );
    Ok(done)
}

/// A state folder that somebody asked for cannot be used: a failure, and logged as one.
fn lacks_named_state(config: &Config, cx: &Context) -> bool {
    matches!(config.target, Target::Endpoint(_)) && config.state_dirs.by_name && cx.state.is_none()
}

/// What the collectors may use in this round.
async fn context(config: &Config) -> Result<Context, UnknownGroup> {
    let publisher = config.publisher.clone();
    let own = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let host = config.login_node.clone().unwrap_or_else(|| own.clone());
    let login_node = publisher.host(&host);
    if config.collects() && publisher.hides_hosts() && !host.contains(|c: char| c.is_ascii_digit())
    {
        warn!(
            "this node's name has no digits: under -O it is {}, as is every other such node's; --login-node can name it",
            login_node.as_str()
        );
    }
    let node_names: Vec<String> = [&own, &host]
        .into_iter()
        .filter_map(|name| short(name))
        .collect();
    let mut unquotable = config.secrets.clone();
    if publisher.hides_hosts() {
        // A proxy may say whom it refused.
        let names = [&own, &host].into_iter().chain(&node_names);
        unquotable.extend(names.filter(|name| name.len() > 2).map(Secret::new));
    }
    let withhold = publisher.hides_users() || publisher.hides_hosts();
    let sends = matches!(config.target, Target::Endpoint(_));
    let state = match State::open(
        &config.state_dirs.value,
        !sends,
        withhold,
        config.limits.silence,
    )
    .await
    {
        Ok(state) => Some(state),
        Err(why) => {
            if sends {
                let said = format!(
                    "no state folder can be written, so what cannot be delivered is lost, NETWORK covers one second and the history of jobs 360 s; \
                     make one (install -d -m 700 -o USER /var/lib/afmetrics) or name one (--state-dir): {why}"
                );
                match config.state_dirs.by_name {
                    true => error!("{said}"),
                    false => warn!("{said}"),
                }
            }
            None
        }
    };
    Ok(Context {
        root: config.root.clone(),
        limits: config.limits,
        login_node,
        facility: config.cluster.clone(),
        quoting: Quoting::new(unquotable, withhold),
        node_names,
        state,
        passed: RefCell::default(),
        recorded: RefCell::default(),
        sent: RefCell::default(),
        counted: RefCell::default(),
        for_slurm: config.for_slurm.clone(),
        has_no_batch_system: false,
        now: now(),
        world: World::Host,
        names: Names::new(publisher, config.group.as_deref(), config.limits.silence).await?,
    })
}

/// A host's name up to the first dot, in small letters.
fn short(host: &str) -> Option<String> {
    let short = host.split('.').next()?.to_ascii_lowercase();
    (!short.is_empty()).then_some(short)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the clock is read; collectors get it in their context"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// How much the collectors brought.
struct Summary {
    documents: u64,
    all: usize,
    /// Collectors that could read all that was asked for.
    well: usize,
}

impl Summary {
    fn of(collected: &[Collected], heartbeat: Option<&Heartbeat>) -> Self {
        let documents: u64 = collected.iter().map(Collected::count).sum();
        let ended = |result| collected.iter().filter(|c| c.result == result).count();
        Self {
            documents: documents + u64::from(heartbeat.is_some()),
            all: collected.len() - ended(CollectorResult::Busy),
            well: ended(CollectorResult::Ok),
        }
    }
}

fn written(written: output::Written, to: &str) -> (bool, String) {
    for why in &written.errors {
        error!("{why}");
    }
    let text = match written.documents {
        0 => "nothing written".to_owned(),
        count => format!("{count} written to {to}"),
    };
    (written.errors.is_empty(), text)
}
