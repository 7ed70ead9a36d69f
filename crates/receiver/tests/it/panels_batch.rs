//! The pages Batch, Jupyter and Nodes: known documents in, exact numbers out, gaps as gaps.

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time::{self, DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::api::{at, jupyter, midnight, of, send};
use crate::support::{FACILITY, Running, World, job, load};

const MINUTE: i64 = 60_000;
const OTHER: &str = "BNL";
/// A name that must stay a name in links and on pages.
const HOSTILE: &str = "<b>node</b>/1?x=1&y=2#z \"'";

fn span(from: i64, to: i64) -> String {
    format!("from={}&to={}", time::text(from), time::text(to))
}

/// Some fields of each row of an answer.
fn rows(answer: &Value, list: &str, fields: &[&str]) -> Value {
    let row =
        |row: &Value| -> Vec<Value> { fields.iter().map(|name| row[*name].clone()).collect() };
    answer[list].as_array().unwrap().iter().map(row).collect()
}

/// The series of a chart: name and values of each.
fn chart(running: &Running, viewer: &str, path: &str) -> Value {
    let data = running.json(&format!("/panels/{path}"), viewer);
    rows(&data, "series", &["name", "values"])
}

fn page(running: &Running, viewer: &str, path: &str) -> String {
    let (status, text) = running.get(path, viewer);
    assert_eq!(status, 200, "{path}: {text}");
    text
}

fn queue(token: &str, name: &str, cores: i64) -> Value {
    json!({"token": token, "kind": "condorqueue", "cluster": FACILITY, "queue": name, "idle": 3, "running": 2, "held": 1, "allocated_cores": cores, "allocated_mem": 2048})
}

fn memory(token: &str, node: &str, available: i64) -> Value {
    json!({"token": token, "kind": "MEM", "cluster": FACILITY, "login_node": node, "total": 1000, "available": available})
}

fn network(token: &str, node: &str) -> Value {
    json!({"token": token, "kind": "NETWORK", "cluster": FACILITY, "login_node": node, "network": {"interval": 100.0, "sent": 200, "received": 400}})
}

fn disk(token: &str, node: &str, mount: &str, used: i64) -> Value {
    json!({"token": token, "kind": "DISK", "cluster": FACILITY, "login_node": node, "mount": mount, "total": 1000, "used": used, "free": 1000 - used, "utilization": 0.5})
}

#[test]
fn ended_jobs_are_counted_step_by_step_with_zeros_and_gaps() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let day = midnight();
    let say = |user, id, state, seconds, ms| at(job(&token, user, id, state, seconds), ms);
    send(
        &running,
        &[
            say("canary-1", "1.0", "finished", 100, day),
            say("canary-2", "2.0", "finished", 50, day + MINUTE),
            say("canary-1", "3.0", "removed", 7, day + MINUTE),
            // Heard, and nothing ended; then an hour without a word.
            say("canary-1", "4.0", "running", 0, day + HOUR_MS),
            say("canary-1", "4.0", "finished", 900, day + 3 * HOUR_MS),
        ],
    );
    let asked = span(day, day + 4 * HOUR_MS);
    let answer = running.json(&format!("/api/v1/finished?step=1h&{asked}"), &viewer);
    let [zero, one, three] = [0, 1, 3].map(|hours| time::text(day + hours * HOUR_MS));
    assert_eq!(
        rows(&answer, "finished", &["time", "state", "jobs", "seconds"]),
        json!([
            [zero, "finished", 2, 150.0],
            [zero, "removed", 1, 7.0],
            [one, "finished", 0, 0.0],
            [one, "removed", 0, 0.0],
            [three, "finished", 1, 900.0],
            [three, "removed", 0, 0.0],
        ])
    );
    // A day's chart has a bar for each hour.
    let asked = span(day, day + DAY_MS);
    let drawn = running.json(&format!("/panels/finished?{asked}"), &viewer);
    assert_eq!(drawn["step"], 3600);
    let finished = drawn["series"][0]["values"].as_array().unwrap();
    assert_eq!(
        json!(finished[..5]),
        json!([2.0, 0.0, null, 1.0, null]),
        "{drawn}"
    );

    // All run time, the most of it first, and lengths that a person reads.
    let text = page(&running, &viewer, &format!("/batch?{asked}"));
    let table = text.split("id=\"run-times-by-user\"").nth(1).unwrap();
    let first = table.find("canary-1").unwrap();
    assert!(first < table.find("canary-2").unwrap(), "{table}");
    for length in ["64–128 s", "9–17 min", "4–8 s", "32–64 s"] {
        let shown = text.contains(&format!("<td>{length}</td>"));
        assert_eq!(shown, length != "64–128 s", "{length}");
    }
    assert!(text.contains("<td>1–2 min</td>"), "{text}");
    // With a limit, the rest has a name and is the last.
    let path = format!("/api/v1/runtime?by=user&limit=1&{asked}");
    assert_eq!(
        rows(
            &running.json(&path, &viewer),
            "runtime",
            &["user", "seconds"]
        ),
        json!([["canary-1", 1007.0], [null, 50.0]])
    );
}

