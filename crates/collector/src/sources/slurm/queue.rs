//! The queue, as `squeue` lists it, and what is counted in it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use afmetrics_document::kinds::{SLURM_STATES, UNKNOWN_STATE};

use super::SEPARATOR;

/// The columns that `squeue -O` is asked for, each with the separator behind it: without one they are cut at
/// 20 characters.
pub const FORMAT: &str = "JobArrayID:\x1f,UserName:\x1f,UserID:\x1f,State:\x1f,TimeUsed:\x1f,Partition:\x1f,\
                          NumCPUs:\x1f,Account:\x1f,PriorityLong:\x1f,tres-alloc:\x1f,Reason:\x1f";

/// A list of waiting tasks is shown as far as this many bytes of the Id.
const LONGEST_ID: usize = 64;
/// More tasks than Slurm can be configured to have in an array.
const MOST_TASKS: u64 = 1 << 32;

/// Why a job that waits is held, as far as its priority does not say so.
const HOLDS: [&str; 5] = [
    "JobHeldUser",
    "JobHeldAdmin",
    "JobHoldMaxRequeue",
    "launch failed requeued held",
    "job requeued in held state",
];

/// A job in the queue, or the tasks of an array that wait.
#[derive(Debug, PartialEq)]
pub struct Job<'a> {
    /// As a document shows it.
    pub id: Cow<'a, str>,
    /// How many tasks of an array this is; `None`: one job.
    pub tasks: Option<u64>,
    /// The user's name; the number of one that has none any more.
    pub user: &'a str,
    pub uid: Option<u32>,
    /// The word for it in a document.
    pub state: Cow<'static, str>,
    /// Seconds that it has run; `None`: Slurm cannot tell.
    pub runtime: Option<i64>,
    /// Several with a comma between them, while it waits.
    pub partition: &'a str,
    pub account: Option<&'a str>,
    pub cores: i64,
    /// KiB that it has, or asks for.
    pub memory: Option<u64>,
}

impl<'a> Job<'a> {
    /// Reads a line of `squeue` with the columns of [`FORMAT`].
    pub fn parse(line: &'a str) -> Result<Self, &'static str> {
        let mut columns = line.split(SEPARATOR);
        let mut column = || {
            columns
                .next()
                .map(str::trim)
                .ok_or("a line of too few columns")
        };
        let id = column()?;
        let (user, uid) = (column()?, column()?);
        let (state, time) = (column()?, column()?);
        let (partition, cores, account) = (column()?, column()?, column()?);
        let (priority, tres, reason) = (column()?, column()?, column()?);
        // What is behind the last separator.
        if columns.next() != Some("") || columns.next().is_some() {
            return Err("a line that does not end behind its last column");
        }
        if id.is_empty() || !id.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a job without Id");
        }
        let tasks = tasks(id)?;
        Ok(Self {
            id: shown(id),
            tasks,
            user: name(user, uid).ok_or("a job without user")?,
            uid: uid.parse().ok(),
            state: word(state, is_held(priority, reason)),
            runtime: seconds(time),
            partition,
            account: Some(account).filter(|account| !["", "(null)", "N/A"].contains(account)),
            cores: cores.parse().map_err(|_| "a job without NumCPUs")?,
            memory: memory(tres),
        })
    }
}

/// Who it is. Slurm 22.05 calls a user that the system does not know `nobody`, 24.11 by the number.
fn name<'a>(user: &'a str, uid: &'a str) -> Option<&'a str> {
    /// The real one of Debian and RHEL 8, and of older ones.
    const NOBODY: [&str; 2] = ["65534", "99"];
    let is_known = !["", "(null)"].contains(&user) && (user != "nobody" || NOBODY.contains(&uid));
    let name = if is_known { user } else { uid };
    (!name.is_empty()).then_some(name)
}

fn is_held(priority: &str, reason: &str) -> bool {
    priority.parse() == Ok(0_u64) || HOLDS.contains(&reason)
}

