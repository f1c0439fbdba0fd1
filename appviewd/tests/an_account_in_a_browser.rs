//! An account lived through in a real browser, at the official PDS: signing in, keys, the wipe as it goes, and the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use support::Scenario;
use support::browser::{chromium, pictures};
use support::daemon::Daemon;
use support::exchange::friend;
use support::network::Network;
use support::npm;
use support::people::SERVICE;
use support::service::SESSION_KEY;

const FRIEND: &str = "dev.cocore.account.friend";
/// A kind that nobody knew when she signed in, so that her server lets nobody delete it.
const UNKNOWN: &str = "dev.cocore.unknown.thing";
/// More than one commit deletes.
const RECORDS: usize = 450;

/// Waits until the index holds so many records.
async fn until_indexed(scenario: &Scenario, wanted: usize) {
    let indexed = async {
        while scenario.succeed(&["export"]).lines().count() != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), indexed).await.expect("the index follows the PDS");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, and the official PDS, playwright-core and axe-core from npm: just browser"]
async fn somebody_lives_through_an_account_and_ends_it() {
    let (Some(chromium), Some(scripts)) = (chromium(), npm::installed("browser")) else { return };
    let Some(mut network) = Network::start(1) else { return };
    let ada = network.account(0, "ada");
    let scenario = Scenario::empty();
    std::fs::write(scenario.path("session-key"), SESSION_KEY).unwrap();
    std::fs::set_permissions(scenario.path("session-key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut arguments = vec!["--plc", &network.plc, "--relay", &network.streams[0], "--service-did", SERVICE];
    arguments.extend(["--allow-private-hosts", "--session-key-file", "session-key", "--loopback-sign-in"]);
    arguments.extend(["--operator", "Example Co-op", "--contact", "privacy@appview.example"]);
    let daemon = Daemon::serve(&scenario, &arguments);
    daemon.hear("connected");
    let create = |at: usize| json!({"action": "create", "collection": FRIEND, "rkey": format!("r-{at}"), "value": friend("did:web:a.example")});
    for batch in 0..RECORDS.div_ceil(150) {
        network.apply(&ada, (batch * 150..((batch + 1) * 150).min(RECORDS)).map(create).collect());
    }
    let unknown = network.create(&ada, &json!({"$type": UNKNOWN, "text": "hello"}));
    until_indexed(&scenario, RECORDS + 1).await;

    let person = json!({"did": ada, "name": "ada.test", "records": RECORDS + 1, "unknown": UNKNOWN});
    let (origin, folder) = (format!("http://{}", daemon.address), pictures());
    let lived = tokio::task::spawn_blocking(move || {
        let mut live = Command::new("node");
        live.arg("account.mjs").arg(chromium).arg(origin).arg(folder).arg(person.to_string());
        live.current_dir(scripts).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut live = live.spawn().unwrap();
        let (mut answers, mut found) = (live.stdin.take().unwrap(), Vec::new());
        for line in BufReader::new(live.stdout.take().unwrap()).lines().map(Result::unwrap) {
            let told: Json = serde_json::from_str(&line).unwrap();
            let answer = match &told["ask"] {
                Json::Null => {
                    found.push(line);
                    continue;
                }
                asked if asked["approve"].is_string() => {
                    network.tell(&json!({"do": "approve", "did": ada, "url": asked["approve"]}))
                }
                _ => {
                    network.delete(&ada, UNKNOWN, &unknown);
                    Json::Null
                }
            };
            writeln!(answers, "{answer}").unwrap();
        }
        let mut errors = String::new();
        live.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(live.wait().unwrap().success(), "{errors}{found:#?}");
        assert_eq!(network.listed().len(), 0, "nothing is left at her PDS");
        found
    });
    assert_eq!(lived.await.unwrap(), [""; 0], "what is wrong with what");
    assert_eq!(scenario.succeed(&["export"]), "", "nothing is left in the index");
}
