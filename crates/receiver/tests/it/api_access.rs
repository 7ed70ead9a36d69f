//! Who may read what, and what is asked wrongly.

use afmetrics_receiver::documents::time::{self, DAY_MS};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::api::{at, jupyter, midnight, of, send, ssh};
use crate::support::{FACILITY, Running, World, job, load};

/// A path of every question but those about one user.
const PATHS: [&str; 29] = [
    "/api/v1/facilities?",
    "/api/v1/nodes?",
    "/api/v1/users?from=-7d",
    "/api/v1/sessions?",
    "/api/v1/jobs?from=-7d&by=user",
    "/api/v1/runtime?from=-7d",
    "/api/v1/queues?from=-7d",
    "/api/v1/hosts?from=-7d&metric=load",
    "/api/v1/documents?from=-7d",
    "/api/v1/intake?from=-7d",
    "/api/v1/arrivals?from=-7d",
    "/api/v1/refusals?from=-7d",
    "/api/v1/reasons?from=-7d",
    "/api/v1/gaps?from=-7d",
    "/api/v1/finished?from=-7d",
    "/api/v1/summaries?",
    "/api/v1/notebooks?from=-7d",
    "/api/v1/owners?from=-7d",
    "/api/v1/stays?from=-7d",
    "/api/v1/disks?",
    "/api/v1/shares?from=-7d",
    "/api/v1/loads?to=-48h",
    "/api/v1/people?from=-7d",
    "/api/v1/workloads?from=-7d",
    "/api/v1/visitors?from=-7d",
    "/api/v1/uniques?from=-7d",
    "/api/v1/newcomers?from=-7d",
    "/api/v1/silences?",
    "/api/v1/failures?",
];

/// A path of every question about one user.
const OF_A_USER: [&str; 3] = [
    "/api/v1/profiles?from=-7d",
    "/api/v1/hours?from=-7d",
    "/api/v1/endings?from=-7d",
];

/// So many wrong tokens of an address are looked into.
const WRONG_TOKENS: usize = 10;

