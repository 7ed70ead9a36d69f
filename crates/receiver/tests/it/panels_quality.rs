//! The page of data quality: known documents, repeats, refusals and silences in, exact numbers out.

use std::collections::BTreeMap;

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time::{self, DAY_MS, HOUR_MS, SLOT_MS};
use serde_json::{Value, json};

use crate::api::{at, midnight, of, send, ssh};
use crate::support::{Running, World, load};

const KEY: &str = "01a20621-7623-7310-a7ad-f3b43b8e6695/0-2";

/// A store of two facilities, and who looks at it.
struct Scene {
    running: Running,
    all: String,
    bound: String,
    day: i64,
    _world: World,
}

/// AF-1: CPU of two nodes and ssh of one, from a midnight on, one of three batches sent three times. AF-2: a document
/// now. And five requests that are refused.
fn scene() -> Scene {
    let world = World::new();
    let (one, two) = (world.token("AF-1"), world.token("AF-2"));
    world.token("AF-3");
    let all = world.viewer();
    let bound = world.done(&["token", "create", "--viewer", "--facility", "AF-1"]);
    let running = world.serve(&[]);
    let day = midnight();
    let cpu = |node: &str, ms| at(of(load(&one, node, 1.0), "AF-1", &one), day + ms);
    let mut documents = vec![
        cpu("node-1.example.org", 0),
        cpu("node-1.example.org", SLOT_MS),
        cpu("node-1.example.org", HOUR_MS),
        cpu("node-2.example.org", 0),
        cpu("node-2.example.org", 4 * SLOT_MS),
    ];
    let users = ssh(&one, "node-1.example.org", &["canary-1"]);
    documents.push(at(of(users, "AF-1", &one), day));
    let memory =
        json!({"kind": "MEM", "login_node": "node-1.example.org", "total": 2, "available": 1});
    documents.push(at(of(memory, "AF-1", &one), day));
    send(&running, &documents);
    let batch = json!([
        cpu("node-1.example.org", HOUR_MS + SLOT_MS),
        cpu("node-2.example.org", HOUR_MS)
    ]);
    for _ in 0..3 {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", KEY),
        ];
        assert_eq!(running.post_with(&headers, batch.to_string()).0, 200);
    }
    send(
        &running,
        &[of(load(&two, "node-3.example.org", 1.0), "AF-2", &two)],
    );
    let bearer = |token: &str| format!("Bearer {token}");
    let refused = |authorization: &str, body: &str| {
        let headers = [("authorization", authorization)];
        running.ask("POST", "/", &headers, body.into()).0
    };
    assert_eq!(refused(&bearer(&one), "{"), 400);
    assert_eq!(refused(&bearer(&one), "["), 400);
    assert_eq!(refused(&bearer(&two), "{"), 400);
    assert_eq!(refused(&bearer("afs_wrong"), "{}"), 401);
    let other = load(&one, "node-1.example.org", 1.0).to_string();
    assert_eq!(refused(&bearer(&one), &other), 403);
    Scene {
        running,
        all,
        bound: bound.trim().to_owned(),
        day,
        _world: world,
    }
}

impl Scene {
    /// The rows of a question, as lists of these fields.
    fn rows(&self, question: &str, viewer: &str, fields: &[&str]) -> Value {
        let answer = self.running.json(&format!("/api/v1/{question}"), viewer);
        let list = question.split('?').next().unwrap();
        let rows = answer[list].as_array().unwrap().iter();
        rows.map(|row| fields.iter().map(|field| row[*field].clone()).collect())
            .collect::<Vec<Value>>()
            .into()
    }

    /// A span of days from the first one on.
    fn span(&self, days: i64) -> String {
        let text = |ms| time::text(ms);
        format!(
            "from={}&to={}",
            text(self.day),
            text(self.day + days * DAY_MS)
        )
    }
}

const NOT_JSON: &str = "400 no document: not JSON, or a wrong field";
const NO_TOKEN: &str = "401 unknown, expired or revoked token, or a viewer's";
const OTHERS: &str = "403 a document of another facility";

