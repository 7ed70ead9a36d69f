//! `record` and `replay`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use afmetrics_settings::{Given, Unusable};
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use super::folder::{self, Count, Writer};
use super::renaming::Renaming;
use super::{FACILITY, LOGIN_NODE, Recorder, Recording, Round, VERSION, World, opening};
use crate::aside::Hanging;
use crate::cli::{self, Privacy, Record, Replay};
use crate::config::{Asked, Config};
use crate::counted::counted;
use crate::environment::Environment;
use crate::layers;
use crate::layers::Lists;
use crate::round::{self, Collected};
use crate::secret::Secret;
use crate::state::StateDir;
use crate::{batch_system, log, signals};
use afmetrics_document::CollectorResult;

/// What becomes of a flag's value in a recording.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// Ours, or a number.
    Stays,
    Text,
    User,
    Host,
    /// Always this, so that the node is called in a replay as any other node of that site would be.
    Fixed(&'static str),
}

/// The flags that a recording has, and what becomes of their values.
const FLAGS: [(&str, Value); 30] = [
    ("ssh", Value::Stays),
    ("ssh_history", Value::Stays),
    ("jupyter", Value::Stays),
    ("batch", Value::Stays),
    ("slurm", Value::Stays),
    ("host", Value::Stays),
    ("namespace", Value::Text),
    ("label", Value::Text),
    ("exclude_finished_pods", Value::Stays),
    ("queue", Value::Text),
    ("exclude_owner", Value::User),
    ("removed_jobs", Value::Stays),
    ("schedd", Value::Host),
    ("pool", Value::Text),
    ("queue_totals", Value::Stays),
    ("no_queued_jobs", Value::Stays),
    ("runtime", Value::Stays),
    ("job_details", Value::Stays),
    ("mount", Value::Text),
    ("obfuscate_users", Value::Stays),
    ("hash", Value::Stays),
    ("obfuscate_hosts", Value::Fixed("canary.example")),
    ("host_prefix", Value::Fixed("canary")),
    ("group", Value::Text),
    ("silence", Value::Stays),
    ("deadline", Value::Stays),
    ("ssh_deadline", Value::Stays),
    ("jupyter_deadline", Value::Stays),
    ("batch_deadline", Value::Stays),
    ("host_deadline", Value::Stays),
];
/// The other flags of a round, and why no recording has them.
#[cfg(test)]
const NOT_RECORDED: [(&str, &str); 26] = [
    ("heartbeat", "says nothing of what is read"),
    ("token", "secret"),
    ("token_file", "secret"),
    ("salt", "secret: a replay has its own"),
    ("salt_file", "secret: a replay has its own"),
    ("url", "of delivery; may have a password"),
    ("cluster", "names the site"),
    ("batch_size", "of delivery"),
    ("ca_file", "of delivery"),
    ("max_connections", "of delivery"),
    ("max_streams", "of delivery"),
    ("request_timeout", "of delivery"),
    ("gzip", "of delivery"),
    ("deliver_for", "of delivery"),
    ("spool_max_size", "of delivery"),
    ("spool_max_age", "of delivery"),
    ("debug", "a replay prints"),
    ("print", "a replay prints"),
    ("login_node", "names the node: a replay has its own"),
    ("textfile", "of the node"),
    ("config", "what it says is among the flags"),
    ("state_dir", "is in the folder"),
    ("root", "is in the folder"),
    ("log_level", "the replay's own"),
    ("verbose", "the replay's own"),
    ("very_verbose", "the replay's own"),
];
/// What users are hashed with in a replay: the real one is in no recording.
const SALT: &str = "salt-of-the-replay";

