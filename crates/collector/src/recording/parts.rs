//! What a line of recorded text consists of: where a user or a host stands, and what is other text.
//!
//! ```text
//! who, last    canary-1 pts/0        Nov 22 20:11 (192.0.2.1)     the first word
//! ClassAds     "Owner": "canary-1"                                by the key; "GlobalJobId": "HOST#1.0#1795378484"
//! Kubernetes   "labels":{"owner":"canary-1"}                      by the key
//! squeue, sacct  22·canary-1·1001·...                             by the column
//! ```

use serde_json::Value;

/// A part of a line. All parts of a line, one after the other, are the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a [u8]),
    /// Text where a number that stands alone is no name.
    Fields(&'a [u8]),
    /// No name can stand here.
    Stays(&'a [u8]),
    User(&'a [u8]),
    /// A string of JSON, with its quotes.
    Literal(&'a [u8], Meaning),
}

/// What a string of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Text,
    User,
    Host,
    /// `SCHEDD#CLUSTER.PROC#TIME`
    Job,
}

/// Of what kind a text is.
#[derive(Debug, Clone)]
pub enum Shape {
    Text,
    /// The first word is a user.
    Sessions,
    /// Columns by number; `None`: the first line has their names.
    Columns(Option<Columns>),
    /// JSON, line by line: the keys, in small letters, whose values are users, and those whose values are hosts.
    Json {
        users: Vec<String>,
        hosts: &'static [&'static str],
    },
}

/// Keys of ClassAds whose values are hosts.
const OF_HOSTS: &[&str] = &[
    "name",
    "machine",
    "scheddname",
    "remotescheddname",
    "remotehost",
];
const OF_JOBS: &str = "globaljobid";
const SEPARATOR: u8 = 0x1f;

/// Which column is which.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    user: usize,
    /// That user's number, which stands for a name that the system does not know.
    uid: Option<usize>,
    /// Partition, account and reason: all others but the user are numbers.
    words: [Option<usize>; 3],
    /// It may have a word that nobody knows yet.
    state: usize,
}

/// A job's number, where it has no name.
#[derive(Debug, Default)]
pub struct Numbers {
    cluster: Option<String>,
    process: Option<String>,
    is_named: bool,
}

impl Shape {
    /// What a program prints.
    pub fn of_program(program: &str) -> Self {
        match program {
            "who" | "last" => Self::Sessions,
            "squeue" => Self::Columns(Some(Columns {
                user: 1,
                uid: Some(2),
                words: [Some(5), Some(7), Some(10)],
                state: 3,
            })),
            "sacct" => Self::Columns(None),
            condor if condor.starts_with("condor_") => Self::Json {
                users: vec!["owner".to_owned()],
                hosts: OF_HOSTS,
            },
            _ => Self::Text,
        }
    }

    /// Takes a line apart. `numbered`: is called with the number of each job that has no name.
    pub fn parts<'a>(
        &mut self,
        line: &'a [u8],
        numbers: &mut Numbers,
        mut each: impl FnMut(Part<'a>),
        mut numbered: impl FnMut(&str),
    ) {
        match self {
            Self::Text => each(Part::Text(line)),
            Self::Sessions => {
                let end = line.iter().position(u8::is_ascii_whitespace);
                let (user, rest) = line.split_at(end.unwrap_or(line.len()));
                each(Part::User(user));
                each(Part::Text(rest));
            }
            Self::Columns(Some(places)) => columns(*places, line, each),
            Self::Columns(places) => {
                *places = named(line);
                each(Part::Text(line));
            }
            Self::Json { users, hosts } => {
                let meaning = |key: &str| meaning(key, users, hosts);
                json(meaning, numbers, line, each, &mut numbered);
            }
        }
    }
}

