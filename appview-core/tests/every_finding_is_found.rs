//! Each code of the registry is raised, by what its name says and by nothing else.
//!
//! Most are raised by the published cases, see [`fixtures::shared_folder`], those of a provider's seal in
//! `verification_vectors`; the rest by deals that are made up here, each good but for one thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

use appview_core::syntax::Did;
use appview_core::trust::ledger::{self, Fee};
use appview_core::trust::{
    Books, Check, Code, Document, Evidence, Examiner, Exchange, Finding, Footing, Looked, Origin, Profile,
    Standing, verify_charge, verify_exchange_record, verify_receipt, verify_settlement,
};
use serde_json::{Value as Json, json};
use verdict::deal::{
    BROKER, Deal, EXCHANGE, PROVIDER, REQUESTER, at, cid, exhibit, link, money, now, sign_as_exchange, terms,
};
use verdict::{add_documents, cases, evidence, instant, vectors};

/// Codes that no evidence leads to.
const UNREACHABLE: [(Code, &str); 6] = [
    (Code::AttestationVerifyError, "an attestation's signature that cannot be examined is invalid"),
    (Code::AttestationOwnerUnverified, "the repository of a record is always known"),
    (Code::MdaError, "nothing unexpected can happen to a chain"),
    (Code::MdaEmptyChain, "an empty chain is no evidence, and no fault"),
    (Code::MdaBadTrustAnchor, "the roots are the verifier's own"),
    (Code::MdaBadDer, "a certificate whose extensions are malformed cannot be read at all"),
];

fn settle(evidence: &Evidence) -> Vec<Finding> {
    let uri = Deal::settlement_uri();
    verify_settlement(evidence, &uri, &terms(), Profile::Strict, now()).unwrap().findings
}

fn receive(evidence: &Evidence) -> Vec<Finding> {
    let uri = Deal::receipt_uri();
    verify_receipt(evidence, &uri, &terms(), Profile::Strict, now()).unwrap().findings
}

fn judge_record(uri: &str) -> impl Fn(&Evidence) -> Vec<Finding> {
    move |evidence| verify_exchange_record(evidence, uri, &terms(), Profile::Strict).unwrap().findings
}

fn charge(evidence: &Evidence) -> Vec<Finding> {
    charge_with(evidence, &Books::default())
}

fn charge_with(evidence: &Evidence, books: &Books) -> Vec<Finding> {
    offer(evidence, &Deal::receipt_uri(), books).findings
}

fn offer(evidence: &Evidence, receipt: &str, books: &Books) -> appview_core::trust::ChargeVerdict {
    let did: Did = EXCHANGE.parse().unwrap();
    let fees = ledger::Terms { fee: Fee { bps: 500, min_minor: 0 }, self_loop: None };
    let terms = terms();
    let exchange = Exchange { did: &did, fees, books, terms: &terms };
    verify_charge(evidence, receipt, &Deal::authorization_uri(), &exchange, now()).unwrap()
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|finding| finding.code).collect()
}

/// Changes a deal in one way, and sees what is found.
fn found(change: impl FnOnce(&mut Deal), judge: impl Fn(&Evidence) -> Vec<Finding>) -> Vec<Code> {
    let mut deal = Deal::new();
    change(&mut deal);
    codes(&judge(&deal.evidence()))
}

#[test]
fn a_good_deal_has_nothing_to_be_found() {
    for is_witnessed in [false, true] {
        let mut deal = Deal::new();
        deal.is_witnessed = is_witnessed;
        let evidence = deal.evidence();
        let verdict =
            verify_receipt(&evidence, &Deal::receipt_uri(), &terms(), Profile::Strict, now()).unwrap();
        assert_eq!((codes(&verdict.findings), verdict.confidential), (vec![], is_witnessed));
        assert_eq!(codes(&settle(&evidence)), []);
        assert_eq!(codes(&charge(&evidence)), []);
    }
}

