//! Who sees what of all pages, panels and answers; what browsers may load, keep and send.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::api::{at, jupyter, midnight, of, send, ssh};
use crate::support::{Running, World, job, load};

/// Everything of a facility that has a name: all end with its number.
fn documents(token: &str, n: u8, ms: i64) -> Vec<Value> {
    let (node, user) = (format!("node-{n}.example.org"), format!("canary-{n}"));
    let host = |kind: &str, mut fields: Value| {
        fields["kind"] = kind.into();
        fields["login_node"] = node.as_str().into();
        fields
    };
    let mount = format!("/mount-{n}");
    let disk = json!({"mount": mount, "total": 10, "used": 5, "free": 5, "utilization": 0.5});
    let network = json!({"network": {"interval": 300.0, "sent": 10, "received": 20}});
    let round = json!({"version": "1", "duration": 1.0, "collectors": {"condor_jobs": {"result": "ok", "documents": 2, "duration": 0.1}, "ssh": {"result": "failed", "documents": 0, "duration": 0.1}}});
    let queue = json!({"kind": "condorqueue", "queue": format!("queue-{n}"), "idle": 1, "running": 2, "held": 0, "allocated_cores": 8, "allocated_mem": 2000});
    let all = [
        ssh(token, &node, &[&user]),
        jupyter(token, "jupyter-ml", &[&user]),
        jupyter(token, "jupyter-coffea", &[&user]),
        job(token, &user, "1.0", "running", 60),
        job(token, &user, "2.0", "finished", 600),
        queue,
        load(token, &node, 1.0),
        host("MEM", json!({"total": 10, "available": 5})),
        host("DISK", disk),
        host("NETWORK", network),
        host("round", round),
    ];
    let facility = format!("AF-{n}");
    all.map(|document| at(of(document, &facility, token), ms))
        .to_vec()
}

/// What nobody of another facility may see.
fn names(n: u8) -> Vec<String> {
    ["AF", "canary", "node", "queue", "/mount"]
        .map(|what| format!("{what}-{n}"))
        .to_vec()
}

/// Two facilities, a viewer of all and one of the first.
fn scene(world: &World) -> (Running, String, String) {
    let (one, two) = (world.token("AF-1"), world.token("AF-2"));
    let all = world.viewer();
    let bound = world.done(&["token", "create", "--viewer", "--facility", "AF-1"]);
    let running = world.serve(&[]);
    for ms in [midnight(), afmetrics_receiver::clock::now() - 60_000] {
        send(&running, &documents(&one, 1, ms));
        send(&running, &documents(&two, 2, ms));
    }
    for token in [&one, &two] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        assert_eq!(running.ask("POST", "/", &headers, "{".into()).0, 400);
    }
    (running, all, bound.trim().to_owned())
}

/// Values of attributes that lead to places of this server.
fn links(page: &str) -> Vec<String> {
    let parts = page.split([' ', '<']).flat_map(|part| {
        let names = ["href=\"", "data-url=\"", "src=\""];
        names.iter().find_map(|name| part.strip_prefix(name))
    });
    let values = parts.filter_map(|rest| rest.split('"').next());
    let plain = |value: &str| value.replace("&#38;", "&").replace("&amp;", "&");
    values
        .map(plain)
        .filter(|value| value.starts_with('/'))
        .collect()
}

