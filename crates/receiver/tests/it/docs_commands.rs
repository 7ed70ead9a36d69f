//! Every command of the receiver on every page is one that it understands; and its completions.

use std::fs;

use afmetrics_receiver::cli::Cli;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::{Shell, generate};

// The collector's tests read the pages the same way.
#[expect(dead_code, reason = "they ask more of a line")]
#[path = "../../../collector/tests/it/support/pages.rs"]
mod pages;

#[test]
fn the_receiver_understands_every_command_on_the_pages() {
    let mut count = 0;
    for line in pages::lines() {
        for arguments in pages::arguments(&line.text, "afmetrics_receiver") {
            let words = std::iter::once("afmetrics_receiver".to_owned()).chain(arguments);
            match Cli::try_parse_from(words) {
                Err(why) if why.exit_code() != 0 => panic!("{}: {why}", line.place),
                _ => count += 1,
            }
        }
    }
    assert!(count > 8, "{count}");
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    for (shell, file) in [
        (Shell::Bash, "afmetrics_receiver.bash"),
        (Shell::Zsh, "_afmetrics_receiver"),
        (Shell::Fish, "afmetrics_receiver.fish"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), "afmetrics_receiver", &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("keep-documents"), "{file}");
        let path = pages::root().join("dist/completions").join(file);
        #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
        let bless = std::env::var_os("AFMETRICS_BLESS").is_some();
        if bless {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{file} is not that of the command line: run `cargo xtask bless`"
        );
    }
}
