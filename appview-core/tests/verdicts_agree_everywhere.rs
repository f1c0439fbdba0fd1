//! Equal records lead to equal verdicts: in one index and in another, in whatever order they came, in a bundle of either.
//!
//! The records are those of published cases, see [`fixtures::shared_folder`], signed into repositories of a made-up network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod network;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use appview_core::block::json::to_json;
use appview_core::index::IndexReader;
use appview_core::sync::{Change, Hosting};
use appview_core::syntax::AtUri;
use appview_core::trust::{
    Bundle, Code, Evidence, Finding, Footing, Instant, Profile, Terms, verify_receipt, verify_settlement,
};
use fixtures::{KeyKind, Write, records, value};
use network::{Network, Scratch, did};
use serde_json::Value as Json;
use verdict::deal::{Deal, EXCHANGE, PROVIDER, REQUESTER, at};
use verdict::{add_documents, cases, evidence, instant, terms, text, vectors};

/// What is said of a case's record: a verdict of either kind, as it is told.
fn say(evidence: &Evidence, uri: &str, terms: &Terms, now: Instant) -> Json {
    let profile = Profile::Strict;
    if uri.contains("settlement") {
        serde_json::to_value(verify_settlement(evidence, uri, terms, profile, now).unwrap()).unwrap()
    } else {
        serde_json::to_value(verify_receipt(evidence, uri, terms, profile, now).unwrap()).unwrap()
    }
}

