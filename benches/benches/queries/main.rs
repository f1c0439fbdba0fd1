//! Each question of the read API, asked of an index of a whole town.
//!
//! One element is one question from its parameters to the text of its answer, on a snapshot of its own, as a server answers
//! it; the file is in the page cache. Parameters change from question to question. Each is asked of a town of a tenth of
//! the size too: an answer should not take longer because there is more that is not asked for.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement of what we made ourselves")]

mod town;

use std::path::Path;

use appview_benches::{CpuTime, criterion};
use appview_core::block::json::write_text;
use appview_core::index::{IndexReader, Readers};
use appview_core::query::{
    AccountFilter, AccountKind, AccountOrder, AccountPlace, Limit, Page, ProviderFilter, ReceiptFilter,
    RecordView, Span, TotalsOf, Viewer,
};
use appview_core::syntax::{Datetime, Did};
use criterion::{Criterion, criterion_group, criterion_main};
use town::{NOW, Town};

const DAY: i64 = 86_400_000_000;

/// The text of an answer made of records.
fn text(page: &Page<RecordView>) -> String {
    let mut out = String::with_capacity(page.items.len() * 2_048);
    for record in &page.items {
        for part in [
            record.uri().as_str(),
            &record.cid.to_string(),
            record.collection.as_str(),
            record.repo.as_str(),
            record.rkey.as_str(),
            Datetime::saturating(record.indexed_at_micros()).as_str(),
        ] {
            write_text(&mut out, part);
        }
        record.write_body(&mut out).unwrap();
    }
    out
}

