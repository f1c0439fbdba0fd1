//! Pages are a function of the records: of equal keys the greater DID comes first, and a cursor outlives what it names.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod network;

use appview_core::query::{FriendFilter, Limit, ProviderFilter, QueryError, ReceiptFilter};
use appview_core::sync::{Change, Hosting};
use fixtures::{Ipld, KeyKind, Write, records};
use network::{Business, Network, Scratch, all_pages, did, pages};

#[test]
fn of_equal_keys_the_greater_did_comes_first_across_pages() {
    let mut network = Network::new(40);
    let now = network.world.now_micros();
    let subject = "did:web:subject.example";
    let domains = ["b.example", "a.example", "a.example.org", "d.example", "c.example"];
    let mut told = Vec::new();
    for domain in domains {
        let account = network.world.create_web_account(KeyKind::K256, domain);
        let friend = |rkey| Write::create(records::FRIEND, rkey, records::friend(subject, now));
        told.push(network.commit(&account, vec![friend("3jzfcijpj2z2a"), friend("3jzfcijpj2z2b")]));
    }
    let filters = [FriendFilter::default(), FriendFilter { subject: Some(did(subject)), friender: None }];
    let mut expected = Vec::new();
    for key in ["3jzfcijpj2z2b", "3jzfcijpj2z2a"] {
        let mut sorted = domains;
        sorted.sort();
        expected
            .extend(sorted.iter().rev().map(|d| format!("at://did:web:{d}/dev.cocore.account.friend/{key}")));
    }
    let scratch = Scratch::told(&told);
    let reader = scratch.reader();
    for limit in 1..=11 {
        for filter in &filters {
            let limit = Limit::new(limit).unwrap();
            let listed = all_pages(|cursor| reader.list_friends(filter, limit, cursor));
            let uris: Vec<_> = listed.iter().map(|record| record.uri().to_string()).collect();
            assert_eq!(uris, expected);
        }
    }
}

#[test]
fn a_cursor_goes_on_after_a_record_that_is_gone_and_at_another_index() {
    let mut business = Business::new(41, 5);
    let limit = Limit::new(2).unwrap();
    let filter = ReceiptFilter::default();
    let scratch = Scratch::told(&business.told);
    let before = pages(|cursor| scratch.reader().list_receipts(&filter, limit, cursor));
    let cursor = before[0].1.clone().unwrap().parse().unwrap();

    let (path, owner) = (before[0].0[1].clone(), business.owner.clone());
    let rkey = path.rsplit('/').next().unwrap();
    business.tell(&owner, vec![Write::delete(records::RECEIPT, rkey)]);
    let another = Scratch::told(&business.told);
    let page = another.reader().list_receipts(&filter, limit, Some(&cursor)).unwrap();
    let uris: Vec<_> = page.items.iter().map(|record| record.uri().to_string()).collect();
    assert_eq!(uris, before[1].0);
}

#[test]
fn filters_come_before_limits() {
    let business = Business::new(42, 6);
    let scratch = Scratch::told(&business.told);
    let reader = scratch.reader();
    let filter = ReceiptFilter {
        provider: Some(did(&business.owner)),
        requester: Some(did(&business.requester)),
        job: Some(business.jobs[0].clone()),
        ..ReceiptFilter::default()
    };
    let oldest = reader.list_receipts(&filter, Limit::new(1).unwrap(), None).unwrap();
    assert_eq!(oldest.items[0].uri().to_string(), business.receipts[0]);
    assert_eq!(oldest.cursor, None);
    let unknown = did("did:web:unheard.example");
    for filter in [
        ReceiptFilter { requester: Some(unknown.clone()), ..filter.clone() },
        ReceiptFilter { provider: Some(unknown.clone()), job: None, ..filter.clone() },
        ReceiptFilter { provider: Some(did(&business.requester)), ..filter },
    ] {
        assert_eq!(reader.list_receipts(&filter, Limit::default(), None).unwrap().items, []);
    }
}

#[test]
fn a_cursor_of_another_kind_is_refused() {
    let business = Business::new(43, 3);
    let scratch = Scratch::told(&business.told);
    let reader = scratch.reader();
    let limit = Limit::new(1).unwrap();
    let by_repo = reader.fingerprints_by_repo(limit, None).unwrap().cursor.unwrap();
    assert!(matches!(
        reader.list_providers(&ProviderFilter::default(), limit, Some(&by_repo)),
        Err(QueryError::Cursor)
    ));
    let of_list = reader
        .list_receipts(&ReceiptFilter::default(), Limit::new(1).unwrap(), None)
        .unwrap()
        .cursor
        .unwrap();
    assert!(matches!(reader.fingerprints_by_repo(limit, Some(&of_list)), Err(QueryError::Cursor)));
}

#[test]
fn a_reader_answers_from_one_moment_until_it_is_refreshed() {
    let business = Business::new(44, 2);
    let scratch = Scratch::told(&business.told);
    let mut reader = scratch.reader();
    let providers = |reader: &appview_core::index::IndexReader| {
        reader.list_providers(&ProviderFilter::default(), Limit::default(), None).unwrap().items.len()
    };
    assert_eq!(providers(&reader), 1);
    scratch
        .writer()
        .apply(&[Change::Erase { did: did(&business.owner), hosting: Hosting::Deleted }], &[], 0)
        .unwrap();
    assert_eq!(providers(&reader), 1);
    reader.refresh().unwrap();
    assert_eq!(providers(&reader), 0);
}

#[test]
fn a_page_of_large_records_is_short_and_goes_on() {
    let mut network = Network::new(45);
    let account = network.world.create_account(KeyKind::K256);
    let mut told = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    for number in 0..12 {
        let Ipld::Map(mut profile) = records::friend("did:web:subject.example", network.world.now_micros())
        else {
            panic!("a record is a map")
        };
        profile.insert("unknown".into(), Ipld::String("a".repeat(900_000)));
        keys.push(format!("3jzfcijpj2z2{}", char::from(b'a' + number)));
        let record = Ipld::Map(profile);
        told.push(
            network.commit(&account, vec![Write::create(records::FRIEND, keys.last().unwrap(), record)]),
        );
    }
    let reader = Scratch::told(&told).reader();
    let list = |cursor: Option<&_>| reader.list_friends(&FriendFilter::default(), Limit::MAX, cursor);
    let pages = pages(list);
    assert!(pages.iter().all(|(page, _)| page.len() <= 5), "five have more than four megabytes");
    assert!(pages.len() < 5, "and a page is as long as it may be");
    let listed: Vec<String> = all_pages(list).iter().map(|record| record.rkey.to_string()).collect();
    keys.reverse();
    assert_eq!(listed, keys);
}
