//! `afmetrics_collector spool`: what a person can see of the spool, and do with it.
//!
//! `list` and `show` write nothing, take no lock and may look at the spool of another user. The others take
//! what they change away from delivery, so they hold its turn; and they run as the user whose
//! rounds use the spool, as those could not read the files of another.

mod change;
mod list;
mod show;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use nix::unistd::{AccessFlags, access, geteuid};
use tracing::{error, warn};

use crate::cli::{Deliver, OnSpool, Place, SpoolCommand};
use crate::config::{Config, Target, state_dirs};
use crate::endpoint_url::without_password;
use crate::environment::Environment;
use crate::layers::Lists;
use crate::quote::is_invisible;
use crate::spool::{Entry, Item, Spool, Turn};
use crate::state::StateDir;
use crate::{level, log, once};

/// Does what was asked for; returns whether it could be done, and has logged why if not. An error is one
/// of usage or configuration.
pub fn run(what: OnSpool, lists: Lists, env: Environment) -> Result<bool> {
    match what.command.unwrap_or(SpoolCommand::List(what.list)) {
        SpoolCommand::List(what) => with(&what.place, &env, |it| list::list(it, what.json)),
        SpoolCommand::Show(what) => with(&what.place, &env, |it| show::show(it, &what.id)),
        SpoolCommand::Retry(what) => with(&what.place, &env, |it| {
            change::retry(it, what.id.as_deref())
        }),
        SpoolCommand::Drop(what) => with(&what.place, &env, |it| change::discard(it, &what.ids)),
        SpoolCommand::Deliver(deliver) => self::deliver(*deliver, lists, env),
    }
}

/// Opens the log, which is standard error here, finds the spool and does that with it.
fn with(
    place: &Place,
    env: &Environment,
    act: impl FnOnce(&Opened) -> Result<bool>,
) -> Result<bool> {
    log::open(level(place), None, None);
    Opened::find(place, env, false)?.map_or(Ok(false), |opened| act(&opened))
}

/// A state folder that holds a spool.
struct Opened {
    dir: StateDir,
    /// How the log calls the folder.
    shown: String,
    spool: Spool,
}

impl Opened {
    /// The first folder that holds a spool; `None`: one cannot be read, and why has been logged. `hide`:
    /// paths are not shown, as they name a user's home.
    fn find(place: &Place, env: &Environment, hide: bool) -> Result<Option<Self>> {
        let mut reasons = Vec::new();
        for dir in state_dirs(place.state_dir.clone(), env, &place.root).value {
            let shown = match hide {
                true => dir.rule.to_owned(),
                false => dir.path.display().to_string(),
            };
            match lacks(&dir.path) {
                Ok(None) => {
                    let spool = Spool::below(&dir.path);
                    return Ok(Some(Self { dir, shown, spool }));
                }
                Ok(Some(why)) => reasons.push(format!("{shown}: {why}")),
                Err(why) => {
                    error!("{shown} cannot be read: {why}");
                    return Ok(None);
                }
            }
        }
        bail!(
            "there is no spool to look at (--state-dir names the state folder): {}",
            reasons.join("; ")
        )
    }

    /// What was read of the spool; `None`: it could not be, and why has been logged.
    fn readable<T>(&self, read: io::Result<T>) -> Option<T> {
        let shown = &self.shown;
        read.inspect_err(|why| error!("the spool in {shown} cannot be read: {why}"))
            .ok()
    }

    /// Whether this process can change the spool, has been logged if not. An error: it would be in its
    /// rounds' way.
    fn check_rights(&self) -> Result<bool> {
        let folder = self.dir.path.join("spool");
        let shown = &self.shown;
        let Some(about) = self.readable(fs::metadata(&folder)) else {
            return Ok(false);
        };
        let owner = about.uid();
        if owner != geteuid().as_raw() {
            bail!(
                "the spool in {shown} belongs to another user, whose rounds could not read what this one writes: run it as that user (sudo -u '#{owner}')"
            );
        }
        if let Err(why) = access(&folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            error!(
                "the spool in {shown} cannot be changed: {}",
                io::Error::from(why)
            );
            return Ok(false);
        }
        Ok(true)
    }

    /// The right to take batches away; `None`: not now, and why has been logged.
    fn take_turn(&self) -> Result<Option<Turn>> {
        if !self.check_rights()? {
            return Ok(None);
        }
        Ok(match self.spool.take_turn() {
            Ok(Some(turn)) => Some(turn),
            Ok(None) => {
                warn!("another round is delivering just now: nothing was changed; try again later");
                None
            }
            Err(why) => {
                error!("the spool in {} cannot be used: {why}", self.shown);
                None
            }
        })
    }
}

