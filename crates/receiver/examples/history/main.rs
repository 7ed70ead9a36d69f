//! `history FOLDER`: makes a store with months of made-up history that looks like what facilities have, so that
//! pages about it can be looked at. For `cargo xtask demo --history`. All names say `made-up`.
//!
//! What is in it, all told back from the end, which is now:
//! - three facilities in three time zones, busy on working days and by day; in one of them it is afternoon now;
//! - 40 nodes; 500 users, some there almost daily and most of them seldom, by ssh, notebooks and batch; thirty are
//!   new, others have left;
//! - batch jobs with run times from minutes to two days, idle, running and held, and their queues; 800 jobs that
//!   one user sends at once, 10 days ago. `made-up-1` has HTCondor and, smaller, Slurm, with queues of the same
//!   names; `made-up-2` has Slurm, with partitions and arrays; `made-up-3` has HTCondor;
//! - `made-up-1`: its `/data` is full in two weeks; `/scratch` of its worker nodes is cleaned every ten days;
//! - `made-up-2`: nothing for half a day, 24 days ago; its `/data` was cleaned 20 days ago;
//! - `made-up-3`: silent for three days; `node-07` of `made-up-1`: for five hours;
//! - some rounds that come an hour or more late, and some requests that come twice.
//!
//! Rounds come every five minutes at the end, every 15 minutes in the week before and once an hour before that,
//! as a store of real density takes eight times as long. The same seed and the same end make the same documents.

mod made_up;

use std::path::PathBuf;

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time;
use afmetrics_receiver::store::Store;
use anyhow::{Context as _, Result, bail};
use made_up::{Filled, Wish};

const USAGE: &str = "history FOLDER [--days N] [--until TIME] [--seed N]
  --days N      so many days (90)
  --until TIME  up to this time, as 2026-11-23T04:05:06Z (now)
  --seed N      another number makes another history (1)";

fn main() -> Result<()> {
    let (folder, wish) = read(std::env::args().skip(1))?;
    let (store, writing) = Store::open(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let filled = runtime.block_on(made_up::fill(&store, &wish, |day| {
        if day % 10 == 0 && day > 0 {
            println!("{day} of {} days", wish.days);
        }
    }));
    drop(store);
    writing.end()?;
    let Filled {
        stored,
        late,
        repeated,
    } = filled?;
    println!(
        "{stored} made-up documents up to {}; {late} of them came late, {repeated} more were repeated",
        time::text(wish.until)
    );
    Ok(())
}

fn read(mut words: impl Iterator<Item = String>) -> Result<(PathBuf, Wish)> {
    let mut folder = None;
    let mut wish = Wish::up_to(clock::now());
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            if folder.replace(PathBuf::from(word)).is_some() {
                bail!("one FOLDER is enough:\n{USAGE}");
            }
            continue;
        }
        let value = words
            .next()
            .with_context(|| format!("{word} needs a value:\n{USAGE}"))?;
        let wrong = || format!("{word} {value}: expected a number of 1 or more");
        match word.as_str() {
            "--days" => wish.days = value.parse().ok().filter(|n| *n > 0).with_context(wrong)?,
            "--seed" => wish.seed = value.parse().with_context(wrong)?,
            "--until" => {
                wish.until = time::parse(&value).with_context(|| {
                    format!("--until {value}: expected a time such as 2026-11-23T04:05:06Z")
                })?;
            }
            _ => bail!("`{word}` is nothing that this knows:\n{USAGE}"),
        }
    }
    Ok((folder.with_context(|| USAGE.to_owned())?, wish))
}
