//! `token create|list|revoke`. A receiver may run meanwhile.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rusqlite::Connection;
use serde_json::json;

use super::{is_there, must_be_there, say_if_new, wrong};
use crate::cli::{Create, Token};
use crate::documents::time;
use crate::store::{Store, schema};
use crate::tokens::{self, Known, Role};
use crate::{clock, config};

/// # Errors
/// What could not be done, and why.
pub fn run(command: &Token) -> Result<()> {
    match command {
        Token::Create(create) => self::create(create),
        Token::List { place, json } => list(&config::folder(place), *json),
        Token::Revoke { place, id } => revoke(&config::folder(place), *id),
    }
}

fn create(create: &Create) -> Result<()> {
    let folder = config::folder(&create.place);
    let role = match (&create.facility, create.viewer) {
        (facility, true) => Role::Viewer {
            facility: facility.clone(),
        },
        (Some(facility), false) => Role::Sender {
            facility: facility.clone(),
        },
        (None, false) => return Err(wrong("--facility or --viewer is missing")),
    };
    if let Some(name) = role.facility()
        && (name.is_empty() || name.trim() != name || name.contains(char::is_control))
    {
        return Err(wrong(
            "--facility is empty, or has blanks around it or control characters in it",
        ));
    }
    if create.note.contains(char::is_control) {
        return Err(wrong("--note has control characters in it"));
    }
    let now = clock::now();
    let expires = create
        .expires
        .map(|days| now + i64::from(days) * time::DAY_MS);
    let was_there = is_there(&folder);
    if !was_there {
        drop(Store::open_alone(&folder)?);
    }
    let store = open_to_change(&folder)?;
    say_if_new(&folder, was_there);
    let (id, token) = tokens::create(&store, &role, &create.note, now, expires)?;
    writeln!(stdout(), "{}", token.expose()).context("cannot print the token")?;
    let whose = role.facility().unwrap_or("all facilities");
    eprintln!(
        "token {id}: {} of {whose}; it is not shown again",
        role.word()
    );
    Ok(())
}

fn list(folder: &Path, is_json: bool) -> Result<()> {
    must_be_there(folder)?;
    let store = schema::open_to_read(folder)?;
    let (all, now) = (tokens::list(&store)?, clock::now());
    let mut out = stdout().lock();
    if !is_json {
        writeln!(
            out,
            "{:>4}  {:6}  {:20}  {:8}  {:10}  {:16}  NOTE",
            "ID", "ROLE", "FACILITY", "STATE", "EXPIRES", "LAST USED"
        )?;
    }
    for token in all {
        match is_json {
            true => writeln!(out, "{}", as_json(&token, now))?,
            false => writeln!(out, "{}", as_row(&token, now))?,
        }
    }
    Ok(())
}

fn state(token: &Known, now: i64) -> &'static str {
    match token {
        Known {
            revoked: Some(_), ..
        } => "revoked",
        _ if token.is_good(now) => "good",
        _ => "expired",
    }
}

fn as_json(token: &Known, now: i64) -> serde_json::Value {
    json!({
        "id": token.id,
        "role": token.role.word(),
        "facility": token.role.facility(),
        "state": state(token, now),
        "note": token.note,
        "created": time::text(token.created),
        "expires": token.expires.map(time::text),
        "revoked": token.revoked.map(time::text),
        "used": token.used.map(time::text),
    })
}

fn as_row(token: &Known, now: i64) -> String {
    let short = |time: Option<i64>, chars: usize, none: &str| match time {
        Some(time) => time::text(time)
            .replace('T', " ")
            .chars()
            .take(chars)
            .collect(),
        None => none.to_owned(),
    };
    format!(
        "{:>4}  {:6}  {:20}  {:8}  {:10}  {:16}  {}",
        token.id,
        token.role.word(),
        token.role.facility().unwrap_or("(all)"),
        state(token, now),
        short(token.expires, 10, "never"),
        short(token.used, 16, "never"),
        token.note
    )
}

fn revoke(folder: &Path, id: i64) -> Result<()> {
    let store = open_to_change(folder)?;
    if !tokens::revoke(&store, id, clock::now())? {
        bail!(
            "there is no token {id} that is not revoked already: see `afmetrics_receiver token list`"
        );
    }
    eprintln!("token {id} is revoked; a running receiver refuses it within a second");
    Ok(())
}

/// Opens the store for a small change, beside a receiver that runs.
fn open_to_change(folder: &Path) -> Result<Connection> {
    must_be_there(folder)?;
    let store = schema::open_to_read(folder)?;
    store.busy_timeout(Duration::from_secs(30))?;
    store.pragma_update(None, "query_only", false)?;
    store.pragma_update(None, "synchronous", "full")?;
    Ok(store)
}