/// A verdict without what it says of the footing of its records.
fn without_footing(mut verdict: Json) -> Json {
    verdict.as_object_mut().unwrap().remove("ok");
    let is_about_it = |check: &Json| check["rule"] == "footing" || check["check"] == "receipt-verdict";
    verdict["rules"]["checks"].as_array_mut().unwrap().retain(|check| !is_about_it(check));
    let codes = ["x-record-unproven", "x-receipt-invalid"];
    verdict["findings"].as_array_mut().unwrap().retain(|finding| !codes.contains(&text(finding, "code")));
    for judged in verdict["judged"].as_array_mut().unwrap() {
        judged.as_object_mut().unwrap().remove("footing");
    }
    verdict
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
                add_documents(&mut gathered, &published);
                assert_eq!(say(&gathered, uri, &terms, now), said, "{}", case["id"]);
                let bundle = Bundle::new(uri.parse().unwrap(), gathered);
                for file in [bundle.to_json().into_bytes(), bundle.to_car()] {
                    let read = Bundle::read(&file).unwrap().evidence;
                    // The file says what the index has, and vouches for none of it: whoever believes it says the same.
                    let mut believed = read.clone();
                    read.exhibits().iter().for_each(|held| believed.put(held.clone().on(Footing::Proven)));
                    assert_eq!(believed.exhibits(), bundle.evidence.exhibits(), "{}", case["id"]);
                    let documents =
                        published.documents().map(|(did, known)| (did.clone(), known[0].1.clone()));
                    let pinned = Terms { documents: documents.collect(), ..terms.clone() };
                    assert_eq!(say(&believed, uri, &pinned, now), said, "{}", case["id"]);
                    let unproven = say(&read, uri, &pinned, now);
                    assert_eq!(unproven["ok"], false, "{}", case["id"]);
                    assert_eq!(without_footing(unproven), without_footing(said.clone()), "{}", case["id"]);
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
        add_documents(&mut gathered, &whole);
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

/// An index that was told these records, commit by commit.
fn told(records: impl IntoIterator<Item = (String, Vec<u8>)>) -> Scratch {
    let mut network = Network::new(92);
    let mut writes: BTreeMap<String, Vec<Write>> = BTreeMap::new();
    for (uri, block) in records {
        let uri: AtUri = uri.parse().unwrap();
        let write = Write::create_block(uri.collection().unwrap(), uri.rkey().unwrap(), block);
        writes.entry(uri.authority().to_owned()).or_default().push(write);
    }
    let mut changes = Vec::new();
    for (repo, writes) in writes {
        network.world.create_account_of(KeyKind::K256, &repo);
        let mut writes = writes.into_iter().peekable();
        while writes.peek().is_some() {
            changes.push(network.commit(&repo, writes.by_ref().take(200).collect()));
        }
    }
    Scratch::told(&changes)
}

fn blocks(deal: Deal) -> Vec<(String, Vec<u8>)> {
    let evidence = deal.evidence();
    let exhibits = evidence.exhibits().iter();
    exhibits.map(|exhibit| (exhibit.uri().to_string(), exhibit.block().to_vec())).collect()
}

/// How a check came out of an index, and the codes that were found.
fn asked(scratch: &Scratch, uri: &str, check: &str) -> (String, Vec<String>) {
    let said = say(&gather(&scratch.reader(), uri), uri, &verdict::deal::terms(), verdict::deal::now());
    let checks = said["rules"]["checks"].as_array().unwrap();
    let outcome = text(checks.iter().find(|asked| asked["check"] == check).unwrap(), "outcome").to_owned();
    let findings = said["findings"].as_array().unwrap().iter();
    (outcome, findings.map(|finding| text(finding, "code").to_owned()).collect())
}

/// The `number`th key after all of a deal's.
fn key(number: usize) -> String {
    let digit = |at: usize| char::from(b"234567abcdefghijklmnopqrstuvwxyz"[at % 32]);
    format!("3mtjaaaaaa{}{}{}", digit(number / 1024), digit(number / 32), digit(number))
}

#[test]
fn a_session_is_added_up_however_many_charged_it() {
    // What is charged beside: 700 times 10, of which no verdict looks at more than 512.
    for (budget, outcome) in [(7_120, "passed"), (7_119, "failed")] {
        let mut deal = Deal::new();
        deal.authorization["scope"] = "session".into();
        deal.authorization["sessionBudget"] = verdict::deal::money(budget);
        deal.sign();
        let mut other = deal.settlement.clone();
        other["amountCharged"] = verdict::deal::money(10);
        for number in 0..700 {
            other["receipt"]["uri"] = at(PROVIDER, "receipt", &key(number)).into();
            deal.others.push((at(EXCHANGE, "settlement", &key(number)), other.clone()));
        }
        // What was given back is no charge.
        other["status"] = "refunded".into();
        deal.others.push((at(EXCHANGE, "settlement", &key(700)), other));
        let scratch = told(blocks(deal));
        let (found, codes) = asked(&scratch, &Deal::settlement_uri(), "session-budget");
        assert_eq!(found, outcome);
        let over = codes.iter().any(|code| code == "x-session-budget-exceeded");
        assert_eq!(over, outcome == "failed", "{codes:?}");
        let about = Deal::settlement_uri().parse().unwrap();
        let bundle = Bundle::new(about, gather(&scratch.reader(), &Deal::settlement_uri()));
        let drawn = bundle.evidence.drawn().next().unwrap();
        assert_eq!((drawn.2.settlements, drawn.2.amount), (701, 7_120));
        for file in [bundle.to_json().into_bytes(), bundle.to_car()] {
            let read = Bundle::read(&file).unwrap().evidence;
            assert_eq!(read.drawn().next().unwrap(), drawn);
            assert_eq!(read.partial().collect::<Vec<_>>(), bundle.evidence.partial().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_key_is_found_among_however_many_machines() {
    for (has_key, outcome) in [(true, "passed"), (false, "undecided")] {
        let mut deal = Deal::new();
        // A malformed one is in no table.
        let whole = records::provider(&records::Machine::new(1), 0);
        let key_of_it = deal.provider["attestationPubKey"].take();
        deal.provider = serde_json::from_str(&to_json(&value::encode(&whole)).unwrap()).unwrap();
        deal.provider["attestationPubKey"] = key_of_it;
        let own = deal.provider.clone();
        if !has_key {
            deal.provider["attestationPubKey"] = "AAAA".into();
        }
        for number in 0..300 {
            let mut other = own.clone();
            other["attestationPubKey"] = format!("{number:04}").into();
            deal.others.push((at(PROVIDER, "provider", &key(number)), other));
        }
        let scratch = told(blocks(deal));
        let (found, codes) = asked(&scratch, &Deal::receipt_uri(), "provider-key");
        assert_eq!((found.as_str(), has_key), (outcome, codes.is_empty()), "{codes:?}");
    }
}

#[test]
fn strangers_receipts_for_a_job_hide_no_earlier_one_that_counts() {
    let stranger = |number: usize| format!("did:web:s{number}.example");
    // Of strangers, whom the job accepts or does not, the receipts are all dated earlier.
    for (accepts_all, strangers, outcome) in
        [(true, 3, "failed"), (true, 9, "undecided"), (false, 9, "failed"), (false, 600, "undecided")]
    {
        let mut deal = Deal::new();
        if !accepts_all {
            deal.job["acceptedProviders"] = vec![PROVIDER].into();
        }
        deal.second_receipt(None);
        for number in 0..strangers {
            let mut receipt = deal.receipt.clone();
            receipt["completedAt"] = "2026-08-20T10:00:01Z".into();
            receipt["attestation"]["uri"] = at(&stranger(number), "attestation", "3mtiuzem2ah27").into();
            deal.others.push((at(&stranger(number), "receipt", &key(number)), receipt));
        }
        let scratch = told(blocks(deal));
        let (found, codes) = asked(&scratch, &Deal::receipt_uri(), "only-receipt");
        let told = if outcome == "failed" { "x-duplicate-job-receipt" } else { "x-company-partial" };
        assert_eq!((found.as_str(), codes), (outcome, vec![told.to_owned()]), "{strangers} strangers");
    }
    // Those that are dated later are nobody's concern.
    let mut deal = Deal::new();
    deal.sign();
    for number in 0..9 {
        let mut receipt = deal.receipt.clone();
        receipt["completedAt"] = "2026-08-20T10:00:06Z".into();
        deal.others.push((at(PROVIDER, "receipt", &key(number)), receipt));
    }
    let (found, _) = asked(&told(blocks(deal)), &Deal::receipt_uri(), "only-receipt");
    assert_eq!(found, "passed");
}
