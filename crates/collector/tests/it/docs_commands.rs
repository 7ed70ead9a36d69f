//! Every command on every page: those of this program are read as it reads them and, where a node of our
//! own will do, run; of each other one the table says why not.

use std::fs;
use std::path::Path;

use afmetrics_collector::cli;

use crate::docs_install;
use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::pages::{self, Line, Word};
use crate::support::program::{Run, TOKEN, World, jobs};

/// What is done with a command of this program, besides understanding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    /// It is run in a world of its own, against an endpoint on loopback, and has to end well.
    Run,
    /// It is only understood, for this reason.
    Understood(&'static str),
}

use Treatment::{Run as IsRun, Understood};

/// By how its arguments begin; the first that fits counts.
const TREATMENTS: &[(&str, Treatment)] = &[
    (
        "spool",
        Understood("spool_commands.rs runs them on a spool of theirs"),
    ),
    ("run", Understood("a daemon, which ends by a signal")),
    (
        "check",
        Understood("it tries what the machine has; it has tests of its own"),
    ),
    ("record", Understood("it has tests of its own")),
    (
        "replay",
        Understood("it needs the folder of a bug report; it has tests of its own"),
    ),
    ("reference", IsRun),
    ("--version", IsRun),
    ("-d", IsRun),
    ("-v --print", IsRun),
    ("--config", IsRun),
    ("-v -s --host", IsRun),
    ("-s --host", IsRun),
    ("-v -b", IsRun),
    ("-v -sbj", Understood("-j: kubernetes.rs has a cluster")),
    (
        "-vv --print -sbj",
        Understood("-j: kubernetes.rs has a cluster"),
    ),
    (
        "--print --host --root /host",
        Understood("in a container; manifests.rs looks at its files"),
    ),
    ("-v --slurm", Understood("slurm.rs has a Slurm")),
    // What the configuration file says.
    ("-vv --print", IsRun),
    ("-vv", IsRun),
    ("-v", IsRun),
    ("", IsRun),
];

/// What else is on the pages, and why it is not run here.
const OTHERS: &[(&str, &str)] = &[
    (
        "apt",
        "changes the machine; cargo xtask dist --test installs the packages",
    ),
    (
        "dnf",
        "changes the machine; cargo xtask dist --test installs the packages",
    ),
    (
        "yum",
        "changes the machine; cargo xtask dist --test installs the packages",
    ),
    (
        "cargo",
        "which commands cargo xtask has is looked up below; a build here would build what is being tested",
    ),
    ("cd", "goes with the line behind it"),
    ("chgrp", "changes the machine"),
    ("chmod", "changes the machine"),
    ("chown", "changes the machine"),
    ("cp", "changes the machine"),
    ("crontab", "changes the machine"),
    ("curl", "needs the daemon that it asks; metrics.rs asks one"),
    ("export", "goes with the line behind it"),
    ("firewall-cmd", "changes the machine"),
    ("grep", "needs the files of a release"),
    ("id", "asks for a user of the site"),
    (
        "install",
        "changes the machine; which file of dist/ it names is looked up below",
    ),
    ("journalctl", "needs systemd"),
    ("kill", "needs a daemon"),
    (
        "kubectl",
        "needs a cluster; manifests.rs checks what is applied",
    ),
    ("ln", "changes the machine"),
    ("logger", "writes in the machine's log"),
    ("mkdir", "changes the machine"),
    ("mv", "changes the machine"),
    ("openssl", "run where it makes a salt, below"),
    ("pip3", "changes the machine"),
    ("podman", "needs an image"),
    ("rm", "changes the machine"),
    (
        "rpm",
        "changes the machine; cargo xtask dist --test installs the packages",
    ),
    ("secret", "a function of that block"),
    ("sudo", "needs the package"),
    (
        "systemctl",
        "needs systemd; the unit's name is looked up below",
    ),
    (
        "systemd-sysusers",
        "changes the machine; units.rs tries the file",
    ),
    ("test", "looks whether there is a salt, which is made below"),
    ("tail", "reads a log of the machine's"),
    (
        "tar",
        "needs the files of a release; docs_install.rs has some",
    ),
    ("umask", "goes with the line behind it"),
    (
        "useradd",
        "changes the machine; cargo xtask dist --test makes the user",
    ),
    ("vi", "is for a person"),
];

const PROGRAM: &str = "afmetrics_collector";

