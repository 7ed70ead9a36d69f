//! What is taken, and how what is not taken is answered.

use serde_json::json;

use crate::support::{FACILITY, World, bytes_of, job, load};

#[test]
fn a_document_is_stored_without_its_token() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let (status, answer) = running.post(job(&token, "canary-1", "1.0", "running", 5).to_string());
    assert_eq!((status, answer), (200, json!({"stored": 1, "repeated": 0})));
    let (ended, log) = running.terminate();
    assert!(ended.success(), "{log}");
    assert!(!log.contains(&token));
    let bytes = bytes_of(&world.store());
    let is_in = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(is_in(b"canary-1") && !is_in(token.as_bytes()));
}

#[test]
fn an_error_says_which_element_and_which_field() {
    let world = World::new();
    let token = world.token(FACILITY);
    let running = world.serve(&[]);
    let mut wrong = load(&token, "login01", 0.5);
    wrong["load"] = json!("much");
    let (status, answer) = running.post(json!([load(&token, "login01", 0.5), wrong]).to_string());
    assert_eq!(status, 400);
    assert_eq!(
        answer["error"],
        "element 1: field `load`: expected a number, found the string \"much\""
    );
}
