//! Every command of the receiver on every page is one that it understands; and its completions.

use std::fs;

use afmetrics_receiver::cli::Cli;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::{Shell, generate};
use serde_json::json;

use crate::support::tls::Authority;
use crate::support::{Running, World, receiver, runtime};

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

/// What `docs/receiver.md` has under a heading.
fn section(heading: &str) -> String {
    let page = fs::read_to_string(pages::root().join("docs/receiver.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The first indented block behind these words.
fn block_behind(text: &str, words: &str) -> String {
    let (_, rest) = text.split_once(words).unwrap();
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    lines
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

/// The tokens are made, the file is written, a document comes by TLS and is seen, all as the page says it.
#[test]
fn the_first_five_minutes_are_as_the_page_has_them() {
    let world = World::new();
    let tokens: Vec<String> = section("The first five minutes")
        .lines()
        .flat_map(|line| pages::arguments(line, "afmetrics_receiver"))
        .filter(|words| words.starts_with(&["token".to_owned(), "create".to_owned()]))
        .map(|words| {
            words
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .map(|words| world.done(&words.split(' ').collect::<Vec<_>>()))
        .collect();
    let [sender, viewer] = tokens.as_slice() else {
        panic!("{} tokens", tokens.len());
    };

    let authority = Authority::new(&world);
    authority.sign();
    fs::rename(authority.path("cert.pem"), authority.path("tls.pem")).unwrap();
    fs::rename(authority.path("key.pem"), authority.path("tls.key")).unwrap();
    let file = block_behind(
        &section("The configuration file"),
        "What a receiver on the network needs at least",
    );
    let ours = file
        .replace("/etc/afmetrics", world.path().to_str().unwrap())
        .replace("[::]:8443", "127.0.0.1:0");
    assert_eq!(ours.matches("127.0.0.1:0").count(), 1, "{file}");
    let at = authority.path("receiver.toml");
    fs::write(&at, ours).unwrap();

    let mut command = receiver(&["serve", "--config", &at]);
    command.env("AFMETRICS_STORE", world.store());
    let running = Running::start(command);
    assert!(running.url.starts_with("https://"), "{}", running.url);
    let document = json!({"token": sender.trim(), "kind": "CPU", "cluster": "MY-AF", "login_node": "login01.canary.example", "load": 1.5});
    let post = authority
        .client()
        .post(&running.url)
        .body(document.to_string());
    let get = authority
        .client()
        .get(format!("{}/api/v1/nodes", running.url))
        .bearer_auth(viewer.trim());
    let seen = runtime().block_on(async {
        post.send().await.unwrap().error_for_status().unwrap();
        get.send().await.unwrap().text().await.unwrap()
    });
    assert!(seen.contains("login01.canary.example"), "{seen}");
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
