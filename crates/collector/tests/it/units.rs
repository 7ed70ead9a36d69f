//! How a site runs the collector: the units, the cron line and the files beside them in `dist/`, as systemd, cron's
//! format and logrotate understand them, and as the program does.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::needs;
use crate::support::program::{Run, World};

const BINARY: &str = env!("CARGO_BIN_EXE_afmetrics_collector");
/// Where a package puts it.
const INSTALLED: &str = "/usr/bin/afmetrics_collector";
const DAEMON: &str = "afmetrics_collector.service";
const ROUND: &str = "afmetrics_collector_round.service";
const TIMER: &str = "afmetrics_collector.timer";

fn dist(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../dist")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The lines that are neither empty nor a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The values of a directive, in all its lines.
fn values<'a>(unit: &'a str, directive: &str) -> Vec<&'a str> {
    lines(unit)
        .filter_map(|line| line.strip_prefix(directive)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
        .collect()
}

/// Runs a program of the machine.
#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn run(program: &str, words: &[&str]) -> Output {
    Command::new(needs::path_of(program).unwrap())
        .args(words)
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

/// The same; it must end well. What it said, on both streams.
#[track_caller]
fn runs_well(program: &str, words: &[&str]) -> String {
    let output = run(program, words);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    said.into_owned()
}

fn is_there(program: &str) -> bool {
    let is_there = needs::path_of(program).is_some();
    if !is_there {
        needs::left_out(&format!("it needs {program}, which is not there"));
    }
    is_there
}

/// A folder with these files, in which the program is the one that was built.
fn with_units(names: &[&str]) -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &&str| {
        let path = folder.path().join(name);
        fs::write(&path, dist(name).replace(INSTALLED, BINARY)).unwrap();
        path.display().to_string()
    };
    let paths = names.iter().map(write).collect();
    (folder, paths)
}

/// systemd understands every line of the units.
#[test]
fn systemd_finds_no_fault_in_the_units() {
    if !is_there("systemd-analyze") {
        return;
    }
    let (folder, paths) = with_units(&[DAEMON, ROUND, TIMER]);
    let mut words = vec!["verify", "--man=no", "--recursive-errors=no"];
    words.extend(paths.iter().map(String::as_str));
    let said = runs_well("systemd-analyze", &words);
    assert_eq!(said, "");
    // That it would say something.
    let wrong = folder.path().join(DAEMON);
    fs::write(
        &wrong,
        "[Service]\nExecStart=/bin/true\nProtectSistem=full\n",
    )
    .unwrap();
    let output = run("systemd-analyze", &["verify", "--man=no", &paths[0]]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ProtectSistem"), "{said}");
}

/// Both services are as closed as the header of one says.
#[test]
fn the_exposure_is_what_the_unit_says() {
    if !is_there("systemd-analyze") {
        return;
    }
    let unit = dist(DAEMON);
    let (_, said) = unit
        .split_once("Exposure by `systemd-analyze security`: ")
        .unwrap();
    let (said, _) = said.split_once(", OK").unwrap();
    for name in [DAEMON, ROUND] {
        let (_folder, paths) = with_units(&[name]);
        let table = runs_well(
            "systemd-analyze",
            &["security", "--offline=yes", "--no-pager", &paths[0]],
        );
        let (_, level) = table.split_once(&format!("level for {name}: ")).unwrap();
        assert!(
            level.starts_with(&format!("{said} OK")),
            "{said} is said, {level}"
        );
    }
}

/// What is said of one service holds for the other.
#[test]
fn both_services_may_do_the_same() {
    let block = |name: &str| {
        let unit = dist(name);
        let from = unit.find("# --- the same in").unwrap();
        let to = unit.find("# --- end of the same ---").unwrap();
        unit[from..to].to_owned()
    };
    assert_eq!(block(DAEMON), block(ROUND));
    assert!(block(DAEMON).contains("\nNoNewPrivileges=yes\n"));
}

/// Where HTCondor looks who asks, and what a round reads: a unit that hides it reports nothing, or nobody.
#[test]
fn the_units_hide_nothing_that_a_round_needs() {
    let unit = dist(DAEMON);
    let is = |directive: &str| values(&unit, directive).join(" ");
    assert_eq!(is("PrivateTmp"), "no");
    assert_eq!(is("ProtectSystem"), "full");
    for hides in [
        "PrivateNetwork",
        "PrivatePIDs",
        "PrivateUsers",
        "ProcSubset",
        "ProtectHome",
        "ProtectHostname",
        "DynamicUser",
        "InaccessiblePaths",
    ] {
        assert_eq!(is(hides), "", "{hides}");
    }
    // A list of what is allowed would allow nothing where systemd does not know its name.
    for name in [DAEMON, ROUND] {
        let unit = dist(name);
        let filters: Vec<_> = lines(&unit)
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .collect();
        assert!(filters.iter().all(|filter| filter.starts_with('~')));
        assert_eq!(filters.len(), 1);
    }
}

/// A round, with the programs of this machine, uses no system call and no kind of socket that the units refuse.
#[test]
fn a_round_does_nothing_that_the_units_refuse() {
    if !["systemd-analyze", "strace", "who", "last"]
        .map(is_there)
        .iter()
        .all(|is| *is)
    {
        return;
    }
    let unit = dist(DAEMON);
    let refused: BTreeSet<String> = values(&unit, "SystemCallFilter")
        .iter()
        .flat_map(|set| calls(set.trim_start_matches('~')))
        .collect();
    assert!(refused.contains("mount") && refused.contains("setuid"));
    let world = World::new();
    let trace = world.path("trace");
    let traced = traced(&trace, &["-s", "-S", "--host", "--heartbeat", "-vv"]);
    assert!(traced.status == 0 || traced.status == 1, "{traced:?}");
    let text = fs::read_to_string(&trace).unwrap();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        // `PID call(arguments`: other lines are of signals, ends, and calls that go on.
        let Some((call, arguments)) = line
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .split_once('(')
        else {
            continue;
        };
        seen.insert(call.to_owned());
        assert!(!refused.contains(call), "{line}");
        if call == "socket" {
            let (family, _) = arguments.split_once(',').unwrap();
            assert!(
                values(&unit, "RestrictAddressFamilies").contains(&family),
                "{line}"
            );
        }
    }
    for certain in ["execve", "statfs", "socket"] {
        assert!(seen.contains(certain), "{certain}: {seen:?}");
    }
}