/// Records a round. Whether all went well is not whether the round did: what goes wrong is what is recorded.
pub fn record(asked: &Record, env: Environment) -> Result<bool> {
    let (dir, flags) = asked.in_order().unwrap_or_else(|why| why.exit());
    let words: Vec<OsString> = std::iter::once(OsString::from("afmetrics_collector"))
        .chain(flags)
        .collect();
    let asked_for = layers::read(&words, &env).map_err(|why| match why {
        Unusable::CommandLine(why) => why.exit(),
        Unusable::Settings(why) => {
            log::open(LevelFilter::WARN, None, None);
            anyhow::Error::new(why)
        }
    })?;
    let mut given = asked_for.given;
    let mut flags = asked_for.cli.round;
    log::open(crate::level(&flags.place), None, None);
    if asked_for.cli.command.is_some() {
        bail!("record takes the flags of a round, and no command");
    }
    if flags.jupyter && !asked_for.lists.notebooks.is_empty() {
        bail!(
            "a recording has one namespace with notebooks: name one of [[jupyter.sources]] with -n and -l"
        );
    }
    // Nothing is sent, so nothing is said of it.
    (flags.print, flags.debug, flags.heartbeat) = (true, false, false);
    flags.textfile = None;
    for warning in &asked_for.warnings {
        warn!("{warning}");
    }
    hide_as_the_strictest(&asked_for.lists, &mut flags.privacy, &mut given);
    let config = Config::new(flags, Lists::default(), env)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let dir = std::path::absolute(&dir).with_context(|| format!("{} is no path", dir.display()))?;
    prepare(&dir)?;
    let recorder = Arc::new(Recorder::new(&dir));
    let done = until_signal(recorded_round(config, Arc::clone(&recorder)))?;
    let Some(done) = done else {
        return Ok(false);
    };
    let count = write(&dir, &given, &recorder, done).with_context(|| {
        format!(
            "cannot write the recording to {}; remove what is there",
            dir.display()
        )
    })?;
    expect(&dir)
        .with_context(|| format!("cannot replay what was recorded in {}", dir.display()))?;
    // A reader that has gone is no error.
    let _ = io::stderr().write_all(parting(&dir, &count).as_bytes());
    Ok(true)
}

/// A replay hides names as `--print` does: as the endpoint that hides the most.
fn hide_as_the_strictest(lists: &Lists, privacy: &mut Privacy, given: &mut Vec<Given>) {
    let all = lists.endpoints.iter().map(|endpoint| &endpoint.privacy);
    let strictest = all.max_by_key(|privacy| privacy.hides());
    let Some(strictest) = strictest.filter(|it| it.hides() > privacy.hides()) else {
        return;
    };
    privacy.clone_from(strictest);
    let hash = privacy.hash.and_then(|hash| hash.to_possible_value());
    for (flag, value) in [
        (
            "obfuscate_users",
            privacy.obfuscate_users.then(|| "true".to_owned()),
        ),
        ("hash", hash.map(|hash| hash.get_name().to_owned())),
        ("obfuscate_hosts", privacy.obfuscate_hosts.clone()),
        ("host_prefix", Some(privacy.host_prefix.clone())),
        ("group", privacy.group.clone()),
    ] {
        given.retain(|known| known.flag != flag);
        given.extend(value.map(|value| Given {
            flag: flag.to_owned(),
            values: vec![value],
            place: "[[endpoints]]".to_owned(),
        }));
    }
}

/// Makes the folder, and sees that nothing is in it and that files without a name can be.
fn prepare(dir: &Path) -> Result<()> {
    let shown = dir.display();
    let taken = folder::is_taken(dir).with_context(|| format!("{shown} cannot be used"))?;
    if taken {
        bail!("{shown} is not empty: name a folder that is, or that is not there yet");
    }
    folder::make(dir).with_context(|| format!("cannot make {shown}"))?;
    tempfile::tempfile_in(dir).with_context(|| format!("cannot write in {shown}"))?;
    Ok(())
}

/// What is known when a round is over.
struct Done {
    round: Round,
    has_state: bool,
    /// What this node is called.
    node: Vec<String>,
    /// The label of pods whose value is a user.
    label: String,
}

async fn recorded_round(mut config: Config, recorder: Arc<Recorder>) -> Result<Done> {
    let world = World::Recorded(recorder);
    let has_no_batch_system = batch_system::settle(&mut config, &world).await;
    let mut cx = crate::context(&config, &Hanging::default()).await?;
    cx.has_no_batch_system = has_no_batch_system;
    cx.world = world;
    let cx = Rc::new(cx);
    // Collectors' documents are not needed: those of the replay are what is kept.
    drop(round::collect(&config, Rc::clone(&cx), &std::env::temp_dir()).await);
    let own = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let slurm_jwt = config
        .for_slurm
        .iter()
        .any(|(name, _)| *name == "SLURM_JWT");
    Ok(Done {
        round: Round {
            version: VERSION,
            now: cx.unix_now(),
            uid: cx.uid().as_raw(),
            slurm_jwt,
            outside_group: cx.names.left_out(),
            ..Round::default()
        },
        has_state: cx.state.is_some(),
        node: own.into_iter().chain(config.login_node.clone()).collect(),
        label: config.notebooks[0].label.key.to_ascii_lowercase(),
    })
}

