//! Which state folder a round of this user would use, and what waits in it. Looked at as a round does, but
//! nothing is made.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access};

use super::report::{Row, quoted};
use super::user::Me;
use crate::config::Asked;
use crate::counted::{counted, of};
use crate::spool::{Entry, Item, Spool};
use crate::state::StateDir;

const CHECK: &str = "state folder";

/// What there is to say of the state folder and of the spool in it. May hang where the folder does.
/// `hide`: paths are not shown, as they can name a user.
pub fn rows(dirs: &Asked<Vec<StateDir>>, me: &Me, hide: bool) -> Vec<Row> {
    let mut refused: Vec<(&StateDir, String)> = Vec::new();
    for dir in &dirs.value {
        let shown = shown(dir, hide);
        match usable(&dir.path, me) {
            Ok(is_there) => {
                let state = match is_there {
                    true => "can be written",
                    false => "a round makes it",
                };
                let row = Row::ok(CHECK, format!("{shown}: {state}"));
                return vec![instead_of(row, &refused, me, hide), spool(dir, hide)];
            }
            Err(why) => {
                let is_final = why.kind() == ErrorKind::PermissionDenied && me.is_root();
                refused.push((dir, why.to_string()));
                if is_final {
                    break;
                }
            }
        }
    }
    vec![none(dirs, &refused, me, hide)]
}

fn shown(dir: &StateDir, hide: bool) -> String {
    match hide {
        true => dir.rule.to_owned(),
        false => dir.path.display().to_string(),
    }
}

/// Whether a path is where services have theirs: it leads through nobody's home, and names no user.
fn is_nobodys(path: &Path) -> bool {
    let is_plain = |part: Component<'_>| !matches!(part, Component::ParentDir);
    let mut places = ["/var/lib", "/var/spool"].iter();
    path.components().all(is_plain) && places.any(|place| path.starts_with(place))
}

/// A folder that comes before the one that is used, and is another user's: then this is perhaps not the user
/// whose rounds are meant.
fn instead_of(row: Row, refused: &[(&StateDir, String)], me: &Me, hide: bool) -> Row {
    let foreign = refused.iter().find_map(|(dir, _)| {
        let owner = fs::metadata(&dir.path).ok()?.uid();
        (!me.is(owner)).then_some((dir, owner))
    });
    match foreign {
        None => row,
        Some((dir, owner)) => row.at_least_warn().advise(format!(
            "{} comes first and is another user's. If the rounds are that one's, look again as that one:\n{}",
            shown(dir, hide),
            Me::run_as(owner)
        )),
    }
}

fn none(dirs: &Asked<Vec<StateDir>>, refused: &[(&StateDir, String)], me: &Me, hide: bool) -> Row {
    let reasons: Vec<String> = refused
        .iter()
        .map(|(dir, why)| format!("{}: {why}", shown(dir, hide)))
        .collect();
    let found = format!("{} can write none: {}", me.shown(hide), reasons.join("; "));
    let row = Row::fail(CHECK, found).advise(
        "Without one, what cannot be delivered is lost, NETWORK covers one second and the history of jobs 360 s.",
    );
    let owner = refused
        .iter()
        .find_map(|(dir, _)| Some(fs::metadata(&dir.path).ok()?.uid()))
        .filter(|owner| !me.is(*owner));
    if let (Some(owner), true) = (owner, me.is_root()) {
        return row.advise(format!(
            "It belongs to another user, whose rounds could not read what root leaves in it. Look again as that one:\n{}",
            Me::run_as(owner)
        ));
    }
    let make = |what: &str, folder: &str| {
        format!(
            "{what}:\n{}install -d -m 700 -o {} {folder}",
            if me.is_root() { "" } else { "sudo " },
            quoted(&me.word(hide)),
        )
    };
    let row = match dirs.value.first().filter(|_| dirs.by_name) {
        None => row.advise(make(
            "Make one for the user of the rounds",
            "/var/lib/afmetrics",
        )),
        Some(dir) if hide && !is_nobodys(&dir.path) => row.advise(make(
            "Make the folder that state_dir in [spool] or --state-dir names for the user of the rounds (its path can name somebody, and is not shown)",
            "STATE_DIR",
        )),
        Some(dir) => row.advise(make(
            "Make the folder of state_dir or --state-dir for the user of the rounds",
            &quoted(&dir.path.display().to_string()),
        )),
    };
    match owner {
        None => row,
        Some(owner) => row.advise(format!(
            "Or, if the rounds are those of the user to whom it belongs, look again as that one:\n{}",
            Me::run_as(owner)
        )),
    }
}

