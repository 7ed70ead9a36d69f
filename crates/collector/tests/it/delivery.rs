//! Delivery to a real endpoint on loopback.

use crate::support::endpoint::{Endpoint, Protocol};
use crate::support::program::{TOKEN, World};

#[test]
fn one_document_a_request_with_the_token_in_it() {
    for protocol in [Protocol::PlainHttp, Protocol::Http1, Protocol::Http2] {
        let endpoint = Endpoint::ok(protocol);
        let mut world = World::new();
        world.healthy_host();
        world
            .deliver(
                &endpoint,
                &["--host", "-v", "-c", "CANARY-AF", "--mount", "/"],
            )
            .exits(0)
            .says("4 accepted");
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 4);
        for request in requests {
            assert_eq!(request.method, "POST");
            assert_eq!(request.target, "/");
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.json()["token"], TOKEN);
            assert_eq!(request.json()["cluster"], "CANARY-AF");
        }
    }
}
