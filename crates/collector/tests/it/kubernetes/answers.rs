//! What becomes of the API's answers, the wrong ones above all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    AF, COFFEA, coffea_alone, document, has_both, hides_names, is_list_in, jupyter, world_of,
};
use crate::support::cluster::{Ask, Cluster, What, json_reply, pods, recorded};
use crate::support::endpoint::Reply;

// Namespaces that are missing, forbidden or empty.

fn forbidden() -> Reply {
    json_reply(403, recorded("403.json"))
}

#[test]
fn a_forbidden_namespace_is_a_failure_if_it_was_named_and_a_remark_if_not() {
    let cluster = Cluster::start(|ask| {
        is_list_in(ask, "coffea-casa").then(|| json_reply(403, recorded("403-coffea-casa.json")))
    });
    let world = world_of(&cluster);
    let run = jupyter(&world, &[])
        .exits(0)
        .says(" INFO jupyter: namespace coffea-casa: 403");
    assert_eq!(run.documents(), [document("jupyter-ml", &AF)]);
    hides_names(&world);
    let cluster = Cluster::start(|ask| is_list_in(ask, "canary-lab").then(forbidden));
    let world = world_of(&cluster);
    let run = jupyter(&world, &["-n", "canary-lab"]).exits(1);
    assert_eq!(run.documents(), coffea_alone());
    run.says("ERROR jupyter: namespace canary-lab: 403, these credentials may not list pods");
}

#[test]
fn both_default_namespaces_missing_or_forbidden_is_a_failure() {
    let forbidding = Cluster::start(|_| Some(forbidden()));
    let missing = Cluster::start(|ask| {
        Some(match ask.what {
            What::ListPods => json_reply(200, recorded("empty.json")),
            What::GetNamespace => not_found(),
        })
    });
    for cluster in [forbidding, missing] {
        let world = world_of(&cluster);
        let run = jupyter(&world, &[]).exits(1);
        assert_eq!(run.documents(), [] as [Value; 0]);
        hides_names(&world);
    }
}

fn not_found() -> Reply {
    let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "namespaces \"canary-lab\" not found"});
    json_reply(404, status.to_string())
}

#[test]
fn a_missing_namespace_is_no_false_zero() {
    let cluster = Cluster::healthy();
    let run = jupyter(&world_of(&cluster), &["-n", "af-jupiter"])
        .exits(1)
        .says("WARN jupyter: namespace af-jupiter: was asked for and does not exist");
    assert_eq!(run.lines_with("af-jupiter"), 1, "{}", run.stderr);
    assert_eq!(run.lines_with("ERROR"), 0, "{}", run.stderr);
    assert_eq!(run.documents(), coffea_alone());

    let cluster = Cluster::start(|ask| {
        let is_coffea = ask.namespace == "coffea-casa";
        is_coffea.then(|| match ask.what {
            What::ListPods => json_reply(200, recorded("empty.json")),
            What::GetNamespace => not_found(),
        })
    });
    let run = jupyter(&world_of(&cluster), &[])
        .exits(0)
        .says("INFO jupyter: namespace coffea-casa: does not exist");
    assert_eq!(run.documents(), [document("jupyter-ml", &AF)]);
    assert!(!run.stderr.contains("WARN"), "{}", run.stderr);
}

#[test]
fn nobody_is_believed_where_the_namespace_exists_or_may_not_be_asked_for() {
    for is_forbidden in [true, false] {
        let cluster = Cluster::start(move |ask| match (ask.what, &*ask.namespace) {
            (What::ListPods, "af-jupyter") => Some(pods("owner", &[], None)),
            (What::GetNamespace, _) if is_forbidden => Some(forbidden()),
            _ => None,
        });
        let run = jupyter(&world_of(&cluster), &[]).exits(0);
        assert_eq!(
            run.documents(),
            [
                document("jupyter-ml", &[]),
                document("jupyter-coffea", &COFFEA)
            ]
        );
        assert_eq!(cluster.asks_about("af-jupyter").len(), 2);
    }
}

// Answers that are none.

/// What the server does about af-jupyter, and what the log says of it.
struct Failure {
    name: &'static str,
    odd: fn(&Ask) -> Reply,
    said: &'static str,
}

