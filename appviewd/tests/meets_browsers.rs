//! What a browser is told beside an answer: that any page may read it, and that it may do nothing else with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appviewd::config::Access;
use support::http::send;
use support::served::{followed, followed_by};

const PATHS: [&str; 4] = [
    "/healthz",
    "/xrpc/dev.cocore.compute.listProviders",
    "/xrpc/dev.cocore.compute.listReceipts?cursor=!",
    "/nothing",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_origin_may_read_every_answer_and_its_headers() {
    let (_scenario, _relay, daemon) = followed().await;
    for path in PATHS {
        let reply = send(daemon.address, &format!("GET {path}"), &[("Origin", "https://page.example")]).await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        let exposed = reply.header("access-control-expose-headers").unwrap();
        for name in ["etag", "retry-after", "ratelimit-remaining", "x-request-id"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        let headers = [
            ("Origin", "https://page.example"),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "if-none-match, x-anything"),
        ];
        let preflight = send(daemon.address, &format!("OPTIONS {path}"), &headers).await;
        assert_eq!((preflight.status, preflight.body.len()), (200, 0), "{path}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("GET,HEAD,POST"));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("*"));
        assert_eq!(preflight.header("access-control-max-age"), Some("86400"));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_answered_can_be_run_or_framed() {
    let (_scenario, _relay, daemon) = followed().await;
    for path in PATHS {
        let reply = send(daemon.address, &format!("GET {path}"), &[]).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'; "));
        assert_eq!(reply.header("set-cookie"), None);
        assert_eq!(reply.header("strict-transport-security"), None, "that is for who is reached by https");
    }
    daemon.stop().await;
    let public_url = Some("https://appview.example".parse().unwrap());
    let (_scenario, _relay, daemon) = followed_by(Access { public_url, ..Access::default() }).await;
    let reply = send(daemon.address, "GET /healthz", &[]).await;
    assert_eq!(reply.header("strict-transport-security"), Some("max-age=63072000"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_bears_its_requests_name() {
    let (_scenario, _relay, daemon) = followed().await;
    let mut names = Vec::new();
    for path in PATHS {
        let reply = send(daemon.address, &format!("GET {path}"), &[]).await;
        names.push(reply.header("x-request-id").unwrap().to_owned());
        let reply = send(daemon.address, &format!("GET {path}"), &[("X-Request-Id", "of-a-proxy.1")]).await;
        assert_eq!(reply.header("x-request-id"), Some("of-a-proxy.1"));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PATHS.len(), "each has its own: {names:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_ours_is_told_by_the_requests_name_and_nothing_else() {
    let (scenario, _relay, daemon) = followed().await;
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        std::fs::remove_file(scenario.path(file)).unwrap();
    }
    let headers = [("X-Request-Id", "of-a-proxy.1"), ("Origin", "https://page.example")];
    let reply = send(daemon.address, "GET /xrpc/dev.cocore.compute.listProviders", &headers).await;
    assert_eq!((reply.status, reply.header("x-request-id")), (500, Some("of-a-proxy.1")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let told = "something went wrong here; the log has the cause under the name of-a-proxy.1";
    assert_eq!(reply.json(), serde_json::json!({"error": "InternalServerError", "message": told}));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    daemon.stop().await;
}