/// A round below strace, which sends to a port where nobody listens.
#[expect(clippy::disallowed_methods, reason = "a test runs programs")]
fn traced(trace: &Path, flags: &[&str]) -> Run {
    let folder = trace.parent().unwrap();
    let mut command = Command::new(needs::path_of("strace").unwrap());
    command
        .args(["-f", "-qq", "-e", "signal=none", "-o"])
        .arg(trace)
        .arg(BINARY)
        .args(flags)
        .args(["-u", "http://127.0.0.1:9/", "--state-dir"])
        .arg(folder.join("state"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("AFMETRICS_TOKEN", "secret")
        .env("AFMETRICS_CONFIG", "/dev/null")
        .current_dir(folder);
    Run::of(command)
}

/// The system calls of one of systemd's sets, with the sets in it.
fn calls(set: &str) -> BTreeSet<String> {
    let listed = runs_well("systemd-analyze", &["syscall-filter", "--no-pager", set]);
    let mut all = BTreeSet::new();
    for word in listed.lines().filter_map(|line| line.strip_prefix("    ")) {
        match word.starts_with('@') {
            true => all.extend(calls(word)),
            false => {
                all.insert(word.to_owned());
            }
        }
    }
    all
}

/// What the units and cron start is a command line that the program takes.
#[test]
fn what_is_started_is_a_command_line_that_there_is() {
    let round = dist(ROUND);
    is_taken(values(&round, "ExecStart"));
    is_taken(
        cron_line()
            .1
            .split_whitespace()
            .take_while(|word| *word != "2>&1"),
    );
}

/// The daemon's, which is a command of its own.
#[test]
fn the_daemon_is_a_command_that_there_is() {
    let daemon = dist(DAEMON);
    is_taken(values(&daemon, "ExecStart"));
}

#[track_caller]
fn is_taken<'a>(words: impl IntoIterator<Item = &'a str>) {
    let mut words = words.into_iter();
    assert_eq!(words.next(), Some(INSTALLED));
    // After a flag or a command that there is not, there is no help.
    let words: Vec<&str> = words.chain(["--help"]).collect();
    let run = Run::of(World::new().bare_command(&words));
    assert_eq!(run.status, 0, "{words:?}: {}", run.stderr);
    assert!(run.stdout.contains("Usage:"), "{}", run.stdout);
}

/// Five fields, a user, and the command line.
fn cron_line() -> (Vec<String>, String) {
    let cron = dist("afmetrics_collector.cron");
    let line = lines(&cron)
        .find(|line| !line.split_whitespace().next().unwrap().contains('='))
        .unwrap();
    let fields: Vec<String> = line.split_whitespace().take(6).map(str::to_owned).collect();
    let (_, command) = line.split_once(&format!(" {} ", fields[5])).unwrap();
    (fields, command.to_owned())
}

#[test]
fn cron_understands_its_file() {
    let (fields, command) = cron_line();
    let field = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || "*/,-".contains(c))
    };
    assert!(fields[..5].iter().all(|text| field(text)), "{fields:?}");
    assert_eq!(fields[5], values(&dist(DAEMON), "User")[0]);
    // To cron a % is the end of the line.
    assert!(!command.contains('%'), "{command}");
    let cron = dist("afmetrics_collector.cron");
    assert!(
        cron.ends_with('\n'),
        "cron leaves out a last line without an end"
    );
    assert!(cron.contains("\nPATH="));
}

