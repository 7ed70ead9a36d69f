//! Slurm jobs that have ended since the last round, from one `sacct` a round.
//!
//! ```text
//! JobID·JobIDRaw·User·UID·Account·Partition·State·Submit·Start·End·ElapsedRaw·AllocCPUS
//! 2·2·canary-1·1001·physics·batch·FAILED·1795430564·1795430565·1795430565·0·1
//! 3_1·5·canary-1·1001·physics·batch·COMPLETED·1795430564·1795430565·1795430570·5·1
//! ```
//!
//! (`·` is the unit separator, 0x1f.) What surprised us: with states (`-s`) and without an end (`-E`) its window is
//! one second long, and it says nothing of that. A job that was requeued, or lost its node, has a record for each
//! run under one id; without `-D` the last one alone is shown. While slurmdbd catches up after it was away,
//! a job may be COMPLETED and have no end. A job that was cancelled before it could begin at all is in no window
//! of 22.05. The user is the one of the account, and there after the system has forgotten it.

use afmetrics_document::Document;
use async_trait::async_trait;
use tracing::info;

use super::{Collector, Spec};
use crate::context::Context;
use crate::counted::counted;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::keys::hash;
use crate::sources::slurm::reported::{Cursor, Reading, date};
use crate::sources::slurm::{Columns, Record, SEPARATOR, accounts_format, query, visible};
use crate::state::Left;

pub const SPEC: Spec = Spec {
    name: "slurm_history",
    summary: "Slurm jobs that ended since the last round; in the first one, those of the last 360 s (sacct)",
    kinds: &["slurmjob"],
    flag: "--slurm",
    table: "batch",
    debug_file: "slurm.json",
    after: None,
    build: |config| {
        config.slurm.then(|| {
            Box::new(SlurmHistory {
                excluded_owners: config.excluded_owners.clone(),
            }) as _
        })
    },
};

struct SlurmHistory {
    excluded_owners: Vec<String>,
}

const CURSOR: &str = "slurm_history";
/// All states in which a run ends: boot fail, cancelled, completed, deadline, failed, node fail, out of memory,
/// preempted, requeued, timeout. (Revoked is what another cluster of a federation ran.)
const ENDS: &str = "BF,CA,CD,DL,F,NF,OOM,PR,RQ,TO";

#[async_trait(?Send)]
impl Collector for SlurmHistory {
    async fn collect(&self, cx: &Context, out: &mut Documents) -> Result<(), CollectError> {
        let now = cx.unix_seconds();
        let before = match cx.cursor::<Cursor>(CURSOR).await? {
            Left::Value(cursor) => Some(cursor),
            Left::Nothing | Left::Unusable => None,
        };
        let mut reading = Reading::new(before, now);
        if !self.read(&mut reading, cx, out).await? {
            return Ok(());
        }
        let behind = reading.is_behind();
        if behind > 0 {
            info!(
                "slurm_history: the accounts were last read long ago and are read six hours at a time; {behind} s are left for the next rounds"
            );
        }
        if cx.state.is_some() {
            out.advance(CURSOR, &reading.cursor())?;
        }
        Ok(())
    }
}

impl SlurmHistory {
    /// Reads a window of time; whether there was something to be read.
    async fn read(
        &self,
        reading: &mut Reading,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<bool, CollectError> {
        let (from, to) = reading.window;
        let (from, to) = (date(from), date(to));
        let delimiter = format!("--delimiter={SEPARATOR}");
        let format = accounts_format();
        // All users, no steps, each run, of a federation this cluster alone.
        let mut args = vec!["-a", "-X", "-P", "-D", "--local", &delimiter, &format];
        args.extend(["-S", &from, "-E", &to, "-s", ENDS]);
        // It says nothing until it has all.
        let mut lines = query(cx, "sacct", &args, cx.deadline("batch")).await?;
        let columns = match lines.header().await {
            // Slurm without slurmdbd: nobody asked for its accounts by name.
            Err(why @ CollectError::NotHere(_)) => {
                out.excuse(why);
                return Ok(false);
            }
            header => header?
                .ok_or("there is none")
                .and_then(|header| Columns::parse(&header)),
        };
        let columns = columns.map_err(|why| {
            CollectError::Malformed(format!("the header of sacct's output: {why}"))
        })?;
        let own = cx.uid().as_raw().to_string();
        let (mut shows_others, mut placeholders) = (false, 0);
        while let Some(line) = lines.next().await? {
            match Record::parse(&line, &columns) {
                Err(why) => lines.bad(why),
                Ok(record) if record.is_placeholder() => placeholders += 1,
                Ok(record) => {
                    shows_others |= record.uid != own;
                    self.push(&record, reading, cx, out).await?;
                }
            }
        }
        if placeholders > 0 {
            info!(
                "slurm_history: left out for now: {} without a partition (slurmdbd knows how the job ended, and not yet whose it is)",
                counted(placeholders, "record")
            );
        }
        visible::accounts_are_visible(cx, shows_others).await?;
        Ok(true)
    }

    async fn push(
        &self,
        record: &Record<'_>,
        reading: &mut Reading,
        cx: &Context,
        out: &mut Documents,
    ) -> Result<(), CollectError> {
        let Some(ended) = record.ended else {
            return Ok(());
        };
        if !reading.take(ended, hash(&record.key))
            || self
                .excluded_owners
                .iter()
                .any(|owner| owner == record.user)
        {
            return Ok(());
        }
        let Some(users) = cx.names.publish(record.user).await? else {
            return Ok(());
        };
        let document = Document::SlurmJob {
            users,
            id: record.id.clone().into_owned(),
            runtime: record.runtime,
            state: record.state.clone(),
            partition: record.partition.to_owned(),
            account: record.account.map(|name| cx.names.publish_account(name)),
            cores: record.cores,
            tasks: None,
        };
        match cx.state {
            Some(_) => out.push_once(&document),
            None => out.push(&document),
        }
    }
}