fn receipts() -> Vec<(Code, Vec<Code>)> {
    let strangers_job = |deal: &mut Deal| {
        // A reference to a record of another kind, which happens to read like a job.
        let uri = at(REQUESTER, "unheardOf", "a");
        let mut signed = deal.clone();
        signed.sign();
        deal.receipt["job"] = link(&uri, &signed.job);
        deal.others.push((uri, signed.job));
        deal.job["nonce"] = "0b0a2f5cfda9f5cbf17243018f134307".into();
    };
    let strangers_attestation = |deal: &mut Deal| {
        deal.sign();
        let uri = at(PROVIDER, "unheardOf", "a");
        deal.others.push((uri.clone(), deal.attestation.clone()));
        for member in ["attestation", "enclaveSignature"] {
            deal.receipt.as_object_mut().unwrap().remove(member);
        }
        deal.receipt["attestation"] = link(&uri, &deal.attestation);
    };
    let same_nonce = |deal: &mut Deal| {
        let mut other = deal.job.clone();
        other["model"] = "another".into();
        deal.others.push((at(REQUESTER, "job", "3mtiuzelsiy2a"), other));
    };
    let witnessed_twice = |deal: &mut Deal| {
        deal.is_witnessed = true;
        let nonce = "0123456789abcdef0123456789abcdef";
        deal.second_receipt(Some(nonce));
        // It is not about the order of the two.
        deal.others.last_mut().unwrap().1["completedAt"] = "2026-08-20T10:00:06Z".into();
    };
    let inactive = |evidence: &Evidence| {
        let mut evidence = evidence.clone();
        evidence.put_inactive(REQUESTER.parse().unwrap());
        receive(&evidence)
    };
    let overwritten = |evidence: &Evidence| {
        let mut evidence = evidence.clone();
        let uri = at(PROVIDER, "attestation", "3mtiuzem2ah27");
        let pinned = evidence.find(&uri).unwrap().clone().standing_as(Standing::Former);
        let (about, block) = (pinned.uri().clone(), b"\xa0");
        let mut other = Evidence::default();
        evidence
            .exhibits()
            .iter()
            .filter(|held| held.uri() != &about)
            .for_each(|held| other.put(held.clone()));
        add_documents(&mut other, &evidence);
        other.put(pinned);
        let current = appview_core::block::Cid::of(block);
        other.put(appview_core::trust::Exhibit::new(about, current, *block).unwrap());
        evidence = other;
        receive(&evidence)
    };
    let claimed = |evidence: &Evidence| {
        let mut evidence = evidence.clone();
        let job = evidence.find(&Deal::job_uri()).unwrap().clone();
        evidence.put(job.on(Footing::Claimed));
        receive(&evidence)
    };
    let remembered = |evidence: &Evidence| {
        let mut other = Evidence::default();
        evidence.exhibits().iter().for_each(|held| other.put(held.clone()));
        for (did, known) in evidence.documents() {
            other.put_document(did.clone(), known[0].1.clone(), Origin::Remembered { until: None });
        }
        receive(&other)
    };
    let partial = |evidence: &Evidence| {
        let mut evidence = evidence.clone();
        evidence.put_partial(Check::OnlyReceipt, Looked { at: 8, of: 9 });
        receive(&evidence)
    };
    let foreign_document = |deal: &mut Deal| {
        deal.is_witnessed = true;
        deal.documents[1].1["id"] = "did:web:another.example".into();
    };
    vec![
        (Code::XJobRefInvalid, found(strangers_job, receive)),
        (Code::XAttestationRefInvalid, found(strangers_attestation, receive)),
        (Code::XDuplicateJobReceipt, found(|deal| drop(deal.second_receipt(None)), receive)),
        (Code::XJobNonceReused, found(same_nonce, receive)),
        (Code::XWitnessNonceReused, found(witnessed_twice, receive)),
        (Code::XOwnerTombstoned, found(|_| (), inactive)),
        (Code::XAttestationNotCurrent, found(|_| (), overwritten)),
        (Code::XDidDocumentMismatch, found(foreign_document, receive)),
        (Code::XRecordUnproven, found(|_| (), claimed)),
        (Code::XAuthorityKeyFormer, found(|deal| deal.is_witnessed = true, remembered)),
        (Code::XCompanyPartial, found(|_| (), partial)),
    ]
}

