//! Whether a list is believed.
//!
//! With `PrivateData = jobs` in slurm.conf (`squeue`) or slurmdbd.conf (`sacct`) a user who is no operator
//! sees the own jobs and no others, or those of the accounts that the user coordinates, with exit status 0 and no
//! word about it. So who is not root asks for it in each round.

use tracing::debug;

use super::command;
use crate::context::Context;
use crate::error::CollectError;

/// The configuration of a large site has 30 kB.
const MOST: usize = 1 << 20;

/// `squeue` listed nothing and ended well: is the controller up? (In 22.05 its JSON is empty when it is not;
/// of its text that has not been seen.)
pub async fn controller_is_up(cx: &Context) -> Result<(), CollectError> {
    let (said, ended) = command(cx, "scontrol", &["ping"]).answer(MOST).await?;
    // With a backup controller that is down the exit status may be one of failure.
    if is_up(&String::from_utf8_lossy(&said)) {
        return Ok(());
    }
    let why = match ended {
        Ok(()) => "scontrol ping names no controller that is up".to_owned(),
        Err(why) => why.to_string(),
    };
    Err(CollectError::Failed(format!(
        "squeue listed no jobs, and slurmctld is not up, so the queue is not empty but unknown: {why}"
    )))
}

/// `Slurmctld(primary) at login01 is UP`.
fn is_up(said: &str) -> bool {
    said.lines().any(|line| line.trim_end().ends_with(" UP"))
}

/// Whether this user sees everybody's jobs in the queue. `shows_others`: some of others are in it.
pub async fn queue_is_visible(cx: &Context, shows_others: bool) -> Result<(), CollectError> {
    believed(
        of_all(cx, "scontrol", "slurm.conf", "squeue").await,
        shows_others,
    )
}

/// Whether this user sees everybody's jobs in the accounts. `shows_others`: some of others are in them.
pub async fn accounts_are_visible(cx: &Context, shows_others: bool) -> Result<(), CollectError> {
    believed(
        of_all(cx, "sacctmgr", "slurmdbd.conf", "sacct").await,
        shows_others,
    )
}

/// Where it cannot be asked, a list with jobs of others is taken for whole.
fn believed(
    answer: Result<Result<(), CollectError>, CollectError>,
    shows_others: bool,
) -> Result<(), CollectError> {
    match answer {
        Ok(answer) => answer,
        Err(why) if shows_others => {
            debug!("whether PrivateData hides jobs from this user cannot be asked: {why}");
            Ok(())
        }
        Err(why) => Err(why),
    }
}

/// The first error is that of asking, the second the answer.
async fn of_all(
    cx: &Context,
    tool: &'static str,
    file: &str,
    list: &str,
) -> Result<Result<(), CollectError>, CollectError> {
    let uid = cx.uid();
    // With a token it is its user who asks.
    let has_token = cx.for_slurm.iter().any(|(name, _)| *name == "SLURM_JWT");
    if uid.is_root() && !has_token {
        return Ok(Ok(()));
    }
    let config = command(cx, tool, &["show", "config"]).output(MOST).await?;
    let config = String::from_utf8_lossy(&config);
    if !hides_jobs(&config, file) || slurm_user(&config) == Some(uid.as_raw()) {
        return Ok(Ok(()));
    }
    Ok(match is_operator(cx).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(hidden(list, file, "")),
        Err(why) => Err(hidden(
            list,
            file,
            &format!(" (whether it is one cannot be asked: {why})"),
        )),
    })
}

fn hidden(list: &str, file: &str, doubt: &str) -> CollectError {
    CollectError::Failed(format!(
        "{list} does not show this user everybody's jobs, as PrivateData in {file} hides them: run the round as root or SlurmUser, \
         or make this user an operator (sacctmgr modify user NAME set adminlevel=operator; add user NAME account=ACCOUNT adminlevel=operator, if it has no account){doubt}"
    ))
}

/// Whether `PrivateData` has `jobs` in it. `sacctmgr show config` shows both files, slurmdbd.conf last.
fn hides_jobs(config: &str, file: &str) -> bool {
    let mut values = values(config, "PrivateData");
    let value = match file {
        "slurm.conf" => values.next(),
        _ => values.next_back(),
    };
    value.is_some_and(|value| {
        value
            .split(',')
            .any(|what| ["jobs", "all"].contains(&what.trim().to_ascii_lowercase().as_str()))
    })
}

/// The number of `SlurmUser = slurm(64030)`.
fn slurm_user(config: &str) -> Option<u32> {
    let user = values(config, "SlurmUser").next()?;
    user.split_once('(')?.1.trim_end_matches(')').parse().ok()
}

fn values<'a>(config: &'a str, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    config
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(move |(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// Operators and administrators see all jobs.
async fn is_operator(cx: &Context) -> Result<bool, CollectError> {
    let unknown = || CollectError::Failed("this user has no name".to_owned());
    let name = cx.user().await.ok_or_else(unknown)?;
    let args = ["-n", "-P", "show", "user", &name, "format=AdminLevel"];
    let level = command(cx, "sacctmgr", &args).output(MOST).await?;
    Ok(is_operators(&String::from_utf8_lossy(&level)))
}

fn is_operators(level: &str) -> bool {
    ["Operator", "Administrator"].contains(&level.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_shows_its_file_last_or_alone() {
        // `scontrol show config`, and what `sacctmgr show config` adds.
        let one = "Configuration data as of 2026-11-23T10:43:00\nPrivateData             = jobs,usage\nSlurmUser               = slurm(64030)\n";
        let both =
            |dbd: &str| format!("{one}\nSlurmDBD configuration:\nPrivateData            = {dbd}\n");
        for (config, file, hides) in [
            (one.to_owned(), "slurm.conf", true),
            (one.replace("jobs,usage", "none"), "slurm.conf", false),
            (
                one.replace("jobs,usage", "accounts,nodes"),
                "slurm.conf",
                false,
            ),
            (one.replace("jobs,usage", "all"), "slurm.conf", true),
            (both("jobs"), "slurmdbd.conf", true),
            (both("none"), "slurmdbd.conf", false),
            (String::new(), "slurm.conf", false),
        ] {
            assert_eq!(hides_jobs(&config, file), hides, "{config}");
        }
        assert_eq!(slurm_user(one), Some(64030));
        assert_eq!(slurm_user("SlurmUser = slurm\n"), None);
    }

    #[test]
    fn one_controller_that_is_up_is_enough() {
        assert!(is_up(
            "Slurmctld(primary) at login01.canary.example is UP\n"
        ));
        assert!(is_up(
            "Slurmctld(primary) at login01 is DOWN\nSlurmctld(backup) at login02 is UP\n"
        ));
        assert!(!is_up(
            "Slurmctld(primary) at login01 is DOWN\n*****************************************\n"
        ));
        assert!(!is_up(""));
    }

    #[test]
    fn who_sees_all() {
        assert!(is_operators("Operator\n") && is_operators("Administrator\n"));
        assert!(!is_operators("None\n") && !is_operators(""));
    }
}
