//! A daemon in which people sign in, as a process that can be killed, with an [`Authority`] that everything leads to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;

use serde_json::json;

use super::Scenario;
use super::authority::Authority;
use super::daemon::Daemon;
use super::exchange::cookies;
use super::http::{send, send_body};
use super::people::SERVICE;
use super::service::SESSION_KEY;

/// A process that people can sign in to, that logs whatever can be logged.
pub fn start(scenario: &Scenario, authority: &Authority) -> Daemon {
    std::fs::write(scenario.path("session-key"), SESSION_KEY).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(scenario.path("session-key"), mode).unwrap();
    let (plc, relay) = (authority.url(), authority.town().relay());
    let arguments = ["--plc", &plc, "--relay", &relay, "--allow-private-hosts", "--service-did", SERVICE]
        .into_iter()
        .chain(["--loopback-sign-in", "--session-key-file", "session-key", "--data-dir", "data"]);
    Daemon::serve_with(scenario, &[("RUST_LOG", "trace")], &arguments.collect::<Vec<_>>())
}

/// Signs somebody in; gives the browser's cookie.
pub async fn sign_in(address: SocketAddr, authority: &Authority, did: &str) -> String {
    let origin = format!("http://{address}");
    let headers =
        [("Origin", origin.as_str()), ("Content-Type", "application/json"), ("Accept", "application/json")];
    let body = json!({"account": did}).to_string();
    let begun = send_body(address, "POST /oauth/login", &headers, body.as_bytes()).await;
    let (url, cookie) = (begun.json()["url"].as_str().unwrap().to_owned(), cookies(&begun).remove(0));
    let callback = format!("GET /oauth/callback?{}", authority.approve(did, &url));
    let reply = send(address, &callback, &[("Cookie", &cookie)]).await;
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    cookies(&reply).remove(0)
}
