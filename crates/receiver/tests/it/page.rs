//! The front page of strangers and viewers: who sees what, and that nothing breaks out of it.

use serde_json::json;

use crate::support::{FACILITY, Running, World, client, load, runtime};

/// Status, headers and text of a page.
fn page(
    running: &Running,
    method: &str,
    path: &str,
    viewer: Option<&str>,
) -> (u16, reqwest::header::HeaderMap, String) {
    runtime().block_on(async {
        let url = format!("{}{path}", running.url);
        let mut request = client().request(method.parse().unwrap(), url);
        if let Some(viewer) = viewer {
            request = request.header("cookie", format!("a=b; afmetrics_viewer={viewer}"));
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.text().await.unwrap())
    })
}

#[test]
fn a_hostile_name_stays_text_and_strangers_see_no_names() {
    let world = World::new();
    let hostile = "<script>alert(1)</script>\"'&amp;{{ x }}";
    let (token, viewer) = (world.token(hostile), world.viewer());
    let (own, own_viewer) = (
        world.token(FACILITY),
        world.done(&["token", "create", "--viewer", "--facility", FACILITY]),
    );
    let running = world.serve(&[]);
    let mut document = load(&token, "<b>node</b>", 0.5);
    document["cluster"] = json!(hostile);
    assert_eq!(running.post(document.to_string()).0, 200);
    for _ in 0..3 {
        assert_eq!(running.post(load(&own, "login01", 0.5).to_string()).0, 200);
    }

    let (status, headers, stranger) = page(&running, "GET", "/", None);
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"));
    assert!(
        !stranger.contains("<script") && !stranger.contains("style="),
        "{stranger}"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(stranger.contains("Ready: documents are taken."));
    assert!(stranger.contains("action=\"/login\"") && stranger.contains("name=\"token\""));
    for hidden in [
        FACILITY,
        "alert",
        env!("CARGO_PKG_VERSION"),
        "/metrics",
        "GiB",
        "KiB",
    ] {
        assert!(!stranger.contains(hidden), "{hidden}: {stranger}");
    }

    let (_, _, wrong) = page(&running, "GET", "/", Some("afv_wrong"));
    assert!(wrong.contains("This token is unknown") && !wrong.contains("afv_wrong"));

    // Another program's cookie on this host is no token that somebody tried.
    let foreign = [("cookie", "session=afv_wrong")];
    let (_, other) = running.ask("GET", "/", &foreign, Vec::new());
    assert!(!other.contains("This token is unknown"), "{other}");
    // A person who mistypes it gets the page again, a program JSON.
    let form = ("content-type", "application/x-www-form-urlencoded");
    let login = |headers: &[_]| running.ask("POST", "/login", headers, "token=afv_wrong".into());
    let (status, again) = login(&[form, ("accept", "text/html,*/*;q=0.8")]);
    assert_eq!(status, 401, "{again}");
    assert!(again.contains("This token is unknown") && again.contains("action=\"/login\""));
    let (status, error) = login(&[form]);
    assert!(status == 401 && error.starts_with('{'), "{error}");

    let (status, _, all) = page(&running, "GET", "/", Some(&viewer));
    assert_eq!(status, 200, "{all}");
    assert!(
        all.contains("/metrics") && all.contains(" · store "),
        "{all}"
    );
    assert!(all.contains("&#60;script&#62;alert(1)"), "{all}");
    for script in all.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/assets/"), "<script{script}");
    }
    assert!(!all.contains("style="), "{all}");
    assert!(all.contains("/api/v1/openapi.json") && all.contains(env!("CARGO_PKG_VERSION")));
    assert!(!all.contains("action=\"/login\"") && all.contains("action=\"/logout\""));
    let (_, _, nodes) = page(&running, "GET", "/nodes", Some(&viewer));
    assert!(nodes.contains("&#60;b&#62;node&#60;/b&#62;"), "{nodes}");
    assert!(!nodes.contains("<b>node"), "{nodes}");

    let (_, _, one) = page(&running, "GET", "/quality", Some(own_viewer.trim()));
    assert!(one.contains("<option value=\"UC-AF\" selected>"), "{one}");
    assert!(!one.contains("alert"), "{one}");
    assert!(
        one.contains("<dt>Documents</dt>\n<dd class=\"value\">3</dd>"),
        "{one}"
    );
    for hidden in ["/metrics", " · store ", "All facilities"] {
        assert!(!one.contains(hidden), "{hidden}: {one}");
    }
}

#[test]
fn head_and_the_style_are_answered() {
    let world = World::new();
    let running = world.serve(&[]);
    let (status, headers, text) = page(&running, "HEAD", "/", None);
    assert_eq!((status, &*text), (200, ""));
    assert!(
        headers["content-length"]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 500
    );
    let (_, _, text) = page(&running, "GET", "/", None);
    let (_, link) = text.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let (link, _) = link.split_once('"').unwrap();
    let (status, headers, style) = page(&running, "GET", link, None);
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/css; charset=utf-8");
    assert!(style.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_mistyped_address_is_a_page_for_persons_and_json_for_programs() {
    let world = World::new();
    let running = world.serve(&[]);
    let ask = |kinds: &str| {
        runtime().block_on(async {
            let url = format!("{}/bacth", running.url);
            let answer = client().get(url).header("accept", kinds).send().await;
            let answer = answer.unwrap();
            let kind = answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            (answer.status().as_u16(), kind, answer.text().await.unwrap())
        })
    };
    let (status, kind, text) = ask("text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!((status, &*kind), (404, "text/html; charset=utf-8"));
    assert!(text.contains("There is no page at this address."), "{text}");
    let (status, kind, text) = ask("*/*");
    assert_eq!((status, &*kind), (404, "application/json"));
    assert!(text.contains("nothing here"), "{text}");
}
