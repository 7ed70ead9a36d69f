//! What is printed from the command line is what the command line says: the manual's tables and the man page.
//! `cargo xtask bless` (AFMETRICS_BLESS=1) rewrites it. And the systemd unit.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use afmetrics_receiver::cli::Cli;
use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;

use crate::support::{FACILITY, World, load, receiver, text};

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
        "{file} is not what the command line says: run `cargo xtask bless` and look at the difference"
    );
}

/// The text with everything between `<!-- NAME: ... -->` and `<!-- /NAME -->` replaced.
fn with_block(text: &str, name: &str, block: &str) -> String {
    let opening = text.find(&format!("<!-- {name}:")).unwrap();
    let begin = opening + text[opening..].find("-->").unwrap() + "-->".len();
    let end = text.find(&format!("<!-- /{name} -->")).unwrap();
    format!("{}\n{block}{}", &text[..begin], &text[end..])
}

/// How it is written, what it means, its default.
fn cells(arg: &Arg) -> [String; 3] {
    let mut flag = String::new();
    if let Some(short) = arg.get_short() {
        let _ = write!(flag, "-{short} ");
    }
    if let Some(long) = arg.get_long() {
        let _ = write!(flag, "--{long} ");
    }
    if arg.get_action().takes_values() || arg.is_positional() {
        let named = arg.get_value_names().map(|names| names[0].to_string());
        flag.push_str(&named.unwrap_or_else(|| arg.get_id().as_str().to_uppercase()));
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (mut meaning, default) = match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(']').to_owned()),
        None => {
            let values = arg.get_default_values().iter();
            let default: Vec<_> = values
                .filter(|_| arg.get_action().takes_values())
                .map(|value| value.to_string_lossy())
                .collect();
            (help, default.join(" "))
        }
    };
    if let Some(variable) = arg.get_env() {
        let _ = write!(meaning, " (or `{}`)", variable.to_string_lossy());
    }
    [
        flag.trim_end().to_owned(),
        meaning.replace('|', "\\|"),
        default,
    ]
}

/// All commands that do something, each with its name as it is typed behind the program's.
fn commands(command: &Command, above: &str) -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for command in command.get_subcommands() {
        let name = format!("{above} {}", command.get_name());
        let name = name.trim_start().to_owned();
        match command.has_subcommands() {
            true => all.extend(commands(command, &name)),
            false => all.push((name, command.clone())),
        }
    }
    all
}

fn table_of_serve() -> String {
    let mut table = String::from("| flag | meaning | default |\n| --- | --- | --- |\n");
    let whole = Cli::command();
    for [flag, meaning, default] in whole
        .find_subcommand("serve")
        .unwrap()
        .get_arguments()
        .map(cells)
    {
        let _ = writeln!(table, "| `{flag}` | {meaning} | {default} |");
    }
    table
}

fn table_of_commands() -> String {
    let mut table = String::from("| command | does |\n| --- | --- |\n");
    for (name, command) in commands(&Cli::command(), "") {
        if name == "serve" {
            continue;
        }
        let _ = writeln!(table, "| `{name}` | {} |", command.get_about().unwrap());
        for [flag, meaning, default] in command.get_arguments().map(cells) {
            // They are the same everywhere.
            if flag.starts_with("--store ") || flag.starts_with("--config ") {
                continue;
            }
            let default = match default.as_str() {
                "" => default,
                default => format!(" (default: {default})"),
            };
            let _ = writeln!(table, "| `{name} {flag}` | {meaning}{default} |");
        }
    }
    table
}

#[test]
fn the_manual_has_every_flag_and_every_command() {
    let text = fs::read_to_string(root().join("docs/receiver.md")).unwrap();
    let text = with_block(&text, "serve", &table_of_serve());
    let text = with_block(&text, "commands", &table_of_commands());
    assert_is("docs/receiver.md", &text);
}

#[test]
fn the_sample_configuration_is_that_of_the_program() {
    assert_is(
        "docs/receiver.toml",
        &afmetrics_receiver::layers::PROGRAM.sample(),
    );
    let printed = receiver(&["reference", "config"]).output().unwrap();
    assert_eq!(
        text(&printed.stdout),
        afmetrics_receiver::layers::PROGRAM.sample()
    );
}

#[test]
fn the_dashboards_manual_has_every_panel() {
    let text = fs::read_to_string(root().join("docs/dashboard.md")).unwrap();
    let text = with_block(&text, "panels", &afmetrics_receiver::panels::markdown());
    assert_is("docs/dashboard.md", &text);
}

#[test]
fn the_man_page_is_that_of_the_command_line() {
    let whole = Cli::command();
    let man = Man::new(whole.clone());
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    let mut page = String::from_utf8(page).unwrap();
    for (name, command) in commands(&whole, "") {
        let name = format!("afmetrics_receiver {name}");
        let _ = writeln!(page, ".SH \"{}\"", name.to_uppercase());
        let section = section(command.clone().bin_name(name));
        for arg in command.get_arguments() {
            if let Some(long) = arg.get_long() {
                let flag = format!("\\-\\-{}", long.replace('-', "\\-"));
                assert!(section.contains(&flag), "{flag}");
            }
        }
        page.push_str(&section);
    }
    page.push_str(MORE);
    let mut rest = Vec::new();
    man.render_version_section(&mut rest).unwrap();
    page.push_str(&String::from_utf8(rest).unwrap());
    assert_is("docs/afmetrics_receiver.1", &page);
}