fn lines() -> Vec<Line> {
    let lines = pages::lines();
    assert!(lines.len() > 60, "{}", lines.len());
    lines
}

fn treatment(arguments: &[String]) -> Treatment {
    let text = arguments.join(" ");
    let found = TREATMENTS.iter().find(|(begin, _)| {
        let rest = text.strip_prefix(begin);
        rest.is_some_and(|rest| rest.is_empty() || (!begin.is_empty() && rest.starts_with(' ')))
    });
    let (_, treatment) = found.unwrap_or_else(|| panic!("in no row of TREATMENTS: {text}"));
    *treatment
}

#[test]
fn this_program_understands_every_command_on_the_pages() {
    let mut count = 0;
    for line in lines() {
        for arguments in pages::arguments(&line.text, PROGRAM) {
            let words = std::iter::once(PROGRAM.to_owned()).chain(arguments.clone());
            match cli::parse(words.map(Into::into)) {
                Err(why) if why.exit_code() != 0 => panic!("{}: {why}", line.place),
                _ => count += 1,
            }
            if let Understood(why) = treatment(&arguments) {
                assert!(!why.is_empty(), "{arguments:?}");
            }
        }
    }
    assert!(count > 20, "{count}");
}

/// A node with a user, a job and the files that the pages name; and where it sends to.
fn world() -> (World, Endpoint) {
    let mut world = World::new();
    world
        .healthy_host()
        .batch_node(&jobs(1, "canary-1"))
        .program(
            "who",
            "echo 'canary-1 pts/0        Nov 22 20:11 (192.0.2.1)'",
        );
    for token in ["token", "token.own"] {
        fs::write(world.path(token), TOKEN).unwrap();
    }
    fs::write(world.path("salt"), "salt-of-the-tests").unwrap();
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    (world, endpoint)
}

/// The arguments, with the paths and the endpoint of this world.
fn here(arguments: &[String], world: &World, endpoint: &Endpoint) -> Vec<String> {
    let path = |name: &str| world.path(name).display().to_string();
    let mut here: Vec<String> = Vec::new();
    for argument in arguments {
        here.push(match argument.as_str() {
            url if url.starts_with("https://") => endpoint.url.clone(),
            file if file.starts_with(['/', '$', '~']) => {
                path(Path::new(file).file_name().unwrap().to_str().unwrap())
            }
            other => other.to_owned(),
        });
    }
    let has = |flag: &str| here.iter().any(|word| word == flag);
    let collects = ["-s", "-b", "--host", "-d"].iter().any(|flag| has(flag));
    let is_sent = !(has("--print") || has("-d"));
    if collects && is_sent && !has("-u") {
        here.extend(["-u".to_owned(), endpoint.url.clone()]);
    }
    here
}