fn json(answer: &impl serde::Serialize) -> String {
    serde_json::to_string(answer).unwrap()
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

/// A question: what the n-th asker wants to know.
type Question = fn(&IndexReader, &Town, u64) -> String;

fn receipts(reader: &IndexReader, filter: &ReceiptFilter) -> String {
    let page = reader.list_receipts(filter, Limit::new(50).unwrap(), None).unwrap();
    assert_eq!(page.items.len(), 50);
    text(&page)
}

fn receipts_of_requester(reader: &IndexReader, town: &Town, n: u64) -> String {
    let requester = Some(did(&Town::requester(n % town.requesters())));
    let filter = ReceiptFilter { requester, ..ReceiptFilter::default() };
    text(&reader.list_receipts(&filter, Limit::new(50).unwrap(), None).unwrap())
}

fn receipts_by_two(reader: &IndexReader, town: &Town, n: u64) -> String {
    let filter = ReceiptFilter {
        provider: Some(did(&Town::provider(n % town.providers))),
        model: Some(Town::model(n % town.providers * 7 % 200)),
        ..ReceiptFilter::default()
    };
    text(&reader.list_receipts(&filter, Limit::new(50).unwrap(), None).unwrap())
}

fn accounts(reader: &IndexReader, filter: &AccountFilter, place: AccountPlace<'_>) -> String {
    let page = reader.list_accounts(filter, Limit::clamp(24), place).unwrap();
    assert_eq!(page.accounts.len(), 24);
    json(&page.accounts)
}

const QUESTIONS: [(&str, Question); 22] = [
    ("listReceipts, 50 of all", |reader, _, _| receipts(reader, &ReceiptFilter::default())),
    ("listReceipts, 50 of a provider", |reader, town, n| {
        let provider = Some(did(&Town::provider(n % town.providers)));
        receipts(reader, &ReceiptFilter { provider, ..ReceiptFilter::default() })
    }),
    ("listReceipts, 50 of a model", |reader, _, n| {
        receipts(reader, &ReceiptFilter { model: Some(Town::model(n % 200)), ..ReceiptFilter::default() })
    }),
    ("listReceipts, 50 of a day", |reader, _, n| {
        let until = NOW as i64 - (n % 90) as i64 * DAY;
        let during = Span { since: Some(until - DAY), until: Some(until) };
        receipts(reader, &ReceiptFilter { during, ..ReceiptFilter::default() })
    }),
    ("listReceipts, 50 of a tier", |reader, _, _| {
        receipts(reader, &ReceiptFilter { tier: Some("best-effort".into()), ..ReceiptFilter::default() })
    }),
    ("listReceipts, 50 of a trust level", |reader, _, _| {
        let trust_level = Some("hardware-attested".into());
        receipts(reader, &ReceiptFilter { trust_level, ..ReceiptFilter::default() })
    }),
    ("listReceipts, all of a requester, some 10", receipts_of_requester),
    ("listReceipts, a provider's of a model, some 33", receipts_by_two),
    ("listProviders, 50 of a model", |reader, _, n| {
        let filter = ProviderFilter { model: Some(Town::model(n % 200)), ..ProviderFilter::default() };
        text(&reader.list_providers(&filter, Limit::new(50).unwrap(), None).unwrap())
    }),
    ("listProviders, 50 of all", |reader, _, _| {
        text(&reader.list_providers(&ProviderFilter::default(), Limit::new(50).unwrap(), None).unwrap())
    }),
    ("listJobs, all of a requester, 1", |reader, town, n| {
        let requester = did(&Town::requester(n % town.requesters()));
        text(&reader.list_jobs(&requester, Span::ALWAYS, Limit::new(50).unwrap(), None).unwrap())
    }),
    ("listProfiles, 50 of all", |reader, _, _| {
        text(&reader.list_profiles(Limit::new(50).unwrap(), None).unwrap())
    }),
    ("getProfile, of a provider", |reader, town, n| {
        json(&reader.profile(&did(&Town::provider(n % town.providers)), NOW).unwrap().unwrap())
    }),
    ("listAccounts, 24 by activity", |reader, _, _| {
        accounts(reader, &AccountFilter::default(), AccountPlace::default())
    }),
    ("listAccounts, 24 providers by joining, but friends", |reader, town, n| {
        let viewer = Viewer::AccountAndFriends(did(&Town::requester(n % town.requesters())));
        let (order, kind) = (AccountOrder::Newest, AccountKind::Providers);
        let filter = AccountFilter { order, kind, viewer, ..AccountFilter::default() };
        accounts(reader, &filter, AccountPlace::default())
    }),
    ("listAccounts, 24 after 1,000", |reader, _, _| {
        accounts(reader, &AccountFilter::default(), AccountPlace::Offset(1_000))
    }),
    ("listAccounts, a search that finds 1", |reader, town, n| {
        let filter =
            AccountFilter { q: format!("der-{:05}", n % town.providers), ..AccountFilter::default() };
        json(&reader.list_accounts(&filter, Limit::clamp(24), AccountPlace::default()).unwrap().accounts)
    }),
    ("listIncomingFriends, some 10", |reader, town, n| {
        let subject = did(&Town::provider(n % town.providers));
        json(&reader.list_incoming_friends(&subject, Limit::clamp(50), None).unwrap().items)
    }),
    ("listFriendEdges, 5,000", |reader, _, _| {
        json(&reader.list_friend_edges(Limit::clamp(5_000), None).unwrap().items)
    }),
    ("latency, 100 providers and 100 models", |reader, _, _| {
        json(&reader.latency(NOW, Limit::clamp(100), None).unwrap())
    }),
    ("modelActivity, 50 models of 5 providers", |reader, _, _| {
        json(&reader.model_activity(NOW + 1_234_567_890, None, Limit::default(), None).unwrap())
    }),
    ("totals, of a model within 60 days", |reader, _, n| {
        let since = NOW as i64 - 70 * DAY + n as i64 * 1_000_003;
        let during = Span { since: Some(since), until: Some(since + 60 * DAY) };
        json(&reader.totals(&TotalsOf::Model(Town::model(n % 200)), during).unwrap())
    }),
];

fn queries(c: &mut Criterion<CpuTime>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("queries");
    for providers in [1_000, 10_000] {
        let town = Town::of(&folder, providers);
        let readers = Readers::new(town.index.clone(), 1);
        let mut group = c.benchmark_group(format!("{} receipts", providers * 100));
        for (name, question) in QUESTIONS {
            let mut n = 0;
            group.bench_function(name, |b| {
                b.iter(|| {
                    n += 1;
                    readers.read(|reader| {
                        Ok::<_, appview_core::index::IndexError>(question(reader, &town, n * 7_919))
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = queries
}
criterion_main!(benches);
