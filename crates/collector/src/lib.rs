//! `afmetrics_collector`: collects who uses an analysis facility and how healthy it is, and
//! delivers it as JSON documents.
//!
//! The path of a document: source -> collector -> published names -> spool -> delivery -> endpoint. See
//! `ARCHITECTURE.md`.

mod aside;
mod batch_system;
mod check;
pub mod cli;
pub mod collectors;
mod command;
pub mod config;
mod context;
mod counted;
mod daemon;
mod delivery;
mod documents;
mod endpoint_url;
pub mod environment;
mod error;
mod heartbeat;
pub mod layers;
mod listener;
mod log;
pub mod measures;
mod names;
mod numbers;
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
mod table;
mod tally;

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use afmetrics_document::CollectorResult;
use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::task::LocalSet;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};

use crate::aside::{Hanging, aside};
use crate::cli::{Command, LogLevel, Place, Reference, ReferenceOf};
use crate::config::{Config, Target};
use crate::context::Context;
use crate::counted::counted;
use crate::daemon::Setup;
use crate::delivery::Endpoint;
use crate::environment::Environment;
use crate::heartbeat::Heartbeat;
use crate::layers::{Asked, Lists};
use crate::measures::own::Own;
use crate::measures::text;
use crate::names::{Names, UnknownGroup};
use crate::numbers::Numbers;
use crate::quote::Quoting;
use crate::recording::World;
use crate::round::Collected;
use crate::secret::Secret;
use crate::sending::Sender;
use crate::signals::Ending;
use crate::state::State;
use afmetrics_settings::Unusable;

/// Something was not collected or not delivered.
const INCOMPLETE: u8 = 1;
/// The command line or the configuration cannot be used.
const USAGE: u8 = 2;
/// How long a reader of standard output (a pager, a stopped terminal) may take. Writing is done
/// aside all the same, for SIGTERM and SIGINT to be heard.
const FOR_EVER: Duration = Duration::MAX;