fn settlements() -> Vec<(Code, Vec<Code>)> {
    let moved = |member: &'static str, name: &'static str| {
        move |deal: &mut Deal| {
            deal.sign();
            let (owner, body) = match member {
                "receipt" => (PROVIDER, deal.receipt.clone()),
                _ => (REQUESTER, deal.authorization.clone()),
            };
            let uri = at(owner, name, "a");
            deal.settlement.as_object_mut().unwrap().remove("sig");
            deal.settlement[member] = link(&uri, &body);
            deal.others.push((uri, body));
            let settlement = deal.settlement.clone();
            // The job names the authorization where it is.
            deal.job["paymentAuthorization"] = settlement["requesterAuthorization"].clone();
            for record in [&mut deal.receipt, &mut deal.settlement] {
                for member in ["job", "enclaveSignature"] {
                    record.as_object_mut().unwrap().remove(member);
                }
            }
            if member == "requesterAuthorization" {
                deal.settlement.as_object_mut().unwrap().remove("receipt");
            }
        }
    };
    let lexicon = |deal: &mut Deal| deal.authorization["nonce"] = "short".into();
    let rate = |deal: &mut Deal| {
        deal.policy["tokenRate"] =
            json!({"inputPricePerMTok": 1_000_000, "outputPricePerMTok": 1_000_000, "currency": "USD"});
    };
    vec![
        (
            Code::XReceiptRefInvalid,
            found(moved("receipt", "unheardOf"), |evidence| {
                // What is no receipt has no verdict of its own to be bad.
                settle(evidence)
            }),
        ),
        (Code::XAuthorizationRefInvalid, found(moved("requesterAuthorization", "unheardOf"), settle)),
        (Code::XAuthorizationLexiconInvalid, found(lexicon, settle)),
        (Code::XPriceOffRate, found(rate, settle)),
    ]
}

/// A charge that is good but for one thing.
fn charges() -> Vec<(Code, Vec<Code>)> {
    let receipt = |member: &'static str, value: Json| move |deal: &mut Deal| deal.receipt[member] = value;
    let job = |member: &'static str, value: Json| move |deal: &mut Deal| deal.job[member] = value;
    let authorization =
        |member: &'static str, value: Json| move |deal: &mut Deal| deal.authorization[member] = value;
    let after = |scope: &'static str| {
        let mut deal = Deal::new();
        deal.authorization["scope"] = scope.into();
        deal.authorization["sessionBudget"] = money(200);
        let first = deal.second_receipt(None);
        let evidence = deal.evidence();
        let mut books = Books::default();
        books.enter(&first, &offer(&evidence, &first, &books));
        codes(&charge_with(&evidence, &books))
    };
    let twice = || {
        let evidence = Deal::new().evidence();
        let mut books = Books::default();
        books.enter(&Deal::receipt_uri(), &offer(&evidence, &Deal::receipt_uri(), &books));
        codes(&charge_with(&evidence, &books))
    };
    let other_link =
        json!({"uri": at(REQUESTER, "paymentAuthorization", "a"), "cid": cid(&json!({})).to_string()});
    let eur = json!({"amount": 500, "currency": "EUR"});
    vec![
        (Code::AlreadySettled, twice()),
        (Code::AuthJobLink, found(job("paymentAuthorization", other_link), charge)),
        (Code::AuthExpired, found(authorization("expiresAt", "2026-08-20T12:00:00Z".into()), charge)),
        (Code::NonNegativeInteger, found(receipt("tokens", json!({"in": -1, "out": 1})), charge)),
        (Code::UnknownScope, found(authorization("scope", "both".into()), charge)),
        (Code::PriceOverJobCeiling, found(job("priceCeiling", money(100)), charge)),
        (Code::CurrencyMismatchAuth, found(authorization("ceiling", eur), charge)),
        (Code::PriceOverAuthCeiling, found(authorization("ceiling", money(100)), charge)),
        (Code::TokensOverJobCeiling, found(job("maxTokensOut", 100.into()), charge)),
        (Code::ExchangeNotAllowed, found(job("acceptedExchanges", json!(["did:web:other.example"])), charge)),
        (Code::JobCompletedAfterExpiry, found(job("expiresAt", "2026-08-20T10:00:04Z".into()), charge)),
        (Code::AuthorizationAlreadyConsumed, after("singleJob")),
        (Code::SessionBudgetExceeded, after("session")),
    ]
}

/// A dispute that is resolved by a full refund of the deal's settlement.
fn dispute(deal: &mut Deal, change: impl FnOnce(&mut Json, &mut Json)) {
    deal.sign();
    let disputed = link(&Deal::settlement_uri(), &deal.settlement);
    let mut refund = deal.settlement.clone();
    refund["status"] = "refunded".into();
    refund["refundOf"] = disputed.clone();
    let uri = at(EXCHANGE, "settlement", "3mtiuzemz6d2a");
    let mut dispute = json!({
        "$type": "dev.cocore.compute.dispute", "settlement": disputed, "exchange": EXCHANGE, "status": "resolved",
        "outcome": {"verdict": "refund-full"},
    });
    change(&mut dispute, &mut refund);
    if let Some(outcome) = dispute.get_mut("outcome")
        && outcome.get("refundSettlement").is_none()
    {
        outcome["refundSettlement"] = link(&uri, &refund);
    }
    sign_as_exchange(&mut dispute, &deal.keys.exchange);
    deal.others.extend([(uri, refund), (at(EXCHANGE, "dispute", "a"), dispute)]);
}

