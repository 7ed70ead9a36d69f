//! The sample says what is so without it.

use super::{LAYOUT, PREFIX, command, endpoint, parsed, read};
use crate::sample::sample;
use crate::{check, parse_item};

fn text() -> String {
    sample(LAYOUT, &command(), PREFIX)
}

fn is_option(line: &str) -> bool {
    line.starts_with('#') && !line.starts_with("# ") && line != "#"
}

/// With the # taken away before every option.
fn all() -> String {
    let lines = text();
    let lines = lines.lines().map(|line| match is_option(line) {
        true => format!("{}\n", &line[1..]),
        false => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn it_says_nothing_as_it_stands() {
    let settings = read(&text()).unwrap();
    assert!(
        settings.given.is_empty() && settings.items.is_empty(),
        "{settings:?}"
    );
}

#[test]
fn every_option_in_it_can_be_said_and_is_the_default() {
    let settings = read(&all()).unwrap();
    let rows = LAYOUT.tables.iter().flat_map(|table| table.options);
    let n = settings.given.len() + settings.items[0].given.len();
    // One is of a flag that there is not.
    assert_eq!(n, rows.count() - 1);
    // Examples need not go together.
    let given: Vec<_> = settings
        .given
        .iter()
        .filter(|given| given.flag != "listen")
        .cloned()
        .collect();
    check(&command(), &given).unwrap();
    parse_item(&endpoint(), &settings.items[0]).unwrap();
    let mut said = parsed(&settings.given, &[]).unwrap();
    assert_eq!(said.round.deadline.take(), Some(60));
    assert!(said.round.salt_file.take().is_some() && said.round.cert.take().is_some());
    assert!(said.round.listen.take().is_some());
    assert_eq!(said, parsed(&[], &[]).unwrap());
}

#[test]
fn it_reads_well() {
    let text = text();
    assert!(text.starts_with("# What the program does.\n#\n# A second paragraph.\n\n# Whose it is (-c, --cluster, CANARY_CLUSTER).\n#facility = \"UC-AF\"\n"), "{text}");
    assert!(
        !text.contains("\n\n\n") && !text.contains(" \n") && text.ends_with('\n'),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    for line in text.lines() {
        assert!(line.is_empty() || line.starts_with(['#', '[']), "{line}");
    }
    assert!(
        text.contains("\n# Wait so long (--deadline, CANARY_DEADLINE).\n#deadline_secs = 60\n"),
        "{text}"
    );
    assert!(text.contains("\n# Leave jobs of NAME out (--exclude-owner, CANARY_EXCLUDE_OWNER).\n#exclude_owners = [\"canary-8\", \"canary-9\"]\n"), "{text}");
    assert!(text.contains("\n# Where to listen, a sentence "), "{text}");
    assert!(text.contains("\n# Where it goes.\n#[[endpoints]]\n# Where to send. By default none, as here:\n#url = "), "{text}");
    assert!(
        !text.contains("no_such") && !text.contains("empty"),
        "{text}"
    );
}

#[test]
fn it_can_begin_with_a_table() {
    let layout = crate::Layout {
        about: "",
        tables: &LAYOUT.tables[1..2],
    };
    let text = sample(layout, &command(), PREFIX);
    assert!(text.starts_with("# Who is there.\n[ssh]\n"), "{text}");
}
