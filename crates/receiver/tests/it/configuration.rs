//! The configuration file: what it says, what wins over it, what is wrong with it, and how a running receiver
//! reads it again.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use afmetrics_receiver::cli::{Cli, Command, Serve};
use afmetrics_receiver::layers::{self, LAYOUT, PROGRAM};
use afmetrics_settings::Unusable;
use clap::CommandFactory as _;
use nix::sys::signal::Signal;

use crate::support::{FACILITY, Running, World, load, receiver, signal, text, wait_until};

/// A folder with a file in it.
struct Site {
    world: World,
    file: PathBuf,
}

impl Site {
    /// `STORE` in it is the world's store.
    fn new(toml: &str) -> Self {
        let world = World::new();
        let site = Self {
            file: world.path().join("receiver.toml"),
            world,
        };
        site.write(toml);
        site
    }

    fn write(&self, toml: &str) {
        let store = self.world.store();
        fs::write(&self.file, toml.replace("STORE", store.to_str().unwrap())).unwrap();
    }

    /// A command that has its file by `--config`.
    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = receiver(words);
        command.arg("--config").arg(&self.file);
        command.current_dir(self.world.path());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// A command that must do well; what it printed.
    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words:?}: {out}{err}");
        out
    }

    /// A command that must end with status 2 at this place in the file; what it says.
    #[track_caller]
    fn refused_at(&self, place: &str, words: &[&str]) -> String {
        let said = self.refused(words);
        let place = format!("{}, {place}", self.file.display());
        assert!(said.contains(&place), "{place}: {said}");
        said
    }

    /// A command that must end with status 2; what it says.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.starts_with("afmetrics_receiver: "), "{said}");
        said
    }
}

const LOOPBACK: &str = "[listen]\naddress = \"127.0.0.1:0\"\n[store]\nfolder = \"STORE\"\n";

#[test]
fn the_file_says_where_to_listen_and_where_the_store_is() {
    let site = Site::new(LOOPBACK);
    let token = site.done(&["token", "create", "--facility", FACILITY]);
    assert!(site.world.store().join("afmetrics.db").is_file());
    let running = Running::start(site.command(&["serve"]));
    let log = running.log();
    assert!(log.contains("configured by "), "{log}");
    let store = format!("store in {}", site.world.store().display());
    assert!(log.contains(&store), "{log}");
    let body = load(token.trim(), "login01.canary.example", 0.5).to_string();
    assert_eq!(running.post(body).0, 200);
    assert!(site.done(&["token", "list"]).contains(FACILITY));
    let export = site.done(&["export"]);
    assert!(export.contains("login01.canary.example"), "{export}");
    site.done(&["backup", "copy.db"]);
    assert!(site.world.path().join("copy.db").is_file());
    assert!(running.terminate().0.success());
    site.done(&["check"]);
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let site = Site::new(&format!("{LOOPBACK}[log]\nverbose = true\n"));
    let folder = |name: &str| site.world.path().join(name);
    let stored_in = |command: std::process::Command| {
        let running = Running::start(command);
        let log = running.log();
        drop(running);
        log.split_once(", store in ").unwrap().1.trim().to_owned()
    };
    let mut command = site.command(&["serve"]);
    command.env("AFMETRICS_RECEIVER_STORE", folder("variable"));
    assert_eq!(stored_in(command), folder("variable").to_str().unwrap());
    let mut command = site.command(&["serve"]);
    command.env("AFMETRICS_STORE", folder("old-variable"));
    assert_eq!(stored_in(command), folder("old-variable").to_str().unwrap());
    let mut command = site.command(&["serve", "--store", "flag"]);
    command.env("AFMETRICS_RECEIVER_STORE", folder("variable"));
    command.env("STATE_DIRECTORY", folder("unit"));
    assert_eq!(stored_in(command), "flag");
    // What systemd says is a default.
    let mut command = site.command(&["serve"]);
    command.env("STATE_DIRECTORY", folder("unit"));
    assert_eq!(stored_in(command), site.world.store().to_str().unwrap());
}

#[test]
fn the_file_is_named_by_a_variable_too() {
    let site = Site::new(LOOPBACK);
    let mut command = receiver(&["token", "create", "--viewer"]);
    command.env("AFMETRICS_RECEIVER_CONFIG", &site.file);
    assert!(command.output().unwrap().status.success());
    assert!(site.world.store().join("afmetrics.db").is_file());
}

