//! `-g` against the real NSS: users and groups made for the test, in files and in a directory
//! service that can fail in every way in which LDAP does.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::endpoints::{kinds, node, one, table};
use crate::history::now;
use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::namespace::{Namespace, User, plain, within};
use crate::support::needs;
use crate::support::program::{Run, World};

const BOUND: Duration = Duration::from_secs(60);
const GROUP: u32 = 61_000;
const OTHER: u32 = 61_100;
const WITHOUT_ENTRY: u32 = 61_999;

/// Primary, supplementary, neither, neither and a group without entry; canary-5 is unknown.
fn users() -> Vec<User> {
    vec![
        User::new("canary-1", 61_001, GROUP),
        User::new("canary-2", 61_002, OTHER),
        User::new("canary-3", 61_003, OTHER),
        User::new("canary-4", 61_004, WITHOUT_ENTRY),
    ]
}

fn groups() -> String {
    format!("canaries:x:{GROUP}:canary-2\nothers:x:{OTHER}:\n")
}

/// A world in which these are logged in, have a job in the queue, and one in the history.
fn world(users: &[&str]) -> World {
    let mut world = World::new();
    world.healthy_host();
    let sessions: String = users
        .iter()
        .map(|user| format!("{user} pts/0        Nov 22 20:11 (127.0.0.1)\n"))
        .collect();
    let ads: Vec<String> = users
        .iter()
        .zip(1..)
        .map(|(user, job)| {
            format!(
                "{{\n  \"ClusterId\": {job},\n  \"JobStatus\": 4,\n  \"Owner\": \"{user}\",\n  \"ProcId\": 0,\n  \"JobFinishedHookDone\": 1,\n  \"RemoteWallClockTime\": 38.0\n}}\n"
            )
        })
        .collect();
    for (program, output) in [
        ("who", sessions),
        ("condor_q", format!("[\n{}]\n", ads.join(",\n"))),
        ("condor_history", "[\n]\n".to_owned()),
    ] {
        let path = world.path(&format!("{program}.out"));
        fs::write(&path, output).unwrap();
        world.program(program, &format!("exec /usr/bin/cat {}", path.display()));
    }
    world
}

/// A round inside the namespace, bounded in time.
#[track_caller]
fn print(namespace: &Namespace, world: &World, args: &[&str]) -> Run {
    run(
        namespace,
        world,
        &world.command(&[&["--print"], args].concat()),
    )
}

