//! Whatever is asked for together is found, however little is looked at for a page.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use rusqlite::params;

use super::walk::LEAST;
use super::*;
use crate::index::{Index, number_of};

/// A receipt, by the numbers that stand for names.
#[derive(Debug, Clone, Copy)]
struct Work {
    provider: i64,
    requester: i64,
    model: i64,
    tier: i64,
    time: i64,
    key: i64,
    is_told: bool,
}

const TIERS: [Option<&str>; 3] = [Some(NO_TIER), Some("attested-confidential"), None];

/// What a machine of a provider claims: of the first that few do, of all others that many do.
const TRUST_LEVELS: [&str; 2] = ["few", "many"];

/// Numbers of DIDs as a first test of order: the greatest number has the least name.
fn name(did: i64) -> String {
    format!("did:web:n{:04}.example", 9_999 - did)
}

fn rkey(key: i64) -> String {
    // One is the beginning of another.
    format!("{}{}", ["a", "ab", "b"][(key % 3) as usize], "x".repeat((key / 3) as usize))
}

/// An index with these receipts, written past the writer: no proof is needed to be in order.
fn index_of(work: &[Work]) -> (tempfile::TempDir, IndexReader) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path().join("index.db")).unwrap();
    let conn = Connection::open(index.path()).unwrap();
    conn.execute_batch("pragma foreign_keys = off; begin").unwrap();
    let (mut cid, receipts) = (vec![1_u8, 0x71, 0x12, 0x20], number_of(Collection::Receipt));
    cid.extend([7; 32]);
    for did in 0..40 {
        conn.execute("insert into did values (?1, ?2)", params![did, name(did)]).unwrap();
        conn.execute("insert into model values (?1, ?2)", params![did + 1, format!("model {did}")]).unwrap();
    }
    for machine in 0..=i64::from(FEW) + 2 {
        let owner = if machine < 2 { machine } else { 2 + machine % 6 };
        conn.execute(
            "insert into provider values (?1, ?2, 'a', ?3, 'best-effort', null)",
            params![machine, owner, TRUST_LEVELS[usize::from(machine >= 2)]],
        )
        .unwrap();
    }
    for (record, work) in work.iter().enumerate() {
        let Work { provider, requester, model, tier, time, key, is_told } = *work;
        let (record, key) = (record as i64 + 1_000, rkey(key));
        conn.execute(
            "insert into record values (?1, ?2, ?3, ?4, ?5, 0, 1, ?1, 0, 0, ?6, x'a0')",
            params![record, provider, receipts, key, cid, time],
        )
        .unwrap();
        conn.execute(
            "insert into receipt values (?1, ?2, ?3, ?4, ?5, ?6, null, ?7, ?8, 0, 0)",
            params![
                record,
                provider,
                key,
                time,
                is_told.then_some(time % 3),
                requester,
                model + 1,
                TIERS[tier as usize]
            ],
        )
        .unwrap();
    }
    conn.execute_batch("commit").unwrap();
    let reader = index.reader().unwrap();
    (folder, reader)
}

/// All pages, and how many there were.
fn pages(reader: &IndexReader, filter: &ReceiptFilter, limit: u32, looked_at: usize) -> (Vec<String>, usize) {
    let (mut uris, mut count) = (Vec::new(), 0);
    let mut cursor: Option<PageCursor> = None;
    loop {
        let place = Place::new(cursor.as_ref(), filter.during).unwrap();
        let page = reader.query(|conn| list(conn, filter, limit, &place, looked_at)).unwrap();
        assert!(page.items.len() <= limit as usize);
        uris.extend(page.items.iter().map(|record| record.uri().to_string()));
        count += 1;
        assert!(page.cursor.is_none() || page.cursor != cursor, "a page that leads to itself");
        cursor = page.cursor.map(|cursor| cursor.to_string().parse().unwrap());
        if cursor.is_none() {
            return (uris, count);
        }
    }
}

/// What is asked for, by numbers: each none, or one.
type Wanted = (Option<i64>, Option<i64>, Option<i64>, Option<&'static str>, Option<&'static str>, Span);

fn truth(work: &[Work], (provider, requester, model, tier, trust_level, during): Wanted) -> Vec<String> {
    let claims = |owner: i64| match trust_level {
        None => true,
        Some("few") => owner < 2,
        Some("many") => (2..8).contains(&owner),
        Some(_) => false,
    };
    let is = |wanted: Option<i64>, found| wanted.is_none_or(|wanted| wanted == found);
    let wanted = |work: &&Work| {
        is(provider, work.provider)
            && is(requester, work.requester)
            && is(model, work.model)
            && (tier.is_none() || tier == TIERS[work.tier as usize])
            && claims(work.provider)
            && during.since.is_none_or(|since| work.time >= since)
            && during.until.is_none_or(|until| work.time < until)
    };
    let mut found: Vec<_> = work.iter().filter(wanted).collect();
    found.sort_by_key(|work| (work.time, rkey(work.key), name(work.provider)));
    let uri =
        |work: &&Work| format!("at://{}/{}/{}", name(work.provider), Collection::Receipt, rkey(work.key));
    found.iter().rev().map(uri).collect()
}