fn write(dir: &Path, given: &[Given], recorder: &Recorder, done: Done) -> Result<Count> {
    let read = recorder.finish().map_err(anyhow::Error::msg)?;
    let mut renaming = Renaming::default();
    for name in &done.node {
        renaming.learn_node(name.as_bytes());
    }
    for (id, kind) in FLAGS {
        for value in values(given, id) {
            match kind {
                Value::User => renaming.learn_user(value.as_bytes()),
                Value::Host => renaming.learn_host(value.as_bytes()),
                Value::Stays | Value::Text | Value::Fixed(_) => {}
            }
        }
    }
    let mut writer = Writer {
        dir,
        renaming,
        labels: vec![done.label, "jhub_user".to_owned()],
    };
    let round = Round {
        user: read.user.clone(),
        statvfs: read.statvfs.clone(),
        pauses: read.pauses.clone(),
        ..done.round
    };
    let count = writer.write(&read, round, done.has_state)?;
    let args = args(given, &mut writer.renaming);
    folder::file(&dir.join("args"), args.as_bytes())?;
    folder::file(&dir.join("NOTES"), notes(&count).as_bytes())?;
    Ok(count)
}

fn values(given: &[Given], id: &str) -> Vec<String> {
    let values = given.iter().find(|given| given.flag == id);
    let values = values.map_or(&[][..], |given| &given.values);
    values
        .iter()
        .map(|value| value.replace('\n', " "))
        .collect()
}

/// The flags of the round, one a line, with other names in them.
fn args(given: &[Given], renaming: &mut Renaming) -> String {
    let command = cli::command();
    let mut lines = String::new();
    for (id, kind) in FLAGS {
        let arg = command.get_arguments().find(|arg| arg.get_id() == id);
        let Some((arg, long)) = arg.and_then(|arg| Some((arg, arg.get_long()?))) else {
            continue;
        };
        if !arg.get_action().takes_values() {
            if values(given, id).iter().any(|value| value == "true") {
                let _ = writeln!(lines, "--{long}");
            }
            continue;
        }
        for value in values(given, id) {
            let value = match kind {
                Value::Stays => value,
                // The default names no site.
                Value::Fixed(_) if value == "atlas" => value,
                Value::Fixed(other) => other.to_owned(),
                Value::User => {
                    String::from_utf8_lossy(&renaming.user(value.as_bytes())).into_owned()
                }
                Value::Text | Value::Host => renaming.string(&value),
            };
            let _ = writeln!(lines, "--{long}={value}");
        }
    }
    lines
}

fn notes(count: &Count) -> String {
    let [users, hosts, words] = count.renamed;
    format!(
        "Recorded by afmetrics_collector {}. Other names stand for {}, {} and {}.\n\
         Of the flags those are left out that say where documents go, the token, the salt and the URL; users are hashed \
         with a salt of the replay.\n",
        env!("CARGO_PKG_VERSION"),
        counted(users as u64, "user"),
        hosts_and_addresses(hosts),
        counted(words as u64, "other word")
    )
}

fn hosts_and_addresses(count: usize) -> String {
    match count {
        1 => "1 host or address".to_owned(),
        _ => format!("{count} hosts and addresses"),
    }
}

fn parting(dir: &Path, count: &Count) -> String {
    let [users, hosts, words] = count.renamed;
    let shown = dir.display();
    // Of files alone there is no such folder.
    let look = match count.runs {
        0 => format!("find {shown} -type f -exec less {{}} +"),
        _ => format!("less {shown}/commands/*"),
    };
    format!(
        "recorded in {shown}: {} of programs, {}, {} to Kubernetes\n\
         other names stand there for {}, {}, {}; token, salt and URL are not in it\n\
         look through it before you send it: {look}; grep -ri NAME {shown}\n\
         afmetrics_collector replay {shown} runs it again\n",
        counted(count.runs as u64, "run"),
        counted(count.files as u64, "file"),
        counted(count.requests as u64, "request"),
        counted(users as u64, "user"),
        hosts_and_addresses(hosts),
        counted(words as u64, "other word")
    )
}

/// Writes down what a replay gives.
fn expect(dir: &Path) -> Result<()> {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_max_level(LevelFilter::WARN)
        .with_writer(log.clone())
        .finish();
    let (documents, status) = tracing::subscriber::with_default(subscriber, || {
        let (config, recording) = replayed_config(dir)?;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        let collected = until_signal(replayed_round(config, recording))?;
        let collected = collected.context("ended before it was done")?;
        let mut documents = Vec::new();
        print(&collected, &mut documents)?;
        anyhow::Ok((documents, u8::from(!is_well(&collected))))
    })?;
    folder::file(&dir.join("expected.json"), &documents)?;
    if status != 0 {
        folder::file(&dir.join("expected.exit"), format!("{status}\n").as_bytes())?;
    }
    let lines = log.lines();
    if !lines.is_empty() {
        folder::file(&dir.join("expected.log"), lines.as_bytes())?;
    }
    Ok(())
}