fn disputes() -> Vec<(Code, Vec<Code>)> {
    let uri = at(EXCHANGE, "dispute", "a");
    let of = |change: fn(&mut Json, &mut Json)| found(|deal| dispute(deal, change), judge_record(&uri));
    assert_eq!(of(|_, _| ()), []);
    vec![
        (
            Code::XDisputeExchangeMismatch,
            of(|dispute, _| dispute["exchange"] = "did:web:other.example".into()),
        ),
        (
            Code::XDisputeSettlementInvalid,
            of(|dispute, _| {
                dispute["settlement"]["cid"] = cid(&json!({})).to_string().into();
                dispute["outcome"] = json!({"verdict": "uphold-charge", "refundSettlement": null});
            }),
        ),
        (
            Code::XDisputeOutcomeMissing,
            of(|dispute, _| drop(dispute.as_object_mut().unwrap().remove("outcome"))),
        ),
        (Code::XDisputeRefundMissing, of(|dispute, _| dispute["outcome"]["refundSettlement"] = Json::Null)),
        (Code::XDisputeRefundInvalid, of(|_, refund| refund["amountCharged"] = money(119))),
        (Code::XSigMissing, of(|dispute, _| dispute["sig"] = Json::Null)),
    ]
}

fn acceptance(deal: &mut Deal, change: impl FnOnce(&mut Json)) {
    deal.policy["termsVersion"] = "v1".into();
    deal.policy["termsUri"] = "https://exchange.example/terms".into();
    deal.sign();
    let mut acceptance = json!({
        "$type": "dev.cocore.compute.termsAcceptance", "exchange": EXCHANGE,
        "policy": link(&Deal::policy_uri(), &deal.policy), "termsVersion": "v1",
        "termsUri": "https://exchange.example/terms", "acceptedAt": "2026-08-20T00:00:00Z",
        "attestation": deal.settlement["exchangeAttestation"],
    });
    change(&mut acceptance);
    sign_as_exchange(&mut acceptance, &deal.keys.exchange);
    deal.others.push((at(REQUESTER, "termsAcceptance", "a"), acceptance));
}

fn acceptances() -> Vec<(Code, Vec<Code>)> {
    let uri = at(REQUESTER, "termsAcceptance", "a");
    let of = |change: fn(&mut Json)| found(|deal| acceptance(deal, change), judge_record(&uri));
    assert_eq!(of(|_| ()), []);
    vec![
        (Code::XPolicyRefInvalid, of(|acceptance| acceptance["termsVersion"] = "v2".into())),
        (Code::XSigInvalid, of(|acceptance| acceptance["sig"] = "x".into())),
    ]
}

