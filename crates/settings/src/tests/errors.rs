//! What is wrong, and where it is said to be.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::{PREFIX, command, endpoint, flags, given, read};
use crate::layers::of_environment;
use crate::{Given, Wrong, check, parse_item};

/// The first mistake in a file, be it of the file's form or of a value.
fn mistake(text: &str) -> String {
    let found = read(text).and_then(|settings| {
        check(&command(), &settings.given)?;
        settings
            .items
            .iter()
            .try_for_each(|item| parse_item(&endpoint(), item).map(drop))
    });
    found.expect_err(text).to_string()
}

#[track_caller]
fn assert_all(cases: &[(&str, &str)]) {
    for (text, says) in cases {
        assert_eq!(mistake(text), *says, "{text}");
    }
}

#[test]
fn an_unknown_option_is_named_with_what_was_meant() {
    assert_all(&[
        (
            "facilty = \"A\"",
            "f.toml, line 1: there is no option facilty: did you mean facility?",
        ),
        (
            "\n\nqwxz = 1",
            "f.toml, line 3: there is no option qwxz: the sample has all there are",
        ),
        (
            "[batch]\nbatch-size = 1",
            "f.toml, line 2: [batch] has no option batch-size: did you mean batch_size?",
        ),
        (
            "[batch]\n# x\nqwxz = 1",
            "f.toml, line 3: [batch] has no option qwxz: the sample has all there are",
        ),
        (
            "[[endpoints]]\nurk = \"a\"",
            "f.toml, line 2: [[endpoints]] has no option urk: did you mean url?",
        ),
        // A key can hold what a terminal would heed.
        (
            "\"\\u001b[2J\" = 1",
            "f.toml, line 1: there is no option \\u{1b}[2J: the sample has all there are",
        ),
    ]);
}

#[test]
fn an_option_in_a_wrong_table_is_shown_to_its_own() {
    assert_all(&[
        (
            "[ssh]\nbatch_size = 1",
            "f.toml, line 2: [ssh] has no option batch_size: it belongs into [batch]",
        ),
        (
            "batch_size = 1",
            "f.toml, line 1: there is no option batch_size: it belongs into [batch]",
        ),
        (
            "url = \"a\"",
            "f.toml, line 1: there is no option url: it belongs into [[endpoints]]",
        ),
        (
            "[ssh]\nfacility = \"A\"",
            "f.toml, line 2: [ssh] has no option facility: it belongs into the lines above the first table",
        ),
        (
            "[privacy]\nhash = \"md5\"",
            "f.toml, line 2: [privacy] has no option hash: it belongs into [privacy.names]",
        ),
    ]);
}

#[test]
fn an_unknown_table_is_named_with_what_was_meant() {
    assert_all(&[
        (
            "[bach]\nx = 1",
            "f.toml, line 1: there is no table [bach]: did you mean [batch]?",
        ),
        (
            "\n[qwxz]",
            "f.toml, line 2: there is no table [qwxz]: the sample has all there are",
        ),
        (
            "[[endpoint]]\nurl = \"a\"",
            "f.toml, line 1: there is no table [endpoint]: did you mean [[endpoints]]?",
        ),
        (
            "[batch.more]\nx = 1",
            "f.toml, line 1: there is no table [batch.more]: did you mean [batch]?",
        ),
        (
            "qwxz = { a = 1 }",
            "f.toml, line 1: there is no table [qwxz]: the sample has all there are",
        ),
    ]);
}

#[test]
fn a_list_is_no_table_and_a_table_is_no_list() {
    assert_all(&[
        (
            "[endpoints]\nurl = \"a\"",
            "f.toml, line 1: there can be several: write [[endpoints]]",
        ),
        (
            "[[batch]]\nbatch_size = 1",
            "f.toml, line 1: batch is a table: write [batch]",
        ),
        (
            "batch = 1",
            "f.toml, line 1: batch is a table: write [batch]",
        ),
        (
            "endpoints = \"a\"",
            "f.toml, line 1: endpoints is a table: write [[endpoints]]",
        ),
        (
            "privacy = true",
            "f.toml, line 1: privacy is a table: write [privacy]",
        ),
        (
            "endpoints = [\n1]",
            "f.toml, line 2, [[endpoints]]: is no table",
        ),
    ]);
}

