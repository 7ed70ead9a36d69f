//! `/metrics`: well formed, and its numbers are those of what was sent. And what the log says of refusals.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{FACILITY, World, job, load, wait_until};

/// Samples by name and labels, as they are printed.
type Samples = BTreeMap<String, f64>;

/// Reads OpenMetrics text, and accepts nothing that is not as it should be.
fn parse(page: &str) -> Samples {
    let body = page.strip_suffix("# EOF\n").unwrap();
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next().unwrap(), words.next());
            match what.unwrap() {
                "HELP" => {
                    assert!(families.insert(name.to_owned()), "twice: {name}");
                    (family, kind) = (name.to_owned(), String::new());
                    assert!(rest.unwrap().len() > 3, "{line}");
                }
                "TYPE" => {
                    assert_eq!(name, family, "{line}");
                    kind = rest.unwrap().to_owned();
                    assert!(["counter", "gauge", "histogram", "info"].contains(&&*kind));
                }
                "UNIT" => assert!(name == family && name.ends_with(rest.unwrap()), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        assert!(
            name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'),
            "{line}"
        );
        let suffix = name.strip_prefix(&*family).unwrap();
        let is_right = match &*kind {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            "info" => suffix == "_info",
            _ => ["_bucket", "_sum", "_count"].contains(&suffix),
        };
        assert!(is_right, "{kind} {line}");
        if let Some(labels) = sample
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            check_labels(labels);
        }
        let value: f64 = value.parse().unwrap();
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        let before = samples.insert(sample.to_owned(), value);
        assert_eq!(before, None, "twice: {line}");
    }
    samples
}

/// `{name="value",...}`, where `\`, `"` and newlines in values are escaped.
fn check_labels(labels: &str) {
    let mut rest = labels.strip_prefix('{').unwrap();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(
            name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'),
            "{labels}"
        );
        let mut escaped = false;
        let end = value.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            assert!(!escaped || ['\\', '"', 'n'].contains(c), "{labels}");
            escaped = *c == '\\' && !escaped;
            is_end
        });
        rest = &value[end.unwrap().0 + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    assert_eq!(rest, "}", "{labels}");
}