fn error(text: &str) -> String {
    let answer: Value = serde_json::from_str(text).unwrap();
    answer["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_viewer_of_one_facility_sees_nothing_of_another() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token("BNL"));
    let bound = world.done(&["token", "create", "--viewer", "--facility", FACILITY]);
    let empty = world.done(&["token", "create", "--viewer", "--facility", "SLAC"]);
    let (bound, empty) = (bound.trim(), empty.trim());
    let running = world.serve(&[]);
    let day = midnight();
    let all = |token: &str, facility: &str, user: &str| -> Vec<Value> {
        let node = format!("{user}.canary.example");
        [
            job(token, user, "1.0", "finished", 77),
            job(token, user, "2.0", "running", 77),
            ssh(token, &node, &[user]),
            load(token, &node, 4.0),
        ]
        .map(|document| at(of(document, facility, token), day))
        .to_vec()
    };
    send(&running, &all(&token, FACILITY, "canary-1"));
    send(&running, &all(&other, "BNL", "canary-2"));
    let mut wrong = 0;
    for path in PATHS {
        let (status, text) = running.get(path, bound);
        assert_eq!(status, 200, "{path}: {text}");
        assert!(
            !text.contains("canary-2") && !text.contains("BNL"),
            "{path}: {text}"
        );
        let (status, text) = running.get(&format!("{path}&facility=BNL"), bound);
        assert_eq!(status, 403, "{path}: {text}");
        // Whether a facility is there is not said either.
        let (status, _) = running.get(&format!("{path}&facility=NONE"), bound);
        assert_eq!(status, 403, "{path}");
        let (status, text) = running.get(path, empty);
        assert_eq!(status, 200, "{path}: {text}");
        assert!(!text.contains("canary-"), "{path}: {text}");
        for sender in [&token, "afv_wrong"] {
            let wanted = if wrong < WRONG_TOKENS { 401 } else { 429 };
            assert_eq!(running.get(path, sender).0, wanted, "{path}");
            wrong += 1;
        }
        assert_eq!(
            running.get(path, "").0,
            401,
            "{path}: none is not a wrong one"
        );
        assert_eq!(running.ask("GET", path, &[], Vec::new()).0, 401);
        assert_eq!(running.ask("POST", path, &[], Vec::new()).0, 405);
    }
    for path in OF_A_USER {
        let of = |user: &str, viewer: &str| running.get(&format!("{path}&user={user}"), viewer);
        let (status, text) = of("canary-1", bound);
        assert_eq!(status, 200, "{path}: {text}");
        // Another facility's user is as unknown as nobody.
        let (other, nobody) = (of("canary-2", bound), of("canary-9", bound));
        assert_eq!((other.0, nobody.0), (404, 404), "{path}: {}", other.1);
        assert_eq!(other.1.replace("canary-2", "canary-9"), nobody.1);
        assert_eq!(of("canary-1", empty).0, 404, "{path}");
        let (status, text) = of("canary-2&facility=BNL", bound);
        assert_eq!(status, 403, "{path}: {text}");
    }
    let jobs = running.json("/api/v1/jobs?from=-7d&step=1d", bound);
    assert_eq!(jobs["jobs"][0]["jobs"], 1.0);
    let users = running.json("/api/v1/users?from=-7d", bound);
    assert_eq!(users["unique"], 1);
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    send(&running, &[load(&token, "login01.canary.example", 1.0)]);
    for (path, wanted, why) in [
        (
            "jobs?form=-1d",
            400,
            "unknown parameter `form`: expected one of facility, from, to, step",
        ),
        (
            "jobs?from=yesterday",
            400,
            "parameter `from`: expected a time",
        ),
        ("jobs?to=2026-02-30", 400, "parameter `to`: expected a time"),
        (
            "jobs?from=now&to=-1h",
            400,
            "parameters `from` and `to`: expected `from` before `to`",
        ),
        ("jobs?from=now", 400, "expected `from` before `to`"),
        ("jobs?from=1980-01-01", 400, "expected at most 11 years"),
        (
            "jobs?step=2h",
            400,
            "parameter `step`: expected one of 5m, 15m, 1h, 6h, 1d, found \"2h\"",
        ),
        (
            "jobs?from=-90d&step=5m",
            400,
            "parameter `step`: expected at most 10,000 steps",
        ),
        (
            "jobs?from=-1h&from=-2h",
            400,
            "parameter `from` is given twice",
        ),
        (
            "jobs?limit=0",
            400,
            "parameter `limit`: expected a number from 1 to 200, found \"0\"",
        ),
        ("jobs?limit=-1", 400, "parameter `limit`"),
        (
            "jobs?by=color",
            400,
            "parameter `by`: expected one of state, user, facility",
        ),
        ("jobs?format=xml", 400, "parameter `format`"),
        ("documents?format=csv", 400, "unknown parameter `format`"),
        ("hosts", 400, "parameter `metric`: expected one of load,"),
        ("hosts?metric=jobs", 400, "parameter `metric`"),
        ("sessions?minutes=x", 400, "parameter `minutes`"),
        (
            "jobs?facility=NONE",
            404,
            "parameter `facility`: nothing was heard of \"NONE\"",
        ),
        ("nothing", 404, "nothing here"),
    ] {
        let (status, text) = running.get(&format!("/api/v1/{path}"), &viewer);
        assert_eq!(status, wanted, "{path}: {text}");
        assert!(error(&text).contains(why), "{path}: {text}");
    }
}

#[test]
fn any_query_gets_an_answer_below_500() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    send(
        &running,
        &[
            at(ssh(&token, "login01.canary.example", &["canary-1"]), day),
            at(job(&token, "canary-1", "1.0", "running", 1), day),
        ],
    );
    let name = prop_oneof![
        "from|to|step|limit|facility|by|over|format|user|node|mount|kind|minutes|metric|queue",
        "[a-z%+;=]{0,6}",
    ];
    let value = prop_oneof![
        "-[0-9]{1,19}[mhdw]",
        "now|5m|1h|1d|csv|json|load|user|time|length|UC-AF",
        "[0-9]{1,20}",
        "(19|20|21|99)[0-9]{2}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](Z|%2B01:00))?",
        "(%[0-9a-f]{2}|[ -~&&[^#]]){0,12}",
    ];
    let query = prop::collection::vec((name, value), 0..4);
    let question = prop::sample::select(PATHS.to_vec());
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(question, query), |(path, query)| {
            let mut path = path.to_owned();
            for (name, value) in query {
                path = format!("{path}&{name}={value}");
            }
            let (status, text) = running.get(&path, &viewer);
            prop_assert!((200..500).contains(&status), "{path}: {status} {text}");
            Ok(())
        })
        .unwrap();
}

