//! `docs/log-lines.md` has every line of level ERROR and WARN that is in the source, with its level, and none
//! that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::pages::root;

/// How a line gets into the log: what stands before its text, and the level.
const WAYS: &[(&str, &str)] = &[
    ("error!(", "ERROR"),
    ("warn!(", "WARN"),
    ("info!(", "INFO"),
    // What is said by one of these later.
    ("self.stop(", "ERROR"),
    ("self.warn(", "WARN"),
    ("warnings.push(", "WARN"),
    ("remarks.push(", "INFO"),
    ("NOTHING_HASHED: &str =", "WARN"),
];

/// The texts of the files below a folder, without their tests.
fn sources_of(folder: &str) -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.push(text.to_owned());
            }
        }
    }
    let mut found = Vec::new();
    below(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        &mut found,
    );
    found
}

/// The string that a text begins with, behind blanks and `format!(`; without the breaks of its lines.
fn literal(text: &str) -> Option<String> {
    let text = text.trim_start();
    let text = text.strip_prefix('&').unwrap_or(text);
    let text = text.strip_prefix("format!(").unwrap_or(text).trim_start();
    let mut letters = text.strip_prefix('"')?.chars().peekable();
    let mut found = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(found),
            '\\' => match letters.next()? {
                '\n' => while letters.next_if(|c| c.is_whitespace()).is_some() {},
                'n' => found.push('\n'),
                other => found.push(other),
            },
            other => found.push(other),
        }
    }
    None
}

/// With `…` for what is put in.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut is_inside = false;
    for letter in text.chars() {
        match letter {
            '{' => is_inside = true,
            '}' => {
                is_inside = false;
                shape.push('…');
            }
            _ if is_inside => {}
            other => shape.push(other),
        }
    }
    shape
}

/// Lines whose text is only put together there: who made it says it, under *reasons* on the page.
fn is_passed_on(shape: &str) -> bool {
    !shape.contains(|c: char| c.is_ascii_alphabetic())
}

fn all_sources() -> Vec<String> {
    [sources_of("src"), sources_of("../settings/src")].concat()
}

fn lines_of_the_source() -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for text in all_sources() {
        for (way, level) in WAYS {
            for (at, _) in text.match_indices(way) {
                if let Some(literal) = literal(&text[at + way.len()..]) {
                    found.insert((*level, shape(&literal)));
                }
            }
        }
    }
    found.retain(|(_, shape)| !is_passed_on(shape));
    assert!(found.len() > 50, "{}", found.len());
    found
}

/// Every string of the source, so that a reason can be found in it.
fn strings_of_the_source() -> Vec<String> {
    let mut found = Vec::new();
    for text in all_sources() {
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        for (at, _) in code.match_indices('"') {
            found.extend(literal(&code[at..]).map(|literal| shape(&literal)));
        }
    }
    found
}

fn page() -> String {
    fs::read_to_string(root().join("docs/log-lines.md")).unwrap()
}

/// The rows of the page: level, or what else is in the first cell, and text.
fn rows() -> Vec<(String, String)> {
    let page = page();
    page.lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| {
            let mut cells = line.trim_end_matches(" |").split(" | ");
            let (first, text) = (cells.next()?, cells.next()?);
            if !["ERROR", "WARN", "INFO", "reason"].contains(&first) {
                return None;
            }
            let text = text.trim_matches(['`', ' ']);
            let (means, todo) = (cells.next(), cells.next());
            let is_whole = means.is_some_and(|cell| cell.len() > 5)
                && todo.is_some_and(|cell| !cell.is_empty());
            assert!(is_whole && cells.next().is_none(), "four cells: {line}");
            Some((first.to_owned(), text.to_owned()))
        })
        .collect()
}

#[test]
fn every_line_of_error_and_warn_has_a_row_and_no_row_is_of_none() {
    let of_source = lines_of_the_source();
    let mut of_page: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (level, text) in rows() {
        if ["ERROR", "WARN", "INFO"].contains(&level.as_str()) {
            *of_page.entry((level, text)).or_default() += 1;
        }
    }
    let mut wrong = Vec::new();
    for (level, text) in &of_source {
        let row = ((*level).to_owned(), text.clone());
        if *level != "INFO" && !of_page.contains_key(&row) {
            wrong.push(format!("has no row: {level} {text}"));
        }
    }
    for ((level, text), count) in &of_page {
        let is_there = of_source
            .iter()
            .any(|line| line.0 == level && line.1 == *text);
        if !is_there || *count > 1 {
            wrong.push(format!("is no line, or twice: {level} {text}"));
        }
    }
    assert!(wrong.is_empty(), "docs/log-lines.md\n{}", wrong.join("\n"));
}

/// What stands behind a collector's or an endpoint's name: rows whose first cell is `reason`.
#[test]
fn every_reason_on_the_page_is_said_somewhere() {
    let strings = strings_of_the_source();
    let reasons: Vec<String> = rows()
        .into_iter()
        .filter(|(first, _)| first == "reason")
        .map(|(_, text)| text)
        .collect();
    assert!(reasons.len() > 40, "{}", reasons.len());
    for reason in reasons {
        let parts: Vec<&str> = reason
            .split('…')
            .map(|part| part.trim_matches(|c: char| c.is_whitespace() || ",;:()".contains(c)))
            .filter(|part| part.len() > 3)
            .collect();
        assert!(!parts.is_empty(), "{reason}");
        for part in parts {
            assert!(
                strings.iter().any(|string| string.contains(part)),
                "nothing says {part:?}, of: {reason}"
            );
        }
    }
}
