//! The page of data quality: known documents, repeats, refusals and silences in, exact numbers out.

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