fn filter((provider, requester, model, tier, trust_level, during): Wanted) -> ReceiptFilter {
    let did = |did: i64| name(did).parse().unwrap();
    ReceiptFilter {
        provider: provider.map(did),
        requester: requester.map(did),
        job: None,
        model: model.map(|model| format!("model {model}")),
        tier: tier.map(str::to_owned),
        trust_level: trust_level.map(str::to_owned),
        during,
    }
}

/// Receipts in which every place is shared by several and every name is met by every other.
fn crowded() -> Vec<Work> {
    let mut work = Vec::new();
    let mut dice = 1_u64;
    let mut below = |end: i64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as i64 % end
    };
    for provider in 0..9 {
        for key in 0..30 {
            work.push(Work {
                provider,
                key,
                requester: 10 + below(4),
                model: below(3),
                tier: below(3),
                time: [5, 5, 6, 7, 40, below(60)][below(6) as usize],
                is_told: below(2) == 0,
            });
        }
    }
    work
}

#[test]
fn what_is_asked_for_together_is_found_however_little_is_looked_at() {
    let work = crowded();
    let (_folder, reader) = index_of(&work);
    let during = [Span::ALWAYS, Span { since: Some(5), until: Some(40) }];
    for provider in [None, Some(1), Some(4)] {
        for requester in [None, Some(11)] {
            for model in [None, Some(2)] {
                for tier in [None, Some(NO_TIER), Some("attested-confidential"), Some("no such tier")] {
                    for trust_level in [None, Some("few"), Some("many"), Some("none")] {
                        let at = usize::from(requester.is_some() ^ model.is_some());
                        let wanted = (provider, requester, model, tier, trust_level, during[at]);
                        let expected = truth(&work, wanted);
                        for (limit, looked_at) in [(3, 1), (200, 30), (7, LOOKED_AT)] {
                            let (found, _) = pages(&reader, &filter(wanted), limit, looked_at);
                            assert_eq!(found, expected, "{wanted:?}, {limit} of {looked_at}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_page_that_has_looked_at_enough_is_short_and_leads_on() {
    let work = crowded();
    let (_folder, reader) = index_of(&work);
    let wanted = (None, None, None, Some(NO_TIER), Some("many"), Span::ALWAYS);
    let (found, in_one) = pages(&reader, &filter(wanted), 200, LOOKED_AT);
    let (_, in_many) = pages(&reader, &filter(wanted), 200, 1);
    assert!(in_one == 1 && in_many > 5 && !found.is_empty(), "{in_one} pages, {in_many} pages");
}

/// Five thousand receipts of one requester, of which each hundredth is by a provider of its own, in a tier of its own.
#[test]
fn what_is_rare_is_found_on_the_first_page_among_whatever_is_common() {
    let work: Vec<Work> = (0..5_000)
        .map(|at| {
            let (provider, tier) = if at % 100 == 7 { (1, 1) } else { (3 + at % 5, 0) };
            Work { provider, tier, requester: 30, model: 0, time: at, key: at % 300, is_told: at % 2 == 0 }
        })
        .collect();
    // A key is used once by a provider, as in a repository.
    let work: Vec<Work> = work
        .into_iter()
        .map(|work| Work { key: work.time / 5 % 90 + work.time / 450 * 90, ..work })
        .collect();
    let (_folder, reader) = index_of(&work);
    for wanted in [
        (Some(1), Some(30), None, None, None, Span::ALWAYS),
        (Some(1), Some(30), Some(0), None, Some("few"), Span::ALWAYS),
        (None, Some(30), Some(0), Some("attested-confidential"), None, Span::ALWAYS),
        (None, None, None, Some("attested-confidential"), None, Span::ALWAYS),
        (None, None, Some(0), None, Some("few"), Span::ALWAYS),
    ] {
        let expected = truth(&work, wanted);
        assert_eq!(expected.len(), 50);
        // At each of the fifty, a list is read on from there.
        let (found, pages) = pages(&reader, &filter(wanted), 200, 50 * 3 * LEAST as usize);
        assert_eq!((found, pages), (expected, 1), "{wanted:?}");
    }
    let rare = (None, None, None, Some("attested-confidential"), Some("many"), Span::ALWAYS);
    assert_eq!(pages(&reader, &filter(rare), 200, 100), (Vec::new(), 1));
}
