//! The command line, the secrets, and what is said about both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use afmetrics_collector::cli::{self, Round};
use afmetrics_collector::config::Config;
use afmetrics_collector::environment::Environment;
use afmetrics_collector::layers::Lists;
use afmetrics_collector::secret::Secret;

use crate::support::authority::Authority;
use crate::support::endpoint::{Endpoint, Protocol, Reply};
use crate::support::program::{Run, TOKEN, World, jobs};
use crate::support::proxy::Proxy;

/// The flags as they are understood; `None`: refused.
fn understood(args: &str) -> Option<Round> {
    let args = args.split(' ').filter(|arg| !arg.is_empty());
    cli::parse(
        ["afmetrics_collector"]
            .into_iter()
            .chain(args)
            .map(Into::into),
    )
    .ok()
    .map(|cli| cli.round)
}

#[track_caller]
fn parsed(args: &str) -> Round {
    understood(args).unwrap_or_else(|| panic!("refused: {args}"))
}

/// A node where `who` knows two users, and writes down that it was run.
fn login_node() -> World {
    let mut world = World::new();
    let called = world.path("called");
    let script = format!(
        "/usr/bin/env >> {0}; echo \"$0 $@\" >> {0}\n\
         echo 'canary-1 pts/0        Nov 22 20:11 (127.0.0.1)'\n\
         echo 'canary-2 pts/1        Nov 22 20:12 (127.0.0.1)'",
        called.display()
    );
    world.program("who", &script).file("/run/utmp", "");
    world
}

/// Delivers what `-s` and `-v` bring, with the token as `args` have it.
fn send(world: &World, endpoint: &Endpoint, args: &[&str]) -> Run {
    world.run(&[&["-s", "-v", "-u", &endpoint.url], args].concat())
}

#[test]
fn short_flags_can_be_bundled_and_values_glued() {
    for bundle in ["-sjb", "-sbj", "-bjs", "-s -j -b", "--batch -s --jup"] {
        let cli = parsed(bundle);
        assert!(cli.ssh && cli.jupyter && cli.batch && !cli.host, "{bundle}");
    }
    for args in [
        "-dst T0ken",
        "-dstT0ken",
        "-ds -tT0ken",
        "-sd -t=T0ken",
        "-ds --token T0ken",
        "--token=T0ken -sd",
        "--tok T0ken -d -s",
        "--t=T0ken -d -s",
    ] {
        let cli = parsed(args);
        assert!(cli.debug && cli.ssh, "{args}");
        assert_eq!(
            cli.delivery.token.as_ref().map(Secret::expose),
            Some("T0ken"),
            "{args}"
        );
    }
    assert_eq!(
        parsed("--token=a=b")
            .delivery
            .token
            .as_ref()
            .map(Secret::expose),
        Some("a=b")
    );
    assert_eq!(
        parsed("-ta=b").delivery.token.as_ref().map(Secret::expose),
        Some("a=b")
    );
}

#[test]
fn long_flags_can_be_cut_as_far_as_they_could_before() {
    assert!(parsed("--very").place.very_verbose);
    assert_eq!(
        parsed("--sal pepper")
            .privacy
            .salt
            .as_ref()
            .map(Secret::expose),
        Some("pepper")
    );
    assert_eq!(
        parsed("--sa=pepper")
            .privacy
            .salt
            .as_ref()
            .map(Secret::expose),
        Some("pepper")
    );
    assert!(parsed("--obfuscate-u").privacy.obfuscate_users);
    assert_eq!(
        parsed("--obfuscate-h example.org")
            .privacy
            .obfuscate_hosts
            .as_deref(),
        Some("example.org")
    );
    assert!(parsed("--ho").host, "--host-prefix was not there");
    assert!(parsed("--de").debug, "--deadline was not there");
    assert!(parsed("--ssh").ssh);
    assert!(parsed("--ssh-h").ssh_history);
    assert_eq!(
        parsed("--n notebooks").namespace.as_deref(),
        Some("notebooks")
    );
    assert_eq!(parsed("--la user").label, "user");
    assert_eq!(
        parsed("--u https://example.org/").delivery.url.expose(),
        "https://example.org/"
    );
    assert_eq!(parsed("--c CANARY").delivery.cluster, "CANARY");
    assert_eq!(
        parsed("--gro physics").privacy.group.as_deref(),
        Some("physics")
    );
    assert_eq!(parsed("--q all: --q idle:x").queue, ["all:", "idle:x"]);
    // Ours, too.
    assert_eq!(parsed("--tok x").delivery.token_file, None);
    assert!(parsed("--token-f /x").delivery.token_file.is_some());
    assert_eq!(parsed("--max-c 3").delivery.max_connections, 3);
    for ambiguous in ["--ss", "--s", "--obfuscate", "--ver", "--h", "--max"] {
        let args = [ambiguous, "x"].join(" ");
        assert!(understood(ambiguous).is_none(), "{ambiguous}");
        assert!(understood(&args).is_none(), "{args}");
    }
}

