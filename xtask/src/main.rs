//! The commands people use on the project: `cargo xtask COMMAND`. A file for each.

mod bench;
mod bless;
mod demo;
mod deny;
mod dist;
mod install;
mod programs;
mod screenshots;
mod slurm;
mod soak;
mod test;

use std::process::ExitCode;

/// Name, what it does, and how.
type Command = (
    &'static str,
    &'static str,
    fn(&[String]) -> anyhow::Result<()>,
);

const COMMANDS: &[Command] = &[
    (
        "demo",
        "runs a receiver and the collector on this machine, until Ctrl-C or for --for 30s; nothing leaves it; with --history: a receiver with 90 days that are made up",
        demo::run,
    ),
    (
        "test",
        "installs what the tests need, where it may, and runs them all; further words go to `cargo test`",
        test::run,
    ),
    (
        "bless",
        "rewrites what is printed from tables and the expected documents of the cases; look at `git diff`",
        bless::run,
    ),
    (
        "bench",
        "prints what a round costs, beside what it should cost and what others need",
        bench::run,
    ),
    (
        "deny",
        "asks cargo-deny whether all crates may be here (deny.toml): licences, sources, duplicates, build scripts; with --advisories, too",
        deny::run,
    ),
    (
        "dist",
        "makes .deb, .rpm and tar.gz of both programs in target/dist or --out DIR, with checksums and what they are made of; --test installs, upgrades and removes them in trees below target/, as root; --reproducible builds twice",
        dist::run,
    ),
    (
        "screenshots",
        "takes pictures of every page of the dashboard, of made-up history; --keep DIR keeps that, or uses what DIR has",
        screenshots::run,
    ),
    (
        "slurm",
        "starts a Slurm of one node on loopback, says how to talk to it, and stops it at Ctrl-C or after --for 30s; as root",
        slurm::run,
    ),
    (
        "soak",
        "kills 500 rounds at random moments and counts what was lost and what came twice",
        soak::run,
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = words
        .split_first()
        .and_then(|(name, rest)| Some((COMMANDS.iter().find(|row| row.0 == name)?, rest)));
    let Some(((_, _, run), rest)) = command else {
        let is_asked_for = matches!(words.first().map(String::as_str), Some("-h" | "--help"));
        return match is_asked_for {
            true => {
                print!("{}", commands());
                ExitCode::SUCCESS
            }
            false => {
                eprint!("{}", commands());
                ExitCode::from(2)
            }
        };
    };
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cargo xtask: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// What there is.
fn commands() -> String {
    let mut text = "cargo xtask COMMAND, one of:\n".to_owned();
    for (name, what, _) in COMMANDS {
        text.push_str(&format!("  {name:11} {what}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_listed() {
        let text = commands();
        for (name, what, _) in COMMANDS {
            assert!(text.contains(&format!("  {name:11} {what}\n")), "{text}");
        }
    }
}