/// What the command line does not say of itself.
const MORE: &str = r#".SH "EXIT STATUS"
.TP
0
Done; \fBserve\fR ended in order.
.TP
1
It failed, and standard error says why; \fBcheck\fR has found something.
.TP
2
The command line, a variable or the configuration file is wrong.
.SH ENVIRONMENT
.TP
AFMETRICS_RECEIVER_LISTEN, ...
A flag of \fBserve\fR that is not on the command line: AFMETRICS_RECEIVER_ and its name in capitals, with _ for \-; \fBtrue\fR or \fBfalse\fR where it takes no value.
.TP
AFMETRICS_RECEIVER_CONFIG, AFMETRICS_RECEIVER_STORE
The same, of all commands.
.TP
AFMETRICS_STORE
The store's folder, where \fB\-\-store\fR does not say it.
.TP
STATE_DIRECTORY
The same, set by systemd, where nothing else says it.
.SH FILES
.TP
/etc/afmetrics/receiver.toml
What no flag and no variable says, if the file is there; \fBafmetrics_receiver reference config\fR prints a sample with every option. SIGHUP makes a running receiver read it again.
.TP
/var/lib/afmetrics_receiver
The store's folder, where nothing says another: \fIafmetrics.db\fR, its log \fIafmetrics.db\-wal\fR, and \fIreceiver.lock\fR.
.TP
/etc/afmetrics/tls.pem, /etc/afmetrics/tls.key
The certificate with its chain, and its key, of the systemd unit.
.SH EXAMPLES
A token for the nodes of a facility, one for reading, and the receiver:
.PP
.nf
afmetrics_receiver token create \-\-facility MY\-AF
afmetrics_receiver token create \-\-viewer
afmetrics_receiver serve \-\-listen [::]:8443 \-\-tls\-cert chain.pem \-\-tls\-key key.pem
.fi
.PP
A copy of the store while it runs, and of one facility's documents as lines of JSON:
.PP
.nf
afmetrics_receiver backup /var/backups/afmetrics/today.db
afmetrics_receiver export \-\-facility MY\-AF \-o documents.ndjson
.fi
"#;

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

/// A command in a document that the program does not have is a wrong document, and one that the manual
/// does not have is a command that nobody finds.
#[test]
fn documents_name_only_commands_that_exist() {
    let whole = Cli::command();
    let known: BTreeSet<&str> = whole.get_subcommands().map(Command::get_name).collect();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut files: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.push(root().join("README.md"));
    files.push(root().join("ARCHITECTURE.md"));
    files.push(root().join("dist/afmetrics_receiver.service"));
    let mut named = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (at, words) in text.match_indices("afmetrics_receiver ") {
            // In prose the program's name stands before any word; as a command, in code.
            let line = text[..at].rsplit('\n').next().unwrap_or_default();
            // A user or a group of that name.
            if ["-u ", "-g ", "-o ", "* "]
                .iter()
                .any(|of| line.ends_with(of))
            {
                continue;
            }
            let is_code = line.starts_with("    ") || line.matches('`').count() % 2 == 1;
            let rest = &text[at + words.len()..];
            let word = rest.split(|c: char| !c.is_ascii_lowercase()).next();
            let word = word.unwrap_or_default();
            if is_code && !word.is_empty() && line.trim_start() != "INFO" {
                assert!(known.contains(word), "{} names {word}", file.display());
                named.insert(word.to_owned());
            }
        }
    }
    assert!(
        named.contains("serve") && named.contains("token"),
        "{named:?}"
    );
}

/// systemd understands every line of the unit, and it is as closed as it says.
#[test]
fn systemd_understands_the_unit() {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        eprintln!("left out: there is no systemd-analyze here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("afmetrics_receiver.service");
    let own = fs::read_to_string(root().join("dist/afmetrics_receiver.service")).unwrap();
    let installed = "/usr/bin/afmetrics_receiver";
    assert!(own.contains(installed));
    fs::write(&unit, own.replace(installed, "/bin/true")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test runs programs")]
    let analyze = |words: &[&str]| {
        let done = std::process::Command::new(analyze)
            .args(words)
            .arg(&unit)
            .output()
            .unwrap();
        let said = text(&done.stdout) + &text(&done.stderr);
        (done.status.success(), said)
    };
    let (is_good, said) = analyze(&["verify", "--man=no"]);
    assert!(
        is_good && !said.contains("afmetrics_receiver.service"),
        "{said}"
    );
    let (_, said) = analyze(&["security", "--offline=true"]);
    let (_, level) = said.split_once("afmetrics_receiver.service: ").unwrap();
    let level = level.split(' ').next().unwrap();
    let written = format!("Exposure by `systemd-analyze security`: {level}, OK");
    assert!(own.contains(&written), "{said}");
}

/// An alert on a number that there is not never comes.
#[test]
fn alerts_are_on_numbers_that_there_are() {
    let alerts = fs::read_to_string(root().join("dist/alerts.yml")).unwrap();
    let world = World::new();
    let viewer = world.viewer();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    assert_eq!(
        running.post(load(&token, "login01", 0.5).to_string()).0,
        200
    );
    let (_, shown) = running.get("/metrics", &viewer);
    let mut n = 0;
    for (at, _) in alerts.match_indices("afmetrics_receiver_") {
        let end = |c: char| !c.is_ascii_lowercase() && c != '_';
        let name = alerts[at..].split(end).next().unwrap();
        let is_there =
            |line: &str| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']);
        assert!(shown.lines().any(is_there), "{name}: {shown}");
        n += 1;
    }
    assert!(n >= 4);
}

/// The flags in the unit are flags of `serve`.
#[test]
fn the_unit_starts_the_program_with_flags_that_it_has() {
    use clap::Parser as _;
    let unit = fs::read_to_string(root().join("dist/afmetrics_receiver.service")).unwrap();
    let lines = unit.lines();
    let starts: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("ExecStart="))
        .collect();
    assert_eq!(starts.len(), 1);
    Cli::try_parse_from(starts[0].split(' ')).unwrap();
}