#[test]
fn the_last_value_wins_and_order_is_irrelevant() {
    let cli = parsed("-c A -t one --cluster=B -s -ttwo --cluster C --token three");
    assert_eq!(cli.delivery.cluster, "C");
    assert_eq!(
        cli.delivery.token.as_ref().map(Secret::expose),
        Some("three")
    );
    assert!(parsed("-s -s --ssh").ssh);
    let cli = parsed("-u https://example.org/ -v -O example.org -s");
    assert!(cli.ssh && cli.place.verbose == 1);
}

#[test]
fn a_value_that_begins_with_a_dash_is_glued() {
    assert_eq!(
        parsed("-t-x").delivery.token.as_ref().map(Secret::expose),
        Some("-x")
    );
    assert_eq!(
        parsed("--token=-x")
            .delivery
            .token
            .as_ref()
            .map(Secret::expose),
        Some("-x")
    );
    assert_eq!(
        parsed("--tok=--x")
            .delivery
            .token
            .as_ref()
            .map(Secret::expose),
        Some("--x")
    );
    assert!(understood("-t -s").is_none());
    assert!(understood("--token --ssh").is_none());
}

#[test]
fn verbosity() {
    for (args, verbose) in [
        ("-s", 0),
        ("-sv", 1),
        ("-svv", 2),
        ("-vvv", 3),
        ("-v -s -v", 2),
        ("--verb", 1),
    ] {
        assert_eq!(parsed(args).place.verbose, verbose, "{args}");
    }
    let world = login_node();
    for (flag, info, debug) in [("-s", 0, 0), ("-sv", 1, 0), ("-svv", 1, 1), ("-svvv", 1, 1)] {
        let run = world.print(&[flag]).exits(0);
        assert_eq!(
            run.lines_with(" INFO collected 1 document from"),
            info,
            "{flag}"
        );
        assert_eq!(
            run.stderr.matches("DEBUG ssh: 1 document\n").count(),
            debug,
            "{flag}"
        );
    }
    assert_eq!(world.print(&["-s", "--very"]).lines_with("DEBUG ssh"), 1);
}

