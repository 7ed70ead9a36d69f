//! The process that keeps a Slurm: all daemons are its children, and so is what they leave behind, so that
//! all of it is stopped by descent, and nothing else is. It ends when its standard input does, which who
//! started it holds: whatever becomes of that one, nothing is left.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::daemon::{ALL, Daemon, reaped};
use super::folder::Folder;

/// Between two looks at the daemons.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts a Slurm, prints its folder, and keeps it until it is over.
pub fn keep() -> Result<()> {
    // Daemons that lose their parent become our children, and not init's.
    nix::sys::prctl::set_child_subreaper(true).context("cannot adopt what daemons leave")?;
    let is_over = until_the_end()?;
    let is_over = || is_over.load(Ordering::Relaxed);
    let folder = Folder::new()?;
    let kept = started(&folder, &is_over).and_then(|daemons| {
        println!("{}", folder.path().display());
        std::io::stdout().flush()?;
        while_it_is_wanted(&folder, daemons, &is_over)
    });
    kill_all()?;
    kept
}

fn started(folder: &Folder, is_over: &dyn Fn() -> bool) -> Result<Vec<Daemon>> {
    ALL.into_iter()
        .map(|which| {
            let mut daemon = Daemon::new(which);
            daemon.start_well(folder, is_over)?;
            Ok(daemon)
        })
        .collect()
}

fn while_it_is_wanted(
    folder: &Folder,
    mut daemons: Vec<Daemon>,
    is_over: &dyn Fn() -> bool,
) -> Result<()> {
    while !is_over() {
        for pid in reaped() {
            // Most are what is left of jobs.
            let ended = daemons
                .iter_mut()
                .find_map(|daemon| daemon.has_ended(pid).then_some(daemon));
            if let Some(daemon) = ended {
                daemon.forget(folder);
            }
        }
        for daemon in &mut daemons {
            daemon.see_to(folder)?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Becomes true at the end of standard input, or when somebody says so.
fn until_the_end() -> Result<Arc<AtomicBool>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (by_input, by_signal) = (Arc::clone(&is_over), Arc::clone(&is_over));
    thread::spawn(move || {
        // An error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        by_input.store(true, Ordering::Relaxed);
    });
    let mut end = super::Waiting::new(None)?;
    thread::spawn(move || {
        end.wait();
        by_signal.store(true, Ordering::Relaxed);
    });
    Ok(is_over)
}

/// Ends all processes that come from this one. What they would have written is thrown away in any case.
fn kill_all() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let begun = Instant::now();
    loop {
        reaped();
        let left = descendants()?;
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            anyhow::bail!("processes {left:?} do not end");
        }
        for pid in left {
            // It may have ended by now; then its number is still its own, as nobody but us reaps it.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The children of this process, and theirs.
fn descendants() -> Result<Vec<Pid>> {
    let mut parents: Vec<(Pid, Pid)> = Vec::new();
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // `12 (a name) S 1 ...`; one that has just ended has none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1))
            .and_then(|parent| parent.parse().ok());
        if let Some(parent) = parent {
            parents.push((Pid::from_raw(pid), Pid::from_raw(parent)));
        }
    }
    let mut found = vec![nix::unistd::getpid()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let children = parents.iter().filter(|(_, its)| *its == parent);
        found.extend(children.map(|(child, _)| *child));
    }
    Ok(found.split_off(1))
}