/// Of all links those that lead to something else: other spans and orders of a table are the same.
fn which(url: &str) -> String {
    const SAME: [&str; 7] = ["from", "to", "tz", "refresh", "sort", "part", "step"];
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !SAME.contains(&name)
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// All that a viewer gets to by links and the list of questions: by URL, what was answered.
fn reached(running: &Running, viewer: &str) -> BTreeMap<String, String> {
    let (_, list) = running.ask("GET", "/api/v1/openapi.json", &[], Vec::new());
    let list: Value = serde_json::from_str(&list).unwrap();
    let mut waiting: Vec<String> = vec!["/".into(), "/metrics".into()];
    for (path, question) in list["paths"].as_object().unwrap() {
        let params = question["get"]["parameters"].as_array().unwrap();
        let has = |name: &str| params.iter().any(|param| param["name"] == name);
        let mut url = format!("{path}?");
        for param in params.iter().filter(|param| param["required"] == true) {
            let word = param["schema"]["enum"][0].as_str().unwrap_or("canary-1");
            url = format!("{url}&{}={word}", param["name"].as_str().unwrap());
        }
        if has("from") {
            url += "&from=-7d";
        }
        if has("format") {
            waiting.push(format!("{url}&format=csv"));
        }
        waiting.push(url);
    }
    let mut known: BTreeSet<String> = waiting.iter().map(|url| which(url)).collect();
    let mut answers = BTreeMap::new();
    while let Some(url) = waiting.pop() {
        let (status, text) = running.get(&url, viewer);
        assert!(
            status == 200 || (url == "/metrics" && status == 403),
            "{url}: {status} {text}"
        );
        if text.starts_with("<!doctype html>") {
            let new = links(&text)
                .into_iter()
                .filter(|link| known.insert(which(link)));
            waiting.extend(new);
        }
        answers.insert(url, text);
        assert!(answers.len() < 1_000, "the links have no end");
    }
    answers
}

fn panels(answers: &BTreeMap<String, String>) -> usize {
    let charts = answers
        .keys()
        .filter_map(|url| url.strip_prefix("/panels/"));
    charts
        .map(|url| url.split('?').next())
        .collect::<BTreeSet<_>>()
        .len()
}

#[test]
fn a_viewer_of_one_facility_sees_no_byte_of_another_whatever_the_url() {
    let world = World::new();
    let (running, all, bound) = scene(&world);
    let of_all = reached(&running, &all);
    let of_bound = reached(&running, &bound);
    for name in names(2) {
        let mut texts = of_all.values();
        assert!(
            texts.any(|text| text.contains(&name)),
            "{name}: is in no answer"
        );
    }
    for name in names(1) {
        let mut texts = of_bound.values();
        assert!(
            texts.any(|text| text.contains(&name)),
            "{name}: is in no answer"
        );
    }
    assert!(panels(&of_all) >= 5 && panels(&of_all) == panels(&of_bound));
    for (url, text) in &of_bound {
        for name in names(2) {
            assert!(!text.contains(&name), "{url} has {name}: {text}");
        }
    }
    // What a colleague who sees all sends a link to, as it is and with the other facility's name.
    for url in of_all.keys().filter(|url| !url.starts_with("/assets/")) {
        let join = if url.contains('?') { '&' } else { '?' };
        for url in [url.clone(), format!("{url}{join}facility=AF-2")] {
            let (status, text) = running.get(&url, &bound);
            assert!(status < 500, "{url}: {status} {text}");
            // What was in the question itself may be in the answer.
            let asked = url.replace("%2F", "/");
            for name in names(2).iter().filter(|name| !asked.contains(*name)) {
                assert!(!text.contains(name), "{url} has {name}: {text}");
            }
            let is_of_other = url.contains("facility=AF-2");
            let is_page_or_numbers =
                !url.starts_with("/api/v1/openapi") && !url.starts_with("/metrics");
            if is_of_other && is_page_or_numbers {
                assert!(status == 403 || status == 400, "{url}: {status} {text}");
            }
            let (status, text) = running.ask("GET", &url, &[], Vec::new());
            let is_open = url.starts_with("/?") || url == "/" || url.starts_with("/api/v1/openapi");
            assert_eq!(status, if is_open { 200 } else { 401 }, "{url}: {text}");
            for name in names(1)
                .iter()
                .chain(&names(2))
                .filter(|name| !asked.contains(*name))
            {
                assert!(
                    !text.contains(name),
                    "a stranger at {url} has {name}: {text}"
                );
            }
        }
    }
}

/// The tags of a page, without what is between them.
fn tags(page: &str) -> Vec<&str> {
    let all = page.split('<').skip(1);
    all.map(|rest| rest.split('>').next().unwrap_or_default())
        .collect()
}

#[test]
fn pages_run_nothing_that_stands_in_them_and_load_only_our_files() {
    let world = World::new();
    let (running, all, bound) = scene(&world);
    let mut pages: Vec<String> = reached(&running, &all).into_values().collect();
    pages.retain(|text| text.starts_with("<!doctype html>"));
    assert!(
        pages.len() >= 7,
        "the menu and the pages of users and nodes: {}",
        pages.len()
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    let html = ("accept", "text/html");
    pages.push(running.ask("GET", "/", &[], Vec::new()).1);
    pages.push(running.ask("GET", "/batch", &[], Vec::new()).1);
    pages.push(running.get("/batch?facility=AF-2", &bound).1);
    pages.push(running.get("/batch?from=soon", &all).1);
    pages.push(
        running
            .ask("POST", "/login", &[form, html], "token=x".into())
            .1,
    );
    for page in pages {
        assert!(page.starts_with("<!doctype html>"), "{page}");
        for tag in tags(&page) {
            let (name, rest) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
            assert!(
                !["style", "iframe", "object", "embed", "base"].contains(&name),
                "<{tag}>"
            );
            let attributes: Vec<&str> = rest.split_ascii_whitespace().collect();
            let inline = |word: &&&str| {
                let word = word.to_ascii_lowercase();
                (word.starts_with("on") && word.contains('=')) || word.starts_with("style=")
            };
            assert_eq!(attributes.iter().find(inline), None, "<{tag}>");
            assert!(!tag.to_ascii_lowercase().contains("javascript:"), "<{tag}>");
            let loads = match name {
                "script" | "img" => Some("src=\""),
                "link" => Some("href=\""),
                _ => None,
            };
            if let Some(attribute) = loads {
                let from = attributes
                    .iter()
                    .find_map(|word| word.strip_prefix(attribute));
                assert!(from.unwrap().starts_with("/assets/"), "<{tag}>");
            }
        }
        for script in page.split("<script").skip(1) {
            let text = script.split_once('>').unwrap().1;
            assert!(text.starts_with("</script>"), "{text}");
        }
    }
}

#[test]
fn nothing_but_files_is_kept_and_every_page_is_guarded() {
    let world = World::new();
    let (running, all, bound) = scene(&world);
    let (viewer, of_one) = (format!("Bearer {all}"), format!("Bearer {bound}"));
    let (viewer, of_one) = (("authorization", &*viewer), ("authorization", &*of_one));
    let wrong = ("authorization", "Bearer afv_wrong");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let html = ("accept", "text/html");
    let foreign = ("sec-fetch-site", "cross-site");
    let right = format!("token={all}");
    // Method, path, headers, body; the answer; whether it is a page's.
    type Case<'c> = (
        &'c str,
        &'c str,
        &'c [(&'c str, &'c str)],
        &'c str,
        u16,
        bool,
    );
    let cases: &[Case<'_>] = &[
        ("GET", "/", &[], "", 200, true),
        ("GET", "/", &[viewer], "", 200, true),
        ("HEAD", "/batch", &[viewer], "", 200, true),
        ("GET", "/quality", &[], "", 401, true),
        ("GET", "/quality", &[wrong], "", 401, true),
        ("GET", "/quality?facility=AF-2", &[of_one], "", 403, true),
        ("GET", "/quality?facility=AF-9", &[viewer], "", 404, true),
        ("GET", "/quality?from=soon", &[viewer], "", 400, true),
        ("GET", "/panels/intake", &[viewer], "", 200, true),
        ("GET", "/panels/intake", &[], "", 401, true),
        ("GET", "/panels/none", &[viewer], "", 404, true),
        ("GET", "/assets/none", &[], "", 404, true),
        ("GET", "/api/v1/intake", &[viewer], "", 200, false),
        (
            "GET",
            "/api/v1/intake?format=csv",
            &[viewer],
            "",
            200,
            false,
        ),
        ("GET", "/api/v1/documents", &[viewer], "", 200, false),
        ("GET", "/api/v1/openapi.json", &[], "", 200, false),
        ("GET", "/api/v1/intake", &[], "", 401, false),
        (
            "GET",
            "/api/v1/intake?facility=AF-2",
            &[of_one],
            "",
            403,
            false,
        ),
        ("GET", "/api/v1/none", &[viewer], "", 404, false),
        ("GET", "/metrics", &[viewer], "", 200, false),
        ("GET", "/metrics", &[of_one], "", 403, false),
        ("GET", "/metrics", &[], "", 401, false),
        ("GET", "/readyz", &[], "", 200, false),
        ("GET", "/nothing", &[], "", 404, false),
        ("POST", "/", &[], "{}", 401, false),
        ("POST", "/login", &[form], &right, 303, true),
        ("POST", "/login", &[form], "token=x", 401, true),
        ("POST", "/login", &[form, html], "token=x", 401, true),
        ("POST", "/login", &[form, foreign], &right, 403, true),
        ("POST", "/login", &[], "x", 400, true),
        ("GET", "/login", &[], "", 405, false),
        ("POST", "/logout", &[], "", 303, true),
        ("POST", "/logout", &[foreign], "", 403, true),
    ];
    for (method, path, headers, body, wanted, is_page) in cases {
        let (status, found) = running.headers(method, path, headers, (*body).into());
        assert_eq!(status, *wanted, "{method} {path}");
        assert_eq!(
            found["cache-control"], "no-store",
            "{method} {path} {status}"
        );
        if *is_page {
            let policy = found["content-security-policy"].to_str().unwrap();
            for part in [
                "default-src 'none'",
                "script-src 'self'",
                "form-action 'self'",
                "frame-ancestors 'none'",
            ] {
                assert!(
                    policy.split("; ").any(|one| one == part),
                    "{path}: {policy}"
                );
            }
            assert!(
                !policy.contains("unsafe") && !policy.contains('*'),
                "{policy}"
            );
            assert_eq!(found["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(found["x-frame-options"], "DENY", "{path}");
        }
    }
    let (_, page) = running.get("/batch", &all);
    let assets: BTreeSet<String> = links(&page)
        .into_iter()
        .filter(|link| link.starts_with("/assets/"))
        .collect();
    assert!(assets.len() >= 4, "{assets:?}");
    for path in assets {
        assert!(
            path.split_once('?').unwrap().1.len() >= 12,
            "{path} has a digest"
        );
        let (status, found) = running.headers("GET", &path, &[], Vec::new());
        let kept = found["cache-control"].to_str().unwrap();
        assert_eq!(
            (status, kept),
            (200, "public, max-age=31536000, immutable"),
            "{path}"
        );
    }
}

#[test]
fn after_many_wrong_tokens_more_are_not_looked_into_and_right_ones_are() {
    let world = World::new();
    let viewer = world.viewer();
    let running = world.serve(&[]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let html = ("accept", "text/html,*/*;q=0.8");
    let login = |token: &str| {
        let body = format!("token={token}&next=/batch");
        running.ask("POST", "/login", &[form, html], body.into())
    };
    for n in 0..6 {
        let (status, page) = login("afv_wrong");
        assert_eq!(status, 401, "{n}");
        assert!(page.contains("This token is unknown"), "{page}");
    }
    // Wrong ones count wherever they are tried; none at all is no try.
    for path in ["/api/v1/nodes", "/panels/intake", "/batch", "/metrics"] {
        assert_eq!(running.get(path, "afv_wrong").0, 401, "{path}");
        assert_eq!(running.ask("GET", path, &[], Vec::new()).0, 401, "{path}");
    }
    let (status, page) = login("afv_wrong");
    assert_eq!(status, 429, "{page}");
    assert!(
        page.contains("Too many wrong tokens") && page.contains("action=\"/login\""),
        "{page}"
    );
    assert!(!page.contains("afv_wrong"));
    let wrong = ("authorization", "Bearer afv_wrong");
    for (method, path, headers) in [
        ("POST", "/login", &[form, html][..]),
        ("POST", "/login", &[form]),
        ("GET", "/api/v1/nodes", &[wrong]),
        ("GET", "/panels/intake", &[wrong]),
        ("GET", "/", &[wrong]),
        ("GET", "/batch", &[wrong]),
        ("GET", "/metrics", &[wrong]),
    ] {
        let (status, found) = running.headers(method, path, headers, "token=x".into());
        assert_eq!(status, 429, "{path}");
        let seconds: u32 = found["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((800..=900).contains(&seconds), "{path}: {seconds}");
        assert_eq!(found["cache-control"], "no-store", "{path}");
    }
    // Who shares the address is not shut out: with a proxy in front that is everybody.
    let (status, headers) =
        running.headers("POST", "/login", &[form], format!("token={viewer}").into());
    assert_eq!((status, headers.contains_key("set-cookie")), (303, true));
    assert_eq!(running.get("/api/v1/nodes", &viewer).0, 200);
    assert_eq!(running.ask("GET", "/", &[], Vec::new()).0, 200);
    // The senders' side is another: collectors keep what is refused.
    let sent = running.ask(
        "POST",
        "/",
        &[("authorization", "Bearer afs_wrong")],
        "{}".into(),
    );
    assert_eq!(sent.0, 401);
    let reasons = running.json("/api/v1/reasons?from=-1h", &viewer);
    let of = |reason: &str| {
        let rows = reasons["reasons"].as_array().unwrap();
        let row = rows.iter().find(|row| row["reason"] == reason);
        row.map(|row| row["requests"].clone())
    };
    assert_eq!(of("401 a login with a wrong token"), Some(json!(6)));
    assert_eq!(of("401 reading with a wrong token"), Some(json!(4)));
    assert_eq!(of("401 reading without a token"), Some(json!(4)));
    assert_eq!(
        of("429 too many wrong tokens from an address"),
        Some(json!(8))
    );
    let (_, log) = running.terminate();
    assert!(
        log.contains("429 too many wrong tokens from an address, last from 127.0.0.1"),
        "{log}"
    );
}

#[test]
fn a_cookie_is_of_this_host_and_ends_with_its_token() {
    let world = World::new();
    let viewer = world.done(&["token", "create", "--viewer", "--expires", "3"]);
    let viewer = viewer.trim();
    // Browsers speak TLS with the proxy in front.
    let running = world.serve(&["--insecure-http"]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("token={viewer}&next=//example.org");
    let (status, headers) = running.headers("POST", "/login", &[form], body.into());
    assert_eq!((status, &headers["location"]), (303, &"/".parse().unwrap()));
    let cookie = headers["set-cookie"].to_str().unwrap();
    let start =
        format!("__Host-afmetrics_viewer={viewer}; Path=/; HttpOnly; SameSite=Strict; Max-Age=");
    let rest = cookie.strip_prefix(&start).unwrap();
    let seconds: u32 = rest.strip_suffix("; Secure").unwrap().parse().unwrap();
    assert!((259_100..=259_200).contains(&seconds), "{seconds}");
    let read = |cookie: String| {
        let headers = [("cookie", &*cookie)];
        running.ask("GET", "/api/v1/nodes", &headers, Vec::new()).0
    };
    assert_eq!(read(format!("a=b; __Host-afmetrics_viewer={viewer}")), 200);
    // A neighbour's page could have put it there.
    assert_eq!(read(format!("afmetrics_viewer={viewer}")), 401);
    let (_, headers) = running.headers("POST", "/logout", &[], Vec::new());
    let gone = "__Host-afmetrics_viewer=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure";
    assert_eq!(headers["set-cookie"], gone);
}