fn credits() -> Vec<(Code, Vec<Code>)> {
    let grant = |deal: &mut Deal, rkey: &str, change: &dyn Fn(&mut Json)| {
        deal.policy["tokenGrant"] = 1_000.into();
        deal.policy["patronageDistribution"] = json!({"fractionBps": 5_000, "cadenceDays": 7});
        let mut grant = json!({
            "$type": "dev.cocore.account.tokenGrant", "exchange": EXCHANGE, "recipient": REQUESTER, "amount": 1_000,
            "policy": link(&Deal::policy_uri(), &deal.policy), "createdAt": format!("2026-08-20T00:00:0{rkey}Z"),
        });
        change(&mut grant);
        deal.others.push((at(EXCHANGE, "tokenGrant", rkey), grant));
    };
    let patronage = |deal: &mut Deal, rkey: &str, credited: i64| {
        deal.policy["patronageDistribution"] = json!({"fractionBps": 5_000, "cadenceDays": 7});
        let patronage = json!({
            "$type": "dev.cocore.account.tokenPatronage", "exchange": EXCHANGE, "recipient": REQUESTER,
            "period": {"start": "2026-08-10T00:00:00Z", "end": "2026-08-17T00:00:00Z"},
            "patronageScore": 60, "totalPatronage": 100, "tokensCredited": credited, "treasuryBefore": 1_000,
            "policy": link(&Deal::policy_uri(), &deal.policy), "createdAt": "2026-08-18T00:00:00Z",
        });
        deal.others.push((at(EXCHANGE, "tokenPatronage", rkey), patronage));
    };
    let (granted, shared) = (at(EXCHANGE, "tokenGrant", "2"), at(EXCHANGE, "tokenPatronage", "a"));
    let one = |change: &dyn Fn(&mut Json)| found(|deal| grant(deal, "2", change), judge_record(&granted));
    assert_eq!(one(&|_| ()), []);
    assert_eq!(found(|deal| patronage(deal, "a", 300), judge_record(&shared)), []);
    let twice = |deal: &mut Deal| {
        grant(deal, "1", &|_| ());
        grant(deal, "2", &|_| ());
    };
    let too_many = |deal: &mut Deal| {
        patronage(deal, "a", 300);
        patronage(deal, "b", 300);
    };
    vec![
        (Code::XGrantAmount, one(&|grant| grant["amount"] = 999.into())),
        (Code::XGrantExchangeMismatch, one(&|grant| grant["exchange"] = "did:web:other.example".into())),
        (Code::XGrantDuplicate, found(twice, judge_record(&granted))),
        (Code::XPatronageAmount, found(|deal| patronage(deal, "a", 302), judge_record(&shared))),
        (Code::XPatronageOverPool, found(too_many, judge_record(&shared))),
    ]
}

#[test]
fn each_made_up_fault_is_found_and_nothing_else() {
    let all = [receipts(), settlements(), charges(), disputes(), acceptances(), credits()].concat();
    for (expected, found) in &all {
        assert_eq!(found, &[*expected], "{expected}");
    }
    assert_eq!(all.len(), 41);
}

/// A chain that verifies and breaks a rule, under the roots of the published chains.
fn chains_that_are_not_strict() -> Option<BTreeSet<Code>> {
    let file = vectors("mda.json")?;
    let context = &file["context"];
    let mut terms = terms();
    let mut raised = BTreeSet::new();
    for case in cases(&file, "cases").iter().filter(|case| case["expected"]["bound"] == true) {
        let root = case.get("trustAnchorDerB64").unwrap_or(&context["trustAnchorDerB64"]);
        terms.apple.mda_root = verdict::base64(root).into();
        let mut deal = Deal::new();
        deal.attestation["publicKey"] = case["publicKeyB64"].clone();
        deal.attestation["mdaCertChain"] = case["chainDerB64"].clone();
        let evidence = deal.evidence();
        let verdict =
            verify_receipt(&evidence, &Deal::receipt_uri(), &terms, Profile::Strict, now()).unwrap();
        let found = codes(&verdict.findings);
        let is_strict = case["strictRejects"].is_null();
        assert_eq!(!found.contains(&Code::XChainNotStrict), is_strict, "{}: {found:?}", case["id"]);
        raised.extend(found);
    }
    Some(raised)
}

#[test]
fn every_code_is_raised() {
    let Some(mut raised) = chains_that_are_not_strict() else { return };
    for (name, list, member) in
        [("receipts.json", "cases", "receiptUri"), ("settlements.json", "settlements", "settlementUri")]
    {
        let Some(file) = vectors(name) else { return };
        let terms = verdict::terms(&file["context"]);
        for case in cases(&file, list) {
            let Some(uri) = case[member].as_str() else { continue };
            let (evidence, now) = (evidence(case, &file["context"]), instant(case, &file["context"]));
            let findings = if list == "cases" {
                verify_receipt(&evidence, uri, &terms, Profile::Strict, now).map(|verdict| verdict.findings)
            } else {
                verify_settlement(&evidence, uri, &terms, Profile::Strict, now)
                    .map(|verdict| verdict.findings)
            };
            raised.extend(findings.into_iter().flatten().map(|finding| finding.code));
        }
    }
    let made_up = [receipts(), settlements(), charges(), disputes(), acceptances(), credits()].concat();
    raised.extend(made_up.into_iter().flat_map(|(_, found)| found));
    // Those that a job of somebody else's leads to come together.
    let others = found(|deal| deal.receipt["requester"] = BROKER.into(), charge);
    assert_eq!(others, [Code::JobOwnerMismatch, Code::AuthorizationOwnerMismatch]);
    raised.extend(others);
    raised.extend(seals());

    let unreachable = UNREACHABLE.map(|(code, _)| code);
    let (silent, loud): (Vec<&Code>, Vec<&Code>) = Code::ALL.iter().partition(|code| !raised.contains(code));
    assert_eq!(silent, unreachable.iter().collect::<Vec<_>>());
    println!("{} codes raised, {} that nothing leads to", loud.len(), silent.len());
}