#[test]
fn a_wrong_type_is_said_with_the_right_one() {
    assert_all(&[
        (
            "facility = 1",
            "f.toml, line 1, facility: takes a text in quotes, and this is a whole number",
        ),
        (
            "facility = {}",
            "f.toml, line 1, facility: takes a text in quotes, and this is a table",
        ),
        (
            "facility.a = 1",
            "f.toml, line 1, facility: takes a text in quotes, and this is a table",
        ),
        (
            "facility = [\"A\"]",
            "f.toml, line 1, facility: takes a text in quotes, and this is a list",
        ),
        (
            "facility = 2026-11-23",
            "f.toml, line 1, facility: takes a text in quotes, and this is a date",
        ),
        (
            "[ssh]\nenabled = \"yes\"",
            "f.toml, line 2, [ssh] enabled: takes true or false, and this is a text",
        ),
        (
            "[batch]\nbatch_size = 1.5",
            "f.toml, line 2, [batch] batch_size: takes a whole number, and this is a number with a point",
        ),
        (
            "[batch]\nbatch_size = true",
            "f.toml, line 2, [batch] batch_size: takes a whole number, and this is true or false",
        ),
        (
            "[batch]\nexclude_owners = \"canary-1\"",
            "f.toml, line 2, [batch] exclude_owners: takes a list of texts ([\"...\", \"...\"]), and this is a text",
        ),
        (
            "[batch]\nexclude_owners = [\"canary-1\",\n1]",
            "f.toml, line 2, [batch] exclude_owners: takes a list of texts ([\"...\", \"...\"]), and one of these is a whole number",
        ),
        (
            "[[endpoints]]\ngzip = 1",
            "f.toml, line 2, [[endpoints]] gzip: takes true or false, and this is a whole number",
        ),
    ]);
}

#[test]
fn a_value_out_of_bounds_is_said_with_the_bounds() {
    assert_all(&[
        (
            "[batch]\nbatch_size = 0",
            "f.toml, line 2, [batch] batch_size: 0 is not in 1..=1000",
        ),
        (
            "[batch]\nbatch_size = -1",
            "f.toml, line 2, [batch] batch_size: -1 is not in 1..=1000",
        ),
        (
            "[batch]\nbatch_size = 4294967297",
            "f.toml, line 2, [batch] batch_size: 4294967297 is not in 1..=1000",
        ),
        (
            "endpoints = []",
            "f.toml, line 1, endpoints: may not be empty: without it the default holds",
        ),
        (
            "[batch]\nexclude_owners = []",
            "f.toml, line 2, [batch] exclude_owners: may not be empty: without it the default holds",
        ),
        (
            "[batch]\nbatch_size = 99999999999999999999",
            "f.toml, line 2, [batch] batch_size: is a number beyond all bounds",
        ),
        (
            "[privacy.names]\nhash = \"sha1\"",
            "f.toml, line 2, [privacy.names] hash: \"sha1\" is none of md5, sha256",
        ),
        (
            "[privacy.names]\nsalt_file = \"\"",
            "f.toml, line 2, [privacy.names] salt_file: may not be empty",
        ),
        (
            "[privacy.names]\nlisten = \"nowhere\"",
            "f.toml, line 2, [privacy.names] listen: invalid socket address syntax",
        ),
    ]);
    let said = mistake("deadline_secs = 0");
    assert!(
        said.starts_with("f.toml, line 1, deadline_secs: 0 is not in 1.."),
        "{said}"
    );
}

