//! The configuration file's reference: `docs/collector.toml`, the table of options, and the worked files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;

use afmetrics_collector::cli::{self, Command};
use afmetrics_collector::config::Config;
use afmetrics_collector::environment::Environment;
use afmetrics_collector::layers::{self, Asked, LAYOUT, PROGRAM};
use afmetrics_settings::{Row, Shown, Table, Unusable};
use tempfile::TempDir;

use crate::documentation::{assert_is, with_block};
use crate::support::pages::root;

/// Flags of `run` that are no options, and why.
const NO_OPTIONS: &[(&str, &str)] = &[
    ("namespace", "[[jupyter.sources]] has it"),
    ("label", "[[jupyter.sources]] has it"),
    ("debug", "for a person who looks"),
    ("print", "for a person who looks"),
    ("token", "a secret stands in a file of its own"),
    ("salt", "a secret stands in a file of its own"),
    ("config", "it names the file"),
    ("verbose", "level of [log]"),
    ("very_verbose", "level of [log]"),
    ("help", "no setting"),
];

/// What a file says, with a command of its own before it.
fn read(text: &str) -> Result<Asked, Unusable> {
    read_in(&TempDir::new().unwrap(), text)
}

fn read_in(folder: &TempDir, text: &str) -> Result<Asked, Unusable> {
    let file = folder.path().join("collector.toml");
    fs::write(&file, text).unwrap();
    let words: [OsString; 4] = [
        "afmetrics_collector".into(),
        "run".into(),
        "--config".into(),
        file.into(),
    ];
    layers::read(&words, &Environment::default())
}

/// All that was understood, without where it was read.
fn understood(text: &str) -> String {
    let folder = TempDir::new().unwrap();
    let mut asked = read_in(&folder, text).unwrap_or_else(|why| panic!("{why:?}\n{text}"));
    asked.file = None;
    if let Some(Command::Run(run)) = &mut asked.cli.command {
        run.round.place.config = None;
    }
    format!("{asked:?}").replace(folder.path().to_str().unwrap(), "")
}

#[test]
fn the_sample_is_on_disk_loads_and_changes_nothing() {
    let sample = PROGRAM.sample();
    assert_is("docs/collector.toml", &sample);
    assert_eq!(understood(&sample), understood(""));
}

/// An option that loses its `#` is understood, alone and with all others of its table.
#[test]
fn every_option_of_the_sample_can_be_used() {
    let sample = PROGRAM.sample();
    let lines: Vec<&str> = sample.lines().collect();
    let mut count = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some((option, _)) = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "))
        else {
            continue;
        };
        if option.contains(' ') {
            continue;
        }
        let above = lines[..number].iter().rev();
        let table = above
            .copied()
            .find(|line| line.starts_with('[') || line.starts_with("#[["));
        let mut text = String::new();
        if let Some(table) = table {
            let _ = writeln!(text, "{}", table.trim_start_matches('#'));
        }
        for needed in match table {
            Some("#[[endpoints]]") => &["url = \"https://192.0.2.1/\""][..],
            Some("#[[jupyter.sources]]") => &["namespace = \"canary\""],
            _ => &[],
        } {
            if !needed.starts_with(option) {
                let _ = writeln!(text, "{needed}");
            }
        }
        let _ = writeln!(text, "{}", &line[1..]);
        understood(&text);
        count += 1;
    }
    let options: usize = LAYOUT.tables.iter().map(|table| table.options.len()).sum();
    assert_eq!(count, options);
}

#[test]
fn every_flag_of_the_daemon_is_an_option_or_has_a_reason() {
    let run = cli::command();
    let run = run.find_subcommand("run").unwrap();
    let options: BTreeSet<&str> = LAYOUT
        .tables
        .iter()
        .filter(|table| table.command.is_none())
        .flat_map(|table| table.options.iter().map(|row| row.flag))
        .collect();
    for arg in run.get_arguments() {
        let id = arg.get_id().as_str();
        let has_reason = NO_OPTIONS.iter().any(|(known, _)| *known == id);
        assert!(options.contains(id) != has_reason, "{id}");
    }
    for (known, why) in NO_OPTIONS {
        assert!(!why.is_empty() && !options.contains(known), "{known}");
    }
}

