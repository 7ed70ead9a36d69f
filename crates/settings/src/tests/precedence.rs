//! Flags win over the environment over the file over defaults.

use super::{Below, Cli, Hash, PREFIX, Round, cli, command, parsed, read};
use crate::layers::of_environment;
use crate::{Given, check};

const FILE: &str = "facility = \"FILE\"\n[ssh]\nenabled = true\n\
    [batch]\nexclude_owners = [\"canary-1\"]\nbatch_size = 1\n[privacy.names]\nhash = \"sha256\"\n";

/// The file, then these variables above it.
fn layers(variables: &[(&str, &str)]) -> Vec<Given> {
    let mut given = read(FILE).unwrap().given;
    let variables = variables
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}").into(), value.into()));
    let more = of_environment(variables, PREFIX, &command(), |name, _| panic!("{name}")).unwrap();
    check(&command(), &given).unwrap();
    check(&command(), &more).unwrap();
    given.extend(more);
    given
}

fn round(cli: Cli) -> Round {
    match cli.below {
        Some(Below::Run { round }) => round,
        None => cli.round,
    }
}

#[test]
fn nothing_said_is_the_default() {
    for words in [&[][..], &["run"]] {
        let round = round(cli("", words));
        assert_eq!(round.cluster, "UC-AF");
        assert_eq!(
            (round.ssh, round.batch_size, round.hash),
            (false, 500, Hash::Md5)
        );
        assert_eq!(round.exclude_owner, ["canary-8", "canary-9"]);
        assert_eq!(round.deadline, None);
    }
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let variables = [
        ("CLUSTER", "VARIABLE"),
        ("EXCLUDE_OWNER", "canary-2\ncanary-3"),
        ("BATCH_SIZE", "2"),
        ("SSH", "0"),
    ];
    for below in [None, Some("run")] {
        let said = |given: &[Given], words: &[&str]| {
            let words: Vec<&str> = below.into_iter().chain(words.iter().copied()).collect();
            round(parsed(given, &words).unwrap())
        };
        let by_file = said(&layers(&[]), &[]);
        assert_eq!(by_file.cluster, "FILE");
        assert_eq!(
            (by_file.ssh, by_file.batch_size, by_file.hash),
            (true, 1, Hash::Sha256)
        );
        assert_eq!(by_file.exclude_owner, ["canary-1"]);
        let by_variable = said(&layers(&variables), &[]);
        assert_eq!(by_variable.cluster, "VARIABLE");
        assert_eq!(
            (by_variable.ssh, by_variable.batch_size, by_variable.hash),
            (false, 2, Hash::Sha256)
        );
        assert_eq!(by_variable.exclude_owner, ["canary-2", "canary-3"]);
        let words = [
            "--cluster",
            "FLAG",
            "--ssh",
            "--exclude-owner=canary-4",
            "--batch-size=3",
            "--hash=md5",
        ];
        let by_flag = said(&layers(&variables), &words);
        assert_eq!(by_flag.cluster, "FLAG");
        assert_eq!(
            (by_flag.ssh, by_flag.batch_size, by_flag.hash),
            (true, 3, Hash::Md5)
        );
        assert_eq!(by_flag.exclude_owner, ["canary-4"]);
    }
}

#[test]
fn how_often_a_flag_is_said_is_a_number() {
    for (value, verbose) in [("0", 0), ("2", 2), ("255", 255)] {
        assert_eq!(
            parsed(&layers(&[("VERBOSE", value)]), &[])
                .unwrap()
                .round
                .verbose,
            verbose
        );
    }
    assert_eq!(
        parsed(&layers(&[("VERBOSE", "2")]), &["-v"])
            .unwrap()
            .round
            .verbose,
        1
    );
}

/// A value may look like a flag, or be whatever a shell would make something of.
#[test]
fn values_are_taken_as_they_stand() {
    for value in [
        "--batch-size",
        "-s",
        "--",
        "a b",
        "a=b",
        "a,b",
        "$HOME",
        "",
        "é\\n",
    ] {
        let round = cli(
            &format!("facility = '{value}'\n[batch]\nexclude_owners = ['{value}', 'x']"),
            &["run"],
        );
        let round = self::round(round);
        assert_eq!(round.cluster, value);
        assert_eq!(round.exclude_owner, [value, "x"]);
    }
}
