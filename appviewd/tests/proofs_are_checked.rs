//! A record is given with the proof that its repository holds it, which anyone can check without us; whatever a host gives
//! that proves nothing is not passed on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::repo::Identity;
use appview_core::source::now;
use appview_core::sync::RecordChange;
use appview_core::sync::verify::verify_record;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fixtures::records::Machine;
use fixtures::world::Did;
use fixtures::{Ipld, KeyKind, SigningKey, Write, car, recording, records, value};
use serde_json::{Value as Json, json};
use support::daemon::Daemon;
use support::http::{Answer, ask, get};
use support::served::followed;
use support::town::{Instead, Town};
use support::{Scenario, listed, repo};

const KEY: &str = "3jzfcijpj2z2a";
const OTHER: &str = "3jzfcijpj2z2b";

fn provider(key: &str, number: u64) -> Write {
    Write::create(records::PROVIDER, key, records::provider(&Machine::new(number), 0))
}

/// A town with an account that has a few records, followed by a daemon.
struct Case {
    town: Town,
    did: Did,
    daemon: Daemon,
    _scenario: Scenario,
}

impl Case {
    async fn new() -> Self {
        let (town, scenario) = (Town::start().await, Scenario::empty());
        let did = town.account();
        // A tree of several nodes, so that there is a way to go.
        let key = |letter: char| format!("3jzfcijpj2y2{letter}");
        town.commit(&did, ('a'..='z').zip(0..).map(|(letter, at)| provider(&key(letter), at)).collect());
        town.commit(&did, vec![provider(KEY, 100), provider(OTHER, 101)]);
        let daemon = town.followed(&scenario, &[]).await;
        Self { town, did, daemon, _scenario: scenario }
    }

    fn uri(&self) -> String {
        format!("at://{}/{}/{KEY}", self.did, records::PROVIDER)
    }

    async fn ask(&self, query: &str) -> Answer {
        let path = format!("/xrpc/dev.cocore.appview.getRecord?uri={}{query}", self.uri());
        ask(self.daemon.address, "GET", &path).await
    }

    fn path(&self) -> String {
        format!("{}/{KEY}", records::PROVIDER)
    }
}

/// The same proof, its commit signed by somebody else.
fn forged(proof: &[u8], forger: &SigningKey) -> Vec<u8> {
    let car::Car { roots, blocks } = car::read(proof);
    let (commit, rest) = blocks.split_first().unwrap();
    assert_eq!(roots, [commit.0], "the commit comes first");
    let Ipld::Map(mut commit) = value::decode(&commit.1) else { panic!("a commit is a map") };
    commit.remove("sig").unwrap();
    let signature = forger.sign(&value::encode(&commit));
    commit.insert("sig".to_owned(), Ipld::Bytes(signature));
    let commit = value::encode(&commit);
    let cid = value::cid_of(&commit);
    let rest = rest.iter().map(|(cid, block)| (*cid, &**block));
    car::write(&[cid], [(cid, &*commit)].into_iter().chain(rest))
}