#[test]
fn help_and_version_exit_0() {
    let world = World::new();
    for args in [["-h"], ["--help"], ["--he"], ["--version"], ["--vers"]] {
        let run = world.run(&args).exits(0);
        assert!(
            run.stdout.contains("afmetrics_collector"),
            "{args:?}: {}",
            run.stdout
        );
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn a_wrong_command_line_is_exit_2_and_says_why() {
    let mut world = login_node();
    world
        .file("/empty", "")
        .file("/latin1", [b't', 0xe9, b'\n']);
    let path = |name: &str| world.path("root").join(name).to_str().unwrap().to_owned();
    let (empty, latin1, missing) = (path("empty"), path("latin1"), path("missing"));
    let [debug, bundled] = ["--debug", "-d"].map(|switch| format!("{switch}={TOKEN}"));
    for (args, said) in [
        (vec!["-t", TOKEN], "nothing to collect"),
        (vec!["--print"], "nothing to collect"),
        (vec!["--print", "--ss"], "--ss"),
        (vec!["--print", "-s", "--no-such-flag"], "--no-such-flag"),
        (vec!["--print", "-sx"], "-x"),
        (
            vec!["-s", "-t", "t0ken-with", TOKEN],
            "an argument belongs to no flag",
        ),
        (
            vec!["-s", "--token-file", &missing, TOKEN],
            "an argument belongs to no flag",
        ),
        (vec!["-s", &debug], "--debug takes no value"),
        (vec!["-s", &bundled], "error: "),
        (
            vec!["--print", "-b", "-q", "all"],
            "-q \"all\" has no colon",
        ),
        (
            vec!["--print", "-b", "-q", ":x"],
            "has no name before the colon",
        ),
        (vec!["--print", "-s", "-O", ""], "-O needs a domain"),
        (vec!["--print", "-j", "-l", "=x"], "-l \"=x\""),
        (vec!["--print", "-s", "--hash", "sha1"], "sha1"),
        (
            vec!["--print", "-so", "--hash", "hmac-sha256"],
            "needs a salt",
        ),
        (
            vec!["--print", "-so", "--hash", "hmac-sha256", "-z", ""],
            "needs a salt",
        ),
        (
            vec!["--print", "-s", "-g", "no-such-group-canary"],
            "no group \"no-such-group-canary\"",
        ),
        (vec!["--print", "-sd"], "--print"),
        (vec!["-s"], "no token"),
        (vec!["-s", "-t", ""], "no token"),
        (vec!["-s", "--token-file", &missing], &missing),
        (vec!["-s", "--token-file", &empty], "is empty"),
        (vec!["-s", "--token-file", &latin1], "UTF-8"),
        (
            vec!["-s", "--token-file", "/"],
            "cannot read the token from /",
        ),
        (
            vec!["-s", "-t", TOKEN, "--token-file", &empty],
            "--token-file",
        ),
        (vec!["-so", "--print", "--salt-file", &missing], &missing),
        (vec!["-s", "-t", TOKEN, "-u", "example.org"], "is no URL"),
        (
            vec!["-s", "-t", TOKEN, "-u", "example.org:8443"],
            "is no URL",
        ),
        (
            vec!["-s", "-t", TOKEN, "-u", "ftp://example.org/"],
            "is no URL",
        ),
        (vec!["-s", "-t", TOKEN, "-u", ""], "is no URL"),
        (
            vec!["-s", "-t", TOKEN, "-u", "https://c:pa55@exa mple.org/"],
            "is no URL",
        ),
        (vec!["-s", "--print", "--batch-size", "0"], "--batch-size"),
        (
            vec!["-s", "--print", "--max-connections", "0"],
            "--max-connections",
        ),
        (vec!["-s", "--print", "--silence", "-1"], "-1"),
    ] {
        let run = world
            .run(&args)
            .exits(2)
            .says(said)
            .lacks(TOKEN)
            .lacks("pa55");
        let errors = run
            .stderr
            .lines()
            .filter(|line| line.contains("ERROR") || line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{args:?}: {}", run.stderr);
    }
    assert!(!world.path("called").exists(), "something was collected");
}

#[test]
fn a_colon_belongs_to_the_constraint() {
    let mut world = World::new();
    let asked = world.path("asked");
    let script = format!(
        "echo \"$@\" >> {}\ncase \"$*\" in *-totals*) echo '[{{\"Idle\":1,\"Running\":2,\"Held\":3}}]';; esac",
        asked.display()
    );
    world
        .program("condor_q", &script)
        .program("condor_history", "echo [; echo ]");
    let constraint = "Owner == \"a:b\" ? true : false";
    let run = world
        .print(&["-b", "-q", &format!("own:{constraint}"), "-q", "all:"])
        .exits(0);
    let queues: Vec<_> = run.documents().iter().map(|d| d["queue"].clone()).collect();
    assert_eq!(queues, ["own", "all"]);
    let asked = fs::read_to_string(asked).unwrap();
    assert!(
        asked.contains(&format!("-constraint {constraint}\n")),
        "{asked}"
    );
}

#[test]
fn the_token_comes_by_flag_file_or_environment() {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let mut world = login_node();
    world.file("/token", "t0ken-of-the-file\r\n");
    let file = world.path("root/token");
    let file = file.to_str().unwrap();
    let token = || endpoint.documents().last().unwrap()["token"].clone();
    send(&world, &endpoint, &["--token-file", file])
        .exits(0)
        .lacks("command line");
    assert_eq!(token(), "t0ken-of-the-file");
    world.env("AFMETRICS_TOKEN", "t0ken-of-the-environment");
    send(&world, &endpoint, &[]).exits(0).lacks("command line");
    assert_eq!(token(), "t0ken-of-the-environment");
    send(&world, &endpoint, &["--token-file", file]).exits(0);
    assert_eq!(token(), "t0ken-of-the-file");
    let run = send(&world, &endpoint, &["-t", "t0ken-of-the-flag"]).exits(0);
    assert_eq!(token(), "t0ken-of-the-flag");
    assert_eq!(
        run.lines_with("INFO the token stands on the command line"),
        1
    );
    send(&world, &endpoint, &["--token=-with=signs -and blanks "]).exits(0);
    assert_eq!(token(), "-with=signs -and blanks ");
}

#[test]
fn neither_debug_nor_print_needs_or_reads_a_token() {
    let world = login_node();
    world.run(&["-s", "-d"]).exits(0);
    world.run(&["-s", "--print"]).exits(0);
    world
        .run(&["-s", "--print", "--token-file", "/missing"])
        .exits(0);
}

#[test]
fn neither_children_nor_the_log_learn_a_secret() {
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, request| {
        Reply::Status(500, String::from_utf8(request.body.clone()).unwrap())
    });
    let mut world = login_node();
    let called = world.path("called");
    let refuse = format!(
        "/usr/bin/env >> {0}; echo \"$0 $@\" >> {0}; echo \"failed\" >&2; exit 1",
        called.display()
    );
    world
        .program("last", &refuse)
        .program("condor_q", &refuse)
        .program("condor_history", &refuse);
    let by_flag = [
        "-svvSb",
        "-t",
        "t0ken-s3cret",
        "-o",
        "-z",
        "s4lt-s3cret",
        "-q",
        "all:",
    ];
    let url = ["-u", &endpoint.url];
    let runs = [world.run(&[&by_flag[..], &url].concat()), {
        world
            .env("AFMETRICS_TOKEN", "t0ken-s3cret")
            .env("AFMETRICS_SALT", "s4lt-s3cret");
        world.run(&[&["-svvo"][..], &url].concat())
    }];
    for run in runs {
        run.exits(1).lacks("s3cret");
    }
    let seen = fs::read_to_string(called).unwrap();
    assert!(
        seen.contains("condor_q") && seen.contains("LC_ALL=C"),
        "{seen}"
    );
    assert!(
        !seen.contains("s3cret") && !seen.contains("AFMETRICS"),
        "{seen}"
    );
}

#[test]
fn what_the_flags_hold_is_not_shown_for_debugging() {
    let cli = parsed("-s -t t0ken-s3cret -o -z s4lt-s3cret -u https://c:pa55-s3cret@example.org/");
    let shown = format!("{cli:?}");
    let config = Config::new(cli, Lists::default(), Environment::default()).unwrap();
    let shown = format!("{shown}{config:?}");
    assert!(shown.contains("https://example.org/"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn an_endpoint_that_throws_the_urls_password_back_does_not_get_it_into_the_log() {
    let endpoint = Endpoint::start(Protocol::PlainHttp, |_, request| {
        let basic = request.header("authorization").unwrap();
        Reply::Status(
            401,
            format!("not for \"s3c/ret\" alias s3c%2Fret ({basic})"),
        )
    });
    let address = endpoint.address();
    let url = format!("http://canary-1:s3c%2Fret@{address}/");
    let run = login_node().run(&["-svv", "-t", TOKEN, "-u", &url]);
    run.exits(1)
        .says("not for \"[secret]\" alias [secret] (Basic [secret])")
        .lacks("s3c");
}

/// It is the only secret that a child has.
#[test]
fn a_tool_that_throws_slurms_token_back_does_not_get_it_into_the_log() {
    let mut world = World::new();
    let refuse = "echo \"bad credential $SLURM_JWT\" >&2; exit 1";
    for tool in ["scontrol", "squeue", "sacct", "sacctmgr", "sshare"] {
        world.program(tool, refuse);
    }
    world.env("SLURM_JWT", "jwt-s3cret");
    let run = world.run(&["-vv", "--slurm", "--print"]);
    run.exits(1).says("bad credential [secret]").lacks("s3cret");
}

#[test]
fn each_secret_on_the_command_line_is_one_line_at_info() {
    let endpoint = Endpoint::ok(Protocol::PlainHttp);
    let world = login_node();
    let run = send(&world, &endpoint, &["-o", "-t", TOKEN, "-z", "pepper"]).exits(0);
    assert_eq!(
        run.lines_with("INFO the token stands on the command line"),
        1
    );
    assert_eq!(
        run.lines_with("INFO the salt stands on the command line"),
        1
    );
    assert_eq!(run.lines_with("stands on the command line"), 2);
}

#[test]
fn the_schemes_of_hash() {
    // Made with md5sum, sha256sum and openssl.
    for (args, hashes) in [
        (&[][..], ["6495518e", "28db8282"]),
        (&["-z", "pepper"], ["d0a52e8d", "6f071d7c"]),
        (&["--hash", "md5", "-z", "pepper"], ["d0a52e8d", "6f071d7c"]),
        (&["--hash", "sha256"], ["8cdb95b8", "827d4a55"]),
        (
            &["--hash", "sha256", "-z", "pepper"],
            ["af7af1f4", "0e5b51f3"],
        ),
        (
            &["--hash", "hmac-sha256", "-z", "pepper"],
            ["52aa64ac3cf6708c", "9fa0827c8c564be3"],
        ),
    ] {
        let endpoint = Endpoint::ok(Protocol::PlainHttp);
        let run = send(
            &login_node(),
            &endpoint,
            &[&["-o", "-t", TOKEN], args].concat(),
        );
        let run = run.exits(0).lacks("canary");
        let mut hashes = hashes;
        hashes.sort_unstable();
        assert_eq!(
            endpoint.documents()[0]["users"],
            serde_json::json!(hashes),
            "{args:?}"
        );
        let is_stated = args.contains(&"--hash");
        assert_eq!(
            run.lines_with("as no --hash was given"),
            usize::from(!is_stated)
        );
    }
}

#[test]
fn a_salt_or_hash_without_o_is_warned_of() {
    let world = login_node();
    for args in [
        ["--print", "-s", "-zpepper"],
        ["--print", "-s", "--hash=md5"],
    ] {
        let run = world
            .run(&args)
            .exits(0)
            .says("WARN a salt or --hash has no effect without -o");
        assert!(run.stdout.contains("canary-1"));
    }
}

#[test]
fn hosts_without_digits_are_warned_of_once() {
    let mut world = login_node();
    world.healthy_host();
    let run = world
        .print(&[
            "-s",
            "--host",
            "--mount",
            "/",
            "-O",
            "example.org",
            "--login-node",
            "login.canary.example",
        ])
        .exits(0);
    assert_eq!(run.lines_with("WARN"), 1, "{}", run.stderr);
    assert!(
        run.documents()
            .iter()
            .all(|d| d.get("login_node").is_none_or(|n| n == "atlas.example.org"))
    );
    let run = world
        .print(&[
            "-s",
            "-O",
            "example.org",
            "--login-node",
            "login01.canary22.example",
            "--host-prefix",
            "slac",
        ])
        .exits(0);
    assert_eq!(run.stderr, "");
    assert_eq!(run.documents()[0]["login_node"], "slac0122.example.org");
}

/// Runs a line of a crontab in a world, with the paths in it moved there.
fn cron(line: &str, world: &mut World, proxy: &Proxy, ca: &str) -> i32 {
    let bin = world.path("bin/afmetrics_collector");
    let (root, state) = (world.path("root"), world.path("state"));
    fs::create_dir_all(root.join("var/log/afmetrics")).unwrap();
    fs::write(
        &bin,
        format!(
            "#!/bin/sh\nexec {} --root {} --state-dir {} --mount / \"$@\"\n",
            env!("CARGO_BIN_EXE_afmetrics_collector"),
            root.display(),
            state.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
    let root = root.to_str().unwrap();
    let line = line
        .replace("/usr/local/bin/afmetrics_collector", bin.to_str().unwrap())
        .replace("/etc/kubernetes", &format!("{root}/etc/kubernetes"))
        .replace("/var/log", &format!("{root}/var/log"));
    #[expect(clippy::disallowed_methods, reason = "cron starts a shell")]
    let mut shell = std::process::Command::new("/bin/sh");
    let status = shell
        .args(["-c", &line])
        .env_clear()
        .env("PATH", world.path("bin"))
        .env("HOME", world.path("home"))
        .env("HTTPS_PROXY", format!("http://{}", proxy.address))
        .env("SSL_CERT_FILE", ca)
        .env("AFMETRICS_CONFIG", "/dev/null")
        .current_dir(world.path("cwd"))
        .status()
        .unwrap();
    status.code().unwrap()
}

#[test]
fn the_cron_lines_in_the_field_keep_working() {
    let authority = Authority::new();
    let identity = authority.sign(&["af.atlas-ml.org"]);
    let endpoint = Endpoint::of(&authority, identity, Protocol::Http1, None, |_, _| {
        Reply::ok()
    });
    let proxy = Proxy::to(endpoint.address());
    let ca = endpoint.ca.path().to_str().unwrap().to_owned();
    let mut world = login_node();
    world.healthy_host().batch_node(&jobs(3, "canary-1"));

    let line = r#"(KUBECONFIG=/etc/kubernetes/admin.conf /usr/local/bin/afmetrics_collector -v -sjb --host -t "t0ken-1" -c "CANARY-AF") >> /var/log/afmetrics/afmetrics.log 2>&1"#;
    // There is no Kubernetes here: one line in the log, and the others' documents are sent.
    assert_eq!(cron(line, &mut world, &proxy, &ca), 1);
    let log_path = world.path("root/var/log/afmetrics/afmetrics.log");
    let log = fs::read_to_string(&log_path).unwrap();
    assert!(
        log.contains("collected 8 documents from 7 of 8 collectors"),
        "{log}"
    );
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert!(log.contains("ERROR jupyter: "), "{log}");
    assert_eq!(log.matches("; 8 accepted").count(), 1, "not twice: {log}");
    assert!(!log.contains("t0ken"), "{log}");
    let documents = endpoint.documents();
    let mut kinds: Vec<_> = documents
        .iter()
        .map(|d| d["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "CPU",
            "DISK",
            "MEM",
            "NETWORK",
            "condorjob",
            "condorjob",
            "condorjob",
            "ssh"
        ]
    );
    assert!(
        documents
            .iter()
            .all(|d| d["token"] == "t0ken-1" && d["cluster"] == "CANARY-AF")
    );

    fs::remove_file(&log_path).unwrap();
    let line = r#"(/usr/local/bin/afmetrics_collector -vv -sbj --host  -t "t0ken-2" -o -O "canary.example" -c "CANARY-2" -z "s4lt-2" -g "root") >> /var/log/afmetrics/afmetrics.log 2>&1"#;
    world.batch_node(&jobs(3, "root"));
    assert_eq!(cron(line, &mut world, &proxy, &ca), 1);
    let log = fs::read_to_string(&log_path).unwrap();
    assert!(log.contains("; users are hashed as "), "{log}");
    assert_eq!(log.matches("; 8 accepted").count(), 1, "{log}");
    assert!(!log.contains("t0ken") && !log.contains("s4lt"), "{log}");
    for document in &endpoint.documents()[8..] {
        assert_eq!(document["cluster"], "CANARY-2");
        let text = document.to_string();
        assert!(
            !text.contains("canary-1") && !text.contains("root"),
            "{text}"
        );
        if document["kind"] == "ssh" {
            assert_eq!(document["ssh_user_count"], 0, "none is in the group");
        }
        if let Some(node) = document.get("login_node") {
            let node = node.as_str().unwrap();
            assert!(
                node.starts_with("atlas") && node.ends_with(".canary.example"),
                "{node}"
            );
        }
    }
}

#[test]
fn what_can_be_no_token_and_no_name_is_refused() {
    let mut world = World::new();
    world.file("/two-lines", "t0ken-1\nt0ken-2\n");
    let file = world.path("root/two-lines");
    for args in [
        &["-s", "--token-file", file.to_str().unwrap()][..],
        &["-s", "-t", " "],
        &["-s", "-t", "x", "-c", ""],
        &["-s", "-t", "x", "--login-node", " "],
    ] {
        let run = world.run(args).exits(2);
        assert_eq!(run.lines_with("ERROR"), 1, "{}", run.stderr);
        run.lacks("t0ken");
    }
}

#[test]
fn a_mistyped_command_is_told_which_is_meant() {
    let world = World::new();
    for (words, meant) in [
        (&["chek"][..], "did you mean `check`?"),
        (&["spool", "lits"], "did you mean `list`?"),
        (&["reference", "confg"], "did you mean `config`?"),
    ] {
        Run::of(world.bare_command(words)).exits(2).says(meant);
    }
    Run::of(world.bare_command(&[TOKEN]))
        .exits(2)
        .says("does a value with a blank need quotes?")
        .lacks(TOKEN)
        .lacks("did you mean");
}

#[test]
fn a_token_file_with_more_than_a_token_is_named() {
    let mut world = login_node();
    for text in ["t0ken-1\nt0ken-2\n", "t0ken-1\tt0ken-2", "  \n"] {
        world.file("/tokens", text);
        let file = world.path("root/tokens");
        let file = file.to_str().unwrap();
        world
            .run(&["-s", "--token-file", file])
            .exits(2)
            .says(&format!(
                "the token file {file} is blank, or has several lines"
            ))
            .lacks("t0ken");
    }
}

#[test]
fn one_dot_stands_before_the_domain() {
    let mut world = World::new();
    world.healthy_host();
    let args = ["--host", "-O", ".example.org", "--login-node", "node12"];
    let run = world.print(&args).exits(0);
    assert_eq!(run.documents()[0]["login_node"], "atlas12.example.org");
    let args = ["--host", "-O", "example.org", "--login-node", "gateway"];
    for _ in 0..2 {
        world
            .print(&args)
            .exits(0)
            .says("WARN the name that --login-node gives has no digits");
    }
}
