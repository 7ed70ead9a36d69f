//! Answers from a recording's folder. Nothing of the host that replays it is looked at.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use tokio::task::yield_now;

use super::recorder::{Answer, Exchange};
use super::{Ended, ROUND, Round, Usage, VERSION, case_path, kubernetes, lines_of, opening};
use crate::error::CollectError;

/// How often one run can be the same: a round asks each schedd once.
const MOST_TIMES: usize = 10_000;

/// A recording, being replayed.
#[derive(Debug)]
pub struct Recording {
    dir: PathBuf,
    pub(super) round: Round,
    runs: Vec<Run>,
    pub(super) exchanges: Vec<Exchange>,
    no_client: Option<CollectError>,
    asked: Mutex<Asked>,
}

/// How often each thing was asked for: what was read twice may have been different.
#[derive(Debug, Default)]
struct Asked {
    files: HashMap<String, usize>,
    runs: HashMap<(String, Vec<u8>), usize>,
    exchanges: HashMap<String, usize>,
    pauses: usize,
}

#[derive(Debug, Clone)]
struct Run {
    program: String,
    args: Vec<u8>,
    /// How often, where it was the same each time.
    times: usize,
    files: PathBuf,
    ended: Ended,
}

/// A recorded run of a program, as it goes by again.
#[derive(Debug)]
pub struct Player {
    out: File,
    pub err: Vec<u8>,
    pub ended: Ended,
}

impl Recording {
    /// Reads a folder that `record` has written, or that somebody has changed since.
    pub fn open(dir: &Path) -> Result<Self> {
        let round = dir.join(ROUND);
        let text = opening::read_text(&round).with_context(|| {
            format!(
                "cannot read {}, so {} is no recording (`record` writes one)",
                round.display(),
                dir.display()
            )
        })?;
        opening::check(dir)?;
        let round: Round = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `record` writes", round.display()))?;
        if round.version != VERSION {
            bail!(
                "{} was written by another version of this program (its format is {}, this one reads {VERSION})",
                dir.display(),
                round.version
            );
        }
        if !(0.0..1e11).contains(&round.now) {
            bail!("{}: now is no time", dir.join(ROUND).display());
        }
        let (exchanges, no_client) = kubernetes::load(&dir.join("kubernetes"))?;
        Ok(Self {
            runs: runs(&dir.join("commands"))?,
            dir: dir.to_owned(),
            round,
            exchanges,
            no_client,
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file as it was when it was read so often.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = case_path(path);
        if let Some(why) = self.round.unreadable.get(&path) {
            return Err(io::Error::from_raw_os_error(*why));
        }
        let below = path.trim_start_matches('/');
        if !opening::stays_below(below) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path leads out of the recording",
            ));
        }
        let mut asked = self.asked();
        let times = asked.files.entry(path.clone()).or_default();
        *times += 1;
        for time in (2..=*times).rev() {
            match opening::read(&self.dir.join(format!("root.{time}")).join(below)) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
        opening::read(&self.dir.join("root").join(below))
    }

    pub fn space(&self, path: &str) -> io::Result<Result<Usage, Errno>> {
        match self.round.statvfs.get(path) {
            Some(space) => space.answer(),
            None => Ok(Err(Errno::ENOENT)),
        }
    }

    /// How long the next pause took.
    pub fn pause(&self) -> Option<Duration> {
        let mut asked = self.asked();
        let seconds = self.round.pauses.get(asked.pauses)?;
        asked.pauses += 1;
        Duration::try_from_secs_f64(*seconds).ok()
    }

    pub fn has_program(&self, program: &str) -> bool {
        self.runs.iter().any(|run| run.program == program)
    }

    pub fn uid(&self) -> u32 {
        self.round.uid
    }

    pub fn user(&self) -> Option<String> {
        self.round.user.clone()
    }

    /// Why there was no client for Kubernetes.
    pub fn no_client(&self) -> Option<CollectError> {
        match (&self.no_client, self.exchanges.is_empty()) {
            (None, true) => Some(CollectError::NotHere(
                "nothing of Kubernetes is in the recording".to_owned(),
            )),
            (why, _) => why.clone(),
        }
    }

    /// A program is to be run with these arguments.
    pub fn run(&self, program: &str, args: &[Vec<u8>]) -> Result<Player, CollectError> {
        if !self.has_program(program) {
            return Err(CollectError::NotHere(format!(
                "{program} is not on the node of the recording, or was not on PATH"
            )));
        }
        let args = lines_of(args);
        let of_these = self
            .runs
            .iter()
            .filter(|run| run.program == program && fits(&run.args, &args));
        let mut asked = self.asked();
        let times = asked
            .runs
            .entry((program.to_owned(), args.clone()))
            .or_default();
        let run = at_turn(of_these, *times);
        *times += 1;
        let Some(run) = run else {
            return Err(CollectError::Failed(format!(
                "{program} was not recorded with these arguments: {}",
                String::from_utf8_lossy(&args).trim_end().replace('\n', " ")
            )));
        };
        run.player().map_err(|why| {
            CollectError::Failed(format!(
                "{}.out of the recording cannot be read: {why}",
                run.files.display()
            ))
        })
    }

    /// The answer to a request, as often as it was made.
    pub(super) fn answer(
        &self,
        method: &str,
        path: &str,
        parameters: &[(String, String)],
    ) -> Answer {
        let mut fitting = self.exchanges.iter().filter(|exchange| {
            exchange.method == method && exchange.path == path && exchange.parameters == parameters
        });
        let key = format!("{method} {path} {parameters:?}");
        let mut asked = self.asked();
        let times = asked.exchanges.entry(key).or_default();
        let exchange = fitting.clone().nth(*times).or_else(|| fitting.next_back());
        *times += 1;
        exchange.map_or_else(
            || Answer::Failed(format!("{method} {path} is not in the recording")),
            |exchange| exchange.answer.clone(),
        )
    }
}

