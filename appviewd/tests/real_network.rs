//! The official PDS and PLC directory from npm, on the loopback: whatever happens there, the index is what the hosts
//! list.
//!
//! Needs Node 20, npm, a C++ compiler, and a minute for the first install: `just real-network` and `.ci/run` ask for it,
//! `cargo test` alone does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use fixtures::recording::Record;
use serde_json::{Value as Json, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use support::daemon::Daemon;
use support::http::get;
use support::network::Network;
use support::{Scenario, fingerprint, repo};

/// How long the daemon may need to catch up before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at it: Node and the daemon are to have the machine.
const PACE: Duration = Duration::from_millis(20);

const FRIEND: &str = "dev.cocore.account.friend";

fn friend(subject: &str) -> Json {
    json!({"$type": FRIEND, "subject": subject, "createdAt": "2026-01-01T00:00:00.000Z"})
}

fn profile(name: &str) -> Json {
    json!({"$type": "dev.cocore.account.profile", "displayName": name, "createdAt": "2026-01-01T00:00:00.000Z"})
}

/// A record that is nobody's business here.
fn post(text: &str) -> Json {
    json!({"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00.000Z"})
}

fn create(rkey: &str, value: &Json) -> Json {
    json!({"action": "create", "collection": value["$type"], "rkey": rkey, "value": value})
}

fn update(rkey: &str, value: &Json) -> Json {
    json!({"action": "update", "collection": value["$type"], "rkey": rkey, "value": value})
}

fn delete(rkey: &str, collection: &str) -> Json {
    json!({"action": "delete", "collection": collection, "rkey": rkey})
}

/// The keys of a long repository: as many as one commit may write, in an order that is not theirs.
fn keys() -> impl Iterator<Item = String> {
    (0..200).map(|n| format!("k{:03}", n * 77 % 200))
}

/// Who lives in the network, by name.
type People = BTreeMap<&'static str, String>;

/// Before anyone follows.
fn dawn(network: &mut Network) -> People {
    let mut people = People::new();
    for (name, host) in [("ada", 0), ("boris", 0), ("chen", 1), ("dina", 1)] {
        let did = network.account(host, name);
        network.put(&did, "self", &profile(name));
        network.create(&did, &friend("did:web:early.example"));
        people.insert(name, did);
    }
    // Has nothing in scope.
    people.insert("casual", network.account(0, "casual"));
    network.create(&people["casual"], &post("good morning"));
    people
}

/// All that can happen to records and accounts, while someone follows.
fn day(network: &mut Network, people: &mut People) {
    let names =
        [("emil", 0), ("fay", 0), ("gus", 0), ("hana", 1), ("ivo", 1), ("jun", 0), ("kim", 1), ("lev", 0)];
    for (name, host) in names {
        let did = network.account(host, name);
        network.put(&did, "self", &profile(name));
        people.insert(name, did);
    }
    let of = |name: &str| people[name].clone();

    // Records of every shape that JSON and the protocol allow.
    let ada = &of("ada");
    network.create(ada, &json!({
        "$type": "dev.cocore.future.thing", "text": "\u{0} \" \\ \u{7f} é 🜁 \u{2028}", "least": -9_007_199_254_740_991_i64,
        "most": 9_007_199_254_740_991_i64, "nothing": null, "yes": true, "list": [[], {}, [0, -1, 23, 24, 255, 256, 65_536]],
        "bytes": {"$bytes": "AAECAw"}, "link": {"$link": "bafyreifnbw4lj6hpvyp3tzrb6zqmmgw4ljsiif67locmy4jxrmg7m72uyu"},
        "": "", "aa": 1, "b": 2,
    }));
    network.create(ada, &json!({"$type": FRIEND, "subject": 7}));
    network.put(ada, "~a:b_c-d.e", &friend("did:web:key.example"));
    network.create(ada, &json!({"$type": "dev.cocorex.thing", "near": "by name only"}));
    network.apply(ada, keys().map(|key| create(&key, &friend("did:web:many.example"))).collect());
    network.apply(ada, keys().step_by(2).map(|key| update(&key, &friend("did:web:more.example"))).collect());
    network.apply(ada, keys().step_by(3).map(|key| delete(&key, FRIEND)).collect());

    // One record through its life; what changes nothing makes no event.
    let boris = &of("boris");
    let key = &network.create(boris, &friend("did:web:first.example"));
    network.put(boris, key, &friend("did:web:second.example"));
    network.put(boris, key, &friend("did:web:second.example"));
    network.create(boris, &post("in between"));
    network.delete(boris, FRIEND, key);
    network.delete(boris, FRIEND, key);
    network.put(boris, key, &friend("did:web:third.example"));

    // One commit over several collections, and one with several operations on one key.
    let chen = &of("chen");
    network.apply(
        chen,
        vec![
            create("a", &friend("did:web:a.example")),
            update("self", &profile("Chen C.")),
            create("3jzfcijpj2z2a", &post("and elsewhere")),
        ],
    );
    network.apply(
        chen,
        vec![
            create("b", &friend("did:web:gone.example")),
            update("b", &friend("did:web:b.example")),
            create("c", &friend("did:web:c.example")),
            delete("c", FRIEND),
            delete("a", FRIEND),
            create("a", &friend("did:web:again.example")),
        ],
    );

    // Another handle, and another key: announced in time, and only after it has signed.
    let dina = &of("dina");
    network.tell(&json!({"do": "updateHandle", "did": dina, "handle": "dina-new.test"}));
    network.tell_of("newKey", dina);
    network.tell_of("publishKey", dina);
    network.put(dina, "self", &profile("Dina of the second key"));
    network.tell_of("newKey", dina);
    network.put(dina, "self", &profile("Dina of the third key"));
    network.create(dina, &friend("did:web:late.example"));
    network.tell_of("publishKey", dina);
    network.create(dina, &friend("did:web:later.example"));

    // Away and back, and away for good; by the owner's wish and by the operator's.
    for (name, commands) in [
        ("emil", ["deactivate", "activate"].as_slice()),
        ("fay", &["deactivate"]),
        ("gus", &["takedown", "restore"]),
        ("hana", &["takedown"]),
        ("ivo", &["deactivate", "takedown", "restore"]),
        ("jun", &["deleteAccount"]),
        ("kim", &["deleteAccount", "tombstone"]),
    ] {
        for command in commands {
            network.tell_of(command, &of(name));
        }
    }
    for name in ["emil", "gus"] {
        network.create(&of(name), &friend("did:web:back.example"));
    }

    // To another host: one goes on writing there, one does not.
    for name in ["boris", "lev"] {
        network.create(&of(name), &friend("did:web:leaving.example"));
        network.tell(&json!({"do": "migrate", "did": of(name), "host": 1}));
    }
    network.create(boris, &friend("did:web:arrived.example"));
    network.put(boris, "self", &profile("Boris elsewhere"));
}

/// What goes on while nobody follows: some of everything again, to others.
fn night(network: &mut Network, people: &mut People) {
    let of = |name: &str| people[name].clone();
    let ada = &of("ada");
    network.apply(ada, keys().skip(1).step_by(3).map(|key| delete(&key, FRIEND)).collect());
    network.create(ada, &friend("did:web:night.example"));
    network.tell_of("newKey", &of("chen"));
    network.tell_of("publishKey", &of("chen"));
    network.put(&of("chen"), "self", &profile("Chen of the second key"));
    network.tell_of("activate", &of("fay"));
    network.create(&of("fay"), &friend("did:web:morning.example"));
    network.tell_of("restore", &of("hana"));
    network.tell_of("activate", &of("ivo"));
    network.tell_of("deactivate", &of("dina"));
    network.tell_of("takedown", &of("gus"));
    network.tell_of("deleteAccount", &of("emil"));
    // All that there was.
    network.delete(&of("lev"), "dev.cocore.account.profile", "self");
    network.tell(&json!({"do": "migrate", "did": of("ada"), "host": 1}));
    network.create(ada, &friend("did:web:moved.example"));
    for (name, host) in [("mia", 0), ("nils", 1)] {
        let did = network.account(host, name);
        network.put(&did, "self", &profile(name));
        people.insert(name, did);
    }
    // Was known to have nothing, and is not known to have something.
    network.create(&people["casual"], &friend("did:web:why-not.example"));
}

/// Records come and go quickly, on both hosts.
fn rush(network: &mut Network, people: &People, round: usize) {
    for n in 0..10 {
        for name in ["ada", "boris", "casual"] {
            let key = network.create(&people[name], &friend(&format!("did:web:rush-{round}-{n}.example")));
            if n % 3 == 0 {
                network.delete(&people[name], FRIEND, &key);
            }
        }
    }
}

/// An index, and the arguments for a daemon that keeps it.
struct Follower {
    scenario: Scenario,
    arguments: Vec<String>,
}

impl Follower {
    fn of(network: &Network) -> Self {
        let mut arguments = vec!["--plc".to_owned(), network.plc.clone(), "--allow-private-hosts".to_owned()];
        for stream in &network.streams {
            arguments.extend(["--relay".to_owned(), stream.clone()]);
        }
        Self { scenario: Scenario::empty(), arguments }
    }

    fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Starts the daemon, and waits until it hears every host: a stream without a cursor tells nothing from before.
    fn start(&self) -> Daemon {
        let daemon = Daemon::serve(&self.scenario, &self.arguments());
        for _ in self.arguments.iter().filter(|argument| *argument == "--relay") {
            daemon.hear("connected");
        }
        daemon
    }

    /// What the index holds, as it is exported: CID and JSON by URI.
    fn exported(&self) -> BTreeMap<String, (String, Json)> {
        let lines = self.scenario.succeed(&["export"]);
        let records = lines.lines().map(|line| {
            let mut record: Json = serde_json::from_str(line).unwrap();
            let text = |member: &str| record[member].as_str().unwrap().to_owned();
            (text("uri"), (text("cid"), record["body"].take()))
        });
        records.collect()
    }

    fn fingerprint(&self) -> String {
        self.scenario.succeed(&["fingerprint"]).trim().to_owned()
    }

    /// Waits until the index is what the hosts list, and holds it against them in every other way.
    async fn equals(&self, network: &mut Network) -> BTreeMap<String, Record> {
        let listed = network.listed();
        let expected: BTreeMap<_, _> =
            listed.values().map(|r| (r.uri.clone(), (r.cid.clone(), r.value.clone()))).collect();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let equal = async {
            while self.exported() != expected {
                pace.tick().await;
            }
        };
        if timeout(PATIENCE, equal).await.is_err() {
            let exported = self.exported();
            let differs = |(uri, record): &(&String, &(String, Json))| exported.get(*uri) != Some(*record);
            let lacking: Vec<_> = expected.iter().filter(differs).collect();
            let excess: Vec<_> = exported.keys().filter(|uri| !expected.contains_key(*uri)).collect();
            panic!(
                "the hosts list, and the index lacks: {lacking:#?}\nit has what they do not list: {excess:#?}"
            );
        }
        assert_eq!(self.fingerprint(), fingerprint(listed.values()));
        self.scenario.succeed(&["check"]);
        listed
    }

    /// As [`Follower::equals`], once all that the hosts have told is stored.
    async fn catches_up(&self, daemon: &Daemon, network: &mut Network) -> BTreeMap<String, Record> {
        let heads = network.heads();
        let mut pace = interval(PACE);
        let mut cursors = Json::Null;
        let stored = async {
            loop {
                cursors = get(daemon.address, "/healthz").await["cursors"].take();
                if heads.iter().all(|(stream, head)| cursors[stream] == *head) {
                    break;
                }
                pace.tick().await;
            }
        };
        let stored = timeout(PATIENCE, stored).await;
        assert!(stored.is_ok(), "the hosts have told {heads:?}, of which is stored {cursors}");
        self.equals(network).await
    }
}

/// Who has any records, of all the people.
fn shown<'p>(listed: &BTreeMap<String, Record>, people: &'p People) -> Vec<&'p str> {
    let has_any = |did: &str| listed.keys().any(|uri| repo(uri) == did);
    people.iter().filter(|(_, did)| has_any(did)).map(|(name, _)| *name).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs the official PDS from npm: just real-network"]
