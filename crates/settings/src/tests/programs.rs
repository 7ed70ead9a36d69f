//! The file that a program reads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{LAYOUT, PREFIX, command};
use crate::{Program, Settings};

const PROGRAM: Program = Program {
    layout: LAYOUT,
    prefix: PREFIX,
    file: "/canary/there/is/none.toml",
    unreadable: "not for you",
    command,
};

fn at(folder: &Path) -> Program {
    Program {
        file: folder
            .join("canary.toml")
            .to_str()
            .unwrap()
            .to_owned()
            .leak(),
        ..PROGRAM
    }
}

#[test]
fn the_usual_file_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = (None, Settings::default());
    assert_eq!(PROGRAM.settings(None), Ok(nothing.clone()));
    let program = at(folder.path());
    assert_eq!(program.settings(None), Ok(nothing.clone()));
    fs::write(program.file, "facility = \"canary\"").unwrap();
    let (file, settings) = program.settings(None).unwrap();
    assert_eq!(file, Some(PathBuf::from(program.file)));
    assert_eq!(settings.given[0].values, ["canary"]);
    let below = Program {
        file: format!("{}/below.toml", program.file).leak(),
        ..PROGRAM
    };
    assert_eq!(below.settings(None), Ok(nothing));
}

#[test]
fn a_named_file_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    let said = PROGRAM
        .settings(Some(path.clone()))
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with(&format!("{}: cannot be read: No such file", path.display())),
        "{said}"
    );
    assert!(
        at(folder.path())
            .settings(Some(folder.path().into()))
            .is_err(),
        "a folder"
    );
}

/// Somebody wanted one.
#[test]
fn a_link_that_leads_nowhere_is_no_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = at(folder.path());
    symlink("/canary/gone", program.file).unwrap();
    let said = program.settings(None).unwrap_err().to_string();
    assert!(said.contains("cannot be read: No such file"), "{said}");
}

#[test]
fn what_a_file_says_is_held_against_the_flags_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = at(folder.path());
    fs::write(program.file, "[batch]\nbatch_size = 0").unwrap();
    let said = program.settings(None).unwrap_err().to_string();
    assert!(
        said.ends_with("line 2, [batch] batch_size: 0 is not in 1..=1000"),
        "{said}"
    );
}

#[test]
fn a_variable_that_stands_for_nothing_is_a_warning() {
    let mut warnings = Vec::new();
    let all = [("CANARY_BATCHSIZE".into(), "7".into())];
    assert_eq!(PROGRAM.variables(all, &mut warnings), Ok(Vec::new()));
    assert_eq!(
        warnings,
        ["CANARY_BATCHSIZE in the environment stands for no flag: did you mean CANARY_BATCH_SIZE?"]
    );
    let wrong = [("CANARY_BATCH_SIZE".into(), "0".into())];
    let said = PROGRAM
        .variables(wrong, &mut warnings)
        .unwrap_err()
        .to_string();
    assert_eq!(said, "CANARY_BATCH_SIZE: 0 is not in 1..=1000");
}
