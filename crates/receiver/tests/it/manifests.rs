//! The receiver in a cluster: what `dist/kubernetes/receiver-statefulset.yaml` starts and asks for is there. (That its
//! objects are Kubernetes' is a test of the collector, which has their types.)

use std::fs;
use std::path::Path;

use afmetrics_receiver::cli::Cli;
use clap::Parser as _;

use crate::support::World;

/// Its lines, without the blanks before them.
fn lines() -> Vec<String> {
    let file = "../../dist/kubernetes/receiver-statefulset.yaml";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_pod_starts_a_command_line_that_there_is() {
    let lines = lines();
    let from = lines.iter().position(|line| line == "args:").unwrap();
    let words = lines[from + 1..]
        .iter()
        .map_while(|line| line.strip_prefix("- "));
    let words: Vec<&str> = ["afmetrics_receiver"].into_iter().chain(words).collect();
    assert_eq!(words[1], "serve");
    assert!(words.len() > 2, "{words:?}");
    Cli::try_parse_from(&words).unwrap();
}

/// The paths that the cluster asks are answered, to strangers, too.
#[test]
fn the_probes_are_answered() {
    let lines = lines();
    let paths: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("path: "))
        .collect();
    assert_eq!(paths.len(), 3);
    let world = World::new();
    let running = world.serve(&[]);
    for path in paths {
        assert_eq!(running.get(path, "").0, 200, "{path}");
    }
}
