//! Who is logged in on this node.
//!
//! ```text
//! canary-1 pts/0        Nov 22 20:11 (127.0.0.1)
//! a-user-name-of-more-than-32-char pts/7        Nov 22 20:11 (::1)
//! ```
//!
//! What surprised us: one line is one *session*, panes of tmux and screen included. A console session
//! has no host, a host may hold blanks and parentheses, a session by logind may have the line
//! `sshd pts/0`. Names are cut to 32 bytes by `who`, and those of 32 to 31 by `last`. Without a
//! readable utmp `who` prints nothing and is content, just as when nobody is logged in.

use std::io;

use afmetrics_document::Document;
use async_trait::async_trait;

use super::{Collector, Spec};
use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::tally::Tally;

pub const SPEC: Spec = Spec {
    name: "ssh",
    summary: "the users who are logged in (who; with -S also last)",
    kinds: &["ssh"],
    flag: "-s, -S",
    table: "ssh",
    debug_file: "ssh.json",
    after: None,
    build: |config| {
        config.ssh.then(|| {
            Box::new(Ssh {
                history: config.ssh_history,
            }) as _
        })
    },
};

struct Ssh {
    /// Those, too, who logged in within the last 5 minutes.
    history: bool,
}

/// 100 bytes a session: more than this is no list of sessions.
const LARGEST_OUTPUT: usize = 16 << 20;

/// What `who` may have its knowledge from: utmp, or where there is none systemd-logind, which lists a
/// seat while it runs (the folder alone is there without it, too).
const UTMP: [&str; 2] = ["/run/utmp", "/var/run/utmp"];
const LOGIND: &str = "/run/systemd/seats";

#[async_trait(?Send)]
impl Collector for Ssh {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let output = cx.command("who").output(LARGEST_OUTPUT).await?;
        let mut users = parse_who(&String::from_utf8_lossy(&output))?;
        if output.is_empty() {
            has_record(cx)?;
        }
        if self.history {
            let output = cx
                .command("last")
                .args(["-w", "-s", "-5min"])
                .output(LARGEST_OUTPUT)
                .await?;
            let lately = parse_last(&String::from_utf8_lossy(&output))?;
            for user in lately {
                if !users.iter().any(|present| is_same(present, &user)) {
                    users.push(user);
                }
            }
        }
        let users = cx
            .names
            .publish_all(users.iter().map(String::as_str))
            .await?;
        out.push(&Document::Ssh {
            login_node: cx.login_node.clone(),
            ssh_user_count: users.len() as u64,
            users,
        })
    }
}

/// Whether `who` could have known of anybody: what it can say nothing of is not nobody.
fn has_record(cx: &Context) -> Result<(), CollectError> {
    for path in UTMP {
        // Open, not only look: `who` takes a utmp that may not be read for an empty one.
        match cx.can_open(path) {
            Ok(()) => return Ok(()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => {
                return Err(CollectError::Failed(format!(
                    "who printed nothing, and {path} cannot be read ({why}): that is not nobody"
                )));
            }
        }
    }
    match cx.has_entries(LOGIND) {
        true => Ok(()),
        false => Err(CollectError::NotHere(
            "who printed nothing, and this node has no record of sessions that it could have read (no /run/utmp, no systemd-logind): that is not nobody".to_owned(),
        )),
    }
}

/// `last` cuts a name of 32 bytes, the most that utmp holds, to 31.
fn is_same(present: &str, in_last: &str) -> bool {
    present == in_last
        || (in_last.len() == 31 && present.len() == 32 && present.starts_with(in_last))
}

/// The first word of each line, as often as it stands there.
fn parse_who(text: &str) -> Result<Vec<String>, CollectError> {
    let mut tally = Tally::default();
    let mut users = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        match user_of_session(line) {
            Ok(user) => {
                tally.good();
                users.push(user.to_owned());
            }
            Err(why) => tally.bad(number, why),
        }
    }
    tally.verdict("who", "line")?;
    Ok(users)
}

/// `NAME LINE DATE TIME (HOST)`. LINE may be two words, DATE is one or two; TIME is HH:MM.
fn user_of_session(line: &str) -> Result<&str, &'static str> {
    if line.starts_with([' ', '\t']) {
        return Err("a session without a user name");
    }
    let mut words = line.split_ascii_whitespace();
    let user = words.next().ok_or("an empty line")?;
    match words.skip(2).take(3).any(is_time) {
        true => Ok(user),
        false => Err("not a session: no time where who prints it"),
    }
}