#[test]
fn flags_that_exclude_or_need_others_are_held_together() {
    let said = mistake("[privacy.names]\nlisten = \"[::1]:1\"\nsalt_file = \"a\"");
    let either = [
        "f.toml, line 2, [privacy.names] listen: cannot stand beside --salt-file <FILE>",
        "f.toml, line 3, [privacy.names] salt_file: cannot stand beside --listen <LISTEN>",
    ];
    assert!(either.contains(&said.as_str()), "{said}");
    assert_eq!(
        mistake("facility = \"A\"\n[privacy.names]\ncert = \"a\""),
        "f.toml, line 3, [privacy.names] cert: needs --salt-file beside it"
    );
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    for (text, line) in [
        ("facility = \"A", 1),
        ("facility = A", 1),
        ("\n[ssh\nenabled = true", 2),
        ("facility = \"A\"\n\nfacility = \"B\"", 3),
        ("[ssh]\n[batch]\n[ssh]\n", 3),
        ("[ssh]\r\nenabled = true\r\nenabled = false\r\n", 3),
        ("a = 1\n= 2", 2),
    ] {
        let said = read(text).unwrap_err().to_string();
        let begin = format!("f.toml, line {line}: ");
        assert!(
            said.starts_with(&begin) && said.len() > begin.len(),
            "{text}: {said}"
        );
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn tables_may_be_written_in_every_way() {
    let plain = given("[batch]\nbatch_size = 7\n[privacy.names]\nhash = \"md5\"");
    assert_eq!(plain.len(), 2);
    for text in [
        "batch.batch_size = 7\nprivacy.names.hash = \"md5\"",
        "batch = { batch_size = 7 }\nprivacy = { names = { hash = \"md5\" } }",
        "[privacy]\nnames.hash = \"md5\"\n[batch]\n\"batch_size\" = 0x7",
        "\u{feff}[batch]\r\nbatch_size = 0b0111\r\n[privacy.names]\r\nhash = '''md5'''\r\n",
    ] {
        assert_eq!(given(text), plain, "{text}");
    }
    let urls = |text: &str| {
        let settings = read(text).unwrap();
        let items = settings.list("endpoints");
        items
            .map(|item| item.given[0].values[0].clone())
            .collect::<Vec<_>>()
    };
    let two = ["b", "a"];
    assert_eq!(
        urls("[[endpoints]]\nurl = \"b\"\n[[endpoints]]\nurl = \"a\""),
        two
    );
    assert_eq!(urls("endpoints = [{ url = \"b\" }, { url = \"a\" }]"), two);
    let places = read("[[endpoints]]\n\n[[endpoints]]\nurl = \"b\"\n").unwrap();
    let places: Vec<_> = places
        .items
        .iter()
        .map(|item| item.place.as_str())
        .collect();
    assert_eq!(
        places,
        [
            "f.toml, line 1, [[endpoints]]",
            "f.toml, line 3, [[endpoints]]"
        ]
    );
}

#[test]
fn numbers_may_be_written_in_every_way() {
    for (written, number) in [
        ("1_000", "1000"),
        ("0x3e8", "1000"),
        ("0o17", "15"),
        ("0b1111_0000", "240"),
        ("+7", "7"),
        ("-7", "-7"),
        ("9223372036854775807", "9223372036854775807"),
    ] {
        let values = given(&format!("[batch]\nbatch_size = {written}"));
        assert_eq!(
            values,
            [("batch_size".to_owned(), vec![number.to_owned()])],
            "{written}"
        );
    }
}

fn variables(all: &[(&str, &str)]) -> (Result<Vec<Given>, Wrong>, Vec<String>) {
    let all = all
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}").into(), value.into()));
    let mut unknown = Vec::new();
    let given = of_environment(all, PREFIX, &command(), |name, meant| {
        unknown.push(format!("{name} {meant:?}"));
    });
    (given, unknown)
}

#[test]
fn variables_stand_for_flags() {
    let (given, unknown) = variables(&[
        ("SSH", "Yes"),
        ("EXCLUDE_OWNER", "canary-1\ncanary-2\n"),
        ("BATCH_SIZE", "7"),
        ("CLUSTER", ""),
    ]);
    let given = given.unwrap();
    let is = |flag: &str, values: &[&str]| {
        (
            flag.to_owned(),
            values.iter().map(|value| (*value).to_owned()).collect(),
        )
    };
    assert_eq!(
        flags(&given),
        [
            is("ssh", &["true"]),
            is("exclude_owner", &["canary-1", "canary-2"]),
            is("batch_size", &["7"])
        ]
    );
    assert_eq!(given[2].place, "CANARY_BATCH_SIZE");
    assert!(unknown.is_empty());
    for (value, is_on) in [
        ("1", "true"),
        ("ON", "true"),
        ("off", "false"),
        ("0", "false"),
        ("no", "false"),
    ] {
        let (given, _) = variables(&[("SSH", value)]);
        assert_eq!(given.unwrap()[0].values, [is_on]);
    }
}

#[test]
fn variables_that_are_wrong_are_named() {
    let wrong = |name: &str, value: &str| {
        let (given, _) = variables(&[(name, value)]);
        given
            .and_then(|given| check(&command(), &given))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        wrong("SSH", "perhaps"),
        "CANARY_SSH: is neither true nor false"
    );
    assert_eq!(
        wrong("BATCH_SIZE", "many"),
        "CANARY_BATCH_SIZE: is no whole number"
    );
    assert_eq!(
        wrong("BATCH_SIZE", "99999999999999999999"),
        "CANARY_BATCH_SIZE: is a number beyond all bounds"
    );
    assert_eq!(
        wrong("BATCH_SIZE", "0"),
        "CANARY_BATCH_SIZE: 0 is not in 1..=1000"
    );
    assert_eq!(
        wrong("HASH", "sha1"),
        "CANARY_HASH: \"sha1\" is none of md5, sha256"
    );
    assert_eq!(
        wrong("VERBOSE", "much"),
        "CANARY_VERBOSE: is not how often the flag is said, 0 to 255"
    );
    let broken = [("CANARY_CLUSTER".into(), OsString::from_vec(vec![0xff]))];
    let said = of_environment(broken, PREFIX, &command(), |_, _| ()).unwrap_err();
    assert_eq!(said.to_string(), "CANARY_CLUSTER: is not UTF-8");
}

#[test]
fn variables_that_stand_for_nothing_are_told_with_what_was_meant() {
    let (given, unknown) = variables(&[("BATCHSIZE", "7"), ("QWXZ", "1"), ("BATCH-SIZE", "7")]);
    assert_eq!(given.unwrap(), []);
    assert_eq!(
        unknown,
        [
            "CANARY_BATCHSIZE Some(\"CANARY_BATCH_SIZE\")",
            "CANARY_QWXZ None",
            "CANARY_BATCH-SIZE Some(\"CANARY_BATCH_SIZE\")"
        ]
    );
    // Others' variables are none of ours, whatever is in them.
    let others = [
        ("HOME".into(), OsString::from_vec(vec![0xff])),
        (OsString::from_vec(b"CANARY_\xff".to_vec()), "1".into()),
    ];
    let given = of_environment(others, PREFIX, &command(), |name, _| panic!("{name}"));
    assert_eq!(given.unwrap(), []);
}