/// The file that an administrator would have by then.
fn configured(world: &World, endpoint: &Endpoint) -> String {
    let file = world.path("collector.toml");
    let text = format!(
        "facility = \"MY-AF\"\n[host]\nenabled = true\n[delivery]\nurl = \"{}\"\ntoken_file = \"{}\"\n",
        endpoint.url,
        world.path("token").display()
    );
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn commands_that_a_node_of_our_own_can_run_end_well() {
    let mut count = 0;
    for line in lines() {
        for arguments in pages::arguments(&line.text, PROGRAM) {
            if treatment(&arguments) != IsRun {
                continue;
            }
            let (mut world, endpoint) = world();
            let file = configured(&world, &endpoint);
            let mut words = here(&arguments, &world, &endpoint);
            let names_a_source = words.iter().any(|word| {
                ["-s", "-b", "--host", "reference", "--version"].contains(&word.as_str())
            });
            if !names_a_source {
                world.env("AFMETRICS_CONFIG", &file);
            }
            if !words
                .iter()
                .any(|word| ["reference", "--version"].contains(&word.as_str()))
            {
                let place = ["root", "state"].map(|name| world.path(name).display().to_string());
                words.extend(["--root".into(), place[0].clone()]);
                words.extend(["--state-dir".into(), place[1].clone()]);
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let run = Run::of(world.bare_command(&words));
            assert_eq!(run.status, 0, "{}: {words:?}\n{}", line.place, run.stderr);
            count += 1;
        }
    }
    assert!(count > 6, "{count}");
}

/// The first word of each command of a line, behind `sudo -u USER` and variables.
fn programs(line: &str) -> Vec<String> {
    let words = pages::words(line);
    words
        .split(|word| *word == Word::Operator)
        .filter_map(|command| {
            let mut texts = command.iter().filter_map(|word| match word {
                Word::Text(text) => Some(text.as_str()),
                Word::Operator => None,
            });
            let mut first = texts.next()?;
            while first.contains('=') {
                first = texts.next()?;
            }
            if first == "sudo" {
                let rest: Vec<&str> = texts.collect();
                first = match rest.as_slice() {
                    ["-u", _, program, ..] | [program, ..] => program,
                    [] => return None,
                };
            }
            Some(first.to_owned())
        })
        .collect()
}

#[test]
fn every_other_command_is_known_and_has_its_reason() {
    for line in lines().iter().filter(|line| line.is_fenced) {
        // Only what begins a command: the rest of a pipe reads what that prints.
        let program = programs(&line.text).into_iter().next().unwrap();
        let name = program.rsplit('/').next().unwrap();
        let is_ours = ["afmetrics_collector", "afmetrics_receiver"].contains(&name);
        let is_known = OTHERS
            .iter()
            .any(|(known, why)| *known == name && !why.is_empty());
        assert!(
            is_ours || is_known || is_of_cron(&line.text) || is_variable(&line.text),
            "{}: {name:?} is in no row of OTHERS: {}",
            line.place,
            line.text
        );
    }
}

fn is_of_cron(line: &str) -> bool {
    line.starts_with("*/") || line.starts_with(|c: char| c.is_ascii_digit())
}

fn is_variable(line: &str) -> bool {
    let name = line.split('=').next().unwrap_or_default();
    line.contains('=') && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// It is named as it stands in the tar.gz, or where a package puts its examples.
fn is_of_a_release(file: &str) -> bool {
    let places = ["bin/", "etc/", "man/", "systemd/", "/usr/share/doc/"];
    places.iter().any(|place| file.starts_with(place))
}

/// Commands of `cargo xtask`, units and files that are named have to be there.
#[test]
fn what_commands_name_is_there() {
    let read = |path: &str| fs::read_to_string(pages::root().join(path)).unwrap();
    let xtask = read("xtask/src/main.rs");
    let rows = docs_install::rows();
    let mut count = 0;
    for Line { place, text, .. } in lines() {
        for arguments in pages::arguments(&text, "cargo") {
            if let [xtask_word, command, ..] = arguments.as_slice()
                && xtask_word == "xtask"
            {
                assert!(
                    xtask.contains(&format!("\"{command}\"")),
                    "{place}: {command}"
                );
                count += 1;
            }
        }
        for arguments in pages::arguments(&text, "install") {
            for file in arguments.iter().filter(|file| file.starts_with("dist/")) {
                assert!(pages::root().join(file).exists(), "{place}: {file}");
                count += 1;
            }
            for file in arguments.iter().filter(|file| is_of_a_release(file)) {
                let is_there = rows
                    .iter()
                    .any(|row| row.archive == *file || row.to == *file);
                assert!(
                    is_there,
                    "{place}: neither a package nor the tar.gz has {file}"
                );
                count += 1;
            }
        }
        for arguments in pages::arguments(&text, "systemctl") {
            for unit in arguments
                .iter()
                .filter(|word| word.starts_with("afmetrics"))
            {
                let file = match unit.contains('.') {
                    true => format!("dist/{unit}"),
                    false => format!("dist/{unit}.service"),
                };
                assert!(pages::root().join(&file).exists(), "{place}: {unit}");
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

/// What makes a salt makes one that the program takes.
#[test]
fn the_command_for_a_salt_makes_one() {
    let salts = lines()
        .into_iter()
        .filter(|line| line.text.contains("openssl rand"));
    let mut count = 0;
    for line in salts {
        let Some(openssl) = crate::support::needs::path_of("openssl") else {
            crate::support::needs::left_out("it needs openssl, which is not there");
            return;
        };
        let command = &line.text[line.text.find("openssl").unwrap()..];
        let (command, _) = command.split_once('>').unwrap();
        let (world, _) = world();
        let run = Run::of(world.shell(&command.replace("openssl", &openssl), &world.path("cwd")))
            .exits(0);
        assert_eq!(run.stdout.trim().len(), 64, "{}", line.place);
        count += 1;
    }
    assert!(count > 0);
}
