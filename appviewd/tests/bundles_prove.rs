//! A bundle carries proofs of its records, and whoever has the documents of their owners from elsewhere can check them: with no
//! index, no network, and no word of the file's to believe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;

use fixtures::records::{self, Machine, Served};
use fixtures::world::Did;
use fixtures::{StrongRef, Write};
use serde_json::{Value as Json, json};
use support::Scenario;
use support::daemon::Daemon;
use support::http::get;
use support::town::{Instead, Town};

const KEY: &str = "3jzfcijpj2z2a";

/// Two accounts that did business, followed by a daemon.
struct Case {
    town: Town,
    dids: [Did; 2],
    receipt: String,
    scenario: Scenario,
    _daemon: Daemon,
}

impl Case {
    async fn new() -> Self {
        let (town, scenario) = (Town::start().await, Scenario::empty());
        let dids = [town.account(), town.account()];
        let [provider, requester] = &dids;
        let now = 1_700_000_000_000_000;
        let machine = Machine::new(1);
        let place = |did: &Did, nsid: &str| {
            let path = format!("{nsid}/{KEY}");
            let records = town.records();
            let uri = format!("at://{did}/{path}");
            let held = records.iter().find(|record| record.uri == uri).unwrap();
            StrongRef { uri, cid: held.cid.parse().unwrap() }
        };
        let create = |nsid: &'static str, record| vec![Write::create(nsid, KEY, record)];
        town.commit(
            requester,
            create(
                records::PAYMENT_AUTHORIZATION,
                records::payment_authorization(1, "did:web:exchange.example", now),
            ),
        );
        let authorization = place(requester, records::PAYMENT_AUTHORIZATION);
        town.commit(requester, create(records::JOB, records::job(1, &authorization, now)));
        town.commit(provider, create(records::PROVIDER, records::provider(&machine, now)));
        town.commit(provider, create(records::ATTESTATION, records::attestation(&machine, now)));
        let served = Served {
            job: place(requester, records::JOB),
            requester,
            attestation: place(provider, records::ATTESTATION),
            machine: &machine,
        };
        town.commit(provider, create(records::RECEIPT, records::receipt(1, &served, now)));
        let receipt = place(provider, records::RECEIPT).uri;
        let daemon = town.followed(&scenario, &[]).await;
        let case = Self { town, dids, receipt, scenario, _daemon: daemon };
        for (at, did) in case.dids.iter().enumerate() {
            let document = get(case.town.address(), &format!("/{did}")).await;
            fs::write(case.scenario.path(format!("{at}.json")), document.to_string()).unwrap();
        }
        case
    }

    /// Writes a bundle, and returns what is told of it.
    async fn bundle(&self, file: &str) -> String {
        let http = self.town.http();
        let arguments = ["bundle", &self.receipt, "--output", file, "--plc", &http, "--allow-private-hosts"];
        let mut command = self.scenario.command(&arguments);
        // The hosts are of this process, and must go on.
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// How each record is told to stand when a bundle is judged somewhere else, and what is told beside.
    fn footing(&self, file: &str, documents: &[&str]) -> (Vec<(String, String)>, String) {
        let elsewhere = Scenario::empty();
        for file in [file, "0.json", "1.json"] {
            fs::copy(self.scenario.path(file), elsewhere.path(file)).unwrap();
        }
        let mut arguments = vec!["verify", "receipt", &self.receipt, "--json", "--bundle", file];
        documents.iter().for_each(|document| arguments.extend(["--document", document]));
        let output = elsewhere.run(&arguments);
        let verdict: Json = serde_json::from_slice(&output.stdout).unwrap();
        let judged = verdict["judged"].as_array().unwrap().iter();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        let footing = judged.map(|judged| (text(&judged["role"]), text(&judged["footing"]))).collect();
        (footing, String::from_utf8(output.stderr).unwrap())
    }
}

fn all(told: &[&str; 4]) -> Vec<(String, String)> {
    let roles = ["receipt", "job", "attestation", "provider"];
    roles.iter().zip(told).map(|(role, told)| ((*role).to_owned(), (*told).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_proven_by_its_repositorys_key_and_no_file_says_which_that_is() {
    let case = Case::new().await;
    for file in ["bundle.json", "bundle.car"] {
        assert!(case.bundle(file).await.ends_with("4 records, 4 proofs, 0 documents\n"));
        for (documents, footing) in [
            (&[][..], ["claimed"; 4]),
            (&["0.json"], ["proven", "claimed", "proven", "proven"]),
            (&["1.json"], ["claimed", "proven", "claimed", "claimed"]),
            (&["0.json", "1.json"], ["proven"; 4]),
        ] {
            assert_eq!(case.footing(file, documents), (all(&footing), String::new()), "{documents:?}");
        }
    }

    // A proof of one record in the place of another's, and a key of somebody else.
    let path = case.scenario.path("bundle.json");
    let bundle: Json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let job = format!("at://{}/{}/{KEY}", case.dids[1], records::JOB);
    let mut swapped = bundle.clone();
    swapped["proofs"][&job] = bundle["proofs"][&case.receipt].clone();
    fs::write(case.scenario.path("swapped.json"), swapped.to_string()).unwrap();
    let (footing, told) = case.footing("swapped.json", &["0.json", "1.json"]);
    assert_eq!(footing, all(&["proven", "claimed", "proven", "proven"]));
    assert!(told.starts_with(&format!("appviewd: the proof of {job} does not hold: ")), "{told}");

    let mut changed = bundle.clone();
    let records = changed["records"].as_array_mut().unwrap();
    records.iter_mut().find(|record| record["uri"] == job).unwrap()["body"]["maxTokensOut"] = json!(1);
    fs::write(case.scenario.path("changed.json"), changed.to_string()).unwrap();
    let (footing, told) = case.footing("changed.json", &["0.json", "1.json"]);
    assert_eq!(footing, all(&["proven", "claimed", "proven", "proven"]));
    assert!(told.ends_with("it proves something else than the record that is here\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_not_to_be_had_is_told_and_left_out() {
    let case = Case::new().await;
    case.town.give_instead(Some(Instead::Bytes(b"no car at all".to_vec())));
    let told = case.bundle("bundle.json").await;
    assert!(told.contains(&format!("appviewd: no proof of {}: ", case.receipt)), "{told}");
    assert!(told.ends_with("4 records, 0 proofs, 0 documents\n"), "{told}");
    assert_eq!(case.footing("bundle.json", &["0.json", "1.json"]).0, all(&["claimed"; 4]));
}
