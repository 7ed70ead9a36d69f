//! One pass over the chosen collectors: all at the same time, each under its deadline, each failing
//! alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::collectors::{ALL, Collector, Spec};
use crate::config::Config;
use crate::context::Context;
use crate::documents::{Documents, Problem, Stored};
use crate::error::CollectError;
use crate::state::State;

/// What a collector brought.
pub struct Collected {
    pub spec: &'static Spec,
    /// `None`: it failed as a whole.
    pub documents: Option<Stored>,
    /// A source that was asked for could not be read.
    pub failed: bool,
}

impl Collected {
    /// How many documents it brought.
    pub fn count(&self) -> u64 {
        self.documents
            .as_ref()
            .map_or(0, |documents| documents.count)
    }
}

/// Runs the collectors that the configuration chooses and logs what went wrong, a line each.
/// `folder`: where documents go that are too many for memory.
pub async fn collect(config: &Config, cx: Rc<Context>, folder: &Path) -> Vec<Collected> {
    let mut chosen: Vec<_> = ALL
        .iter()
        .filter_map(|spec| Some((spec, (spec.build)(config)?)))
        .collect();
    if let Some(state) = &cx.state {
        let specs = chosen.iter().map(|(spec, _)| *spec).collect();
        let busy = busy(state, specs, &cx.facility).await;
        chosen.retain(|(spec, _)| !busy.contains(&spec.name));
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
            let out = Documents::new(&config.cluster, folder);
            let first = spec.after.and_then(|name| ended.get(name).cloned());
            let cx = Rc::clone(&cx);
            let task = async move {
                let _end = end;
                if let Some(mut first) = first {
                    // What hangs delays it, and keeps it from nothing.
                    let _ = timeout(cx.limits.silence, first.changed()).await;
                }
                run(collector, cx, out).await
            };
            (spec, tasks.spawn_local(task))
        })
        .collect();
    tasks
        .run_until(async {
            let mut collected = Vec::new();
            for (spec, task) in running {
                let result = task.await.unwrap_or_else(|_| {
                    Err(CollectError::Failed(
                        "stopped by an error of its own (a bug: please report it)".to_owned(),
                    ))
                });
                collected.push(judged(spec, result));
            }
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
        .partition(|spec| spec.after.is_some_and(|name| busy.contains(&name)));
    busy.extend(left.iter().map(|spec| spec.name));
    let names = followers.iter().map(|spec| spec.name).collect();
    let taken = state.take_turns(names, facility).await;
    for spec in followers {
        if taken.contains(&spec.name) {
            busy.extend(spec.after);
        }
    }
    busy.extend(taken);
    busy
}

async fn run(
    collector: Box<dyn Collector>,
    cx: Rc<Context>,
    mut out: Documents,
) -> Result<Stored, CollectError> {
    let deadline = cx.limits.total;
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

fn judged(spec: &'static Spec, result: Result<Stored, CollectError>) -> Collected {
    match result {
        Ok(documents) => {
            debug!("{}: {} documents", spec.name, documents.count);
            for Problem { error, excused } in &documents.problems {
                match error {
                    _ if *excused => info!("{}: {error}", spec.name),
                    CollectError::Misnamed(_) => warn!("{}: {error}", spec.name),
                    _ => error!("{}: {error}", spec.name),
                }
            }
            Collected {
                spec,
                failed: documents.problems.iter().any(|problem| !problem.excused),
                documents: Some(documents),
            }
        }
        Err(error) => {
            error!("{}: {error}", spec.name);
            Collected {
                spec,
                documents: None,
                failed: true,
            }
        }
    }
}
