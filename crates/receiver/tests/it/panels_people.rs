//! The pages Overview, Users and User: known documents in, exact numbers out.

use afmetrics_receiver::clock;
use afmetrics_receiver::documents::time::{self, DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::api::{at, jupyter, midnight, of, send, ssh};
use crate::support::{FACILITY, Running, World, job, load};

const MINUTE: i64 = 60_000;
const OTHER: &str = "AF-2";

fn span(from: i64, to: i64) -> String {
    format!("from={}&to={}", time::text(from), time::text(to))
}

/// Some fields of each element of an answer's list, after each other.
fn rows(answer: &Value, list: &str, fields: &[&str]) -> Value {
    let all = answer[list].as_array().unwrap().iter();
    all.map(|row| json!(fields.iter().map(|field| &row[*field]).collect::<Vec<_>>()))
        .collect()
}

/// The values of a chart's series of this name.
fn series(data: &Value, name: &str) -> Value {
    let mut all = data["series"].as_array().unwrap().iter();
    let found = all.find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {data}"))["values"].clone()
}

fn page(running: &Running, path: &str, viewer: &str) -> String {
    let (status, text) = running.get(path, viewer);
    assert_eq!(status, 200, "{path}: {text}");
    text
}

#[test]
fn what_is_silent_is_named_and_what_reports_is_counted() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let own = world.done(&["token", "create", "--viewer", "--facility", FACILITY]);
    let running = world.serve(&[]);
    let now = clock::now();
    let says = |viewer: &str| running.json("/api/v1/silences", viewer)["says"].clone();
    assert_eq!(says(&viewer), "Nothing was heard of any node yet.");

    let on = |node: &str, ms| at(load(&token, node, 0.5), ms);
    send(
        &running,
        &[
            on("node-1.example.org", now),
            on("node-2.example.org", now - 14 * MINUTE),
        ],
    );
    assert_eq!(
        says(&viewer),
        "All 2 nodes were heard of within 15 minutes."
    );
    let calm = page(&running, "/", &viewer);
    assert!(
        calm.contains("<p class=\"says good\">All 2 nodes were heard"),
        "{calm}"
    );
    assert!(!calm.contains("class=\"bad\""), "{calm}");

    // A node for 16 minutes, and a facility that has no node for an hour.
    send(&running, &[on("node-<3>.example.org", now - 16 * MINUTE)]);
    let batch = of(job(&other, "canary-1", "1.0", "running", 0), OTHER, &other);
    send(&running, &[at(batch, now - HOUR_MS)]);
    let all = running.json("/api/v1/silences", &viewer);
    assert_eq!(
        rows(&all, "silences", &["state", "what", "facility", "node"]),
        json!([
            ["silent", "facility", OTHER, null],
            ["silent", "node", FACILITY, "node-<3>.example.org"]
        ])
    );
    assert_eq!(all["says"], "1 of 2 facilities and 1 of 3 nodes silent.");
    let html = page(&running, "/", &viewer);
    assert!(html.contains("<td class=\"bad\">silent</td>"), "{html}");
    assert!(html.contains("node-&#60;3&#62;.example.org"), "{html}");
    // Who may see one facility gets nothing of the other.
    let bound = page(&running, "/", own.trim());
    assert!(!bound.contains(OTHER), "{bound}");
    assert_eq!(
        says(own.trim()),
        "1 of 3 nodes silent; the others were heard of within 15 minutes."
    );
}