/// Does what the command line asks for, and returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, env: Environment) -> ExitCode {
    let words: Vec<OsString> = args.into_iter().collect();
    let asked = match layers::read(&words, &env) {
        Ok(asked) => asked,
        Err(Unusable::CommandLine(error)) => {
            // Prints help and version, too, which are no errors.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
        Err(Unusable::Settings(why)) => {
            log::open(LevelFilter::WARN, None, env.journal_stream.as_deref());
            error!("{why}");
            return ExitCode::from(USAGE);
        }
    };
    match act(asked, &words, env) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(why) => {
            error!("{why:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Whether all that was asked for could be done. An error is one of usage or configuration.
fn act(asked: Asked, words: &[OsString], env: Environment) -> Result<bool> {
    let Asked {
        cli,
        lists,
        file,
        warnings,
        given,
    } = asked;
    let journal = env.journal_stream.clone();
    let in_log = |place: &Place| {
        let log = log::open(level(place), Some(&place.root), journal.as_deref());
        for warning in &warnings {
            warn!("{warning}");
        }
        if let Some(file) = &file {
            debug!("read {}", file.display());
        }
        log
    };
    match cli.command {
        None => {
            in_log(&cli.round.place);
            once(&Config::new(cli.round, lists, env)?)
        }
        Some(Command::Run(run)) => {
            let log = in_log(&run.round.place);
            let read = Cell::new(None);
            on_runtime(daemon::run(&log, || setup(words, &env, &read)))
        }
        Some(Command::Check(check)) => {
            // Not to the log of rounds: who reads that would take what is tried for one.
            log::open(level(&check.round.place), None, None);
            // What only the daemon does is tried as well.
            let listen = given.iter().find(|given| given.flag == "listen");
            let listen = listen.and_then(|given| given.values.first()?.parse().ok());
            let lists = Lists {
                wants_numbers: listen.is_some(),
                ..lists
            };
            let told = check::Told {
                names_endpoint: !lists.urls.is_empty()
                    || given.iter().any(|given| given.flag == "url"),
                file,
                listen,
                warnings,
            };
            on_runtime(check::run(check.round, lists, &env, told))
        }
        Some(Command::Reference(Reference {
            what: ReferenceOf::Config,
        })) => {
            // A reader that has enough is no error.
            let _ = io::stdout().write_all(layers::PROGRAM.sample().as_bytes());
            Ok(true)
        }
        Some(Command::Spool(what)) => spool_commands::run(what, lists, env),
        Some(Command::Record(what)) => recording::record(&what, env),
        Some(Command::Replay(what)) => recording::replay(&what),
    }
}

/// What a daemon is to do, as flags, environment and file say it now.
///
/// `before`: the file that was read at first, once there was a first time.
fn setup(
    words: &[OsString],
    env: &Environment,
    before: &Cell<Option<Option<PathBuf>>>,
) -> Result<Setup> {
    let asked = layers::read(words, env)?;
    let Some(Command::Run(run)) = asked.cli.command else {
        bail!("this is no daemon");
    };
    if run.round.debug || run.round.print {
        bail!("run sends what it collects: -d and --print are for a single round");
    }
    let first = before.take();
    if let Some(Some(file)) = &first
        && asked.file.is_none()
    {
        let file = file.clone();
        before.set(first);
        bail!("{} is gone", file.display());
    }
    if let Some(address) = run.listen {
        listener::check(address)?;
    }
    let is_first = first.is_none();
    before.set(Some(asked.file));
    let misses_sessions = run.round.ssh_history && run.interval > 300;
    let interval = Duration::from_secs(run.interval.into());
    let log_level = level(&run.round.place);
    let lists = Lists {
        wants_numbers: run.listen.is_some(),
        ..asked.lists
    };
    let mut config = Config::new(run.round, lists, env.clone())?;
    if !is_first {
        // The first time they have been said.
        config.warnings.extend(asked.warnings);
    }
    if misses_sessions {
        let said = "-S asks for the logins of the last 5 minutes, and --interval is longer: shorter sessions in between are missed";
        config.warnings.push(said.to_owned());
    }
    Ok(Setup {
        config,
        interval,
        listen: run.listen,
        log_level,
    })
}

fn level(place: &Place) -> LevelFilter {
    let asked = match place.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let verbose = match place.verbose {
        _ if place.very_verbose => LevelFilter::DEBUG,
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2.. => LevelFilter::DEBUG,
    };
    asked.max(verbose)
}

/// One round, or one delivery. Whether all was collected and delivered; an error is one of usage or
/// configuration.
fn once(config: &Config) -> Result<bool> {
    remark(config);
    let hanging = Hanging::default();
    let ending = Ending::never();
    on_runtime(async {
        tokio::select! {
            // Dropping the round ends the programs that it started.
            signal = signals::end() => {
                error!("ended by {} before the round was done", signal?);
                Ok(false)
            }
            result = one_round(config, &hanging, &ending), if config.collects() => Ok(result?.is_well),
            result = what_waits(config), if !config.collects() => result,
        }
    })
}

/// Runs everything that waits, on this thread.
fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(LocalSet::new().run_until(work));
    // Not waiting for threads that hang in a dead mount or a dead directory service.
    runtime.shutdown_background();
    result
}

fn remark(config: &Config) {
    for remark in &config.remarks {
        info!("{remark}");
    }
    for warning in &config.warnings {
        warn!("{warning}");
    }
    if config.collects() && config.publisher.hides_hosts() && !has_digit(&node_name(config)) {
        warn!(
            "{} has no digits: under -O this node is {}, as is every other such node; a name with a number of its own for --login-node tells it from them",
            match config.login_node {
                Some(_) => "the name that --login-node gives",
                None => "this node's name",
            },
            config.publisher.host(&node_name(config)).as_str()
        );
    }
}

/// What this node is called.
fn node_name(config: &Config) -> String {
    config.login_node.clone().unwrap_or_else(own_name)
}

/// What the system calls it.
fn own_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether a name leaves anything under `-O` that other nodes do not have: its domain is theirs, too.
fn has_digit(name: &str) -> bool {
    short(name).is_some_and(|short| short.contains(|c: char| c.is_ascii_digit()))
}

/// What came of a round.
struct Ended {
    /// All was collected and delivered.
    is_well: bool,
    /// What came of it, in a line that names nobody.
    line: String,
    /// `None`: there was no round.
    numbers: Option<Numbers>,
}

impl Ended {
    /// It could not even begin.
    fn unusable() -> Self {
        Self {
            is_well: false,
            line: "could not begin: the log says why".to_owned(),
            numbers: None,
        }
    }
}

async fn one_round(config: &Config, hanging: &Hanging, ending: &Ending) -> Result<Ended> {
    hanging.next_round();
    let begun = Instant::now();
    let mut config = config.clone();
    let has_no_batch_system = batch_system::settle(&mut config, &World::Host).await;
    let config = &config;
    // Before collecting: what cannot be sent need not be asked for.
    let endpoints = endpoints(config)?;
    let mut cx = context(config, hanging).await?;
    cx.has_no_batch_system = has_no_batch_system;
    let cx = Rc::new(cx);
    let folder = cx
        .state
        .as_ref()
        .map_or_else(std::env::temp_dir, |state| state.dir().to_owned());
    let mut collected = round::collect(config, Rc::clone(&cx), &folder).await;
    let collecting = begun.elapsed();
    let heartbeat = Heartbeat::wanted(config, &cx, collecting, &folder);
    let summary = Summary::of(&collected, heartbeat.as_ref());
    let mut numbers = Numbers::of(config, &mut collected, collecting);
    if let (Some(beat), Target::Files | Target::Print) = (&heartbeat, &config.target) {
        beat.join(&mut collected);
    }
    let (done, rest) = match &config.target {
        Target::Endpoints(_) => {
            let sent = Sender::new(config, &endpoints, &cx, ending)
                .send(collected, heartbeat, &mut numbers, &folder)
                .await?;
            numbers.delivered = sent.outcomes;
            let delivering = (begun.elapsed() - collecting).as_secs_f64();
            let text = format!(", delivered for {delivering:.2} s; {}", sent.text);
            (sent.is_well, text)
        }
        Target::Print => {
            let written_to = aside(FOR_EVER, move || output::to_stdout(collected))
                .await
                .context("cannot write")?;
            written(written_to, "standard output")
        }
        Target::Files => {
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
    let line = format!(
        "collected {} from {} of {} in {:.2} s{rest}",
        counted(summary.documents, "document"),
        summary.well,
        counted(summary.all as u64, "collector"),
        collecting.as_secs_f64()
    );
    info!("{line}{scheme}");
    let has_textfile = textfile(config, &numbers).await;
    Ok(Ended {
        is_well: done
            && has_textfile
            && summary.well == summary.all
            && !lacks_named_state(config, &cx),
        line,
        numbers: Some(numbers),
    })
}

/// Writes the numbers of the round for node_exporter, if that is wanted; whether it could.
async fn textfile(config: &Config, numbers: &Numbers) -> bool {
    let (Some(path), Some(measures)) = (config.textfile.clone(), numbers.local(config)) else {
        return true;
    };
    let mut own = Own::new(Timestamp::UNIX_EPOCH);
    numbers.tell(&mut own);
    let mut samples = measures.samples(&config.cluster);
    samples.extend(own.of_one_round(&config.cluster));
    let text = text::encode(&samples, text::Format::OpenMetrics);
    let written = aside(config.limits.silence, {
        let path = path.clone();
        move || text::write(&path, &text)
    });
    match written.await.flatten() {
        Ok(()) => true,
        Err(why) => {
            error!("--textfile {} cannot be written: {why}", path.display());
            false
        }
    }
}

/// Delivers what earlier rounds left.
async fn what_waits(config: &Config) -> Result<bool> {
    let begun = Instant::now();
    let endpoints = endpoints(config)?;
    let cx = context(config, &Hanging::default()).await?;
    let ending = Ending::never();
    let sender = Sender::new(config, &endpoints, &cx, &ending);
    let sent = sender.send_what_waits().await?;
    info!(
        "delivered what waited in {:.2} s; {}",
        begun.elapsed().as_secs_f64(),
        sent.text
    );
    Ok(sent.is_well)
}

/// Where documents are sent, if they are.
fn endpoints(config: &Config) -> Result<Vec<Endpoint>> {
    match &config.target {
        Target::Endpoints(endpoints) => endpoints.iter().map(Endpoint::new).collect(),
        Target::Files | Target::Print => Ok(Vec::new()),
    }
}

/// A state folder that somebody asked for cannot be used: a failure, and logged as one.
fn lacks_named_state(config: &Config, cx: &Context) -> bool {
    matches!(config.target, Target::Endpoints(_)) && config.state_dirs.by_name && cx.state.is_none()
}

/// What the collectors may use in this round.
async fn context(config: &Config, hanging: &Hanging) -> Result<Context, UnknownGroup> {
    let publisher = config.publisher.clone();
    let (own, host) = (own_name(), node_name(config));
    let login_node = publisher.host(&host);
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
    let groups: Vec<_> = config
        .audiences
        .iter()
        .map(|audience| audience.group.clone())
        .collect();
    // Whoever asks at this node is the last of them.
    let afar = config.local_audience.unwrap_or(groups.len());
    let withhold = publisher.hides_users() || publisher.hides_hosts();
    let sends = matches!(config.target, Target::Endpoints(_));
    let state = match State::open(
        &config.state_dirs.value,
        !sends,
        withhold,
        config.limits.silence,
        hanging,
    )
    .await
    {
        Ok(state) => Some(state),
        Err(why) => {
            if sends {
                let advice = match config.state_dirs.by_name {
                    true => {
                        "make the one that --state-dir or state_dir names (install -d -m 700 -o USER DIR)"
                    }
                    false => {
                        "make one (install -d -m 700 -o USER /var/lib/afmetrics) or name one (--state-dir)"
                    }
                };
                let said = format!(
                    "no state folder can be written, so what cannot be delivered is lost, NETWORK covers one second and the history of jobs 360 s; {advice}: {why}"
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
        deadlines: config.deadlines.clone(),
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
        hanging: hanging.clone(),
        names: Names::new(publisher, &groups, afar, config.limits.silence, hanging).await?,
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
        0 => "; nothing written".to_owned(),
        count => format!("; {count} written to {to}"),
    };
    (written.errors.is_empty(), text)
}
