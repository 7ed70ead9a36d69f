//! What is printed from the tables is what the tables say: README's tables and the man page.
//! `cargo xtask bless` (AFMETRICS_BLESS=1) rewrites it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use afmetrics_collector::{cli, collectors};
use clap::ArgAction;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn assert_is(file: &str, wanted: &str) {
    let path = root().join(file);
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let bless = std::env::var_os("AFMETRICS_BLESS").is_some();
    if bless {
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{file} is not what the tables say: run `cargo xtask bless` and look at the difference"
    );
}

/// The text with everything between `<!-- NAME: ... -->` and `<!-- /NAME -->` replaced.
fn with_block(text: &str, name: &str, block: &str) -> String {
    let opening = text.find(&format!("<!-- {name}:")).unwrap();
    let begin = opening + text[opening..].find("-->").unwrap() + "-->".len();
    let end = text.find(&format!("<!-- /{name} -->")).unwrap();
    format!("{}\n{block}{}", &text[..begin], &text[end..])
}

fn flags() -> String {
    let mut table = String::from("| flag | meaning | default |\n| --- | --- | --- |\n");
    for arg in cli::command().get_arguments() {
        let mut flag = String::new();
        if let Some(short) = arg.get_short() {
            let _ = write!(flag, "-{short} ");
        }
        if let Some(long) = arg.get_long() {
            let _ = write!(flag, "--{long}");
        }
        if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
            && let Some(names) = arg.get_value_names()
        {
            let _ = write!(flag, " {}", names[0]);
        }
        let help = arg.get_help().unwrap().to_string();
        let (meaning, default) = match help.split_once(" [default: ") {
            Some((meaning, default)) => {
                (meaning.to_owned(), default.trim_end_matches(']').to_owned())
            }
            None => {
                let default: Vec<_> = arg
                    .get_default_values()
                    .iter()
                    .map(|v| v.to_string_lossy())
                    .collect();
                // A switch's default is that it is off.
                (help, default.join(" ").replace("false", ""))
            }
        };
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|value| {
                format!(
                    "`{}`: {}",
                    value.get_name(),
                    value.get_help().unwrap_or_default()
                )
            })
            .collect();
        let meaning = match values.is_empty() {
            true => meaning,
            false => format!("{meaning}. {}", values.join("; ")),
        };
        let default = if default == "0" && !arg.get_action().takes_values() {
            String::new()
        } else {
            default
        };
        let _ = writeln!(table, "| `{flag}` | {meaning} | {default} |");
    }
    table
}

fn table_of_collectors() -> String {
    let mut table = String::from(
        "| collector | flag | reads | kinds of documents |\n| --- | --- | --- | --- |\n",
    );
    for spec in collectors::ALL {
        let kinds: Vec<String> = spec.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        let _ = writeln!(
            table,
            "| {} | `{}` | {} | {} |",
            spec.name,
            spec.flag,
            spec.summary,
            kinds.join(", ")
        );
    }
    table
}

#[test]
fn the_readme_has_every_flag_and_every_collector() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let text = with_block(&text, "collectors", &table_of_collectors());
    let text = with_block(&text, "flags", &flags());
    assert_is("README.md", &text);
}

#[test]
fn the_man_page_is_that_of_the_flags() {
    let mut page = Vec::new();
    clap_mangen::Man::new(cli::command())
        .render(&mut page)
        .unwrap();
    assert_is(
        "docs/afmetrics_collector.1",
        &String::from_utf8(page).unwrap(),
    );
}

/// A flag in a document that the program does not have is a wrong document.
#[test]
fn documents_name_only_flags_that_exist() {
    let known: Vec<String> = cli::command()
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
        .collect();
    // Cargo's, clap's own, an abbreviation, and kubectl's.
    let others = [
        "--release",
        "--help",
        "--tok",
        "--kubeconfig",
        "--certificate-authority",
        "--embed-certs",
        "--minify",
        "--server",
        "--user",
    ];
    let mut files = vec![root().join("README.md")];
    files.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let is_flag = word.len() > 4 && word.starts_with("--") && !word.ends_with('-');
            assert!(
                !is_flag || known.iter().any(|flag| flag == word) || others.contains(&word),
                "{} names {word}, which is no flag of the program's",
                file.display()
            );
        }
    }
}
