//! The ways to install without a package, done as `docs/install.md` tells them: from a tar.gz with the program under
//! test in it, and with a folder in the place of `/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::pages;
use crate::support::program::{Run, TOKEN, World};

const BINARY: &str = env!("CARGO_BIN_EXE_afmetrics_collector");
/// As the packages name it, but for the version.
const ARCHIVE: &str = "afmetrics-0.0.0-x86_64-linux";
/// What the pages put there is put below the folder.
const PLACES: [&str; 4] = ["/usr/", "/etc/", "/etc", "/var/"];

/// A row of what is in the packages: the file of the tree, where a package puts it, and its folder in the tar.gz.
pub struct Row {
    pub from: String,
    pub to: String,
    pub archive: String,
}

/// The rows of `xtask/src/dist/contents.rs`.
pub fn rows() -> Vec<Row> {
    let text = fs::read_to_string(pages::root().join("xtask/src/dist/contents.rs")).unwrap();
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("entry("))
        .map(|line| {
            let words: Vec<&str> = line.split('"').collect();
            let name = words[1].rsplit('/').next().unwrap();
            Row {
                from: words[1].to_owned(),
                to: format!("/{}", words[3]),
                archive: format!("{}/{name}", words[5]),
            }
        })
        .collect();
    assert!(rows.len() > 20, "{}", rows.len());
    rows
}

