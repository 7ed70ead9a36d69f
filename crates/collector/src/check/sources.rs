//! Every collector that is chosen, run once as in a round; and where none is, what this node has to offer.

use std::collections::HashSet;
use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::rc::Rc;

use afmetrics_document::CollectorResult;
use kube::config::{Config as Cluster, Kubeconfig};
use serde::Deserialize;

use super::report::{Row, Verdict, quoted};
use crate::aside::aside;
use crate::batch_system::is_on;
use crate::collectors::ALL;
use crate::config::Config;
use crate::context::Context;
use crate::counted::counted;
use crate::documents::{Kinds, Problem, Stored};
use crate::round::{self, Collected};

/// What came of each collector. Nothing of it is kept but the numbers.
pub async fn rows(config: &Config, cx: Rc<Context>) -> Vec<Row> {
    // Not in the state folder: nothing is written there, not even for a moment.
    let collected = round::tried(config, Rc::clone(&cx), &std::env::temp_dir()).await;
    collected.iter().map(|one| row(one, config, &cx)).collect()
}

fn row(collected: &Collected, config: &Config, cx: &Context) -> Row {
    let mut found = Vec::new();
    let mut advice = Vec::new();
    if let Some(documents) = &collected.documents {
        // Nothing of what failed is not nothing there.
        if collected.result == CollectorResult::Ok || documents.count() > 0 {
            found.push(told(documents, config.audiences.len()));
        }
        for Problem { error, excused, .. } in &documents.problems {
            match excused {
                true => advice.push(format!("Left out, and no failure: {error}.")),
                false => found.push(error.to_string()),
            }
        }
    }
    found.extend(collected.error.iter().map(ToString::to_string));
    let found = found.join("; ");
    let verdict = match collected.result {
        CollectorResult::Ok => Verdict::Ok,
        _ => Verdict::Fail,
    };
    if verdict == Verdict::Fail {
        advice.extend(hint(collected.name, &found, config, cx));
    }
    Row::new(collected.name, verdict, found)
        .took(collected.duration)
        .advise_all(advice)
}

/// `12 documents (condorjob 12), 3 users`
fn told(documents: &Stored, audiences: usize) -> String {
    let count = |kinds: &Kinds| kinds.iter().map(|(_, count)| count).sum::<u64>();
    let all = documents.kinds_of_all();
    let most = (0..audiences).max_by_key(|audience| count(&documents.kinds(*audience)));
    let kinds: Vec<String> = all
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let told = match count(&all) {
        0 => "no documents: it could be read, and there is nothing".to_owned(),
        count => format!("{} ({})", counted(count, "document"), kinds.join(", ")),
    };
    match users(documents, most.unwrap_or(0)) {
        None => told,
        Some(users) => format!("{told}, {}", counted(users as u64, "user")),
    }
}