/// The codes of a provider's seal, as far as the published cases name them; `verification_vectors` holds us to those.
fn seals() -> BTreeSet<Code> {
    let file = vectors("provider-seal.json").unwrap();
    let listed = cases(&file, "cases").iter().flat_map(|case| case["expected"]["codes"].as_array().unwrap());
    listed.map(|code| Code::from_text(code.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn a_verdict_is_remembered_for_its_evidence_and_no_other() {
    let examiner = Examiner::new(terms());
    let ask = |evidence: &Evidence, profile| {
        examiner.receipt(evidence, &Deal::receipt_uri(), profile, now()).unwrap()
    };
    let good = Deal::new().evidence();
    let first = ask(&good, Profile::Advise);
    assert!(Arc::ptr_eq(&first, &ask(&good.clone(), Profile::Advise)), "it was not judged twice");
    assert!(!Arc::ptr_eq(&first, &ask(&good, Profile::Strict)), "another profile is another question");

    let mut deal = Deal::new();
    deal.job["maxTokensOut"] = 1.into();
    let other = ask(&deal.evidence(), Profile::Strict);
    assert_eq!(codes(&other.findings), [Code::XTokensOverCeiling]);
    // The block of another record under the attestation's CID: what was found of that CID's own is not said of it.
    let attestation = at(PROVIDER, "attestation", "3mtiuzem2ah27");
    let genuine = good.find(&attestation).unwrap();
    let mut forged = deal_attestation_with(|attestation| attestation["osVersion"] = "0".into());
    forged["selfSignature"] = "AAAA".into();
    let mut lying = good.clone();
    lying.put(
        appview_core::trust::Exhibit::new(
            genuine.uri().clone(),
            genuine.cid(),
            appview_core::block::json::json_to_cbor(&forged).unwrap(),
        )
        .unwrap(),
    );
    let found = codes(&ask(&lying, Profile::Strict).findings);
    assert_eq!(found, [Code::AttestationSelfsigInvalid, Code::XRecordCidMismatch]);
}

/// The attestation of a deal, signed and then changed.
fn deal_attestation_with(change: impl FnOnce(&mut Json)) -> Json {
    let mut deal = Deal::new();
    deal.sign();
    change(&mut deal.attestation);
    deal.attestation
}

#[test]
fn documents_are_compared_whatever_the_order_of_their_members() {
    let parse = |text: &str| Document::new(serde_json::from_str(text).unwrap());
    assert_eq!(
        parse(r#"{"id": "x", "a": {"b": 1, "c": 2}}"#),
        parse(r#"{"a": {"c": 2, "b": 1}, "id": "x"}"#)
    );
    assert_ne!(parse(r#"{"id": "x"}"#), parse(r#"{"id": "y"}"#));
}

#[test]
fn what_is_missing_is_told_by_its_part() {
    let mut evidence = Evidence::default();
    let missing = |evidence: &Evidence| {
        let settlement =
            verify_settlement(evidence, &Deal::settlement_uri(), &terms(), Profile::Advise, now());
        let receipt = verify_receipt(evidence, &Deal::receipt_uri(), &terms(), Profile::Advise, now());
        [settlement.map(|_| ()).unwrap_err().to_string(), receipt.map(|_| ()).unwrap_err().to_string()]
    };
    assert_eq!(
        missing(&evidence),
        [
            format!("the settlement is missing: {}", Deal::settlement_uri()),
            format!("the receipt is missing: {}", Deal::receipt_uri()),
        ]
    );
    let mut deal = Deal::new();
    deal.sign();
    evidence.put(exhibit(&Deal::settlement_uri(), &deal.settlement));
    evidence.put(exhibit(&Deal::receipt_uri(), &deal.receipt));
    assert_eq!(
        missing(&evidence),
        [
            format!("the authorization is missing: {}", Deal::authorization_uri()),
            format!("the job is missing: {}", Deal::job_uri()),
        ]
    );
}
