//! `export`: raw documents of a span, by hour, facility and kind. A receiver may run meanwhile.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OptionalExtension as _};

use super::must_be_there;
use super::table::Table;
use crate::cli::Export;
use crate::config;
use crate::documents::time;
use crate::store::{block, schema};

/// Which documents.
struct Which {
    facilities: Vec<i64>,
    kinds: Vec<i64>,
    from: i64,
    to: i64,
}

/// # Errors
/// The store cannot be read, or the file not written; then there is no file.
pub fn run(command: &Export) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    if command.csv && command.kind.len() != 1 {
        bail!("--csv writes one kind, as each has columns of its own: give --kind once");
    }
    let store = schema::open_to_read(&folder)?;
    let which = Which {
        facilities: ids(&store, "facilities", &command.facility)?,
        kinds: ids(&store, "kinds", &command.kind)?,
        from: bound("--from", command.from.as_deref())?.unwrap_or(i64::MIN),
        to: bound("--to", command.to.as_deref())?.unwrap_or(i64::MAX),
    };
    let table = command.csv.then(|| Table::of(&command.kind[0]));
    let n = match &command.output {
        None => match write(&store, &which, table.as_ref(), stdout().lock()) {
            // Whoever reads has enough.
            Err(why) if is_closed(&why) => return Ok(()),
            other => other?,
        },
        Some(file) => to_file(file, |out| write(&store, &which, table.as_ref(), out))?,
    };
    eprintln!("{n} documents");
    Ok(())
}

fn bound(flag: &str, text: Option<&str>) -> Result<Option<i64>> {
    text.map(|text| {
        time::parse(text)
            .with_context(|| format!("{flag} {text}: expected a time such as 2026-11-23T04:05:06Z"))
    })
    .transpose()
}

/// The ids of names, of all of them where none is given.
fn ids(store: &Connection, table: &str, names: &[String]) -> Result<Vec<i64>> {
    if names.is_empty() {
        return Ok(store
            .prepare(&format!("SELECT id FROM {table} ORDER BY id"))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?);
    }
    names
        .iter()
        .map(|name| {
            store
                .query_row(
                    &format!("SELECT id FROM {table} WHERE name = ?"),
                    [name],
                    |row| row.get(0),
                )
                .optional()?
                .with_context(|| format!("the store has nothing of {table} {name:?}"))
        })
        .collect()
}

fn is_closed(why: &anyhow::Error) -> bool {
    why.downcast_ref::<io::Error>()
        .is_some_and(|why| why.kind() == io::ErrorKind::BrokenPipe)
}

fn to_file(file: &Path, with: impl FnOnce(&fs::File) -> Result<u64>) -> Result<u64> {
    if file.symlink_metadata().is_ok() {
        bail!("{} is there already", file.display());
    }
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let _ = fs::remove_file(&part);
    let new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .with_context(|| format!("cannot write {}", part.display()))?;
    let written = with(&new).and_then(|n| {
        new.sync_all()?;
        fs::rename(&part, file)?;
        Ok(n)
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn write(store: &Connection, which: &Which, table: Option<&Table>, out: impl Write) -> Result<u64> {
    let mut out = BufWriter::with_capacity(256 * 1024, out);
    if let Some(table) = table {
        out.write_all(&record(table.header())?)?;
    }
    let mut n = 0;
    let mut after = time::hour(which.from) - 1;
    while let Some(hour) = next_hour(store, after)?.filter(|hour| *hour <= time::hour(which.to)) {
        for facility in &which.facilities {
            for kind in &which.kinds {
                n += group(store, (*facility, *kind, hour), which, table, &mut out)?;
            }
        }
        after = hour;
    }
    out.flush()?;
    Ok(n)
}

fn next_hour(store: &Connection, after: i64) -> Result<Option<i64>> {
    Ok(store
        .prepare_cached("SELECT min(hour) FROM blocks WHERE hour > ?")?
        .query_row([after], |row| row.get(0))?)
}

/// The documents of one group of blocks. Its blocks are read at one moment: a receiver that merges them
/// meanwhile changes nothing.
fn group(
    store: &Connection,
    group: (i64, i64, i64),
    which: &Which,
    table: Option<&Table>,
    out: &mut impl Write,
) -> Result<u64> {
    let blocks: Vec<(i64, Vec<u8>, i64, i64, i64)> = store
        .prepare_cached(
            "SELECT id, data, bytes, first, last FROM blocks WHERE facility = ? AND kind = ? AND hour = ?
             ORDER BY id",
        )?
        .query_map([group.0, group.1, group.2], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut n = 0;
    for (id, data, bytes, first, last) in blocks {
        let is_all = first >= which.from && last < which.to;
        let lines = block::unpack(&data, bytes)
            .with_context(|| format!("block {id}; see `afmetrics_receiver check`"))?;
        for line in lines.lines() {
            if !is_all && !time_of(line).is_some_and(|time| (which.from..which.to).contains(&time))
            {
                continue;
            }
            match table {
                None => writeln!(out, "{line}")?,
                Some(table) => out.write_all(&record(table.row(line)?)?)?,
            }
            n += 1;
        }
    }
    Ok(n)
}

/// Of a stored line, which begins with it.
fn time_of(line: &str) -> Option<i64> {
    let rest = line.strip_prefix("{\"timestamp\":\"")?;
    time::parse(rest.split('"').next()?)
}

fn record<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = T>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    Ok(writer.into_inner()?)
}