#[track_caller]
fn run(namespace: &Namespace, world: &World, command: &Command) -> Run {
    let out = world.path("stdout");
    let mut child = namespace
        .inside(command)
        .stdout(fs::File::create(&out).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(
        within(BOUND, || matches!(child.try_wait(), Ok(Some(_)))),
        "it hangs"
    );
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    Run {
        status: status.code().unwrap_or(-1),
        stdout: fs::read_to_string(out).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// The users in the documents of a kind.
fn users_of(run: &Run, kind: &str) -> BTreeSet<String> {
    run.documents()
        .iter()
        .filter(|document| document["kind"] == kind)
        .flat_map(|document| match &document["users"] {
            serde_json::Value::Array(users) => users.clone(),
            user => vec![user.clone()],
        })
        .map(|user| user.as_str().unwrap().to_owned())
        .collect()
}

fn set(users: &[&str]) -> BTreeSet<String> {
    users.iter().map(|&user| user.to_owned()).collect()
}

const ALL: [&str; 6] = [
    "canary-1", "canary-2", "canary-3", "canary-4", "canary-5", "canary-1",
];

#[test]
fn primary_and_supplementary_members_leave_and_nobody_else() {
    if !needs::root_and(&[]) {
        return;
    }
    let namespace = Namespace::new(&users(), &groups(), "");
    let world = world(&ALL);
    for (group, members) in [
        ("canaries", set(&["canary-1", "canary-2"])),
        ("others", set(&["canary-2", "canary-3"])),
        ("nogroup", set(&[])),
    ] {
        let run = print(&namespace, &world, &["-sb", "-g", group]).exits(0);
        assert_eq!(users_of(&run, "ssh"), members, "{group}");
        assert_eq!(users_of(&run, "condorjob"), members, "{group}");
    }
    let run = print(&namespace, &world, &["-sb"]).exits(0);
    assert_eq!(users_of(&run, "ssh"), set(&ALL), "all without -g");
}

#[test]
fn an_unknown_group_is_a_usage_error_and_nothing_is_collected() {
    if !needs::root_and(&[]) {
        return;
    }
    let namespace = Namespace::new(&users(), &groups(), "");
    let run = print(
        &namespace,
        &world(&ALL),
        &["-sb", "--host", "-g", "canarys"],
    )
    .exits(2)
    .says("-g: this system knows no group \"canarys\"");
    assert!(run.stdout.is_empty());
}

#[test]
fn a_user_database_that_may_not_be_read_fails_and_empties_nothing() {
    if !needs::root_and(&["setpriv"]) {
        return;
    }
    for file in ["passwd", "group"] {
        let namespace = Namespace::new(&users(), &groups(), &format!("chmod 600 /etc/{file}"));
        let world = world(&ALL);
        // As the user nobody, who needs a way to the binary and to this world.
        let program = namespace.path("afmetrics_collector");
        fs::copy(env!("CARGO_BIN_EXE_afmetrics_collector"), &program).unwrap();
        let opened = plain("chmod")
            .args(["-R", "a+rX"])
            .arg(world.path(""))
            .status()
            .unwrap();
        assert!(opened.success());
        let output = namespace
            .command("/usr/bin/setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"])
            .arg(format!("PATH={}", world.path("bin").display()))
            .arg(program)
            .arg("--root")
            .arg(world.path("root"))
            .args(["--print", "-sb", "--host", "--mount", "/", "-g", "canaries"])
            .output()
            .unwrap();
        let run = Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        let run = run
            .exits(1)
            .says("ssh: the user database (NSS) failed")
            .says("condor_jobs: the user database (NSS) failed")
            .says("Permission denied");
        let kinds: BTreeSet<String> = run
            .documents()
            .iter()
            .map(|document| document["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, set(&["CPU", "DISK", "MEM", "NETWORK"]), "{file}");
    }
}

#[test]
fn a_user_database_that_hangs_costs_its_deadline_and_no_other_document() {
    if !needs::root_and(&["mkfifo"]) {
        return;
    }
    for file in ["passwd", "group"] {
        let setup = format!("mkfifo \"$1/fifo\"; mount --bind \"$1/fifo\" /etc/{file}");
        let namespace = Namespace::new(&users(), &groups(), &setup);
        let args = [
            "-s",
            "--host",
            "--mount",
            "/",
            "--silence",
            "2",
            "-g",
            "canaries",
        ];
        let run = print(&namespace, &world(&ALL), &args)
            .exits(1)
            .says("ssh: the user database (NSS) did not say within 2 s");
        assert_eq!(run.documents().len(), 4, "{file}: {}", run.stderr);
    }
}

/// An NSS module, as LDAP has one: it knows every `canary-N`, the group `flock` (gid 62000) with
/// every canary whose number is even, and it fails in the way that the user's name asks for. It
/// writes down who it was asked about.
const DIRECTORY: &str = r#"
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum nss_status away = NSS_STATUS_SUCCESS;

static enum nss_status said(enum nss_status status, int *why) {
    *why = status == NSS_STATUS_TRYAGAIN ? EAGAIN
         : status == NSS_STATUS_UNAVAIL ? ECONNREFUSED : ENOENT;
    return status;
}

enum nss_status _nss_canary_getpwnam_r(const char *name, struct passwd *p, char *b, size_t n, int *why) {
    FILE *log = fopen("/run/asked", "a");
    if (log) { fprintf(log, "%s\n", name); fclose(log); }
    if (away != NSS_STATUS_SUCCESS) return said(away, why);
    if (!strcmp(name, "canary-refused")) return said(NSS_STATUS_UNAVAIL, why);
    if (!strcmp(name, "canary-busy")) return said(NSS_STATUS_TRYAGAIN, why);
    if (!strcmp(name, "canary-hangs")) sleep(600);
    if (!strcmp(name, "canary-gone")) { away = NSS_STATUS_NOTFOUND; return said(away, why); }
    if (strncmp(name, "canary-", 7)) return said(NSS_STATUS_NOTFOUND, why);
    if (n < 64) { *why = ERANGE; return NSS_STATUS_TRYAGAIN; }
    snprintf(b, n, "%s", name);
    memset(p, 0, sizeof *p);
    p->pw_name = b;
    p->pw_passwd = p->pw_gecos = p->pw_dir = p->pw_shell = b + strlen(b);
    p->pw_uid = 70000 + atoi(name + 7);
    p->pw_gid = 61100;
    if (!strcmp(name, "canary-last")) away = NSS_STATUS_UNAVAIL;
    return NSS_STATUS_SUCCESS;
}

static enum nss_status flock_(struct group *g, char *b, size_t n, int *why) {
    static char *none[] = { NULL };
    if (away != NSS_STATUS_SUCCESS) return said(away, why);
    if (n < 64) { *why = ERANGE; return NSS_STATUS_TRYAGAIN; }
    strcpy(b, "flock");
    g->gr_name = b;
    g->gr_passwd = b + 5;
    g->gr_gid = 62000;
    g->gr_mem = none;
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_canary_getgrnam_r(const char *name, struct group *g, char *b, size_t n, int *why) {
    if (!strcmp(name, "slow")) sleep(3);
    return strcmp(name, "flock") ? said(NSS_STATUS_NOTFOUND, why) : flock_(g, b, n, why);
}

enum nss_status _nss_canary_getgrgid_r(gid_t gid, struct group *g, char *b, size_t n, int *why) {
    return gid != 62000 ? said(NSS_STATUS_NOTFOUND, why) : flock_(g, b, n, why);
}

enum nss_status _nss_canary_initgroups_dyn(const char *name, gid_t gid, long *start, long *size, gid_t **groups, long limit, int *why) {
    if (away != NSS_STATUS_SUCCESS) return said(away, why);
    if (atoi(name + 7) % 2 || !strcmp(name, "canary-refused")) return said(NSS_STATUS_NOTFOUND, why);
    if (*start < *size) (*groups)[(*start)++] = 62000;
    return NSS_STATUS_SUCCESS;
}
"#;

/// A namespace with the directory behind the files, and the variable that lets programs find it.
fn with_directory(world: &mut World) -> Namespace {
    let namespace = Namespace::new(
        &users(),
        &groups(),
        "printf 'passwd: files canary\\ngroup: files canary\\n' >/etc/nsswitch.conf",
    );
    fs::write(namespace.path("directory.c"), DIRECTORY).unwrap();
    let built = plain("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(namespace.path("libnss_canary.so.2"))
        .arg(namespace.path("directory.c"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    world.env("LD_LIBRARY_PATH", namespace.path(""));
    namespace
}

#[test]
fn thousands_of_users_are_asked_about_once_each() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    let names: Vec<String> = (1000..6000).map(|n| format!("canary-{n}")).collect();
    let twice: Vec<&str> = names.iter().chain(&names).map(String::as_str).collect();
    let mut world = world(&twice);
    let namespace = with_directory(&mut world);
    let run = print(&namespace, &world, &["-sb", "-g", "flock"]).exits(0);
    let even: BTreeSet<String> = (1000..6000)
        .step_by(2)
        .map(|n| format!("canary-{n}"))
        .collect();
    assert_eq!(users_of(&run, "ssh"), even);
    assert_eq!(users_of(&run, "condorjob"), even);
    let asked = namespace.sh("sort /run/asked | uniq -c | sort -rn | head -1; wc -l </run/asked");
    let words: Vec<&str> = asked.split_ascii_whitespace().collect();
    assert_eq!((words[0], words[2]), ("1", "5000"), "{asked}");
}

#[test]
fn a_directory_that_fails_is_not_an_empty_group() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    for (fails, why) in [
        ("canary-refused", "Connection refused"),
        ("canary-busy", "Try again"),
        // Found, then away: getgrouplist does not tell, and the lookup of the group does.
        ("canary-last", "Connection refused"),
        // Away, and says that it knows nobody: then it does not know the group, either.
        ("canary-gone", "it no longer knows the group"),
    ] {
        let mut world = world(&["canary-8", fails]);
        let namespace = with_directory(&mut world);
        let run = print(
            &namespace,
            &world,
            &["-s", "--host", "--mount", "/", "-g", "flock"],
        )
        .exits(1)
        .says("ssh: the user database (NSS) failed")
        .says(why);
        assert_eq!(run.documents().len(), 4, "{fails}: {}", run.stderr);
    }
}

#[test]
fn a_directory_that_hangs_at_one_user_costs_a_deadline() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    let mut world = world(&["canary-8", "canary-hangs"]);
    let namespace = with_directory(&mut world);
    let args = [
        "-sb",
        "--host",
        "--mount",
        "/",
        "--silence",
        "2",
        "-g",
        "flock",
    ];
    let run = print(&namespace, &world, &args)
        .exits(1)
        .says("ssh: the user database (NSS) did not say within 2 s")
        .says("condor_jobs: the user database (NSS) did not say within 2 s");
    assert_eq!(run.documents().len(), 4, "{}", run.stderr);
}

#[test]
fn a_group_that_is_unknown_after_the_deadline_empties_nothing() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    let mut world = world(&["canary-8"]);
    let namespace = with_directory(&mut world);
    let args = ["-s", "--silence", "2", "-g", "slow"];
    let run = print(&namespace, &world, &args)
        .exits(1)
        .says("ssh: the user database (NSS) did not say within 2 s");
    assert!(run.documents().is_empty());
}

/// The directory fails, which only one of two endpoints asks: the other hears what there is now; what is told
/// only once waits for both.
#[test]
fn a_directory_that_fails_keeps_nothing_from_an_endpoint_without_a_group() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    let (flock, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let mut world = world(&["canary-8", "canary-refused", "canary-6"]);
    let namespace = with_directory(&mut world);
    let folder = world.path("").display().to_string();
    fs::write(world.path("token"), "t0ken\n").unwrap();
    let file = format!(
        "[spool]\nstate_dir = \"{folder}/state\"\n[ssh]\nenabled = true\n[batch]\nenabled = true\n\
         [host]\nenabled = true\nroot = \"{folder}/root\"\nmounts = [\"/\"]\n{}{}",
        table("flock", &flock, "token", "group = \"flock\"\n"),
        table("own", &own, "token", "")
    );
    let path = world.path("collector.toml");
    fs::write(&path, file.replace("{world}", &folder)).unwrap();
    let config = path.display().to_string();
    let round = world.bare_command(&["--config", &config]);
    // canary-8 has left the queue, and the others have not.
    let running = fs::read_to_string(world.path("condor_q.out")).unwrap();
    let running = running.replace("\"JobStatus\": 4", "\"JobStatus\": 2");
    let queue = running.replacen("\"JobStatus\": 2", "\"JobStatus\": 4", 1);
    fs::write(world.path("condor_q.out"), &queue).unwrap();
    // And these have left it lately.
    let lately = now() - 60;
    let records: Vec<String> = [(11, "canary-6"), (12, "canary-refused")]
        .map(|(job, user)| {
            format!(
                "{{\n  \"ClusterId\": {job},\n  \"CompletionDate\": {lately},\n  \"GlobalJobId\": \"login01.canary.example#{job}.0#{lately}\",\n  \"JobStatus\": 4,\n  \"Owner\": \"{user}\",\n  \"ProcId\": 0,\n  \"JobFinishedHookDone\": {lately},\n  \"EnteredCurrentStatus\": {lately},\n  \"RemoteWallClockTime\": 38.0\n}}\n"
            )
        })
        .to_vec();
    let history = format!("[\n{}]\n", records.join(",\n"));
    fs::write(world.path("condor_history.out"), history).unwrap();
    let host = ["CPU", "DISK", "MEM", "NETWORK"];
    run(&namespace, &world, &round)
        .exits(1)
        .says("the user database (NSS) failed")
        .says("condor_history: the user database (NSS) did not say of all users")
        .says("ssh: the user database (NSS) did not say of all users in which group they are")
        .says("condor_jobs: the user database (NSS) did not say of all users");
    assert_eq!(kinds(&flock), host);
    assert_eq!(kinds(&own), [&host[..], &["condorjob", "ssh"]].concat());
    let jobs = |endpoint: &Endpoint| -> Vec<String> {
        let documents = endpoint.documents().into_iter();
        let jobs = documents.filter(|document| document["kind"] == "condorjob");
        let mut all: Vec<String> = jobs
            .map(|job| {
                let text = |field: &str| job[field].as_str().unwrap().to_owned();
                format!("{} of {} {}", text("Id"), text("users"), text("state"))
            })
            .collect();
        all.sort();
        all
    };
    let queued = ["2.0 of canary-refused running", "3.0 of canary-6 running"];
    assert_eq!(jobs(&own), queued);

    for file in ["who.out", "condor_q.out", "condor_history.out"] {
        let text = fs::read_to_string(world.path(file)).unwrap();
        fs::write(world.path(file), text.replace("canary-refused", "canary-7")).unwrap();
    }
    run(&namespace, &world, &round).exits(0);
    let of_members = [
        "1.0 of canary-8 finished",
        "11.0 of canary-6 finished",
        "3.0 of canary-6 running",
    ];
    assert_eq!(jobs(&flock), of_members);
    let all = [
        "1.0 of canary-8 finished",
        "11.0 of canary-6 finished",
        "12.0 of canary-7 finished",
        "2.0 of canary-7 running",
        "2.0 of canary-refused running",
        "3.0 of canary-6 running",
        "3.0 of canary-6 running",
    ];
    assert_eq!(jobs(&own), all);
}

/// It costs the patience once, and not for each collector or user.
#[test]
fn a_directory_that_hangs_keeps_nothing_from_an_endpoint_without_a_group() {
    if !needs::root_and(&["cc"]) {
        return;
    }
    let (flock, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let mut world = world(&["canary-hangs", "canary-6", "canary-8"]);
    let namespace = with_directory(&mut world);
    let folder = world.path("").display().to_string();
    fs::write(world.path("token"), "t0ken\n").unwrap();
    let running = fs::read_to_string(world.path("condor_q.out")).unwrap();
    let running = running.replace("\"JobStatus\": 4", "\"JobStatus\": 2");
    fs::write(world.path("condor_q.out"), running).unwrap();
    let file =
        table("flock", &flock, "token", "group = \"flock\"\n") + &table("own", &own, "token", "");
    let path = world.path("collector.toml");
    fs::write(&path, file.replace("{world}", &folder)).unwrap();
    let (config, state) = (path.display().to_string(), format!("{folder}/state"));
    let args = [
        "-sb",
        "--silence",
        "3",
        "--deadline",
        "10",
        "--config",
        &config,
        "--state-dir",
        &state,
    ];
    run(&namespace, &world, &world.bare_command(&args))
        .exits(1)
        .says("ERROR the user database (NSS) did not say within 3 s")
        .says("ssh: the user database (NSS) did not say of all users")
        .says("condor_jobs: the user database (NSS) did not say of all users");
    assert!(kinds(&flock).is_empty());
    assert_eq!(kinds(&own), ["condorjob", "ssh"]);
    assert_eq!(one(&own, "ssh")["ssh_user_count"], 3);
}

/// Misspelt, or the directory is away and says that it knows nothing.
#[test]
fn a_group_that_is_unknown_keeps_nothing_from_an_endpoint_without_one() {
    let (none, own) = (Endpoint::ok(Protocol::Http2), Endpoint::ok(Protocol::Http2));
    let (world, path) = node(
        &(table("none", &none, "token", "group = \"no-canaries\"\n")
            + &table("own", &own, "other-token", "")),
    );
    let args = ["--config", path.to_str().unwrap()];
    Run::of(world.bare_command(&args))
        .exits(1)
        .says("-g: this system knows no group \"no-canaries\"")
        .says("ssh: the user database (NSS) did not say of all users");
    assert_eq!(kinds(&none), ["CPU", "DISK", "MEM", "NETWORK", "round"]);
    assert!(kinds(&own).contains(&"condorjob".to_owned()));
    assert!(kinds(&own).contains(&"ssh".to_owned()));
    for (endpoint, result, documents) in [(&none, "failed", 0), (&own, "ok", 1)] {
        let round = one(endpoint, "round");
        let ssh = &round["collectors"]["ssh"];
        assert_eq!(
            (&ssh["result"], &ssh["documents"]),
            (&result.into(), &documents.into())
        );
        assert_eq!(round["collectors"]["load"]["result"], "ok");
    }
    let run = Run::of(world.bare_command(&["check", "--config", path.to_str().unwrap()])).exits(1);
    let said = "-g: this system knows no group \"no-canaries\"";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}