/// Where the columns are that this line names.
fn named(line: &[u8]) -> Option<Columns> {
    let names: Vec<&[u8]> = line
        .split(|byte| *byte == SEPARATOR)
        .map(<[u8]>::trim_ascii)
        .collect();
    let place = |wanted: &[u8]| names.iter().position(|name| *name == wanted);
    Some(Columns {
        user: place(b"User")?,
        uid: place(b"UID"),
        words: [place(b"Partition"), place(b"Account"), None],
        state: place(b"State")?,
    })
}

fn columns<'a>(places: Columns, line: &'a [u8], mut each: impl FnMut(Part<'a>)) {
    let uid = places
        .uid
        .and_then(|place| line.split(|byte| *byte == SEPARATOR).nth(place))
        .map(<[u8]>::trim_ascii);
    // A user that the system does not know is a number, which stands in its own column, too.
    let is_of_nobody = |name: &[u8]| {
        name.iter().all(u8::is_ascii_digit) && uid.is_none_or(|uid| uid.is_empty() || uid == name)
    };
    for (number, column) in line.split_inclusive(|byte| *byte == SEPARATOR).enumerate() {
        let value = column.strip_suffix(&[SEPARATOR]).unwrap_or(column);
        let name = value.trim_ascii();
        let is_user = number == places.user && !is_of_nobody(name);
        if is_user {
            let begin = value.len() - value.trim_ascii_start().len();
            let end = begin + name.len();
            each(Part::Text(&column[..begin]));
            each(Part::User(name));
            each(Part::Text(&column[end..]));
        } else if number == places.state
            && name
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
        {
            each(Part::Stays(column));
        } else if places.words.contains(&Some(number)) {
            each(Part::Text(column));
        } else {
            each(Part::Fields(column));
        }
    }
}

fn json<'a>(
    meaning: impl Fn(&str) -> Meaning,
    numbers: &mut Numbers,
    line: &'a [u8],
    mut each: impl FnMut(Part<'a>),
    numbered: &mut impl FnMut(&str),
) {
    let mut rest = line;
    let mut key = String::new();
    while let Some(begin) = rest.iter().position(|byte| *byte == b'"') {
        let (before, from) = rest.split_at(begin);
        numbers.note(&key, before, numbered);
        each(Part::Fields(before));
        let Some(length) = literal(from) else {
            // It is cut.
            rest = from;
            break;
        };
        let (text, after) = from.split_at(length);
        rest = after;
        let is_key = after.trim_ascii_start().first() == Some(&b':');
        let meaning = match is_key {
            true => {
                key = decoded(text).to_ascii_lowercase();
                numbers.is_named |= key == OF_JOBS;
                Meaning::Text
            }
            false => meaning(&key),
        };
        each(Part::Literal(text, meaning));
        if !is_key {
            key.clear();
        }
    }
    numbers.note(&key, rest, numbered);
    each(Part::Fields(rest));
}

fn meaning(key: &str, users: &[String], hosts: &[&str]) -> Meaning {
    match key {
        OF_JOBS => Meaning::Job,
        key if hosts.contains(&key) => Meaning::Host,
        key if users.iter().any(|user| user == key) => Meaning::User,
        _ => Meaning::Text,
    }
}

impl Numbers {
    /// What stands behind a key, up to the next string or the end of the line.
    fn note(&mut self, key: &str, text: &[u8], numbered: &mut impl FnMut(&str)) {
        let number = || {
            let digits = text.iter().filter(|byte| byte.is_ascii_digit());
            Some(digits.map(|digit| char::from(*digit)).collect())
        };
        match key {
            "clusterid" => self.cluster = number(),
            "procid" => self.process = number(),
            _ => {}
        }
        if text.contains(&b'}') {
            let job = std::mem::take(self);
            if let (Some(cluster), Some(process), false) = (job.cluster, job.process, job.is_named)
            {
                numbered(&format!("{cluster}.{process}"));
            }
        }
    }
}

