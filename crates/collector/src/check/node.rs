//! What else of this node matters to rounds: the log, the file for node_exporter, systemd's units, and the
//! script that this program replaces.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::report::{Row, Verdict, quoted};
use super::user::Me;
use crate::command::Command;
use crate::quote::Quoting;

const UNITS: [&str; 3] = [
    "afmetrics_collector.service",
    "afmetrics_collector.timer",
    "afmetrics_collector_round.service",
];
/// What systemctl prints for three units is short.
const LONGEST_ANSWER: usize = 4 << 10;
/// systemd answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the log of rounds can be written.
pub fn log(root: &Path, me: &Me, hide: bool) -> Row {
    const CHECK: &str = "log";
    let folder = root.join("var/log/afmetrics");
    let file = folder.join("afmetrics.log");
    let about = match fs::metadata(&folder) {
        Ok(about) if about.is_dir() => about,
        _ => {
            return Row::ok(
                CHECK,
                "standard error alone: there is no /var/log/afmetrics",
            );
        }
    };
    let shown = "/var/log/afmetrics/afmetrics.log";
    let user = quoted(&me.word(hide));
    match fs::metadata(&file) {
        Ok(_) => match access(&file, AccessFlags::W_OK) {
            Ok(()) => Row::ok(CHECK, format!("{shown}, and standard error")),
            Err(why) => Row::warn(
                CHECK,
                format!(
                    "standard error alone: {shown} cannot be written: {}",
                    why.desc()
                ),
            )
            .advise(format!(
                "For rounds of this user:\nsudo chown {user} {shown}"
            )),
        },
        Err(why) if why.kind() == ErrorKind::NotFound => {
            let may = access(&folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
            match may && me.is(about.uid()) {
                true => Row::ok(
                    CHECK,
                    format!("{shown}, which a round makes, and standard error"),
                ),
                false => Row::warn(
                    CHECK,
                    "standard error alone: /var/log/afmetrics belongs to another user",
                )
                .advise(format!(
                    "For rounds of this user:\nsudo install -d -m 755 -o {user} /var/log/afmetrics"
                )),
            }
        }
        Err(why) => Row::warn(CHECK, format!("standard error alone: {shown}: {why}")),
    }
}

/// Whether the file for node_exporter can be written: it is replaced as a whole, so its folder counts.
pub fn textfile(path: &Path, me: &Me, hide: bool) -> Row {
    const CHECK: &str = "textfile";
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Row::ok(CHECK, "its folder can be written"),
        Err(why) => Row::fail(CHECK, format!("its folder cannot be written: {}", why.desc()))
            .advise(format!(
                "Make it for the user of the rounds, where node_exporter looks (docs/metrics.md):\nsudo install -d -m 755 -o {} {}",
                quoted(&me.word(hide)),
                quoted(&folder.display().to_string())
            )),
    }
}

/// A script at the old place: cron lines that name it do not run this program.
pub fn old_script(root: &Path) -> Option<Row> {
    const PATH: &str = "/usr/local/bin/afmetrics_collector";
    let mut begin = [0; 2];
    let mut file = fs::File::open(root.join(PATH.trim_start_matches('/'))).ok()?;
    file.read_exact(&mut begin).ok()?;
    (&begin == b"#!").then(|| {
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/bin/afmetrics_collector"));
        Row::warn("old script", format!("{PATH} is a script and not this program"))
            .advise(format!("Lines that name it run the old one:\ngrep -rn {PATH} /etc/cron* /var/spool/cron"))
            .advise(format!(
                "To have them run this program (docs/replacing-the-old-script.md):\nmv {PATH} {PATH}.old && ln -s {} {PATH}",
                quoted(&own.display().to_string())
            ))
    })
}

/// What systemd says of our units; `None`: there is no systemd, or it cannot be asked.
pub async fn units(root: &Path) -> Option<Row> {
    if !root.join("run/systemd/system").is_dir() {
        return None;
    }
    let (active, enabled) = (
        systemctl("is-active").await?,
        systemctl("is-enabled").await?,
    );
    let told: Vec<String> = UNITS
        .iter()
        .zip(active.iter().zip(&enabled))
        .map(|(unit, (active, enabled))| match enabled.as_str() {
            "" | "not-found" => format!("{unit} is not installed"),
            "static" => format!("{unit} is {active}"),
            _ => format!("{unit} is {active}, {enabled}"),
        })
        .collect();
    let is = |unit: usize, state: &str| active[unit] == state;
    let row = Row::ok("systemd", told.join("; "));
    Some(if is(0, "active") && is(1, "active") {
        row.at_least_warn().advise(
            "Both the service and the timer do rounds; one is enough:\nsudo systemctl disable --now afmetrics_collector.timer",
        )
    } else if let Some(failed) = (0..UNITS.len()).find(|unit| is(*unit, "failed")) {
        row.at_least_warn().advise(format!(
            "Why it failed:\njournalctl -u {} -n 20",
            UNITS[failed]
        ))
    } else if !is(0, "active") && !is(1, "active") {
        Row::new(
            "systemd",
            Verdict::Skipped,
            format!("{}: it does no rounds", told.join("; ")),
        )
        .advise("For a round every five minutes, where no cron line does it:\nsudo systemctl enable --now afmetrics_collector.timer")
    } else {
        row
    })
}

/// What it says of each unit, in one word.
async fn systemctl(question: &'static str) -> Option<[String; 3]> {
    let quoting = Quoting::new(Vec::new(), true);
    let command = Command::new("systemctl", "systemctl", PATIENCE, &quoting)
        .args([question])
        .args(UNITS);
    // Its status is another one where a unit is not active: what it prints counts.
    let (output, _) = command.answer(LONGEST_ANSWER).await.ok()?;
    let output = String::from_utf8_lossy(&output);
    let mut lines = output.lines().map(|line| line.trim().to_owned());
    Some(std::array::from_fn(|_| lines.next().unwrap_or_default()))
}
