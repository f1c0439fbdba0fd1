//! What is promised about what is not known of people: anything but their DID.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::json;

use crate::support::Scenario;
use crate::support::daemon::Daemon;
use crate::support::http::{get, send_body};
use crate::support::needle::{Needle, assert_seen, find};
use crate::support::people::{Person, SERVICE, identities};

/// Every column of the account store. Whoever adds one says here that it holds nothing of who somebody is.
const COLUMNS: &str = "
    api_key: created_at did expires_at hash id last_used_at name prefix revoked_at
    audit: action actor at did id subject
    browser_session: created_at did expires_at token
    bug_report: bytes created_at did file ticket
    counter: last name
    exclusion: at did rev shown
    pairing: code created_at device did sealed state
    revocation: attempts did due_at id sealed since
    session: changed_at did generation sealed signed_in_at state
    sign_in: browser expires_at sealed state
    wipe: changed_at did due_at extent report sessions started_at step";

#[tokio::test(flavor = "multi_thread")]
async fn p21_of_who_somebody_is_the_did_is_all_that_is_kept() {
    const CREATE: &str = "dev.cocore.account.createApiKey";
    let ada = Person::new("ada");
    let scenario = Scenario::empty();
    std::fs::write(scenario.path("plc.json"), identities(&[&ada]).to_string()).unwrap();
    let arguments = ["--identities", "plc.json", "--relay", "ws://127.0.0.1:1", "--service-did", SERVICE];
    let arguments = [arguments.as_slice(), &["--data-dir", "data", "--proxy", "127.0.0.0/8"]].concat();
    let process = Daemon::serve_with(&scenario, &[("RUST_LOG", "trace")], &arguments);
    // A token is good from the start on.
    assert_eq!(get(process.address, "/healthz").await["ok"], true);
    let bearer = ada.bearer(CREATE);
    let about = [
        ("Authorization", bearer.as_str()),
        ("User-Agent", "agent-of-ada-in-person/1.0"),
        ("X-Forwarded-For", "203.0.113.177"),
        ("Referer", "https://where-ada-comes-from.example/page"),
        ("Accept-Language", "language-of-ada-in-person"),
        ("Cookie", "cookie-of-ada-in-person=1"),
    ];
    let body = json!({"name": "laptop"}).to_string();
    let made = send_body(process.address, &format!("POST /xrpc/{CREATE}"), &about, body.as_bytes()).await;
    assert_eq!(made.status, 200);
    let key = format!("Bearer {}", made.json()["secret"].as_str().unwrap());
    let about: Vec<(&str, &str)> =
        [("Authorization", key.as_str())].into_iter().chain(about.into_iter().skip(1)).collect();
    for line in ["GET /agent/status", "POST /agent/bug-report", "POST /xrpc/dev.cocore.devicePair.start"] {
        let about = [about.as_slice(), &[("Content-Type", "application/gzip")]].concat();
        let reply = send_body(process.address, line, &about, b"{}").await;
        assert!(reply.status < 300, "{line}: {}", reply.status);
    }
    let needles: Vec<Needle> =
        about.iter().skip(1).map(|(name, value)| Needle::new(*name, value.as_bytes())).collect();
    assert_eq!(needles.len(), 5);
    assert_seen(&needles);
    let told = process.told();
    assert_eq!(find(&needles, &scenario.path("."), &[("the log", told.as_bytes())]), [""; 0]);
    // In a log not even that.
    assert!(!told.contains(ada.did.as_str()), "{told}");

    let rows = Connection::open(scenario.path("data/account.db")).unwrap();
    let mut columns = rows
        .prepare(
            "select t.name || ': ' || group_concat(c.name, ' ' order by c.name) from sqlite_schema t, pragma_table_info(t.name) c
             where t.type = 'table' and t.name not like 'sqlite_%' group by t.name",
        )
        .unwrap();
    let found =
        columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<BTreeSet<String>>();
    let expected: BTreeSet<String> =
        COLUMNS.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(found, expected);
}
