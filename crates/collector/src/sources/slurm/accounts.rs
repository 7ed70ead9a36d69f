//! Jobs that have ended, as `sacct` lists them, a line for each run.

use std::borrow::Cow;

use super::SEPARATOR;
use super::queue::{shown, word};

/// The columns that `sacct` is asked for. None can hold free text.
const NAMES: [&str; 12] = [
    "JobID",
    "JobIDRaw",
    "User",
    "UID",
    "Account",
    "Partition",
    "State",
    "Submit",
    "Start",
    "End",
    "ElapsedRaw",
    "AllocCPUS",
];

/// The columns, as `sacct` wants them.
pub fn format() -> String {
    format!("--format={}", NAMES.join(","))
}

/// States of a run that has not ended; Slurm may show it with an end all the same, while its database is behind.
const GOES_ON: [&str; 7] = [
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "RESIZING",
    "",
];

/// Where in a line each column stands, by its header.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns([usize; NAMES.len()]);

impl Columns {
    /// Reads the first line that `sacct` prints.
    pub fn parse(header: &str) -> Result<Self, &'static str> {
        let mut places = [0; NAMES.len()];
        for (place, name) in places.iter_mut().zip(NAMES) {
            *place = header
                .split(SEPARATOR)
                .position(|column| column.trim().eq_ignore_ascii_case(name))
                .ok_or("the first line is not the names of the columns that were asked for")?;
        }
        Ok(Self(places))
    }
}

/// One run of a job. A job that was requeued has several.
#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    /// As a document shows it. A list of tasks that never began may have some in it that did, and have records of
    /// their own: how many they are is not known.
    pub id: Cow<'a, str>,
    pub user: &'a str,
    /// Its number.
    pub uid: &'a str,
    /// The word for it in a document.
    pub state: Cow<'static, str>,
    /// Seconds that it ran.
    pub runtime: i64,
    pub partition: &'a str,
    pub account: Option<&'a str>,
    /// 0 if it never began.
    pub cores: i64,
    /// When it ended, in seconds since 1970; `None`: not yet.
    pub ended: Option<u64>,
    /// What names it among all runs of all jobs: an Id is used anew when Slurm is set up anew, and for each run
    /// of a job that is requeued.
    pub key: String,
}

impl<'a> Record<'a> {
    /// Reads a line of `sacct -P`.
    pub fn parse(line: &'a str, columns: &Columns) -> Result<Self, &'static str> {
        let all: Vec<&str> = line.split(SEPARATOR).map(str::trim).collect();
        let mut values = [""; NAMES.len()];
        for (value, place) in values.iter_mut().zip(columns.0) {
            *value = all.get(place).ok_or("a line of too few columns")?;
        }
        let [
            id,
            raw,
            user,
            uid,
            account,
            partition,
            state,
            submit,
            start,
            end,
            elapsed,
            cpus,
        ] = values;
        if id.is_empty() {
            return Err("a job without JobID");
        }
        let user = if user.is_empty() { uid } else { user };
        if user.is_empty() {
            return Err("a job without User");
        }
        // `CANCELLED by 20001`.
        let state = state.split(' ').next().unwrap_or_default();
        let is_over = !GOES_ON.contains(&state.trim_end_matches('+'));
        Ok(Self {
            id: shown(id),
            user,
            uid,
            state: word(state, false),
            runtime: elapsed
                .parse::<i64>()
                .map_err(|_| "a job without ElapsedRaw")?
                .max(0),
            partition,
            account: (!account.is_empty()).then_some(account),
            // Of a job that never began 22.05 shows what it asked for, 24.11 nothing.
            cores: match seconds(start) {
                Some(_) => cpus.parse().map_err(|_| "a job without AllocCPUS")?,
                None => 0,
            },
            ended: seconds(end).filter(|_| is_over),
            key: [raw, submit, start].join("|"),
        })
    }
}

impl Record<'_> {
    /// Where a job's end came before its beginning, it is for a second or two root's, FAILED, after no time, and in
    /// no partition.
    pub fn is_placeholder(&self) -> bool {
        self.partition.is_empty()
    }
}

