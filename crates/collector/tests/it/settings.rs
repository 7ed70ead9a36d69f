//! Flags over environment over configuration file over defaults, as the real binary has it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::program::{Run, TOKEN, World};

/// A healthy node with this configuration file; in it `{world}` is the node's folder.
fn configured(file: &str) -> (World, PathBuf) {
    let mut world = World::new();
    world.healthy_host();
    world.program(
        "who",
        "echo 'canary-1 pts/0        Nov 22 20:11 (127.0.0.1)'",
    );
    let path = world.path("collector.toml");
    let folder = world.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    fs::write(&path, file.replace("{world}", folder)).unwrap();
    (world, path)
}

fn run(world: &World, path: &std::path::Path, args: &[&str]) -> Run {
    let config = ["--config", path.to_str().unwrap()];
    Run::of(world.bare_command(&[&config, args].concat()))
}

fn printed(file: &str, args: &[&str]) -> Run {
    let (world, path) = configured(file);
    run(&world, &path, &[&["--print"], args].concat())
}

fn facility(run: &Run) -> Value {
    run.documents()[0]["cluster"].clone()
}

/// What every file here begins with.
const HERE: &str = "[spool]\nstate_dir = \"{world}/state\"\n[host]\nroot = \"{world}/root\"\n";

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let nothing = format!("{HERE}[ssh]\nenabled = true\n");
    assert_eq!(facility(&printed(&nothing, &[]).exits(0)), "UC-AF");
    let named = format!("facility = \"OF-THE-FILE\"\n{nothing}");
    let (mut world, path) = configured(&named);
    let print = ["--print"];
    assert_eq!(
        facility(&run(&world, &path, &print).exits(0)),
        "OF-THE-FILE"
    );
    world.env("AFMETRICS_CLUSTER", "OF-THE-ENVIRONMENT");
    assert_eq!(
        facility(&run(&world, &path, &print).exits(0)),
        "OF-THE-ENVIRONMENT"
    );
    let run = run(&world, &path, &["--print", "-c", "OF-THE-FLAG"]).exits(0);
    assert_eq!(facility(&run), "OF-THE-FLAG");
}

#[test]
fn the_environment_can_name_the_file_and_choose_collectors() {
    let (mut world, path) = configured(&format!("facility = \"CANARY-AF\"\n{HERE}"));
    world.env("AFMETRICS_CONFIG", &path);
    world.env("AFMETRICS_SSH", "yes");
    let run = Run::of(world.bare_command(&["--print"])).exits(0);
    assert_eq!(facility(&run), "CANARY-AF");
    world.env("AFMETRICS_SSH", "perhaps");
    Run::of(world.bare_command(&["--print"]))
        .exits(2)
        .says("AFMETRICS_SSH: is neither true nor false");
    world.env("AFMETRICS_SSH", "true");
    world.env("AFMETRICS_SILENC", "3");
    Run::of(world.bare_command(&["--print"])).exits(0).says(
        "AFMETRICS_SILENC in the environment stands for no flag: did you mean AFMETRICS_SILENCE?",
    );
    world.env("AFMETRICS_SILENCE", "0");
    Run::of(world.bare_command(&["--print"]))
        .exits(2)
        .says("AFMETRICS_SILENCE: 0 is not in 1..=3600");
}

#[test]
fn a_collector_that_is_named_replaces_the_files_choice() {
    let both = format!("{HERE}enabled = true\n[ssh]\nenabled = true\n");
    let kinds = |run: &Run| -> Vec<Value> {
        let documents = run.documents().into_iter();
        documents.map(|document| document["kind"].clone()).collect()
    };
    assert!(kinds(&printed(&both, &[]).exits(0)).len() > 3);
    assert_eq!(kinds(&printed(&both, &["-s"]).exits(0)), ["ssh"]);
    assert!(
        kinds(&printed(&both, &["--host"]).exits(0))
            .iter()
            .all(|kind| kind != "ssh")
    );
}