/// A cookie from a login, by `name=value`.
fn login(running: &Running, token: &str, headers: &[(&str, &str)]) -> (u16, Option<String>) {
    let all = [
        &[("content-type", "application/x-www-form-urlencoded")],
        headers,
    ]
    .concat();
    let (status, headers) =
        running.headers("POST", "/login", &all, format!("token={token}").into());
    let cookie = headers
        .get("set-cookie")
        .map(|cookie| cookie.to_str().unwrap().to_owned());
    (status, cookie)
}

#[test]
fn a_browser_logs_in_and_out() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let (status, cookie) = login(&running, &viewer, &[("sec-fetch-site", "same-origin")]);
    let cookie = cookie.unwrap();
    assert_eq!(status, 303);
    assert_eq!(
        cookie,
        format!("afmetrics_viewer={viewer}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000")
    );
    let pair = cookie.split(';').next().unwrap();
    let headers = [("cookie", pair)];
    assert_eq!(
        running.ask("GET", "/api/v1/nodes", &headers, Vec::new()).0,
        200
    );
    let (status, headers) = running.headers("GET", "/api/v1/nodes", &headers, Vec::new());
    assert_eq!(
        (status, &headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    // A sender's, a wrong one, and other sites' pages.
    assert_eq!(login(&running, &token, &[]), (401, None));
    assert_eq!(login(&running, "x%0d%0a", &[]), (401, None));
    let host = running.address().to_owned();
    for (name, value, wanted) in [
        ("sec-fetch-site", "cross-site".to_owned(), 403),
        ("sec-fetch-site", "same-site".to_owned(), 403),
        ("origin", "https://example.org".to_owned(), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", format!("http://{host}"), 303),
    ] {
        assert_eq!(
            login(&running, &viewer, &[(name, &value)]).0,
            wanted,
            "{name}: {value}"
        );
        assert_eq!(
            running
                .headers("POST", "/logout", &[(name, &value)], Vec::new())
                .0,
            wanted
        );
    }
    let (_, headers) = running.headers("POST", "/logout", &[], Vec::new());
    assert!(
        headers["set-cookie"]
            .to_str()
            .unwrap()
            .starts_with("afmetrics_viewer=; Path=/;")
    );
    let (_, log) = running.terminate();
    assert!(!log.contains(&viewer), "{log}");
    let list = world.done(&["token", "list", "--json"]);
    let used = list
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let used: Vec<bool> = used.map(|known| !known["used"].is_null()).collect();
    assert_eq!(used, [false, true], "{list}");
}

#[test]
fn this_machine_reads_without_a_token_only_by_its_own_name() {
    let world = World::new();
    let running = world.serve(&["--trust-loopback"]);
    let ask = |headers: &[(&str, &str)]| running.ask("GET", "/api/v1/nodes", headers, Vec::new()).0;
    assert_eq!(ask(&[]), 200);
    assert_eq!(ask(&[("host", "localhost:8443")]), 200);
    assert_eq!(ask(&[("host", "[::1]:8443")]), 200);
    assert_eq!(ask(&[("host", "example.org")]), 401);
    assert_eq!(ask(&[("host", "localhost.example.org")]), 401);
    assert_eq!(ask(&[("cookie", "afmetrics_viewer=old")]), 200);
    assert_eq!(ask(&[("authorization", "Bearer old")]), 401);
}

#[test]
fn answers_have_exactly_the_documented_fields() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let queue = json!({"token": token, "kind": "condorqueue", "cluster": FACILITY, "queue": "all", "idle": 1, "running": 2, "held": 0, "allocated_cores": 8, "allocated_mem": 2000});
    let memory = json!({"token": token, "kind": "MEM", "cluster": FACILITY, "login_node": "login01.canary.example", "total": 100, "available": 25});
    let disk = json!({"token": token, "kind": "DISK", "cluster": FACILITY, "login_node": "login01.canary.example", "mount": "/home", "total": 100, "used": 75, "free": 25, "utilization": 0.75});
    let documents = [
        job(&token, "canary-1", "1.0", "finished", 7),
        job(&token, "canary-1", "2.0", "running", 7),
        load(&token, "login01.canary.example", 1.0),
        ssh(&token, "login01.canary.example", &["canary-1"]),
        jupyter(&token, "jupyter-ml", &["canary-1"]),
        queue,
        memory,
        disk,
    ];
    send(&running, &documents.map(|document| at(document, day)));
    // Only what failed now is of interest.
    let round = json!({"token": token, "kind": "round", "cluster": FACILITY, "login_node": "login02.canary.example", "version": "1", "duration": 1.0, "collectors": {"ssh": {"result": "failed", "documents": 0, "duration": 0.1}}});
    send(&running, &[round]);
    assert_eq!(running.post("{").0, 400);
    let (status, text) = running.ask("GET", "/api/v1/openapi.json", &[], Vec::new());
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    let of_a_user = OF_A_USER.map(|path| format!("{path}&user=canary-1"));
    assert_eq!(
        document["paths"].as_object().unwrap().len(),
        PATHS.len() + of_a_user.len()
    );
    for (path, question) in document["paths"].as_object().unwrap() {
        for parameter in question["get"]["parameters"].as_array().unwrap() {
            let (name, about) = (
                &parameter["name"],
                parameter["description"].as_str().unwrap(),
            );
            assert!(about.len() > 10, "{path} {name}");
        }
    }
    let all = PATHS
        .into_iter()
        .chain(of_a_user.iter().map(String::as_str));
    for path in all.filter(|path| !path.contains("documents")) {
        let answer = running.json(path, &viewer);
        let path = path.split('?').next().unwrap();
        let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        assert_is(&answer, schema, path);
        let list = path.rsplit('/').next().unwrap();
        assert!(!answer[list].as_array().unwrap().is_empty(), "{path}");
    }
    let day = time::text(day - DAY_MS);
    assert_eq!(
        running
            .get(&format!("/api/v1/users?to={day}&from=2026-01-01"), &viewer)
            .0,
        200
    );
}

#[test]
fn what_a_limit_left_out_is_said() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let loads = ["login01", "login02", "login03"].map(|node| load(&token, node, 1.0));
    send(&running, &loads);
    let path = "/api/v1/hosts?metric=load&limit=1";
    let hosts = running.json(path, &viewer);
    assert_eq!(
        (&hosts["cut"], hosts["hosts"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    assert_eq!(hosts["hosts"][0]["node"], "login01");
    let bearer = format!("Bearer {viewer}");
    let path = format!("{path}&format=csv");
    let (status, headers) =
        running.headers("GET", &path, &[("authorization", &bearer)], Vec::new());
    assert_eq!(status, 200);
    assert_eq!(headers["x-afmetrics-cut"], "2");
    assert_eq!(
        headers["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(
        headers["content-disposition"],
        "attachment; filename=\"afmetrics-hosts.csv\""
    );
    // One that is too high is refused.
    let (status, text) = running.get("/api/v1/jobs?step=1d&from=-10d&limit=201", &viewer);
    assert_eq!(status, 400, "{text}");
}

/// An object with the schema's fields and no other, each of its type.
fn assert_is(value: &Value, schema: &Value, place: &str) {
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(
        types.iter().any(|ty| ty == is),
        "{place}: {value} is no {types:?}"
    );
    match value {
        Value::Array(all) => all
            .iter()
            .for_each(|one| assert_is(one, &schema["items"], place)),
        Value::Object(fields) => {
            let properties = schema["properties"].as_object().unwrap();
            assert!(fields.keys().eq(properties.keys()), "{place}: {value}");
            for (name, value) in fields {
                assert!(
                    properties[name]["description"].is_string(),
                    "{place}.{name}"
                );
                assert_is(value, &properties[name], &format!("{place}.{name}"));
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_printed_is_what_the_table_says() {
    use afmetrics_receiver::api::openapi;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let bless = std::env::var_os("AFMETRICS_BLESS").is_some();
    for (file, wanted) in [
        ("openapi.json", openapi::document()),
        ("api.md", openapi::markdown()),
    ] {
        let path = root.join(file);
        if bless {
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "docs/{file} is not what the table says: run `cargo xtask bless` and look at the difference"
        );
    }
}
