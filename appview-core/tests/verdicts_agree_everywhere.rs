//! Equal records lead to equal verdicts: in one index and in another, in whatever order they came, in a bundle of either.
//!
//! The records are those of published cases, see [`fixtures::shared_folder`], signed into repositories of a made-up network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod network;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use appview_core::index::IndexReader;
use appview_core::sync::{Change, Hosting};
use appview_core::syntax::AtUri;
use appview_core::trust::{
    Bundle, Code, Evidence, Finding, Instant, Profile, Terms, verify_receipt, verify_settlement,
};
use fixtures::{KeyKind, Write, value};
use network::{Network, Scratch, did};
use serde_json::Value as Json;
use verdict::deal::{Deal, REQUESTER, at};
use verdict::{cases, evidence, instant, terms, text, vectors};

/// What is said of a case's record: a verdict of either kind, as it is told.
fn say(evidence: &Evidence, uri: &str, terms: &Terms, now: Instant) -> Json {
    let profile = Profile::Strict;
    if uri.contains("settlement") {
        serde_json::to_value(verify_settlement(evidence, uri, terms, profile, now).unwrap()).unwrap()
    } else {
        serde_json::to_value(verify_receipt(evidence, uri, terms, profile, now).unwrap()).unwrap()
    }
}

fn gather(reader: &IndexReader, uri: &str) -> Evidence {
    let parsed: AtUri = uri.parse().unwrap();
    if uri.contains("settlement") {
        reader.settlement_evidence(&parsed).unwrap()
    } else {
        reader.receipt_evidence(&parsed).unwrap()
    }
}

/// Whether all records of a case can stand in repositories: their CIDs are their own.
fn is_possible(case: &Json, context: &Json) -> bool {
    let evidence = evidence(case, context);
    evidence.exhibits().iter().all(|exhibit| exhibit.cid().addresses(exhibit.block()))
}

/// A network in which all of these cases' records are: told record by record, and repository by repository backwards.
fn networks(cases: &[&Json]) -> (Vec<Change>, Vec<Change>) {
    let mut network = Network::new(90);
    let mut forwards = Vec::new();
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    for record in cases.iter().flat_map(|case| case["records"].as_array().unwrap()) {
        let uri: AtUri = text(record, "uri").parse().unwrap();
        if written.insert(uri.to_string(), text(record, "cid").to_owned()).is_some() {
            continue;
        }
        let repo = uri.authority();
        if !network.world.dids().any(|did| **did == *repo) {
            network.world.create_account_of(KeyKind::K256, repo);
        }
        let block = value::encode(&value::from_json(&record["body"]));
        let write = Write::create_block(uri.collection().unwrap(), uri.rkey().unwrap(), block);
        forwards.push(network.commit(repo, vec![write]));
    }
    let dids: BTreeSet<String> = network.world.dids().map(ToString::to_string).collect();
    let backwards = dids.iter().rev().map(|did| network.repo(did)).collect();
    (forwards, backwards)
}

#[test]
fn two_indexes_and_their_bundles_say_what_the_published_evidence_says() {
    for (name, list, member) in
        [("receipts.json", "cases", "receiptUri"), ("settlements.json", "settlements", "settlementUri")]
    {
        let Some(file) = vectors(name) else { return };
        let context = &file["context"];
        let terms = terms(context);
        let all = cases(&file, list);
        let answered = |case: &&Json| case["expected"]["status"] != 404 && case["expected"]["status"] != 400;
        let possible: Vec<&Json> =
            all.iter().filter(answered).filter(|case| is_possible(case, context)).collect();
        let (forwards, backwards) = networks(&possible);
        let scratches = [Scratch::told(&forwards), Scratch::told(&backwards)];
        let readers = scratches.each_ref().map(Scratch::reader);
        for case in &possible {
            let (uri, now) = (text(case, member), instant(case, context));
            let published = evidence(case, context);
            let said = say(&published, uri, &terms, now);
            for reader in &readers {
                let mut gathered = gather(reader, uri);
                for (did, document) in published.documents() {
                    gathered.put_document(did.clone(), document.cloned());
                }
                assert_eq!(say(&gathered, uri, &terms, now), said, "{}", case["id"]);
                let bundle = Bundle { about: uri.parse().unwrap(), evidence: gathered };
                for file in [bundle.to_json().into_bytes(), bundle.to_car()] {
                    let read = Bundle::read(&file).unwrap();
                    assert_eq!(read, bundle, "{}", case["id"]);
                    assert_eq!(say(&read.evidence, uri, &terms, now), said, "{}", case["id"]);
                }
            }
        }
        println!("{name}: {} of {} cases through two indexes and four bundles", possible.len(), all.len());
        assert!(possible.len() * 10 > all.len() * 9, "nearly all can stand in repositories");
    }
}

