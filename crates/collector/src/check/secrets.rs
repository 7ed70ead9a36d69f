//! Where tokens and salts come from, and who else can read them. They themselves are never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::report::{Row, quoted};
use super::user::Me;
use crate::cli::{Delivery, Round};
use crate::environment::Environment;
use crate::layers::Lists;

/// How a secret was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Flag,
    File(PathBuf),
    Environment,
    Not,
}

/// The secrets of a configuration.
#[derive(Debug)]
pub struct Secrets {
    /// For each endpoint.
    tokens: Vec<Given>,
    salts: Vec<PathBuf>,
}

impl Secrets {
    pub fn of(round: &Round, lists: &Lists, env: &Environment) -> Self {
        let of = |delivery: &Delivery| match (&delivery.token, &delivery.token_file, &env.token) {
            (Some(_), _, _) => Given::Flag,
            (None, Some(file), _) => Given::File(file.clone()),
            (None, None, Some(_)) => Given::Environment,
            (None, None, None) => Given::Not,
        };
        let own = lists.endpoints.iter();
        let tokens = match lists.endpoints.is_empty() {
            true => vec![of(&round.delivery)],
            false => own.clone().map(|flags| of(&flags.delivery)).collect(),
        };
        let mut salts: Vec<PathBuf> = [&round.privacy]
            .into_iter()
            .chain(own.map(|flags| &flags.privacy))
            .filter_map(|privacy| privacy.salt_file.clone())
            .collect();
        salts.sort();
        salts.dedup();
        Self { tokens, salts }
    }

    /// What there is to say of the token of an endpoint. Whether it is right nobody can know without sending.
    pub fn token(&self, number: usize, name: &str, hide: bool) -> Row {
        const UNTRIED: &str = "whether it is the right one only a document could show";
        let check = format!("{name} token");
        match self.tokens.get(number) {
            Some(Given::Flag) => Row::ok(check, format!("given by -t; {UNTRIED}")),
            Some(Given::Environment) => {
                Row::ok(check, format!("given by AFMETRICS_TOKEN; {UNTRIED}"))
            }
            Some(Given::File(path)) => {
                let shown = shown(path, "token_file", hide);
                let row = Row::ok(check, format!("given by {shown}; {UNTRIED}"));
                judged(row, path, "token_file", hide)
            }
            Some(Given::Not) | None => Row::ok(check, "none is given, and metrics need none"),
        }
    }

    pub fn salts(&self, hide: bool) -> Vec<Row> {
        let row = |path: &PathBuf| {
            let row = Row::ok(
                "salt",
                format!("given by {}", shown(path, "salt_file", hide)),
            );
            judged(row, path, "salt_file", hide)
        };
        self.salts.iter().map(row).collect()
    }

    /// What to do about the files that this user cannot read.
    pub fn advice(&self, me: &Me, hide: bool) -> Vec<String> {
        let tokens = self.tokens.iter().filter_map(|given| match given {
            Given::File(path) => Some(path),
            _ => None,
        });
        tokens
            .chain(&self.salts)
            .filter_map(|path| {
                let file = quoted(&path.display().to_string());
                match access(path, AccessFlags::R_OK) {
                    Err(Errno::EACCES) => Some(format!(
                        "{} cannot read it. If the rounds are those of another user, look again as that one \
                         (sudo -u USER afmetrics_collector check); if not, let a group of this user read it, and nobody else:\n\
                         sudo chgrp GROUP {file}; sudo chmod 640 {file}",
                        me.shown(hide)
                    )),
                    Err(Errno::ENOENT) => Some(format!(
                        "There is no such file. It holds the secret, in one line:\nsudo install -m 640 -o root -g GROUP /dev/stdin {file}"
                    )),
                    _ => None,
                }
            })
            .collect()
    }
}

fn shown(path: &Path, option: &str, hide: bool) -> String {
    match is_shown(path, hide) {
        true => format!("{option} {}", path.display()),
        false => option.to_owned(),
    }
}

/// A path can lead through a home, and name a user; not in `/etc`.
fn is_shown(path: &Path, hide: bool) -> bool {
    !hide || path.starts_with("/etc")
}

/// Whether others can read or change a file that holds a secret.
fn judged(row: Row, path: &Path, option: &str, hide: bool) -> Row {
    let Ok(about) = fs::metadata(path) else {
        return row;
    };
    // A pipe (`<(pass token)`) is nobody else's.
    if !about.is_file() {
        return row;
    }
    let file = match is_shown(path, hide) {
        true => quoted(&path.display().to_string()),
        false => option.to_uppercase(),
    };
    let mode = about.permissions().mode();
    if mode & 0o007 != 0 {
        row.at_least_warn().advise(format!(
            "Every user of this node can read or change the file:\nchmod o= {file}"
        ))
    } else if mode & 0o020 != 0 {
        row.at_least_warn()
            .advise(format!("Its group can change the file:\nchmod g-w {file}"))
    } else {
        row
    }
}