#[test]
fn queues_say_their_newest_summary_and_how_old_it_is() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let (viewer, bound) = (
        world.viewer(),
        world.done(&["token", "create", "--viewer", "--facility", OTHER]),
    );
    let running = world.serve(&[]);
    let now = clock::now();
    send(
        &running,
        &[
            at(queue(&token, "all", 5), now - 30 * MINUTE),
            at(queue(&token, "all", 8), now),
            at(queue(&token, "<gpu>", 1), now - 16 * MINUTE),
        ],
    );
    send(&running, &[of(queue(&other, "all", 4), OTHER, &other)]);
    let fields = ["facility", "queue", "cores", "memory", "idle", "state"];
    let answer = running.json("/api/v1/summaries", &viewer);
    assert_eq!(
        rows(&answer, "summaries", &fields),
        json!([
            [OTHER, "all", 4, 2048, 3, "ok"],
            [FACILITY, "<gpu>", 1, 2048, 3, "silent"],
            [FACILITY, "all", 8, 2048, 3, "ok"],
        ])
    );
    let bound = bound.trim();
    let own = running.json("/api/v1/summaries", bound);
    assert_eq!(
        rows(&own, "summaries", &fields),
        json!([[OTHER, "all", 4, 2048, 3, "ok"]])
    );
    let text = page(&running, &viewer, "/batch");
    assert!(text.contains("<td>&#60;gpu&#62;</td>") && !text.contains("<gpu>"));
    assert!(text.contains("<td class=\"bad\">silent</td>"), "{text}");
    let text = page(&running, bound, "/batch");
    assert!(!text.contains("gpu") && !text.contains(FACILITY), "{text}");

    // Of two facilities a chart says which; of one, the queue's name is enough.
    let names = |viewer: &str| -> Vec<Value> {
        let drawn = running.json("/panels/queue-cores?from=-1h", viewer);
        let series = drawn["series"].as_array().unwrap().iter();
        series.map(|one| one["name"].clone()).collect()
    };
    assert_eq!(names(&viewer), ["BNL all", "UC-AF <gpu>", "UC-AF all"]);
    assert_eq!(names(bound), ["all"]);
}

#[test]
fn notebooks_have_users_over_time_and_sessions() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let bound = world.done(&["token", "create", "--viewer", "--facility", OTHER]);
    let running = world.serve(&[]);
    let day = midnight();
    let ml =
        |users: &[&str], minute| at(jupyter(&token, "jupyter-ml", users), day + minute * MINUTE);
    let mut documents = vec![
        // canary-1: 20 minutes, one document without them; canary-2: one document, and 40 minutes later again.
        ml(&["canary-1", "canary-2"], 0),
        ml(&["canary-1"], 5),
        ml(&[], 15),
        ml(&["canary-1"], 10),
        ml(&["canary-1"], 20),
        ml(&["canary-2"], 40),
        // After a gap, until the end.
        ml(&["canary-3"], 115),
    ];
    documents.push(at(
        jupyter(&token, "jupyter-coffea", &["canary-1"]),
        day + 10 * MINUTE,
    ));
    send(&running, &documents);
    send(
        &running,
        &[at(
            of(jupyter(&other, "jupyter-ml", &["canary-9"]), OTHER, &other),
            day + 5 * MINUTE,
        )],
    );
    let asked = span(day, day + 2 * HOUR_MS);
    let answer = running.json(
        &format!("/api/v1/stays?facility={FACILITY}&{asked}"),
        &viewer,
    );
    let all = rows(&answer, "stays", &["length", "sessions", "going"]);
    assert_eq!(
        json!(all.as_array().unwrap()[..3]),
        // canary-2 twice, canary-1 in Coffea-casa, canary-3, who goes on.
        json!([
            ["up to 15 min", 4, 1],
            ["up to 30 min", 1, 0],
            ["up to 1 h", 0, 0]
        ])
    );
    let series = chart(
        &running,
        &viewer,
        &format!("notebooks?facility={FACILITY}&{asked}"),
    );
    assert_eq!(series[0][0], "jupyter-coffea");
    assert_eq!(series[1][0], "jupyter-ml");
    assert_eq!(
        json!(series[1][1].as_array().unwrap()[..9]),
        json!([2.0, 1.0, 1.0, 0.0, 1.0, null, null, null, 1.0])
    );

    let owners = |viewer: &str, asked: &str| {
        let answer = running.json(&format!("/api/v1/owners?{asked}"), viewer);
        rows(&answer, "owners", &["what", "users", "before"])
    };
    assert_eq!(
        owners(&viewer, &asked),
        // All is silent now; the day before is not known.
        json!([["Now", null, null], ["In the span", 4, null]])
    );
    let bound = bound.trim();
    assert_eq!(owners(bound, &asked)[1], json!(["In the span", 1, null]));
    let text = page(&running, bound, &format!("/jupyter?{asked}"));
    assert!(!text.contains(FACILITY), "{text}");
    assert!(
        text.contains("not known") && text.contains("Silent: jupyter-ml of BNL."),
        "{text}"
    );

    send(&running, &[jupyter(&token, "jupyter-ml", &["canary-1"])]);
    let now = owners(&viewer, "from=-24h");
    assert_eq!(now[0], json!(["Now", 1, null]));
    // Two hours without a word, after two of which the beginning is known.
    let silent = span(day + 2 * HOUR_MS, day + 4 * HOUR_MS);
    assert_eq!(owners(bound, &silent)[1], json!(["In the span", null, 1]));
    let stays = running.json("/api/v1/stays?from=-24h", bound);
    assert_eq!(stays["stays"], json!([]));
}

