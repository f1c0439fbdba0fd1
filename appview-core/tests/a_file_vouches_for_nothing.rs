//! Whoever writes a file chooses what is in it: records stand where it says by its word alone, and no key that it holds makes
//! a signature good. What its reader was given elsewhere does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod verdict;

use appview_core::trust::{
    Bundle, Check, Code, Document, Evidence, Footing, Instant, Origin, Outcome, Profile, ReceiptVerdict,
    Rules, SettlementVerdict, Terms, verify_receipt, verify_settlement,
};
use fixtures::seed::Seed;
use fixtures::{KeyKind, SigningKey};
use verdict::deal::{BROKER, Deal, EXCHANGE, document, now, terms};

/// All that a verdict takes, made up by one person with keys of their own: attestation and receipt of anybody's, a broker's
/// witness, an exchange's signature, and the documents that say whose keys these are. In either form of a bundle.
fn forgery() -> [Evidence; 2] {
    let mut deal = Deal::new();
    deal.is_witnessed = true;
    let bundle = Bundle::new(Deal::receipt_uri().parse().unwrap(), deal.evidence());
    [bundle.to_json().into_bytes(), bundle.to_car()].map(|file| Bundle::read(&file).unwrap().evidence)
}

fn receipt(evidence: &Evidence, terms: &Terms, profile: Profile) -> ReceiptVerdict {
    verify_receipt(evidence, &Deal::receipt_uri(), terms, profile, now()).unwrap()
}

fn settlement(evidence: &Evidence, terms: &Terms, profile: Profile) -> SettlementVerdict {
    verify_settlement(evidence, &Deal::settlement_uri(), terms, profile, now()).unwrap()
}

fn outcome(rules: &Rules, check: Check) -> (Outcome, Option<Code>) {
    let checked = rules.checks.iter().find(|checked| checked.check == check).unwrap();
    (checked.outcome, checked.code)
}

fn document_of(did: &str, key: &SigningKey) -> (appview_core::syntax::Did, Document) {
    (did.parse().unwrap(), Document::new(document(did, key)))
}

fn pinning(keys: [(&str, &SigningKey); 2]) -> Terms {
    Terms { documents: keys.map(|(did, key)| document_of(did, key)).to_vec(), ..terms() }
}

#[test]
fn a_forged_bundle_is_confidential_by_nobody_and_signed_by_no_exchange() {
    let code = Code::BrokerageCountersignatureInvalid;
    for evidence in forgery() {
        for profile in [Profile::Advise, Profile::Strict] {
            let verdict = receipt(&evidence, &terms(), profile);
            assert_eq!((verdict.ok, verdict.confidential, verdict.brokerage_authority), (false, false, None));
            assert_eq!(outcome(&verdict.rules, Check::Countersignature), (Outcome::Undecided, Some(code)));
            let unproven = (Outcome::Undecided, Some(Code::XRecordUnproven));
            assert_eq!(outcome(&verdict.rules, Check::RecordsProven), unproven);
            // There is no reason to distrust it either: a file without an authority is no crime.
            assert!(verdict.rules.is_open(&verdict.findings));
            assert!(verdict.judged.iter().all(|judged| judged.footing == Footing::Claimed));
            let message = &verdict.findings.iter().find(|finding| finding.code == code).unwrap().message;
            assert!(message.ends_with("did:web:broker.example, its document is the word of a file alone"));

            let verdict = settlement(&evidence, &terms(), profile);
            let unknown = (Outcome::Undecided, Some(Code::XSigKeyUnresolved));
            assert_eq!(outcome(&verdict.rules, Check::ExchangeSignature), unknown);
            assert_eq!(outcome(&verdict.rules, Check::SettlementProven), unproven);
            assert_eq!(outcome(&verdict.rules, Check::ReceiptVerdict).0, Outcome::Undecided);
            assert_eq!(verdict.ok, profile == Profile::Advise);
        }
    }
}

