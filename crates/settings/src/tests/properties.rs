//! Whatever is in a file or a variable, it is a value or an error.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::{LAYOUT, PREFIX, command, endpoint, parsed, read};
use crate::layers::of_environment;
use crate::{Settings, check, parse_item};

/// Stands in values that are wrong, and in no message.
const CANARY: &str = "s3cret-canary";

/// All that a program does with what it has read; what was wrong.
fn use_all(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    match check(&command(), &settings.given) {
        // What was checked can be a default.
        Ok(()) => {
            for words in [&[][..], &["run"]] {
                parsed(&settings.given, words).expect("it was checked");
            }
        }
        Err(why) => wrong.push(why.to_string()),
    }
    for item in &settings.items {
        if let Err(why) = parse_item(&endpoint(), item) {
            wrong.push(why.to_string());
        }
    }
    wrong
}

/// What is wrong with a text as a file.
fn wrong_with(text: &str) -> Vec<String> {
    match read(text) {
        Ok(settings) => use_all(&settings),
        Err(why) => vec![why.to_string()],
    }
}

/// A value as TOML, of any sort.
fn value() -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-2_i64..1100).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("0x{number:x}")),
        any::<bool>().prop_map(|is_on| is_on.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
        Just("2026-11-23T00:00:00Z".to_owned()),
        prop::sample::select(vec![
            "md5",
            "sha256",
            "",
            "[::1]:1",
            "127.0.0.1:80",
            "/etc/x",
            "--ssh",
            "-1"
        ])
        .prop_map(|text| format!("'{text}'")),
        "[^'\\x00-\\x1f\\x7f]{0,12}".prop_map(|text| format!("'{text}'")),
    ];
    prop_oneof![
        4 => simple.clone(),
        1 => prop::collection::vec(simple.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
        1 => simple.prop_map(|one| format!("{{ a = {one} }}")),
    ]
}

/// A file that has options of the layout with values of any sort, each at most once.
fn file() -> impl Strategy<Value = String> {
    let tables = LAYOUT.tables.iter().map(|table| {
        let options: Vec<&str> = table.options.iter().map(|row| row.option).collect();
        let header = match (table.name, table.is_list) {
            ("", _) => String::new(),
            (name, true) => format!("[[{name}]]\n"),
            (name, false) => format!("[{name}]\n"),
        };
        let lines: Vec<_> = options
            .into_iter()
            .map(|option| {
                prop::option::weighted(0.3, value()).prop_map(move |value| (option, value))
            })
            .collect();
        lines.prop_map(move |lines| {
            let mut text = header.clone();
            for (option, value) in lines {
                if let Some(value) = value {
                    text += &format!("{option} = {value}\n");
                }
            }
            text
        })
    });
    tables
        .collect::<Vec<_>>()
        .prop_map(|tables| tables.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_file_or_a_mistake_in_a_line(text in any::<String>()) {
        for wrong in wrong_with(&text) {
            prop_assert!(wrong.starts_with("f.toml, line "), "{wrong}");
        }
    }

    #[test]
    fn any_file_is_a_command_line_or_a_mistake(text in file()) {
        wrong_with(&text);
    }

    /// Without the mistakes of type nearly all gets as far as clap.
    #[test]
    fn what_was_checked_can_be_a_default(
        facility in "[^'\\x00-\\x1f\\x7f]{0,12}",
        owners in prop::collection::vec("[^'\\x00-\\x1f\\x7f]{0,6}", 0..4),
        size in prop_oneof![-2_i64..1100, any::<i64>()],
        deadline in prop_oneof![-2_i64..9, any::<i64>()],
        hash in "md5|sha256|sha1||MD5",
        salt in "|/etc/salt|[a-z-]{1,5}",
        is_on in any::<bool>(),
    ) {
        let owners: Vec<String> = owners.iter().map(|owner| format!("'{owner}'")).collect();
        let text = format!(
            "facility = '{facility}'\ndeadline_secs = {deadline}\nssh.enabled = {is_on}\n\
             batch = {{ batch_size = {size}, exclude_owners = [{}] }}\n\
             privacy.names = {{ hash = '{hash}', salt_file = '{salt}' }}",
            owners.join(", ")
        );
        let is_good = !owners.is_empty() && (1..=1000).contains(&size) && deadline > 0 && ["md5", "sha256"].contains(&hash.as_str()) && !salt.is_empty();
        prop_assert_eq!(wrong_with(&text).is_empty(), is_good, "{}: {:?}", text, wrong_with(&text));
    }

    #[test]
    fn any_bytes_are_a_variable_or_a_mistake(
        flag in prop::sample::select(vec!["SSH", "CLUSTER", "EXCLUDE_OWNER", "BATCH_SIZE", "DEADLINE", "HASH", "SALT_FILE", "LISTEN", "VERBOSE", "X"]),
        bytes in prop_oneof![
            prop::collection::vec(1_u8.., 0..12),
            "[0-9]{1,4}|true|no|md5|/etc|\\[::1\\]:1|a\nb\n\nc".prop_map(String::into_bytes),
        ],
    ) {
        let name = format!("{PREFIX}{flag}");
        let all = [(OsString::from(&name), OsString::from_vec(bytes))];
        match of_environment(all, PREFIX, &command(), |_, _| ()) {
            Ok(given) => {
                let settings = Settings { given, items: Vec::new() };
                for wrong in use_all(&settings) {
                    let begin = format!("{name}: ");
                    prop_assert!(wrong.starts_with(&begin), "{}", wrong);
                }
            }
            Err(why) => {
                let begin = format!("{name}: ");
                prop_assert!(why.to_string().starts_with(&begin), "{}", why);
            }
        }
    }

    /// But for where there is a list of what can be.
    #[test]
    fn no_message_quotes_a_value(
        option in prop::sample::select(vec![
            "facility", "deadline_secs", "ssh.enabled", "batch.exclude_owners", "batch.batch_size",
            "privacy.names.salt_file", "privacy.names.listen", "privacy.names.cert", "endpoints", "no_such",
        ]),
        around in prop::sample::select(vec![
            "'V'", "['V']", "['V', 1]", "{ a = 'V' }", "'V", "V", "\"V\\q\"", "'''V", "[ 'V'", "{ a = 'V'", "'V' 'V'", "[[{ url = 'V' }]]",
        ]),
    ) {
        let text = format!("{option} = {}\n", around.replace('V', CANARY));
        for wrong in wrong_with(&text) {
            prop_assert!(!wrong.contains("s3cret"), "{text}{wrong}");
        }
        let flags = ["SSH", "BATCH_SIZE", "DEADLINE", "LISTEN", "VERBOSE"];
        for flag in flags {
            let all = [(OsString::from(format!("{PREFIX}{flag}")), OsString::from(CANARY))];
            let wrong = of_environment(all, PREFIX, &command(), |_, _| ())
                .and_then(|given| check(&command(), &given))
                .unwrap_err()
                .to_string();
            prop_assert!(!wrong.contains("s3cret"), "{}", wrong);
        }
    }
}