/// The word for a state of Slurm; one that is new to us is its own in small letters.
pub fn word(state: &str, is_held: bool) -> Cow<'static, str> {
    /// Of 30 that there are the longest has 14.
    const LONGEST: usize = 32;
    if state == "PENDING" && is_held {
        return "held".into();
    }
    if let Some((_, word)) = SLURM_STATES.iter().find(|(slurm, _)| *slurm == state) {
        return (*word).into();
    }
    let is_word = (1..=LONGEST).contains(&state.len())
        && state.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    match is_word {
        true => state.to_ascii_lowercase().into(),
        false => UNKNOWN_STATE.into(),
    }
}

/// An Id of bounded length: that of an array whose waiting tasks are many ranges has 100 kB.
pub fn shown(id: &str) -> Cow<'_, str> {
    if id.len() <= LONGEST_ID {
        return id.into();
    }
    let whole = id
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= LONGEST_ID - "...".len())
        .last()
        .unwrap_or(0);
    format!("{}...", &id[..whole]).into()
}

/// How many tasks of an array wait, of an Id such as `6_[2-20%1]`, `7_[0,3,7,9]`, `58_[0-1000:4%5]`; `None`:
/// the Id is that of one job.
pub fn tasks(id: &str) -> Result<Option<u64>, &'static str> {
    let Some((_, list)) = id.split_once('[') else {
        return Ok(None);
    };
    let list = list
        .strip_suffix(']')
        .ok_or("a list of array tasks that was cut short")?;
    // Behind it: how many may run at a time.
    let list = list.split_once('%').map_or(list, |(list, _)| list);
    let mut count: u64 = 0;
    for range in list.split(',') {
        let many = in_range(range).ok_or("a list of array tasks that is none")?;
        count = count.saturating_add(many);
    }
    match count <= MOST_TASKS {
        true => Ok(Some(count)),
        false => Err("a list of more array tasks than there can be"),
    }
}

/// How many numbers are in `5`, `2-20` or `0-1000:4`.
fn in_range(range: &str) -> Option<u64> {
    let (range, step) = match range.split_once(':') {
        Some((range, step)) => (range, step.parse::<u64>().ok()?),
        None => (range, 1),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let span = last.checked_sub(first)?;
    span.checked_div(step)?.checked_add(1)
}

/// Seconds of `0:26`, `1:00:00` or `6-23:59:34`.
fn seconds(time: &str) -> Option<i64> {
    let (days, clock) = match time.split_once('-') {
        Some((days, clock)) => (days.parse::<i64>().ok()?, clock),
        None => (0, time),
    };
    let mut total: i64 = 0;
    let mut parts = 0;
    for part in clock.split(':') {
        let part = part.parse::<u32>().ok()?;
        total = total.checked_mul(60)?.checked_add(part.into())?;
        parts += 1;
    }
    if !(2..=3).contains(&parts) || days < 0 {
        return None;
    }
    days.checked_mul(24 * 60 * 60)?.checked_add(total)
}

/// KiB of `mem` in trackable resources: `cpu=8,mem=512M,node=1,billing=8`.
fn memory(tres: &str) -> Option<u64> {
    let amount = tres.split(',').find_map(|pair| pair.strip_prefix("mem="))?;
    let unit = amount.chars().last()?;
    let kib = match unit {
        'K' => 1.0,
        'M' => 1024.0,
        'G' => 1024.0 * 1024.0,
        'T' => 1024.0 * 1024.0 * 1024.0,
        'P' => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        // Without a unit it is MiB.
        '0'..='9' => return amount.parse::<u64>().ok()?.checked_mul(1024),
        _ => return None,
    };
    let number: f64 = amount[..amount.len() - 1].parse().ok()?;
    let kib = number * kib;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in the range of both"
    )]
    (0.0..1e18).contains(&kib).then(|| kib.round() as u64)
}

/// How many jobs of a partition are in which state, and what the running ones have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Count {
    pub idle: i64,
    pub running: i64,
    pub held: i64,
    pub cores: i64,
    /// KiB.
    pub memory: u64,
}

/// The jobs of a queue, counted by partition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Each job once.
    pub all: Count,
    /// A job that waits in several partitions is in each.
    pub partitions: BTreeMap<String, Count>,
    /// Running jobs of which it is not known how much memory they have.
    pub without_memory: u64,
}