#[test]
fn an_index_finds_the_company_of_a_receipt() {
    let nonce = "0123456789abcdef0123456789abcdef";
    let twice = |deal: &mut Deal| drop(deal.second_receipt(None));
    let same_nonce = |deal: &mut Deal| {
        deal.sign();
        let mut other = deal.job.clone();
        other["model"] = "another".into();
        deal.others.push((at(REQUESTER, "job", "3mtiuzelsiy2a"), other));
    };
    let witnessed_twice = |deal: &mut Deal| {
        deal.is_witnessed = true;
        drop(deal.second_receipt(Some(nonce)));
    };
    type Change<'c> = &'c dyn Fn(&mut Deal);
    let changes: [(Change<'_>, &[Code]); 4] = [
        (&|_| (), &[]),
        (&twice, &[Code::XDuplicateJobReceipt]),
        (&same_nonce, &[Code::XJobNonceReused]),
        (&witnessed_twice, &[Code::XDuplicateJobReceipt, Code::XWitnessNonceReused]),
    ];
    for (change, expected) in changes {
        let mut deal = Deal::new();
        change(&mut deal);
        let whole = deal.evidence();
        let mut network = Network::new(91);
        let mut told = Vec::new();
        for exhibit in whole.exhibits() {
            if !network.world.dids().any(|did| **did == *exhibit.repo()) {
                network.world.create_account_of(KeyKind::K256, exhibit.repo());
            }
            let rkey = exhibit.uri().rkey().unwrap();
            let write = Write::create_block(exhibit.collection(), rkey, exhibit.block().to_vec());
            told.push(network.commit(exhibit.repo(), vec![write]));
        }
        let mut gathered = gather(&Scratch::told(&told).reader(), &Deal::receipt_uri());
        for (did, document) in whole.documents() {
            gathered.put_document(did.clone(), document.cloned());
        }
        let verdict = verify_receipt(
            &gathered,
            &Deal::receipt_uri(),
            &verdict::deal::terms(),
            Profile::Strict,
            verdict::deal::now(),
        );
        assert_eq!(codes(&verdict.unwrap().findings), expected);
    }
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_hidden_account_is_told_of_where_its_records_are_not_needed() {
    let Some(file) = vectors("receipts.json") else { return };
    let context = &file["context"];
    let case = cases(&file, "cases")
        .iter()
        .find(|case| case["id"] == "extension/requester-is-not-job-owner")
        .unwrap();
    let (mut forwards, _) = networks(&[case]);
    let uri = text(case, "receiptUri");
    let (terms, now) = (terms(context), instant(case, context));
    let requester = case["records"][0]["body"]["requester"].as_str().unwrap();
    let told = |changes: &[Change]| {
        let scratch = Scratch::told(changes);
        let evidence = scratch.reader().receipt_evidence(&uri.parse().unwrap()).unwrap();
        verify_receipt(&evidence, uri, &terms, Profile::Advise, now)
    };
    assert_eq!(codes(&told(&forwards).unwrap().findings), [Code::XRequesterNotJobOwner]);
    forwards.push(Change::Hosting { did: did(requester), hosting: Hosting::Deactivated });
    assert_eq!(
        codes(&told(&forwards).unwrap().findings),
        [Code::XRequesterNotJobOwner, Code::XOwnerTombstoned]
    );
    // Whose job it is must be there, or there is nothing to compare the receipt with.
    let owner = case["records"][1]["repo"].as_str().unwrap();
    forwards.push(Change::Hosting { did: did(owner), hosting: Hosting::Deactivated });
    assert!(told(&forwards).is_err());
}