const FAILURES: &[Failure] = &[
    Failure {
        name: "unauthorized",
        odd: |_| json_reply(401, recorded("401.json")),
        said: "401, the Kubernetes API does not accept these credentials",
    },
    Failure {
        name: "forbidden",
        odd: |_| forbidden(),
        said: "403, these credentials may not list pods",
    },
    Failure {
        name: "expired twice",
        odd: |ask| match ask.from {
            None => pods("owner", &["canary-1"], Some("next")),
            Some(_) => json_reply(410, recorded("410.json")),
        },
        said: "expired twice (410)",
    },
    Failure {
        name: "internal error",
        odd: |_| {
            let status = json!({"kind": "Status", "status": "Failure", "code": 500,
                "reason": "InternalError", "message": "etcd has lost canary-30"});
            json_reply(500, status.to_string())
        },
        said: "the Kubernetes API refused: 500",
    },
    Failure {
        name: "always busy",
        odd: |_| {
            Reply::With(
                429,
                vec![("retry-after", "1".to_owned())],
                recorded("429.txt"),
            )
        },
        said: "no list from the Kubernetes API within 2 s",
    },
    Failure {
        name: "not JSON",
        odd: |_| json_reply(200, "canary-31 is not JSON".to_owned()),
        said: "is no list of pods",
    },
    Failure {
        name: "other JSON",
        odd: |_| json_reply(200, r#"{"items": "canary-32"}"#.to_owned()),
        said: "is no list of pods",
    },
    Failure {
        name: "truncated JSON",
        odd: |_| {
            let page = recorded("af-jupyter-1.json");
            json_reply(200, page[..page.len() / 2].to_owned())
        },
        said: "is no list of pods",
    },
    Failure {
        name: "a login page",
        odd: |_| {
            let page = "<!doctype html><title>canary-33, please log in</title>";
            let html = "text/html".to_owned();
            Reply::With(200, vec![("content-type", html)], page.to_owned())
        },
        said: "is no list of pods",
    },
    Failure {
        name: "a gateway's error page",
        odd: |_| Reply::Status(502, "<html>canary-34: bad gateway</html>".to_owned()),
        said: "the Kubernetes API refused: 502",
    },
    Failure {
        name: "cut off before the answer",
        odd: |_| Reply::Cut,
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "cut off in mid-answer",
        odd: |_| {
            let page = recorded("af-jupyter-1.json");
            Reply::Broken(page[..page.len() / 2].to_owned())
        },
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "cut off after the first page",
        odd: |ask| match ask.from {
            None => json_reply(200, recorded("af-jupyter-1.json")),
            Some(_) => Reply::Cut,
        },
        said: "cannot talk to the Kubernetes API",
    },
    Failure {
        name: "silent",
        odd: |_| Reply::Hang,
        said: "no list from the Kubernetes API within 2 s",
    },
];

impl Failure {
    fn cluster(&'static self) -> Cluster {
        Cluster::start(|ask| is_list_in(ask, "af-jupyter").then(|| (self.odd)(ask)))
    }
}

/// Each failure in a thread of its own: some wait for their deadline.
fn each_failure(check: fn(&'static Failure)) {
    std::thread::scope(|scope| {
        let running: Vec<_> = FAILURES
            .iter()
            .map(|failure| (failure.name, scope.spawn(move || check(failure))))
            .collect();
        for (name, thread) in running {
            assert!(thread.join().is_ok(), "at {name:?}");
        }
    });
}

#[test]
fn a_failure_in_one_namespace_is_said_and_leaves_the_other_its_document() {
    each_failure(|failure| {
        let cluster = failure.cluster();
        let begun = Instant::now();
        // By name, so that it may not be missing.
        let run = jupyter(&world_of(&cluster), &["-n", "af-jupyter"]).exits(1);
        assert!(begun.elapsed() < Duration::from_secs(25));
        assert_eq!(run.documents(), coffea_alone());
        let run = run
            .says(failure.said)
            .says("ERROR jupyter: namespace af-jupyter: ");
        assert_eq!(run.stderr.matches("ERROR").count(), 1, "{}", run.stderr);
        cluster.asks();
    });
}

#[test]
fn no_name_leaves_whatever_fails() {
    hides_names(&world_of(&Cluster::healthy()));
    each_failure(|failure| {
        let run = hides_names(&world_of(&failure.cluster()));
        assert_eq!(run.documents().len(), 1);
        assert!(run.stderr.contains("ERROR") || run.stderr.contains("INFO jupyter"));
    });
}

// What passes.

#[test]
fn an_expired_list_is_started_over_once() {
    let cluster = Cluster::start(|ask| {
        let is_first_second_page = is_list_in(ask, "af-jupyter") && ask.number == 1;
        is_first_second_page.then(|| json_reply(410, recorded("410.json")))
    });
    has_both(jupyter(&world_of(&cluster), &[]));
    let tokens: Vec<_> = cluster
        .asks_about("af-jupyter")
        .iter()
        .map(|ask| ask.from.is_some())
        .collect();
    assert_eq!(tokens, [false, true, false, true, true, true, true]);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let cluster = Cluster::start(|ask| {
        let after = vec![("retry-after", "1".to_owned())];
        (ask.number == 0).then(|| Reply::With(429, after, recorded("429.txt")))
    });
    let begun = Instant::now();
    has_both(jupyter(&world_of(&cluster), &[]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}