/// Whether it is there already; an error says why a round would not take it.
fn usable(dir: &Path, me: &Me) -> io::Result<bool> {
    let folder = match fs::metadata(dir) {
        Ok(folder) => folder,
        Err(why) if why.kind() == ErrorKind::NotFound && fs::symlink_metadata(dir).is_err() => {
            return makeable(dir).map(|()| false);
        }
        Err(why) => return Err(why),
    };
    if !folder.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
    if me.is_root() && !me.is(folder.uid()) {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "belongs to another user, and root leaves it alone",
        ));
    }
    for name in [
        "spool",
        "spool/pending",
        "spool/rejected",
        "spool/damaged",
        "cursors",
    ] {
        let path = dir.join(name);
        let may = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        match fs::metadata(&path) {
            Ok(inner) if inner.is_dir() => {
                access(&path, may).map_err(|why| in_it(name, why.into()))?
            }
            Ok(_) => return Err(in_it(name, io::Error::other("is not a folder"))),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(in_it(name, why)),
        }
    }
    for name in ["spool/storing.lock", "spool/delivering.lock"] {
        let path = dir.join(name);
        if path.exists() {
            access(&path, AccessFlags::R_OK | AccessFlags::W_OK)
                .map_err(|why| in_it(name, why.into()))?;
        }
    }
    Ok(true)
}

fn in_it(name: &str, why: io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{name}: {why}"))
}

/// Whether a folder can be made here: the nearest one above that is there can be written.
fn makeable(dir: &Path) -> io::Result<()> {
    for above in dir.ancestors().skip(1) {
        match fs::metadata(above) {
            Ok(folder) if folder.is_dir() => {
                return access(above, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|why| {
                    io::Error::new(
                        io::Error::from(why).kind(),
                        format!("is not there and cannot be made: {}", why.desc()),
                    )
                });
            }
            Ok(_) => {
                return Err(io::Error::other(
                    "is not there, and what is above is no folder",
                ));
            }
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    Err(ErrorKind::NotFound.into())
}

fn spool(dir: &StateDir, hide: bool) -> Row {
    const CHECK: &str = "spool";
    let command = match hide {
        true => "afmetrics_collector spool list".to_owned(),
        false => format!(
            "afmetrics_collector spool list --state-dir {}",
            quoted(&dir.path.display().to_string())
        ),
    };
    let entries = match Spool::below(&dir.path).contents() {
        Ok(entries) => entries,
        Err(why) if why.kind() == ErrorKind::NotFound => return Row::ok(CHECK, "nothing waits"),
        Err(why) => {
            return Row::fail(CHECK, format!("cannot be read: {why}"))
                .advise(format!("What is in it:\n{command}"));
        }
    };
    let said = told(&entries);
    match said.is_empty() {
        true => Row::ok(CHECK, "nothing waits, nothing was rejected"),
        false => Row::warn(CHECK, said.join("; ")).advise(format!(
            "What it is, and what the endpoint answered (docs/spool.md):\n{command}"
        )),
    }
}

/// What is in the spool, by what became of it.
fn told(entries: &[Entry]) -> Vec<String> {
    let mut told = Vec::new();
    let is_damaged = |entry: &&Entry| entry.is_damaged || matches!(entry.item, Item::Damaged(_));
    let waiting: Vec<&Entry> = entries
        .iter()
        .filter(|entry| matches!(entry.item, Item::Waiting(_)) && !entry.is_damaged)
        .collect();
    if let Some(oldest) = waiting.first() {
        let documents: u64 = waiting.iter().map(|entry| entry.left).sum();
        let since = Timestamp::from_second(oldest.since.as_second()).unwrap_or(oldest.since);
        told.push(format!(
            "{} in {} {} since {since}",
            counted(documents, "document"),
            counted(waiting.len() as u64, "batch"),
            of(documents, "waits", "wait")
        ));
    }
    let rejected: u64 = entries
        .iter()
        .filter(|entry| matches!(entry.item, Item::Rejected(_)))
        .map(|entry| entry.left)
        .sum();
    if rejected > 0 {
        told.push(format!(
            "{} {} rejected",
            counted(rejected, "document"),
            of(rejected, "was", "were")
        ));
    }
    let damaged = entries.iter().filter(is_damaged).count() as u64;
    if damaged > 0 {
        told.push(format!(
            "{} {} damaged",
            counted(damaged, "batch"),
            of(damaged, "is", "are")
        ));
    }
    told
}