/// The log is emptied and goes on, also where a daemon keeps it open.
#[test]
fn logrotate_turns_the_log_under_a_writer() {
    if !is_there("logrotate") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let log = path("afmetrics.log");
    let own = dist("afmetrics_collector.logrotate");
    let user = format!("    su {0} {0}\n", values(&dist(DAEMON), "User")[0]);
    assert!(own.contains(&user));
    // There is no such user here.
    let here = own
        .replace("/var/log/afmetrics/afmetrics.log", &log)
        .replace(&user, "");
    fs::write(path("conf"), here).unwrap();
    let mut writer = fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap();
    writer.write_all(b"before\n").unwrap();
    let (state, conf) = (path("state"), path("conf"));
    let said = runs_well("logrotate", &["-d", "--state", &state, &conf]);
    assert!(!said.contains("error"), "{said}");
    assert!(said.contains("considering log"), "{said}");
    runs_well("logrotate", &["--force", "--state", &state, &conf]);
    writer.write_all(b"after\n").unwrap();
    assert_eq!(
        fs::read_to_string(path("afmetrics.log.1")).unwrap(),
        "before\n"
    );
    assert_eq!(fs::read_to_string(&log).unwrap(), "after\n");
}

/// A system of files in which users can be made: an `/etc` that has root only.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    for folder in ["etc", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d", "var/lib"] {
        fs::create_dir_all(tree.path().join(folder)).unwrap();
    }
    fs::write(
        tree.path().join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\n",
    )
    .unwrap();
    fs::write(tree.path().join("etc/group"), "root:x:0:\n").unwrap();
    tree
}

/// Puts a file of `dist/` where its header says.
fn install(tree: &TempDir, name: &str) -> PathBuf {
    let text = dist(name);
    let (folder, end) = match name.contains("sysusers") {
        true => ("sysusers.d", ".sysusers.conf"),
        false => ("tmpfiles.d", ".tmpfiles.conf"),
    };
    let there = format!("/usr/lib/{folder}/{}.conf", name.strip_suffix(end).unwrap());
    assert!(text.contains(&there), "{name} does not say {there}");
    let path = tree.path().join(there.trim_start_matches('/'));
    fs::write(&path, text).unwrap();
    path
}

/// The users of the units are made, with a home where the state is and no shell; the folder is theirs, and one that was
/// there before stays as it was.
#[test]
fn users_and_folder_are_made() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    if !needs::root_and(&["systemd-sysusers", "systemd-tmpfiles"]) {
        return;
    }
    for was_there in [false, true] {
        let tree = tree();
        let root = format!("--root={}", tree.path().display());
        install(&tree, "afmetrics_collector.sysusers.conf");
        install(&tree, "afmetrics_receiver.sysusers.conf");
        install(&tree, "afmetrics_collector.tmpfiles.conf");
        let state = tree.path().join("var/lib/afmetrics");
        if was_there {
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, fs::Permissions::from_mode(0o711)).unwrap();
        }
        runs_well("systemd-sysusers", &[&root]);
        runs_well("systemd-tmpfiles", &[&root, "--create"]);
        let passwd = fs::read_to_string(tree.path().join("etc/passwd")).unwrap();
        let user = |unit: &str, home: &str| {
            let name = values(&dist(unit), "User")[0].to_owned();
            assert_eq!(values(&dist(unit), "Group"), [name.as_str()]);
            let line = passwd
                .lines()
                .find(|line| line.starts_with(&format!("{name}:")));
            let fields: Vec<&str> = line.unwrap().split(':').collect();
            assert_eq!(fields[5], home);
            assert!(fields[6].ends_with("/nologin"), "{fields:?}");
            fields[2].parse::<u32>().unwrap()
        };
        user("afmetrics_receiver.service", "/var/lib/afmetrics_receiver");
        let uid = user(DAEMON, "/var/lib/afmetrics");
        let made = fs::metadata(&state).unwrap();
        let expected = if was_there { (0, 0o711) } else { (uid, 0o700) };
        assert_eq!((made.uid(), made.mode() & 0o7777), expected);
    }
}
