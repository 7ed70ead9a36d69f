//! Where a program is told what to do: its command line, its variables, and its file.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::{Given, Layout, Settings, Wrong, layers};

/// A program, and where else than on its command line its flags can be said.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub layout: Layout,
    /// How the variables begin that stand for flags: `AFMETRICS_`.
    pub prefix: &'static str,
    /// The file that is read if no other is named, and if it is there.
    pub file: &'static str,
    /// What to say of a file that the user may not read, and what to do.
    pub unreadable: &'static str,
    /// The command that has all flags which file and variables can say.
    pub command: fn() -> Command,
}

/// Why it cannot be known what was asked for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum Unusable {
    /// It knows how to print itself; help and version are among it, too.
    CommandLine(#[from] clap::Error),
    Settings(#[from] Wrong),
}

impl Program {
    /// What the variables say. One of the prefix that stands for no flag is a warning: it may be a newer
    /// program's.
    ///
    /// # Errors
    /// A value is none that its flag takes.
    pub fn variables(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Given>, Wrong> {
        let command = (self.command)();
        let unknown = |name: &str, meant: Option<String>| {
            let hint = meant.map_or(String::new(), |meant| format!(": did you mean {meant}?"));
            warnings.push(format!(
                "{name} in the environment stands for no flag{hint}"
            ));
        };
        let given = layers::of_environment(environment, self.prefix, &command, unknown)?;
        layers::check(&command, &given)?;
        Ok(given)
    }

    /// The file, and what it says. `named`: it has to be there.
    ///
    /// # Errors
    /// It cannot be read, or it says what it may not.
    pub fn settings(&self, named: Option<PathBuf>) -> Result<(Option<PathBuf>, Settings), Wrong> {
        let is_named = named.is_some();
        let path = named.unwrap_or_else(|| PathBuf::from(self.file));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(why)
                if !is_named
                    && matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                    // Nor is it a link that leads nowhere: somebody wanted one.
                    && fs::symlink_metadata(&path).is_err() =>
            {
                return Ok((None, Settings::default()));
            }
            Err(why) if why.kind() == ErrorKind::PermissionDenied => {
                return Err(Wrong::at(path.display(), self.unreadable));
            }
            Err(why) => return Err(Wrong::at(path.display(), format!("cannot be read: {why}"))),
        };
        let command = (self.command)();
        let settings = Settings::read(&path, &text, self.layout, &command)?;
        layers::check(&command, &settings.given)?;
        Ok((Some(path), settings))
    }

    /// The sample of the file.
    pub fn sample(&self) -> String {
        crate::sample::sample(self.layout, &(self.command)(), self.prefix)
    }
}

/// The flags that somebody said himself: on the command line, or by the variable that clap knows of one.
pub fn explicit(matches: &ArgMatches) -> Vec<Given> {
    let mut given = Vec::new();
    let mut level = Some(matches);
    while let Some(matches) = level {
        for id in matches.ids() {
            let id = id.as_str();
            let is_explicit = matches!(
                matches.value_source(id),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            );
            // A group of flags has no values of its own.
            if let Ok(Some(values)) = matches.try_get_raw(id)
                && is_explicit
            {
                let values = values.map(|value| value.to_string_lossy().into_owned());
                given.push(Given {
                    flag: id.to_owned(),
                    values: values.collect(),
                    place: "the command line".to_owned(),
                });
            }
        }
        level = matches.subcommand().map(|(_, below)| below);
    }
    given
}
