//! `afmetrics_collector check`: reads the configuration and tries everything that a round would do, but sends
//! and stores nothing: what was found, how long it took, what is missing and how to grant it.
//!
//! The collectors do run, as they do with `--print`: it costs what a round costs.

mod certificate;
mod endpoint;
mod names;
mod node;
mod report;
mod secrets;
mod sources;
mod state;
mod user;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tracing::error;

use self::report::{Report, Row, Verdict};
use self::secrets::Secrets;
use self::user::Me;
use crate::aside::aside;
use crate::cli::Round;
use crate::config::{Asked, Config, Target, state_dirs};
use crate::context::Context;
use crate::environment::Environment;
use crate::layers::Lists;
use crate::quote::Quoting;
use crate::recording::World;
use crate::state::StateDir;
use crate::{FOR_EVER, batch_system, context, layers, listener, signals, spool_commands};

/// What is known of the configuration besides what it says.
pub struct Told {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Where a daemon is to listen.
    pub listen: Option<SocketAddr>,
    /// Somebody said where documents go.
    pub names_endpoint: bool,
    /// What was odd about how it was given.
    pub warnings: Vec<String>,
}

/// Tries everything and writes what came of it to standard output; whether all works. An error is one of
/// configuration.
pub async fn run(
    round: Round,
    lists: Lists,
    env: &Environment,
    told: Told,
) -> anyhow::Result<bool> {
    let report = tokio::select! {
        signal = signals::end() => {
            error!("ended by {} before the round was done", signal?);
            return Ok(false);
        }
        report = report(round, lists, env, &told) => report,
    };
    let is_well = report.is_well();
    let unusable = report.unusable().map(str::to_owned);
    let is_written = aside(FOR_EVER, move || {
        spool_commands::print(|out| report.write(out))
    })
    .await
    .context("cannot write")?;
    match unusable {
        Some(why) => bail!(why),
        None => Ok(is_well && is_written),
    }
}

async fn report(round: Round, lists: Lists, env: &Environment, told: &Told) -> Report {
    let secrets = Secrets::of(&round, &lists, env);
    let silence = Duration::from_secs(round.silence.into());
    let me = aside(silence, Me::of_process)
        .await
        .unwrap_or_else(|_| Me::nameless());
    let is_chosen = chooses(&round);
    let mut tried = round.clone();
    // Whatever is collected, the rest can be tried.
    tried.heartbeat |= !is_chosen;
    let mut report = Report::default();
    if let Some(Err(why)) = told.listen.map(listener::check) {
        report.add(Row::new("listener", Verdict::Unusable, why.to_string()));
    }
    match Config::new(tried.clone(), lists.clone(), env.clone()) {
        Ok(config) => {
            let hide = hides(&config);
            report.add(configuration(Some(&config), env, told, hide));
            report.add(me.row(hide));
            report.extend(default_endpoint(&config, told));
            everything(&mut report, &config, is_chosen, &secrets, &me).await;
        }
        Err(why) => {
            let hide = is_private(&round, &lists);
            let advice = secrets.advice(&me, hide);
            report.add(configuration(None, env, told, hide));
            let row = Row::new("settings", Verdict::Unusable, format!("{why:#}"));
            report.add(row.advise_all(advice));
            match without_secrets(tried, lists, env) {
                Some(config) => without_endpoints(&mut report, &config, is_chosen, &me).await,
                None => report.extend(around(&round, env, &me).await),
            }
        }
    }
    report
}

fn chooses(round: &Round) -> bool {
    round.ssh
        || round.ssh_history
        || round.jupyter
        || round.batch
        || round.slurm
        || round.host
        || round.heartbeat
}

fn hides(config: &Config) -> bool {
    config.publisher.hides_users() || config.publisher.hides_hosts()
}

/// Whether names are to be hidden from anybody.
fn is_private(round: &Round, lists: &Lists) -> bool {
    let own = lists.endpoints.iter().map(|flags| &flags.privacy);
    let mut all = own.chain([&round.privacy]);
    all.any(|privacy| privacy.obfuscate_users || privacy.obfuscate_hosts.is_some())
}