#[test]
fn nodes_say_how_they_are_and_fall_silent_with_a_gap() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let bound = world.done(&["token", "create", "--viewer", "--facility", OTHER]);
    let running = world.serve(&[]);
    let now = clock::now();
    send(
        &running,
        &[
            load(&token, HOSTILE, 1.5),
            memory(&token, HOSTILE, 250),
            network(&token, HOSTILE),
            disk(&token, HOSTILE, "/home", 300),
            disk(&token, HOSTILE, "/data", 600),
            // Of this one, the memory is too old; the other one is silent.
            load(&token, "node-2", 0.0),
            at(memory(&token, "node-2", 1), now - 20 * MINUTE),
            at(load(&token, "node-3", 9.0), now - 2 * HOUR_MS),
        ],
    );
    send(&running, &[of(load(&other, "node-2", 4.0), OTHER, &other)]);
    let fields = [
        "facility", "state", "load", "memory", "sent", "received", "fullest",
    ];
    let answer = running.json("/api/v1/nodes", &viewer);
    assert_eq!(
        rows(&answer, "nodes", &fields),
        json!([
            [OTHER, "ok", 4.0, null, null, null, null],
            [FACILITY, "ok", 1.5, 0.75, 2.0, 4.0, 0.6],
            [FACILITY, "ok", 0.0, null, null, null, null],
            [FACILITY, "silent", null, null, null, null, null],
        ])
    );

    let link =
        "/nodes?facility=UC-AF&#38;node=%3Cb%3Enode%3C%2Fb%3E%2F1%3Fx%3D1%26y%3D2%23z+%22%27";
    let text = page(&running, &viewer, "/nodes");
    assert!(text.contains(link), "{text}");
    assert!(!text.contains("<b>node"), "{text}");
    // The link shows this node, and all of them in the heat map.
    let own = page(&running, &viewer, &link.replace("&#38;", "&"));
    assert!(
        own.contains("&#60;b&#62;node") && !own.contains(">node-2<"),
        "{own}"
    );
    let query = link.replace("&#38;", "&").replace("/nodes?", "");
    let series = chart(&running, &viewer, &format!("node-load?from=-6h&{query}"));
    assert_eq!(series.as_array().unwrap().len(), 1, "{series}");
    assert_eq!(series[0][0], HOSTILE);
    let heat = chart(&running, &viewer, &format!("heat?{query}"));
    assert_eq!(heat.as_array().unwrap().len(), 3, "{heat}");
    assert_eq!(heat[2][1].as_array().unwrap().len(), 96);

    // All nodes: facilities tell those of one name apart; the silent one ends in a gap.
    let drawn = chart(&running, &viewer, "node-load?from=-6h");
    let names: Vec<&Value> = drawn
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one[0])
        .collect();
    assert_eq!(
        json!(names),
        json!([
            "BNL node-2",
            format!("{FACILITY} {HOSTILE}"),
            "UC-AF node-2",
            "UC-AF node-3"
        ])
    );
    let silent = drawn[3][1].as_array().unwrap();
    let heard = silent.iter().rposition(|value| !value.is_null()).unwrap();
    assert!(heard + 6 < silent.len(), "{silent:?}");
    assert_eq!(silent[heard], 9.0);
    // Finer where there is one only.
    let step = |path: &str| running.json(&format!("/panels/{path}"), &viewer)["step"].clone();
    assert_eq!(step("node-load?from=-24h"), 900);
    assert_eq!(step("node-load?from=-24h&node=node-3"), 300);

    let shares = chart(&running, &viewer, "node-disks?from=-5m&facility=UC-AF");
    let last = |series: &Value| series[1].as_array().unwrap().last().unwrap().clone();
    assert_eq!(shares[0][0], format!("{HOSTILE} /data"));
    assert_eq!(
        (last(&shares[0]), last(&shares[1])),
        (json!(0.6), json!(0.3))
    );
    let memory = chart(&running, &viewer, "node-memory?from=-1h&facility=UC-AF");
    assert_eq!(last(&memory[0]), 0.75);

    let text = page(&running, bound.trim(), "/nodes");
    assert!(
        !text.contains(FACILITY) && text.contains(">node-2<"),
        "{text}"
    );
    let heat = chart(&running, bound.trim(), "heat");
    assert_eq!(heat.as_array().unwrap().len(), 1);
}

