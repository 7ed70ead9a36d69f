//! Jobs that have ended, as `sacct` lists them, a line for each run.

use std::borrow::Cow;

use super::SEPARATOR;
use super::queue::word;

/// The columns that `sacct` is asked for. None can hold free text.
pub const FORMAT: &str =
    "JobID,JobIDRaw,User,UID,Account,Partition,State,Submit,Start,End,ElapsedRaw,AllocCPUS";

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
    pub id: &'a str,
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
            id,
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