/// How many users documents name; `None`: they are not about users, or cannot be read again.
fn users(documents: &Stored, audience: usize) -> Option<usize> {
    #[derive(Deserialize)]
    struct Line {
        users: Option<Users>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Users {
        One(String),
        All(Vec<String>),
    }
    let mut names = HashSet::new();
    let mut is_about_users = false;
    for line in documents.read(audience).ok()?.split(b'\n') {
        let line: Line = serde_json::from_slice(&line.ok()?).ok()?;
        is_about_users |= line.users.is_some();
        match line.users {
            Some(Users::One(name)) => names.extend([name]),
            Some(Users::All(all)) => names.extend(all),
            None => {}
        }
    }
    is_about_users.then_some(names.len())
}

/// What to do, where the collector's own words do not say it.
fn hint(collector: &str, found: &str, config: &Config, cx: &Context) -> Option<String> {
    let table = ALL
        .iter()
        .find(|spec| spec.name == collector)
        .map_or("", |spec| spec.table);
    let has = |sign: &str| found.contains(sign);
    Some(if has("on PATH") {
        path(config, cx, table)
    } else if has("the user database (NSS)") {
        "What the user database says of a group and a user, and whether its service is up:\n\
         getent group GROUP; id USER; systemctl status sssd"
            .to_owned()
    } else if has("no record of sessions") {
        "In a container mount the host's /run, and name the root that it is below (--root). Where nobody logs in:\n[ssh]\nenabled = false".to_owned()
    } else if has("utmp cannot be read") {
        "Sessions are read from there:\nsudo chmod 664 /run/utmp".to_owned()
    } else if table == "jupyter" {
        return cluster(found);
    } else if collector == "disk" && has("does not exist") {
        "Mount it, or take it out of the list:\n[host]\nmounts = [\"/home\"]".to_owned()
    } else if has("within") || has("gave no output for") {
        format!(
            "It is slow or hangs: run it by hand. It may take longer with silence_secs, deadline_secs, or of this one alone:\n[{table}]\ndeadline_secs = 240"
        )
    } else {
        return None;
    })
}

/// For a program that is not found.
fn path(config: &Config, cx: &Context, table: &str) -> String {
    let is_hidden = config.publisher.hides_users() || config.publisher.hides_hosts();
    let path = match &config.path {
        // It may lead through a home.
        Some(_) if is_hidden => "is that of this shell".to_owned(),
        Some(path) => format!("is {}", cx.quoting.answer(&path.to_string_lossy())),
        None => "is not set".to_owned(),
    };
    format!(
        "PATH {path}. Where the program is elsewhere, set PATH in the crontab or in the service's environment \
         (systemctl edit afmetrics_collector), say:\n\
         PATH=/usr/bin:/bin:/usr/local/bin\n\
         On a node that has none:\n\
         [{table}]\n\
         enabled = false"
    )
}

/// For what the cluster does not allow, or what does not lead there.
fn cluster(found: &str) -> Option<String> {
    let has = |sign: &str| found.contains(sign);
    Some(if has("may not list pods") {
        let namespace = found
            .split("namespace ")
            .nth(1)
            .and_then(|rest| rest.split(':').next())
            .unwrap_or("af-jupyter");
        let namespace = quoted(namespace);
        format!(
            "With the admin's kubeconfig, for an account in af-metrics (docs/kubernetes.md has the rest):\n\
             kubectl create namespace af-metrics\n\
             kubectl -n af-metrics create serviceaccount afmetrics\n\
             kubectl -n {namespace} create role afmetrics --verb=list --resource=pods\n\
             kubectl -n {namespace} create rolebinding afmetrics --role=afmetrics --serviceaccount=af-metrics:afmetrics\n\
             kubectl auth can-i list pods -n {namespace} --as system:serviceaccount:af-metrics:afmetrics"
        )
    } else if has("there is no kubeconfig") {
        "docs/kubernetes.md says how to make one that may list pods and nothing else. Name it in the crontab or in the \
         service's environment (systemctl edit afmetrics_collector):\n\
         KUBECONFIG=/etc/afmetrics/kubeconfig"
            .to_owned()
    } else if has("KUBECONFIG names") || has("kubeconfig") {
        "Whether this user can read it, and what is in it:\nls -l \"$KUBECONFIG\"; kubectl config view"
            .to_owned()
    } else if has("401") {
        "Tokens of a service account end: docs/kubernetes.md has one that does not.".to_owned()
    } else if has("is -n misspelt") || has("does not exist") {
        "What namespaces there are:\nkubectl get namespaces".to_owned()
    } else if has("cannot talk to") {
        "The same by hand, as this user:\nkubectl get --raw /version".to_owned()
    } else {
        return None;
    })
}

/// What could be collected here, for a configuration that chooses nothing.
pub async fn offered(config: &Config, is_chosen: bool) -> Row {
    let path = config
        .path
        .clone()
        .unwrap_or_else(|| "/bin:/usr/bin".into());
    let root = config.root.clone();
    let looked = aside(config.limits.silence, move || {
        let batch = ["condor_q", "squeue"]
            .into_iter()
            .find(|program| is_on(&path, program));
        (sessions(&root), batch, has_host(&root), has_cluster())
    });
    let (ssh, batch, host, cluster) = looked.await.unwrap_or_default();
    let mut lines = Vec::new();
    let mut offer = |table: &str, why: &str| {
        lines.push(format!("[{table}]\nenabled = true    # {why}"));
    };
    if ssh {
        offer("ssh", "this node has a record of sessions");
    }
    if let Some(program) = batch {
        offer("batch", &format!("{program} is on PATH"));
    }
    if host {
        offer("host", "/proc can be read");
    }
    if cluster {
        offer("jupyter", "there is a kubeconfig, or a service account");
    }
    let row = match is_chosen {
        true => Row::ok(
            "collectors",
            "none is chosen: a round is its heartbeat alone",
        ),
        false => Row::new(
            "collectors",
            Verdict::Unusable,
            "none is chosen, so there is nothing to collect",
        ),
    };
    let every = "Every option there is:\nafmetrics_collector reference config";
    match lines.is_empty() {
        true => row.advise("This node has nothing that could be collected: no sessions, no condor_q or squeue on PATH, no /proc, no kubeconfig."),
        false => row.advise(format!(
            "What this node has, as lines for /etc/afmetrics/collector.toml:\n{}",
            lines.join("\n")
        )),
    }
    .advise(every)
}

fn sessions(root: &Path) -> bool {
    ["run/utmp", "var/run/utmp"]
        .iter()
        .any(|path| fs::File::open(root.join(path)).is_ok())
        || fs::read_dir(root.join("run/systemd/seats"))
            .is_ok_and(|mut seats| seats.next().is_some())
}

fn has_host(root: &Path) -> bool {
    fs::read(root.join("proc/loadavg")).is_ok()
}

fn has_cluster() -> bool {
    matches!(Kubeconfig::from_env(), Ok(Some(_)))
        || Kubeconfig::read().is_ok()
        || Cluster::incluster().is_ok()
}
