//! A recorded case: a folder below `tests/cases/COLLECTOR/` that holds what the collector reads and
//! what has to come of it.
//!
//! ```text
//! NOTES                    what it shows, and whether it was recorded or made by hand
//! args                     the flags, one a line
//! commands/PROGRAM[.NAME].args .out .err .rc .times
//!                          one run of a program: its arguments, one a line, and what it does
//! root/                    files of the host, over those of a healthy one
//! state/                   what an earlier round left
//! absent                   files that a healthy host has and this one does not, one a line
//! expected.json            the documents, one a line
//! expected.exit            the exit status, where it is not 0
//! expected.log             parts of lines that the log has; no other line is WARN or ERROR
//! ```
//!
//! A folder that `record` has written is a case, too: it has a `round.json`, and is run by `replay`.
//!
//! A program that no file names is not on `PATH`. In what programs print, `{now-60}` stands for the time
//! a minute ago, in seconds since 1970; an argument `{time}` is any date with a time. A run may be wanted more than
//! once (`.times`), or only of a user who is not root (`unless root` there).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::program::{World, names};

/// Every case's node.
pub const LOGIN_NODE: &str = "login01.canary.example";

pub struct Case {
    pub collector: String,
    pub name: String,
    dir: PathBuf,
}

/// All cases, by collector.
pub fn all() -> Vec<Case> {
    let root = folder();
    let mut cases = Vec::new();
    for collector in names(&root) {
        for name in names(&root.join(&collector)) {
            cases.push(Case {
                dir: root.join(&collector).join(&name),
                collector: collector.clone(),
                name,
            });
        }
    }
    cases
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

impl Case {
    pub fn title(&self) -> String {
        format!("{}/{}", self.collector, self.name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of one of its files; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn exit(&self) -> i32 {
        let text = self.text("expected.exit");
        match text.trim() {
            "" => 0,
            status => status.parse().unwrap(),
        }
    }

    /// Whether `record` has written it.
    pub fn is_recording(&self) -> bool {
        self.path("round.json").exists()
    }

    /// The flags, and the node's name.
    pub fn args(&self) -> Vec<String> {
        let text = self.text("args");
        let own = text.lines().map(str::to_owned);
        own.chain(["--login-node".to_owned(), LOGIN_NODE.to_owned()])
            .collect()
    }

    /// A world in which the binary meets this case.
    pub fn world(&self) -> World {
        let mut world = World::new();
        world.healthy_host();
        copy(&self.path("root"), &world.path("root"));
        copy(&self.path("state"), &world.path("state"));
        for file in self.text("absent").lines() {
            let path = world.path("root").join(file.trim_start_matches('/'));
            fs::remove_file(path).unwrap();
        }
        for name in [
            "SQUEUE_STATES",
            "SQUEUE_FORMAT",
            "SACCT_FORMAT",
            "SINFO_FORMAT",
            "SLURM_CLUSTERS",
        ] {
            world.env(name, "canary");
        }
        world.env("SLURM_TIME_FORMAT", "relative");
        // Clocks are put back there in the night to 1 November.
        world.env("TZ", "America/New_York");
        world.env("SLURM_CONF", "/etc/slurm.canary.conf");
        let calls = world.path("calls");
        fs::write(&calls, "").unwrap();
        for (program, runs) in self.programs() {
            for run in &runs {
                let output = fs::read(self.path(&format!("commands/{run}.out"))).unwrap();
                // What is no text holds no time.
                let output = String::from_utf8(output).map_or_else(
                    |not_text| not_text.into_bytes(),
                    |text| at_this_time(&text).into_bytes(),
                );
                fs::write(world.path(&format!("{run}.out")), output).unwrap();
            }
            let script = self.fake(&runs, &calls, &world.path(""));
            world.program(&program, &script);
        }
        world
    }

    /// The runs of programs that the case expects, sorted.
    pub fn runs(&self) -> Vec<String> {
        let runs = self.programs().into_values().flatten();
        runs.flat_map(|run| {
            let times = match self.text(&format!("commands/{run}.times")).trim() {
                "" => 1,
                "unless root" => usize::from(!nix::unistd::getuid().is_root()),
                times => times.parse().unwrap(),
            };
            vec![run; times]
        })
        .collect()
    }

    /// The runs of programs that there were, sorted.
    pub fn runs_in(&self, world: &World) -> Vec<String> {
        let text = fs::read_to_string(world.path("calls")).unwrap();
        let mut runs: Vec<String> = text.lines().map(str::to_owned).collect();
        runs.sort();
        runs
    }

    /// By program, its runs: `condor_q` has `condor_q.run` and `condor_q.totals`.
    fn programs(&self) -> BTreeMap<String, Vec<String>> {
        let mut programs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if !self.path("commands").exists() {
            return programs;
        }
        for file in names(&self.path("commands")) {
            if let Some(run) = file.strip_suffix(".args") {
                let program = run.split('.').next().unwrap_or(run);
                programs
                    .entry(program.to_owned())
                    .or_default()
                    .push(run.to_owned());
            }
        }
        programs
    }

    /// A program that does what was recorded if it is asked what was recorded, and writes down that
    /// it was called. Anything else it refuses.
    fn fake(&self, runs: &[String], calls: &Path, outputs: &Path) -> String {
        let calls = quoted(calls.to_str().unwrap());
        let slurm = match run_of_slurm(runs) {
            true => FAKE_SLURM,
            false => "",
        };
        let mut script = format!("{FAKE}{slurm}calls={calls}\n");
        for run in runs {
            let file = |ending: &str| format!("commands/{run}.{ending}");
            let path = |ending: &str| quoted(self.path(&file(ending)).to_str().unwrap());
            let stderr = match self.path(&file("err")).exists() {
                true => format!("/usr/bin/cat {} >&2; ", path("err")),
                false => String::new(),
            };
            let status = match self.text(&file("rc")).trim() {
                "" => "0".to_owned(),
                status => status.to_owned(),
            };
            script.push_str(&format!(
                "if {}; then echo {run} >> \"$calls\"; /usr/bin/cat {}; {stderr}exit {status}; fi\n",
                condition(&self.text(&file("args"))),
                quoted(outputs.join(format!("{run}.out")).to_str().unwrap()),
            ));
        }
        script.push_str(
            "echo \"refused: $0 $*\" >> \"$calls\"\necho \"not recorded: $*\" >&2\nexit 97\n",
        );
        script
    }
}

/// What every fake begins with.
const FAKE: &str = r#"
[ "$LC_ALL" = C ] || { echo 'not in the C locale' >&2; exit 98; }
[ -z "$AFMETRICS_TOKEN$AFMETRICS_SALT" ] || { echo 'a secret was inherited' >&2; exit 98; }
"#;

/// What a fake of Slurm's begins with, besides: variables that change what the real ones print are not there, and
/// those that are to are.
const FAKE_SLURM: &str = r#"
[ -z "$SQUEUE_STATES$SQUEUE_FORMAT$SACCT_FORMAT$SINFO_FORMAT$SLURM_CLUSTERS" ] || { echo 'a variable was inherited' >&2; exit 98; }
[ "$TZ $SLURM_TIME_FORMAT $SLURM_BITSTR_LEN" = 'UTC0 %s 0' ] || { echo 'times or lists are not as they are to be' >&2; exit 98; }
[ "$SLURM_CONF" = /etc/slurm.canary.conf ] || { echo 'the site'\''s configuration is not known' >&2; exit 98; }
"#;

fn run_of_slurm(runs: &[String]) -> bool {
    runs.iter().any(|run| {
        ["squeue", "sacct", "sinfo", "scontrol"]
            .iter()
            .any(|tool| run.starts_with(tool))
    })
}

/// The shell's condition that the arguments are these lines.
fn condition(args: &str) -> String {
    let mut all = vec![format!("[ $# -eq {} ]", args.lines().count())];
    for (arg, n) in args.lines().zip(1..) {
        all.push(match arg {
            "{time}" => format!("case \"${{{n}}}\" in ????-??-??T??:??:??) true;; *) false;; esac"),
            arg => format!("[ \"${{{n}}}\" = {} ]", quoted(arg)),
        });
    }
    all.join(" && ")
}

/// Puts times in: `{now-60}` is a minute ago.
fn at_this_time(text: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is tested looks at the same clock"
    )]
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut parts = text.split("{now-");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (age, rest) = part.split_once('}').unwrap();
        out.push_str(&(now - age.parse::<u64>().unwrap()).to_string());
        out.push_str(rest);
    }
    out
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Copies the files below a folder, if it is there, over those below another.
fn copy(from: &Path, to: &Path) {
    if !from.exists() {
        return;
    }
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