/// `20:11`
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() == 5 && bytes[2] == b':' && [0, 1, 3, 4].iter().all(|&i| bytes[i].is_ascii_digit())
}

/// The first word of each line that is a session's. Others are an empty line and `wtmp begins ...`
/// at the end, and the pseudo-users of reboots, shutdowns and changes of run level.
fn parse_last(text: &str) -> Result<Vec<String>, CollectError> {
    let mut tally = Tally::default();
    let mut users = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split_ascii_whitespace();
        let (Some(user), second) = (words.next(), words.next()) else {
            continue;
        };
        if is_trailer_or_pseudo_user(user, second.unwrap_or_default()) {
            tally.good();
            continue;
        }
        if line.starts_with([' ', '\t']) || second.is_none() || !words.any(is_time) {
            tally.bad(number, "not a session: no user, terminal and time");
            continue;
        }
        tally.good();
        users.push(user.to_owned());
    }
    tally.verdict("last", "line")?;
    Ok(users)
}

fn is_trailer_or_pseudo_user(first: &str, second: &str) -> bool {
    match first {
        "reboot" | "shutdown" => second == "system",
        "runlevel" => second == "(to",
        _ => second == "begins",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lines() {
        let text = "\
canary-1 pts/0        Nov 22 20:11 (127.0.0.1)
canary-1 pts/1        Nov 22 20:11 (tmux(10673).%0)
canary-2.smith-jones pts/4        Nov 22 20:11 (127.0.0.1)
canary-3 tty1         Nov 22 06:01
canary-4 sshd pts/2   Nov 22 06:01 (::1)
canary-5 pts/9        2026-11-22 20:11 (:pts/11:S.0)
canary-6 pts/9        Nov  2 20:11
";
        let users = parse_who(text).unwrap();
        assert_eq!(
            users,
            [
                "canary-1",
                "canary-1",
                "canary-2.smith-jones",
                "canary-3",
                "canary-4",
                "canary-5",
                "canary-6"
            ]
        );
    }

    #[test]
    fn bad_lines_are_left_out_and_nothing_but_bad_lines_is_a_failure() {
        let text = "canary-1 pts/0 Nov 22 20:11\n\n         pts/1        Nov 22 20:11\nUSER TTY IDLE TIME HOST\n";
        assert_eq!(parse_who(text).unwrap(), ["canary-1"]);
        let why = parse_who("no such thing\n").unwrap_err().to_string();
        assert!(why.contains("line 1"), "{why}");
        assert!(!why.contains("such"), "it may hold a name: {why}");
        assert!(parse_who("").unwrap().is_empty());
    }

    #[test]
    fn last_lines() {
        let text = "\
canary-1 pts/3        192.0.2.9        Sun Nov 22 10:06    gone - no logout
reboot   system boot  6.1.0-18-amd64   Sun Nov 22 10:05   still running
shutdown system down  6.1.0-18-amd64   Sun Nov 22 10:00 - 10:05  (00:05)
runlevel (to lvl 5)   6.1.0-18-amd64   Sun Nov 22 06:00 - 10:00  (03:59)
canary-2 tty1                          Sun Nov 22 06:01 - crash  (02:59)
reboot   pts/1        192.0.2.9        Sun Nov 22 10:06   still logged in

wtmp begins Sun Nov 22 06:00:00 2026
";
        assert_eq!(
            parse_last(text).unwrap(),
            ["canary-1", "canary-2", "reboot"]
        );
        let nobody = "\nwtmp begins Sun Nov 22 20:11:39 2026\n";
        assert!(parse_last(nobody).unwrap().is_empty());
        assert!(parse_last("").unwrap().is_empty());
        assert!(parse_last("cannot open it\n").is_err());
    }

    #[test]
    fn a_name_that_last_cuts_is_the_same_user() {
        assert!(is_same(
            "canary-7-averyveryverylongname32",
            "canary-7-averyveryverylongname3"
        ));
        assert!(!is_same("canary-12", "canary-1"));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse_who(&text);
            let _ = parse_last(&text);
        }
    }
}