#[test]
fn the_keys_that_its_reader_was_given_decide() {
    let keys = Deal::new().keys;
    let mut seed = Seed::new(4);
    let [true_broker, true_exchange] = [(); 2].map(|()| SigningKey::generate(KeyKind::P256, &mut seed));
    let forger = pinning([(BROKER, &keys.broker), (EXCHANGE, &keys.exchange)]);
    let others = pinning([(BROKER, &true_broker), (EXCHANGE, &true_exchange)]);
    for evidence in forgery() {
        let verdict = receipt(&evidence, &others, Profile::Advise);
        assert_eq!((verdict.ok, verdict.confidential), (false, false));
        let invalid = (Outcome::Failed, Some(Code::BrokerageCountersignatureInvalid));
        assert_eq!(outcome(&verdict.rules, Check::Countersignature), invalid);
        assert!(!verdict.rules.is_open(&verdict.findings));
        let verdict = settlement(&evidence, &others, Profile::Advise);
        assert_eq!(outcome(&verdict.rules, Check::ExchangeSignature).0, Outcome::Failed);

        // Had the keys been the broker's and the exchange's, it would be no forgery.
        let verdict = receipt(&evidence, &forger, Profile::Advise);
        assert_eq!((verdict.ok, verdict.confidential), (true, true));
        assert!(settlement(&evidence, &forger, Profile::Advise).ok);
        // And its records stand where it says by its word all the same.
        let strict = receipt(&evidence, &forger, Profile::Strict);
        assert_eq!((strict.ok, strict.rules.is_open(&strict.findings)), (false, true));
    }
}

/// A deal with a witness, and documents of its broker with these keys, from these origins.
fn witnessed(documents: &[(&SigningKey, Origin)]) -> ReceiptVerdict {
    let mut deal = Deal::new();
    deal.is_witnessed = true;
    deal.documents.clear();
    let mut evidence = deal.evidence();
    for (key, origin) in documents {
        let (did, document) = document_of(BROKER, key);
        evidence.put_document(did, document, *origin);
    }
    receipt(&evidence, &terms(), Profile::Strict)
}

#[test]
fn a_key_that_was_replaced_is_good_for_the_work_of_its_time() {
    let broker = Deal::new().keys.broker;
    let next = SigningKey::generate(KeyKind::P256, &mut Seed::new(5));
    let until = |time: &str| Origin::Remembered { until: Some(Instant::parse(time).unwrap()) };
    // The work was completed at 10:00:05.
    let (later, earlier) = (until("2026-08-20T10:00:05Z"), until("2026-08-20T10:00:04.999Z"));
    let last = Origin::Remembered { until: None };
    let former = Some(Code::XAuthorityKeyFormer);
    type Known<'k> = &'k [(&'k SigningKey, Origin)];
    let cases: [(Known<'_>, bool, Option<Code>); 7] = [
        (&[(&broker, Origin::Resolved)], true, None),
        (&[(&next, Origin::Resolved), (&broker, later)], true, former),
        (&[(&next, Origin::Resolved), (&broker, earlier)], false, None),
        (&[(&next, Origin::Resolved), (&broker, Origin::Claimed)], false, None),
        // The host cannot be asked: what it gave last is good for anything.
        (&[(&broker, last)], true, former),
        (&[(&next, last), (&broker, later)], true, former),
        (&[(&next, last), (&broker, earlier)], false, None),
    ];
    for (documents, is_good, told) in cases {
        let verdict = witnessed(documents);
        assert_eq!((verdict.ok, verdict.confidential), (is_good, is_good), "{documents:?}");
        assert_eq!(outcome(&verdict.rules, Check::AuthorityCurrent).1, told, "{documents:?}");
        // There was a document to judge by.
        assert_ne!(outcome(&verdict.rules, Check::Countersignature).0, Outcome::Undecided);
    }
    let verdict = witnessed(&[]);
    assert_eq!((verdict.ok, verdict.rules.is_open(&verdict.findings)), (false, true), "nobody was asked");
}
