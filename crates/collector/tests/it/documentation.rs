//! What is printed from the tables is what the tables say: the tables of `docs/collector.md`, the man page and
//! the completions.
//! `cargo xtask bless` (AFMETRICS_BLESS=1) rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use afmetrics_collector::{cli, collectors};
use clap::{Arg, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::support::pages::pages;
pub use crate::support::pages::root;

#[track_caller]
pub fn assert_is(file: &str, wanted: &str) {
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
pub fn with_block(text: &str, name: &str, block: &str) -> String {
    let opening = text.find(&format!("<!-- {name}:")).unwrap();
    let begin = opening + text[opening..].find("-->").unwrap() + "-->".len();
    let end = text.find(&format!("<!-- /{name} -->")).unwrap();
    format!("{}\n{block}{}", &text[..begin], &text[end..])
}

/// A flag's or an argument's cells: how it is written, what it means, its default.
fn cells(arg: &Arg) -> [String; 3] {
    let mut flag = String::new();
    if let Some(short) = arg.get_short() {
        let _ = write!(flag, "-{short} ");
    }
    if let Some(long) = arg.get_long() {
        let _ = write!(flag, "--{long} ");
    }
    if (arg.get_action().takes_values() || arg.is_positional())
        && let Some(names) = arg.get_value_names()
    {
        let _ = write!(flag, "{}", names[0]);
    }
    let help = arg.get_help().unwrap().to_string();
    let (meaning, default) = match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(']').to_owned()),
        None => {
            let default: Vec<_> = arg
                .get_default_values()
                .iter()
                .filter(|_| arg.get_action().takes_values())
                .map(|v| v.to_string_lossy())
                .collect();
            (help, default.join(" "))
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
    [flag.trim_end().to_owned(), meaning, default]
}

fn flags() -> String {
    let mut table = String::from("| flag | meaning | default |\n| --- | --- | --- |\n");
    for arg in cli::command()
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
    {
        let [flag, meaning, default] = cells(arg);
        let _ = writeln!(table, "| `{flag}` | {meaning} | {default} |");
    }
    table
}

/// All commands below this one, each with its name as it is typed, without the program's.
fn commands(command: &Command, above: &str) -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for command in command.get_subcommands() {
        let name = format!("{above} {}", command.get_name());
        let name = name.trim_start().to_owned();
        all.push((name.clone(), command.clone()));
        all.extend(commands(command, &name));
    }
    all
}

/// The flags of a round that are meant to be seen.
fn of_round(round: &Command) -> impl Iterator<Item = &Arg> {
    let args = round.get_arguments();
    args.filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "version" | "help"))
}

/// Whether a command takes every flag of a round, meaning the same.
fn is_round(round: &Command, command: &Command) -> bool {
    let own: Vec<[String; 3]> = command.get_arguments().map(cells).collect();
    of_round(round).all(|arg| own.contains(&cells(arg)))
}

/// A row for each command, and one for each of its flags that a round does not have or takes to mean
/// something else.
fn table_of_commands() -> String {
    let round = cli::command();
    let of_round: Vec<[String; 3]> = of_round(&round).map(cells).collect();
    let mut table =
        String::from("| command | does | and takes, as a round does |\n| --- | --- | --- |\n");
    for (name, command) in commands(&round, "") {
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        let is_round = is_round(&round, &command);
        for cells in command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .map(cells)
        {
            match of_round.contains(&cells) {
                true if is_round => {}
                true => {
                    let flag = cells[0].split(' ').next().unwrap_or_default();
                    shared.push(format!("`{flag}`"));
                }
                false => own.push(cells),
            }
        }
        let _ = writeln!(
            table,
            "| `{name}` | {} | {} |",
            command.get_about().unwrap(),
            match is_round {
                true => "every flag of a round".to_owned(),
                false => shared.join(" "),
            }
        );
        for [flag, meaning, default] in own {
            let default = match default.as_str() {
                "" => default,
                default => format!(" (default: {default})"),
            };
            let _ = writeln!(table, "| `{name} {flag}` | {meaning}{default} |  |");
        }
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
fn the_manual_has_every_flag_every_command_and_every_collector() {
    let text = fs::read_to_string(root().join("docs/collector.md")).unwrap();
    let text = with_block(&text, "collectors", &table_of_collectors());
    let text = with_block(&text, "flags", &flags());
    let text = with_block(&text, "commands", &table_of_commands());
    assert_is("docs/collector.md", &text);
}

#[test]
fn the_man_page_is_that_of_the_flags() {
    let page = man_page();
    for (name, command) in commands(&cli::command(), "") {
        let section = page.split(".SH ").find(|section| {
            section.starts_with(&format!("\"AFMETRICS_COLLECTOR {}\"", name.to_uppercase()))
        });
        let round = cli::command();
        let is_round = is_round(&round, &command);
        let shared = |arg: &Arg| {
            is_round
                && round
                    .get_arguments()
                    .any(|known| known.get_id() == arg.get_id())
        };
        for arg in command.get_arguments().filter(|arg| !shared(arg)) {
            let word = match (arg.get_long(), arg.get_value_names()) {
                (Some(long), _) => format!("\\-\\-{}", long.replace('-', "\\-")),
                (None, names) => names.unwrap()[0].to_string(),
            };
            assert!(section.unwrap().contains(&word), "{name} {word}");
        }
    }
    assert_is("docs/afmetrics_collector.1", &page);
}

/// One page for all: a section for each command, behind the options of a round.
fn man_page() -> String {
    let whole = cli::command();
    let man = Man::new(whole.clone());
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let mut page = String::from_utf8(page).unwrap();
    for (name, command) in commands(&whole, "") {
        let name = format!("afmetrics_collector {name}");
        let _ = writeln!(page, ".SH \"{}\"", name.to_uppercase());
        page.push_str(&match is_round(&whole, &command) {
            true => section_of_round(&whole, command.bin_name(name)),
            false => section(command.bin_name(name)),
        });
    }
    let mut rest = Vec::new();
    man.render_extra_section(&mut rest).unwrap();
    man.render_version_section(&mut rest).unwrap();
    page + &String::from_utf8(rest).unwrap()
}

/// The same of a command that takes the flags of a round, which are not listed twice.
fn section_of_round(round: &Command, command: Command) -> String {
    let known: Vec<String> = round
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect();
    let own = command.mut_args(|arg| {
        let is_known = known.iter().any(|id| id == arg.get_id().as_str());
        let hides = is_known || arg.is_hide_set();
        arg.hide(hides)
    });
    section(own) + ".PP\nIt takes every option of a round, too; they are above.\n"
}

/// Synopsis, description and options of a command, a level lower than in a page of its own.
fn section(command: Command) -> String {
    let man = Man::new(command);
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section).unwrap();
    man.render_description_section(&mut section).unwrap();
    man.render_options_section(&mut section).unwrap();
    let section = String::from_utf8(section).unwrap();
    section.replace(".SS ", ".PP\n").replace(".SH ", ".SS ")
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    for (shell, file) in [
        (Shell::Bash, "afmetrics_collector.bash"),
        (Shell::Zsh, "_afmetrics_collector"),
        (Shell::Fish, "afmetrics_collector.fish"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut cli::command(), "afmetrics_collector", &mut text);
        // To zsh the colon in it would be the end of what it is called.
        let text = String::from_utf8(text).unwrap();
        let text = text.replace(":NAME:CONSTRAINT:", ":NAME\\:CONSTRAINT:");
        assert!(
            text.contains("spool-max-size") && text.contains("deliver"),
            "{file}"
        );
        assert_is(&format!("dist/completions/{file}"), &text);
    }
}

/// A link that leads nowhere is one that nobody has tried. Other sites are not asked.
#[test]
fn links_lead_to_pages_that_are_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let (target, _) = text[at + 2..].split_once(')').unwrap();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let to = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(to.exists(), "{}: {target}", page.display());
            if !anchor.is_empty() {
                let there = fs::read_to_string(&to).unwrap();
                let is_there = there.lines().any(|line| anchor_of(line) == anchor);
                assert!(is_there, "{}: {target}", page.display());
            }
        }
    }
}

