//! Abbreviations that the old script took.

use std::ffi::OsString;

use super::command;

/// Long options that the old script knew. Its users may have abbreviated them as far as they were
/// unambiguous *there*: `--tok` has to go on meaning `--token` although there is `--token-file` now.
const OF_THE_OLD_SCRIPT: [&str; 19] = [
    "ssh",
    "ssh-history",
    "jupyter",
    "namespace",
    "label",
    "batch",
    "queue",
    "host",
    "token",
    "cluster",
    "url",
    "debug",
    "obfuscate-users",
    "salt",
    "obfuscate-hosts",
    "group",
    "verbose",
    "very-verbose",
    "help",
];

/// Replaces abbreviations of the old script's long options by the whole word. What is no
/// abbreviation of exactly one of them stays for clap to judge.
pub fn spell_out(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let known: Vec<String> = command()
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    args.into_iter()
        .map(
            |arg| match arg.to_str().and_then(|text| whole(text, &known)) {
                Some(whole) => whole.into(),
                None => arg,
            },
        )
        .collect()
}

fn whole(arg: &str, known: &[String]) -> Option<String> {
    let option = arg.strip_prefix("--")?;
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    if name.is_empty() || known.iter().any(|known| known == name) {
        return None;
    }
    let mut matches = OF_THE_OLD_SCRIPT
        .iter()
        .filter(|long| long.starts_with(name));
    let (Some(long), None) = (matches.next(), matches.next()) else {
        return None;
    };
    Some(match value {
        Some(value) => format!("--{long}={value}"),
        None => format!("--{long}"),
    })
}