/// Why there is no spool in a state folder; `None`: there is one. An error: nobody can know.
fn lacks(dir: &Path) -> io::Result<Option<String>> {
    let why = |why: io::Error, absent: &str| match why.kind() {
        io::ErrorKind::NotFound => Ok(Some(absent.to_owned())),
        // Somebody else's, or none.
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => Ok(Some(why.to_string())),
        _ => Err(why),
    };
    if let Err(error) = fs::metadata(dir) {
        return why(error, "there is no such folder");
    }
    match fs::read_dir(dir.join("spool")) {
        Ok(_) => Ok(None),
        Err(error) => why(error, "no round has stored anything in it"),
    }
}

/// So many characters of an id are enough to mean it: fewer are a typing error, or a number's.
const SHORTEST: usize = 8;

/// What a word of the command line names among these, which are what is `there`; the error says why nothing,
/// or not one thing.
fn named<'a>(entries: &'a [Entry], word: &str, there: &str) -> Result<&'a Entry> {
    // As the list has it; a round's number also as its folder has it; and the ids of batches that wait.
    let exactly: Vec<&Entry> = entries.iter().filter(|entry| entry.id() == word).collect();
    let found = match exactly.is_empty() {
        true => entries.iter().filter(|entry| begins(entry, word)).collect(),
        false => exactly,
    };
    match found[..] {
        [entry] => Ok(entry),
        [] => bail!(
            "{} names nothing {there}: `afmetrics_collector spool list` shows what is there",
            quoted(word)
        ),
        _ => bail!(
            "{} names more than one thing: {}",
            quoted(word),
            several(&found)
        ),
    }
}

fn begins(entry: &Entry, word: &str) -> bool {
    // A number is a round's, and never the beginning of something.
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_beginning_of = |id: &str| !is_number && word.len() >= SHORTEST && id.starts_with(word);
    let batch = entry.header.as_ref().map(|header| header.id.to_string());
    match &entry.item {
        Item::Waiting(waiting) => {
            format!("{:08}", waiting.round) == word || batch.is_some_and(|id| is_beginning_of(&id))
        }
        Item::Rejected(_) | Item::Damaged(_) => is_beginning_of(&entry.id()),
    }
}

/// `a, b, c and 17 more`
fn several(entries: &[&Entry]) -> String {
    const SHOWN: usize = 3;
    let ids: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .map(|entry| {
            let batch = entry.header.as_ref().map(|header| header.id);
            match (&entry.item, batch) {
                (Item::Waiting(waiting), Some(batch)) => {
                    format!("{} (batch {batch})", waiting.round)
                }
                _ => visible(&entry.id()),
            }
        })
        .collect();
    let more = match entries.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", ids.join(", "))
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", visible(word))
}

/// A text without what would move the cursor or paint the terminal: files can hold anything.
fn visible(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect()
}

/// Writes to standard output; false if that failed. A reader that has enough (`| head`) is no error.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
    let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            error!("cannot write to standard output: {why}");
            false
        }
        _ => true,
    }
}

/// Says something that is no result, and no error either.
fn remark(text: &str) {
    // Nobody is there to be told, if this fails.
    let _ = writeln!(io::stderr(), "{text}");
}

fn deliver(deliver: Deliver, lists: Lists, env: Environment) -> Result<bool> {
    log::open(
        level(&deliver.place),
        Some(&deliver.place.root),
        env.journal_stream.as_deref(),
    );
    let hide = deliver.obfuscate_users || deliver.obfuscate_hosts.is_some();
    let Some(opened) = Opened::find(&deliver.place, &env, hide)? else {
        return Ok(false);
    };
    if !opened.check_rights()? {
        return Ok(false);
    }
    let config = Config::for_delivery(deliver, lists, opened.dir.clone(), env)?;
    let others = is_all_for_others(&opened.spool, &config);
    let Some(all_is_for_others) = opened.readable(others) else {
        return Ok(false);
    };
    Ok(once(&config)? && !all_is_for_others)
}

/// Whether something waits and none of it would be delivered: a flag was forgotten.
fn is_all_for_others(spool: &Spool, config: &Config) -> io::Result<bool> {
    let Target::Endpoints(endpoints) = &config.target else {
        return Ok(false);
    };
    let to: Vec<String> = endpoints
        .iter()
        .map(|endpoint| without_password(endpoint.url.as_str()))
        .collect();
    let mut others = None;
    for waiting in spool.waiting()? {
        let Ok((reader, _)) = spool.open(&waiting) else {
            continue;
        };
        let header = reader.header;
        if header.cluster == config.cluster
            && (config.any_endpoint || to.contains(&header.endpoint))
        {
            return Ok(false);
        }
        others = Some(header);
    }
    if let Some(header) = &others {
        warn!(
            "nothing waits of {} for {}; what waits is of {} for {} (-c, -u and --any-endpoint choose)",
            visible(&config.cluster),
            to.join(", "),
            visible(&header.cluster),
            visible(&header.endpoint)
        );
    }
    Ok(others.is_some())
}