impl Run {
    fn player(&self) -> io::Result<Player> {
        let name = |ending: &str| named(&self.files, ending);
        Ok(Player {
            out: opening::open(&name("out"))?,
            err: or_empty(&name("err"))?,
            ended: self.ended.clone(),
        })
    }
}

impl Player {
    /// Some more of what it printed; 0 at its end. Others have their turn, as they had with a process.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        yield_now().await;
        self.out.read(buffer)
    }
}

/// The run whose turn it is after so many; the last one goes on for ever.
fn at_turn<'a>(runs: impl Iterator<Item = &'a Run>, mut earlier: usize) -> Option<&'a Run> {
    let mut last = None;
    for run in runs {
        last = Some(run);
        match earlier.checked_sub(run.times) {
            Some(rest) => earlier = rest,
            None => break,
        }
    }
    last
}

/// Whether arguments are those of a recorded run, in which `{time}` is any date.
fn fits(recorded: &[u8], args: &[u8]) -> bool {
    let (mut recorded, mut args) = (recorded.split(|b| *b == b'\n'), args.split(|b| *b == b'\n'));
    loop {
        match (recorded.next(), args.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || (a == b"{time}" && is_date(b)) => {}
            _ => return false,
        }
    }
}

/// `2026-11-23T11:00:12`
pub fn is_date(arg: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    arg.len() == SHAPE.len()
        && arg.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            shape => byte == shape,
        })
}

fn named(files: &Path, ending: &str) -> PathBuf {
    let mut name = files.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// A file that is there only if there is something to say.
fn or_empty(path: &Path) -> io::Result<Vec<u8>> {
    match opening::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

/// The runs in a folder, by program in the order of their numbers.
fn runs(folder: &Path) -> Result<Vec<Run>> {
    let mut names = BTreeSet::new();
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    for entry in entries {
        let name = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .file_name();
        if let Some(run) = name.to_str().and_then(|name| name.strip_suffix(".args")) {
            let (program, rest) = run.split_once('.').unwrap_or((run, ""));
            let number: u64 = rest.parse().unwrap_or(0);
            names.insert((program.to_owned(), number, run.to_owned()));
        }
    }
    names
        .into_iter()
        .map(|(program, _, run)| run_of(program, folder.join(run)))
        .collect()
}

fn run_of(program: String, files: PathBuf) -> Result<Run> {
    let text = |ending: &str| {
        let path = named(&files, ending);
        let bytes = or_empty(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let args = opening::read(&named(&files, "args"))
        .with_context(|| format!("cannot read {}.args", files.display()))?;
    let (status, ended, times) = (text("rc")?, text("ended")?, text("times")?);
    let ended = match (status.as_str(), ended.as_str()) {
        ("", "") => Some(Ended::Status(0)),
        (status, "") => status.parse().ok().map(Ended::Status),
        (_, ended) => Ended::parse(ended),
    };
    let ended = ended.with_context(|| {
        format!(
            "{}.rc or .ended says nothing that `record` writes",
            files.display()
        )
    })?;
    let times = match times.as_str() {
        "" => Some(1),
        times => times
            .parse()
            .ok()
            .filter(|times| (1..=MOST_TIMES).contains(times)),
    };
    let times = times
        .with_context(|| format!("{}.times is no number up to {MOST_TIMES}", files.display()))?;
    Ok(Run {
        program,
        args,
        times,
        files,
        ended,
    })
}

impl Ended {
    /// What stands in `.ended`; a status stands in `.rc`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Signal(number) => format!("signal {number}"),
            Self::Silent => "silent".to_owned(),
            Self::NotStarted(why) => format!("not started: {why}"),
            Self::Unread => "unread".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "silent" => Some(Self::Silent),
            "unread" => Some(Self::Unread),
            text => match text.strip_prefix("signal ") {
                Some(number) => number.parse().ok().map(Self::Signal),
                None => {
                    let why = text.strip_prefix("not started: ")?;
                    Some(Self::NotStarted(why.to_owned()))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_a_recording() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("recording");
        fs::create_dir_all(dir.join("root/proc")).unwrap();
        fs::write(dir.join("root/proc/stat"), "within").unwrap();
        fs::write(place.path().join("outside"), "outside").unwrap();
        let round = Round {
            version: VERSION,
            ..Round::default()
        };
        fs::write(dir.join(ROUND), serde_json::to_string(&round).unwrap()).unwrap();
        let recording = Recording::open(&dir).unwrap();
        assert_eq!(recording.read("/proc/./stat").unwrap(), b"within");
        for path in [
            "/../../outside",
            "/proc/../../../outside",
            "//../../outside",
        ] {
            let why = recording.read(path).unwrap_err();
            assert_eq!(why.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn runs_have_their_turns_and_the_last_one_goes_on() {
        let run = |program: &str, times| Run {
            program: program.to_owned(),
            args: Vec::new(),
            times,
            files: PathBuf::new(),
            ended: Ended::Status(0),
        };
        let runs = [run("a", 1), run("b", MOST_TIMES), run("c", 1)];
        let turn = |earlier| at_turn(runs.iter(), earlier).unwrap().program.as_str();
        let turns = [0, 1, MOST_TIMES, MOST_TIMES + 1, usize::MAX].map(turn);
        assert_eq!(turns, ["a", "b", "b", "c", "c"]);
        assert!(at_turn([].iter(), 0).is_none());
    }
}
