//! One pass over the chosen collectors: all at the same time, each under its deadline, each failing
//! alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use afmetrics_document::CollectorResult;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info, warn};

use crate::collectors::{ALL, Collector, Spec};
use crate::config::Config;
use crate::context::Context;
use crate::counted::counted;
use crate::documents::{Documents, Problem, Stored};
use crate::error::CollectError;
use crate::state::State;

/// What a collector brought.
pub struct Collected {
    /// Its name in [`ALL`].
    pub name: &'static str,
    /// The file that its documents go to under `-d`.
    pub debug_file: &'static str,
    /// `None`: it failed as a whole, or was not run.
    pub documents: Option<Stored>,
    /// Of several sources that could not be read, what the first one said.
    pub result: CollectorResult,
    /// Why it failed as a whole.
    pub error: Option<CollectError>,
    /// How long it ran.
    pub duration: Duration,
}

impl Collected {
    /// How many documents it brought.
    pub fn count(&self) -> u64 {
        self.documents.as_ref().map_or(0, Stored::count)
    }

    /// One that another round is running just now.
    fn left_out(spec: &'static Spec) -> Self {
        Self {
            name: spec.name,
            debug_file: spec.debug_file,
            documents: None,
            result: CollectorResult::Busy,
            error: None,
            duration: Duration::ZERO,
        }
    }

    /// Logs what went wrong, a line each.
    fn log(&self) {
        let name = self.name;
        if let Some(error) = &self.error {
            error!("{name}: {error}");
        }
        let Some(documents) = &self.documents else {
            return;
        };
        debug!("{name}: {}", counted(documents.count(), "document"));
        for Problem { error, excused, .. } in &documents.problems {
            match error {
                _ if *excused => info!("{name}: {error}"),
                CollectError::Misnamed(_) => warn!("{name}: {error}"),
                _ => error!("{name}: {error}"),
            }
        }
    }
}

/// Runs the collectors that the configuration chooses and logs what went wrong, a line each.
/// `folder`: where documents go that are too many for memory. Those that were left to another round come last.
pub async fn collect(config: &Config, cx: Rc<Context>, folder: &Path) -> Vec<Collected> {
    gathered(config, cx, folder, Collected::log).await
}

/// The same, but what went wrong is for the caller to say.
pub async fn tried(config: &Config, cx: Rc<Context>, folder: &Path) -> Vec<Collected> {
    gathered(config, cx, folder, |_| ()).await
}

/// `tell`: what is done with each, as it ends.
async fn gathered(
    config: &Config,
    cx: Rc<Context>,
    folder: &Path,
    tell: fn(&Collected),
) -> Vec<Collected> {
    let mut chosen: Vec<_> = ALL
        .iter()
        .filter_map(|spec| Some((spec, (spec.build)(config)?)))
        .collect();
    let mut left_out = Vec::new();
    if let Some(state) = &cx.state {
        let specs = chosen.iter().map(|(spec, _)| *spec).collect();
        let busy = busy(state, specs, &cx.facility).await;
        (left_out, chosen) = chosen
            .into_iter()
            .partition(|(spec, _)| busy.contains(&spec.name));
        if !busy.is_empty() {
            warn!(
                "left to another round, which is still at it: {}",
                busy.join(", ")
            );
        }
    }
    let tasks = LocalSet::new();
    // A collector has ended when its end of the channel is gone, in whatever way that came about.
    let (ends, ended): (Vec<_>, BTreeMap<_, _>) = chosen
        .iter()
        .map(|(spec, _)| {
            let (end, ended) = watch::channel(());
            (end, (spec.name, ended))
        })
        .unzip();
    let running: Vec<_> = chosen
        .into_iter()
        .zip(ends)
        .map(|((spec, collector), end)| {
            let out = Documents::new(spec.name, &config.cluster, &config.audiences, folder);
            let first = spec
                .after
                .and_then(|first| Some((ended.get(first.name)?.clone(), first.needed)));
            let cx = Rc::clone(&cx);
            let deadline = cx.deadline(spec.table);
            let task = async move {
                let _end = end;
                if let Some((mut first, needed)) = first {
                    let patience = match needed {
                        // It ends by its own deadline.
                        true => deadline,
                        // What hangs delays this one, and keeps it from nothing.
                        false => cx.limits.silence,
                    };
                    let _ = timeout(patience, first.changed()).await;
                }
                let begun = Instant::now();
                (run(collector, cx, out, deadline).await, begun.elapsed())
            };
            (spec, tasks.spawn_local(task))
        })
        .collect();
    let begun = Instant::now();
    tasks
        .run_until(async {
            let mut collected = Vec::new();
            for (spec, task) in running {
                let (result, duration) = task.await.unwrap_or_else(|_| {
                    let why = "stopped by an error of its own (a bug: please report it)".to_owned();
                    (Err(CollectError::Failed(why)), begun.elapsed())
                });
                let one = outcome(spec.name, spec.debug_file, result, duration);
                tell(&one);
                collected.push(one);
            }
            collected.extend(left_out.iter().map(|(spec, _)| Collected::left_out(spec)));
            collected
        })
        .await
}

/// Those that another round is running just now. One that follows another is run where that one is, or
/// two rounds could each run one of the two. Who does not have the first does not try the second, or
/// each round could keep the other from both.
async fn busy(state: &State, specs: Vec<&'static Spec>, facility: &str) -> Vec<&'static str> {
    let (followers, first): (Vec<_>, Vec<_>) =
        specs.into_iter().partition(|spec| spec.after.is_some());
    let names = first.iter().map(|spec| spec.name).collect();
    let mut busy = state.take_turns(names, facility).await;
    let (left, followers): (Vec<_>, Vec<_>) = followers
        .into_iter()
        .partition(|spec| spec.after.is_some_and(|first| busy.contains(&first.name)));
    busy.extend(left.iter().map(|spec| spec.name));
    let names = followers.iter().map(|spec| spec.name).collect();
    let taken = state.take_turns(names, facility).await;
    for spec in followers {
        if taken.contains(&spec.name) {
            busy.extend(spec.after.map(|first| first.name));
        }
    }
    busy.extend(taken);
    busy
}

async fn run(
    collector: Box<dyn Collector>,
    cx: Rc<Context>,
    mut out: Documents,
    deadline: Duration,
) -> Result<Stored, CollectError> {
    let result = timeout(deadline, collector.collect(&cx, &mut out))
        .await
        .unwrap_or_else(|_| {
            Err(CollectError::TimedOut(format!(
                "not done within {} s; given up",
                deadline.as_secs()
            )))
        });
    out.close(result)?;
    out.finish()
}

/// Logs what came of this, and keeps it.
pub fn judged(
    name: &'static str,
    debug_file: &'static str,
    result: Result<Stored, CollectError>,
    duration: Duration,
) -> Collected {
    let collected = outcome(name, debug_file, result, duration);
    collected.log();
    collected
}

fn outcome(
    name: &'static str,
    debug_file: &'static str,
    result: Result<Stored, CollectError>,
    duration: Duration,
) -> Collected {
    let (documents, error) = match result {
        Ok(documents) => (Some(documents), None),
        Err(error) => (None, Some(error)),
    };
    let problems = documents.iter().flat_map(|documents| &documents.problems);
    let parts = problems.filter(|problem| !problem.excused);
    let first = error
        .iter()
        .chain(parts.map(|problem| &problem.error))
        .next();
    Collected {
        name,
        debug_file,
        result: first.map_or(CollectorResult::Ok, CollectError::result),
        documents,
        error,
        duration,
    }
}