#[test]
fn what_came_late_again_or_not_at_all_is_counted() {
    let scene = scene();
    let span = scene.span(1);
    let fields = ["time", "facility", "kind", "documents", "late", "repeated"];
    let hour = |n: i64| time::text(scene.day + n * HOUR_MS);
    assert_eq!(
        scene.rows(&format!("intake?{span}&step=1h"), &scene.all, &fields),
        json!([
            [hour(0), null, "CPU", 4, 4, 0],
            [hour(0), null, "MEM", 1, 1, 0],
            [hour(0), null, "ssh", 1, 1, 0],
            [hour(1), null, "CPU", 3, 3, 0],
        ])
    );
    // What came again is counted when it came.
    let now = "intake?from=-1h&step=1d&by=facility";
    let fields = ["facility", "kind", "documents", "late", "repeated"];
    let mut rows = scene.rows(now, &scene.all, &fields);
    rows.as_array_mut()
        .unwrap()
        .sort_by_key(ToString::to_string);
    assert_eq!(
        rows,
        json!([["AF-1", "CPU", null, null, 4], ["AF-2", "CPU", 1, 0, 0]])
    );
    let sums = |query: &str, viewer: &str| {
        let fields = ["what", "number", "before", "note"];
        scene.rows(&format!("arrivals?{query}"), viewer, &fields)
    };
    assert_eq!(
        sums("from=-7d", &scene.all),
        json!([
            ["Documents", 10, null, null],
            ["Late", 9, null, "90 % of them"],
            ["Repeated", 4, null, null],
            ["Refused requests", 5, null, null],
        ])
    );
    // The documents are all of the span before, but it begins before them.
    assert_eq!(
        sums("from=-40h", &scene.bound)[0],
        json!(["Documents", 0, null, null])
    );
    // With the day before, when what comes again and is refused was not counted yet, and of one facility only.
    let from = time::text((clock::now() + scene.day) / 2);
    let bound = sums(&format!("from={from}"), &scene.bound);
    assert_eq!(
        bound,
        json!([
            ["Documents", 0, 9, null],
            ["Late", 0, 9, null],
            ["Repeated", 4, null, null],
            ["Refused requests", 3, null, null],
        ])
    );
    assert_eq!(
        sums("from=2020-01-01&to=2020-01-02", &scene.all)[0],
        json!(["Documents", null, null, null])
    );
}

#[test]
fn refusals_are_told_by_reason_to_who_may_know() {
    let scene = scene();
    let fields = ["reason", "facility", "requests"];
    let reasons = |viewer: &str, query: &str| {
        let path = format!("reasons?from=-1h{query}");
        let mut rows = scene.rows(&path, viewer, &fields);
        rows.as_array_mut()
            .unwrap()
            .sort_by_key(ToString::to_string);
        rows
    };
    let own = json!([[NOT_JSON, "AF-1", 2], [OTHERS, "AF-1", 1]]);
    assert_eq!(
        reasons(&scene.all, ""),
        json!([
            [NOT_JSON, "AF-1", 2],
            [NOT_JSON, "AF-2", 1],
            [NO_TOKEN, null, 1],
            [OTHERS, "AF-1", 1],
        ])
    );
    assert_eq!(reasons(&scene.bound, ""), own);
    assert_eq!(reasons(&scene.all, "&facility=AF-1"), own);
    let fields = ["reason", "requests"];
    let over_time = |viewer: &str| scene.rows("refusals?from=-1h&step=1d", viewer, &fields);
    let sum = |rows: Value, reason: &str| -> i64 {
        let rows = rows.as_array().unwrap().clone();
        let of_it = rows.iter().filter(|row| row[0] == reason);
        of_it.map(|row| row[1].as_i64().unwrap()).sum()
    };
    assert_eq!(sum(over_time(&scene.all), NOT_JSON), 3);
    assert_eq!(sum(over_time(&scene.all), NO_TOKEN), 1);
    assert_eq!(sum(over_time(&scene.bound), NOT_JSON), 2);
    assert_eq!(sum(over_time(&scene.bound), NO_TOKEN), 0);
    // Nothing was refused on the day of the documents: zeros in the steps with documents, gaps elsewhere.
    let path = format!("/panels/refused?{}", scene.span(1));
    let chart = scene.running.json(&path, &scene.all);
    assert_eq!(chart["series"][0]["name"], "none");
    let values = chart["series"][0]["values"].as_array().unwrap();
    assert!(values.len() > 90 && values[0] == 0.0 && values[values.len() - 1].is_null());
    let zeros = values.iter().filter(|value| **value == 0.0);
    assert_eq!(zeros.count(), 3, "0:00, 0:15 and 1:00");
}