#[test]
fn a_door_that_is_silent_is_not_known_and_two_doors_are_one_person() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let now = clock::now();
    send(
        &running,
        &[
            at(
                ssh(&token, "node-1.example.org", &["canary-1", "canary-2"]),
                now - MINUTE,
            ),
            at(
                ssh(&token, "node-2.example.org", &["canary-9"]),
                now - 30 * MINUTE,
            ),
            at(
                jupyter(&token, "jupyter-ml", &["canary-3"]),
                now - 30 * MINUTE,
            ),
            at(job(&token, "canary-1", "1.0", "running", 0), now - MINUTE),
            at(job(&token, "canary-4", "2.0", "idle", 0), now - MINUTE),
            at(
                job(&token, "canary-5", "3.0", "finished", 100),
                now - 2 * HOUR_MS,
            ),
        ],
    );
    let people = running.json("/api/v1/people?from=-3h", &viewer);
    assert_eq!(
        rows(&people, "people", &["number", "users", "before", "note"]),
        json!([
            ["ssh now", 2, null, "1 of 2 sources are silent"],
            ["Jupyter now", null, null, "its source is silent"],
            ["Batch now", 2, null, null],
            ["Together now", 3, null, "without Jupyter"],
            ["ssh in the span", 3, null, null],
            ["Jupyter in the span", 1, null, null],
            ["Batch in the span", 3, null, null],
            ["Together in the span", 6, null, null],
        ])
    );
    let html = page(&running, "/", &viewer);
    assert!(
        html.contains("<dt>Jupyter now</dt>\n<dd class=\"value unknown\">not known</dd>"),
        "{html}"
    );
}

#[test]
fn a_span_is_compared_with_the_one_before_if_that_is_known() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let ended = |user, id, seconds, ms| at(job(&token, user, id, "finished", seconds), ms);
    let there = |users: &[&str], ms| at(ssh(&token, "node-1.example.org", users), ms);
    send(
        &running,
        &[
            there(&["canary-1"], day - 2 * DAY_MS),
            there(&["canary-1"], day - DAY_MS),
            there(&["canary-1", "canary-2"], day + HOUR_MS),
            ended("canary-1", "1.0", 50, day - HOUR_MS),
            ended("canary-1", "2.0", 100, day + HOUR_MS),
            ended("canary-2", "3.0", 300, day + HOUR_MS),
            at(job(&token, "canary-3", "4.0", "removed", 7), day + HOUR_MS),
        ],
    );
    let ask = |path: &str| {
        running.json(
            &format!("/api/v1/{path}?{}", span(day, day + DAY_MS)),
            &viewer,
        )
    };
    let people = rows(&ask("people"), "people", &["number", "users", "before"]);
    // Batch is younger than the day before, and so are all together.
    assert_eq!(
        people.as_array().unwrap()[4..],
        json!([
            ["ssh in the span", 2, 1],
            ["Jupyter in the span", null, null],
            ["Batch in the span", 3, null],
            ["Together in the span", 3, null],
        ])
        .as_array()
        .unwrap()[..]
    );
    send(&running, &[ended("canary-4", "5.0", 5, day - 2 * DAY_MS)]);
    let fields = ["number", "value", "before", "unit"];
    assert_eq!(
        rows(&ask("workloads"), "workloads", &fields),
        json!([
            ["Running now", null, null, "count"],
            ["Idle now", null, null, "count"],
            ["Held now", null, null, "count"],
            ["Finished in the span", 2.0, 1.0, "count"],
            ["Removed in the span", 1.0, 0.0, "count"],
            ["Run time of ended jobs", 407.0, 50.0, "seconds"],
        ])
    );
    let html = page(&running, &format!("/?{}", span(day, day + DAY_MS)), &viewer);
    assert!(
        html.contains("▲ 100 % from 1 before") && html.contains("▲ 714 % from 50 s before"),
        "{html}"
    );

    // On the day after, nothing was heard of ssh: together are others than before.
    send(&running, &[ended("canary-3", "6.0", 5, day + 25 * HOUR_MS)]);
    let in_span = |span: &str| {
        let people = running.json(&format!("/api/v1/people?{span}"), &viewer);
        let fields = ["number", "users", "before", "note"];
        json!(rows(&people, "people", &fields).as_array().unwrap()[4..])
    };
    assert_eq!(
        in_span(&span(day + DAY_MS, day + 2 * DAY_MS)),
        json!([
            ["ssh in the span", null, 2, null],
            ["Jupyter in the span", null, null, null],
            ["Batch in the span", 1, 3, null],
            ["Together in the span", 1, null, "without ssh"],
        ])
    );
    // A facility that is younger than the day before: its users are more for no reason.
    let together = |span: &str| in_span(span)[3].clone();
    let asked = span(day, day + DAY_MS);
    assert_eq!(
        together(&asked),
        json!(["Together in the span", 3, 1, null])
    );
    let elsewhere = of(
        ssh(&other, "node-1.example.org", &["canary-8"]),
        OTHER,
        &other,
    );
    send(&running, &[at(elsewhere, day + HOUR_MS)]);
    assert_eq!(
        in_span(&asked)[0],
        json!(["ssh in the span", 3, null, null])
    );
    assert_eq!(
        together(&asked),
        json!(["Together in the span", 4, null, null])
    );
}