#[test]
fn disks_say_when_they_will_be_full() {
    let world = World::new();
    let (token, viewer) = (world.token(FACILITY), world.viewer());
    let running = world.serve(&[]);
    let now = clock::now();
    let mut documents = Vec::new();
    for day in 0..10 {
        let time = now - (9 - day) * DAY_MS;
        let mut say = |mount, used| {
            documents.push(at(disk(&token, "node-1", mount, used), time));
        };
        // Ten a day: in 41 days; fifty a day: in seven; one that is cleaned, one that stays, one nearly full.
        say("/slow", 500 + day * 10);
        say("/fast", 200 + day * 50);
        say("/cleaned", 500 + day % 5 * 50);
        say("/flat", 400);
        say("/filled", 960);
    }
    documents.push(disk(&token, "node-1", "/new", 10));
    // Of 1000, 50 are kept back for root: 930 used are 20 free, and nothing is free when 950 are used.
    for day in 0..4 {
        let mut reserved = disk(&token, "node-3", "/reserved", 900 + day * 10);
        reserved["free"] = json!(50 - day * 10);
        documents.push(at(reserved, now - (3 - day) * DAY_MS));
    }
    documents.push(at(disk(&token, "node-2", "/gone", 20), now - HOUR_MS));
    // Three whole days, every five minutes: 36 a day.
    let begin = (time::day(now) - 3) * DAY_MS;
    for slot in 0..864 {
        let often = disk(&token, "node-4", "/often", 100 + slot / 8);
        documents.push(at(often, begin + slot * 5 * MINUTE));
    }
    send(&running, &documents);
    let answer = running.json("/api/v1/disks", &viewer);
    let fields = ["mount", "used", "share", "state"];
    assert_eq!(
        rows(&answer, "disks", &fields),
        json!([
            ["/reserved", 930.0, 930.0 / 950.0, "full"],
            ["/fast", 650.0, 0.65, "full"],
            ["/filled", 960.0, 0.96, "full"],
            ["/often", 207.0, 0.207, "silent"],
            ["/slow", 590.0, 0.59, "ok"],
            ["/cleaned", 700.0, 0.7, "ok"],
            ["/flat", 400.0, 0.4, "ok"],
            ["/gone", 20.0, 0.02, "silent"],
            ["/new", 10.0, 0.01, "ok"],
        ])
    );
    let hours = |at: usize| {
        let full = time::parse(answer["disks"][at]["full"].as_str()?)?;
        Some((full - now) / HOUR_MS)
    };
    assert!((46..=49).contains(&hours(0).unwrap()), "{answer}");
    assert!((164..=170).contains(&hours(1).unwrap()), "{answer}");
    assert!((970..=990).contains(&hours(4).unwrap()), "{answer}");
    let known: Vec<bool> = (0..9).map(|at| hours(at).is_some()).collect();
    assert_eq!(
        known,
        [true, true, false, true, true, false, false, false, false]
    );
    let change = |at: usize| answer["disks"][at]["change"].clone();
    assert!((change(1).as_f64().unwrap() - 50.0).abs() < 1.0);
    assert!(
        (change(3).as_f64().unwrap() - 36.0).abs() < 1e-6,
        "{answer}"
    );
    assert_eq!(
        (change(6), change(7), change(8)),
        (json!(0.0), json!(null), json!(null))
    );

    let text = page(&running, &viewer, "/nodes");
    assert!(text.contains("<td class=\"bad\">full</td>"), "{text}");
    let reserved = running.json("/api/v1/nodes?node=node-3", &viewer);
    assert_eq!(reserved["nodes"][0]["fullest"], json!(930.0 / 950.0));
    let shares = chart(&running, &viewer, "node-disks?from=-5m&node=node-3");
    let share = shares[0][1].as_array().unwrap().last().unwrap();
    assert_eq!(*share, json!(0.97895));

    let one = running.json("/api/v1/disks?node=node-2", &viewer);
    assert_eq!(rows(&one, "disks", &["mount"]), json!([["/gone"]]));
}