#[test]
fn a_gap_lasts_from_what_was_heard_last_to_what_was_heard_next() {
    let scene = scene();
    let fields = [
        "facility", "kinds", "node", "state", "from", "to", "seconds",
    ];
    let minute = |n: i64| time::text(scene.day + n * 60_000);
    let (node_1, node_2) = ("node-1.example.org", "node-2.example.org");
    let path = format!("gaps?{}", scene.span(1));
    let mut all = scene.rows(&path, &scene.all, &fields);
    let silent_for = |row: &mut Value, minutes: i64| {
        let seconds = (clock::now() - scene.day) / 1000 - minutes * 60;
        let found = row[6].take().as_i64().unwrap();
        assert!(
            (seconds - 60..=seconds).contains(&found),
            "{found} {seconds}"
        );
    };
    for (row, minutes) in [(0, 5), (1, 65), (2, 70)] {
        silent_for(&mut all[row], minutes);
    }
    // What is so of all nodes is not said of each.
    assert_eq!(
        all,
        json!([
            [
                "AF-1",
                ["MEM", "ssh"],
                null,
                "silent",
                minute(5),
                null,
                null
            ],
            ["AF-1", ["CPU"], node_2, "silent", minute(65), null, null],
            ["AF-1", ["CPU"], null, "silent", minute(70), null, null],
            [
                "AF-1",
                ["CPU"],
                node_1,
                "over",
                minute(10),
                minute(60),
                3000
            ],
            ["AF-1", ["CPU"], null, "over", minute(25), minute(60), 2100],
            ["AF-1", ["CPU"], node_2, "over", minute(5), minute(20), 900],
        ])
    );
    // Only what touches the span; the limit says what it left out.
    let from = time::text(scene.day + HOUR_MS - SLOT_MS);
    let to = time::text(scene.day + HOUR_MS);
    let path = format!("/api/v1/gaps?from={from}&to={to}&limit=2");
    let answer = scene.running.json(&path, &scene.bound);
    assert_eq!(
        (answer["gaps"].as_array().unwrap().len(), &answer["cut"]),
        (2, &json!(1))
    );
    // Years later nobody misses them; nodes are for 8 days at most.
    for from in ["-9d", "-365d"] {
        let long = scene.rows(&format!("gaps?from={from}"), &scene.all, &["node"]);
        assert_eq!(long, json!([[null], [null], [null]]), "{from}");
    }
}

#[test]
fn the_page_shows_it_and_a_bound_viewer_sees_nothing_of_others() {
    let scene = scene();
    let page = |viewer: &str| {
        let (status, page) = scene.running.get("/quality?from=-7d", viewer);
        assert_eq!(status, 200, "{page}");
        page
    };
    let all = page(&scene.all);
    for has in [
        "90 % of them",
        NOT_JSON,
        "401 unknown, expired or revoked token, or a viewer&#39;s",
        "AF-2",
        "<td class=\"bad\">silent</td>",
        "50 min",
        "data-url=\"/panels/intake?from=-7d\"",
        "data-shape=\"barstack\"",
    ] {
        assert!(all.contains(has), "{has}: {all}");
    }
    let bound = page(&scene.bound);
    assert!(bound.contains(OTHERS) && !bound.contains("AF-2") && !bound.contains("401 "));
    let chart = scene
        .running
        .json("/panels/intake-by-facility?from=-7d", &scene.bound);
    assert_eq!(chart["series"].as_array().unwrap().len(), 1, "{chart}");
    let chart = scene.running.json("/panels/late?from=-7d", &scene.all);
    let series = &chart["series"];
    assert_eq!(
        (&series[0]["name"], &series[2]["name"]),
        (&json!("CPU"), &json!("ssh"))
    );
    // No document of ssh came now, when one of CPU came in time.
    let values = |at: usize| series[at]["values"].as_array().unwrap();
    assert_eq!(
        values(0).iter().rev().find(|value| !value.is_null()),
        Some(&json!(0.0))
    );
    assert_eq!(values(2).iter().filter(|value| !value.is_null()).count(), 1);
}