/// What a headline is called in links.
fn anchor_of(line: &str) -> String {
    let Some(words) = line
        .trim_start_matches('#')
        .strip_prefix(' ')
        .filter(|_| line.starts_with('#'))
    else {
        return String::new();
    };
    words
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

/// So is a command, and one that stands nowhere is a command that nobody finds.
#[test]
fn documents_name_only_commands_that_exist_and_all_of_them() {
    let round = cli::command();
    let spool = round.find_subcommand("spool").unwrap();
    let known: Vec<&str> = spool.get_subcommands().map(Command::get_name).collect();
    let mut named = BTreeSet::new();
    for file in pages() {
        let text = fs::read_to_string(&file).unwrap();
        for (at, words) in text.match_indices("afmetrics_collector spool ") {
            let rest = &text[at + words.len()..];
            let word = rest.split(|c: char| !c.is_ascii_lowercase()).next();
            let word = word.unwrap_or_default();
            if !word.is_empty() {
                assert!(known.contains(&word), "{} names {word}", file.display());
                named.insert(word.to_owned());
            }
        }
    }
    assert_eq!(named.len(), known.len(), "{named:?}");
}

/// The receiver's man page has them, and its own tests compare that with the program.
fn flags_of_the_receiver() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/afmetrics_receiver.1")).unwrap();
    let page = page.replace("\\-", "-");
    page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter_map(|word| word.strip_prefix("fB").or(Some(word)))
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

/// A flag in a document that the programs do not have is a wrong document.
#[test]
fn documents_name_only_flags_that_exist() {
    let round = cli::command();
    let all = commands(&round, "");
    let known: Vec<String> = std::iter::once(&round)
        .chain(all.iter().map(|(_, command)| command))
        .flat_map(Command::get_arguments)
        .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
        .chain(flags_of_the_receiver())
        .collect();
    // Cargo's, clap's own, an abbreviation, kubectl's, the demo's, curl's, systemctl's, useradd's, squeue's,
    // node_exporter's, Prometheus', sha256sum's, Logstash's.
    let others = [
        "--check",
        "--failed",
        "--collector",
        "--textfile",
        "--web",
        "--local",
        "--locked",
        "--from",
        "--from-file",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "--shell",
        "--for",
        "--keep",
        "--history",
        "--cacert",
        "--now",
        "--release",
        "--help",
        "--tok",
        "--kubeconfig",
        "--certificate-authority",
        "--embed-certs",
        "--minify",
        "--permanent",
        "--force-confold",
        "--reload",
        "--add-port",
        "--server",
        "--user",
    ];
    let of_users = pages()
        .into_iter()
        .filter(|page| !page.ends_with("CONTRIBUTING.md"));
    for file in of_users {
        let text = fs::read_to_string(&file).unwrap();
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let is_flag = word.len() > 4 && word.starts_with("--") && !word.ends_with('-');
            assert!(
                !is_flag || known.iter().any(|flag| flag == word) || others.contains(&word),
                "{} names {word}, which is no flag of either program",
                file.display()
            );
        }
    }
}

#[test]
fn no_page_is_half_merged() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let marks = ["<<<<<<<", ">>>>>>>"];
        let left = text
            .lines()
            .find(|line| marks.iter().any(|mark| line.starts_with(mark)));
        assert_eq!(left, None, "{}", page.display());
    }
}