/// The length of a string of JSON that begins here, with its quotes.
fn literal(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// What a string of JSON says; `None`: it is none after all.
pub fn understood(literal: &[u8]) -> Option<String> {
    serde_json::from_str(&String::from_utf8_lossy(literal)).ok()
}

/// The same; what is none says what stands between its quotes.
pub fn decoded(literal: &[u8]) -> String {
    understood(literal).unwrap_or_else(|| {
        String::from_utf8_lossy(literal)
            .trim_matches('"')
            .to_owned()
    })
}

/// A string of JSON.
pub fn encoded(text: &[u8]) -> Vec<u8> {
    Value::from(String::from_utf8_lossy(text))
        .to_string()
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(shape: &mut Shape, lines: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        let mut numbers = Numbers::default();
        let mut jobs = Vec::new();
        for line in lines {
            shape.parts(
                line.as_bytes(),
                &mut numbers,
                |part| match part {
                    Part::Text(_)
                    | Part::Fields(_)
                    | Part::Stays(_)
                    | Part::Literal(_, Meaning::Text) => {}
                    Part::User(name) => all.push(format!("user {}", String::from_utf8_lossy(name))),
                    Part::Literal(text, meaning) => {
                        all.push(format!("{meaning:?} {}", decoded(text)))
                    }
                },
                |job| jobs.push(format!("job {job}")),
            );
        }
        all.extend(jobs);
        all
    }

    #[test]
    fn names_are_where_the_tools_print_them() {
        let who = "canary-1 pts/0        Nov 22 20:11 (192.0.2.1)\n";
        assert_eq!(parts(&mut Shape::Sessions, &[who]), ["user canary-1"]);
        let lines = [
            "JobID\x1fUser\x1fState\n",
            "22\x1fcanary-1\x1fFAILED\n",
            "2\x1f1001\x1fFAILED\n",
        ];
        assert_eq!(
            parts(&mut Shape::of_program("sacct"), &lines),
            ["user canary-1"]
        );
        // A number is somebody's name where it is not that of the user.
        let lines = [
            "1\x1f20231234\x1f1001\x1fRUNNING\x1f\n",
            "2\x1f1002\x1f1002\x1fRUNNING\x1f\n",
        ];
        assert_eq!(
            parts(&mut Shape::of_program("squeue"), &lines),
            ["user 20231234"]
        );
        let lines = ["1\x1f canary-1 \x1f1001\x1fRUNNING\x1f\n"];
        assert_eq!(
            parts(&mut Shape::of_program("squeue"), &lines),
            ["user canary-1"]
        );
        let lines = [
            "{\n",
            r##"  "ClusterId": 4, "GlobalJobId": "a.canary.example#4.0#7", "Owner": "can\"ary","##,
            r#""ProcId":0}, {"ClusterId": 5, "ProcId": 1, "User": "x", "Owner" : "#,
            r#""canary-2", "Name": "cut"#,
        ];
        assert_eq!(
            parts(&mut Shape::of_program("condor_q"), &lines[..3]),
            ["Job a.canary.example#4.0#7", "User can\"ary"]
        );
        assert_eq!(
            parts(
                &mut Shape::of_program("condor_q"),
                &[&(lines.concat() + "}")]
            ),
            [
                "Job a.canary.example#4.0#7",
                "User can\"ary",
                "User canary-2",
                "job 5.1"
            ]
        );
    }

    proptest! {
        /// Nothing is left out, whatever is printed.
        #[test]
        fn all_parts_are_the_line(
            line in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(0x1f), Just(b'\\')], 0..80),
            program in prop::sample::select(vec!["who", "squeue", "sacct", "condor_q", "sinfo"]),
        ) {
            let mut shape = Shape::of_program(program);
            let mut whole = Vec::new();
            let add = |part| match part {
                Part::Text(text) | Part::Fields(text) | Part::Stays(text) | Part::User(text) | Part::Literal(text, _) => whole.extend_from_slice(text),
            };
            shape.parts(&line, &mut Numbers::default(), add, |_| {});
            prop_assert_eq!(whole, line);
        }
    }
}