#[test]
fn the_numbers_are_those_of_what_was_sent() {
    let world = World::new();
    // What could break out of a label.
    let odd = "A\\\"},AF{x=\"1\"";
    let (token, other, viewer) = (world.token(FACILITY), world.token(odd), world.viewer());
    let running = world.serve(&["--accept-unknown-kinds"]);
    let mut late = load(&token, "login01.canary.example", 0.5);
    let jobs = [
        job(&token, "canary-1", "1.0", "running", 5),
        job(&token, "canary-2", "1.1", "running", 5),
    ];
    let key = "01a20621-7623-7310-a7ad-f3b43b8e6695/0-2";
    for _ in 0..3 {
        let (status, _) = running.post_with(
            &[
                ("content-type", "application/json"),
                ("idempotency-key", key),
            ],
            json!(jobs).to_string(),
        );
        assert_eq!(status, 200);
    }
    late["timestamp"] = json!(six_minutes_ago());
    let mut elsewhere = load(&other, "n\"1\\\n", 0.5);
    elsewhere["cluster"] = json!(odd);
    let mut made_up = load(&token, "login01.canary.example", 0.5);
    made_up["kind"] = json!("made up");
    for document in [late, elsewhere, made_up] {
        assert_eq!(running.post(document.to_string()).0, 200);
    }
    assert_eq!(running.post("[{]").0, 400);
    assert_eq!(
        running
            .post(job("afs_wrong", "canary-1", "1.0", "running", 5).to_string())
            .0,
        401
    );
    assert_eq!(running.get("/no/such/path", &viewer).0, 404);

    let (status, page) = running.get("/metrics", &viewer);
    assert_eq!(status, 200, "{page}");
    let samples = parse(&page);
    let number = |name: &str| {
        let full = format!("afmetrics_receiver_{name}");
        *samples
            .get(&full)
            .unwrap_or_else(|| panic!("{full} in {page}"))
    };
    let jobs = "{facility=\"UC-AF\",kind=\"condorjob\"";
    assert_eq!(
        number(&format!("documents_total{jobs},result=\"stored\"}}")),
        2.0
    );
    assert_eq!(
        number(&format!("documents_total{jobs},result=\"repeated\"}}")),
        4.0
    );
    let kinds = |kind| format!("{{facility=\"UC-AF\",kind=\"{kind}\"");
    assert_eq!(
        number(&format!(
            "documents_total{},result=\"stored\"}}",
            kinds("CPU")
        )),
        1.0
    );
    assert_eq!(
        number(&format!(
            "documents_total{},result=\"stored\"}}",
            kinds("other")
        )),
        1.0
    );
    assert_eq!(
        number(&format!("late_documents_total{}}}", kinds("CPU"))),
        1.0
    );
    let posts = |code| format!("requests_total{{method=\"POST\",path=\"/\",code=\"{code}\"}}");
    assert_eq!(number(&posts(200)), 6.0);
    assert_eq!(number(&posts(400)), 1.0);
    assert_eq!(number(&posts(401)), 1.0);
    assert_eq!(
        number("requests_total{method=\"GET\",path=\"other\",code=\"404\"}"),
        1.0
    );
    // Six requests one after the other; a group for each.
    assert_eq!(number("commit_seconds_count"), 6.0);
    assert_eq!(number("commit_seconds_bucket{le=\"+Inf\"}"), 6.0);
    assert!(number("commit_seconds_sum") > 0.0);
    assert_eq!(number("waiting_documents"), 0.0);
    assert_eq!(number("ready"), 1.0);
    assert_eq!(number("failed_handshakes_total"), 0.0);
    assert!(number("last_commit_time_seconds") > 1.7e9);
    assert_eq!(
        number("request_duration_seconds_count{method=\"POST\",path=\"/\"}"),
        8.0
    );
    assert!(samples["process_cpu_seconds_total"] > 0.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_open_fds"] > 5.0);
    assert!(number("connections") >= 1.0);
    let file = |name: &str| std::fs::metadata(world.store().join(name)).unwrap().len();
    assert!(file("afmetrics.db") > 0);
    assert!(number("store_bytes{file=\"db\"}") > 0.0);
    assert!(number("store_bytes{file=\"wal\"}") > 0.0);
    let ages: Vec<_> = samples
        .iter()
        .filter(|(name, _)| name.starts_with("afmetrics_receiver_newest_document_age_seconds"))
        .collect();
    assert!(
        ages.iter().all(|(_, age)| (0.0..600.0).contains(*age)),
        "{ages:?}"
    );
    let of_node = |age: &(&String, &f64)| age.0.contains("login01.canary.example");
    assert!(ages.iter().any(of_node), "{ages:?}");
    let of_odd = "facility=\"A\\\\\\\"},AF{x=\\\"1\\\"\",node=\"n\\\"1\\\\\\n\"";
    assert!(
        ages.iter().any(|(name, _)| name.contains(of_odd)),
        "{ages:?}"
    );
    assert!(samples["process_start_time_seconds"] > 1.7e9);
    assert!(page.contains(&format!(
        "_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    )));
}

#[test]
fn the_metrics_are_for_who_may_see_all() {
    let world = World::new();
    let sender = world.token(FACILITY);
    let own = world.done(&["token", "create", "--viewer", "--facility", FACILITY]);
    let running = world.serve(&[]);
    assert_eq!(running.ask("GET", "/metrics", &[], Vec::new()).0, 401);
    assert_eq!(running.get("/metrics", &sender).0, 401);
    assert_eq!(running.get("/metrics", own.trim()).0, 403);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(running.ask("GET", open, &[], Vec::new()).0, 200);
    }
    let trusting = World::new();
    let running = trusting.serve(&["--trust-loopback"]);
    for header in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
        let passed_on = [(header, "192.0.2.1")];
        let (status, _) = running.ask("GET", "/metrics", &passed_on, Vec::new());
        assert_eq!(status, 401, "{header}");
    }
    let (_, headers) = running.headers("GET", "/metrics", &[], Vec::new());
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let (status, page) = running.ask("GET", "/metrics", &[], Vec::new());
    assert_eq!(status, 200);
    parse(&page);
}

#[test]
fn refusals_are_in_the_log_once_and_hold_nothing_of_the_request() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let mut foreign = job(&token, "canary-1", "1.0", "running", 5);
    foreign["cluster"] = json!("OTHER-AF");
    for _ in 0..20 {
        assert_eq!(
            running
                .post(job("afs_wrong", "canary-2", "1.0", "x", 5).to_string())
                .0,
            401
        );
        assert_eq!(running.post(foreign.to_string()).0, 403);
    }
    wait_until("both lines", || {
        running.log().matches("refused").count() >= 2
    });
    let (_, log) = running.terminate();
    let of = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    // One at once, and one with the count at the end.
    assert_eq!(of("WARN refused: 401 no token"), 1, "{log}");
    assert_eq!(
        of("WARN refused: 403 a document of another facility (token of UC-AF)"),
        1,
        "{log}"
    );
    assert_eq!(of("WARN refused 19 more"), 2, "{log}");
    for secret in ["afs_wrong", &token, "canary", "OTHER-AF"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

fn six_minutes_ago() -> String {
    let now = afmetrics_receiver::clock::now();
    afmetrics_receiver::documents::time::text(now - 360_000)
}