/// The newest round of a node, with what became of its collectors.
fn round(token: &str, facility: &str, node: &str, ms: i64, results: &[(&str, &str)]) -> Value {
    let report =
        |result: &str| json!({"result": result, "documents": 0, "duration": 0.1, "newer": 1});
    let collectors: BTreeMap<&str, Value> = results
        .iter()
        .map(|(name, result)| (*name, report(result)))
        .collect();
    let document = json!({"kind": "round", "login_node": node, "version": "1", "duration": 1.0,
        "collectors": collectors});
    at(of(document, facility, token), ms)
}

const NODE: &str = "login01.canary.example";
const CALM: &str = "All collectors could read all they were asked for";
const NO_ROUNDS: &str = "No round of the last 15 minutes is known";

#[test]
fn a_collector_that_failed_is_named_on_both_pages_until_it_is_well() {
    let world = World::new();
    let (one, two) = (world.token("AF-1"), world.token("AF-2"));
    let all = world.viewer();
    let bound = world.done(&["token", "create", "--viewer", "--facility", "AF-1"]);
    let bound = bound.trim();
    let running = world.serve(&[]);
    let asked = |viewer: &str| running.json("/api/v1/failures", viewer);
    let page = |path: &str, viewer: &str| {
        let (status, page) = running.get(path, viewer);
        assert_eq!(status, 200, "{page}");
        page
    };
    // The pages' panel alone.
    let panel = |path: &str, id: &str, viewer: &str| {
        let page = page(path, viewer);
        let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap();
        rest.split("</section>").next().unwrap().to_owned()
    };
    let both = |viewer: &str| {
        [
            panel("/", "overview-collectors", viewer),
            panel("/quality", "failed-collectors", viewer),
        ]
    };
    let empty =
        json!({"cut": 0, "nodes": 0, "failing": 0, "late": 0, "says": null, "failures": []});
    assert_eq!(asked(&all), empty);
    for text in both(&all) {
        assert!(text.contains(NO_ROUNDS), "{text}");
        assert!(!text.contains("good"), "no round is no good news: {text}");
    }

    let minute = |n: i64| clock::now() - n * 60_000;
    let broken = [
        ("disk", "ok"),
        ("load", "busy"),
        ("slurm_history", "timed_out"),
        ("slurm_jobs", "failed"),
        ("ssh", "<odd>"),
    ];
    let (first, failed_at) = (minute(11), minute(6));
    send(
        &running,
        &[
            round(&one, "AF-1", NODE, first, &[("slurm_jobs", "ok")]),
            round(&one, "AF-1", NODE, failed_at, &broken),
            round(
                &one,
                "AF-1",
                "login02.canary.example",
                minute(2),
                &[("ssh", "ok")],
            ),
            round(
                &one,
                "AF-1",
                "login03.canary.example",
                minute(16),
                &[("ssh", "failed")],
            ),
        ],
    );
    let there = [("jupyter", "not_here"), ("memory", "malformed")];
    send(
        &running,
        &[round(
            &two,
            "AF-2",
            "login09.canary.example",
            minute(1),
            &there,
        )],
    );
    let answer = asked(&all);
    let fields = ["facility", "node", "collector", "result"];
    let other = "login09.canary.example";
    let rows = |viewer: &str, query: &str| {
        let answer = running.json(&format!("/api/v1/failures{query}"), viewer);
        let all = answer["failures"].as_array().unwrap().iter();
        let row = |row: &Value| fields.map(|field| row[field].clone());
        json!(all.map(row).collect::<Vec<_>>())
    };
    assert_eq!(
        rows(&all, ""),
        json!([
            ["AF-1", NODE, "slurm_jobs", "failed"],
            ["AF-1", NODE, "slurm_history", "timed_out"],
            ["AF-2", other, "memory", "malformed"],
            ["AF-2", other, "jupyter", "not_here"],
            ["AF-1", NODE, "ssh", "<odd>"],
        ])
    );
    assert_eq!(answer["failures"][0]["time"], json!(time::text(failed_at)));
    assert_eq!(
        [&answer["nodes"], &answer["failing"], &answer["late"]],
        [&json!(3), &json!(2), &json!(1)]
    );
    let says = "5 collectors failed, on 2 of 3 nodes. The newest round of 1 node is older than 15 minutes.";
    assert_eq!(answer["says"], says);
    let worst = running.json("/api/v1/failures?limit=1", &all);
    assert_eq!(
        (&worst["cut"], &worst["failures"][0]["collector"]),
        (&json!(4), &json!("slurm_jobs"))
    );
    for text in both(&all) {
        for has in [
            says,
            "<td class=\"bad\">could not be read</td>",
            "<td class=\"bad\">did not answer in time</td>",
            "ended as &#34;&#60;odd&#62;&#34;",
            "AF-2",
        ] {
            assert!(text.contains(has), "{has}: {text}");
        }
        assert!(!text.contains("says good"), "{text}");
    }
    let [overview, _] = both(&all);
    assert!(
        overview.contains("<a href=\"/quality\">slurm_jobs</a>"),
        "{overview}"
    );

    // Who may see one facility is told of that one.
    assert_eq!(rows(bound, ""), rows(&all, "?facility=AF-1"));
    assert_eq!(rows(bound, "").as_array().unwrap().len(), 3);
    for text in both(bound) {
        assert!(
            text.contains("3 collectors failed, on 1 of 2 nodes."),
            "{text}"
        );
        assert!(!text.contains("AF-2") && !text.contains(other), "{text}");
    }
    assert_eq!(running.get("/api/v1/failures?facility=AF-2", bound).0, 403);

    // What is no round is not taken, and changes nothing.
    for collectors in [
        json!(7),
        json!(null),
        json!([]),
        json!({"slurm_jobs": "ok"}),
        json!({"slurm_jobs": {"result": 3, "documents": 0, "duration": 0.1}}),
    ] {
        let mut bad = round(&one, "AF-1", NODE, minute(0), &[]);
        bad["collectors"] = collectors;
        let (status, why) = running.post(bad.to_string());
        assert_eq!(status, 400, "{bad}: {why}");
        assert!(why.to_string().contains("collectors"), "{bad}: {why}");
    }
    assert_eq!(rows(bound, ""), rows(&all, "?facility=AF-1"));
    assert_eq!(rows(bound, "").as_array().unwrap().len(), 3);

    // The next round is well.
    let well = [
        ("slurm_history", "ok"),
        ("slurm_jobs", "ok"),
        ("ssh", "busy"),
    ];
    send(&running, &[round(&one, "AF-1", NODE, minute(0), &well)]);
    for text in both(bound) {
        assert!(
            text.contains(&format!("<p class=\"says good\">{CALM} (2 nodes).")),
            "{text}"
        );
        assert!(!text.contains("slurm_jobs"), "{text}");
    }
}

