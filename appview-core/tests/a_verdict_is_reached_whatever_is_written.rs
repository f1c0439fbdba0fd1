//! Whatever stands in a record, there is a verdict on it, and nothing that was signed can be changed without its being not ok.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod verdict;

use std::sync::LazyLock;

use appview_core::block::Cid;
use appview_core::trust::{Books, Exchange, ledger};
use appview_core::trust::{
    Code, Evidence, Exhibit, Profile, verify_charge, verify_exchange_record, verify_receipt,
    verify_settlement,
};
use fixtures::{Ipld, value};
use proptest::prelude::*;
use proptest::sample::Index as Choice;
use verdict::add_documents;
use verdict::deal::{Deal, EXCHANGE, now, terms};

/// Any value of the data model, and fractions beside.
fn anything() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|integer| Ipld::Integer(integer.into())),
        any::<u64>().prop_map(|integer| Ipld::Integer(integer.into())),
        (-1e9..1e9).prop_map(Ipld::Float),
        ".{0,40}".prop_map(Ipld::String),
        Just(Ipld::String("2026-08-20T10:00:60Z".to_owned())),
        Just(Ipld::String("at://did:web:provider.example/a.b.c/d".to_owned())),
        proptest::collection::vec(any::<u8>(), 0..80).prop_map(Ipld::Bytes),
        any::<u8>().prop_map(|byte| Ipld::Link(value::cid_of(&[byte]))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Ipld::List),
            proptest::collection::btree_map("[a-zé]{0,6}|uri|cid|amount|currency|sig", inner, 0..4)
                .prop_map(Ipld::Map),
        ]
    })
}

/// Replaces a member of the record, of one of its objects, or takes it away.
fn replace(record: &mut Ipld, at: &Choice, below: bool, with: Option<Ipld>) -> String {
    let Ipld::Map(members) = record else { panic!("a record is a map") };
    let name = at.get(&members.keys().cloned().collect::<Vec<_>>()).clone();
    if below
        && let Some(Ipld::Map(inner)) = members.get_mut(&name)
        && !inner.is_empty()
    {
        let within = at.get(&inner.keys().cloned().collect::<Vec<_>>()).clone();
        match with {
            Some(with) => inner.insert(within, with),
            None => inner.remove(&within),
        };
        return name;
    }
    match with {
        Some(with) => members.insert(name.clone(), with),
        None => members.remove(&name),
    };
    name
}

fn with(evidence: &Evidence, exhibit: &Exhibit, block: Vec<u8>) -> Evidence {
    // In the place of the version that stood there.
    let mut changed = Evidence::default();
    evidence
        .exhibits()
        .iter()
        .filter(|held| held.uri() != exhibit.uri())
        .for_each(|held| changed.put(held.clone()));
    add_documents(&mut changed, evidence);
    changed.put(Exhibit::new(exhibit.uri().clone(), Cid::of(&block), block).unwrap());
    changed
}

/// Asks everything that can be asked.
fn ask(evidence: &Evidence) {
    let terms = terms();
    for profile in [Profile::Advise, Profile::Strict] {
        for uri in evidence.exhibits().iter().map(|exhibit| exhibit.uri().as_str()) {
            if let Ok(verdict) = verify_receipt(evidence, uri, &terms, profile, now()) {
                serde_json::to_string(&verdict).unwrap();
            }
            if let Ok(verdict) = verify_settlement(evidence, uri, &terms, profile, now()) {
                serde_json::to_string(&verdict).unwrap();
            }
            let _ = verify_exchange_record(evidence, uri, &terms, profile);
        }
    }
    let fees = ledger::Terms { fee: ledger::Fee { bps: 500, min_minor: 0 }, self_loop: None };
    let (did, books) = (EXCHANGE.parse().unwrap(), Books::default());
    let exchange = Exchange { did: &did, fees, books: &books, terms: &terms };
    let _ = verify_charge(evidence, &Deal::receipt_uri(), &Deal::authorization_uri(), &exchange, now());
}

fn deal() -> &'static Evidence {
    static DEAL: LazyLock<Evidence> = LazyLock::new(|| {
        let mut deal = Deal::new();
        deal.is_witnessed = true;
        deal.evidence()
    });
    &DEAL
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_member_may_be_anything(record: Choice, member: Choice, below: bool, with_what in proptest::option::of(anything())) {
        let evidence = deal();
        let exhibit = record.get(evidence.exhibits());
        let mut body = value::decode(exhibit.block());
        replace(&mut body, &member, below, with_what);
        ask(&with(evidence, exhibit, value::encode(&body)));
    }

    #[test]
    fn a_block_may_be_anything(record: Choice, bytes in proptest::collection::vec(any::<u8>(), 0..120), at: Choice, keep: bool) {
        let evidence = deal();
        let exhibit = record.get(evidence.exhibits());
        let block = if keep {
            let at = at.index(exhibit.block().len());
            [&exhibit.block()[..at], &bytes, &exhibit.block()[at..]].concat()
        } else {
            bytes
        };
        ask(&with(evidence, exhibit, block));
    }

    #[test]
    fn what_a_machine_signed_cannot_be_changed(is_receipt: bool, member: Choice, below: bool, with_what in proptest::option::of(anything())) {
        let evidence = deal();
        let name = if is_receipt { "receipt" } else { "attestation" };
        let exhibit = evidence.exhibits().iter().find(|exhibit| exhibit.collection().ends_with(&format!(".{name}"))).unwrap();
        let before = value::decode(exhibit.block());
        let mut body = before.clone();
        let changed = replace(&mut body, &member, below, with_what);
        // What is not signed: framing, and the witness that was added later.
        prop_assume!(body != before && changed != "$type" && changed != "brokerageCountersignature");
        let evidence = with(evidence, exhibit, value::encode(&body));
        if let Ok(verdict) = verify_receipt(&evidence, &Deal::receipt_uri(), &terms(), Profile::Advise, now()) {
            let codes: Vec<Code> = verdict.findings.iter().map(|finding| finding.code).collect();
            prop_assert!(!verdict.ok, "{changed}: {codes:?}");
        }
    }
}