async fn the_index_is_what_the_hosts_list_followed_live_after_a_kill_and_from_nothing() {
    let Some(mut network) = Network::start(2) else { return };
    let mut people = dawn(&mut network);
    let follower = Follower::of(&network);
    let daemon = follower.start();
    let listed = follower.equals(&mut network).await;
    assert_eq!((listed.len(), shown(&listed, &people).len()), (8, 4));

    day(&mut network, &mut people);
    let listed = follower.catches_up(&daemon, &mut network).await;
    assert_eq!(shown(&listed, &people), ["ada", "boris", "chen", "dina", "emil", "gus", "lev"]);

    drop(daemon);
    night(&mut network, &mut people);
    let daemon = follower.start();
    let listed = follower.catches_up(&daemon, &mut network).await;
    let everyone = ["ada", "boris", "casual", "chen", "fay", "hana", "ivo", "lev", "mia", "nils"];
    assert_eq!(shown(&listed, &people), everyone);

    // Killed in the midst of it, again and again.
    let mut daemon = daemon;
    for round in 0..3 {
        rush(&mut network, &people, round);
        drop(daemon);
        rush(&mut network, &people, round + 10);
        daemon = follower.start();
    }
    follower.catches_up(&daemon, &mut network).await;

    // Whoever begins when all has happened ends with the same.
    let latecomer = Follower::of(&network);
    let _second = latecomer.start();
    latecomer.equals(&mut network).await;
    assert_eq!(latecomer.fingerprint(), follower.fingerprint());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs the official PDS from npm: just real-network"]
async fn a_rebuild_from_the_network_agrees_with_the_index_that_followed_it_or_names_who_differs() {
    let Some(mut network) = Network::start(2) else { return };
    let mut people = dawn(&mut network);
    let follower = Follower::of(&network);
    let daemon = follower.start();
    day(&mut network, &mut people);
    night(&mut network, &mut people);
    let listed = follower.catches_up(&daemon, &mut network).await;

    // Exits with 0 only if the two indexes agree.
    let rebuild = |code: i32| {
        let arguments = [vec!["rebuild", "--from", "network", "--json"], follower.arguments()].concat();
        let output = follower.scenario.run(&arguments);
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let told: Json = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["whole"], &told["swapped"]), (&json!(true), &json!(true)), "{told}");
        told
    };
    let agrees = |rebuilt: &Json, listed: &BTreeMap<String, Record>| {
        let expected = fingerprint(listed.values());
        assert_eq!((&rebuilt["fingerprint"], &rebuilt["before"]), (&json!(expected), &json!(expected)));
        assert_eq!((&rebuilt["agrees"], &rebuilt["differs"]), (&json!(true), &json!([])));
    };

    // By the daemon, which goes on with the new index; and where there is none.
    agrees(&rebuild(0), &listed);
    rush(&mut network, &people, 0);
    let listed = follower.catches_up(&daemon, &mut network).await;
    drop(daemon);
    agrees(&rebuild(0), &listed);
    follower.equals(&mut network).await;

    // What happened since is what it finds.
    network.create(&people["mia"], &friend("did:web:since.example"));
    network.tell_of("deactivate", &people["nils"]);
    let before = follower.fingerprint();
    let rebuilt = rebuild(1);
    let listed = follower.equals(&mut network).await;
    assert_eq!(rebuilt["fingerprint"], fingerprint(listed.values()));
    assert_eq!((&rebuilt["before"], &rebuilt["agrees"]), (&json!(before), &json!(false)));
    let mut differs = [people["mia"].as_str(), &people["nils"]];
    differs.sort_unstable();
    assert_eq!(rebuilt["differs"], json!(differs));
}
