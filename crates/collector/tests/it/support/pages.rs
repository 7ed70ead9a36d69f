//! The pages that people write, and the commands on them. The receiver's tests use this file, too.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README, CONTRIBUTING, ARCHITECTURE and `docs/*.md`.
pub fn pages() -> Vec<PathBuf> {
    let top = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"];
    let mut files: Vec<PathBuf> = top.map(|name| root().join(name)).into();
    files.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    files.sort();
    files
}

/// A line that a page tells to type.
#[derive(Debug, Clone)]
pub struct Line {
    /// For messages: `docs/install.md:12`.
    pub place: String,
    pub text: String,
    /// It stands between ```` ```sh ```` and ```` ``` ````, so it is a command for sure.
    pub is_fenced: bool,
}

/// All of them: what is fenced as `sh`, and the lines of indented blocks that name one of our programs.
pub fn lines() -> Vec<Line> {
    pages()
        .iter()
        .flat_map(|page| {
            let name = page.file_name().unwrap().to_str().unwrap().to_owned();
            lines_of(&name, &fs::read_to_string(page).unwrap())
        })
        .collect()
}

fn lines_of(page: &str, text: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let (mut fence, mut continues) = (None, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            fence = match fence {
                None => Some(language.to_owned()),
                Some(_) => None,
            };
            continue;
        }
        let indented = line.strip_prefix("    ").filter(|_| fence.is_none());
        let (text, is_fenced) = match (&fence, indented) {
            (Some(language), _) if language == "sh" => (line, true),
            (None, Some(text)) if continues || is_of_ours(text) => (text, false),
            _ => continue,
        };
        let (text, goes_on) = match text.strip_suffix('\\') {
            Some(begun) => (begun, true),
            None => (text, false),
        };
        match found.last_mut().filter(|_| continues) {
            Some(line) => line.text.push_str(text),
            None => found.push(Line {
                place: format!("{page}:{}", number + 1),
                text: text.to_owned(),
                is_fenced,
            }),
        }
        continues = goes_on;
    }
    found.retain(|line| !words(&line.text).is_empty());
    found
}

/// An indented line that runs one of our programs: not a line of a log, of JSON or of a table.
fn is_of_ours(text: &str) -> bool {
    let is_shown = text.starts_with(['{', '<', '-']) || text.contains(" INFO ");
    let runs = |program: &str| !arguments(text, program).is_empty();
    !is_shown && (runs("afmetrics_collector") || runs("afmetrics_receiver") || runs("cargo"))
}

/// A word of a line, or what separates two commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Text(String),
    Operator,
}

/// The words of a line as a shell takes them, up to a comment. Nothing is expanded.
pub fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take().map(Word::Text)),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')') => {
                // `2>file`
                let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
                words.extend(word.take().filter(|word| !is_number(word)).map(Word::Text));
                words.push(Word::Operator);
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.map(Word::Text));
    words
}

/// What a line gives to a program, each time it runs it: in a crontab, behind `sudo -u USER` or a
/// variable, or in a pipe, too.
pub fn arguments(line: &str, program: &str) -> Vec<Vec<String>> {
    let words = words(line);
    let commands = words.split(|word| *word == Word::Operator);
    commands
        .filter_map(|command| {
            let texts: Vec<&str> = command
                .iter()
                .map(|word| match word {
                    Word::Text(text) => text.as_str(),
                    Word::Operator => "",
                })
                .collect();
            // A user may have the program's name, so the last word that can be the program is it.
            let at = (0..texts.len()).rev().find(|at| {
                let may_be = is_program(texts[*at], program);
                may_be && texts[..*at].iter().all(|text| may_stand_before(text))
            })?;
            let arguments = texts[at + 1..].iter();
            Some(arguments.map(|text| (*text).to_owned()).collect())
        })
        .collect()
}

fn is_program(word: &str, program: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    name == program || name.strip_suffix(".new") == Some(program)
}

/// `sudo -u USER`, `NAME=VALUE`, `$`, `logger` of none; or the times and the user of a crontab.
fn may_stand_before(word: &str) -> bool {
    let is_time = |c: char| c.is_ascii_digit() || "*/,-".contains(c);
    let is_variable = word
        .split_once('=')
        .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
    matches!(
        word,
        "sudo" | "-u" | "$" | "nobody" | "afmetrics" | "afmetrics_receiver"
    ) || word.chars().all(is_time)
        || is_variable
}