#[test]
fn a_list_of_a_flag_replaces_that_of_the_file() {
    let listed = format!("{HERE}enabled = true\nmounts = [\"/\", \"/usr\"]\n");
    let mounts = |run: &Run| -> Vec<Value> {
        let documents = run.documents().into_iter();
        let disks = documents.filter(|document| document["kind"] == "DISK");
        disks.map(|document| document["mount"].clone()).collect()
    };
    let (world, path) = configured(&listed);
    fs::create_dir_all(world.path("root/usr")).unwrap();
    assert_eq!(
        mounts(&run(&world, &path, &["--print"]).exits(0)),
        ["/", "/usr"]
    );
    let args = ["--print", "--mount", "/usr"];
    assert_eq!(mounts(&run(&world, &path, &args).exits(0)), ["/usr"]);
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (text, what) in [
        (
            "[ssh]\nhistry = true\n",
            "line 2: [ssh] has no option histry: did you mean history?",
        ),
        (
            "[sssh]\n",
            "line 1: there is no table [sssh]: did you mean [ssh]?",
        ),
        (
            "facilty = \"x\"\n",
            "line 1: there is no option facilty: did you mean facility?",
        ),
        (
            "[ssh]\nurl = \"x\"\n",
            "line 2: [ssh] has no option url: it belongs into [delivery]",
        ),
        (
            "[ssh]\nhistory = 3\n",
            "line 2, [ssh] history: takes true or false, and this is a whole number",
        ),
        (
            "silence_secs = 0\n",
            "line 1, silence_secs: 0 is not in 1..=3600",
        ),
        (
            "[privacy]\nhash = \"md6\"\n",
            "line 2, [privacy] hash: \"md6\" is none of md5, sha256, hmac-sha256",
        ),
        ("facility = \n", "line 1: "),
        ("a = 1\na = 2\n", "line 2: duplicate key"),
        (
            "[endpoints]\n",
            "line 1: there can be several: write [[endpoints]]",
        ),
        (
            "[host]\nmounts = []\n",
            "line 2, [host] mounts: may not be empty",
        ),
        (
            "[[endpoints]]\nurl = \"https://127.0.0.1/\"\nkinds = []\n",
            "line 3, [[endpoints]] kinds: may not be empty",
        ),
        ("[[ssh]]\n", "line 1: ssh is a table: write [ssh]"),
        (
            "[[endpoints]]\ngzip = true\n",
            "line 1, [[endpoints]]: has no url",
        ),
        (
            "[[jupyter.sources]]\nlabel = \"owner\"\n",
            "line 1, [[jupyter.sources]]: has no namespace",
        ),
        (
            "[delivery]\ntoken = \"s3cret\"\n",
            "line 2: [delivery] has no option token: did you mean token_file?",
        ),
    ] {
        printed(text, &["-s"])
            .exits(2)
            .says("collector.toml")
            .says(what)
            .lacks("s3cret")
            .lacks("panicked");
    }
}

#[test]
fn a_file_that_is_named_has_to_be_there_and_one_that_cannot_be_read_stops_all() {
    let (world, path) = configured("");
    run(&world, &world.path("nowhere.toml"), &["-s", "--print"])
        .exits(2)
        .says("nowhere.toml: cannot be read");
    if nix::unistd::geteuid().is_root() {
        // Root reads everything.
        return;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    run(&world, &path, &["-s", "--print"])
        .exits(2)
        .says("without it names could leave that must not");
}

#[test]
fn the_sample_is_what_is_so_without_it() {
    let sample = Run::of(World::new().bare_command(&["reference", "config"])).exits(0);
    let without = printed("", &["-s", "-v"]).exits(0);
    let with = printed(&sample.stdout, &["-s", "-v"]).exits(0);
    assert_eq!(
        without.documents()[0]["users"],
        with.documents()[0]["users"]
    );
    // Every option, without its #.
    let all: String = sample
        .stdout
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // It is understood as a whole; that there is no such token is found later.
    printed(&all, &["-s"]).lacks("has no option").lacks("takes");
}

#[test]
fn a_token_file_and_an_endpoint_can_be_the_files() {
    let endpoint = Endpoint::ok(Protocol::Http2);
    let (world, path) = configured(&format!(
        "{HERE}[ssh]\nenabled = true\n[delivery]\nurl = \"{}\"\ntoken_file = \"{{world}}/token\"\nca_file = \"{}\"\n",
        endpoint.url,
        endpoint.ca.path().display()
    ));
    run(&world, &path, &[])
        .exits(2)
        .says("cannot read the token from");
    fs::write(world.path("token"), format!("{TOKEN}\n")).unwrap();
    run(&world, &path, &[]).exits(0);
    assert_eq!(endpoint.documents()[0]["token"], TOKEN);
    // A flag goes first, though it is another one.
    run(&world, &path, &["-t", "an0ther"]).exits(0);
    assert_eq!(endpoint.documents()[1]["token"], "an0ther");
    Run::of(world.bare_command(&["spool", "--config", path.to_str().unwrap()]))
        .exits(0)
        .lacks("an0ther");
}

#[test]
fn a_collector_has_its_own_deadline() {
    let (mut world, path) = configured(&format!(
        "{HERE}enabled = true\n[ssh]\nenabled = true\ndeadline_secs = 1\n"
    ));
    world.program("who", "exec /usr/bin/sleep 60");
    run(&world, &path, &["--print"])
        .exits(1)
        .says("ssh: not done within 1 s; given up");
}
