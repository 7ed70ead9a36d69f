//! `export`: raw documents of a span, by hour, facility and kind. A receiver may run meanwhile.

use std::io::{self, BufWriter, Write, stdout};

use anyhow::{Context as _, Result, bail};
use rusqlite::Connection;

use super::table::Table;
use super::{must_be_there, wrong};
use crate::cli::Export;
use crate::config;
use crate::documents::time;
use crate::store::forget::id;
use crate::store::{backup, block, schema};

/// Which documents.
struct Which {
    facilities: Vec<i64>,
    kinds: Vec<i64>,
    from: i64,
    to: i64,
    skips_damaged: bool,
}

/// What was written, and what not.
#[derive(Default)]
struct Done {
    documents: u64,
    /// Blocks that are damaged.
    left_out: u64,
}

/// # Errors
/// The store cannot be read, or the file not written; then there is no file.
pub fn run(command: &Export) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    if command.csv && command.kind.len() != 1 {
        return Err(wrong(
            "--csv writes one kind, as each has columns of its own: give --kind once",
        ));
    }
    let store = schema::open_to_read(&folder)?;
    let which = Which {
        facilities: ids(&store, "facilities", &command.facility)?,
        kinds: ids(&store, "kinds", &command.kind)?,
        from: super::time("--from", command.from.as_deref())?.unwrap_or(i64::MIN),
        to: super::time("--to", command.to.as_deref())?.unwrap_or(i64::MAX),
        skips_damaged: command.skip_damaged,
    };
    let table = command.csv.then(|| Table::of(&command.kind[0]));
    let done = match &command.output {
        None => match write(&store, &which, table.as_ref(), stdout().lock()) {
            // Whoever reads has enough.
            Err(why) if is_closed(&why) => return Ok(()),
            other => other?,
        },
        Some(file) => backup::write_new(file, |out, _| write(&store, &which, table.as_ref(), out))
            .with_context(|| format!("cannot write {}", file.display()))?,
    };
    eprintln!("{} documents", done.documents);
    if done.left_out > 0 {
        bail!("{} damaged blocks were left out", done.left_out);
    }
    Ok(())
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
            id(store, table, name)?
                .with_context(|| format!("the store has nothing of {table} {name:?}"))
        })
        .collect()
}

fn is_closed(why: &anyhow::Error) -> bool {
    why.downcast_ref::<io::Error>()
        .is_some_and(|why| why.kind() == io::ErrorKind::BrokenPipe)
}

fn write(
    store: &Connection,
    which: &Which,
    table: Option<&Table>,
    out: impl Write,
) -> Result<Done> {
    let mut out = BufWriter::with_capacity(256 * 1024, out);
    if let Some(table) = table {
        out.write_all(&record(table.header())?)?;
    }
    let mut done = Done::default();
    let mut after = time::hour(which.from) - 1;
    while let Some(hour) = next_hour(store, after)?.filter(|hour| *hour <= time::hour(which.to)) {
        for facility in &which.facilities {
            for kind in &which.kinds {
                group(
                    store,
                    (*facility, *kind, hour),
                    which,
                    table,
                    &mut out,
                    &mut done,
                )?;
            }
        }
        after = hour;
    }
    out.flush()?;
    Ok(done)
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
    done: &mut Done,
) -> Result<()> {
    let mut read = store.prepare_cached(
        "SELECT id, data, bytes, first, last, documents FROM blocks
         WHERE facility = ? AND kind = ? AND hour = ? ORDER BY id",
    )?;
    let mut rows = read.query([group.0, group.1, group.2])?;
    while let Some(row) = rows.next()? {
        let is_all = row.get::<_, i64>(3)? >= which.from && row.get::<_, i64>(4)? < which.to;
        let lines = match block::unpack(row.get_ref(1)?.as_blob()?, row.get(2)?) {
            Ok(lines) => lines,
            Err(why) => {
                let what = format!(
                    "block {}, {} documents",
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(5)?
                );
                if !which.skips_damaged {
                    return Err(why.context(format!(
                        "{what}; see `afmetrics_receiver check`; --skip-damaged goes on without it"
                    )));
                }
                eprintln!("left out: {what}: {why:#}");
                done.left_out += 1;
                continue;
            }
        };
        for line in lines.lines() {
            if !is_all && !time_of(line).is_some_and(|time| (which.from..which.to).contains(&time))
            {
                continue;
            }
            match table {
                None => writeln!(out, "{line}")?,
                Some(table) => out.write_all(&record(table.row(line)?)?)?,
            }
            done.documents += 1;
        }
    }
    Ok(())
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
