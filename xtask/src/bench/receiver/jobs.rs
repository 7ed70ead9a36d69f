//! Job documents as a facility's collectors send them: the same jobs round after round, with states and run
//! times that change.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// Jobs in the queues of all facilities together.
pub const JOBS: usize = 10_000;
pub const FACILITIES: usize = 4;
/// Of a facility.
const USERS: usize = 25;

/// Requests with the documents of some rounds, ready to be sent.
pub struct Requests {
    tokens: Vec<String>,
    bodies: Vec<String>,
    /// Documents in each.
    pub each: usize,
    /// Which load of this run it is, so that no two have a batch in common.
    load: u16,
}

impl Requests {
    /// Arrays of `each` documents (one: no array) of so many rounds. `since`: the rounds were five minutes
    /// apart, the first one then, and are delivered now.
    pub fn new(
        load: u16,
        tokens: &[String],
        each: usize,
        rounds: usize,
        since: Option<Duration>,
    ) -> Self {
        let mut bodies = Vec::new();
        for round in 0..rounds {
            let time = since.map(|since| since + Duration::from_secs(300) * round_u32(round));
            for first in (0..JOBS).step_by(each) {
                let facility = facility_of(first, each);
                bodies.push(body(
                    facility,
                    &tokens[facility],
                    first..first + each,
                    round,
                    time,
                ));
            }
        }
        Self {
            tokens: tokens.to_vec(),
            bodies,
            each,
            load,
        }
    }

    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Bytes of a body, on average.
    pub fn body_bytes(&self) -> usize {
        self.bodies.iter().map(String::len).sum::<usize>() / self.bodies.len().max(1)
    }

    /// The bytes of a request; those after the last are the first ones again, of other batches.
    pub fn write(&self, at: usize, bytes: &mut Vec<u8>) {
        let body = &self.bodies[at % self.bodies.len()];
        let of_round = JOBS / self.each;
        let (round, index) = (at / of_round, at % of_round);
        // A batch is a facility's part of a round.
        let batch = round * self.tokens.len() + facility_of(index * self.each, self.each);
        let first = index / self.tokens.len() * self.each;
        bytes.clear();
        write!(
            bytes,
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: afmetrics_collector/0.1.0\r\naccept: */*\r\n\
             content-type: application/json\r\n\
             idempotency-key: 01a20621-7623-7310-{:04x}-{batch:012x}/{first}-{}\r\ncontent-length: {}\r\n\r\n{body}",
            0x8000 | self.load,
            self.each,
            body.len()
        )
        .expect("memory takes it");
    }
}

/// Requests go by turns to the facilities.
fn facility_of(first: usize, each: usize) -> usize {
    first / each % FACILITIES
}

pub fn facility_name(facility: usize) -> String {
    format!("facility-{facility}")
}

fn round_u32(round: usize) -> u32 {
    u32::try_from(round).expect("a few hundred rounds")
}

fn body(
    facility: usize,
    token: &str,
    jobs: std::ops::Range<usize>,
    round: usize,
    time: Option<Duration>,
) -> String {
    let is_array = jobs.len() > 1;
    let mut text = String::with_capacity(jobs.len() * 220);
    if is_array {
        text.push('[');
    }
    for job in jobs.clone() {
        if job > jobs.start {
            text.push(',');
        }
        document(&mut text, facility, token, job, round, time);
    }
    if is_array {
        text.push(']');
    }
    text
}

fn document(
    text: &mut String,
    facility: usize,
    token: &str,
    job: usize,
    round: usize,
    time: Option<Duration>,
) {
    // A job lives for some 50 rounds; then another has its place.
    let age = round + scattered(job) % 50;
    let (life, age) = (age / 50, age % 50);
    let id = scattered(job * 1000 + life);
    let (state, runtime) = match age {
        0..5 => ("idle", 0),
        49 => ("finished", 300 * 44 + id % 300),
        20..23 if id.is_multiple_of(7) => ("held", 300 * 15 + id % 300),
        // HTCondor says it only of past runs.
        _ if id.is_multiple_of(3) => ("running", 300 * 10 + id % 7919),
        _ => ("running", 0),
    };
    let user = id % USERS;
    let cluster = 1_000_000 + job / 20 * 37 + life * 100_000;
    let process = job % 20;
    write!(
        text,
        r#"{{"token":"{token}","kind":"condorjob","cluster":"{}","users":"canary-{facility}-{user}","Id":"{cluster}.{process}","Runtime":{runtime},"state":"{state}""#,
        facility_name(facility),
    )
    .expect("memory takes it");
    if let Some(time) = time {
        write!(text, r#","timestamp":"{}""#, rfc3339(time)).expect("memory takes it");
    }
    text.push('}');
}

/// A number that looks like any, and is the same each time.
fn scattered(number: usize) -> usize {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(32) % 1_000_000
}

/// The time so long after 1970, as documents write it.
pub fn rfc3339(since: Duration) -> String {
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// The date so many days after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let (mut year, mut rest) = (1970, days);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the receiver takes documents of the last 31 days"
)]
pub fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_documents_write_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_408_693, "2026-11-23T04:38:13.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_length_of_a_request_is_that_of_its_body() {
        let tokens: Vec<String> = (0..FACILITIES).map(|n| format!("t0ken-{n}")).collect();
        let requests = Requests::new(1, &tokens, 500, 2, Some(Duration::ZERO));
        let mut bytes = Vec::new();
        for at in 0..requests.len() + 1 {
            requests.write(at, &mut bytes);
            let text = String::from_utf8(bytes.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.ends_with(&format!("content-length: {}", body.len())),
                "{head}"
            );
            let documents: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(documents.as_array().unwrap().len(), 500);
        }
    }
}