fn table_of_options() -> String {
    let run = cli::command();
    let run = run.find_subcommand("run").unwrap();
    let mut text = String::from(
        "| table | option | flag | variable | default |\n| --- | --- | --- | --- | --- |\n",
    );
    for table in LAYOUT.tables {
        let own = table.command.map(|own| own());
        for row in table.options {
            let args = own.as_ref().unwrap_or(run).get_arguments();
            let arg = args
                .into_iter()
                .find(|arg| arg.get_id() == row.flag)
                .unwrap();
            let long = arg.get_long().unwrap_or_default();
            let (flag, variable) = match table.command.is_some() || arg.is_hide_set() {
                true => (String::new(), String::new()),
                false => (
                    format!("`--{long}`"),
                    format!(
                        "`{}{}`",
                        PROGRAM.prefix,
                        long.to_uppercase().replace('-', "_")
                    ),
                ),
            };
            let _ = writeln!(
                text,
                "| {} | `{}` | {flag} | {variable} | {} |",
                name(table),
                row.option,
                default(table, row, arg)
            );
        }
    }
    text
}

fn name(table: &Table) -> String {
    match (table.name, table.is_list) {
        ("", _) => String::new(),
        (name, true) => format!("`[[{name}]]`"),
        (name, false) => format!("`[{name}]`"),
    }
}

/// The default as TOML; of an endpoint's option the table that says it for all of them.
fn default(table: &Table, row: &Row, arg: &clap::Arg) -> String {
    let is_of = |other: &&Table| {
        let is_shared = ["delivery", "privacy"].contains(&other.name);
        is_shared && other.options.iter().any(|known| known.flag == row.flag)
    };
    match (table.name, row.flag) {
        ("endpoints" | "jupyter.sources", "url" | "namespace") => {
            return "has to be said".to_owned();
        }
        ("endpoints", "token_file") => return String::new(),
        ("endpoints", _) => {
            if let Some(other) = LAYOUT.tables.iter().find(is_of) {
                return format!("as {}", name(other));
            }
        }
        _ => {}
    }
    let known = arg.get_default_values().iter();
    match row.shown {
        Shown::DefaultIs(toml) => format!("`{toml}`"),
        Shown::Default if !arg.get_action().takes_values() => "`false`".to_owned(),
        Shown::Default => {
            let known: Vec<_> = known.map(|value| value.to_string_lossy()).collect();
            match known.join(" ") {
                number if number.parse::<u64>().is_ok() => format!("`{number}`"),
                text => format!("`{text:?}`"),
            }
        }
        Shown::Example(_) => String::new(),
    }
}

#[test]
fn the_page_has_every_option() {
    let text = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let text = with_block(&text, "options", &table_of_options());
    assert_is("docs/configuration.md", &text);
}

/// What a page shows as a file of the collector can be used as it stands, once the secrets are there.
#[test]
fn the_files_on_the_pages_are_configurations() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().display().to_string();
    for secret in ["token", "token.own", "salt"] {
        fs::write(folder.path().join(secret), "of-the-tests").unwrap();
    }
    let pem = crate::support::authority::Authority::new().pem;
    fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let mut count = 0;
    for page in crate::support::pages::pages() {
        let page = fs::read_to_string(page).unwrap();
        for block in page.split("```toml\n").skip(1) {
            let (block, _) = block.split_once("\n```").unwrap();
            if block.contains("tls_cert") || block.contains("[store]") {
                // The receiver's.
                continue;
            }
            let is_part = !block.contains("enabled");
            let block = block.replace("/etc/afmetrics/", &format!("{place}/"));
            let asked = read(&block).unwrap_or_else(|why| panic!("{why:?}\n{block}"));
            count += 1;
            let Some(Command::Run(run)) = asked.cli.command else {
                panic!("{block}");
            };
            if !is_part {
                let config = Config::new(run.round, asked.lists, Environment::default());
                let config = config.unwrap_or_else(|why| panic!("{why:#}\n{block}"));
                assert!(config.warnings.is_empty(), "{:?}\n{block}", config.warnings);
            }
        }
    }
    assert!(count > 4, "{count}");
}