#[test]
fn what_is_wrong_in_the_file_is_said_with_its_line() {
    let site = Site::new("[listen]\nadress = \"127.0.0.1:0\"\n");
    for words in [&["serve"][..], &["token", "list"], &["check"]] {
        let said = site.refused_at("line 2", words);
        assert!(said.contains("did you mean address?"), "{said}");
    }
    for (toml, place, says) in [
        ("[listem]\n", "line 1", "did you mean [listen]?"),
        (
            "\n[store]\nlisten = 1\n",
            "line 3",
            "[store] has no option listen",
        ),
        (
            "[limits]\naddress = \"\"\n",
            "line 2",
            "it belongs into [listen]",
        ),
        (
            "[listen]\naddress = \"af.canary.example:1\"\n",
            "line 2, [listen] address",
            "no host name",
        ),
        (
            "[store]\nkeep_documents_days = 31\n",
            "line 2, [store] keep_documents_days",
            "31",
        ),
        (
            "[store]\nkeep_documents_days = \"90\"\n",
            "line 2, [store] keep_documents_days",
            "a whole number",
        ),
        (
            "[listen]\ninsecure_http = 1\n",
            "line 2, [listen] insecure_http",
            "true or false",
        ),
        ("[listen]\naddress = \n", "line 2", ""),
    ] {
        site.write(toml);
        let said = site.refused_at(place, &["serve"]);
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_no_reason_to_go_on_without() {
    let site = Site::new("");
    fs::remove_file(&site.file).unwrap();
    for words in [
        &["serve"][..],
        &["serve", "--store", "x"],
        &["token", "list"],
    ] {
        assert!(site.refused(words).contains("cannot be read"));
    }
    fs::create_dir(&site.file).unwrap();
    assert!(site.refused(&["serve"]).contains("cannot be read"));
    fs::remove_dir(&site.file).unwrap();
    fs::write(&site.file, [0xff, 0xfe, b'\n']).unwrap();
    assert!(site.refused(&["serve"]).contains("cannot be read"));
}

#[test]
fn what_does_not_go_together_is_refused_wherever_it_is_said() {
    let site = Site::new("[access]\ntrust_loopback = true\n");
    let said = site.refused_at(
        "line 2, [access] trust_loopback",
        &["serve", "--insecure-http"],
    );
    assert!(
        said.contains("cannot be used with --insecure-http"),
        "{said}"
    );
    site.write("[tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n");
    let said = site.refused(&["serve", "--insecure-http"]);
    assert!(said.contains("line 2, [tls] cert_file"), "{said}");
    site.write("[listen]\naddress = \"0.0.0.0:0\"\n");
    let said = site.refused_at("line 2, [listen] address", &["serve"]);
    assert!(said.contains("in clear"), "{said}");
    site.write("[tls]\ncert_file = \"nowhere.pem\"\n");
    let said = site.refused_at("line 2, [tls] cert_file", &["serve"]);
    assert!(said.contains("needs --tls-key ([tls] key_file)"), "{said}");
    // One by the file and one by a flag are two.
    let output = site.run(&["serve", "--store", "store", "--tls-key", "nowhere.key"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot read the certificate nowhere.pem"),
        "{said}"
    );
}

#[test]
fn a_switch_of_the_file_is_switched_off_by_a_variable() {
    let site = Site::new(&format!("{LOOPBACK}[access]\ntrust_loopback = true\n"));
    let status = |command| Running::start(command).get("/api/v1/facilities", "").0;
    assert_eq!(status(site.command(&["serve"])), 200);
    let mut command = site.command(&["serve"]);
    command.env("AFMETRICS_RECEIVER_TRUST_LOOPBACK", "false");
    assert_eq!(status(command), 401);
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let site = Site::new(LOOPBACK);
    let with = |words: &[&str], name: &str, value: &str| {
        let mut command = site.command(words);
        command.env(name, value);
        command
    };
    let output = with(&["serve"], "AFMETRICS_RECEIVER_RATE_LIMIT", "many").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("AFMETRICS_RECEIVER_RATE_LIMIT: "));
    // It is none of a command's that has no such flag.
    let mut other = with(
        &["token", "create", "--viewer"],
        "AFMETRICS_RECEIVER_RATE_LIMIT",
        "many",
    );
    assert!(other.output().unwrap().status.success());
    let log = Running::start(with(&["serve"], "AFMETRICS_RECEIVER_LISTEM", "[::1]:0")).log();
    assert!(
        log.contains("AFMETRICS_RECEIVER_LISTEM in the environment stands for no flag"),
        "{log}"
    );
    assert!(
        log.contains("did you mean AFMETRICS_RECEIVER_LISTEN?"),
        "{log}"
    );
}

#[test]
fn sighup_takes_over_what_can_be_and_names_the_rest() {
    let site = Site::new(LOOPBACK);
    let running = Running::start(site.command(&["serve"]));
    let reload = |toml: &str, says: &str| {
        let before = running.log().len();
        site.write(toml);
        signal(running.pid(), Signal::SIGHUP);
        wait_until(says, || running.log()[before..].contains(says));
        running.log()[before..].to_owned()
    };
    let status = || running.get("/api/v1/facilities", "").0;
    assert_eq!(status(), 401);
    let trusting = format!("{LOOPBACK}keep_documents_days = 40\n[access]\ntrust_loopback = true\n");
    reload(&trusting, "the configuration was read again");
    assert_eq!(status(), 200);
    // A file that is wrong changes nothing.
    let said = reload(
        "[access]\ntrust_loopback = 0\n",
        "the configuration stays as it was",
    );
    assert!(said.contains("line 2, [access] trust_loopback"), "{said}");
    assert_eq!(status(), 200);
    let other = trusting.replace("127.0.0.1:0", "127.0.0.1:1")
        + "[limits]\nmax_connections = 5\nrate_limit = 1\n";
    let said = reload(&other, "restart needed for: ");
    assert!(
        said.contains("restart needed for: --listen ([listen] address), --max-connections ([limits] max_connections)\n"),
        "{said}"
    );
    let token = site.done(&["token", "create", "--facility", FACILITY]);
    let body = || {
        format!(
            "[{}]",
            vec![load(token.trim(), "a", 0.5).to_string(); 10].join(",")
        )
    };
    wait_until("the token is known", || running.post(body()).0 != 401);
    assert_eq!(running.post(body()).0, 429);
    fs::remove_file(&site.file).unwrap();
    signal(running.pid(), Signal::SIGHUP);
    wait_until("the file is missed", || {
        running.log().matches("stays as it was").count() == 2
    });
    assert_eq!(status(), 200);
    // How long to keep what was told to the store, too.
    assert!(running.terminate().0.success());
    site.write(LOOPBACK);
    site.done(&["prune", "--yes"]);
    let keep = rusqlite::Connection::open(site.world.store().join("afmetrics.db")).unwrap();
    let days: i64 = keep
        .query_row("SELECT documents FROM keep", [], |row| row.get(0))
        .unwrap();
    assert_eq!(days, 40);
}

/// Behind a proxy everybody comes from this machine: until it is restarted nobody is trusted for that.
#[test]
fn a_proxy_in_front_is_not_trusted_by_a_reload() {
    let site = Site::new(&LOOPBACK.replace("[store]", "insecure_http = true\n[store]"));
    let running = Running::start(site.command(&["serve"]));
    site.write(&format!("{LOOPBACK}[access]\ntrust_loopback = true\n"));
    signal(running.pid(), Signal::SIGHUP);
    wait_until("it is reloaded", || {
        running.log().contains("restart needed for: ")
    });
    let log = running.log();
    assert!(
        log.contains("--insecure-http ([listen] insecure_http), --trust-loopback"),
        "{log}"
    );
    assert_eq!(running.get("/api/v1/facilities", "").0, 401);
}

/// What `serve` does by this file alone.
fn serve(file: &Path) -> Serve {
    let words: Vec<OsString> = ["afmetrics_receiver", "serve", "--config"]
        .into_iter()
        .map(OsString::from)
        .chain([file.into()])
        .collect();
    match layers::read(&words, &[]) {
        Ok(asked) => match asked.cli.command {
            Command::Serve(mut serve) => {
                serve.place.config = None;
                serve
            }
            other => panic!("{other:?}"),
        },
        Err(Unusable::CommandLine(why)) => panic!("{why}"),
        Err(Unusable::Settings(why)) => panic!("{why}"),
    }
}

#[test]
fn the_sample_says_what_is_so_without_it() {
    let site = Site::new("");
    let default = serve(&site.file);
    site.write(&PROGRAM.sample());
    assert_eq!(serve(&site.file), default);
    // Every option, as it stands in the sample.
    let is_option = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line != "#";
    let all: String = PROGRAM
        .sample()
        .lines()
        .map(|line| match is_option(line) {
            true => format!("{}\n", &line[1..]),
            false => format!("{line}\n"),
        })
        .collect();
    site.write(&all);
    let mut said = serve(&site.file);
    assert_eq!(
        said.place.store.take().unwrap(),
        Path::new("/var/lib/afmetrics_receiver")
    );
    assert!(said.tls_cert.take().is_some() && said.tls_key.take().is_some());
    assert_eq!(said, default);
}

/// A flag that is not in the file has a reason.
#[test]
fn every_flag_of_serve_is_in_the_file() {
    // It names the file.
    const NOT: [&str; 1] = ["config"];
    let whole = Cli::command();
    let serve = whole.find_subcommand("serve").unwrap();
    let said: Vec<&str> = LAYOUT
        .tables
        .iter()
        .flat_map(|table| table.options.iter().map(|row| row.flag))
        .collect();
    for arg in serve.get_arguments() {
        let flag = arg.get_id().as_str();
        let times = said.iter().filter(|said| **said == flag).count();
        assert_eq!(times, usize::from(!NOT.contains(&flag)), "{flag}");
    }
    assert_eq!(said.len() + NOT.len(), serve.get_arguments().count());
}