/// Seconds since 1970: a number, or a date where a version does not know `SLURM_TIME_FORMAT=%s`, in UTC as we
/// ask for it. `Unknown` and `None` are none, and so is 0.
fn seconds(time: &str) -> Option<u64> {
    let number = time.parse().ok().or_else(|| {
        let date: jiff::civil::DateTime = time.parse().ok()?;
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        u64::try_from(at.timestamp().as_second()).ok()
    });
    number.filter(|at| *at > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(columns: &[&str]) -> String {
        columns.join("\x1f")
    }

    fn columns() -> Columns {
        Columns::parse(&line(&NAMES)).unwrap()
    }

    const RUN: [&str; 12] = [
        "6_1",
        "22",
        "canary-1",
        "1001",
        "physics",
        "batch",
        "CANCELLED by 1001",
        "1795376700",
        "1795376716",
        "1795376825",
        "25",
        "4",
    ];

    fn with(changes: &[(usize, &'static str)]) -> String {
        let mut run = RUN;
        for (place, value) in changes {
            run[*place] = value;
        }
        line(&run)
    }

    #[test]
    fn a_line_is_a_run() {
        let text = line(&RUN);
        let run = Record::parse(&text, &columns()).unwrap();
        assert_eq!(
            run,
            Record {
                id: "6_1".into(),
                user: "canary-1",
                uid: "1001",
                state: "removed".into(),
                runtime: 25,
                partition: "batch",
                account: Some("physics"),
                cores: 4,
                ended: Some(1_795_376_825),
                key: "22|1795376700|1795376716".to_owned(),
            }
        );
    }

    #[test]
    fn columns_go_by_their_names() {
        let mut names = NAMES.to_vec();
        names.reverse();
        names.push("Extra");
        let mut run = RUN.to_vec();
        run.reverse();
        run.push("x|y");
        let columns = Columns::parse(&line(&names)).unwrap();
        let (one, other) = (line(&run), line(&RUN));
        assert_eq!(
            Record::parse(&one, &columns),
            Record::parse(&other, &self::columns())
        );
        assert!(Columns::parse(&line(&NAMES[1..])).is_err());
        assert!(Columns::parse("").is_err());
    }

    #[test]
    fn only_what_has_ended_has_an_end() {
        for (state, end, ended) in [
            ("COMPLETED", "1795376825", true),
            ("COMPLETED", "Unknown", false),
            ("COMPLETED", "None", false),
            ("COMPLETED", "0", false),
            // Of a version that does not know SLURM_TIME_FORMAT=%s.
            ("COMPLETED", "2026-11-22T19:47:05", true),
            ("RUNNING", "1795376825", false),
            ("REQUEUED", "1795376825", true),
            ("SOMETHING_NEW", "1795376825", true),
            ("", "1795376825", false),
        ] {
            let mut run = RUN;
            (run[6], run[9]) = (state, end);
            let text = line(&run);
            let run = Record::parse(&text, &columns()).unwrap();
            assert_eq!(run.ended.is_some(), ended, "{state} {end}");
            assert!(run.ended.is_none_or(|at| at == 1_795_376_825), "{run:?}");
        }
    }

    /// In the night in which clocks are put back an hour is there twice, but not in UTC.
    #[test]
    fn dates_are_in_utc() {
        for (date, at) in [
            ("2026-10-25T00:30:00", 1_792_888_200),
            ("2026-10-25T01:30:00", 1_792_891_800),
            ("2026-03-29T02:30:00", 1_774_751_400),
        ] {
            assert_eq!(seconds(date), Some(at), "{date}");
        }
    }

    #[test]
    fn a_placeholder_is_known() {
        let text = with(&[(2, "root"), (3, "0"), (4, ""), (5, ""), (6, "FAILED")]);
        assert!(Record::parse(&text, &columns()).unwrap().is_placeholder());
    }

    #[test]
    fn what_never_began_has_no_cores() {
        for start in ["None", "Unknown", ""] {
            let text = with(&[(8, start), (11, "")]);
            assert_eq!(Record::parse(&text, &columns()).unwrap().cores, 0);
        }
    }

    #[test]
    fn what_is_no_run_is_refused() {
        for (text, why) in [
            (String::new(), "too few"),
            (line(&RUN[..11]), "too few"),
            (with(&[(0, "")]), "JobID"),
            (with(&[(2, ""), (3, "")]), "User"),
            (with(&[(10, "")]), "ElapsedRaw"),
            (with(&[(11, "x")]), "AllocCPUS"),
        ] {
            let said = Record::parse(&text, &columns()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let text = with(&[(2, "")]);
        assert_eq!(Record::parse(&text, &columns()).unwrap().user, "1001");
    }

    proptest! {
        #[test]
        fn any_header_and_any_line(header: String, text: String) {
            let _ = Columns::parse(&header).map(|columns| Record::parse(&text, &columns).is_ok());
            let _ = Record::parse(&text, &columns());
        }

        #[test]
        fn any_columns(values in prop::collection::vec("[0-9a-zA-Z_ :T-]{0,24}", 12)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let _ = Record::parse(&line(&values), &columns());
        }
    }
}