/// Keeps lines of the log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .fold(String::new(), |all, line| all + line.trim() + "\n")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Runs a recorded round and prints its documents.
pub fn replay(asked: &Replay) -> Result<bool> {
    let level = match asked.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    log::open(level, None, None);
    let (config, recording) = replayed_config(&asked.dir)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let Some(collected) = until_signal(replayed_round(config, recording))? else {
        return Ok(false);
    };
    match print(&collected, &mut io::stdout().lock()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            Err(why).context("cannot write to standard output")
        }
        _ => Ok(is_well(&collected)),
    }
}

fn replayed_config(dir: &Path) -> Result<(Config, Arc<Recording>)> {
    let recording = Arc::new(Recording::open(dir)?);
    let path = dir.join("args");
    let text =
        opening::read_text(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let args = std::iter::once("afmetrics_collector").chain(text.lines());
    let unusable = || format!("{} is not what `record` writes", path.display());
    let cli = cli::parse(args.map(OsString::from)).with_context(unusable)?;
    let mut flags = cli.round;
    (flags.print, flags.debug) = (true, false);
    flags.login_node = Some(LOGIN_NODE.to_owned());
    let privacy = &mut flags.privacy;
    privacy.salt = privacy.obfuscate_users.then(|| Secret::new(SALT));
    privacy.salt_file = None;
    // It is one of the host.
    privacy.group = None;
    let config =
        Config::new(flags, Lists::default(), Environment::default()).with_context(unusable)?;
    let state = StateDir {
        path: dir.join("state"),
        rule: "the folder of the recording",
    };
    let config = Config {
        root: PathBuf::from("/"),
        cluster: FACILITY.to_owned(),
        state_dirs: Asked {
            value: vec![state],
            by_name: true,
        },
        for_slurm: match recording.round.slurm_jwt {
            true => vec![("SLURM_JWT", OsString::new())],
            false => Vec::new(),
        },
        // The salt came from no flag of anybody's.
        remarks: Vec::new(),
        ..config
    };
    Ok((config, recording))
}

async fn replayed_round(mut config: Config, recording: Arc<Recording>) -> Result<Vec<Collected>> {
    let world = World::Played(Arc::clone(&recording));
    let has_no_batch_system = batch_system::settle(&mut config, &world).await;
    let mut cx = crate::context(&config, &Hanging::default()).await?;
    let (short, _) = LOGIN_NODE.split_once('.').unwrap_or((LOGIN_NODE, ""));
    cx.has_no_batch_system = has_no_batch_system;
    cx.node_names = vec![short.to_owned()];
    cx.now = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(recording.round.now);
    cx.names.leave_out(&recording.round.outside_group);
    if let Some(state) = &mut cx.state {
        // Where the recording lies is nobody's business.
        state.show_as("state");
    }
    cx.world = world;
    Ok(round::collect(&config, Rc::new(cx), &std::env::temp_dir()).await)
}

fn is_well(collected: &[Collected]) -> bool {
    collected
        .iter()
        .all(|collected| collected.result == CollectorResult::Ok)
}

fn print(collected: &[Collected], out: &mut impl io::Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    for documents in collected.iter().filter_map(|c| c.documents.as_ref()) {
        let mut lines = documents.read(0)?;
        loop {
            let length = {
                let lines = lines.fill_buf()?;
                out.write_all(lines)?;
                lines.len()
            };
            if length == 0 {
                break;
            }
            lines.consume(length);
        }
    }
    out.flush()
}

/// `None`: a signal ended it.
fn until_signal<T>(round: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    crate::on_runtime(async {
        tokio::select! {
            signal = signals::end() => {
                tracing::error!("ended by {} before the round was done", signal?);
                Ok(None)
            }
            result = round => result.map(Some),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Args as _;

    use super::*;

    #[test]
    fn every_flag_of_a_round_is_recorded_or_said_not_to_be() {
        let command = cli::Round::augment_args(clap::Command::new("a round"));
        let all: BTreeSet<&str> = command
            .get_arguments()
            .map(|arg| arg.get_id().as_str())
            .collect();
        let recorded = FLAGS.iter().map(|(flag, _)| *flag);
        let listed: Vec<&str> = recorded
            .chain(NOT_RECORDED.iter().map(|(flag, _)| *flag))
            .collect();
        let known: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!(all, known, "flags without a place in FLAGS or NOT_RECORDED");
        assert_eq!(listed.len(), known.len(), "one is there twice");
    }
}
