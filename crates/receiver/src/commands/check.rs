//! `check`: a line for each thing that is wrong. A receiver may run meanwhile.

use std::io::{Write as _, stdout};

use anyhow::{Context as _, Result, bail};

use super::must_be_there;
use crate::cli::Check;
use crate::config;
use crate::store::{check, schema};

/// # Errors
/// Something is wrong with the store, or it cannot be read.
pub fn run(command: &Check) -> Result<()> {
    let folder = config::folder(&command.place);
    must_be_there(&folder)?;
    let file = folder.join(schema::FILE);
    let damaged = |why: anyhow::Error| {
        match why.downcast::<rusqlite::Error>() {
        Ok(why) if why.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            anyhow::Error::from(why).context(format!(
                "{} (it is damaged: put a backup in its place by `afmetrics_receiver restore --replace FILE`)",
                file.display()
            ))
        }
        Ok(why) => schema::advised(why, &file),
        Err(why) => why,
    }
    };
    let mut store = schema::open_to_read(&folder).map_err(damaged)?;
    let mut n = 0_u64;
    check::check(&mut store, command.deep, &mut |line| {
        n += 1;
        let _ = writeln!(stdout(), "{line}");
    })
    .map_err(damaged)
    .context("the check did not come to its end")?;
    match n {
        0 => eprintln!("{}: sound", file.display()),
        n => bail!("{}: {n} findings", file.display()),
    }
    Ok(())
}
