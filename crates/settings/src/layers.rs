//! From what a file and the environment say to the flags that they stand for.

use std::error::Error as _;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, ArgMatches, Command};

use crate::file::BEYOND_ALL_BOUNDS;
use crate::{Given, Item, Takes, Wrong, arg, meant};

/// What the variables say that are called `PREFIX_FLAG`, as `AFMETRICS_BATCH_SIZE` of `--batch-size`; each flag's value
/// as on the command line, `true` or `false` where it takes none, and where it is repeatable one value a
/// line. Others of that prefix are looked up in `unknown`, which says what to make of them.
pub(crate) fn of_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    prefix: &str,
    command: &Command,
    mut unknown: impl FnMut(&str, Option<String>),
) -> Result<Vec<Given>, Wrong> {
    let flags: Vec<(String, &clap::Arg)> = command
        .get_arguments()
        .filter_map(|arg| Some((variable(prefix, arg.get_long()?), arg)))
        .collect();
    let mut all = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else {
            continue;
        };
        let Some((_, arg)) = flags.iter().find(|(variable, _)| variable == name) else {
            unknown(name, meant_variable(name, prefix, command));
            continue;
        };
        let Some(value) = value.to_str() else {
            return Err(Wrong::at(name, "is not UTF-8"));
        };
        if value.is_empty() {
            continue;
        }
        let values = match Takes::of(arg) {
            Takes::Switch => vec![switch(name, value)?.to_owned()],
            Takes::Texts => value.lines().map(str::to_owned).collect(),
            Takes::Number | Takes::Text => vec![value.to_owned()],
        };
        all.push(Given {
            flag: arg.get_id().to_string(),
            values,
            place: name.to_owned(),
        });
    }
    Ok(all)
}

/// The variable that was most likely meant. What all have in common says nothing of that.
fn meant_variable(name: &str, prefix: &str, command: &Command) -> Option<String> {
    let longs: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| Some(arg.get_long()?.replace('-', "_")))
        .collect();
    let known = meant(name.strip_prefix(prefix)?, longs.iter().map(String::as_str))?;
    Some(variable(prefix, known))
}

/// The name of the variable that stands for a flag.
pub(crate) fn variable(prefix: &str, long: &str) -> String {
    format!("{prefix}{}", long.to_ascii_uppercase().replace('-', "_"))
}

fn switch(name: &str, value: &str) -> Result<&'static str, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok("true"),
        "false" | "no" | "off" | "0" => Ok("false"),
        _ => Err(Wrong::at(name, "is neither true nor false")),
    }
}

/// Holds each value against what its flag takes.
pub fn check(command: &Command, given: &[Given]) -> Result<(), Wrong> {
    matches_of(command, given, "").map(drop)
}

/// The flags that an item of a list stands for, as a command line of their own.
pub fn parse_item(command: &Command, item: &Item) -> Result<ArgMatches, Wrong> {
    matches_of(command, &item.given, &item.place)
}

fn matches_of(command: &Command, given: &[Given], place: &str) -> Result<ArgMatches, Wrong> {
    let words = given.iter().flat_map(|given| words(command, given));
    command
        .clone()
        .no_binary_name(true)
        .try_get_matches_from(words)
        .map_err(|why| located(&why, command, given, place))
}

/// A value as it would stand on the command line.
fn words(command: &Command, given: &Given) -> Vec<String> {
    let Some(arg) = arg(command, &given.flag) else {
        return Vec::new();
    };
    let long = arg.get_long().unwrap_or_default();
    match Takes::of(arg) {
        Takes::Switch => {
            let is_on = given.values.iter().any(|value| value == "true");
            is_on.then(|| format!("--{long}")).into_iter().collect()
        }
        _ if matches!(arg.get_action(), ArgAction::Count) => {
            // What is no number is for clap to refuse.
            let said = given.values.first().map(String::as_str).unwrap_or_default();
            match said.parse::<u8>() {
                Ok(times) => vec![format!("--{long}"); times.into()],
                Err(_) => vec![format!("--{long}={said}")],
            }
        }
        _ => given
            .values
            .iter()
            .map(|value| format!("--{long}={value}"))
            .collect(),
    }
}

/// What clap says of a flag, said of the place where it came from. A value is quoted only where there is a list
/// of those that can be.
fn located(why: &clap::Error, command: &Command, given: &[Given], whole: &str) -> Wrong {
    let text = |kind| match why.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    // `--batch-size <N>`
    let shown = text(ContextKind::InvalidArg);
    let long = shown.trim_start_matches('-').split([' ', '=', '.']).next();
    let is_empty = matches!(
        why.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) && text(ContextKind::InvalidValue).is_empty();
    let place = given
        .iter()
        .find(|given| arg(command, &given.flag).is_some_and(|arg| arg.get_long() == long));
    let what = match why.kind() {
        ErrorKind::MissingRequiredArgument => {
            let option = long.unwrap_or_default();
            match whole {
                "" => {
                    let place = needing(command, given).map_or("", |given| &given.place);
                    return Wrong::at(place, format!("needs --{option} beside it"));
                }
                _ => format!("has no {}", option.replace('-', "_")),
            }
        }
        // Only of a flag that is counted, see `words`.
        ErrorKind::TooManyValues => "is not how often the flag is said, 0 to 255".to_owned(),
        ErrorKind::ArgumentConflict => {
            format!("cannot stand beside {}", text(ContextKind::PriorArg))
        }
        _ => match (why.source(), text(ContextKind::ValidValue)) {
            (_, valid) if !valid.is_empty() => {
                format!("{:?} is none of {valid}", text(ContextKind::InvalidValue))
            }
            _ if is_empty => "may not be empty".to_owned(),
            (Some(source), _) => match source.downcast_ref().map(ParseIntError::kind) {
                Some(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
                    BEYOND_ALL_BOUNDS.to_owned()
                }
                Some(_) => "is no whole number".to_owned(),
                None => source.to_string(),
            },
            (None, _) => why.kind().to_string(),
        },
    };
    Wrong::at(place.map_or(whole, |given| &given.place), what)
}

/// Of these values, the first without which none is missing: clap does not say which needs another.
fn needing<'a>(command: &Command, given: &'a [Given]) -> Option<&'a Given> {
    given.iter().find(|one| {
        let others = given.iter().filter(|other| other.flag != one.flag);
        let words = others.flat_map(|given| words(command, given));
        let read = command
            .clone()
            .no_binary_name(true)
            .try_get_matches_from(words);
        read.map_or_else(
            |why| why.kind() != ErrorKind::MissingRequiredArgument,
            |_| true,
        )
    })
}

/// The command, and all below it, with these values as defaults: so a flag that is given wins. Later ones win
/// over earlier ones. They must have been [checked](check).
pub fn with_defaults(command: Command, given: &[Given]) -> Command {
    let below: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let mut command = command;
    for given in given {
        if arg(&command, &given.flag).is_some() {
            command = command.mut_arg(&given.flag, |arg| {
                match (arg.get_action(), given.values.as_slice()) {
                    (ArgAction::Append, values) => arg.default_values(values),
                    (_, [value, ..]) => arg.default_value(value),
                    (_, []) => arg,
                }
            });
        }
    }
    for name in below {
        command = command.mut_subcommand(name, |command| with_defaults(command, given));
    }
    command
}