/// The same configuration, but nothing is sent: where it is a token or a salt that is missing, the sources
/// can be tried all the same. No name leaves, and what would have to be hidden is.
fn without_secrets(mut round: Round, lists: Lists, env: &Environment) -> Option<Config> {
    let is_private = is_private(&round, &lists);
    (round.print, round.debug) = (true, false);
    round.privacy.obfuscate_users = is_private;
    (
        round.privacy.salt,
        round.privacy.salt_file,
        round.privacy.hash,
    ) = (None, None, None);
    let lists = Lists {
        endpoints: Vec::new(),
        ..lists
    };
    let env = Environment {
        salt: None,
        ..env.clone()
    };
    Config::new(round, lists, env).ok()
}

/// What is the configuration, and what is odd about it.
fn configuration(config: Option<&Config>, env: &Environment, told: &Told, hide: bool) -> Row {
    let mut found = match &told.file {
        // Another one may lie in somebody's home.
        Some(file) if hide && file != Path::new(layers::PROGRAM.file) => {
            "the file of --config".to_owned()
        }
        Some(file) => file.display().to_string(),
        None => format!(
            "flags and environment alone: there is no {}",
            layers::PROGRAM.file
        ),
    };
    if let Some(config) = config {
        found.push_str(&format!("; facility {}", config.cluster));
    }
    let variables: Vec<_> = env
        .flags
        .iter()
        .map(|(name, _)| name.to_string_lossy())
        .collect();
    if !variables.is_empty() {
        found.push_str(&format!("; {} in the environment", variables.join(", ")));
    }
    let warnings = told
        .warnings
        .iter()
        .chain(config.iter().flat_map(|config| &config.warnings));
    let row = warnings.fold(Row::ok("configuration", found), |row, warning| {
        row.at_least_warn().advise(sentence(warning))
    });
    let remarks = config.iter().flat_map(|config| &config.remarks);
    row.advise_all(remarks.map(|remark| sentence(remark)))
}

fn sentence(text: &str) -> String {
    format!("{text}.")
}

/// Clear names that go to the default endpoint: perhaps nobody meant that.
fn default_endpoint(config: &Config, told: &Told) -> Option<Row> {
    let Target::Endpoints(endpoints) = &config.target else {
        return None;
    };
    let is_meant = told.names_endpoint || config.publisher.hides_users();
    let endpoint = endpoints.first().filter(|_| !is_meant)?;
    let host = endpoint.url.host_str().unwrap_or_default();
    let found = format!("no url is given: clear user names go to the default, {host}");
    Some(Row::warn("url", found).advise(
        "If that is what you want, say so; if not, name your own endpoint, or hide the names (obfuscate_users in [privacy]):\n\
         [delivery]\n\
         url = \"https://receiver.example.org:8443/\"",
    ))
}

/// Names, state, sources, endpoints, and what is around.
async fn everything(
    report: &mut Report,
    config: &Config,
    is_chosen: bool,
    secrets: &Secrets,
    me: &Me,
) {
    let hide = hides(config);
    let endpoints = match &config.target {
        Target::Endpoints(endpoints) => endpoints.as_slice(),
        Target::Files | Target::Print => &[],
    };
    let ready = Ready::of(config).await;
    let quoting = match &ready {
        Ok(ready) => ready.cx.quoting.clone(),
        Err(_) => Quoting::new(config.secrets.clone(), hide),
    };
    let ways = endpoints
        .iter()
        .map(|endpoint| endpoint::rows(endpoint, &quoting));
    let tried = async {
        match &ready {
            Ok(ready) => ready.rows(is_chosen).await,
            Err(_) => Vec::new(),
        }
    };
    let (tried, ways) = tokio::join!(tried, join_all(ways));
    match ready {
        Ok(ready) => report.extend(names::rows(config, &ready.cx)),
        Err(row) => report.add(row),
    }
    report.extend(tried);
    report.extend(secrets.salts(hide));
    report.extend(state(&config.state_dirs, config.limits.silence, me, hide).await);
    for ((number, endpoint), way) in endpoints.iter().enumerate().zip(ways) {
        report.extend(way);
        report.add(secrets.token(number, &endpoint.name, hide));
    }
    if endpoints.is_empty() {
        report.add(Row::new(
            "endpoint",
            Verdict::Skipped,
            "-d and --print send nothing",
        ));
    }
    report.extend(node(&config.root, config.textfile.as_deref(), me, hide).await);
}