#[test]
fn jobs_now_are_those_of_the_facilities_that_are_heard() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let now = clock::now();
    let say = |id: &str, state, ms| at(job(&token, "canary-1", id, state, 0), ms);
    send(
        &running,
        &[
            say("1.0", "held", now - 11 * MINUTE),
            say("1.0", "running", now - MINUTE),
            say("2.0", "running", now - MINUTE),
        ],
    );
    let elsewhere = of(job(&other, "canary-1", "1.0", "idle", 0), OTHER, &other);
    send(&running, &[at(elsewhere, now - 40 * MINUTE)]);
    let ask = |more: &str| running.json(&format!("/api/v1/workloads{more}"), &viewer);
    let values = |answer: &Value| {
        let all = rows(answer, "workloads", &["value"]);
        json!(all.as_array().unwrap()[..3])
    };
    assert_eq!(values(&ask("")), json!([[2.0], [0.0], [0.0]]));
    let note = ask("")["workloads"][0]["note"].as_str().unwrap().to_owned();
    assert!(
        note.ends_with(&format!(" UTC, without {OTHER} (silent)")),
        "{note}"
    );
    assert_eq!(
        values(&ask(&format!("?facility={OTHER}"))),
        json!([[null], [null], [null]])
    );
}

#[test]
fn users_present_are_added_up_over_nodes_with_gaps() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let there = |node: &str, users: &[&str], ms| at(ssh(&token, node, users), ms);
    send(
        &running,
        &[
            there("node-1.example.org", &["canary-1", "canary-2"], day),
            there("node-2.example.org", &["canary-1"], day),
            there("node-1.example.org", &[], day + 10 * MINUTE),
            at(
                jupyter(&token, "jupyter-ml", &["canary-3"]),
                day + 10 * MINUTE,
            ),
        ],
    );
    let path = format!("/panels/users-present?{}", span(day, day + 15 * MINUTE));
    let data = running.json(&path, &viewer);
    assert_eq!(series(&data, "ssh"), json!([3.0, null, 0.0]));
    assert_eq!(series(&data, "jupyter-ml"), json!([null, null, 1.0]));
}