#[test]
fn rounds_that_are_old_are_no_good_news() {
    let world = World::new();
    let (token, viewer) = (world.token("AF-1"), world.viewer());
    let running = world.serve(&[]);
    let old = clock::now() - 16 * 60_000;
    send(
        &running,
        &[round(&token, "AF-1", NODE, old, &[("ssh", "ok")])],
    );
    let answer = running.json("/api/v1/failures", &viewer);
    assert_eq!(
        answer,
        json!({"cut": 0, "nodes": 0, "failing": 0, "late": 1, "says": null, "failures": []})
    );
    let (_, page) = running.get("/quality", &viewer);
    assert!(page.contains(NO_ROUNDS) && !page.contains(CALM), "{page}");
}

/// A crash may lose what was refused or came again in its last seconds, and nothing else.
#[test]
fn what_is_counted_outlives_the_receiver() {
    let scene = scene();
    let before = scene.rows("arrivals?from=-7d", &scene.all, &["what", "number"]);
    let Scene {
        running,
        _world: world,
        all,
        ..
    } = scene;
    running.kill();
    let running = world.serve(&[]);
    let answer = running.json("/api/v1/arrivals?from=-7d", &all);
    let after: Vec<Value> = answer["arrivals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["what"], row["number"]]))
        .collect();
    assert_eq!(json!(after), before);
    running.terminate();
    world.done(&["check", "--deep"]);
}
