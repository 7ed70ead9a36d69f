//! `record` where the configuration file and the environment say what the round is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::recording::{files, record, replay};
use crate::support::program::{Run, World};

/// A node with this configuration file; in it `{world}` is the node's folder.
fn configured(file: &str) -> (World, PathBuf) {
    let mut world = World::new();
    world.healthy_host();
    world.program("who", "echo 'zz-bob pts/0        Nov 22 20:11'");
    let path = world.path("collector.toml");
    let folder = world.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    fs::write(&path, file.replace("{world}", folder)).unwrap();
    (world, path)
}

fn recorded(world: &World, path: &Path, args: &[&str]) -> Run {
    let config = ["--config", path.to_str().unwrap()];
    record(world, &world.path("recording"), &[&config, args].concat())
}

/// The flags of the recording.
fn flags(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("recording/args")).unwrap();
    text.lines().map(str::to_owned).collect()
}

const SITE: &str = "facility = \"ZZ-SITE\"\n\
                    [spool]\nmax_size_mib = 77\n\
                    [log]\nlevel = \"info\"\n\
                    [delivery]\nurl = \"https://zz-endpoint.invalid/\"\ntoken_file = \"{world}/zz-token\"\n\
                    [privacy]\nsalt_file = \"{world}/zz-salt\"\nobfuscate_users = true\nhash = \"hmac-sha256\"\n\
                    [host]\nenabled = true\nmounts = [\"/\", \"/usr\"]\ndeadline_secs = 77\n\
                    [ssh]\nenabled = true\ndeadline_secs = 66\n";

#[test]
fn what_file_and_variables_say_is_among_the_flags() {
    let (mut world, path) = configured(SITE);
    fs::write(world.path("zz-salt"), "zz-s4lt\n").unwrap();
    fs::create_dir_all(world.path("root/usr")).unwrap();
    world.env("AFMETRICS_SILENCE", "17");
    world.env("AFMETRICS_EXCLUDE_FINISHED_PODS", "yes");
    world.env("AFMETRICS_JOB_DETAILS", "no");
    recorded(&world, &path, &["--deadline=99", "--runtime", "live"]).exits(0);
    assert_eq!(
        flags(&world),
        [
            "--ssh",
            "--host",
            "--exclude-finished-pods",
            "--runtime=live",
            "--mount=/",
            "--mount=/usr",
            "--obfuscate-users",
            "--hash=hmac-sha256",
            "--silence=17",
            "--deadline=99",
        ],
        "--deadline goes before those of the tables"
    );
    for (path, bytes) in files(&world.path("recording")) {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for word in [
            "zz",
            "s4lt",
            "invalid",
            "token_file",
            "77",
            "collector.toml",
        ] {
            // The numbers of the host are no setting.
            let is_name = word != "77" || path.ends_with("args");
            assert!(!(is_name && text.contains(word)), "{word} in {text}");
        }
    }
    let documents = replay(&world.path("recording")).exits(0).documents();
    let user = documents[0]["users"][0].as_str().unwrap();
    assert_eq!((user.len(), documents.len()), (16, 6), "a hash, two disks");
}

#[test]
fn a_table_has_its_own_deadline() {
    let (world, path) = configured(SITE);
    fs::write(world.path("zz-salt"), "zz-s4lt\n").unwrap();
    fs::create_dir_all(world.path("root/usr")).unwrap();
    recorded(&world, &path, &[]).exits(0);
    let flags = flags(&world);
    for flag in ["--ssh-deadline=66", "--host-deadline=77"] {
        assert!(flags.iter().any(|it| it == flag), "{flag} in {flags:?}");
    }
    replay(&world.path("recording")).exits(0);
}

#[test]
fn a_switch_of_the_command_line_replaces_what_the_file_chooses() {
    let (world, path) = configured("[host]\nenabled = true\n[ssh]\nenabled = false\n");
    recorded(&world, &path, &["-s", "--removed-jobs"]).exits(0);
    assert_eq!(flags(&world), ["--ssh", "--removed-jobs"]);
    let (world, path) = configured("[host]\nenabled = true\n[ssh]\nenabled = false\n");
    recorded(&world, &path, &[]).exits(0);
    assert_eq!(flags(&world), ["--host"]);
}

/// As `--print` hides: as the strictest of the endpoints.
#[test]
fn names_are_hidden_as_the_strictest_endpoint_has_it() {
    let endpoints = "[ssh]\nenabled = true\n\
        [privacy]\nhost_prefix = \"shown\"\n\
        [[endpoints]]\nname = \"zz-own\"\nurl = \"https://zz-own.invalid/\"\ntoken_file = \"{world}/zz-token\"\n\
        [[endpoints]]\nname = \"zz-far\"\nurl = \"https://zz-far.invalid/\"\ntoken_file = \"{world}/zz-token\"\n\
        obfuscate_users = true\nhash = \"sha256\"\nobfuscate_hosts = \"host.example\"\n";
    let (world, path) = configured(endpoints);
    let config = ["--config", path.to_str().unwrap(), "--login-node", "node7"];
    let (root, state) = (world.path("root"), world.path("state"));
    let place = [
        "--root",
        root.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
        "--print",
    ];
    let printed = Run::of(world.bare_command(&[&config[..], &place].concat())).exits(0);
    recorded(&world, &path, &["--login-node", "node7"]).exits(0);
    let replayed = replay(&world.path("recording")).exits(0);
    let [printed, replayed] = [printed, replayed].map(|run| run.documents()[0].clone());
    assert_eq!(printed["login_node"], "shown7.host.example");
    assert_eq!(replayed["login_node"], "canary01.canary.example");
    let [printed, replayed] =
        [printed, replayed].map(|document| document["users"][0].as_str().unwrap().len());
    assert_eq!((printed, replayed), (8, 8), "hashes");
    let flags = flags(&world);
    for flag in ["--obfuscate-users", "--hash=sha256"] {
        assert!(flags.iter().any(|it| it == flag), "{flag} in {flags:?}");
    }
    assert!(
        flags.iter().any(|it| it.starts_with("--obfuscate-hosts=")),
        "{flags:?}"
    );
    for (path, bytes) in files(&world.path("recording")) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("zz"), "{}: {text}", path.display());
    }
}

#[test]
fn places_of_notebooks_are_refused_only_where_they_are_asked() {
    let file = "[[jupyter.sources]]\nnamespace = \"zz-notebooks\"\n";
    let (world, path) = configured(file);
    recorded(&world, &path, &["-s"]).exits(0);
    let (world, path) = configured(file);
    recorded(&world, &path, &["-j"])
        .exits(2)
        .says("name one of [[jupyter.sources]] with -n and -l");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_made() {
    let (world, path) = configured("[ssh]\nenable = true\n");
    recorded(&world, &path, &["-s"])
        .exits(2)
        .says("[ssh] has no option enable");
    let (world, path) = configured("");
    recorded(&world, &path, &["-s", "--nonsense"])
        .exits(2)
        .says("--nonsense");
    let dir = world.path("recording");
    Run::of(world.bare_command(&["record", dir.to_str().unwrap(), "spool", "list"]))
        .exits(2)
        .says("takes the flags of a round, and no command");
    assert!(!dir.exists());
}

/// What a daemon would say of them is said here, too.
#[test]
fn a_variable_that_stands_for_no_flag_is_named() {
    let (mut world, path) = configured("");
    world.env("AFMETRICS_SILENC", "17");
    recorded(&world, &path, &["-s"])
        .exits(0)
        .says("AFMETRICS_SILENC in the environment stands for no flag");
}