fn car(answer: &Json) -> Vec<u8> {
    STANDARD_NO_PAD.decode(answer["proof"]["car"]["$bytes"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_what_the_host_signed_and_is_asked_for_once() {
    let case = Case::new().await;
    let plain = case.ask("").await;
    assert_eq!((plain.status, &plain.body["verdict"]), (200, &json!("valid")), "{}", plain.body);
    assert_eq!(plain.body["record"]["uri"], json!(case.uri()));
    assert_eq!(plain.body.get("proof"), None);
    assert_eq!(case.town.proofs(), 0, "nobody is asked without need");

    let proven = case.ask("&proof=true").await;
    assert_eq!(proven.status, 200, "{}", proven.body);
    assert_eq!(proven.body["record"], plain.body["record"]);
    assert_eq!(proven.body["proof"]["key"], json!(case.town.key(&case.did)));
    let car = self::car(&proven.body);
    // By a signer and a tree that share no code with ours …
    assert_eq!(car, case.town.proof(&case.did, &case.path()));
    // … and by what anyone has who has this library, the DID document and nothing else.
    let document = get(case.town.address(), &format!("/{}", case.did)).await;
    let did = case.did.parse().unwrap();
    let identity = Identity::from_document(&did, &document).unwrap();
    let verified = verify_record(&car, &case.path().parse().unwrap(), &identity, now()).unwrap();
    let RecordChange::Put { cid, .. } = verified.change() else { panic!("{:?}", verified.change()) };
    assert_eq!(json!(cid.to_string()), plain.body["record"]["cid"]);
    assert_eq!(json!(verified.head().rev.to_string()), proven.body["proof"]["rev"]);

    let again = case.ask("&proof=true&x=another-url").await;
    assert_eq!((again.status, again.body), (200, proven.body));
    assert_eq!(case.town.proofs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_nothing_is_not_passed_on() {
    let case = Case::new().await;
    let forger = SigningKey::generate(KeyKind::K256, &mut fixtures::seed::Seed::new(9));
    let honest = case.town.proof(&case.did, &case.path());
    let mut flipped = honest.clone();
    let last = flipped.len() - 40;
    flipped[last] ^= 1;
    for (instead, told) in [
        (Instead::Error("RepoNotFound"), "ProofUnavailable"),
        (Instead::Error("InternalServerError"), "ProofUnavailable"),
        (Instead::Bytes(Vec::new()), "ProofUnavailable"),
        (Instead::Bytes(b"no car at all".to_vec()), "ProofUnavailable"),
        (Instead::Bytes(flipped), "ProofUnavailable"),
        (Instead::Bytes(honest[..honest.len() / 2].to_vec()), "ProofUnavailable"),
        (Instead::Bytes(forged(&honest, &forger)), "ProofUnavailable"),
        (
            Instead::Bytes(case.town.proof(&case.did, &format!("{}/{OTHER}", records::PROVIDER))),
            "ProofUnavailable",
        ),
    ] {
        case.town.give_instead(Some(instead));
        let refused = case.ask("&proof=true").await;
        assert_eq!((refused.status, &refused.body["error"]), (502, &json!(told)), "{}", refused.body);
        // The record itself was proven when it was taken in.
        assert_eq!(case.ask("").await.status, 200);
    }
    case.town.give_instead(None);
    assert_eq!(case.ask("&proof=true").await.status, 200, "no failure is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_gone_on_is_told_apart_from_one_that_cannot_be_asked() {
    let case = Case::new().await;
    case.town.commit_silently(
        &case.did,
        vec![Write::update(records::PROVIDER, KEY, records::provider(&Machine::new(10), 0))],
    );
    let differs = case.ask("&proof=true").await;
    assert_eq!((differs.status, &differs.body["error"]), (502, &json!("ProofDiffers")), "{}", differs.body);
    case.town.commit_silently(&case.did, vec![Write::delete(records::PROVIDER, KEY)]);
    let differs = case.ask("&proof=true").await;
    assert_eq!((differs.status, &differs.body["error"]), (502, &json!("ProofDiffers")), "{}", differs.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_index_holds_is_asked_for() {
    let case = Case::new().await;
    let get_record = |uri: &str| format!("/xrpc/dev.cocore.appview.getRecord?proof=true&uri={uri}");
    for (uri, status, name) in [
        (format!("at://{}/{}/3jzfcijpj2zzz", case.did, records::PROVIDER), 404, "NotFound"),
        ("at://did:web:nobody.example/dev.cocore.compute.provider/3jzfcijpj2z2a".to_owned(), 404, "NotFound"),
        (format!("at://alice.example/{}/{KEY}", records::PROVIDER), 404, "NotFound"),
        (format!("at://{}/{}", case.did, records::PROVIDER), 400, "InvalidRequest"),
        ("nonsense".to_owned(), 400, "InvalidRequest"),
        (String::new(), 400, "InvalidRequest"),
    ] {
        let answer = ask(case.daemon.address, "GET", &get_record(&uri)).await;
        assert_eq!((answer.status, &answer.body["error"]), (status, &json!(name)), "{uri}: {}", answer.body);
    }
    assert_eq!(case.town.proofs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_files_stand_in_for_the_network_they_prove_what_they_hold() {
    let (scenario, _relay, daemon) = followed().await;
    let (plc, mut proven) = (recording::plc(), 0);
    for (uri, record) in listed() {
        let path = format!("/xrpc/dev.cocore.appview.getRecord?proof=true&uri={uri}");
        let answer = ask(daemon.address, "GET", &path).await;
        assert_eq!(answer.status, 200, "{uri}: {}", answer.body);
        let document = &plc[repo(&uri)];
        let identity =
            Identity::from_document(&repo(&uri).parse().unwrap(), &document["didDocument"]).unwrap();
        let path = uri.splitn(4, '/').nth(3).unwrap().parse().unwrap();
        let verified = verify_record(&car(&answer.body), &path, &identity, now()).unwrap();
        let RecordChange::Put { cid, .. } = verified.change() else { panic!("{:?}", verified.change()) };
        assert_eq!(cid.to_string(), record.cid);
        proven += 1;
    }
    assert!(proven > 100, "{proven}");
    // What files do not hold they do not prove.
    let uri = listed().into_keys().next().unwrap();
    std::fs::remove_dir_all(scenario.path("repos")).unwrap();
    let path = format!("/xrpc/dev.cocore.appview.getRecord?x=another-url&proof=true&uri={uri}");
    assert_eq!(ask(daemon.address, "GET", &path).await.status, 200, "it is kept");
    daemon.stop().await;
}