/// What can be tried where the configuration lacks a secret.
async fn without_endpoints(report: &mut Report, config: &Config, is_chosen: bool, me: &Me) {
    let hide = hides(config);
    report.add(me.row(hide));
    match Ready::of(config).await {
        Ok(ready) => report.extend(ready.rows(is_chosen).await),
        Err(row) => report.add(row),
    }
    report.extend(state(&config.state_dirs, config.limits.silence, me, hide).await);
    report.add(Row::new(
        "endpoints",
        Verdict::Skipped,
        "not tried: the configuration cannot be used",
    ));
    report.extend(node(&config.root, config.textfile.as_deref(), me, hide).await);
}

/// What can be said where there is no configuration.
async fn around(round: &Round, env: &Environment, me: &Me) -> Vec<Row> {
    let place = &round.place;
    let hide = round.privacy.obfuscate_users || round.privacy.obfuscate_hosts.is_some();
    let dirs = state_dirs(place.state_dir.clone(), env, &place.root);
    let silence = Duration::from_secs(round.silence.into());
    let mut rows = vec![me.row(hide)];
    rows.push(Row::new(
        "collectors, endpoints",
        Verdict::Skipped,
        "not tried: the configuration cannot be used",
    ));
    rows.extend(state(&dirs, silence, me, hide).await);
    rows.extend(node(&place.root, round.textfile.as_deref(), me, hide).await);
    rows
}

/// What the collectors need.
struct Ready {
    config: Config,
    cx: Rc<Context>,
}

impl Ready {
    /// As `--print` does it: cursors are read, and none is kept. The error is a group that nobody knows.
    async fn of(config: &Config) -> Result<Self, Row> {
        let mut config = Config {
            target: Target::Print,
            ..config.clone()
        };
        // Numbers are made of documents: these can be counted.
        for audience in &mut config.audiences {
            audience.measures_only = false;
        }
        let has_no_batch_system = batch_system::settle(&mut config, &World::Host).await;
        let mut cx = context(&config, &crate::aside::Hanging::default())
            .await
            .map_err(|why| unknown_group(Verdict::Unusable, &why.to_string()))?;
        cx.has_no_batch_system = has_no_batch_system;
        Ok(Self {
            config,
            cx: Rc::new(cx),
        })
    }

    async fn rows(&self, is_chosen: bool) -> Vec<Row> {
        let mut rows = sources::rows(&self.config, Rc::clone(&self.cx)).await;
        if rows.is_empty() {
            rows.push(sources::offered(&self.config, is_chosen).await);
        }
        let unknown = self.cx.names.unknown_groups();
        // The others hear what there is.
        rows.extend(unknown.iter().map(|why| unknown_group(Verdict::Fail, why)));
        rows
    }
}

fn unknown_group(verdict: Verdict, why: &str) -> Row {
    Row::new("group", verdict, why).advise(
        "Whom each audience may hear of is not known, so those with this group hear of nobody. What this node knows:\ngetent group GROUP; systemctl status sssd",
    )
}

async fn state(dirs: &Asked<Vec<StateDir>>, patience: Duration, me: &Me, hide: bool) -> Vec<Row> {
    let (dirs, me) = (dirs.clone(), me.clone());
    let rows = aside(patience, move || state::rows(&dirs, &me, hide)).await;
    rows.unwrap_or_else(|why| {
        vec![
            Row::fail("state folder", why.to_string()).advise(
                "It is on a dead mount, perhaps. One on a disk of this node is better:\nstate_dir is given by --state-dir, or make /var/lib/afmetrics",
            ),
        ]
    })
}

/// The log, the file for node_exporter, the old script, systemd.
async fn node(root: &Path, textfile: Option<&Path>, me: &Me, hide: bool) -> Vec<Row> {
    let mut rows = vec![node::log(root, me, hide)];
    rows.extend(textfile.map(|path| node::textfile(path, me, hide)));
    rows.extend(node::old_script(root));
    rows.extend(node::units(root).await);
    rows
}