#[test]
fn unique_users_count_once_per_period_and_new_ones_once_for_ever() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let own = world.done(&["token", "create", "--viewer", "--facility", OTHER]);
    let running = world.serve(&[]);
    // A Monday, two weeks ago or three; 1970 began on a Thursday.
    let monday = (time::day(clock::now()) + 3).div_euclid(7) * 7 - 3 - 14;
    let monday = monday * DAY_MS;
    let there = |users: &[&str], ms| at(ssh(&token, "node-1.example.org", users), ms);
    send(
        &running,
        &[
            there(&["canary-1"], monday - 1),
            there(&["canary-1", "canary-2"], monday),
            at(
                jupyter(&token, "jupyter-ml", &["canary-2", "canary-3"]),
                monday + HOUR_MS,
            ),
            // Nothing on Tuesday; on Wednesday nobody.
            there(&[], monday + 2 * DAY_MS),
            there(&["canary-3"], monday + 7 * DAY_MS - 1),
        ],
    );
    let elsewhere = of(job(&other, "canary-1", "1.0", "running", 0), OTHER, &other);
    send(&running, &[at(elsewhere, monday + HOUR_MS)]);

    let week = span(monday + HOUR_MS, monday + 7 * DAY_MS);
    let data = running.json(&format!("/panels/unique-users?{week}"), &viewer);
    assert_eq!(
        series(&data, "ssh"),
        json!([2, null, 0, null, null, null, 1]).floats()
    );
    assert_eq!(
        series(&data, "jupyter"),
        json!([2, null, null, null, null, null, null]).floats()
    );
    assert_eq!(
        series(&data, "batch"),
        json!([1, null, null, null, null, null, null]).floats()
    );
    assert_eq!(
        series(&data, "together"),
        json!([3, null, 0, null, null, null, 1]).floats()
    );
    assert_eq!(data["times"][0], monday / 1000);

    let by_week = running.json(&format!("/api/v1/uniques?per=week&{week}"), &viewer);
    let begin = time::text(monday);
    assert_eq!(
        rows(&by_week, "uniques", &["time", "door", "users"]),
        json!([
            [begin, "ssh", 3],
            [begin, "jupyter", 2],
            [begin, "batch", 1],
            [begin, "together", 3]
        ])
    );
    let new = running.json(&format!("/panels/newcomers?{week}"), &viewer);
    assert_eq!(
        series(&new, "new"),
        json!([2, null, 0, null, null, null, 0]).floats()
    );
    assert_eq!(
        series(&new, "returning"),
        json!([1, null, 0, null, null, null, 1]).floats()
    );
    let since = time::text(monday - DAY_MS)[..10].to_owned();
    assert_eq!(
        new["says"],
        format!("Users are known since {since}: all are new at first.")
    );
    // At the other facility the same person is new.
    let new = running.json(&format!("/panels/newcomers?{week}"), own.trim());
    assert_eq!(series(&new, "new")[0], 1.0);
    let (status, _) = running.get(&format!("/api/v1/uniques?facility={FACILITY}"), own.trim());
    assert_eq!(status, 403);

    let html = page(&running, "/users?per=week", &viewer);
    assert!(
        html.contains("<a href=\"/users?per=week\" aria-current=\"true\">week</a>"),
        "{html}"
    );
    assert!(
        html.contains("<a href=\"/users?per=month\">month</a>"),
        "{html}"
    );
    assert!(html.contains("/panels/newcomers?per=week"), "{html}");
    assert!(!html.contains("<span class=\"subject\">"), "{html}");
}

trait Floats {
    /// Whole numbers as a chart has them.
    fn floats(self) -> Value;
}

impl Floats for Value {
    fn floats(self) -> Value {
        let all = self.as_array().unwrap().iter();
        all.map(|one| one.as_f64().map_or(Value::Null, |one| json!(one)))
            .collect()
    }
}