/// The commands of a section of the page, in their order.
fn commands(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(pages::root().join("docs/install.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .flat_map(|block| block.split("\n```").next().unwrap().lines())
        .map(str::to_owned)
        .collect()
}

/// What somebody has before the first command: the tar.gz, its checksum, a token, and what they write in the file.
struct Site {
    world: World,
    endpoint: Endpoint,
    /// Stands for `/`.
    top: PathBuf,
}

impl Site {
    fn new() -> Self {
        let mut world = World::new();
        let endpoint = Endpoint::ok(Protocol::PlainHttp);
        let top = world.path("top");
        fs::create_dir_all(top.join("usr/bin")).unwrap();
        for folder in ["etc/cron.d", "etc/logrotate.d", "var/lib", "var/log"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        let tools = format!("{}:/usr/bin:/bin", world.path("bin").display());
        let root = world.path("root");
        world
            .healthy_host()
            .program("hostname", "echo login01.canary.example")
            .program("logger", "exec /usr/bin/cat >&2")
            .env("PATH", tools)
            .env("AFMETRICS_ROOT", root);
        let site = Self {
            world,
            endpoint,
            top,
        };
        site.pack();
        fs::write(site.world.path("pasted"), format!("{TOKEN}\n")).unwrap();
        site
    }

    fn pack(&self) {
        let folder = self.world.path("cwd").join(ARCHIVE);
        for row in rows().iter().filter(|row| !row.archive.starts_with("bin/")) {
            let to = folder.join(row.archive.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(pages::root().join(&row.from), to).unwrap();
        }
        let program = folder.join("bin/afmetrics_collector");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        // Not the file itself, which a build for tests makes very large.
        fs::write(&program, format!("#!/bin/sh\nexec {BINARY} \"$@\"\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        self.does(&format!(
            "tar czf {ARCHIVE}.tar.gz {ARCHIVE} && rm -r {ARCHIVE} && sha256sum {ARCHIVE}.tar.gz > SHA256SUMS"
        ));
    }

    fn does(&self, script: &str) -> Run {
        let script = format!("set -e\n{script}\n");
        Run::of(self.world.shell(&script, &self.world.path("cwd"))).exits(0)
    }

    /// What is written into the configuration file, with the token at this place.
    fn configures(&self, token: &Path) {
        let text = format!(
            "facility = \"MY-AF\"\n[host]\nenabled = true\n[delivery]\nurl = \"{}\"\ntoken_file = \"{}\"\n",
            self.endpoint.url,
            token.display()
        );
        fs::write(self.world.path("typed"), text).unwrap();
    }

    /// A command as it is done here: what a person does is done for them, other users do not exist.
    fn here(&self, command: &str) -> String {
        let file = |name: &str| self.world.path(name).display().to_string();
        if let Some(edited) = command.strip_prefix("vi ") {
            return self.here(&format!("cp {} {edited}", file("typed")));
        }
        let command = match command.contains(" /dev/stdin ") {
            true => format!("{command} < {}", file("pasted")),
            false => command.to_owned(),
        };
        let mut words = Vec::new();
        let mut all = command.split(' ').peekable();
        while let Some(word) = all.next() {
            match (word, all.peek()) {
                ("-o" | "-g", Some(&("root" | "afmetrics"))) => drop(all.next()),
                ("sudo", _) => drop((all.next(), all.next())),
                _ if PLACES.iter().any(|place| word.starts_with(place)) => {
                    words.push(format!("{}{word}", self.top.display()));
                }
                _ => words.push(word.to_owned()),
            }
        }
        words.join(" ")
    }

    fn script(&self, commands: &[String]) -> String {
        let here: Vec<String> = commands.iter().map(|line| self.here(line)).collect();
        here.join("\n")
    }
}

/// What cron runs of a line: behind the five times, and in `/etc/cron.d` behind the user.
fn run_by_cron(line: &str, user: Option<&str>) -> String {
    let command: Vec<&str> = line.splitn(6, ' ').collect();
    let command = command[5];
    match user {
        Some(user) => command.strip_prefix(user).unwrap().trim_start().to_owned(),
        None => command.to_owned(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn by_hand_as_root_with_cron() {
    let mut site = Site::new();
    let token = site.top.join("etc/afmetrics/token");
    site.configures(&token);
    let (configuration, state) = (
        site.top.join("etc/afmetrics/collector.toml"),
        site.top.join("var/lib/afmetrics"),
    );
    site.world
        .env("AFMETRICS_CONFIG", configuration.clone())
        .env("AFMETRICS_STATE_DIR", state.clone());
    let commands = commands("By hand, as root, with cron");
    let at = commands.iter().position(|line| line.starts_with("tail "));
    let (before, after) = commands.split_at(at.unwrap());
    // The user is the machine's, and below, so is the log.
    let done: Vec<String> = before
        .iter()
        .filter(|line| !line.starts_with("useradd "))
        .cloned()
        .collect();
    assert_eq!(done.len() + 1, before.len(), "{before:?}");
    let said = site.does(&site.script(&done));
    assert!(said.stdout.contains("0 failed"), "{}", said.stdout);
    assert!(site.endpoint.documents().is_empty());
    assert_eq!(mode(&token), 0o640);
    assert_eq!(mode(&configuration), 0o644);
    assert_eq!(mode(&state), 0o700);

    let cron = fs::read_to_string(site.top.join("etc/cron.d/afmetrics_collector")).unwrap();
    let line = cron.lines().find(|line| line.starts_with("*/5 ")).unwrap();
    let round = site.does(&site.here(&run_by_cron(line, Some("afmetrics"))));
    assert!(round.stderr.contains(" accepted"), "{}", round.stderr);
    assert!(!site.endpoint.documents().is_empty());
    let seen = site.does(&site.script(&after[1..]));
    let is_empty = seen.stderr.contains("nothing is in the spool");
    assert!(is_empty, "{}", seen.stderr);
}

#[test]
fn in_a_home_without_root() {
    let site = Site::new();
    site.configures(&site.world.path("home/.config/afmetrics/token"));
    let commands = commands("Without root, in a home");
    let at = commands.iter().position(|line| line.starts_with("*/5 "));
    let (before, after) = commands.split_at(at.unwrap());
    let said = site.does(&site.script(before));
    assert!(said.stdout.contains("0 failed"), "{}", said.stdout);
    assert!(site.endpoint.documents().is_empty());

    // What it left in the home is all that cron has.
    site.does(&run_by_cron(&after[0], None));
    assert!(!site.endpoint.documents().is_empty());
    let seen = site.does(&site.script(&after[1..]));
    assert!(seen.stdout.contains(" accepted"), "{}", seen.stdout);
    let state = site
        .world
        .path("home/.local/state/afmetrics-login01.canary.example");
    assert_eq!(mode(&state), 0o700);
    assert_eq!(
        mode(&site.world.path("home/.config/afmetrics/token")),
        0o600
    );
}