impl Counts {
    pub fn add(&mut self, job: &Job<'_>) {
        self.all.add(job);
        self.without_memory += u64::from(job.state == "running" && job.memory.is_none());
        for name in job.partition.split(',').filter(|name| !name.is_empty()) {
            match self.partitions.get_mut(name) {
                Some(count) => count.add(job),
                None => self.partitions.entry(name.to_owned()).or_default().add(job),
            }
        }
    }
}

impl Count {
    fn add(&mut self, job: &Job<'_>) {
        let jobs = job
            .tasks
            .map_or(1, |tasks| i64::try_from(tasks).unwrap_or(i64::MAX));
        match &*job.state {
            "idle" => self.idle = self.idle.saturating_add(jobs),
            "held" => self.held = self.held.saturating_add(jobs),
            "running" => {
                self.running = self.running.saturating_add(jobs);
                self.cores = self.cores.saturating_add(job.cores);
                self.memory = self.memory.saturating_add(job.memory.unwrap_or(0));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(columns: [&str; 11]) -> String {
        columns
            .map(|column| format!("{column}{SEPARATOR}"))
            .concat()
    }

    const JOB: [&str; 11] = [
        "17",
        "canary-1",
        "1001",
        "RUNNING",
        "1:00:00",
        "batch",
        "8",
        "physics",
        "1",
        "cpu=8,mem=512M,node=1,billing=8",
        "None",
    ];

    fn with(changes: &[(usize, &'static str)]) -> String {
        let mut columns = JOB;
        for (place, value) in changes {
            columns[*place] = value;
        }
        line(columns)
    }

    #[test]
    fn a_line_is_a_job() {
        let text = line(JOB);
        let job = Job::parse(&text).unwrap();
        assert_eq!(
            job,
            Job {
                id: "17".into(),
                tasks: None,
                user: "canary-1",
                uid: Some(1001),
                state: "running".into(),
                runtime: Some(3600),
                partition: "batch",
                account: Some("physics"),
                cores: 8,
                memory: Some(512 << 10),
            }
        );
    }

    #[test]
    fn states_have_their_words() {
        for (state, priority, reason, word) in [
            ("PENDING", "1", "Resources", "idle"),
            ("PENDING", "0", "None", "held"),
            ("PENDING", "", "JobHeldUser", "held"),
            ("PENDING", "1", "job requeued in held state", "held"),
            (
                "PENDING",
                "1",
                "ReqNodeNotAvail, Reserved for maintenance,BeginTime",
                "idle",
            ),
            // A suspended job has priority 0, too.
            ("SUSPENDED", "0", "None", "suspended"),
            ("REQUEUE_HOLD", "0", "None", "held"),
            ("COMPLETING", "1", "None", "completing"),
            ("SPECIAL_EXIT", "0", "None", "special_exit"),
            ("SOMETHING_NEW", "1", "None", "something_new"),
            ("UNKNOWN!", "1", "None", "unknown"),
            ("", "1", "None", "unknown"),
        ] {
            assert_eq!(
                super::word(state, is_held(priority, reason)),
                word,
                "{state} {reason}"
            );
        }
    }

    #[test]
    fn tasks_are_counted() {
        for (id, count) in [
            ("17", Ok(None)),
            ("6_1", Ok(None)),
            ("25+0", Ok(None)),
            ("6_[2-20%1]", Ok(Some(19))),
            ("7_[0,3,7,9]", Ok(Some(4))),
            ("57_[1-99:2]", Ok(Some(50))),
            ("58_[0-1000:4%5]", Ok(Some(251))),
            ("60_[1-2,5,70-71]", Ok(Some(5))),
            ("60_[1-2,5,9,11,17,23,40,44,51,6", Err(())),
            ("60_[1-2,5,9...]", Err(())),
            ("6_[]", Err(())),
            ("6_[5-2]", Err(())),
            ("6_[1-9:0]", Err(())),
            ("6_[0-18446744073709551615]", Err(())),
        ] {
            assert_eq!(tasks(id).map_err(drop), count, "{id}");
        }
    }

    #[test]
    fn a_long_list_is_shown_in_part_and_counted_whole() {
        let list =
            "60_[1-2,5,9,11,17,23,40,44,51,60,66,70-71,90,101,115,120,133,150,161,180,199,205]";
        let text = line(JOB).replacen("17", list, 1);
        let job = Job::parse(&text).unwrap();
        assert_eq!(job.tasks, Some(24));
        assert_eq!(
            job.id,
            "60_[1-2,5,9,11,17,23,40,44,51,60,66,70-71,90,101,115,120,133,..."
        );
        assert_eq!(job.id.len(), 64);
    }

    #[test]
    fn times_and_memory() {
        for (text, expected) in [
            ("0:00", Some(0)),
            ("0:26", Some(26)),
            ("1:00:00", Some(3600)),
            ("6-23:59:34", Some(604_774)),
            ("INVALID", None),
            ("UNLIMITED", None),
            ("26", None),
            ("-1:00", None),
            ("1:2:3:4", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for (tres, kib) in [
            ("cpu=8,mem=512M,node=1", Some(512 << 10)),
            ("mem=64", Some(64 << 10)),
            ("mem=1.50G", Some(1536 << 10)),
            ("mem=2048K", Some(2048)),
            ("mem=1T", Some(1 << 30)),
            ("cpu=1,node=1", None),
            ("mem=", None),
            ("mem=xM", None),
            ("mem=-1M", None),
            ("mem=infG", None),
            ("mem=NaNG", None),
        ] {
            assert_eq!(memory(tres), kib, "{tres}");
        }
    }

    #[test]
    fn a_user_without_a_name_goes_by_the_number() {
        for (user, uid, expected) in [
            ("nobody", "1005", Some("1005")),
            ("nobody", "65534", Some("nobody")),
            ("1005", "1005", Some("1005")),
            ("", "1005", Some("1005")),
            ("(null)", "", None),
        ] {
            assert_eq!(name(user, uid), expected, "{user} {uid}");
        }
    }

    #[test]
    fn what_is_no_job_is_refused() {
        for (text, why) in [
            (String::new(), "too few"),
            (line(JOB).replace("None\x1f", "None"), "end behind"),
            (line(JOB) + "more", "end behind"),
            (with(&[(0, "")]), "Id"),
            (with(&[(0, "_1")]), "Id"),
            (with(&[(1, ""), (2, "")]), "user"),
            (with(&[(6, "many")]), "NumCPUs"),
        ] {
            let said = Job::parse(&text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_job_counts_in_each_of_its_partitions_and_once_in_all() {
        let mut counts = Counts::default();
        for text in [
            line(JOB),
            with(&[(3, "PENDING"), (5, "batch,long")]),
            with(&[(0, "6_[2-20%1]"), (3, "PENDING"), (8, "0")]),
            with(&[(3, "COMPLETING")]),
            with(&[(9, "")]),
        ] {
            counts.add(&Job::parse(&text).unwrap());
        }
        let batch = Count {
            idle: 1,
            running: 2,
            held: 19,
            cores: 16,
            memory: 512 << 10,
        };
        let long = Count {
            idle: 1,
            ..Count::default()
        };
        assert_eq!(counts.all, batch);
        assert_eq!(counts.partitions["batch"], batch);
        assert_eq!(counts.partitions["long"], long);
        assert_eq!(counts.without_memory, 1);
    }

    proptest! {
        #[test]
        fn any_line(text: String) {
            let _ = Job::parse(&text).map(|job| Counts::default().add(&job));
        }

        #[test]
        fn any_columns(columns in prop::collection::vec("[0-9a-zA-Z_,:=.%+\\[\\]\\-]{0,40}|[0-9_\\[\\],:%-]{1,80}", 11)) {
            let text: String = columns.iter().map(|column| format!("{column}{SEPARATOR}")).collect();
            let mut counts = Counts::default();
            if let Ok(job) = Job::parse(&text) {
                prop_assert!(job.id.len() <= LONGEST_ID);
                counts.add(&job);
                counts.add(&job);
            }
        }
    }
}