#[test]
fn the_list_of_users_has_jobs_and_can_be_sorted_and_searched() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let users: Vec<String> = (1..=60).map(|number| format!("canary-{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let ended = |user, id, seconds, ms| at(job(&token, user, id, "finished", seconds), ms);
    send(
        &running,
        &[at(ssh(&token, "node-1.example.org", &names), day)],
    );
    let ask = || {
        running.json(
            &format!("/api/v1/users?user=canary-7&{}", span(day, day + DAY_MS)),
            &viewer,
        )
    };
    let fields = ["user", "days", "jobs", "seconds"];
    assert_eq!(
        rows(&ask(), "users", &fields),
        json!([["canary-7", 1, null, null]])
    );
    send(
        &running,
        &[
            ended("canary-7", "1.0", 60, day + HOUR_MS),
            ended("canary-7", "2.0", 40, day + 2 * HOUR_MS),
            ended("canary-7", "3.0", 9, day + DAY_MS),
        ],
    );
    assert_eq!(
        rows(&ask(), "users", &fields),
        json!([["canary-7", 1, 2, 100.0]])
    );
    // From the middle of a day.
    let half = format!(
        "/api/v1/users?user=canary-7&{}",
        span(day + 2 * HOUR_MS, day + 2 * DAY_MS)
    );
    assert_eq!(
        rows(&running.json(&half, &viewer), "users", &fields),
        json!([["canary-7", 2, 2, 49.0]])
    );
    let list = |more: &str| page(&running, &format!("/users?from=-7d{more}"), &viewer);
    let first = list("&sort=-jobs");
    let body = first.split("<tbody>").nth(1).unwrap();
    assert!(
        body.find(">canary-7<").unwrap() < body.find(">canary-10<").unwrap(),
        "{body}"
    );
    assert!(first.contains("1–50 of 60") && !list("&part=2").contains("1–50"));
    let found = list("&search=canary-5&per=day");
    assert!(found.contains("1–11 of 11"), "{found}");
    assert!(
        found.contains("<input type=\"hidden\" name=\"per\" value=\"day\">"),
        "{found}"
    );
}

#[test]
fn a_user_has_a_page_whatever_the_name() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let viewer = world.viewer();
    let own = world.done(&["token", "create", "--viewer", "--facility", OTHER]);
    let running = world.serve(&[]);
    let day = midnight();
    let names = [
        "<script>alert(1)</script>",
        "'; DROP TABLE users;--",
        "a/b?c=d&e=f#g%20h+i",
        "Łukasz Ünïcode 名前",
        "\"quoted\"",
    ];
    send(
        &running,
        &[at(ssh(&token, "node-1.example.org", &names), day)],
    );
    let elsewhere = of(
        ssh(&other, "node-1.example.org", &["canary-1"]),
        OTHER,
        &other,
    );
    send(&running, &[at(elsewhere, day)]);
    let list = page(&running, "/users", &viewer);
    let links: Vec<String> = list
        .split("<a href=\"/user?")
        .skip(1)
        .map(|rest| format!("/user?{}", rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(links.len(), names.len() + 1, "{list}");
    for link in links.iter().map(|link| link.replace("&#38;", "&")) {
        let html = page(&running, &link, &viewer);
        assert!(html.contains("<dt>First seen</dt>"), "{link}: {html}");
        assert!(!html.contains("<script>alert"), "{link}");
    }
    for name in names {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("user", name).finish();
        assert!(
            links.contains(&format!("/user?{query}")),
            "{name}: {links:?}"
        );
    }
    // Nobody is said to be nobody, also where only another facility knows them.
    let (status, nobody) = running.get("/user?user=canary-%3C9", &viewer);
    assert_eq!(status, 404);
    assert!(
        nobody.contains("Nobody of the name &#34;canary-&#60;9&#34; was seen."),
        "{nobody}"
    );
    assert!(
        nobody.contains("<a href=\"/users\">To all users</a>"),
        "{nobody}"
    );
    let (status, hidden) = running.get(&links[0].replace("&#38;", "&"), own.trim());
    assert_eq!(
        (status, hidden.contains("was seen at AF-2.")),
        (404, true),
        "{hidden}"
    );
    let (status, nameless) = running.get("/user", &viewer);
    assert_eq!(status, 400);
    assert!(
        nameless.contains("<a href=\"/users\">To all users</a>"),
        "{nameless}"
    );
    for path in ["profiles", "hours", "endings"] {
        assert_eq!(running.get(&format!("/api/v1/{path}"), &viewer).0, 400);
        assert_eq!(
            running.get(&format!("/api/v1/{path}?user=x"), &viewer).0,
            404
        );
    }
}

#[test]
fn a_users_page_has_their_hours_and_jobs() {
    let world = World::new();
    let token = world.token(FACILITY);
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let day = midnight();
    let there = |users: &[&str], ms| at(ssh(&token, "node-1.example.org", users), ms);
    let say = |user, id, state, seconds, ms| at(job(&token, user, id, state, seconds), ms);
    send(
        &running,
        &[
            there(&["canary-1"], day - 5 * DAY_MS),
            there(&["canary-1"], day + HOUR_MS - 1),
            there(&["canary-2"], day + HOUR_MS),
            say("canary-1", "1.0", "running", 0, day + 3 * HOUR_MS),
            say("canary-2", "2.0", "idle", 0, day + 3 * HOUR_MS),
            say("canary-2", "2.0", "held", 0, day + 4 * HOUR_MS),
            say("canary-1", "1.0", "finished", 700, day + 5 * HOUR_MS),
        ],
    );
    let of = |panel: &str, user: &str| {
        let span = span(day, day + 6 * HOUR_MS);
        running.json(&format!("/panels/{panel}?user={user}&{span}"), &viewer)
    };
    let hours = of("user-hours", "canary-1");
    assert_eq!(
        series(&hours, "ssh"),
        json!([1, 0, null, null, null, null]).floats()
    );
    assert_eq!(
        series(&hours, "batch"),
        json!([null, null, null, 1, 0, 1]).floats()
    );
    // Three of the hours are heard of, two of the queue.
    let by_hour = |path: &str, user: &str, fields: &[&str]| {
        let span = span(day, day + 6 * HOUR_MS);
        let answer = running.json(
            &format!("/api/v1/{path}?user={user}&step=1h&{span}"),
            &viewer,
        );
        rows(&answer, path, fields)
    };
    let hour = |hour: i64| time::text(day + hour * HOUR_MS);
    assert_eq!(
        by_hour("jobs", "canary-1", &["time", "state", "jobs"]),
        json!([
            [hour(3), "finished", 0.0],
            [hour(3), "idle", 0.0],
            [hour(3), "running", 1.0],
            [hour(4), "finished", 0.0],
            [hour(4), "idle", 0.0],
            [hour(4), "running", 0.0],
        ]),
        "that a job ended says nothing of the queue"
    );
    assert_eq!(
        by_hour("endings", "canary-1", &["time", "jobs", "seconds"]),
        json!([[hour(3), 0, 0.0], [hour(4), 0, 0.0], [hour(5), 1, 700.0]])
    );
    let profile = running.json(
        &format!("/api/v1/profiles?user=canary-1&{}", span(day, day + DAY_MS)),
        &viewer,
    );
    let fields = ["first", "last", "doors", "days", "jobs", "seconds"];
    assert_eq!(
        rows(&profile, "profiles", &fields),
        json!([[
            time::text(day - 5 * DAY_MS),
            time::text(day + 5 * HOUR_MS),
            ["ssh", "batch"],
            1,
            1,
            700.0
        ]])
    );
    let html = page(
        &running,
        &format!("/user?user=canary-1&{}", span(day, day + DAY_MS)),
        &viewer,
    );
    assert!(
        html.contains("<span class=\"subject\">canary-1</span>"),
        "{html}"
    );
    assert!(
        html.contains("<dd class=\"value fact\">ssh, batch</dd>"),
        "{html}"
    );
    assert!(
        html.contains("<dd class=\"value fact\">11 min</dd>"),
        "{html}"
    );
}

#[test]
fn a_viewer_of_one_facility_asks_about_that_one_only() {
    let world = World::new();
    let (token, other) = (world.token(FACILITY), world.token(OTHER));
    let own = world.done(&["token", "create", "--viewer", "--facility", FACILITY]);
    let running = world.serve(&[]);
    let day = midnight();
    let here = [
        ssh(&token, "node-1.example.org", &["canary-1"]),
        job(&token, "canary-1", "1.0", "finished", 5),
    ];
    send(&running, &here.map(|document| at(document, day)));
    let there = [
        ssh(&other, "node-2.example.org", &["canary-1", "canary-2"]),
        job(&other, "canary-1", "2.0", "finished", 70),
    ];
    let there = there.map(|document| at(of(document, OTHER, &other), day));
    send(&running, &there);
    let own = own.trim();
    for path in [
        "silences?",
        "people?",
        "workloads?",
        "visitors?",
        "uniques?",
        "newcomers?",
        "profiles?user=canary-1",
        "hours?user=canary-1",
        "endings?user=canary-1",
        "jobs?user=canary-1",
    ] {
        let (status, text) = running.get(&format!("/api/v1/{path}"), own);
        assert_eq!(status, 200, "{path}: {text}");
        for hidden in [OTHER, "node-2", "canary-2"] {
            assert!(!text.contains(hidden), "{path}: {text}");
        }
        let elsewhere = format!("/api/v1/{path}&facility={OTHER}");
        assert_eq!(running.get(&elsewhere, own).0, 403, "{path}");
        assert_eq!(running.get(&elsewhere, "").0, 401, "{path}");
    }
    let sum = |path: &str, list: &str, field: &str| {
        let path = format!("/api/v1/{path}&{}", span(day, day + DAY_MS));
        running.json(&path, own)[list][0][field].clone()
    };
    assert_eq!(sum("profiles?user=canary-1", "profiles", "seconds"), 5.0);
    assert_eq!(
        sum("profiles?user=canary-1", "profiles", "facilities"),
        json!([FACILITY])
    );
    assert_eq!(sum("newcomers?", "newcomers", "new"), 1);
}
